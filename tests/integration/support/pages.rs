//! Commands of the documentation, as they stand there: what a test runs of a page, and the shell that it runs in.
//!
//! A block has `<!-- run: NAME -->` in the line before it, with the name of the test; `tests/checks/documentation.rs` holds
//! that there is one. A test that leaves out a block that names it fails here.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::postgres::TestDatabase;
use super::process::Process;
use super::redis::RedisServer;

/// No block takes as long, unless it hangs.
const LIMIT: &str = "120";

/// The blocks of a page that one test runs, in their order.
pub(crate) struct Page {
    blocks: VecDeque<Block>,
    place: String,
}

/// A block of a page.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    text: String,
    /// What the page shows below it: the block of `text` that follows, if no other one stands between.
    pub(crate) shown: Option<String>,
    place: String,
}

impl Page {
    /// The blocks of `page` that name `test`.
    ///
    /// # Panics
    /// When no block does.
    pub(crate) fn of(page: &str, test: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
        let lines: Vec<&str> = text.lines().collect();
        let mut blocks = VecDeque::new();
        for (at, line) in lines.iter().enumerate().skip(1) {
            let mark = lines[at - 1].trim().strip_prefix("<!-- run: ").and_then(|mark| mark.strip_suffix(" -->"));
            if line.trim().starts_with("```") && mark.is_some_and(|names| names.split(", ").any(|name| name == test)) {
                let (text, end) = content(&lines, at);
                let shown = (end + 1..lines.len()).find(|&line| lines[line].trim().starts_with("```"));
                let shown = shown.filter(|&line| lines[line].trim() == "```text").map(|line| content(&lines, line).0);
                blocks.push_back(Block { text, shown, place: format!("{page}:{}", at + 1) });
            }
        }
        assert!(!blocks.is_empty(), "{page}: no block says `run: {test}`");
        Self { blocks, place: format!("{page}: {test}") }
    }

    /// The next one.
    ///
    /// # Panics
    /// When there is none.
    pub(crate) fn next(&mut self) -> Block {
        self.blocks.pop_front().unwrap_or_else(|| panic!("{} has no block left", self.place))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let left: Vec<&str> = self.blocks.iter().map(|block| block.place.as_str()).collect();
            assert!(left.is_empty(), "{} is named by {left:?}, and doesn't run them", self.place);
        }
    }
}

/// What stands in the block that begins in this line, without its indentation, and the line of its end.
fn content(lines: &[&str], start: usize) -> (String, usize) {
    let indented = lines[start].len() - lines[start].trim_start().len();
    let end = (start + 1..lines.len()).find(|&line| lines[line].trim() == "```").expect("the end of the block");
    let text = lines[start + 1..end].iter().map(|line| line.get(indented..).unwrap_or_default());
    (text.collect::<Vec<_>>().join("\n") + "\n", end)
}

impl Block {
    /// The block with something else in the place of what a reader replaces, too: a password, an address, an id.
    ///
    /// # Panics
    /// When that doesn't stand there.
    pub(crate) fn with(mut self, there: &str, here: &str) -> Self {
        assert!(self.text.contains(there), "{} doesn't say {there:?}", self.place);
        self.text = self.text.replace(there, here);
        self
    }

    /// The commands one by one: each line, with those that it goes on in. Comments stay.
    pub(crate) fn commands(&self) -> Vec<Self> {
        let mut commands: Vec<String> = Vec::new();
        let mut goes_on = false;
        for line in self.text.lines().filter(|line| !line.trim().is_empty()) {
            if goes_on {
                let last = commands.last_mut().expect("a line before");
                last.push('\n');
                last.push_str(line);
            } else {
                commands.push(line.to_owned());
            }
            goes_on = line.ends_with(['\\', '|']);
        }
        commands.into_iter().map(|text| Self { text: text + "\n", ..self.clone() }).collect()
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// A reader's shell: a folder of its own with the repository's `deploy`, `scripts` and `tests`, the tests' own binary in the
/// `PATH`, and the two servers in the environment.
pub(crate) struct Shell {
    folder: TempDir,
    environment: Vec<(String, OsString)>,
}

impl Shell {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for a shell");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["deploy", "scripts", "tests"] {
            symlink(root.join(name), folder.path().join(name)).expect("a link");
        }
        let binary = Path::new(env!("CARGO_BIN_EXE_fulfillment-worker"));
        let mut path = binary.parent().expect("its folder").as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let environment = vec![("PATH".to_owned(), path), ("HOME".to_owned(), folder.path().into())];
        Self { folder, environment }
    }

    /// One that knows these servers as the worker does, by `REDIS_URL` and `DATABASE_URL`.
    pub(crate) fn with_servers(redis: &RedisServer, database: &TestDatabase) -> Self {
        let mut shell = Self::new();
        shell.set("REDIS_URL", &redis.url());
        shell.set("DATABASE_URL", database.url());
        shell
    }

    /// Sets a variable for what is run from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.into()));
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn bash(&self, arguments: &[&str], script: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", LIMIT, "bash", "-euo", "pipefail"]).args(arguments).args(["-c", script]);
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    fn output(&self, block: &Block) -> (Output, String) {
        let output = self.bash(&[], &block.text).output().expect("bash");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output, said)
    }

    /// Runs a block to its end, as `bash -euo pipefail`. What it said, on either output; compared with what the page shows.
    ///
    /// # Panics
    /// When a command of it fails.
    pub(crate) fn run(&self, block: &Block) -> String {
        let (output, said) = self.output(block);
        let code = output.status.code();
        assert!(output.status.success(), "{} ended with {code:?}: {said}\n{}", block.place, block.text);
        said
    }

    /// Runs one that ends with this exit code.
    pub(crate) fn run_with_code(&self, block: &Block, code: i32) -> String {
        let (output, said) = self.output(block);
        assert_eq!(output.status.code(), Some(code), "{}: {said}\n{}", block.place, block.text);
        said
    }

    /// Starts `fulfillment-worker run` with these options, in this shell's folder.
    pub(crate) fn worker(&self, options: &[&str]) -> Process {
        let text = format!("fulfillment-worker run {}", options.join(" "));
        self.start(&Block { text, shown: None, place: "a worker".to_owned() })
    }

    /// Starts a block whose last command goes on until it is stopped.
    pub(crate) fn start(&self, block: &Block) -> Process {
        let (before, last) = block.text.trim_end().rsplit_once('\n').unwrap_or(("", block.text.trim_end()));
        // In the place of the shell, so that a signal reaches it; by `env`, as variables may stand before it.
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &format!("{before}\nexec env {last}")]);
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.folder.path());
        let log = tempfile::NamedTempFile::new_in(self.folder.path()).expect("a file for the output");
        let (_, log) = log.keep().expect("a file for the output");
        Process::start(&block.place, command, log)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Whether `said` has the lines that a page shows, in their order, where each word with a digit stands for any other one.
///
/// # Panics
/// When a line is missing, saying which.
pub(crate) fn assert_shaped_like(shown: &str, said: &str) {
    let masked = |line: &str| {
        let words = line.split_whitespace();
        let words = words.map(|word| if word.contains(|c: char| c.is_ascii_digit()) { "#" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    let mut lines = said.lines().map(masked);
    for wanted in shown.lines().map(masked).filter(|line| !line.is_empty() && line != "⋮") {
        assert!(lines.any(|line| line == wanted), "the page shows {wanted:?}, which is not in: {said}");
    }
}
