//! Notes in the activity what people decided about things that they named.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::operations::plural;
use crate::port::activity::ActivityLog;
use crate::port::dead_letters::Decision;
use crate::port::retrying::Retrying;
use crate::port::store::StoreError;

/// Ids that an entry names.
const NAMED: usize = 50;

/// How long a store that doesn't answer is asked again.
const RETRY_FOR: Duration = Duration::from_secs(2);

/// Something that was done to several things at once.
pub(super) struct Deed<'a> {
    /// As jobs of this kind are named.
    pub(super) action: &'static str,
    /// What they are, in the singular.
    pub(super) noun: &'static str,
    /// Those to which it was done.
    pub(super) ids: &'a [i64],
    /// Such as ` for 30m`.
    pub(super) more: String,
}

impl Deed<'_> {
    /// Notes it, if it was done to anything. It is done in any case: what can't be noted is only logged.
    pub(super) async fn note(&self, log: &dyn ActivityLog, decision: &Decision) {
        if self.ids.is_empty() {
            return;
        }
        let detail = self.in_words();
        let retrying = Retrying { limit: Some(RETRY_FOR), stop: CancellationToken::new() };
        let note = |_| log.append(self.action, &detail, decision);
        if let Err(error) = retrying.until_answered(StoreError::is_transient, |_, _| (), note).await {
            tracing::warn!(%error, action = self.action, "the activity has no entry of what was done to {detail}");
        }
    }

    /// `order 5`, `3 orders: 5, 6, 7`.
    fn in_words(&self) -> String {
        let Self { noun, ids, more, .. } = self;
        if let [id] = ids {
            return format!("{noun} {id}{more}");
        }
        let named: Vec<String> = ids.iter().take(NAMED).map(i64::to_string).collect();
        let others = match ids.len() - named.len() {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        format!("{}{more}: {}{others}", plural(ids.len() as u64, noun), named.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_names_what_it_is_about_and_stays_short() {
        let words =
            |ids: &[i64], more: &str| Deed { action: "hold", noun: "order", ids, more: more.to_owned() }.in_words();
        assert_eq!(words(&[5], ""), "order 5");
        assert_eq!(words(&[5], " for 30m"), "order 5 for 30m");
        assert_eq!(words(&[5, 7], " for 30m"), "2 orders for 30m: 5, 7");
        let many: Vec<i64> = (i64::MAX - 999..=i64::MAX).collect();
        let shown = words(&many, "");
        assert!(shown.starts_with("1000 orders: 9223372036854774808, ") && shown.ends_with(" and 950 more"), "{shown}");
        assert!(shown.len() < 1_200, "{}", shown.len());
    }
}
