use std::sync::mpsc::{self, Receiver, SyncSender};

use super::*;

/// More than any of these takes.
const LONG: Duration = Duration::from_secs(20);

/// A reader of the log that takes a write when it is asked to.
struct Reader {
    written: Receiver<Vec<u8>>,
    gaps: Receiver<u64>,
}

/// Blocks until the reader takes what it writes.
struct Pipe(SyncSender<Vec<u8>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map(|()| bytes.len()).map_err(|_| ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Reader {
    /// Of a queue whose gaps become lines of the log.
    fn of(queue: &LineQueue) -> Self {
        let (pipe, written) = mpsc::sync_channel(0);
        let (told, gaps) = mpsc::channel();
        let queue = queue.clone();
        thread::spawn(move || {
            let log = queue.clone();
            queue.write_to(Pipe(pipe), move |missing| {
                log.enter(format!("{missing} lines are missing\n").as_bytes());
                let _ = told.send(missing);
            });
        });
        Self { written, gaps }
    }

    fn line(&self) -> String {
        String::from_utf8(self.written.recv_timeout(LONG).unwrap()).unwrap()
    }
}

fn queue(max_bytes: usize) -> (LineQueue, Counter) {
    let dropped = Counter::default();
    (LineQueue::limited(dropped.clone(), max_bytes), dropped)
}

#[test]
fn lines_are_written_in_their_order_each_in_one_piece() {
    let (queue, dropped) = queue(MAX_BYTES);
    for line in ["one\n", "two\n", "three\n"] {
        queue.enter(line.as_bytes());
    }
    let reader = Reader::of(&queue);
    assert_eq!([reader.line(), reader.line(), reader.line()], ["one\n", "two\n", "three\n"]);
    assert_eq!(dropped.get(), 0);
}

#[test]
fn a_reader_that_has_stopped_holds_nobody_up_and_costs_no_more_memory_than_the_limit() {
    let (queue, dropped) = queue(10_000);
    let _reader = Reader::of(&queue);
    let line = [b'x'; 936];
    // The writer holds one besides, at most.
    (0..1_000).for_each(|_| queue.enter(&line));
    let state = queue.0.state.lock();
    assert!(state.bytes <= 10_000, "{} bytes wait", state.bytes);
    assert!((9..=10).contains(&state.lines.len()), "{} lines wait", state.lines.len());
    let held = 1_000 - dropped.get() as usize;
    assert!((10..=11).contains(&held), "{held} lines of 1000 are kept");
}

#[test]
fn a_reader_that_is_back_is_told_once_how_many_lines_are_missing() {
    let (queue, dropped) = queue(10_000);
    let reader = Reader::of(&queue);
    (0..1_000).for_each(|number| queue.enter(format!("{number:900}\n").as_bytes()));
    let mut written = Vec::new();
    loop {
        let line = reader.line();
        let ends = line.contains("missing");
        written.push(line);
        if ends {
            break;
        }
    }
    assert_eq!(reader.gaps.recv_timeout(LONG).unwrap(), dropped.get());
    assert_eq!(written.last().unwrap(), &format!("{} lines are missing\n", dropped.get()));
    assert_eq!(written.len() as u64 - 1 + dropped.get(), 1_000);
    queue.enter(b"afterwards\n");
    assert_eq!(reader.line(), "afterwards\n");
    assert!(reader.gaps.try_recv().is_err(), "one gap is told once");
}

#[test]
fn a_line_that_is_longer_than_the_queue_is_dropped_and_told_of() {
    let (queue, dropped) = queue(1_000);
    let reader = Reader::of(&queue);
    queue.enter(&[b'x'; 2_000]);
    assert_eq!(reader.line(), "1 lines are missing\n");
    assert_eq!(dropped.get(), 1);
}

#[test]
fn a_flush_waits_for_the_last_line_and_no_longer_than_its_limit() {
    let (queue, _) = queue(MAX_BYTES);
    let reader = Reader::of(&queue);
    queue.enter(b"last\n");
    let began = Instant::now();
    queue.flush(Duration::from_millis(50));
    assert!(began.elapsed() >= Duration::from_millis(50), "nobody had read the line");
    let flushing = thread::spawn({
        let queue = queue.clone();
        move || queue.flush(LONG)
    });
    assert_eq!(reader.line(), "last\n");
    flushing.join().unwrap();
    let state = queue.0.state.lock();
    assert!(!state.is_writing && state.lines.is_empty());
}

/// Answers the first tries as a pipe in non-blocking mode does that is full, and takes three bytes at a time.
#[derive(Default)]
struct NonBlocking {
    full: u32,
    taken: Vec<u8>,
}

impl Write for NonBlocking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.full += 1;
        match self.full % 3 {
            0 => Err(ErrorKind::Interrupted.into()),
            1 => Err(ErrorKind::WouldBlock.into()),
            _ => {
                let some = bytes.len().min(3);
                self.taken.extend_from_slice(&bytes[..some]);
                Ok(some)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_stays_whole_where_the_pipe_has_no_room_for_it_at_first() {
    let mut pipe = NonBlocking::default();
    write_whole(&mut pipe, b"a whole line\n").unwrap();
    assert_eq!(pipe.taken, b"a whole line\n");
}

#[test]
fn what_cant_be_written_at_all_is_counted_as_dropped() {
    let (queue, dropped) = queue(MAX_BYTES);
    let (pipe, written) = mpsc::sync_channel(0);
    drop(written);
    thread::spawn({
        let queue = queue.clone();
        move || queue.write_to(Pipe(pipe), |_| ())
    });
    queue.enter(b"lost\n");
    queue.flush(LONG);
    assert_eq!(dropped.get(), 1);
}
