//! A batch in which one bad row never fails its neighbours.

use rusqlite::{Connection, Error, ErrorCode};

use crate::backend::sqlite::database::execute;

/// Does `step` for each item and answers by position; an item that the database refuses is answered by `refused` with
/// the reason, and leaves nothing behind.
///
/// Batches are done without a savepoint per row at first, as nearly all are good. If a row is refused, the whole batch
/// is undone and done again with one: `step` must do the same each time.
pub(super) fn row_by_row<I, T>(
    connection: &Connection,
    items: &[I],
    refused: impl Fn(String) -> T,
    mut step: impl FnMut(&I) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    execute(connection, "SAVEPOINT batch")?;
    let answers = match items.iter().map(&mut step).collect::<rusqlite::Result<Vec<T>>>() {
        Err(error) if is_about_the_row(&error) => {
            execute(connection, "ROLLBACK TO batch")?;
            items.iter().map(|item| guarded(connection, item, &refused, &mut step)).collect()
        }
        answers => answers,
    };
    execute(connection, "RELEASE batch")?;
    answers
}

fn guarded<I, T>(
    connection: &Connection,
    item: &I,
    refused: impl Fn(String) -> T,
    mut step: impl FnMut(&I) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    execute(connection, "SAVEPOINT single")?;
    let answer = match step(item) {
        Err(error) if is_about_the_row(&error) => {
            execute(connection, "ROLLBACK TO single")?;
            Ok(refused(reason(&error)))
        }
        answer => answer,
    };
    execute(connection, "RELEASE single")?;
    answer
}

/// Whether an error comes from a row's values, or from a constraint or trigger that judges them, and not from the
/// statement or the file, which would fail every row.
fn is_about_the_row(error: &Error) -> bool {
    match error {
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::StatementChangedRows(_)
        | Error::Utf8Error(..) => true,
        other => matches!(
            other.sqlite_error_code(),
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
        ),
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::StatementChangedRows(_) => "the row stays as it is: does a trigger on it suppress updates?".to_owned(),
        other => other.to_string(),
    }
}
