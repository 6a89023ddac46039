//! A web configuration that can't be used is found at the start, and by `config`.

use std::process::Output;

use super::{Folder, curl, users};
use crate::support::worker::binary;

fn ended(command: &str, folder: &Folder, options: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let given = [&[command, "--store", "sqlite:w.db", "--listen", "127.0.0.1:0"], options].concat();
    let mut binary = binary(&given);
    binary.current_dir(folder.path("")).envs(environment.iter().copied());
    let Output { status, stderr, .. } = binary.output().expect("the binary starts");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn a_bad_file_ends_run_and_config_with_code_2_and_names_file_and_line_or_field() {
    let folder = Folder::with("");
    let hash = users(&["ann"]);
    for (text, problem) in [
        ("basic_auth_users:\n  ann: hush\n", "--web-config: web.yml: basic_auth_users.ann: is not a bcrypt hash"),
        ("tls_server_config:\n  cert_fils: a\n", "--web-config: web.yml: line 2: "),
        ("tls_server_config: {cert_file: no.crt, key_file: no.key}", "cert_file no.crt: No such file"),
        (hash.as_str(), "--operators: `bob` is no user in web.yml; there are: ann"),
    ] {
        folder.write("web.yml", text);
        for command in ["run", "config"] {
            let (code, said) = ended(command, &folder, &["--web-config", "web.yml", "--operators", "ann,bob"], &[]);
            assert_eq!(code, Some(2), "{command}: {said}");
            assert!(said.contains(problem), "{command}: {said}");
            assert!(!said.contains("hush"), "{said}");
        }
    }
    let (code, said) = ended("config", &folder, &["--web-config", "missing.yml"], &[]);
    assert_eq!(code, Some(2));
    assert!(said.contains("--web-config: missing.yml: No such file"), "{said}");
    let (code, said) = ended("config", &folder, &["--operators", "ann"], &[]);
    assert_eq!((code, said.trim()), (Some(2), "error: --operators: needs --web-config with these users"));
}

#[test]
fn the_file_can_be_named_as_prometheus_does_and_by_variable() {
    let folder = Folder::with("basic_auth_users:\n  ann: hush\n");
    for (options, environment) in [
        (&["--web.config.file=web.yml"][..], &[][..]),
        (&["--web.config.file", "web.yml"], &[]),
        (&[], &[("FULFILLMENT_WEB_CONFIG", "web.yml")]),
    ] {
        let (code, said) = ended("config", &folder, options, environment);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("basic_auth_users.ann"), "{said}");
    }
}

#[test]
fn config_notes_what_can_not_be_had() {
    let folder = Folder::with("tls_server_config: {min_version: TLS11}");
    let (code, said) = ended("config", &folder, &["--web-config", "web.yml"], &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("note: web.yml: min_version: TLS 1.0 and 1.1 can't be had"), "{said}");
}

#[test]
fn a_key_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::with_certificates(super::TLS);
    for (mode, warned) in [(0o600, false), (0o644, true)] {
        let key = folder.path("server.key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).expect("its mode");
        let (code, said) = ended("config", &folder, &["--web-config", "web.yml"], &[]);
        assert_eq!(code, Some(0), "{said}");
        let warning =
            "note: web.yml: others can read or change the secret in server.key (key_file), as its mode is 644; chmod 6";
        assert_eq!(said.contains(warning), warned, "{mode:o}: {said}");
    }
}

/// The first block of docs/OBSERVABILITY.md that names users, with its password.
#[tokio::test]
async fn the_example_in_the_documentation_works() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OBSERVABILITY.md")).expect("the page");
    let blocks = page.split("```yaml\n").skip(1).filter_map(|block| block.split("```").next());
    let example = blocks.clone().find(|block| block.contains("basic_auth_users")).expect("the example");
    let folder = Folder::with_certificates(example);
    for suffix in ["crt", "key"] {
        let [made, named] = ["server", "worker"].map(|name| folder.path(&format!("{name}.{suffix}")));
        std::fs::rename(made, named).expect("a certificate by the name of the example");
    }
    let worker = folder.answering(&["--operators", "ann"]).await;
    let ca = folder.file("ca.crt");
    let options = ["--cacert", &ca, "--user", "ann:change me", "--request", "PUT", "--data", "info"];
    assert_eq!(curl("https", worker.address(), "/log", &options).status, 200);
}
