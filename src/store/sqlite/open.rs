//! Opening the file: who may read it, how safely it is written, whether it is whole.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::{FileStat, SFlag};
use nix::unistd::geteuid;
use rusqlite::{Connection, OpenFlags};

use super::StoreError;
use super::schema::migrate;
use super::writer::failure;
use crate::fs::Folder;

const PRIVATE: u32 = 0o600;
/// How long to wait for another process that holds the file, for example a backup.
const BUSY: Duration = Duration::from_secs(5);

/// What SQLite may keep beside the file.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Opens, checks and upgrades the file.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let real = make_private(path)?;
    // SQLite gets the path without links, and does not follow one that appears in it meanwhile.
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(real, flags).map_err(|error| failure(path, &error))?;
    connection.busy_timeout(BUSY).map_err(|error| failure(path, &error))?;
    check(&connection).map_err(|error| damaged(path, &error))?;
    configure(&connection, path)?;
    migrate(&connection, path)?;
    Ok(connection)
}

/// Creates the file before SQLite does, because SQLite would follow the umask; its `-wal` and `-shm` files then get the
/// same mode from SQLite. Those left by an earlier run are narrowed too. Gives the path without links.
fn make_private(path: &Path) -> Result<PathBuf, StoreError> {
    let (folder, name) = Folder::of(path).map_err(|error| failure(path, &error))?;
    must_be_ours(&folder, path)?;
    match folder.create_new(&name, PRIVATE) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => narrow(&folder, &name)?,
        Err(error) => return Err(failure(path, &error)),
    }
    for suffix in COMPANIONS {
        let mut companion = name.clone();
        companion.push(suffix);
        narrow(&folder, &companion)?;
    }
    Ok(folder.real().join(name))
}

/// Who may write the folder can put a database of their own there, and root would be led elsewhere by a folder above.
fn must_be_ours(folder: &Folder, path: &Path) -> Result<(), StoreError> {
    let stat = folder.stat().map_err(|error| failure(path, &error))?;
    let (own, name) = (geteuid().as_raw(), folder.real().display());
    let text = if stat.st_mode & 0o022 != 0 {
        format!(
            "others may write in {name} (mode {:04o}), so its sessions cannot be trusted; look at what is in it and \
             run: chmod go-w {name}",
            stat.st_mode & 0o7777
        )
    } else if ![0, own].contains(&stat.st_uid) {
        format!("{name} belongs to user {}; run this as that user", stat.st_uid)
    } else if own == 0 && !folder.is_found_by(0) {
        format!("others could exchange {name}; move it to where only root may write")
    } else {
        return Ok(());
    };
    Err(failure(path, &text))
}

/// A file that others can read is closed to them; one that others could *write* may already hold a session of their
/// making, and is refused. So is what is no file of this user's alone: a link, a pipe, a file with a second name.
///
/// The file is not opened for this: to close a file gives back the locks that SQLite holds on it in this process.
fn narrow(folder: &Folder, name: &OsStr) -> Result<(), StoreError> {
    let path = folder.real().join(name);
    let failed = |error: &dyn std::fmt::Display| failure(&path, error);
    let Some(found) = folder.look(name).map_err(|error| failed(&error))? else { return Ok(()) };
    judge(&found).map_err(|text| failed(&text))?;
    if found.st_mode & 0o077 == 0 {
        return Ok(());
    }
    // The very file that is changed is judged once more.
    match folder.set_mode(name, PRIVATE, |found| judge(found).is_ok()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(failed(&"was exchanged while it was looked at")),
        Err(error) => Err(failed(&error)),
    }
}

fn judge(found: &FileStat) -> Result<(), String> {
    let mode = found.st_mode & 0o777;
    let kind = SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits());
    Err(if kind == SFlag::S_IFLNK {
        "is a symbolic link, which is not followed; remove it".to_owned()
    } else if kind != SFlag::S_IFREG {
        "is not a file; remove it".to_owned()
    } else if found.st_nlink > 1 {
        "has another name elsewhere (a hard link); remove one of the two".to_owned()
    } else if ![0, geteuid().as_raw()].contains(&found.st_uid) {
        format!("belongs to user {}; remove it, or run this as that user", found.st_uid)
    } else if mode & 0o022 != 0 {
        format!(
            "others may write this file (mode {mode:03o}), so its sessions cannot be trusted; \
             remove it (everyone logs in again), or chmod 600 it if you know its content"
        )
    } else {
        return Ok(());
    })
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
