//! The little of Dockerfile and `.dockerignore` that this repository uses; anything else fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Instructions with what follows them, by stage. The first of each is its FROM.
pub(crate) struct Dockerfile {
    pub(crate) stages: Vec<Vec<(String, String)>>,
}

impl Dockerfile {
    pub(crate) fn parse(text: &str) -> Self {
        let mut stages: Vec<Vec<(String, String)>> = Vec::new();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        for line in lines.join("\n").replace("\\\n", "").lines().filter(|line| !line.trim().is_empty()) {
            let (instruction, rest) = line.split_once(' ').unwrap_or_else(|| panic!("not an instruction: {line}"));
            if instruction == "FROM" {
                stages.push(Vec::new());
            }
            let stage = stages.last_mut().unwrap_or_else(|| panic!("before the first FROM: {line}"));
            stage.push((instruction.to_owned(), rest.trim().to_owned()));
        }
        assert_eq!(stages.len(), 2, "the build and the image");
        Self { stages }
    }

    /// The image's, by name: every value stands in quotes.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let all: Vec<&str> =
            self.stages[1].iter().filter(|(name, _)| name == "LABEL").map(|(_, rest)| &**rest).collect();
        let mut labels = BTreeMap::new();
        let mut rest: &str = &all.join(" ");
        while let Some((name, after)) = rest.split_once("=\"") {
            let (value, after) = after.split_once('"').unwrap_or_else(|| panic!("no end of {name}"));
            labels.insert(name.trim().to_owned(), value.to_owned());
            rest = after;
        }
        assert!(rest.trim().is_empty(), "a label without quotes: {rest}");
        labels
    }
}

/// Makes the folder `given` what a builder is given of `repository`.
pub(crate) fn context(repository: &Path, given: &Path) {
    let text =
        fs::read_to_string(repository.join(".dockerignore")).unwrap_or_else(|error| panic!(".dockerignore: {error}"));
    let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    assert_eq!(lines.next(), Some("*"), ".dockerignore begins with ignoring everything");
    for line in lines {
        let path = line.strip_prefix('!').unwrap_or_else(|| panic!(".dockerignore: {line} re-includes nothing"));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
        let parts = path.split('/').all(|part| !["", ".", ".."].contains(&part));
        assert!(parts && path.bytes().all(plain), ".dockerignore: {line} is more than a path, which this can't follow");
        copy_tree(&repository.join(path), &given.join(path));
    }
}

/// Follows `COPY rest` from `given` into `folder`.
pub(crate) fn copy(rest: &str, given: &Path, folder: &Path) {
    let mut words: Vec<&str> = rest.split_whitespace().collect();
    let plain = words.iter().all(|word| !word.starts_with(['-', '/', '[']) && !word.contains(['*', '?', '$']));
    assert!(plain && words.len() >= 2, "COPY {rest} is more than relative paths, which this can't follow");
    let to = words.pop().unwrap_or_default();
    assert!(words.len() == 1 || to.ends_with('/'), "COPY {rest}: several need a folder to go to");
    for from in words {
        let source = given.join(from);
        assert!(source.exists(), "COPY {rest}: .dockerignore leaves no {from}");
        // A folder is copied without its name.
        let name = source.file_name().filter(|_| to.ends_with('/') && source.is_file());
        copy_tree(&source, &name.map_or_else(|| folder.join(to), |name| folder.join(to).join(name)));
    }
}

fn copy_tree(from: &Path, to: &Path) {
    let failed = |error| panic!("{} to {}: {error}", from.display(), to.display());
    if from.is_dir() {
        fs::create_dir_all(to).unwrap_or_else(failed);
        for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())).flatten() {
            copy_tree(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap_or(to)).unwrap_or_else(failed);
        // With its time, which cargo compares.
        let modified = fs::metadata(from).and_then(|metadata| metadata.modified());
        fs::copy(from, to)
            .and_then(|_| fs::File::options().write(true).open(to)?.set_modified(modified?))
            .unwrap_or_else(failed);
    }
}
