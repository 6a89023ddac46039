//! Repeating a call to a server until it answers.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::domain::retry;

/// How long a call is repeated. Pauses follow [`retry::DEPENDENCY`].
#[derive(Debug, Clone, Default)]
pub struct Retrying {
    /// Time from the first call after which no further one is made; `None` sets no limit.
    pub limit: Option<Duration>,
    /// Ends a pause and makes no further call.
    pub stop: CancellationToken,
}

impl Retrying {
    /// Calls until the answer is `Ok`, or an error that `retries` does not accept. A call that is under way is never
    /// dropped. `call` receives the number of failures so far; `failed` receives each error that is retried, with the
    /// pause before the next call.
    ///
    /// # Errors
    /// The last error: one that `retries` does not accept, or any once the limit is over or `stop` is cancelled.
    pub async fn until_answered<T, E, F>(
        &self,
        retries: impl Fn(&E) -> bool,
        mut failed: impl FnMut(&E, Duration),
        mut call: impl FnMut(u32) -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let began = Instant::now();
        let mut failures = 0;
        loop {
            let error = match call(failures).await {
                Ok(answer) => return Ok(answer),
                Err(error) if retries(&error) => error,
                Err(error) => return Err(error),
            };
            failures = u32::saturating_add(failures, 1);
            let Some(pause) = retry::dependency_pause(failures, began.elapsed(), self.limit) else {
                return Err(error);
            };
            failed(&error, pause);
            if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return Err(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails with 1 and 2, of which 2 is not retried.
    async fn always_fails(retrying: &Retrying) -> Result<(), u32> {
        retrying.until_answered(|error| *error == 1, |_, _| (), |failures| async move { Err(failures + 1) }).await
    }

    #[tokio::test]
    async fn an_error_that_is_not_retried_ends_it() {
        assert_eq!(always_fails(&Retrying::default()).await, Err(2));
    }

    #[tokio::test]
    async fn the_last_error_is_returned_when_the_limit_is_over_or_it_is_stopped() {
        let limited = Retrying { limit: Some(Duration::ZERO), ..Retrying::default() };
        assert_eq!(always_fails(&limited).await, Err(1));
        let stopped = Retrying::default();
        stopped.stop.cancel();
        assert_eq!(always_fails(&stopped).await, Err(1));
    }
}
