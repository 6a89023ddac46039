//! Findings of an embedded database.

use crate::doctor::{Examined, run};
use crate::support::worker::{binary, run_to_end};

fn database(folder: &tempfile::TempDir) -> String {
    let store = format!("sqlite:{}", folder.path().join("orders.db").display());
    assert!(run_to_end(&["migrate", "--store", &store]).status.success());
    store
}

#[test]
fn a_file_is_examined_once_although_it_is_queue_and_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = database(&folder);
    let examined = Examined::of(&store, &store, &[]);
    for check in ["journal_mode", "free_pages", "file_system", "disk_space", "tables_and_rights", "controls", "jobs"] {
        assert_eq!(examined.level(check), "ok", "{}", examined.finding(check));
    }
    assert_eq!((examined.code, examined.report["ok"].as_u64()), (Some(0), Some(7)), "{}", examined.said);
}

#[test]
fn free_pages_are_told_when_they_are_many() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = database(&folder);
    let file = rusqlite::Connection::open(folder.path().join("orders.db")).expect("the file");
    file.execute_batch(
        "PRAGMA synchronous = OFF; CREATE TABLE filler (bytes BLOB); INSERT INTO filler VALUES (zeroblob(100000000)); DROP TABLE filler;
         PRAGMA wal_checkpoint(TRUNCATE);",
    )
    .expect("a large file");
    drop(file);
    let examined = Examined::of(&store, &store, &[]);
    assert_eq!(examined.level("free_pages"), "notice", "{}", examined.report);
    assert_eq!(examined.code, Some(0), "a notice is no warning: {}", examined.said);
}

#[test]
fn a_file_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("missing.db");
    let store = format!("sqlite:{}", path.display());
    let (code, shown, said) = run(&mut binary(&["doctor", "--queue", &store, "--store", &store]));
    assert_eq!((code, shown.as_str()), (Some(2), ""), "{said}");
    assert!(said.contains("does not exist") && !path.exists(), "{said}");
}
