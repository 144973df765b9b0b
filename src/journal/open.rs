//! Opening: the folder, the file, its file system, its format.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

use super::{JournalError, Reader};
use crate::id::hex;

/// Of the file; rises with every change of the tables.
const FORMAT: i64 = 1;

/// SQLite below this may lose committed transactions of a log with several connections.
const SQLITE: (u32, u32, u32) = (3, 51, 3);

/// The steps from one format to the next, the first from nothing to 1.
const STEPS: [&str; 1] = ["
CREATE TABLE about(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE lease(run TEXT PRIMARY KEY, epoch INTEGER NOT NULL, holder TEXT NOT NULL, since TEXT NOT NULL)
  WITHOUT ROWID;
CREATE TABLE run(
  run TEXT PRIMARY KEY, playbook TEXT NOT NULL, name TEXT NOT NULL, sources TEXT NOT NULL, phase TEXT NOT NULL,
  exit INTEGER, started TEXT NOT NULL, ended TEXT, hosts TEXT NOT NULL, controller TEXT) WITHOUT ROWID;
CREATE TABLE run_host(
  run TEXT NOT NULL REFERENCES run, host TEXT NOT NULL, identity TEXT NOT NULL DEFAULT '',
  PRIMARY KEY(run, host)) WITHOUT ROWID;
CREATE INDEX run_open ON run(phase) WHERE phase <> 'done' AND phase <> 'closed' AND phase <> 'refused';
CREATE TABLE event(
  run TEXT NOT NULL, seq INTEGER NOT NULL, at TEXT NOT NULL, epoch INTEGER NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY(run, seq)) WITHOUT ROWID;
CREATE TABLE inbox(id INTEGER PRIMARY KEY, run TEXT NOT NULL, at TEXT NOT NULL, body TEXT NOT NULL);
"];

pub(super) async fn open(path: &Path) -> Result<(SqliteConnection, SqlitePool), JournalError> {
    let path = path.to_owned();
    let guard = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || prepare(&path))
            .await
            .map_err(|e| JournalError::open(Path::new(""), e))??
    };
    let mut writer = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(20))
        .disable_statement_logging()
        .connect()
        .await
        .map_err(|e| named(&path, e))?;
    settings(&path, &mut writer).await?;
    migrate(&path, &mut writer).await?;
    drop(guard);
    Ok((writer, pool(&path)))
}

pub(super) async fn open_reader(path: &Path) -> Result<Reader, JournalError> {
    match fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Reader::empty()),
        Err(e) => return Err(JournalError::open(path, e)),
        // An empty file is what a process that died while it opened leaves.
        Ok(meta) if meta.len() == 0 => return Ok(Reader::empty()),
        Ok(_) => {}
    }
    let pool = pool(path);
    let found = format(&mut *pool.acquire().await.map_err(|e| named(path, e))?)
        .await
        .map_err(|e| named(path, e))?;
    match found {
        0 => Ok(Reader::empty()),
        found if found > FORMAT => Err(newer(path, found)),
        _ => Ok(Reader::over(pool)),
    }
}

fn pool(path: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .read_only(true)
        .busy_timeout(Duration::from_secs(20))
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(4)
        .min_connections(0)
        .acquire_timeout(Duration::from_secs(25))
        .connect_lazy_with(options)
}

fn named(path: &Path, error: sqlx::Error) -> JournalError {
    match JournalError::from(error) {
        JournalError::Database(what) => JournalError::open(path, what),
        JournalError::Corrupt(what) => {
            JournalError::open(path, format!("{what}: it is damaged, or no journal of refit"))
        }
        JournalError::ReadOnly(what) => JournalError::open(path, format!("cannot be opened for writing: {what}")),
        other => other,
    }
}

fn newer(path: &Path, found: i64) -> JournalError {
    JournalError::Newer {
        path: path.to_owned(),
        found,
        known: FORMAT,
    }
}

/// Makes the folder and the file and takes the lock for the time of opening: SQLite's own steps to WAL mode and to the
/// tables are several, and sqlx has no lock around them.
fn prepare(path: &Path) -> Result<fs::File, JournalError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|e| JournalError::open(path, format!("its folder cannot be made: {e}")))?;
    }
    refuse_network(path, folder)?;
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(beside(path, ".lock"))
        .map_err(|e| JournalError::open(path, format!("cannot be opened for writing: {e}")))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).map_err(|e| JournalError::open(path, e))?;
    // Only where there is none: closing a second descriptor of a file drops SQLite's locks on it in this process.
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            let mode = fs::metadata(path)
                .map_err(|e| JournalError::open(path, e))?
                .permissions()
                .mode();
            if mode & 0o077 != 0 {
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(|e| {
                    JournalError::open(path, format!("others can read it, and that cannot be changed: {e}"))
                })?;
            }
        }
        Err(e) => return Err(JournalError::open(path, e)),
    }
    Ok(lock)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(target_os = "linux")]
fn refuse_network(path: &Path, folder: &Path) -> Result<(), JournalError> {
    let stat = rustix::fs::statfs(folder).map_err(|e| JournalError::open(path, e))?;
    #[allow(clippy::unnecessary_cast)]
    let kind = match stat.f_type as u32 {
        0x6969 => "NFS",
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => "SMB",
        0x00c3_6400 => "CephFS",
        0x5346_414f | 0x6b41_4653 => "AFS",
        _ => return Ok(()),
    };
    Err(JournalError::Network {
        path: path.to_owned(),
        kind,
    })
}

#[cfg(not(target_os = "linux"))]
fn refuse_network(_: &Path, _: &Path) -> Result<(), JournalError> {
    Ok(())
}

/// What the promises rest on is read back, not assumed.
async fn settings(path: &Path, db: &mut SqliteConnection) -> Result<(), JournalError> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&mut *db)
        .await?;
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut part = || parts.next().unwrap_or(0);
    if (part(), part(), part()) < SQLITE {
        return Err(JournalError::OldSqlite(version));
    }
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *db).await?;
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *db).await?;
    if mode != "wal" || synchronous != 2 {
        let what = format!("SQLite gives journal_mode={mode} synchronous={synchronous}; wal and 2 are needed");
        return Err(JournalError::open(path, what));
    }
    Ok(())
}

async fn format(db: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let format: i64 = sqlx::query("PRAGMA user_version").fetch_one(&mut *db).await?.get(0);
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *db)
        .await?;
    if format == 0 && tables > 0 {
        return Err(sqlx::Error::Protocol(
            "a database of something else, no journal of refit".into(),
        ));
    }
    Ok(format)
}

async fn migrate(path: &Path, db: &mut SqliteConnection) -> Result<(), JournalError> {
    let mut transaction = db.begin_with("BEGIN IMMEDIATE").await?;
    let found = format(&mut transaction).await.map_err(|e| named(path, e))?;
    if found > FORMAT {
        return Err(newer(path, found));
    }
    for step in STEPS.iter().skip(found as usize) {
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
    }
    if found < FORMAT {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA user_version={FORMAT}")))
            .execute(&mut *transaction)
            .await?;
    }
    if found == 0 {
        let key = random().map_err(|e| JournalError::open(path, e))?;
        sqlx::query("INSERT INTO about(name, value) VALUES('key', ?)")
            .bind(hex(&key))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

fn random() -> std::io::Result<[u8; 32]> {
    use std::io::Read;
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
