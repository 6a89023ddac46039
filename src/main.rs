//! Parse, run, exit code.

use std::process::ExitCode;

// Returns memory to the system sooner than glibc's allocator does, and can be asked how much it holds.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    fulfillment_worker::main()
}
