//! The link that `demo` prints.

use std::net::SocketAddr;

use super::curl;
use crate::support::process::Process;
use crate::support::worker::binary;
use crate::support::{LONG, eventually, free_port};

struct Demo {
    process: Process,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Demo {
    fn start(listen: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address: SocketAddr = format!("127.0.0.1:{}", free_port()).parse().expect("an address");
        let listen = format!("{listen}:{}", address.port());
        let mut command = binary(&["demo", "--rate", "1", "--log", "trace", "--listen", &listen]);
        command.current_dir(folder.path()).env("TMPDIR", folder.path());
        let process = Process::start("demo", command, folder.path().join("output.log"));
        Self { process, address, folder }
    }

    /// The path of the page's link, once it is printed.
    async fn link(&self) -> String {
        eventually(LONG, "the link is printed", async || {
            let output = self.process.output();
            let line = output.lines().find_map(|line| line.strip_prefix("Page     http://")).map(str::to_owned);
            line.and_then(|line| Some(format!("/{}", line.split_once('/')?.1))).ok_or(output)
        })
        .await
    }
}

/// Caught, when seeded: a token that is good twice.
#[tokio::test]
async fn the_link_of_the_demo_lets_the_first_browser_that_opens_it_change_the_worker() {
    let demo = Demo::start("127.0.0.1");
    let link = demo.link().await;
    let token = link.strip_prefix("/?token=").unwrap_or_else(|| panic!("{link}"));
    assert!(token.len() >= 32, "{token}");
    let jar = demo.folder.path().join("cookies").display().to_string();
    let with_cookies = ["--cookie", jar.as_str(), "--cookie-jar", &jar];
    let change = ["--request", "PUT", "--data", "info"];
    assert_eq!(curl("http", demo.address, "/log", &[&with_cookies[..], &change].concat()).status, 403);

    let opened = curl("http", demo.address, &link, &[&with_cookies[..], &["--include"]].concat());
    assert_eq!(opened.status, 303, "{}", opened.text);
    let head = opened.text.to_ascii_lowercase();
    assert!(head.contains("location: /\r\n") && head.contains("referrer-policy: no-referrer"), "{head}");
    assert!(head.contains("; httponly; samesite=strict"), "{head}");

    let elsewhere = curl("http", demo.address, &link, &[]);
    assert_eq!(elsewhere.status, 403, "used up: {}", elsewhere.text);
    assert_eq!(curl("http", demo.address, "/", &with_cookies).status, 200);
    let changed = curl("http", demo.address, "/log", &[&with_cookies[..], &change].concat());
    assert!(changed.text.starts_with("info (PUT /log by the session of 127.0.0.1:"), "{}", changed.text);

    let output = demo.process.output();
    assert_eq!(output.matches(token).count(), 1, "the token stands in the link alone: {output}");
}

#[tokio::test]
async fn a_demo_that_others_can_reach_gives_no_rights() {
    let demo = Demo::start("0.0.0.0");
    assert_eq!(demo.link().await, "/");
    let change = ["--request", "PUT", "--data", "info"];
    assert_eq!(curl("http", demo.address, "/log", &change).status, 403);
    assert_eq!(curl("http", demo.address, "/?token=x", &[]).status, 200);
}
