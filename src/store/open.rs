//! Opening the state file: made private, brought up to date under a lock, one connection to write and a few to read.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::Sqlite;
use sqlx::migrate::MigrateError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::error::{StoreError, db};
use super::transaction::Transaction;

/// How long to wait for another writer, in this process or another.
const BUSY: Duration = Duration::from_secs(10);
/// Connections that read.
const READERS: u32 = 4;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// A handle to the state. Clones share the connections; other processes may have the same file open.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) path: Arc<PathBuf>,
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Store {
    /// Opens the state file, which is made (mode 0600) when it is not there, and brings its tables up to date.
    ///
    /// Fails when it was written by a newer version, is no database, or cannot be written.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let opened = private(&beside(path, "open.lock"))?;
        // Two processes that start together must not both migrate; the kernel frees this lock whatever becomes of us.
        let guard = tokio::task::spawn_blocking(move || opened.lock().map(|()| opened))
            .await
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(|source| StoreError::File {
                path: path.to_owned(),
                source,
            })?;
        if !path.exists() {
            drop(private(path)?);
        }
        let cannot = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .acquire_timeout(BUSY)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(
                options
                    .clone()
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full),
            )
            .await
            .map_err(cannot)?;
        MIGRATIONS
            .run(&writer)
            .await
            .map_err(|source| match source {
                MigrateError::VersionMissing(migration) => StoreError::Newer {
                    path: path.to_owned(),
                    migration,
                },
                source => StoreError::Migrate {
                    path: path.to_owned(),
                    source,
                },
            })?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY)
            .test_before_acquire(false)
            .connect_with(options.read_only(true))
            .await
            .map_err(cannot)?;
        drop(guard);
        Ok(Self {
            path: Arc::new(path.to_owned()),
            writer,
            readers,
        })
    }

    /// Opens a state file that is there to read it, and changes nothing: its tables are not brought up to date, and every change
    /// through this handle fails.
    pub async fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        // Without a log beside it nobody has the file open; then it can be read without making one.
        let log = PathBuf::from(format!("{}-wal", path.display()));
        let alone = std::fs::metadata(&log).map_or(true, |log| log.len() == 0);
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY)
            .read_only(true)
            .immutable(alone);
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY)
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .map_err(|source| StoreError::Open {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            path: Arc::new(path.to_owned()),
            writer: readers.clone(),
            readers,
        })
    }

    /// What SQLite finds wrong with the file, a line each; nothing when it is whole.
    pub async fn faults(&self) -> Result<Vec<String>, StoreError> {
        let lines: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_all(&self.readers)
            .await
            .map_err(db("check the state file"))?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    /// How the file's tables stand to this version's: how many changes are not made yet, and the first that this version does not know.
    pub async fn age(&self) -> Result<(usize, Option<i64>), StoreError> {
        let made: Vec<i64> = sqlx::query_scalar(
            "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(db("read the state file's version"))?;
        let known = || {
            MIGRATIONS
                .iter()
                .filter(|change| !change.migration_type.is_down_migration())
        };
        let missing = known()
            .filter(|change| !made.contains(&change.version))
            .count();
        let newer = made
            .into_iter()
            .find(|version| known().all(|change| change.version != *version));
        Ok((missing, newer))
    }

    /// The state file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a transaction, which excludes every other writer until it is committed or dropped. Waits up to ten seconds for its turn.
    ///
    /// Dropping it undoes everything. Do not hold one across a call to Proxmox.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        let inner = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(db("begin a transaction"))?;
        Ok(Transaction::new(inner))
    }

    pub(super) async fn reader(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        self.readers
            .acquire()
            .await
            .map_err(db("read the state file"))
    }

    pub(super) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Closes every connection, folding the write-ahead log into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Opens a file, made with mode 0600 when it is not there. The lock that guards the migrations is a file of its own: SQLite's locks
/// are on the state file, and closing a second descriptor of that one would drop them.
fn private(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| {
            match path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty())
            {
                Some(folder) if source.kind() == ErrorKind::NotFound && !folder.exists() => {
                    StoreError::NoFolder {
                        folder: folder.to_owned(),
                    }
                }
                _ => StoreError::File {
                    path: path.to_owned(),
                    source,
                },
            }
        })
}

/// A file beside the state file: `state.db` and `open.lock` give `state.db.open.lock`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}
