//! A real Prometheus scrapes the worker over TLS, with a certificate and a password.

use super::{Folder, TLS, users};
use crate::support::prometheus::{Prometheus, value};
use crate::support::{LONG, eventually, expect_equal};

/// As docs/OBSERVABILITY.md shows it.
const CONFIGURATION: &str = "\
global:
  scrape_interval: 500ms
  scrape_timeout: 500ms
scrape_configs:
  - job_name: fulfillment-worker
    scheme: https
    basic_auth:
      username: prometheus
      password: PASSWORD
    tls_config:
      ca_file: FOLDER/ca.crt
      cert_file: FOLDER/client.crt
      key_file: FOLDER/client.key
    static_configs:
      - targets: ['TARGET']
";

#[tokio::test]
async fn prometheus_scrapes_with_a_certificate_and_a_password_and_not_without() {
    let policy = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";
    let folder = Folder::with_certificates(&format!("{TLS}{policy}{}", users(&["prometheus"])));
    let worker = folder.answering(&[]).await;
    let configuration = CONFIGURATION
        .replace("TARGET", &worker.address().to_string())
        .replace("FOLDER", folder.file("").trim_end_matches('/'));
    let up = async |configuration: &str, expected: f64| {
        let prometheus = Prometheus::start_with(configuration, &[]);
        eventually(LONG, "the target is scraped", async || {
            let up = prometheus.query("up{job=\"fulfillment-worker\"}")?;
            expect_equal(up.iter().map(value).collect::<Vec<_>>(), vec![expected])
        })
        .await;
    };
    up(&configuration.replace("PASSWORD", "prometheus's"), 1.0).await;
    up(&configuration.replace("PASSWORD", "guess"), 0.0).await;
}
