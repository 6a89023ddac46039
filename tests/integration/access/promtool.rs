//! The web configuration is Prometheus' own: promtool and the worker agree about files.

use std::process::Command;

use super::{Folder, TLS, users};
use crate::support::worker::binary;

/// Whether `promtool check web-config` takes the file.
fn promtool_takes(file: &str) -> bool {
    let output = Command::new("promtool").args(["check", "web-config", file]).output();
    output.expect("promtool; run scripts/install-packages.sh").status.success()
}

/// Whether `config` does, and what it says.
fn worker_takes(file: &str) -> (bool, String) {
    let given = ["config", "--store", "sqlite:w.db", "--web-config", file];
    let output = binary(&given).output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!([Some(0), Some(2)].contains(&output.status.code()), "{said}");
    (output.status.success(), said)
}

/// Caught, when seeded: unknown sections that are ignored.
#[test]
fn promtool_and_the_worker_take_and_refuse_the_same_files() {
    let folder = Folder::with_certificates("");
    let of = |section: &str| format!("tls_server_config: {{cert_file: server.crt, key_file: server.key, {section}}}\n");
    let headers = |headers: &str| format!("http_server_config: {{headers: {{{headers}}}}}\n");
    let hash = users(&["ann"]);
    let hash = hash.trim().rsplit_once(": ").expect("a hash").1;
    let suites = "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA]";
    let good = [
        String::new(),
        "# nothing\n".to_owned(),
        "tls_server_config:\nbasic_auth_users:\n".to_owned(),
        TLS.to_owned(),
        users(&["ann", "bob"]),
        format!("{TLS}{}", users(&["ann"])),
        of("client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt"),
        of("client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.crt"),
        of("client_auth_type: RequireAnyClientCert"),
        of("client_auth_type: RequireClientCert"),
        of("client_auth_type: RequestClientCert"),
        of("client_auth_type: NoClientCert"),
        of("client_auth_type: ''"),
        of("min_version: TLS13"),
        of("min_version: TLS10, max_version: TLS13"),
        of("curve_preferences: [X25519, CurveP256, CurveP384, CurveP521]"),
        of(suites),
        of("cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_GCM_SHA256]"),
        of("prefer_server_cipher_suites: false"),
        format!("tls_server_config: {{cert_file: '{}', key_file: server.key}}\n", folder.file("server.crt")),
        "tls_server_config: {min_version: TLS12}\n".to_owned(),
        "http_server_config: {http2: false}\n".to_owned(),
        "http_server_config: {http2: on}\n".to_owned(),
        headers("X-Frame-Options: sameorigin, X-Content-Type-Options: nosniff, X-XSS-Protection: 1"),
        headers("Strict-Transport-Security: max-age=31536000, Content-Security-Policy: \"default-src 'self'\""),
        format!("basic_auth_users: {{1: '{hash}', 'ann b': '{hash}'}}\n"),
        format!("basic_auth_users: {{ann: &hash '{hash}', bob: *hash}}\n"),
    ];
    let bad = [
        "hWkNKCp3fvIx3jKnsaBI\n".to_owned(),
        "- a\n".to_owned(),
        "operators: [ann]\n".to_owned(),
        "tls_server_config: {cert_fils: server.crt}\n".to_owned(),
        "TLS_server_config: {}\n".to_owned(),
        "tls_server_config: {cert_file: server.crt}\n".to_owned(),
        "tls_server_config: {key_file: server.key}\n".to_owned(),
        "tls_server_config: {cert_file: '', key_file: server.key}\n".to_owned(),
        "tls_server_config: {cert_file: missing.crt, key_file: server.key}\n".to_owned(),
        "tls_server_config: {cert_file: server.crt, key_file: client.key}\n".to_owned(),
        "tls_server_config: {cert_file: server.key, key_file: server.crt}\n".to_owned(),
        "tls_server_config: {client_auth_type: RequireAnyClientCert}\n".to_owned(),
        of("client_auth_type: Sometimes"),
        of("client_auth_type: requireanyclientcert"),
        of("client_ca_file: ca.crt"),
        of("client_auth_type: RequireAndVerifyClientCert, client_ca_file: missing.crt"),
        of("min_version: TLS14"),
        of("min_version: 1.2"),
        of("max_version: SSL30"),
        of("curve_preferences: [CurveP999]"),
        of("curve_preferences: X25519"),
        of("cipher_suites: [TLS_INVENTED]"),
        of("prefer_server_cipher_suites: perhaps"),
        "http_server_config: {http2: perhaps}\n".to_owned(),
        headers("Server: x"),
        headers("x-frame-options: deny"),
        headers("X-Frame-Options: DENY"),
        headers("X-Content-Type-Options: ''"),
        "basic_auth_users: {ann: doe}\n".to_owned(),
        "basic_auth_users: {ann: }\n".to_owned(),
        "basic_auth_users: [ann]\n".to_owned(),
        format!("basic_auth_users:\n  ann: {hash}\n  ann: {hash}\n"),
        format!("basic_auth_users:\n  ann: {hash}\n bob: {hash}\n"),
        format!("basic_auth_users: {{ann: {}}}\n", &hash[..50]),
    ];
    for (is_good, files) in [(true, &good[..]), (false, &bad)] {
        for text in files {
            folder.write("web.yml", text);
            let (is_taken, said) = worker_takes(&folder.file("web.yml"));
            assert_eq!(promtool_takes(&folder.file("web.yml")), is_good, "promtool: {text}");
            assert_eq!(is_taken, is_good, "{text}{said}");
        }
    }
}
