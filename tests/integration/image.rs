//! The container image, as far as it can be tried without a container engine: the Dockerfile's own commands run in a folder
//! that has what `.dockerignore` leaves and the Dockerfile copies. `cargo` only plans there, as `make test` shall be fast;
//! with `IMAGE_BUILD=full` it builds, as scripts/check-image.sh wants it.

mod dockerfile;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use dockerfile::{Dockerfile, context};
use toml::Table;

use crate::support::process::Process;
use crate::support::{LONG, eventually, expect_equal};

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn dockerfile() -> Dockerfile {
    Dockerfile::parse(&fs::read_to_string(repository().join("Dockerfile")).expect("the Dockerfile"))
}

fn package() -> Table {
    let manifest: Table =
        fs::read_to_string(repository().join("Cargo.toml")).expect("a manifest").parse().expect("TOML");
    let mut package = manifest["package"].as_table().expect("package").clone();
    package.extend(manifest["workspace"]["package"].as_table().expect("workspace.package").clone());
    package
}

/// A command that runs as if nobody had started it from cargo.
fn shell(command: &str, folder: &Path) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).current_dir(folder);
    for (name, _) in env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_TARGET_"].iter().any(|own| name.to_string_lossy().starts_with(own))
        {
            shell.env_remove(name);
        }
    }
    shell
}

/// A `cargo` that notes how it was called, and plans the build without building: it reads every manifest and finds every
/// target and feature, which is where a build stops that lacks a file of these.
const PLANNING_CARGO: &str = r#"#!/bin/sh
echo "REVISION=$FULFILLMENT_WORKER_REVISION cargo $*" >>"$CALLS"
RUSTC_BOOTSTRAP=1 CARGO_NET_OFFLINE=true exec "$REAL_CARGO" "$@" -Z unstable-options --unit-graph >/dev/null
"#;

/// Goes through the first stage in `folder`, with `cargo` before the system's if there is one.
fn build_in(folder: &Path, given: &Path, planning: Option<&Path>) {
    for (instruction, rest) in &dockerfile().stages[0] {
        match instruction.as_str() {
            "COPY" => dockerfile::copy(rest, given, folder),
            // This machine has what the image installs.
            "RUN" if rest.contains("apt-get") => {}
            // It takes what was built.
            "RUN" if rest.contains("image-root.sh") && planning.is_some() => {}
            "RUN" => {
                let mut command = shell(rest, folder);
                command.env("REVISION", REVISION).env("REAL_CARGO", env!("CARGO"));
                if let Some(planning) = planning {
                    let path = format!("{}:{}", planning.display(), env::var("PATH").unwrap_or_default());
                    command.env("PATH", path).env("CALLS", planning.join("calls"));
                }
                let output = command.output().expect("a shell");
                assert!(output.status.success(), "RUN {rest}\n{}", String::from_utf8_lossy(&output.stderr));
            }
            "FROM" | "WORKDIR" | "ARG" => {}
            other => {
                panic!("the Dockerfile's first stage has a new instruction, which this test can't follow: {other}")
            }
        }
    }
}

/// What the compiler has read to build the libraries in this repository's binary, below its root.
fn sources() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_BIN_EXE_fulfillment-worker")).with_file_name("deps");
    let read: Vec<PathBuf> = ["fulfillment_worker", "fulfillment_warehouse"]
        .iter()
        .flat_map(|library| {
            let noted = newest_list(&folder, library);
            let of_library = noted.lines().find(|line| line.contains(".rlib: ")).expect("a library's list");
            let (_, read) = of_library.split_once(": ").expect("what it is made of");
            // Names with spaces come with backslashes; there are none here.
            read.split_whitespace().map(PathBuf::from).collect::<Vec<_>>()
        })
        .filter(|path| path.is_relative())
        .collect();
    assert!(read.contains(&PathBuf::from("src/lib.rs")), "{read:?}");
    read
}

/// The compiler's newest list of the files that a library is made of; that of its unit tests is another one.
fn newest_list(folder: &Path, library: &str) -> String {
    let entries = fs::read_dir(folder).expect("the folder of what is built").flatten();
    let lists = entries.filter(|entry| {
        let name = entry.file_name().into_string().unwrap_or_default();
        name.strip_prefix(library).is_some_and(|rest| rest.starts_with('-') && rest.ends_with(".d"))
    });
    let mut texts: Vec<_> = lists
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, fs::read_to_string(entry.path()).ok()?)))
        .filter(|(_, text)| text.contains(&format!("lib{library}-")) && text.contains(".rlib: "))
        .collect();
    texts.sort();
    texts.pop().unwrap_or_else(|| panic!("no list of {library} in {}", folder.display())).1
}

/// Caught, when seeded: the manifest of a package that is not copied; a `[[bench]]` without a path; `crates` missing in
/// `.dockerignore`; a file that is compiled in, and not copied.
#[test]
fn the_dockerfile_finds_everything_it_builds_from() {
    let work = tempfile::tempdir().expect("a folder");
    let [given, build, tools] = ["context", "build", "tools"].map(|name| work.path().join(name));
    for folder in [&given, &build, &tools] {
        fs::create_dir(folder).expect("a folder");
    }
    let cargo = tools.join("cargo");
    fs::write(&cargo, PLANNING_CARGO).expect("a script");
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("its mode");

    context(repository(), &given);
    build_in(&build, &given, Some(&tools));

    let calls = fs::read_to_string(tools.join("calls")).expect("cargo was called");
    let (dependencies, whole) = calls.trim_end().split_once('\n').expect("dependencies, then everything");
    assert!(dependencies.starts_with("REVISION= cargo build"), "dependencies are built anew for each commit: {calls}");
    assert!(whole.starts_with(&format!("REVISION={REVISION} cargo build")), "{calls}");
    for file in sources() {
        let (here, there) = (fs::read(repository().join(&file)), fs::read(build.join(&file)));
        assert!(
            here.is_ok_and(|here| there.is_ok_and(|there| here == there)),
            "{} is not in the image",
            file.display()
        );
    }
    // Cargo would not miss it.
    assert_eq!(repository().join("build.rs").exists(), build.join("build.rs").exists(), "build.rs is not in the image");
}

/// Minutes long, so only where it is asked for.
#[test]
fn the_dockerfile_builds_a_binary_that_starts() {
    if env::var_os("IMAGE_BUILD").is_none_or(|value| value != "full") {
        return;
    }
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image");
    let (given, build) = (work.join("context"), work.join("build"));
    let _ = fs::remove_dir_all(&given);
    fs::create_dir_all(&given).expect("a folder");
    fs::create_dir_all(&build).expect("a folder");
    // What cargo has built stays.
    for entry in fs::read_dir(&build).expect("a folder").flatten().filter(|entry| entry.file_name() != "target") {
        let path = entry.path();
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    context(repository(), &given);
    build_in(&build, &given, None);

    let binary = build.join("target/dist/fulfillment-worker");
    let size = Command::new(repository().join("scripts/image-size.sh")).arg(&binary).output().expect("the script");
    println!("{}", String::from_utf8_lossy(&size.stdout));
    assert!(size.status.success(), "{}", String::from_utf8_lossy(&size.stderr));
    let output =
        Command::new(&binary).arg("--version").output().unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
    assert!(output.status.success());
    let version = String::from_utf8_lossy(&output.stdout);
    assert!(version.contains(package()["version"].as_str().expect("a version")), "{version}");
}

#[test]
fn bases_are_named_by_digest_and_have_the_compiler_of_this_repository() {
    let bases: Vec<String> = dockerfile().stages.iter().map(|stage| stage[0].1.clone()).collect();
    assert_eq!(bases[1], "scratch", "another base needs a digest, and the C library of the first or a newer one");
    for base in &bases[..1] {
        let digest =
            base.split_whitespace().next().and_then(|image| image.split_once("@sha256:")).map(|(_, digest)| digest);
        let exact =
            digest.is_some_and(|digest| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(exact, "FROM {base} may be another image tomorrow");
    }
    let toolchain: Table =
        fs::read_to_string(repository().join("rust-toolchain.toml")).expect("it").parse().expect("TOML");
    let channel = toolchain["toolchain"]["channel"].as_str().expect("a channel");
    assert!(bases[0].starts_with(&format!("rust:{channel}-")), "{} is not Rust {channel}", bases[0]);
}

#[test]
fn labels_are_those_of_the_package() {
    let (package, labels) = (package(), dockerfile().labels());
    let of_package = |key: &str| package[key].as_str().expect("text").to_owned();
    let label = |name: &str| labels[&format!("org.opencontainers.image.{name}")].clone();
    assert_eq!(label("title"), of_package("name"));
    assert_eq!(label("description"), of_package("description"));
    assert_eq!(label("licenses"), of_package("license"));
    assert_eq!(label("version"), of_package("version"));
    assert_eq!((label("revision"), label("created")), ("$REVISION".to_owned(), "$CREATED".to_owned()));
}

#[test]
fn the_image_has_what_health_checks_call() {
    let dockerfile = dockerfile();
    let said = |instruction: &str, what: &dyn Fn(&str) -> bool| {
        dockerfile.stages[1].iter().any(|(name, rest)| name == instruction && what(rest))
    };
    assert!(said("HEALTHCHECK", &|rest| rest.ends_with(r#"CMD ["fulfillment-worker", "healthcheck"]"#)));
    assert!(
        said("COPY", &|rest| rest == "--from=build /build/rootfs/ /"),
        "no wget, which existing compose files call"
    );
    assert!(said("USER", &|rest| rest == "10001") && said("STOPSIGNAL", &|rest| rest == "SIGTERM"));
}

/// The image's files as `scripts/image-root.sh` makes them, with the worker of the tests: it runs in there, and answers what
/// existing health checks ask.
///
/// Caught, when seeded: a library that is left out, no `wget`, no link `sh`.
#[tokio::test]
async fn the_worker_runs_among_the_images_files_alone_and_health_checks_reach_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    let program = env!("CARGO_BIN_EXE_fulfillment-worker");
    let made =
        Command::new(repository().join("scripts/image-root.sh")).arg(program).arg(&root).output().expect("the script");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::copy(program, root.join("usr/local/bin/fulfillment-worker")).expect("the worker");
    let listen = format!("127.0.0.1:{}", crate::support::free_port());
    let inside = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "chroot"]).arg(&root).args(arguments);
        command.env_clear().envs([("PATH", "/usr/local/bin:/bin:/usr/sbin:/usr/bin"), ("FULFILLMENT_LISTEN", &listen)]);
        command
    };
    let run = ["fulfillment-worker", "run", "--queue", "sqlite:/tmp/db", "--store", "sqlite:/tmp/db"];
    let _worker = Process::start("the worker", inside(&run), folder.path().join("log"));
    let probe = format!("wget -qO- http://{listen}/health");
    eventually(LONG, "the health check of a compose file", async || {
        let output = inside(&["sh", "-c", &probe]).output().expect("unshare");
        let told = [output.stdout, output.stderr].concat();
        expect_equal(String::from_utf8_lossy(&told).trim(), "ok")
    })
    .await;
    let own = inside(&["fulfillment-worker", "healthcheck", "--url", &format!("http://{listen}/livez")])
        .output()
        .expect("unshare");
    assert!(own.status.success(), "{own:?}");
    assert!(root.join("etc/ssl/certs/ca-certificates.crt").metadata().is_ok_and(|found| found.len() > 100_000));
    let passwd = fs::read_to_string(root.join("etc/passwd")).expect("users");
    assert!(passwd.contains(":10001:10001:") && !root.join("usr/bin").exists(), "nothing that installs anything");
}
