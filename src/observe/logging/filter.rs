//! The log's filter, which can be changed while the process runs.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::task::AbortOnDropHandle;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{Registry, reload};

use super::LoggingError;
use crate::config::log_filter;
use crate::observe::metrics::LogMessages;

/// A filter, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// A level, or a filter such as `info,fulfillment_worker=debug`.
    pub text: String,
    /// Its source, for people: `--log`, `RUST_LOG`, `PUT /log by 127.0.0.1:40000`.
    pub origin: String,
}

impl Filter {
    /// `text` from `origin`.
    pub fn new(text: &str, origin: &str) -> Self {
        Self { text: text.to_owned(), origin: origin.to_owned() }
    }

    pub(super) fn parse(&self) -> Result<Targets, LoggingError> {
        log_filter::parse(&self.text).map_err(|reason| LoggingError::Filter {
            origin: self.origin.clone(),
            filter: self.text.clone(),
            reason,
        })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text, self.origin)
    }
}

/// The log of this process: its filter, and how many lines it has written. Clones are of the same log.
#[derive(Debug, Clone)]
pub struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handle: reload::Handle<Targets, Registry>,
    messages: LogMessages,
    state: Mutex<FilterState>,
}

#[derive(Debug)]
struct FilterState {
    /// Holds unless there is another one for a time.
    lasting: Filter,
    temporary: Option<Temporary>,
    /// How often the filter was changed: a timer only reverts the last change.
    changes: u64,
}

#[derive(Debug)]
struct Temporary {
    filter: Filter,
    until: Instant,
    /// At most one timer waits: the next change ends it.
    _timer: AbortOnDropHandle<()>,
}

/// The filter in force. Displays as one or two lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// The filter now.
    pub filter: Filter,
    /// The time it has left, and the filter after it; `None` if it holds until it is changed.
    pub then: Option<(Duration, Filter)>,
}

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.filter)?;
        if let Some((rest, filter)) = &self.then {
            let rest = humantime::format_duration(Duration::from_secs(rest.as_secs()));
            write!(f, "\nin {rest} again {filter}")?;
        }
        Ok(())
    }
}

impl Log {
    pub(super) fn new(handle: reload::Handle<Targets, Registry>, messages: LogMessages, lasting: Filter) -> Self {
        Self(Arc::new(Inner {
            handle,
            messages,
            state: Mutex::new(FilterState { lasting, temporary: None, changes: 0 }),
        }))
    }

    /// Lines written so far, by level.
    pub fn messages(&self) -> &LogMessages {
        &self.0.messages
    }

    /// The filter now.
    pub fn in_force(&self) -> InForce {
        self.0.state.lock().in_force()
    }

    /// Puts `filter` in force until the next change, or for `limit`, after which the lasting filter returns. The change
    /// itself is logged.
    ///
    /// # Errors
    /// [`LoggingError::Filter`] says what is wrong with the filter; nothing has changed then.
    ///
    /// # Panics
    /// With a `limit`, outside of a Tokio runtime.
    pub fn change(&self, filter: Filter, limit: Option<Duration>) -> Result<(), LoggingError> {
        let parsed = filter.parse()?;
        let mut state = self.0.state.lock();
        self.put(parsed, &state.in_force().filter, &filter)?;
        state.changes += 1;
        match limit {
            None => {
                state.lasting = filter;
                state.temporary = None;
            }
            Some(limit) => {
                let (log, change) = (self.clone(), state.changes);
                let timer = tokio::spawn(async move {
                    tokio::time::sleep(limit).await;
                    log.revert(change);
                });
                let timer = AbortOnDropHandle::new(timer);
                state.temporary = Some(Temporary { filter, until: Instant::now() + limit, _timer: timer });
            }
        }
        Ok(())
    }

    /// Ends a temporary filter, unless there was another change since.
    fn revert(&self, change: u64) {
        let mut state = self.0.state.lock();
        if state.changes != change {
            return;
        }
        if let Some(temporary) = state.temporary.take()
            && let Ok(parsed) = state.lasting.parse()
            && let Err(error) = self.put(parsed, &temporary.filter, &state.lasting)
        {
            tracing::warn!(%error, "the log's filter could not be put back");
        }
    }

    /// Logs the change under the old filter if that lets it through, else under the new one.
    fn put(&self, parsed: Targets, from: &Filter, to: &Filter) -> Result<(), LoggingError> {
        let report = || {
            let (from, to, by) = (from.text.as_str(), to.text.as_str(), to.origin.as_str());
            tracing::info!(from, to, by, "log filter changed");
        };
        let was_logged = tracing::enabled!(tracing::Level::INFO);
        if was_logged {
            report();
        }
        self.0.handle.reload(parsed).map_err(|_| LoggingError::Ended)?;
        if !was_logged {
            report();
        }
        Ok(())
    }
}

impl FilterState {
    fn in_force(&self) -> InForce {
        match &self.temporary {
            None => InForce { filter: self.lasting.clone(), then: None },
            Some(Temporary { filter, until, .. }) => InForce {
                filter: filter.clone(),
                then: Some((until.saturating_duration_since(Instant::now()), self.lasting.clone())),
            },
        }
    }
}
