//! Parts of every page: texts, numbers, times, and the answer.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};

use crate::domain::text;

/// What pages allow themselves: their own files, and nothing that stands in them.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// Other sites learn nothing of where somebody comes from; this one gets its own `Origin` with each form.
const REFERRER: HeaderValue = HeaderValue::from_static("same-origin");

/// A whole page. Texts of others stand in it as [`text::lines`] has them: nothing that a browser acts on instead of showing it.
pub(super) fn answer(status: StatusCode, page: Markup) -> Response {
    let page = text::lines(&page.into_string()).into_owned();
    let headers = [(header::CONTENT_SECURITY_POLICY, POLICY), (header::REFERRER_POLICY, REFERRER)];
    (status, headers, Html(page)).into_response()
}

/// Adds a header, and leaves those of the same name.
pub(super) fn with_header(mut response: Response, name: HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().append(name, value);
    response
}

/// `1,234,567`.
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A time span of so many seconds, in one unit: `850 ms`, `12 s`, `5 min`, `3.4 h`, `2 days`.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 0.001 => format!("{:.0} µs", s * 1e6),
        s if s < 0.01 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}

/// How long ago something was.
pub(super) fn ago(seconds: f64) -> String {
    if seconds < 1.0 { "just now".to_owned() } else { format!("{} ago", duration(seconds)) }
}

/// A time in UTC, such as `2026-11-28T03:04:05.678Z`. The script shows it in the browser's own zone.
pub(super) fn time(utc: &str) -> Markup {
    let shown: String = utc.replace('T', " ").chars().take(19).collect();
    html! { time datetime=(utc) { (shown) " UTC" } }
}

/// A time of the database's own clock, which has no zone: marked, as others are in the browser's zone.
pub(super) fn local_time(at: Option<&str>) -> Markup {
    match at {
        Some(at) => {
            let at: String = at.replace('T', " ").chars().take(23).collect();
            html! { span.nowrap { (at) " " abbr title="by the database's own clock, whatever the browser's zone is" { "db" } } }
        }
        None => html! { "–" },
    }
}

/// A state of an order, of a worker or of a job, with a colour of its own.
pub(super) fn state(state: &str) -> Markup {
    let class = match state {
        "fulfilled" | "done" | "running" | "up" => "good",
        "failed" | "dead" | "down" | "open" => "bad",
        "processing" | "working" | "pausing" | "paused" | "quiet" | "half_open" => "warn",
        _ => "plain",
    };
    html! { span class={ "state " (class) } { (state.replace('_', " ")) } }
}

/// Says that a list has nothing.
pub(super) fn nothing(what: &str) -> Markup {
    html! { p.quiet.nothing { (what) } }
}

/// A query string of these parameters, without those that have no value.
pub(super) fn query<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters.into_iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    query.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_written_for_people() {
        let numbers = [0, 999, 1_000, 1_234_567].map(number);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
        let spans = [0.000_02, 0.0042, 0.85, 3.25, 75.0, 600.0, 9_000.0, 200_000.0].map(duration);
        assert_eq!(spans, ["20 µs", "4.2 ms", "850 ms", "3.2 s", "75 s", "10 min", "2.5 h", "2 days"]);
    }

    #[test]
    fn a_text_of_others_is_escaped_and_can_not_turn_the_line() {
        let page = html! { p { "<b>\u{202e}\u{7}" } };
        let shown = text::lines(&page.into_string()).into_owned();
        assert_eq!(shown, "<p>&lt;b&gt;\\u{202e}\\u{7}</p>");
    }
}
