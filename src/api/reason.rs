//! Reasons of dead letters, as the description has them.

use serde::Serialize;
use utoipa::ToSchema;

/// Why a message ended in the dead letters.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "names the values; `DeadReason` reads them")]
pub(super) enum Reason {
    InvalidMessage,
    UnknownOrder,
    Rejected,
    AttemptsExhausted,
    StoreRefused,
    Ambiguous,
    RowGone,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::dead_letter::DeadReason;
    use crate::domain::label::Label;

    #[test]
    fn every_reason_is_described() {
        let described = serde_json::to_value(<Reason as utoipa::PartialSchema>::schema()).unwrap();
        let known: Vec<&str> = DeadReason::all().map(DeadReason::as_str).collect();
        assert_eq!(described["enum"], serde_json::json!(known));
    }
}
