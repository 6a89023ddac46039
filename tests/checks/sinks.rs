//! Where text leaves the process. There it is made harmless (`src/domain/text.rs`), so nothing may go around these places.

use std::fs;
use std::path::{Path, PathBuf};

/// What writes to standard output and standard error: commands, the demo's line, and the log.
const WRITERS: [&str; 4] = ["cli/output.rs", "cli/demo/screen.rs", "observe/logging.rs", "observe/logging/notes.rs"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of sources").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// Caught, when seeded: `writeln!(io::stdout(), …)` in a command.
#[test]
fn only_a_few_places_write_to_the_terminal() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut others = Vec::new();
    for path in sources(&root) {
        let name = path.strip_prefix(&root).expect("below src").to_str().expect("UTF-8").to_owned();
        if WRITERS.contains(&name.as_str()) || name.starts_with("testing/") || !name.ends_with(".rs") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("UTF-8");
        // Asking whether it is a terminal writes nothing.
        let text = text.replace("stdout().is_terminal()", "").replace("stderr().is_terminal()", "");
        let writes = ["stdout()", "stderr()", "io::stdout", "io::stderr", "anstream", "/dev/tty"];
        others.extend(writes.iter().filter(|write| text.contains(**write)).map(|write| format!("{name}: {write}")));
    }
    assert!(others.is_empty(), "print through cli/output.rs, as these write around it: {others:#?}");
}

/// maud escapes what views show, and `page/html.rs` spells out what is hidden in the whole page. Markup that goes around the first
/// is made by the overview alone, of parts that maud has made.
#[test]
fn no_view_of_the_page_shows_text_as_html() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page");
    let mut raw = Vec::new();
    for path in sources(&root) {
        let name = path.strip_prefix(&root).expect("below src/page").to_str().expect("UTF-8").to_owned();
        let text = fs::read_to_string(&path).expect("UTF-8");
        let ways: &[&str] = match name.as_str() {
            "overview.rs" => &["Html("],
            "html.rs" => &["PreEscaped"],
            // HTML of this server alone: of an event, or of the same page.
            "assets/page.js" => &["outerHTML", "insertAdjacent", "document.write", "eval(", "setHTML"],
            _ => &["PreEscaped", "Html(", "innerHTML"],
        };
        raw.extend(ways.iter().filter(|way| text.contains(**way)).map(|way| format!("{name}: {way}")));
    }
    assert!(raw.is_empty(), "{raw:#?}");
}
