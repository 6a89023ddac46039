//! Which release a binary is of: this one, or the one before, which `scripts/previous-release.sh` builds.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

const VARIABLE: &str = "PREVIOUS_RELEASE";

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Version {
    This,
    Previous,
}

impl Version {
    /// The other one.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::This => Self::Previous,
            Self::Previous => Self::This,
        }
    }

    /// Its program.
    ///
    /// # Panics
    /// For the release before, where nothing says where it is.
    pub(crate) fn program(self) -> OsString {
        match self {
            Self::This => env!("CARGO_BIN_EXE_fulfillment-worker").into(),
            Self::Previous => previous()
                .unwrap_or_else(|| panic!("set {VARIABLE}=\"$(scripts/previous-release.sh)\""))
                .into_os_string(),
        }
    }

    /// Its number, such as `0.1.0`.
    pub(crate) fn number(self) -> String {
        static PREVIOUS: LazyLock<String> = LazyLock::new(|| {
            let output =
                Command::new(Version::Previous.program()).arg("--version").output().expect("the binary starts");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.split(' ').nth(1).unwrap_or_else(|| panic!("{VARIABLE} says of its version: {text}")).to_owned()
        });
        match self {
            Self::This => env!("CARGO_PKG_VERSION").to_owned(),
            Self::Previous => PREVIOUS.clone(),
        }
    }
}

/// The binary of the release before, if there is one.
pub(crate) fn previous() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}
