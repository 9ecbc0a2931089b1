//! Opening the file: who may read it, how safely it is written, whether it is whole.

use std::fs::{self, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::StoreError;
use super::schema::migrate;
use super::writer::failure;

const PRIVATE: u32 = 0o600;
/// How long to wait for another process that holds the file, for example a backup.
const BUSY: Duration = Duration::from_secs(5);

/// Opens, checks and upgrades the file.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    make_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| failure(path, &error))?;
    connection.busy_timeout(BUSY).map_err(|error| failure(path, &error))?;
    check(&connection).map_err(|error| damaged(path, &error))?;
    configure(&connection, path)?;
    migrate(&connection, path)?;
    Ok(connection)
}

/// Creates the file before SQLite does, because SQLite would follow the umask; its `-wal` and `-shm` files then get the
/// same mode from SQLite. Those left by an earlier run are narrowed too.
fn make_private(path: &Path) -> Result<(), StoreError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE)
        .open(path)
        .map_err(|error| failure(path, &error))?;
    narrow(path)?;
    for suffix in ["-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        narrow(&PathBuf::from(name))?;
    }
    Ok(())
}

/// A file that others can read is closed to them; one that others could *write* may already hold a session of their
/// making, and is refused.
fn narrow(path: &Path) -> Result<(), StoreError> {
    let mode = match fs::metadata(path) {
        Ok(found) => found.mode() & 0o777,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failure(path, &error)),
    };
    if mode & 0o022 != 0 {
        let text = format!(
            "others may write this file (mode {mode:03o}), so its sessions cannot be trusted; \
             remove it (everyone logs in again), or chmod 600 it if you know its content"
        );
        return Err(failure(path, &text));
    }
    if mode & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(PRIVATE)).map_err(|error| failure(path, &error))
}

/// Reads every page once. Better to refuse at start than to answer wrongly later.
fn check(connection: &Connection) -> Result<(), String> {
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| error.to_string())?;
    if verdict == "ok" { Ok(()) } else { Err(verdict) }
}

fn damaged(path: &Path, detail: &str) -> StoreError {
    let text = format!(
        "the session database is damaged or no database ({detail}); move it away (with its -wal and -shm files) to \
         start with an empty one, then everyone logs in again"
    );
    failure(path, &text)
}

/// Write-ahead log, flushed at each commit (`FULL`: in WAL mode `NORMAL` would lose the last commits in a power cut, and
/// a revoked token would come back). Deleted rows are overwritten.
fn configure(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let set = |pragma: &str| connection.execute_batch(pragma).map_err(|error| failure(path, &error));
    let journal: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(|error| failure(path, &error))?;
    if journal != "wal" {
        tracing::warn!(file = %path.display(), journal, "the file system allows no write-ahead log; logins are slower");
    }
    set("PRAGMA synchronous = FULL")?;
    set("PRAGMA secure_delete = ON")?;
    set("PRAGMA journal_size_limit = 16777216")?;
    // Text in the schema must never run as code, should someone manage to write the file.
    set("PRAGMA trusted_schema = OFF")
}
