//! How much a job is about.

/// What a selection comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// How many match.
    pub matching: u64,
    /// The greatest id among them; 0 if there is none.
    pub up_to: i64,
    /// Whether there are more, as counting was taking long.
    pub is_partial: bool,
}
