//! A real browser.

use std::process::Command;

/// What is on the page at `url` once it has run for five seconds of its own time, which stands still while an answer is awaited.
pub(crate) fn shown(url: &str) -> String {
    let profile = tempfile::tempdir().expect("a folder");
    let output = Command::new("timeout")
        .args([
            "60",
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=5000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .output()
        .expect("Chromium, which scripts/install-packages.sh installs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}
