//! The parameters of a query: each read by its name, each error with it, and none that nobody knows.

use std::fmt::{Debug, Display};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::admin::Problem;
use crate::operations::cursor::{CursorError, List};

/// Elements of a page where nothing else is asked for.
const LIMIT: u64 = 50;

/// Elements of a page, at most.
pub(super) const MOST: u64 = 1_000;

/// The longest age: ten years, in seconds.
const MOST_SECONDS: u64 = 315_576_000;

/// Those that have not been read yet.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        // Else it would be looked for something else than was meant, and nothing be found.
        match percent_decode_str(query).decode_utf8() {
            Ok(_) => Ok(Self::of(query)),
            Err(_) => Err(Problem::new(StatusCode::BAD_REQUEST, "the query is not UTF-8")),
        }
    }
}

impl Parameters {
    pub(super) fn of(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Every value of a parameter that may be there several times.
    pub(super) fn many<T>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, Problem> {
        let (of_name, others) = std::mem::take(&mut self.0).into_iter().partition(|(of, _)| of == name);
        self.0 = others;
        let of_name: Vec<(String, String)> = of_name;
        of_name.iter().map(|(_, text)| read(text).map_err(|problem| Problem::of_parameter(name, problem))).collect()
    }

    /// The value of a parameter that may be missing.
    pub(super) fn one<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        let mut values = self.many(name, read)?;
        match values.len() {
            0 | 1 => Ok(values.pop()),
            count => Err(Problem::of_parameter(name, format!("is there {count} times; name it once"))),
        }
    }

    /// A whole number.
    pub(super) fn number<T>(&mut self, name: &str, range: RangeInclusive<T>) -> Result<Option<T>, Problem>
    where
        T: FromStr + PartialOrd + Display,
    {
        self.one(name, |text| number(text, &range))
    }

    /// An age.
    pub(super) fn age(&mut self, name: &str) -> Result<Option<Duration>, Problem> {
        Ok(self.number(name, 0..=MOST_SECONDS)?.map(Duration::from_secs))
    }

    /// `limit`.
    pub(super) fn limit(&mut self) -> Result<usize, Problem> {
        let limit = self.number("limit", 1..=MOST)?.unwrap_or(LIMIT);
        Ok(usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// The position that `cursor` names in a list, if it is there; after every filter, as nothing may be left then.
    pub(super) fn position<T: FromStr>(self, list: &List<'_, impl Debug>) -> Result<Option<T>, Problem> {
        let position = |text: &str| list.position(text)?.parse().map_err(|_| CursorError::Unreadable);
        self.cursor()?.map(|text| position(&text).map_err(no_such_page)).transpose()
    }

    /// `cursor` as it is, where nothing else is left.
    pub(super) fn cursor(mut self) -> Result<Option<String>, Problem> {
        let cursor = self.one("cursor", |text| Ok(text.to_owned()))?;
        self.none_left()?;
        Ok(cursor)
    }

    /// Nothing may be left that nobody has read.
    pub(super) fn none_left(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                Err(Problem::of_parameter(name, "is no parameter of this path; /api/v1/openapi.json has all"))
            }
        }
    }
}

/// A cursor is part of a page's address, and there is no page there.
pub(super) fn no_such_page(problem: CursorError) -> Problem {
    let of_parameter = Problem::of_parameter("cursor", problem);
    of_parameter.with_status(StatusCode::NOT_FOUND)
}

/// A whole number of a range, without a sign or a blank.
pub(super) fn number<T: FromStr + PartialOrd + Display>(text: &str, range: &RangeInclusive<T>) -> Result<T, String> {
    let number =
        text.parse().ok().filter(|number| range.contains(number) && text.bytes().all(|byte| byte.is_ascii_digit()));
    number.ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
}

/// Text of 1 to `longest` characters that a database can hold.
pub(super) fn words(longest: usize) -> impl Fn(&str) -> Result<String, String> {
    move |text| match text.chars().count() {
        length if length == 0 || length > longest || text.contains('\0') => {
            Err(format!("must have 1 to {longest} characters, and none of them NUL"))
        }
        _ => Ok(text.to_owned()),
    }
}

/// The element's key in a path.
pub(super) fn id(text: &str) -> Result<i64, Problem> {
    number(text, &(1..=i64::MAX)).map_err(|problem| Problem::of_parameter("id", problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(problem: &Problem) -> String {
        serde_json::to_value(problem).unwrap()["detail"].as_str().unwrap().to_owned()
    }

    #[test]
    fn each_problem_names_its_parameter() {
        for (query, expected) in [
            ("limit=0", "`limit` must be a whole number from 1 to 1000"),
            ("limit=1001", "`limit` must"),
            ("limit=%2B5", "`limit` must"),
            ("limit=", "`limit` must"),
            ("limit=1&limit=2", "`limit` is there 2 times"),
        ] {
            let problem = Parameters::of(query).limit().unwrap_err();
            assert!(detail(&problem).starts_with(expected), "{query}: {problem:?}");
        }
        let mut parameters = Parameters::of("limit=7&colour=red");
        assert_eq!(parameters.limit().unwrap(), 7);
        assert!(detail(&parameters.none_left().unwrap_err()).starts_with("`colour` is no parameter"));
    }

    #[test]
    fn a_page_begins_where_the_cursor_says_and_one_of_another_list_leads_nowhere() {
        let (list, other) = (List("letters", &()), List("groups", &()));
        let query = format!("cursor={}", list.cursor("17"));
        assert_eq!(Parameters::of(&query).position(&list).unwrap(), Some(17));
        assert_eq!(Parameters::of("").position::<i64>(&list).unwrap(), None);
        for (query, list) in [(query.as_str(), &other), ("cursor=x", &list)] {
            let problem = Parameters::of(query).position::<i64>(list).unwrap_err();
            assert!(detail(&problem).starts_with("`cursor` "), "{problem:?}");
        }
    }
}
