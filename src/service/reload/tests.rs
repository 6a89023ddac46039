use std::fs;
use std::time::Instant;

use super::*;

/// Far more than a look at files takes.
const SOON: Duration = Duration::from_secs(30);

struct Watched {
    folder: tempfile::TempDir,
    reload: Reload,
    watch: FileWatch,
}

impl Watched {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("one"), "1").unwrap();
        let reload = Reload::default();
        let watch = reload.watch(["one", "two"].map(|name| folder.path().join(name)).to_vec());
        Self { folder, reload, watch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn changes(&mut self) {
        tokio::time::timeout(SOON, self.watch.changed()).await.expect("a change is noticed");
    }
}

#[tokio::test]
async fn a_file_that_is_written_replaced_removed_or_comes_is_a_change_and_each_is_one() {
    let mut watched = Watched::new();
    fs::write(watched.path("one"), "12").unwrap();
    watched.changes().await;
    fs::write(watched.path("new"), "21").unwrap();
    fs::rename(watched.path("new"), watched.path("one")).unwrap();
    watched.changes().await;
    fs::write(watched.path("two"), "2").unwrap();
    watched.changes().await;
    fs::remove_file(watched.path("one")).unwrap();
    watched.changes().await;
    let unchanged = tokio::time::timeout(LOOK_EVERY * 3, watched.watch.changed()).await;
    assert!(unchanged.is_err(), "a change that is none");
}

/// As in a volume of Kubernetes, where the folder behind the files is another one after a change.
#[tokio::test]
async fn a_link_that_leads_elsewhere_is_a_change() {
    let mut watched = Watched::new();
    for version in ["first", "second"] {
        fs::create_dir(watched.path(version)).unwrap();
        fs::write(watched.path(version).join("two"), version).unwrap();
        let link = watched.path("new");
        std::os::unix::fs::symlink(watched.path(version), &link).unwrap();
        fs::rename(&link, watched.path("data")).unwrap();
        if version == "first" {
            std::os::unix::fs::symlink(watched.path("data").join("two"), watched.path("two")).unwrap();
        }
        watched.changes().await;
    }
}

#[tokio::test]
async fn a_reload_that_is_asked_for_needs_no_change() {
    let mut watched = Watched::new();
    watched.reload.now();
    watched.changes().await;
    watched.reload.now();
    watched.changes().await;
}

#[tokio::test]
async fn a_file_that_is_still_being_written_to_is_left_alone() {
    let mut watched = Watched::new();
    let path = watched.path("one");
    let until = Instant::now() + LOOK_EVERY * 4;
    let writing = tokio::spawn(async move {
        let mut length = 1;
        while Instant::now() < until {
            length += 1;
            fs::write(&path, "x".repeat(length)).unwrap();
            tokio::time::sleep(LOOK_EVERY / 20).await;
        }
    });
    watched.changes().await;
    assert!(Instant::now() >= until, "the change was taken for whole");
    writing.await.unwrap();
}
