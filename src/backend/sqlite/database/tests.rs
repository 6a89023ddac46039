use std::sync::mpsc as std_mpsc;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

/// An open file with a table to write into, in a folder that is removed afterwards.
struct Fixture {
    database: Database,
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("test.db")).unwrap();
        connect(database.path()).execute_batch("CREATE TABLE entries (id INTEGER PRIMARY KEY) STRICT").unwrap();
        Self { database, folder }
    }

    /// Holds the thread up until the guard is dropped, so that what is sent meanwhile forms one group.
    async fn hold_up(&self) -> HeldUp {
        let (release, released) = std_mpsc::channel::<()>();
        let (start, started) = oneshot::channel();
        let database = self.database.clone();
        tokio::spawn(async move {
            database
                .read(move |_| {
                    let _ = start.send(());
                    let _ = released.recv();
                    Ok(())
                })
                .await
        });
        started.await.unwrap();
        HeldUp { _release: release }
    }
}

struct HeldUp {
    _release: std_mpsc::Sender<()>,
}

fn connect(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

fn insert(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    connection.execute("INSERT INTO entries (id) VALUES (?1)", [id]).map(drop)
}

fn entries(connection: &Connection) -> Vec<i64> {
    let mut select = connection.prepare("SELECT id FROM entries ORDER BY id").unwrap();
    select.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

/// Sends a job now and answers later.
async fn sent<T: Send + 'static>(
    database: &Database,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> oneshot::Receiver<Result<T, DatabaseError>> {
    let (answer, answered) = oneshot::channel();
    let job: Box<dyn Job> = Box::new(Task::new(Kind::Write, work, answer));
    database.0.jobs.as_ref().unwrap().send(job).await.unwrap_or_else(|_| panic!("the thread has ended"));
    answered
}

#[tokio::test]
async fn whoever_is_answered_finds_the_change_in_the_file() {
    let fixture = Fixture::new();
    let other = connect(fixture.database.path());
    for id in 1..=100 {
        fixture.database.write(move |connection| insert(connection, id)).await.unwrap();
        assert_eq!(entries(&other).last(), Some(&id));
    }
}

#[tokio::test]
async fn jobs_that_wait_are_committed_together() {
    let fixture = Fixture::new();
    let held_up = fixture.hold_up().await;
    let first = sent(&fixture.database, |connection| insert(connection, 1)).await;
    let path = fixture.database.path().to_owned();
    let second = sent(&fixture.database, move |connection| Ok((entries(connection), entries(&connect(&path))))).await;
    drop(held_up);

    first.await.unwrap().unwrap();
    let (within, committed) = second.await.unwrap().unwrap();
    assert_eq!(within, [1], "the second job runs in the transaction of the first");
    assert_eq!(committed, [0_i64; 0], "which is not committed before it ends");
}

#[tokio::test]
async fn nobody_in_a_group_is_answered_before_its_commit() {
    let fixture = Fixture::new();
    let held_up = fixture.hold_up().await;
    let mut first = sent(&fixture.database, |connection| insert(connection, 1)).await;
    let (start, started) = oneshot::channel();
    let (release, released) = std_mpsc::channel::<()>();
    let second = sent(&fixture.database, move |connection| {
        let _ = start.send(());
        let _ = released.recv();
        insert(connection, 2)
    })
    .await;
    drop(held_up);

    started.await.unwrap();
    assert_eq!(first.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    drop(release);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(entries(&connect(fixture.database.path())), [1, 2]);
}

#[tokio::test]
async fn a_commit_that_fails_is_unavailable_to_every_job_and_leaves_nothing() {
    let fixture = Fixture::new();
    fixture
        .database
        .write(|connection| {
            connection.execute_batch(
                "CREATE TABLE children (parent INTEGER REFERENCES entries (id) DEFERRABLE INITIALLY DEFERRED) STRICT",
            )
        })
        .await
        .unwrap();
    let held_up = fixture.hold_up().await;
    let good = sent(&fixture.database, |connection| insert(connection, 1)).await;
    // Refused by COMMIT, not before.
    let bad =
        sent(&fixture.database, |connection| connection.execute("INSERT INTO children VALUES (99)", []).map(drop))
            .await;
    drop(held_up);

    assert!(matches!(good.await.unwrap(), Err(DatabaseError::Unavailable(_))));
    assert!(matches!(bad.await.unwrap(), Err(DatabaseError::Unavailable(_))));
    assert_eq!(entries(&connect(fixture.database.path())), [0_i64; 0]);
    fixture.database.write(|connection| insert(connection, 2)).await.unwrap();
}

#[tokio::test]
async fn a_failing_job_leaves_nothing_and_does_not_harm_its_neighbours() {
    let fixture = Fixture::new();
    let held_up = fixture.hold_up().await;
    let before = sent(&fixture.database, |connection| insert(connection, 1)).await;
    let failing = sent(&fixture.database, |connection| {
        insert(connection, 2)?;
        insert(connection, 1)
    })
    .await;
    let after = sent(&fixture.database, |connection| insert(connection, 3)).await;
    drop(held_up);

    before.await.unwrap().unwrap();
    assert!(matches!(failing.await.unwrap(), Err(DatabaseError::Refused(_))));
    after.await.unwrap().unwrap();
    assert_eq!(entries(&connect(fixture.database.path())), [1, 3]);
}

#[tokio::test]
async fn a_panicking_job_leaves_nothing_and_does_not_harm_its_neighbours() {
    let fixture = Fixture::new();
    let held_up = fixture.hold_up().await;
    let panicking = sent(&fixture.database, |connection| -> rusqlite::Result<()> {
        insert(connection, 1)?;
        panic!("on purpose")
    })
    .await;
    let after = sent(&fixture.database, |connection| insert(connection, 2)).await;
    drop(held_up);

    assert!(matches!(panicking.await.unwrap(), Err(DatabaseError::Unavailable(_))));
    after.await.unwrap().unwrap();
    assert_eq!(entries(&connect(fixture.database.path())), [2]);
}

#[tokio::test]
async fn a_job_that_ends_the_transaction_takes_its_group_with_it_and_no_other() {
    let fixture = Fixture::new();
    let held_up = fixture.hold_up().await;
    let before = sent(&fixture.database, |connection| insert(connection, 1)).await;
    let ending = sent(&fixture.database, |connection| connection.execute_batch("ROLLBACK")).await;
    let after = sent(&fixture.database, |connection| insert(connection, 3)).await;
    drop(held_up);

    for job in [before, ending, after] {
        assert!(matches!(job.await.unwrap(), Err(DatabaseError::Unavailable(_))));
    }
    fixture.database.write(|connection| insert(connection, 4)).await.unwrap();
    assert_eq!(entries(&connect(fixture.database.path())), [4]);
}

#[tokio::test]
async fn dropping_the_database_finishes_what_was_queued() {
    let Fixture { database, folder } = Fixture::new();
    let path = database.path().to_owned();
    let (start, started) = oneshot::channel();
    let (release, released) = std_mpsc::channel::<()>();
    let mut answers = vec![
        sent(&database, move |_| {
            let _ = start.send(());
            let _ = released.recv();
            Ok(())
        })
        .await,
    ];
    started.await.unwrap();
    for id in 1..=100 {
        answers.push(sent(&database, move |connection| insert(connection, id)).await);
    }
    let dropped = tokio::task::spawn_blocking(move || drop(database));
    drop(release);
    dropped.await.unwrap();

    assert_eq!(entries(&connect(&path)).len(), 100);
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    drop(folder);
}

#[tokio::test]
async fn dropping_the_database_closes_the_file() {
    let Fixture { database, folder } = Fixture::new();
    database.write(|connection| insert(connection, 1)).await.unwrap();
    drop(database);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["test.db"], "the last to close the file copies the log into it and removes the log");
}

#[tokio::test]
async fn a_lock_of_another_process_is_waited_for() {
    let fixture = Fixture::new();
    let other = connect(fixture.database.path());
    other.execute_batch("BEGIN IMMEDIATE; INSERT INTO entries VALUES (1)").unwrap();
    let waiting = sent(&fixture.database, |connection| insert(connection, 2)).await;
    // Readers don't wait.
    assert_eq!(entries(&connect(fixture.database.path())), [0_i64; 0]);
    other.execute_batch("COMMIT").unwrap();

    waiting.await.unwrap().unwrap();
    assert_eq!(entries(&other), [1, 2]);
}

#[tokio::test]
async fn a_reader_does_not_wait_for_a_lock_of_another_process() {
    let fixture = Fixture::new();
    let other = connect(fixture.database.path());
    other.execute_batch("BEGIN IMMEDIATE; INSERT INTO entries VALUES (1)").unwrap();
    let seen = fixture.database.read(|connection| Ok(entries(connection))).await.unwrap();
    assert_eq!(seen, [0_i64; 0]);
    // A second process can open the file meanwhile.
    Database::open(fixture.database.path()).unwrap();
    other.execute_batch("COMMIT").unwrap();
}

#[tokio::test]
async fn the_file_is_synced_at_every_commit_and_keeps_its_references() {
    let fixture = Fixture::new();
    let setting = |name: &'static str| {
        let database = fixture.database.clone();
        async move {
            database.read(move |connection| connection.pragma_query_value(None, name, |row| row.get(0))).await.unwrap()
        }
    };
    let synchronous_full: i64 = setting("synchronous").await;
    assert_eq!(synchronous_full, 2);
    let foreign_keys: i64 = setting("foreign_keys").await;
    assert_eq!(foreign_keys, 1);
    let mode = fixture
        .database
        .read(|connection| connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0)))
        .await;
    assert_eq!(mode.unwrap(), "wal");
}

#[tokio::test]
async fn opening_a_file_again_applies_no_migration() {
    let fixture = Fixture::new();
    assert_eq!(fixture.database.migrate().await.unwrap(), MIGRATION_NAMES);
    assert_eq!(fixture.database.migrate().await.unwrap(), [""; 0]);
    let again = Database::open(fixture.database.path()).unwrap();
    assert_eq!(again.migrate().await.unwrap(), [""; 0]);
}

const MIGRATION_NAMES: [&str; 15] = [
    "V1__orders",
    "V2__timeline_and_dead_letters",
    "V3__queue",
    "V4__resolved_dead_letters",
    "V5__reconciler",
    "V6__observed_fences",
    "V7__submissions",
    "V8__horizon",
    "V9__retention",
    "V10__controls",
    "V11__holds",
    "V12__lists",
    "V13__jobs",
    "V14__requests",
    "V15__trends",
];

#[test]
fn a_file_can_be_made_by_many_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    let applied: Vec<String> = thread::scope(|scope| {
        let openers: Vec<_> =
            (0..8).map(|_| scope.spawn(|| open::open(&path).map(|(_, _, applied)| applied))).collect();
        openers.into_iter().flat_map(|opener| opener.join().unwrap().unwrap()).collect()
    });
    assert_eq!(applied, MIGRATION_NAMES, "each is applied once");
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("test.db");
    let error = Database::open(&path).unwrap_err();
    assert!(matches!(error.problem, Problem::NoFolder(_)), "{error:?}");
    let message = error.to_string();
    assert!(
        message.contains(&format!("{}: the folder {}", path.display(), path.parent().unwrap().display())),
        "{message}"
    );
}

#[test]
fn a_folder_is_not_opened_as_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let error = Database::open(folder.path()).unwrap_err();
    assert!(matches!(error.problem, Problem::NotAFile), "{error:?}");
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    let text =
        "Not a database, but long enough to be taken for the header of one, were it not for what it says. ".repeat(20);
    std::fs::write(&path, &text).unwrap();
    let error = Database::open(&path).unwrap_err();
    assert!(matches!(error.problem, Problem::NotADatabase(_)), "{error:?}");
    assert!(error.to_string().contains(&path.display().to_string()));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_file_of_a_version_to_come_is_opened_and_one_with_another_history_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    drop(Database::open(&path).unwrap());
    connect(&path)
        .execute_batch(
            "INSERT INTO refinery_schema_history SELECT 99, 'future', applied_on, checksum
             FROM refinery_schema_history WHERE version = 1",
        )
        .unwrap();
    drop(Database::open(&path).unwrap());
    for change in [
        "UPDATE refinery_schema_history SET checksum = '1' WHERE version = 2",
        "DELETE FROM refinery_schema_history WHERE version = 2",
    ] {
        connect(&path).execute_batch(change).unwrap();
        let error = Database::open(&path).unwrap_err();
        assert!(matches!(error.problem, Problem::OtherVersion(_)), "{error:?}");
        assert!(error.to_string().contains("V2"), "{error}");
    }
}

#[test]
fn causes_of_a_failed_open_are_told_apart() {
    let explained = |code| {
        let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        Problem::from(&error)
    };
    assert!(matches!(explained(rusqlite::ffi::SQLITE_CANTOPEN), Problem::NoRights(_)));
    assert!(matches!(explained(rusqlite::ffi::SQLITE_READONLY_DBMOVED), Problem::NoRights(_)));
    assert!(matches!(explained(rusqlite::ffi::SQLITE_BUSY_RECOVERY), Problem::Locked));
    assert!(matches!(explained(rusqlite::ffi::SQLITE_FULL), Problem::Other(_)));
}
