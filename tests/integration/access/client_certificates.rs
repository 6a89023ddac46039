//! TLS, and which certificates of clients it takes.

use super::{Folder, TLS, curl};

#[tokio::test]
async fn with_tls_nothing_is_answered_without_it_nor_with_an_old_version_of_it() {
    let folder = Folder::with_certificates(TLS);
    let worker = folder.answering(&[]).await;
    let ca = folder.file("ca.crt");
    for path in ["/livez", "/metrics", "/"] {
        assert_eq!(curl("https", worker.address(), path, &["--cacert", &ca]).status, 200, "{path}");
        let refused = curl("http", worker.address(), path, &[]);
        assert_eq!(
            (refused.status, refused.text.trim_end()),
            (400, "Client sent an HTTP request to an HTTPS server."),
            "{path}"
        );
    }
    let of = |options: &[&str]| curl("https", worker.address(), "/livez", &[&["--cacert", &ca], options].concat());
    assert_eq!(of(&["--tls-max", "1.2"]).status, 200);
    assert_eq!(of(&["--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"]).status, 0);
    assert_eq!(of(&["--http2"]).status, 200, "a client that would like HTTP/2 gets HTTP/1.1");
}

#[tokio::test]
async fn tls_keeps_to_its_versions_suites_and_curves() {
    let more = "  min_version: TLS12\n  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n  \
                curve_preferences: [CurveP384]\n";
    let folder = Folder::with_certificates(&format!("{TLS}{more}"));
    let worker = folder.answering(&[]).await;
    let ca = folder.file("ca.crt");
    let of =
        |options: &[&str]| curl("https", worker.address(), "/livez", &[&["--cacert", &ca], options].concat()).status;
    assert_eq!(of(&[]), 200);
    assert_eq!(of(&["--tlsv1.3"]), 0);
    assert_eq!(of(&["--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"]), 0);
    assert_eq!(of(&["--curves", "X25519"]), 0);
    assert_eq!(of(&["--curves", "P-384:P-256", "--ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384"]), 200);
}

/// Caught, when seeded: a chain that is not verified.
#[tokio::test]
async fn each_policy_lets_in_the_certificates_that_it_says() {
    let ca = "  client_ca_file: ca.crt\n";
    let self_signed = "  client_ca_file: self.crt\n";
    let sans = |name: &str| format!("{ca}  client_allowed_sans: ['nobody.example', '{name}']\n");
    for (policy, more, let_in) in [
        ("NoClientCert", "", ["none", "client", "other", "self"].as_slice()),
        ("RequestClientCert", "", &["none", "client", "other", "self"]),
        ("RequireAnyClientCert", "", &["client", "other", "self"]),
        ("RequireClientCert", "", &["client", "other", "self"]),
        ("VerifyClientCertIfGiven", ca, &["none", "client"]),
        ("RequireAndVerifyClientCert", ca, &["client"]),
        // As `openssl req -x509` makes it.
        ("RequireAndVerifyClientCert", self_signed, &["self"]),
        ("RequireAndVerifyClientCert", &sans("scraper.example"), &["client"]),
        ("RequireAndVerifyClientCert", &sans("192.0.2.7"), &["client"]),
        ("RequireAndVerifyClientCert", &sans("ops@example.org"), &["client"]),
        ("RequireAndVerifyClientCert", &sans("spiffe://shop/scraper"), &["client"]),
        ("RequireAndVerifyClientCert", &sans("example"), &[]),
        ("VerifyClientCertIfGiven", &sans("example"), &["none"]),
    ] {
        let folder = Folder::with_certificates(&format!("{TLS}  client_auth_type: {policy}\n{more}"));
        let worker = folder.answering(&[]).await;
        let ca = folder.file("ca.crt");
        for shown in ["none", "client", "other", "self"] {
            let [certificate, key] = ["crt", "key"].map(|suffix| folder.file(&format!("{shown}.{suffix}")));
            let of_client = ["--cert", certificate.as_str(), "--key", &key];
            let with = if shown == "none" { &[][..] } else { &of_client };
            for version in ["1.2", "1.3"] {
                let options = [&["--cacert", &ca, "--tls-max", version], with].concat();
                let answer = curl("https", worker.address(), "/metrics", &options);
                let expected = if let_in.contains(&shown) { 200 } else { 0 };
                assert_eq!(answer.status, expected, "{policy} {more} {shown} TLS {version}: {}", answer.error);
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_may_stand_in_the_file_itself() {
    let folder = Folder::with_certificates("");
    let indented = |name: &str| {
        let pem = std::fs::read_to_string(folder.path(name)).expect("PEM");
        pem.lines().map(|line| format!("    {line}\n")).collect::<String>()
    };
    let (certificate, key) = (indented("server.crt"), indented("server.key"));
    folder.write("web.yml", &format!("tls_server_config:\n  cert: |\n{certificate}  key: |\n{key}"));
    let worker = folder.answering(&[]).await;
    let ca = folder.file("ca.crt");
    assert_eq!(curl("https", worker.address(), "/livez", &["--cacert", &ca]).status, 200);
}
