//! The fields of a line of text, without what a terminal would act on.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

use crate::domain::text;

/// As a backtrace has them, line ends stay in this field alone.
const OF_SEVERAL_LINES: &str = "backtrace";

/// The message, then each field as `name=value`, its name in italics where lines have colours.
pub(super) struct ShownFields;

impl<'w> FormatFields<'w> for ShownFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Shown { writer, is_empty: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Shown<'w> {
    writer: Writer<'w>,
    is_empty: bool,
    result: fmt::Result,
}

impl Shown<'_> {
    fn write(&mut self, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
        if !std::mem::take(&mut self.is_empty) {
            self.writer.write_char(' ')?;
        }
        let value = format!("{value:?}");
        match field.name() {
            "message" => self.writer.write_str(&text::line(&value)),
            name => {
                let (italic, dimmed, plain) =
                    if self.writer.has_ansi_escapes() { ("\u{1b}[3m", "\u{1b}[2m", "\u{1b}[0m") } else { ("", "", "") };
                let value = if name == OF_SEVERAL_LINES { text::lines(&value) } else { text::line(&value) };
                write!(self.writer, "{italic}{name}{plain}{dimmed}={plain}{value}")
            }
        }
    }
}

impl Visit for Shown<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.result.is_ok() {
            self.result = self.write(field, value);
        }
    }
}
