//! Reads everything that a connection answered.

/// An answer, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// In lower case, `name: value`.
    pub(super) headers: Vec<String>,
}

impl Answer {
    pub(super) fn has(&self, header: &str) -> bool {
        self.headers.iter().any(|found| found == header)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|header| header.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// The answers in `bytes`, one behind the other.
///
/// # Errors
/// For bytes that are no answer, or not a whole one.
pub(super) fn answers(mut bytes: &[u8]) -> Result<Vec<Answer>, String> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let end = position(bytes, b"\r\n\r\n").ok_or("an answer without the end of its head")?;
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "a head that is not UTF-8")?;
        bytes = &bytes[end + 4..];
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok());
        let status: u16 = status.ok_or_else(|| format!("not a status line: {head:?}"))?;
        let headers = lines.map(str::to_ascii_lowercase).collect();
        let answer = Answer { status, headers };
        if status == 100 {
            continue;
        }
        bytes = body_skipped(&answer, bytes)?;
        answers.push(answer);
    }
    Ok(answers)
}

fn body_skipped<'a>(answer: &Answer, bytes: &'a [u8]) -> Result<&'a [u8], String> {
    // To HEAD; no body of the worker's begins so.
    if bytes.is_empty() || bytes.starts_with(b"HTTP/1.") {
        return Ok(bytes);
    }
    if answer.value("transfer-encoding") == Some("chunked") {
        return chunks_skipped(bytes);
    }
    match answer.value("content-length").map(str::parse::<usize>) {
        Some(Ok(length)) => bytes.get(length..).ok_or_else(|| format!("{} bytes of {length}", bytes.len())),
        Some(Err(error)) => Err(format!("content-length: {error}")),
        // Until the end of the connection, as HTTP/1.0 has it.
        None => Ok(&[]),
    }
}

fn chunks_skipped(mut bytes: &[u8]) -> Result<&[u8], String> {
    loop {
        let end = position(bytes, b"\r\n").ok_or("a chunk without a size")?;
        let size = std::str::from_utf8(&bytes[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or_else(|| format!("not a size of a chunk: {:?}", &bytes[..end]))?;
        bytes = bytes.get(end + 2 + size..).and_then(|rest| rest.strip_prefix(b"\r\n")).ok_or("half a chunk")?;
        if size == 0 {
            return Ok(bytes);
        }
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
