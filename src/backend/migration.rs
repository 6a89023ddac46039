//! Numbered SQL that makes a backend's tables, and the history of what was applied.
//!
//! The history and its checksums are [refinery](https://docs.rs/refinery)'s, which applied the migrations of versions before.

use std::fmt;
use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher13;

/// One step to the tables of this version. Once released it is never changed: its checksum is in histories.
#[derive(Clone, Copy, Debug)]
pub(super) struct Migration {
    pub(super) version: i32,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

impl Migration {
    /// Reads a file's name without its extension, such as `V1__orders`. `None` if it is another kind of name.
    fn parse(file: &'static str, sql: &'static str) -> Option<Self> {
        let (version, name) = file.strip_prefix('V')?.split_once("__")?;
        Some(Self { version: version.parse().ok()?, name, sql })
    }

    /// Of version, name and SQL.
    pub(super) fn checksum(&self) -> String {
        let mut hasher = SipHasher13::new();
        self.name.hash(&mut hasher);
        self.version.hash(&mut hasher);
        self.sql.hash(&mut hasher);
        hasher.finish().to_string()
    }
}

impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "V{}__{}", self.version, self.name)
    }
}

/// Migrations by the names of their files, in the order given.
///
/// # Errors
/// It says which name is not one of a migration.
pub(super) fn parse(files: &[(&'static str, &'static str)]) -> Result<Vec<Migration>, String> {
    let parse =
        |&(file, sql)| Migration::parse(file, sql).ok_or_else(|| format!("{file} is not the name of a migration"));
    files.iter().map(parse).collect()
}

/// A migration that a history names.
#[derive(Clone, Debug)]
pub(super) struct Applied {
    pub(super) version: i32,
    pub(super) name: String,
    pub(super) checksum: String,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "V{}__{}", self.version, self.name)
    }
}

/// The migrations that a history, which is in order, doesn't name. It may name later ones than are known, unless something
/// is missing.
///
/// # Errors
/// It says how the history differs: it names another migration than is known, or something is missing that doesn't follow
/// what it names.
pub(super) fn missing<'a>(known: &'a [Migration], applied: &[Applied]) -> Result<Vec<&'a Migration>, String> {
    let mut missing = Vec::new();
    for known in known {
        match applied.iter().find(|one| one.version == known.version) {
            None => missing.push(known),
            Some(one) if known.name == one.name && known.checksum() == one.checksum => {}
            Some(one) => return Err(format!("{one} is not the {known} that is known here")),
        }
    }
    match (missing.first(), applied.last()) {
        (Some(first), Some(last)) if first.version < last.version => {
            Err(format!("V{} is missing although {last} is there", first.version))
        }
        _ => Ok(missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [(&str, &str); 3] = [("V1__one", "one"), ("V2__two", "two"), ("V10__ten", "ten")];

    fn history(known: &[Migration]) -> Vec<Applied> {
        let applied =
            |one: &Migration| Applied { version: one.version, name: one.name.to_owned(), checksum: one.checksum() };
        known.iter().map(applied).collect()
    }

    #[test]
    fn a_file_name_gives_version_and_name() {
        let known = parse(&FILES).unwrap();
        assert_eq!((known[2].version, known[2].name, known[2].to_string().as_str()), (10, "ten", "V10__ten"));
        for faulty in ["1__one", "V__one", "Vx__one", "V1_one"] {
            assert!(parse(&[(faulty, "")]).unwrap_err().contains(faulty), "{faulty}");
        }
    }

    #[test]
    fn what_a_history_does_not_name_is_missing() {
        let known = parse(&FILES).unwrap();
        let names = |applied: &[Applied]| {
            missing(&known, applied).map(|missing| missing.iter().map(|one| one.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap(), ["one", "two", "ten"]);
        assert_eq!(names(&history(&known[..2])).unwrap(), ["ten"]);
        assert_eq!(names(&history(&known)).unwrap(), [""; 0]);
    }

    #[test]
    fn a_history_with_a_gap_is_another_versions() {
        let known = parse(&FILES).unwrap();
        let error = missing(&known, &history(&[known[0], known[2]])).unwrap_err();
        assert_eq!(error, "V2 is missing although V10__ten is there");
    }

    #[test]
    fn a_history_of_other_sql_or_names_is_another_versions() {
        let known = parse(&FILES).unwrap();
        for other in [("V2__zwei", "two"), ("V2__two", "zwei")] {
            let other = parse(&[FILES[0], other]).unwrap();
            let error = missing(&known, &history(&other)).unwrap_err();
            assert!(error.contains("is not the V2__two that is known here"), "{error}");
        }
    }

    #[test]
    fn a_history_may_go_further_than_what_is_known() {
        let known = parse(&FILES).unwrap();
        assert!(missing(&known[..2], &history(&known)).unwrap().is_empty());
    }
}
