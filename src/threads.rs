//! Starts threads without a panic where the system has none left.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
#[cfg(feature = "cli")]
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime on threads of its own. Dropped, it ends without waiting for them, also within a task, where tokio's panics.
pub(crate) struct Threads {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
    /// Ends `reserve`.
    _released: mpsc::Sender<()>,
}

impl Threads {
    /// Starts `workers` threads of this name, or as many as tokio does by default.
    ///
    /// # Errors
    /// When the system refuses a thread. Tokio itself panics then.
    pub(crate) fn start(name: &str, workers: Option<usize>) -> io::Result<Self> {
        require(1 + workers.unwrap_or_else(processors))?;
        let mut builder = Builder::new_multi_thread();
        builder.thread_name(name).enable_all();
        if let Some(workers) = workers {
            builder.worker_threads(workers);
        }
        let runtime = without_panic(|| builder.build())?;
        let handle = runtime.handle().clone();
        let (_released, reserve) = mpsc::channel();
        let threads = Self { runtime: Some(runtime), handle, _released };
        // While there is one thread for blocking calls, such as name look-ups, a call that gets none waits; else it panics.
        without_panic(|| {
            drop(threads.handle.spawn_blocking(move || reserve.recv()));
            Ok(())
        })?;
        Ok(threads)
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits for the threads, for at most `limit`. Not for use within a task.
    #[cfg(feature = "cli")]
    pub(crate) fn end(mut self, limit: Duration) {
        let runtime = self.runtime.take();
        drop(self);
        if let Some(runtime) = runtime {
            runtime.shutdown_timeout(limit);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// How many threads tokio starts by default.
pub(crate) fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Starts one thread.
///
/// # Errors
/// When the system refuses it.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|error| refused(&error.to_string()))
}

/// Starts so many threads at once, and ends them again: where a library would go on with fewer than it needs, or panic.
///
/// # Errors
/// When the system refuses one of them.
pub(crate) fn require(threads: usize) -> io::Result<()> {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    let wait = || {
        let gate = Arc::clone(&gate);
        spawn("probe", move || drop(gate.lock()))
    };
    let started: Vec<io::Result<JoinHandle<()>>> = (0..threads).map(|_| wait()).collect();
    drop(closed);
    started.into_iter().try_for_each(|thread| thread.map(|thread| drop(thread.join())))
}

/// Calls a library that panics where it gets no thread. The last one may have gone since [`require`] looked.
///
/// # Errors
/// Those of `call`, and the panic's message.
pub(crate) fn without_panic<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    // A second call would take the silent hook for the one to put back.
    static HOOK: Mutex<()> = Mutex::new(());
    let _alone = HOOK.lock();
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    panic::set_hook(hook);
    result.unwrap_or_else(|payload| {
        let said = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref().copied());
        Err(refused(said.unwrap_or_default()))
    })
}

fn refused(cause: &str) -> io::Error {
    io::Error::other(format!(
        "the system refuses a thread: {cause}; raise its limit (ulimit -u, TasksMax, or pids of the container)"
    ))
}
