//! The store of one machine: SQLite in the state folder.
//!
//! Every commit is on the disk before it counts (`synchronous = FULL` over a write-ahead log), what is deleted is
//! overwritten, and several processes of the machine may have the file open, as `stubgate login` does beside the running
//! appliance. Who leads a login holds a lock of the system on a file of its own, which ends with the process that holds it
//! and with nothing else. Folder and files are for the owner alone. A folder on a network file system has no such locks
//! and is not for this.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use rustix::fs::{FlockOperation, flock};

use super::{Doing, Lease, Row, Store, StoreError};
use crate::minted::{make_folder, open_or_make};

/// The folder below the state folder.
pub(crate) const FOLDER: &str = "escrow";
const FILE: &str = "logins.sqlite3";
/// How long a commit of another process is waited for.
const BUSY: Duration = Duration::from_secs(5);
/// What brings an empty file to the tables of now, one step a number; a step that was published never changes.
const MIGRATIONS: &[&str] = &["CREATE TABLE login (
    name TEXT PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    written TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) STRICT, WITHOUT ROWID"];

/// A file of logins.
pub(crate) struct Sqlite {
    folder: PathBuf,
    connection: Arc<Mutex<Connection>>,
}

impl Sqlite {
    /// Opens the file in a state folder, made where it is not there. Blocking.
    pub(crate) fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let folder = state_dir.join(FOLDER);
        let at = |error: io::Error| StoreError::Unreachable(format!("{}: {error}", folder.display()));
        make_folder(&folder).map_err(at)?;
        let file = folder.join(FILE);
        // SQLite would make it readable by all, and makes the files beside it as this one is.
        open_or_make(&file, OpenOptions::new().read(true).write(true)).map_err(at)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&file, flags).map_err(said)?;
        prepare(&mut connection)?;
        Ok(Self { folder, connection: Arc::new(Mutex::new(connection)) })
    }

    /// Runs on a thread that may block.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Doing<'_, T> {
        let connection = Arc::clone(&self.connection);
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || {
                // A panic in another use left no transaction behind: each is rolled back when dropped.
                work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))
            });
            done.await.map_err(|_| StoreError::Unreachable("the process is ending".into()))?
        })
    }
}

impl Store for Sqlite {
    fn read<'a>(&'a self, name: &'a str) -> Doing<'a, Option<Row>> {
        let name = name.to_owned();
        self.run(move |connection| {
            let sql = "SELECT revision, generation, sealed FROM login WHERE name = ?1";
            let mut statement = connection.prepare(sql).map_err(said)?;
            let row = statement.query_row([&name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional();
            row.map_err(said)?.map(|(revision, generation, sealed)| row_of(revision, generation, sealed)).transpose()
        })
    }

    fn write<'a>(&'a self, name: &'a str, row: &'a Row) -> Doing<'a, bool> {
        let (name, row) = (name.to_owned(), row.clone());
        self.run(move |connection| {
            let (revision, generation) = (number(row.revision)?, number(row.generation)?);
            let changed = if row.revision == 1 {
                let sql = "INSERT INTO login (name, revision, generation, sealed) VALUES (?1, ?2, ?3, ?4) \
                           ON CONFLICT DO NOTHING";
                connection.execute(sql, params![name, revision, generation, row.sealed])
            } else {
                let sql = "UPDATE login SET revision = ?2, generation = ?3, sealed = ?4, written = CURRENT_TIMESTAMP \
                           WHERE name = ?1 AND revision = ?2 - 1";
                connection.execute(sql, params![name, revision, generation, row.sealed])
            };
            changed.map(|rows| rows == 1).map_err(said)
        })
    }

    fn revisions(&self) -> Doing<'_, Vec<(String, u64)>> {
        self.run(|connection| {
            let sql = "SELECT name, revision FROM login ORDER BY name";
            let mut statement = connection.prepare(sql).map_err(said)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(said)?;
            rows.map(|row| {
                let (name, revision): (String, i64) = row.map_err(said)?;
                Ok((name, unsigned(revision)?))
            })
            .collect()
        })
    }

    fn lead<'a>(&'a self, name: &'a str) -> Doing<'a, Option<Lease>> {
        let path = self.folder.join(format!("{}.lock", hex(name)));
        Box::pin(async move {
            let locked = tokio::task::spawn_blocking(move || lock(&path)).await;
            let locked = locked.map_err(|_| StoreError::Unreachable("the process is ending".into()))?;
            let file = locked.map_err(|error| StoreError::Unreachable(format!("a lock: {error}")))?;
            Ok(file.map(|file| Lease { _held: Box::new(file) }))
        })
    }

    fn patience(&self) -> Duration {
        // The lock was had, so whoever held it is gone.
        Duration::ZERO
    }
}

/// The file is never removed: a lock on a name that stands for another file by now would be worth nothing.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = open_or_make(path, OpenOptions::new().read(true).write(true))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY).map_err(said)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(said)?;
    if mode != "wal" {
        return Err(StoreError::Unusable(format!("its file takes no write-ahead log (journal mode {mode})")));
    }
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF; \
             PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;",
        )
        .map_err(said)?;
    let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(said)?;
    let version: i64 = change.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(said)?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    let Some(steps) = MIGRATIONS.get(done..) else {
        return Err(StoreError::Unusable("it was written by a later version of stubgate".into()));
    };
    for step in steps {
        change.execute_batch(step).map_err(said)?;
    }
    if !steps.is_empty() {
        change.execute_batch(&format!("PRAGMA user_version = {}", MIGRATIONS.len())).map_err(said)?;
    }
    change.commit().map_err(said)
}

fn row_of(revision: i64, generation: i64, sealed: Vec<u8>) -> Result<Row, StoreError> {
    Ok(Row { revision: unsigned(revision)?, generation: unsigned(generation)?, sealed })
}

fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Unusable("it holds a negative number".into()))
}

fn number(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Unusable("its numbers are used up".into()))
}

/// A name of a file for any name of a login.
fn hex(name: &str) -> String {
    use std::fmt::Write as _;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    digest.as_ref().iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What SQLite says. It names tables and files, and never a value that was bound.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn said(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
            StoreError::Unusable(error.to_string())
        }
        _ => StoreError::Unreachable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn row(revision: u64) -> Row {
        Row { revision, generation: 1, sealed: vec![7; 40] }
    }

    #[tokio::test]
    async fn a_write_replaces_the_revision_before_it_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path()).unwrap();
        assert_eq!(store.read("a").await.unwrap(), None);
        for (revision, expected) in [(2, false), (1, true), (1, false), (3, false), (2, true), (2, false), (3, true)] {
            assert_eq!(store.write("a", &row(revision)).await.unwrap(), expected, "{revision}");
        }
        let again = Sqlite::open(folder.path()).unwrap();
        assert_eq!(again.read("a").await.unwrap(), Some(row(3)));
        assert!(again.write("b", &row(1)).await.unwrap());
        assert_eq!(store.revisions().await.unwrap(), [("a".to_owned(), 3), ("b".to_owned(), 1)]);
    }

    #[tokio::test]
    async fn one_alone_leads_a_login_until_it_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (Sqlite::open(folder.path()).unwrap(), Sqlite::open(folder.path()).unwrap());
        let held = one.lead("a").await.unwrap().unwrap();
        assert!(two.lead("a").await.unwrap().is_none());
        assert!(one.lead("a").await.unwrap().is_none());
        assert!(two.lead("b").await.unwrap().is_some());
        drop(held);
        // A process that another test starts at this moment has the lock until it runs its program.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while two.lead("a").await.unwrap().is_none() {
            assert!(std::time::Instant::now() < deadline, "it was let go");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn folder_and_files_are_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path()).unwrap();
        store.write("a", &row(1)).await.unwrap();
        let _held = store.lead("a").await.unwrap();
        let made = folder.path().join(FOLDER);
        assert_eq!(made.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let files: Vec<_> = std::fs::read_dir(&made).unwrap().map(|file| file.unwrap()).collect();
        assert!(files.len() >= 4, "the file, its log, its index and a lock");
        for file in files {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
        }
    }

    #[tokio::test]
    async fn what_root_makes_belongs_to_whom_the_state_folder_belongs() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(65_534), Some(65_534)).unwrap();
        }
        let expected = folder.path().metadata().unwrap();
        let made = folder.path().join(FOLDER);
        let key = crate::escrow::KeySource::Made.load(&made).unwrap();
        let store = Sqlite::open(folder.path()).unwrap();
        store.write("a", &row(1)).await.unwrap();
        let _held = store.lead("a").await.unwrap();
        assert_eq!(key.made, Some(made.join("key")));
        let files: Vec<_> = std::fs::read_dir(&made).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 5, "{files:?}");
        for path in files.iter().chain([&made]) {
            let found = path.metadata().unwrap();
            assert_eq!((found.uid(), found.gid()), (expected.uid(), expected.gid()), "{path:?}");
        }
    }

    #[test]
    fn a_file_of_a_later_version_or_of_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(Sqlite::open(folder.path()).unwrap());
        let file = folder.path().join(FOLDER).join(FILE);
        Connection::open(&file).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
        assert!(matches!(Sqlite::open(folder.path()), Err(StoreError::Unusable(_))));
        std::fs::remove_file(folder.path().join(FOLDER).join("logins.sqlite3-wal")).ok();
        std::fs::write(&file, [b'x'; 4096]).unwrap();
        assert!(matches!(Sqlite::open(folder.path()), Err(StoreError::Unusable(_))));
    }
}
