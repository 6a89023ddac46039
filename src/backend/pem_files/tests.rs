use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use super::*;

const EC: &str = "-nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1";

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output().expect("openssl");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Files of a certificate `NAME.crt` and its key `NAME.key`, as authority and client.
fn files(folder: &Path, name: &str) -> PemFiles {
    let named = |name, file: String| Named { name, path: folder.join(file) };
    PemFiles {
        authorities: Some(named("--ca", format!("{name}.crt"))),
        client: Some((named("--certificate", format!("{name}.crt")), named("--private-key", format!("{name}.key")))),
        refuses_open_keys: true,
    }
}

fn make(folder: &Path, name: &str) {
    openssl(folder, &format!("req -x509 {EC} -days 2 -keyout {name}.key -out {name}.crt -subj /CN={name}"));
}

fn used(files: &PemFiles) -> Result<(), String> {
    let contents = files.read()?;
    contents.authorities()?;
    contents.client().map(drop)
}

#[test]
fn a_file_that_can_not_be_used_is_named_with_what_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    make(path, "one");
    make(path, "other");
    assert_eq!(used(&files(path, "one")), Ok(()));
    openssl(path, "pkey -in one.key -aes256 -passout pass:hush -out locked.key");
    openssl(path, "genrsa -out rsa.key 2048");
    openssl(path, "rsa -in rsa.key -traditional -aes256 -passout pass:hush -out old.key");
    openssl(path, "x509 -in one.crt -outform DER -out der.crt");
    openssl(path, "pkey -in one.key -outform DER -out der.key");
    for (file, bytes) in
        [("empty", &b""[..]), ("broken", b"-----BEGIN CERTIFICATE-----\n!hush!\n-----END CERTIFICATE-----\n")]
    {
        std::fs::write(path.join(file), bytes).unwrap();
    }
    std::fs::write(path.join("large"), vec![b' '; 1024 * 1024 + 1]).unwrap();
    for file in std::fs::read_dir(path).unwrap() {
        std::fs::set_permissions(file.unwrap().path(), Permissions::from_mode(0o600)).unwrap();
    }
    let with = |change: &dyn Fn(&mut PemFiles)| {
        let mut files = files(path, "one");
        change(&mut files);
        used(&files).unwrap_err()
    };
    for (file, says) in [
        ("nowhere", "No such file"),
        ("", "is no file"),
        ("empty", "holds no certificate in PEM form"),
        ("one.key", "holds no certificate in PEM form"),
        ("der.crt", "holds no certificate in PEM form"),
        ("broken", "is not well-formed PEM"),
        ("large", "larger than 1 MiB"),
    ] {
        let problem = with(&|files| files.authorities.as_mut().unwrap().path = path.join(file));
        assert!(
            problem.starts_with("--ca: /") && problem.contains(says) && !problem.contains("hush"),
            "{file}: {problem}"
        );
        let problem = with(&|files| files.client.as_mut().unwrap().0.path = path.join(file));
        assert!(problem.starts_with("--certificate: /") && problem.contains(says), "{file}: {problem}");
    }
    for (file, says) in [
        ("nowhere", "No such file"),
        ("empty", "holds no private key in PEM form"),
        ("one.crt", "holds no private key in PEM form"),
        ("der.key", "holds no private key in PEM form"),
        ("locked.key", "behind a passphrase"),
        ("old.key", "behind a passphrase"),
        ("other.key", "is not the key of the certificate in /"),
    ] {
        let problem = with(&|files| files.client.as_mut().unwrap().1.path = path.join(file));
        assert!(problem.starts_with("--private-key: /") && problem.contains(says), "{file}: {problem}");
    }
}

#[test]
fn certificate_and_key_may_stand_in_one_file() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), "one");
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    for order in [["one.key", "one.crt"], ["one.crt", "one.key"]] {
        let both = folder.path().join("both.pem");
        std::fs::write(&both, order.map(read).concat()).unwrap();
        std::fs::set_permissions(&both, Permissions::from_mode(0o600)).unwrap();
        let mut files = files(folder.path(), "one");
        let named = |name| Named { name, path: both.clone() };
        files = PemFiles { authorities: Some(named("a")), client: Some((named("b"), named("c"))), ..files };
        assert_eq!(used(&files), Ok(()));
    }
}

/// As root, whose files the group may read, as libpq has it.
#[test]
fn a_key_that_others_can_read_is_refused_where_libpq_refuses_it() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), "one");
    let key = folder.path().join("one.key");
    let owner = std::fs::metadata(&key).unwrap().uid();
    for (mode, with_root) in
        [(0o600, true), (0o400, true), (0o640, owner == 0), (0o660, false), (0o644, false), (0o601, false)]
    {
        std::fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        let problem = used(&files(folder.path(), "one"));
        assert_eq!(problem.is_ok(), with_root, "{mode:o}: {problem:?}");
        assert_eq!(used(&PemFiles { refuses_open_keys: false, ..files(folder.path(), "one") }), Ok(()));
    }
}

/// As certificates are renewed: the certificate first and then its key, or both by a link that is moved.
#[tokio::test]
async fn what_was_renewed_counts_and_what_can_not_be_used_leaves_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    make(path, "one");
    let first = std::fs::read(path.join("one.crt")).unwrap();
    let all = |contents: &PemContents| {
        contents.client()?;
        Ok(contents.authorities_pem().unwrap().to_vec())
    };
    let reloaded = Arc::new(Reloaded::new(files(path, "one"), all).unwrap());
    assert_eq!(*reloaded.current().await, first);
    make(path, "new");
    std::fs::rename(path.join("new.crt"), path.join("one.crt")).unwrap();
    assert_eq!(*reloaded.current().await, first, "the key is still that of the old one");
    let problem = reloaded.latest.lock().problem.clone().unwrap();
    assert!(problem.contains("is not the key of"), "{problem}");
    std::fs::rename(path.join("new.key"), path.join("one.key")).unwrap();
    assert_ne!(*reloaded.current().await, first);
    assert_eq!(reloaded.latest.lock().problem, None);
    let second = reloaded.current().await;
    std::fs::remove_file(path.join("one.crt")).unwrap();
    assert_eq!(reloaded.current().await, second);
    assert!(reloaded.latest.lock().problem.clone().unwrap().contains("No such file"));
}
