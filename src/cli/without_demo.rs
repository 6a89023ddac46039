//! What `demo` and `warehouse` say in a build without the feature `demo`.

use std::ffi::OsString;

use clap::Args;

use super::failure::Failure;

/// Not in this build, which lacks the feature `demo`
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[arg(hide = true, allow_hyphen_values = true, trailing_var_arg = true)]
    ignored: Vec<OsString>,
}

pub(super) async fn lacking(_: Arguments) -> Result<(), Failure> {
    Err(Failure::Usage("this build lacks the feature `demo`, which this command needs".to_owned()))
}

pub(super) mod demo {
    pub(in crate::cli) use super::{Arguments, lacking as demo};
}

pub(super) mod warehouse {
    pub(in crate::cli) use super::{Arguments, lacking as warehouse};
}
