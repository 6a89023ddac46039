//! A variable's secret may be in a file, or be a credential of systemd. Needs no server.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use crate::support::worker::binary;

/// In each secret here, and nowhere in what is said.
const MARK: &str = "hush";

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes a file that its owner alone can read, and returns its path.
    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `config`: its exit code, and what it says.
    fn config(&self, words: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut command = binary(&[&["config"], words].concat());
        command.current_dir(self.0.path()).stdin(Stdio::null()).envs(variables.iter().copied());
        let output = command.output().expect("the binary starts");
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        assert!(!said.contains(MARK), "{said}");
        (output.status.code(), said)
    }

    /// Value and source of an option.
    fn shown(&self, option: &str, words: &[&str], variables: &[(&str, &str)]) -> String {
        let (code, said) = self.config(words, variables);
        assert_eq!(code, Some(0), "{said}");
        let line = said.lines().find(|line| line.split_whitespace().next() == Some(option)).unwrap();
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    }

    fn refusal(&self, words: &[&str], variables: &[(&str, &str)]) -> String {
        let (code, said) = self.config(words, variables);
        assert_eq!(code, Some(2), "{variables:?}: {said}");
        said
    }
}

const QUEUE: (&str, &str) = ("REDIS_URL", "redis://host");
const STORE: (&str, &str) = ("DATABASE_URL", "postgres://db/shop");

/// Caught, when seeded: variables that mean nothing.
#[test]
fn each_variable_of_a_secret_may_name_a_file_instead() {
    let place = Place::new();
    let redis = place.file("redis", "redis://clerk:hush@host/2\n");
    let postgres = place.file("postgres", "postgres://clerk:hush@db/shop\n");
    let hook = place.file("hook", "https://hooks.example/services/T0001/hush1\n");
    let password = place.file("password", "hu@sh-hush\n");
    for (variable, path, others, option, shown) in [
        ("FULFILLMENT_QUEUE_FILE", &redis, vec![STORE], "queue", "redis://clerk:***@host/2 {}"),
        ("REDIS_URL_FILE", &redis, vec![STORE], "queue", "redis://clerk:***@host/2 {}"),
        ("REDIS_PASSWORD_FILE", &password, vec![STORE, QUEUE], "queue", "redis://:***@host REDIS_URL, {}"),
        ("FULFILLMENT_STORE_FILE", &postgres, vec![QUEUE], "store", "postgres://clerk:***@db/shop {}"),
        ("DATABASE_URL_FILE", &postgres, vec![QUEUE], "store", "postgres://clerk:***@db/shop {}"),
        (
            "POSTGRES_PASSWORD_FILE",
            &password,
            vec![QUEUE, ("POSTGRES_HOST", "db")],
            "store",
            "postgres://postgres:***@db:5432/postgres POSTGRES_HOST, {}",
        ),
        ("PGPASSWORD_FILE", &password, vec![QUEUE, STORE], "store", "postgres://:***@db/shop DATABASE_URL, PGPASSWORD"),
        ("FULFILLMENT_FULFILLER_FILE", &hook, vec![QUEUE, STORE], "fulfiller", "https://hooks.example/services/*** {}"),
    ] {
        let variables = [&others[..], &[(variable, path.as_str())]].concat();
        let expected = shown.replace("{}", &format!("{variable}={path}"));
        assert_eq!(place.shown(option, &[], &variables), expected, "{variable}");
    }
}

#[test]
fn a_file_beside_its_variable_is_an_error_that_names_both() {
    let place = Place::new();
    let file = place.file("secret", "redis://:hush@host");
    for name in ["FULFILLMENT_QUEUE", "REDIS_URL", "DATABASE_URL", "POSTGRES_PASSWORD", "FULFILLMENT_FULFILLER"] {
        let both = format!("{name}_FILE");
        let said = place.refusal(&[], &[(name, "hush"), (&both, &file)]);
        assert!(said.contains(&format!("{name} and {name}_FILE are both set; keep one of them")), "{said}");
    }
    // One that counts less is not looked at, and an empty one counts as not set.
    let stronger = [("FULFILLMENT_QUEUE", "redis://a"), QUEUE, ("REDIS_URL_FILE", "/none"), STORE];
    assert_eq!(place.shown("queue", &[], &stronger), "redis://a FULFILLMENT_QUEUE");
    let empty = [QUEUE, ("REDIS_URL_FILE", ""), STORE];
    assert_eq!(place.shown("queue", &[], &empty), "redis://host REDIS_URL");
    let typed = ["--queue", "redis://typed"];
    assert_eq!(place.shown("queue", &typed, &[("REDIS_URL_FILE", "/none"), STORE]), "redis://typed command line");
}

#[test]
fn a_file_without_a_secret_is_an_error_that_names_variable_and_file() {
    let place = Place::new();
    std::fs::create_dir(place.path("folder")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    place.file("empty", "");
    place.file("blank", " \n");
    place.file("lines", "redis://:hush@host\n# hush\n");
    place.file("bytes", b"redis://:hush\xff@host");
    place.file("large", format!("redis://:hush@host/{}", "1".repeat(70_000)));
    place.file("wrong", "redis://:hush@ho st");
    for (name, problem) in [
        ("none", "No such file or directory (os error 2)"),
        ("folder", "is a folder"),
        ("pipe", "is empty"),
        ("empty", "is empty"),
        ("blank", "is empty"),
        ("lines", "holds more than one line"),
        ("bytes", "is not UTF-8"),
        ("large", "is longer than 65536 bytes"),
        ("wrong", "not a URL (invalid domain character)"),
    ] {
        let path = place.path(name).to_str().unwrap().to_owned();
        for variable in ["REDIS_URL_FILE", "FULFILLMENT_QUEUE_FILE"] {
            let said = place.refusal(&[], &[(variable, &path), STORE]);
            assert!(said.contains(&format!("{variable}={path}")) && said.contains(problem), "{name}: {said}");
        }
    }
}

/// A folder as systemd makes it for `LoadCredential=`.
#[test]
fn a_credential_counts_after_its_variables_and_before_what_counts_less() {
    let place = Place::new();
    let folder = place.path("credentials").to_str().unwrap().to_owned();
    let credentials = ("CREDENTIALS_DIRECTORY", folder.as_str());
    let queue = place.file("credentials/queue", "redis://:hush@credential\n");
    let shown = |variables: &[(&str, &str)]| place.shown("queue", &[], variables);
    assert_eq!(shown(&[credentials, STORE]), format!("redis://:***@credential credential {queue}"));
    assert_eq!(shown(&[credentials, STORE, QUEUE]), format!("redis://:***@credential credential {queue}"));
    let own = ("FULFILLMENT_QUEUE", "redis://own");
    assert_eq!(shown(&[credentials, STORE, own]), "redis://own FULFILLMENT_QUEUE");
    let own = place.file("own", "redis://file");
    let own = ("FULFILLMENT_QUEUE_FILE", own.as_str());
    assert_eq!(shown(&[credentials, STORE, own]), format!("redis://file FULFILLMENT_QUEUE_FILE={}", own.1));
    std::fs::remove_file(&queue).unwrap();
    assert_eq!(shown(&[credentials, STORE, QUEUE]), "redis://host REDIS_URL", "no such credential");

    let password = place.file("credentials/pgpassword", "hush\n");
    let store = place.shown("store", &[], &[credentials, QUEUE, STORE]);
    assert_eq!(store, "postgres://:***@db/shop DATABASE_URL, PGPASSWORD", "{password}");
    place.file("credentials/queue", "");
    let said = place.refusal(&[], &[credentials, STORE]);
    assert!(said.contains(&format!("credential {queue}: is empty")), "{said}");
}

#[test]
fn the_warehouses_token_and_signing_secrets_may_be_credentials() {
    let place = Place::new();
    let folder = place.path("credentials").to_str().unwrap().to_owned();
    let token = place.file("credentials/fulfiller-token", "hush-token\n");
    let secret = place.file("credentials/fulfiller-secret", "whsec_aHVzaC1maXJzdC1zZWNyZXQtb2YtdGhlLXRlc3Q=\n");
    let toml = place.file("worker.toml", "fulfiller-token = \"hush-of-the-file\"\n");
    let warehouse = ("FULFILLMENT_FULFILLER", "https://warehouse.example/");
    let some = [("CREDENTIALS_DIRECTORY", folder.as_str()), QUEUE, STORE, warehouse];
    let words = ["--config", toml.as_str()];
    assert_eq!(place.shown("fulfiller-token-file", &words, &some), format!("{token} credential {token}"));
    assert_eq!(place.shown("fulfiller-secret-file", &words, &some), format!("{secret} credential {secret}"));
    let variable = [&some[..], &[("FULFILLMENT_FULFILLER_TOKEN", "hush2")]].concat();
    assert_eq!(place.shown("fulfiller-token", &words, &variable), "*** FULFILLMENT_FULFILLER_TOKEN");
    let typed = [&words[..], &["--fulfiller-token", "hush3"]].concat();
    assert_eq!(place.shown("fulfiller-token", &typed, &some), "*** command line");
    place.file("credentials/fulfiller-token", "hush with blanks");
    let said = place.refusal(&words, &some);
    assert!(said.contains(&format!("credential {token}")) && said.contains("has blanks"), "{said}");
}

#[test]
fn who_else_can_read_a_secret_is_said() {
    let place = Place::new();
    let files = [
        ("REDIS_URL_FILE", place.file("queue", "redis://:hush@host\n")),
        ("FULFILLMENT_FULFILLER_TOKEN_FILE", place.file("token", "hush\n")),
        ("FULFILLMENT_CONFIG", place.file("worker.toml", "store = \"postgres://:hush@db/shop\"\n")),
    ];
    let variables: Vec<(&str, &str)> = files.iter().map(|(name, path)| (*name, path.as_str())).collect();
    let variables = [&variables[..], &[("FULFILLMENT_FULFILLER", "http://warehouse.example/")]].concat();
    let (code, said) = place.config(&[], &variables);
    assert!(code == Some(0) && !said.contains("others can"), "{said}");
    for ((_, path), name) in files.iter().zip(["REDIS_URL_FILE", "--fulfiller-token-file", "--config"]) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let (_, said) = place.config(&[], &variables);
        let warning = format!("others can read or change the secret in {path} ({name}), as its mode is 644; chmod 6");
        assert!(said.contains(&warning), "{said}");
    }
    let other = Place::new();
    let password = other.file("redis-password", "hush\n");
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o644)).unwrap();
    let credentials = Path::new(&password).parent().unwrap().to_str().unwrap();
    let (_, said) = other.config(&["--store", "sqlite:db"], &[("CREDENTIALS_DIRECTORY", credentials)]);
    assert!(said.contains(&format!("in {password} (credential for REDIS_PASSWORD), as its mode is 644")), "{said}");
    // Without a secret in it, anybody may read the file.
    std::fs::write(Path::new(&files[2].1), "store = \"postgres://db/shop\"\n").unwrap();
    let (_, said) = place.config(&[], &variables);
    assert!(!said.contains("(--config)"), "{said}");
}

#[test]
fn the_password_of_a_queue_fills_a_gap_and_replaces_nothing() {
    let place = Place::new();
    let password = ("REDIS_PASSWORD", "hu/sh@hush");
    for (url, shown) in [
        ("redis://host/1", "redis://:***@host/1 REDIS_URL, REDIS_PASSWORD"),
        ("rediss://clerk@host", "rediss://clerk:***@host REDIS_URL, REDIS_PASSWORD"),
        ("unix:///run/redis.sock?db=2", "redis+unix:///run/redis.sock?db=2 REDIS_URL, REDIS_PASSWORD"),
        ("redis://:own-hush@host", "redis://:***@host REDIS_URL"),
        ("redis://host?password=own-hush", "redis://:***@host REDIS_URL"),
        ("unix:///run/redis.sock?pass=own-hush", "redis+unix:///run/redis.sock REDIS_URL"),
    ] {
        assert_eq!(place.shown("queue", &[], &[("REDIS_URL", url), STORE, password]), shown);
    }
    let embedded = place.shown("queue", &["--store", "sqlite:a.db"], &[password]);
    assert!(embedded.starts_with("sqlite:a.db"), "{embedded}");
}
