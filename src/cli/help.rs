//! Help as it is typed. clap breaks the lines of help at the spaces where the terminal ends; a command that is to be
//! copied must stay in one piece. Its spaces are no-break spaces until they are printed.

use clap::Command;

const NO_BREAK_SPACE: &str = "\u{a0}";

/// `command` with examples that clap does not wrap, those of its subcommands included.
pub(super) fn keep_examples(command: Command) -> Command {
    let examples = command.get_after_long_help().map(|text| text.to_string().replace(' ', NO_BREAK_SPACE));
    let command = command.mut_subcommands(keep_examples);
    match examples {
        Some(examples) => command.after_long_help(examples),
        None => command,
    }
}

/// `help` of such a command, as it was typed.
pub(super) fn as_typed(help: &str) -> String {
    help.replace(NO_BREAK_SPACE, " ")
}
