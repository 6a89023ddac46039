//! Parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    fulfillment_worker::main()
}
