//! Statements in which every name is said in full, so that the role's search path has no part in them.
//!
//! Whoever may create in a schema of that path could else put a function or an operator there that suits the types at hand
//! better than Postgres' own, and the worker would run it. Setting another path for the session is no way out: it would also
//! hold for the triggers of the order API's tables (ADR 17).

use std::borrow::Cow;

use tokio_postgres::types::{ToSql, Type};

/// What looks like a function and is part of the language. Several arrays in one `unnest` are that, too: where it has one alone,
/// `pg_catalog.unnest` is written down.
const SYNTAX: [&str; 7] = ["any", "coalesce", "extract", "greatest", "least", "nullif", "unnest"];

/// Operators that are written as a piece, `{=}`. Between any two types but the same one of Postgres' own there may be a better
/// match than its own operator.
const OPERATORS: [(&str, &str); 7] = [
    ("{=}", "OPERATOR(pg_catalog.=)"),
    ("{<>}", "OPERATOR(pg_catalog.<>)"),
    ("{<}", "OPERATOR(pg_catalog.<)"),
    ("{>}", "OPERATOR(pg_catalog.>)"),
    ("{<=}", "OPERATOR(pg_catalog.<=)"),
    ("{>=}", "OPERATOR(pg_catalog.>=)"),
    ("{like}", "OPERATOR(pg_catalog.~~)"),
];

/// A value for a statement, and its type there.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A statement that means the same whatever the search path, as long as `pg_catalog` is its first schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sql(Cow<'static, str>);

impl Sql {
    /// Qualifies functions, which are lowercase and stand right before their parenthesis; types, after `::`; and operators that
    /// are written as pieces.
    pub(super) fn new(text: &str) -> Self {
        let mut sql = qualified(text);
        for (piece, operator) in OPERATORS {
            sql = sql.replace(piece, operator);
        }
        Self(sql.into())
    }

    /// A statement in which no name can be found elsewhere.
    pub(super) const fn bare(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// The same, which leaves alone what is in the timeline already, and fails no more by it.
    pub(super) fn passing_over(&self) -> Self {
        Self(self.0.replace("/* ON CONFLICT DO NOTHING */", "ON CONFLICT DO NOTHING").into())
    }

    /// Puts `text`, which is qualified already, in the place of `piece`.
    pub(super) fn with(&self, piece: &str, text: &str) -> Self {
        Self(self.0.replace(piece, text).into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

fn qualified(text: &str) -> String {
    let mut sql = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '-' if rest.starts_with("--") => rest.find('\n'),
            '\'' | '"' => rest.get(1..).and_then(|inside| inside.find(first)).map(|end| end + 2),
            _ if is_of_word(first) => rest.find(|letter| !is_of_word(letter)),
            _ => Some(first.len_utf8()),
        };
        let (token, after) = rest.split_at(length.unwrap_or(rest.len()));
        let is_function = after.starts_with('(') && !sql.ends_with(['.', '{']) && !SYNTAX.contains(&token);
        let is_type = sql.ends_with("::") && !after.starts_with('.');
        if token.starts_with(|letter: char| letter.is_ascii_lowercase()) && (is_function || is_type) {
            sql.push_str("pg_catalog.");
        }
        sql.push_str(token);
        rest = after;
    }
    sql
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_types_and_operators_are_postgres_own() {
        let sql = Sql::new("SELECT max(o.id)::int8, $1::text[] FROM shop.lines(1) AS l (id) WHERE o.id {=} ANY (l.id)");
        assert_eq!(
            sql.as_str(),
            "SELECT pg_catalog.max(o.id)::pg_catalog.int8, $1::pg_catalog.text[] FROM shop.lines(1) AS l (id) \
             WHERE o.id OPERATOR(pg_catalog.=) ANY (l.id)"
        );
    }

    #[test]
    fn texts_comments_names_and_syntax_stay_as_they_are() {
        let sql =
            "-- it's now()\nSELECT coalesce('now()', \"now()\"), a::\"the shop\".status, b::shop.status, 'a''b(c)'";
        assert_eq!(Sql::new(sql).as_str(), sql);
    }
}
