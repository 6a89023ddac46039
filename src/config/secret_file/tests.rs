use std::path::PathBuf;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join("secret");
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn line(bytes: impl AsRef<[u8]>) -> Result<String, String> {
    let folder = Folder::new();
    read_line(&folder.file(bytes)).map(|line| line.to_string())
}

#[test]
fn one_line_end_at_the_end_is_no_part_of_a_secret() {
    for (text, secret) in
        [("hush", "hush"), ("hush\n", "hush"), ("hush\r\n", "hush"), (" hu sh ", " hu sh "), ("ħush\n", "ħush")]
    {
        assert_eq!(line(text).as_deref(), Ok(secret), "{text:?}");
    }
}

#[test]
fn a_file_that_holds_no_secret_is_refused_without_a_word_of_it() {
    for (bytes, problem) in [
        (&b""[..], "is empty"),
        (b"\n", "is empty"),
        (b" \t \n", "is empty"),
        (b"hush\n\n", "holds more than one line"),
        (b"# hush\nhush\n", "holds more than one line"),
        (b"hush\0", "holds a NUL character"),
        (b"hush\xff", "is not UTF-8"),
        (b"\xff\xfeh\0u\0s\0h\0", "is not UTF-8"),
    ] {
        assert_eq!(line(bytes).unwrap_err(), problem, "{bytes:?}");
    }
}

#[test]
fn the_largest_secret_has_64_kib() {
    assert_eq!(line(vec![b'x'; MOST_BYTES]).map(|line| line.len()), Ok(MOST_BYTES));
    assert_eq!(line(vec![b'x'; MOST_BYTES + 1]).unwrap_err(), "is longer than 65536 bytes, the most that is read");
}

#[test]
fn a_folder_a_missing_file_and_a_device_are_refused() {
    let folder = Folder::new();
    assert_eq!(read_line(folder.0.path()).unwrap_err(), "is a folder");
    assert!(read_line(&folder.0.path().join("none")).unwrap_err().starts_with("No such file"));
    assert!(read_line(Path::new("/dev/zero")).unwrap_err().starts_with("is longer than"));
    assert_eq!(read_line(Path::new("/dev/null")).unwrap_err(), "is empty");
}

#[test]
fn a_pipe_is_read_to_its_end_and_one_without_an_end_does_not_hold_the_start_up() {
    let folder = Folder::new();
    let path = folder.0.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert_eq!(read_line(&path).unwrap_err(), "is empty", "nobody writes");

    // Opened for both, it opens at once, and the reader below finds a writer.
    let writer = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let began = Instant::now();
    assert_eq!(read_line(&path).unwrap_err(), "has no end after 5 s");
    assert!(began.elapsed() >= LIMIT);

    io::Write::write_all(&mut &writer, b"hush\n").unwrap();
    let closing = thread::spawn(move || {
        thread::sleep(PAUSE * 10);
        drop(writer);
    });
    assert_eq!(read_line(&path).map(|line| line.to_string()).as_deref(), Ok("hush"));
    closing.join().unwrap();
}
