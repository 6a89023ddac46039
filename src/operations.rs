//! What people do to orders, and how it is put in words.

pub mod hand_back;
pub mod import;
pub mod overdue;
pub mod redrive;
pub mod verify;

/// `1 order`, `2 orders`.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
