//! Each field of the format; `tests/integration/access` asks promtool about whole files.

use std::path::PathBuf;

use super::*;

/// What a file with this text is refused for.
fn refused(text: &str) -> String {
    let (_folder, loaded) = load_text(text, &[]);
    loaded.result.err().unwrap_or_else(|| panic!("{text} is taken"))
}

fn taken(text: &str) -> (WebConfig, Vec<String>) {
    let (_folder, loaded) = load_text(text, &[]);
    (loaded.result.unwrap_or_else(|problem| panic!("{text}: {problem}")), loaded.warnings)
}

fn load_text(text: &str, operators: &[String]) -> (tempfile::TempDir, Loaded) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.yml");
    std::fs::write(&path, text).unwrap();
    let loaded = load(&path, operators);
    (folder, loaded)
}

#[test]
fn a_file_that_says_nothing_asks_for_nothing() {
    let empty = "tls_server_config:\nbasic_auth_users:\nhttp_server_config:\nrate_limit:\n";
    for text in ["", "# nothing\n", "---\n", "{}", empty, "tls_server_config: {min_version: TLS13}"] {
        let (config, warnings) = taken(text);
        assert!(config.tls.is_none() && config.users.is_empty() && config.headers.is_empty(), "{text}");
        assert!(config.rate_limit.is_none() && warnings.is_empty(), "{text}");
    }
}

#[test]
fn what_the_format_lacks_is_refused_with_its_line_and_without_its_value() {
    for (text, line) in [
        ("operators: [ann]\n", 1),
        ("\ntls_server_config:\n  cert_fils: hush\n", 3),
        ("basic_auth_users:\n  ann: [hush]\n", 2),
        ("basic_auth_users:\n  ann: hush\n  ann: hush\n", 3),
        ("http_server_config:\n  http2: hush\n", 2),
        ("rate_limit:\n  burst: hush\n", 2),
    ] {
        let problem = refused(text);
        assert!(problem.contains(&format!("line {line}: ")), "{text}: {problem}");
        assert!(!problem.contains("hush"), "{text}: {problem}");
    }
    let junk = refused("hush\nhush\nhush\n");
    assert!(!junk.contains("hush"), "{junk}");
}

#[test]
fn headers_are_those_of_the_format() {
    let (config, _) =
        taken("http_server_config: {http2: false, headers: {X-XSS-Protection: 1, X-Frame-Options: deny}}");
    let shown: Vec<_> =
        config.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    assert_eq!(shown, ["x-frame-options: deny", "x-xss-protection: 1"]);
    let unset = taken("http_server_config: {headers: {Strict-Transport-Security: ''}}").0;
    assert!(unset.headers.is_empty());
    for (headers, problem) in [
        ("{Server: x}", "http_server_config.headers: the header `Server` can't be set; those that can are"),
        ("{x-frame-options: deny}", "the header `x-frame-options` can't be set"),
        ("{X-Frame-Options: all}", "http_server_config.headers.X-Frame-Options: must be deny or sameorigin"),
        ("{X-Content-Type-Options: sniff}", "X-Content-Type-Options: must be nosniff"),
        ("{Content-Security-Policy: \"a\\r\\nSet-Cookie: b\"}", "Content-Security-Policy: has characters"),
    ] {
        let shown = refused(&format!("http_server_config:\n  headers: {headers}"));
        assert!(shown.contains(problem), "{headers}: {shown}");
    }
}

#[test]
fn a_rate_limit_has_a_duration_of_go_and_a_burst() {
    assert!(taken("rate_limit: {interval: 1s, burst: 20}").0.rate_limit.is_some());
    assert!(taken("rate_limit: {interval: 0, burst: 0}").0.rate_limit.is_none());
    assert!(refused("rate_limit: {interval: 1s}").starts_with("rate_limit.burst: must be at least 1"));
    assert!(refused("rate_limit: {interval: soon, burst: 1}").starts_with("rate_limit.interval: `soon`"));
    for (text, millis) in [("1s", 1000), ("1.5s", 1500), ("1m30s", 90_000), ("100ms", 100), ("0", 0), ("", 0)] {
        assert_eq!(go_duration(text), Some(Duration::from_millis(millis)), "{text}");
    }
    for text in ["1", "s", "1x", "-1s", "1s 2s", "1.2.3s"] {
        assert_eq!(go_duration(text), None, "{text}");
    }
}

#[test]
fn what_tls_needs_is_named_by_its_field() {
    for (section, problem) in [
        ("{cert_file: a.crt}", "cert_file "),
        ("{cert: x}", "tls_server_config: cert: has no certificate as PEM"),
        ("{key_file: a.key}", "tls_server_config: neither cert nor cert_file is set"),
        ("{client_auth_type: RequireAndVerifyClientCert}", "neither cert nor cert_file is set"),
        ("{min_version: TLS14}", "min_version: `TLS14` is none of"),
        ("{max_version: TLS11}", "max_version: TLS 1.0 and 1.1 can't be had"),
        ("{min_version: TLS13, max_version: TLS12}", "min_version: is above max_version"),
        ("{cipher_suites: [TLS_INVENTED]}", "cipher_suites: there is no suite `TLS_INVENTED`"),
        ("{cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA], max_version: TLS12}", "cipher_suites: none of them"),
        ("{curve_preferences: [CurveP999]}", "curve_preferences: `CurveP999` is none of"),
        ("{curve_preferences: [CurveP521]}", "curve_preferences: none of them can be had"),
    ] {
        let shown = refused(&format!("tls_server_config: {section}"));
        assert!(shown.contains(problem), "{section}: {shown}");
    }
}

#[test]
fn what_rustls_can_not_do_is_warned_of_by_name() {
    let section = "{min_version: TLS10, curve_preferences: [X25519, CurveP521], cipher_suites: \
                   [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, TLS_AES_128_GCM_SHA256]}";
    let (_, warnings) = taken(&format!("tls_server_config: {section}"));
    assert_eq!(
        warnings,
        [
            "min_version: TLS 1.0 and 1.1 can't be had; TLS 1.2 is the minimum",
            "cipher_suites: TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA can't be had and is left out",
            "curve_preferences: CurveP521 can't be had and is left out",
        ]
    );
}

#[test]
fn files_are_looked_for_beside_the_configuration_and_known_although_they_are_missing() {
    let text = "tls_server_config: {cert_file: a.crt, key_file: /etc/a.key, client_ca_file: ca/b.crt}";
    let (folder, loaded) = load_text(text, &[]);
    let beside = |name: &str| folder.path().join(name);
    assert_eq!(loaded.files, [beside("web.yml"), beside("a.crt"), PathBuf::from("/etc/a.key"), beside("ca/b.crt")]);
    assert!(loaded.result.unwrap_err().contains("a.crt: No such file"));
}

#[test]
fn a_user_is_named_where_the_hash_is_none() {
    let problem = refused("basic_auth_users: {ann: hush}");
    assert_eq!(problem, "basic_auth_users.ann: is not a bcrypt hash; `htpasswd -nBC 10 NAME` makes one");
    assert!(refused("basic_auth_users: {ann: }").starts_with("basic_auth_users.ann: "));
}

#[test]
fn a_file_that_unfolds_without_end_is_refused() {
    let mut text = "basic_auth_users:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for at in 1..12 {
        let before = vec![format!("*a{}", at - 1); 10].join(", ");
        text.push_str(&format!("  a{at}: &a{at} [{before}]\n"));
    }
    assert!(!refused(&text).is_empty());
    assert!(!refused(&"[".repeat(100_000)).is_empty());
    assert!(!refused(&format!("basic_auth_users: {}", "{a: ".repeat(100_000))).is_empty());
}

#[test]
fn what_is_no_file_and_what_is_too_large_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(load(folder.path(), &[]).result.unwrap_err(), "is not a file");
    let (_folder, loaded) = load_text(&"# long\n".repeat(200_000), &[]);
    assert_eq!(loaded.result.unwrap_err(), "is larger than 1024 KiB");
}
