//! Whether a request that changes something may come from a browser's page: only from our own.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri, header};

/// What a proxy adds. A request with one of them comes from somewhere else than its connection does.
const OF_PROXIES: [&str; 9] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-forwarded-by",
    "x-real-ip",
];

/// Whether a proxy has passed the request on.
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    OF_PROXIES.iter().any(|name| headers.contains_key(*name))
        || headers.keys().any(|name| name.as_str().starts_with("x-forwarded-"))
}

/// Why the request may be the doing of a page from elsewhere, if it may. A browser sends `Origin` with each request that is
/// neither GET nor HEAD, and lets no page change it.
pub(super) fn foreign(headers: &HeaderMap, uri: &Uri) -> Option<&'static str> {
    let only = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let first = values.next();
        if values.next().is_some() { Err("a header is there twice") } else { Ok(first) }
    };
    let of = || -> Result<(), &'static str> {
        let host = only("host")?.map(|host| authority(host).ok_or("the Host is none")).transpose()?;
        if let (Some(host), Some(named)) = (&host, uri.authority())
            && !host.as_str().eq_ignore_ascii_case(named.as_str())
        {
            return Err("the Host differs from the URL's");
        }
        match only("sec-fetch-site")?.map(HeaderValue::as_bytes) {
            None | Some(b"same-origin" | b"none") => {}
            Some(_) => return Err("a page of another site sent it"),
        }
        match only("origin")? {
            None => Ok(()),
            Some(origin) if host.is_some_and(|host| is_origin_of(origin, &host)) => Ok(()),
            Some(_) => Err("a page of another origin sent it"),
        }
    };
    of().err()
}

fn authority(host: &HeaderValue) -> Option<Authority> {
    host.to_str().ok()?.parse().ok().filter(|authority: &Authority| !authority.as_str().contains('@'))
}

fn is_origin_of(origin: &HeaderValue, host: &Authority) -> bool {
    let Some(origin) = origin.to_str().ok().and_then(|text| text.parse::<Uri>().ok()) else { return false };
    let (Some(scheme), Some(from)) = (origin.scheme_str(), origin.authority()) else { return false };
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
    from.host().eq_ignore_ascii_case(host.host()) && port(from) == port(host) && !from.as_str().contains('@')
}

/// Whether a `Host` is an address, or the name that every machine has for itself: what no name on the Internet can be made
/// to look like.
pub(super) fn names_this_machine(headers: &HeaderMap) -> bool {
    headers.get(header::HOST).and_then(authority).is_some_and(|authority| {
        let name = authority.host().trim_matches(['[', ']']);
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&str, &str)| {
            (header::HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
        };
        lines.iter().map(line).collect()
    }

    fn is_foreign(lines: &[(&str, &str)]) -> bool {
        foreign(&headers(lines), &Uri::from_static("/log")).is_some()
    }

    #[test]
    fn what_no_browser_sent_and_what_our_own_page_sent_is_not_foreign() {
        for lines in [
            &[][..],
            &[("host", "127.0.0.1:2112")],
            &[("host", "worker.example:2112"), ("origin", "http://worker.example:2112")],
            &[("host", "Worker.example"), ("origin", "https://worker.example")],
            &[("host", "worker.example"), ("origin", "https://worker.example:443")],
            &[("host", "[::1]:2112"), ("origin", "http://[::1]:2112"), ("sec-fetch-site", "same-origin")],
            &[("host", "localhost:2112"), ("sec-fetch-site", "none")],
        ] {
            assert!(!is_foreign(lines), "{lines:?}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_foreign_however_near() {
        let host = ("host", "127.0.0.1:2112");
        for lines in [
            &[host, ("origin", "https://evil.example")][..],
            &[host, ("origin", "null")],
            &[host, ("origin", "")],
            &[host, ("origin", "http://127.0.0.1:3000")],
            &[host, ("origin", "http://localhost:2112")],
            &[host, ("origin", "http://127.0.0.1.evil.example:2112")],
            &[host, ("origin", "http://127.0.0.1:2112@evil.example")],
            &[host, ("origin", "http://evil@127.0.0.1:2112")],
            &[host, ("origin", "ftp://127.0.0.1:2112")],
            &[host, ("origin", "http://127.0.0.1:2112"), ("origin", "http://evil.example")],
            &[host, ("host", "evil.example"), ("origin", "http://evil.example")],
            &[("origin", "http://127.0.0.1:2112")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
            &[host, ("sec-fetch-site", "")],
            &[("host", "evil@127.0.0.1:2112")],
            &[("host", "")],
        ] {
            assert!(is_foreign(lines), "{lines:?}");
        }
        let elsewhere = Uri::from_static("http://evil.example/log");
        assert!(foreign(&headers(&[host]), &elsewhere).is_some());
    }

    #[test]
    fn each_header_of_a_proxy_is_known() {
        for name in ["Forwarded", "X-Forwarded-For", "X-Forwarded-Prefix", "X-Real-IP", "Via"] {
            assert!(is_forwarded(&headers(&[(name, "")])), "{name}");
        }
        assert!(!is_forwarded(&headers(&[("host", "x"), ("accept", "*/*")])));
    }
}
