//! Whether an operator holds workers back.

use super::Finding;
use crate::port::controls::{Control, SetControl, Target};
use crate::port::store::StoreError;

/// A pause that is forgotten costs more than one that is not; the alert has the time.
pub(super) fn controls(set: &Result<Vec<SetControl>, StoreError>) -> Finding {
    const CHECK: &str = "controls";
    let set = match set {
        Ok(set) => set,
        Err(error) => return Finding::unknown(CHECK, error.to_string()),
    };
    let words = set.iter().map(|set| set.in_words(true)).collect::<Vec<_>>().join("; ");
    let is_paused = set.iter().any(|set| set.control == Control::Pause && set.target == Target::Fleet);
    let finding = match (set.is_empty(), is_paused) {
        (true, _) => Finding::ok(CHECK, "nothing is paused or limited"),
        (false, true) => Finding::notice(CHECK, words)
            .costs("no worker claims anything, and orders wait")
            .remedy("fulfillment-worker resume --why '…'"),
        (false, false) => Finding::notice(CHECK, words),
    };
    finding.value("set", set.len())
}
