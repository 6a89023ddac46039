//! Whether bulk work of operators gets on.

use super::Finding;
use crate::operations::plural;
use crate::port::jobs::Job;
use crate::port::store::StoreError;

/// A job that nobody has needs somebody; one with a problem is tried again, in vain until that is gone.
pub(super) fn jobs(listed: &Result<Vec<Job>, StoreError>) -> Finding {
    const CHECK: &str = "jobs";
    let listed = match listed {
        Ok(listed) => listed,
        Err(error) => return Finding::unknown(CHECK, error.to_string()),
    };
    let open: Vec<&Job> = listed.iter().filter(|job| job.ended.is_none()).collect();
    let finding = match open.iter().find(|job| job.left.is_none()) {
        Some(job) => {
            let said = job.progress.problem.as_deref().unwrap_or("nobody has taken it yet");
            Finding::notice(CHECK, format!("job {} ({}) waits: {said}", job.id, job.kind))
                .costs("what it was to decide about stays as it is")
                .remedy(format!("fulfillment-worker jobs run {}", job.id))
        }
        None if open.is_empty() => Finding::ok(CHECK, "no bulk work is open"),
        None => Finding::ok(CHECK, format!("{} under way", plural(open.len() as u64, "job"))),
    };
    finding.value("open", open.len())
}
