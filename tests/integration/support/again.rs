//! A test in a process of its own: what belongs to a whole process, such as its log, its variables or its death, is not
//! shared with the other tests.

use std::process::{Command, Output};

/// Runs this binary's test of that name, ignored or not, as a process of its own. What tells it that it is the inner one,
/// and what it is to do, goes into its environment.
pub(crate) fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the path of these tests"));
    command.args(["--exact", test, "--include-ignored", "--nocapture"]);
    command
}

/// # Panics
/// If the inner test failed, or if there is none of its name.
pub(crate) fn assert_passed(output: &Output) {
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success() && said[0].contains("1 passed"), "{}{}", said[0], said[1]);
}
