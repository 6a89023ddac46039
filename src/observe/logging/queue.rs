//! Lines on their way to standard error. Nothing in the process waits for the reader of the log: lines go through a bounded
//! queue to a thread of their own, and are dropped and counted while the queue is full.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::fmt::MakeWriter;

/// What waits at most, about ten thousand lines.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// What a line costs besides its text.
const OVERHEAD: usize = 64;
/// The pause before the next try where standard error is in non-blocking mode and has no room.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(20);

/// Takes lines without waiting. Clones share one queue.
#[derive(Debug, Clone)]
pub(super) struct LineQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    max_bytes: usize,
    /// The writer has something to do.
    work: Condvar,
    /// The writer has nothing left to do.
    idle: Condvar,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// A line has left the queue and is not written yet.
    is_writing: bool,
    /// Lines are dropped until half of the queue is free, so that a stall makes one gap and not many.
    is_full: bool,
    /// Lines dropped in this gap.
    missing: u64,
}

enum Next {
    Line(Box<[u8]>),
    /// So many lines are missing before the next one.
    Gap(u64),
}

impl LineQueue {
    /// Counts dropped lines in `dropped`.
    pub(super) fn new(dropped: Counter) -> Self {
        Self::limited(dropped, MAX_BYTES)
    }

    fn limited(dropped: Counter, max_bytes: usize) -> Self {
        let (work, idle) = (Condvar::new(), Condvar::new());
        Self(Arc::new(Shared { state: Mutex::default(), max_bytes, work, idle, dropped }))
    }

    /// Takes a line, with its end, or drops it.
    pub(super) fn enter(&self, line: &[u8]) {
        let shared = &*self.0;
        let size = line.len() + OVERHEAD;
        let mut state = shared.state.lock();
        if state.is_full || state.bytes + size > shared.max_bytes {
            state.is_full = true;
            state.missing += 1;
            shared.dropped.inc();
        } else {
            state.bytes += size;
            state.lines.push_back(line.into());
        }
        shared.work.notify_one();
    }

    /// Writes lines to `out` for as long as the process lives. Calls `report_gap` with the number of lines that were
    /// dropped, once there is room again.
    pub(super) fn write_to(&self, mut out: impl Write, report_gap: impl Fn(u64)) {
        loop {
            match self.next() {
                Next::Gap(missing) => report_gap(missing),
                Next::Line(line) => {
                    if write_whole(&mut out, &line).is_err() {
                        self.0.dropped.inc();
                    }
                    self.0.state.lock().is_writing = false;
                }
            }
        }
    }

    fn next(&self) -> Next {
        let shared = &*self.0;
        let mut state = shared.state.lock();
        loop {
            if state.is_full && state.bytes <= shared.max_bytes / 2 {
                state.is_full = false;
                return Next::Gap(std::mem::take(&mut state.missing));
            }
            if let Some(line) = state.lines.pop_front() {
                state.bytes -= line.len() + OVERHEAD;
                state.is_writing = true;
                return Next::Line(line);
            }
            shared.idle.notify_all();
            shared.work.wait(&mut state);
        }
    }

    /// Waits until every line is written, for at most `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let mut state = self.0.state.lock();
        while state.is_writing || state.is_full || !state.lines.is_empty() {
            if self.0.idle.wait_until(&mut state, until).timed_out() {
                return;
            }
        }
    }
}

/// Standard error may be in non-blocking mode, as a parent shares it: a half-written line would spoil the next one, too.
fn write_whole(out: &mut impl Write, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(NO_ROOM_PAUSE),
            Err(error) => return Err(error),
        }
    }
    out.flush()
}

/// The log's layer writes each line in one piece.
impl Write for &LineQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.enter(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LineQueue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests;
