//! What errors and warnings advise.

use std::path::Path;

/// What takes protection away.
const WEAKER: [&str; 6] =
    ["sslmode=disable", "sslmode=allow", "sslmode=prefer", "sslmode=verify-ca", "insecure", "require_auth=password"];
/// What may stand before it in the same text: protection.
const STRONGER: [&str; 3] = ["sslmode=verify-full", "ssl = on", "rediss"];

/// A text may say last how not to be warned, and never first. Caught, when seeded: an error that says `use sslmode=disable`.
#[test]
fn no_text_advises_to_turn_protection_off_first() {
    let mut wrong = Vec::new();
    let mut found = 0;
    for folder in ["src/backend", "src/config", "src/service", "src/cli"] {
        each_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut |path, source| {
            for text in texts(source) {
                let at = |words: &[&str]| words.iter().filter_map(|word| text.find(word)).min();
                let Some(weaker) = at(&WEAKER) else { continue };
                found += 1;
                // Not advice: that the two exclude each other.
                if at(&STRONGER).is_none_or(|stronger| stronger > weaker) && !text.contains("sslmode=disable rules out")
                {
                    wrong.push(format!("{}: {text}", path.display()));
                }
            }
        });
    }
    assert!(found >= 2, "the texts are not found any more");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn each_file(folder: &Path, see: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_file(&path, see);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            see(&path, source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default());
        }
    }
}

/// The string literals, each in one line.
fn texts(source: &str) -> Vec<String> {
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n").replace("\\\"", "'").replace("b'\"'", "").replace("'\"'", "");
    code.split('"').skip(1).step_by(2).map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}
