//! The Python that `scripts/install-python.sh` makes, with the packages of `tests/python/requirements.txt`.

use std::path::PathBuf;
use std::process::Command;

/// Its interpreter, without arguments yet.
///
/// # Panics
/// When it is not there, saying how to get it.
pub(crate) fn python() -> Command {
    let path = std::env::var_os("TEST_PYTHON").map(PathBuf::from);
    match path {
        Some(path) if path.is_file() => Command::new(path),
        Some(path) => panic!("TEST_PYTHON: no {}; run scripts/install-python.sh", path.display()),
        None => panic!("TEST_PYTHON is not set; run scripts/with-servers.sh cargo test, or make test"),
    }
}
