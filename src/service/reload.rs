//! Files that are read again while the worker runs: soon after they change, and at once when somebody asks.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// From one look at the files to the next. Two in a row that agree on a change make one.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Asks everything that watches files to read them again, changed or not. [`super::Service::run_until_signal`] and `run` do at
/// SIGHUP.
#[derive(Debug, Clone, Default)]
pub struct Reload(watch::Sender<()>);

impl Reload {
    /// Asks now. Doesn't wait for the files to be read.
    pub fn now(&self) {
        self.0.send_replace(());
    }

    /// Learns of each request from now on.
    pub(super) fn asked(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }

    /// Whether anybody reads files again, besides one who only learns of it.
    pub(super) fn is_watched(&self) -> bool {
        self.0.receiver_count() > 1
    }

    /// Watches these files from now on.
    pub(crate) fn watch(&self, files: Vec<PathBuf>) -> FileWatch {
        let files: Arc<[PathBuf]> = files.into();
        FileWatch { asked: self.0.subscribe(), known: stamps(&files), files }
    }
}

/// Files, and what they were when their reader last learnt of a change.
pub(crate) struct FileWatch {
    asked: watch::Receiver<()>,
    files: Arc<[PathBuf]>,
    known: Vec<Stamp>,
}

/// What changes when a file is written, replaced, or another one comes under its name. A file that is missing, or can't be
/// looked at, has none.
type Stamp = Option<(u64, u64, u64, Option<SystemTime>)>;

impl FileWatch {
    /// Waits until a file has changed and is no longer being written to, or a reload is asked for. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        loop {
            let is_asked_for = tokio::select! {
                asked = self.asked.changed() => match asked {
                    Ok(()) => true,
                    // Nobody is left to ask.
                    Err(_) => { looks.tick().await; false }
                },
                _ = looks.tick() => false,
            };
            let found = self.look().await;
            if is_asked_for || (found != self.known && last.as_ref() == Some(&found)) {
                self.known = found;
                return;
            }
            last = Some(found);
        }
    }

    async fn look(&self) -> Vec<Stamp> {
        let files = Arc::clone(&self.files);
        // A file system may keep whoever looks waiting.
        tokio::task::spawn_blocking(move || stamps(&files)).await.unwrap_or_else(|_| self.known.clone())
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &Path| -> io::Result<_> {
        let found = path.metadata()?;
        Ok((found.dev(), found.ino(), found.len(), found.modified().ok()))
    };
    files.iter().map(|path| stamp(path).ok()).collect()
}

#[cfg(test)]
mod tests;
