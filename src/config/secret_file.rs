//! Secrets in files, as container platforms, systemd and password managers hand them out.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// The largest file with a secret, in bytes.
const MOST_BYTES: usize = 64 * 1024;
/// How long a pipe may keep the start waiting.
const LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);
/// The text of a file without the line end at its end: one line, UTF-8, 64 KiB at most. A pipe works too.
///
/// # Errors
/// Says what is wrong with the file, and nothing of what is in it.
pub(crate) fn read_line(path: &Path) -> Result<Zeroizing<String>, String> {
    let text = read(path)?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    match line {
        line if line.trim().is_empty() => Err("is empty".to_owned()),
        line if line.contains(['\n', '\r']) => Err("holds more than one line".to_owned()),
        line => Ok(Zeroizing::new(line.to_owned())),
    }
}

/// As [`read_line`], of any number of lines, without blanks and line ends around them.
///
/// # Errors
/// As [`read_line`].
pub(crate) fn read_lines(path: &Path) -> Result<Zeroizing<String>, String> {
    let text = read(path)?;
    match text.trim() {
        "" => Err("is empty".to_owned()),
        text => Ok(Zeroizing::new(text.to_owned())),
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let text = read_bytes(path, MOST_BYTES).map_err(|error| match error.kind() {
        io::ErrorKind::IsADirectory => "is a folder".to_owned(),
        _ => error.to_string(),
    })?;
    match std::str::from_utf8(&text) {
        Ok(text) if text.contains('\0') => Err("holds a NUL character".to_owned()),
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err("is not UTF-8".to_owned()),
    }
}

/// The bytes of a file, or of a pipe that ends soon.
///
/// # Errors
/// When it can't be read, is longer than `most`, or keeps the reader waiting.
pub(crate) fn read_bytes(path: &Path, most: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    // A pipe without a writer would wait for one.
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    // With room for all, as growing would leave copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    let began = Instant::now();
    let mut rest = (&file).take(most as u64 + 1);
    loop {
        match rest.read_to_end(&mut bytes) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && began.elapsed() < LIMIT => thread::sleep(PAUSE),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::other(format!("has no end after {} s", LIMIT.as_secs())));
            }
            Err(error) => return Err(error),
        }
    }
    if bytes.len() > most {
        return Err(io::Error::other(format!("is longer than {most} bytes, the most that is read")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
