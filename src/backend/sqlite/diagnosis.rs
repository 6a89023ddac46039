//! What `doctor` finds out of the file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;

use super::database::{Database, DatabaseError};
use super::queue::SqliteQueue;
use super::store::SqliteStore;
use crate::port::diagnosis::embedded::EmbeddedFacts;
use crate::port::diagnosis::{QueueDiagnosis, QueueFacts, Seen, StoreDiagnosis, StoreFacts};
use crate::port::queue::QueueError;
use crate::port::store::StoreError;

#[async_trait]
impl StoreDiagnosis for SqliteStore {
    async fn store_facts(&self, _sample: Duration) -> Result<StoreFacts, StoreError> {
        Ok(StoreFacts::Embedded(facts(self.database()).await?))
    }
}

#[async_trait]
impl QueueDiagnosis for SqliteQueue {
    async fn queue_facts(&self) -> Result<QueueFacts, QueueError> {
        Ok(QueueFacts::Embedded(facts(self.database()).await?))
    }
}

async fn facts(database: &Database) -> Result<EmbeddedFacts, DatabaseError> {
    let path = database.path().to_owned();
    let (journal_mode, bytes, free_bytes) = database
        .read(|connection: &Connection| {
            let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            let mode = connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))?;
            let page = number("page_size")?;
            Ok((mode, page * number("page_count")?, page * number("freelist_count")?))
        })
        .await?;
    let mut log = path.clone().into_os_string();
    log.push("-wal");
    Ok(EmbeddedFacts {
        journal_mode,
        bytes: u64::try_from(bytes).unwrap_or_default(),
        free_bytes: u64::try_from(free_bytes).unwrap_or_default(),
        log_bytes: fs::metadata(log).map_or(0, |log| log.len()),
        disk_free: disk_free(&path),
        doubtful_file_system: doubtful_file_system(&path),
        path,
    })
}

#[cfg(unix)]
fn disk_free(path: &Path) -> Seen<u64> {
    let disk = rustix::fs::statvfs(path).map_err(|error| error.to_string())?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn disk_free(_: &Path) -> Seen<u64> {
    Err("not looked at on this system".to_owned())
}

/// File systems of a network, or of a program that decides about locks by itself, by their numbers in `statfs(2)`.
#[cfg(target_os = "linux")]
fn doubtful_file_system(path: &Path) -> Seen<Option<&'static str>> {
    const DOUBTFUL: [(u32, &str); 8] = [
        (0x6969, "NFS, a file system of the network"),
        (0x517b, "SMB, a file system of the network"),
        (0xff53_4d42, "CIFS, a file system of the network"),
        (0xfe53_4d42, "SMB2, a file system of the network"),
        (0x5346_414f, "AFS, a file system of the network"),
        (0x00c3_6400, "Ceph, a file system of the network"),
        (0x0102_1997, "9P, a folder of another machine"),
        (0x6573_5546, "FUSE, a file system that a program serves"),
    ];
    let found = rustix::fs::statfs(path).map_err(|error| error.to_string())?;
    // Its type differs between architectures, and the numbers have 32 bits.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the lower 32 bits are the number")]
    let number = found.f_type as u32;
    Ok(DOUBTFUL.iter().find(|(known, _)| *known == number).map(|(_, name)| *name))
}

#[cfg(not(target_os = "linux"))]
fn doubtful_file_system(_: &Path) -> Seen<Option<&'static str>> {
    Err("not looked at on this system".to_owned())
}
