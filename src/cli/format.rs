//! How a command's result is printed: `--output`.

use clap::{Args, ValueEnum};

use super::output;

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns that fit the terminal
    Table,
    /// All columns, as wide as they are
    Wide,
    /// One line of JSON
    Json,
}

#[derive(Debug, Args)]
pub(super) struct FormatOptions {
    /// How the result is printed
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,

    /// Print one line of JSON, as `--output json` does
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

impl FormatOptions {
    pub(super) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }

    pub(super) fn is_json(&self) -> bool {
        self.format() == Format::Json
    }

    /// Where lines of a table are cut.
    pub(super) fn columns(&self) -> Option<usize> {
        output::columns().filter(|_| self.format() != Format::Wide)
    }
}
