//! Finds claimed messages that nobody takes any more.

use std::time::Duration;

use crate::port::queue::QueueError;
use crate::port::queue_maintenance::HandBack;

/// A worker that runs takes a message sooner than this after its lease is over or its retry is due.
const PATIENCE: Duration = Duration::from_secs(5);

/// Counts claimed messages whose leases have been over, or whose retries have been due, for 5 s: no worker runs, or none
/// has capacity. No other consumer sees them.
///
/// # Errors
/// When the queue doesn't answer.
pub async fn count_overdue(queue: &dyn HandBack) -> Result<u64, QueueError> {
    let (mut overdue, mut cursor) = (0, Some(0));
    while let Some(position) = cursor {
        let page = queue.claimed(position).await?;
        overdue += page.messages.iter().filter(|message| message.overdue() >= PATIENCE).count() as u64;
        cursor = page.next;
    }
    Ok(overdue)
}
