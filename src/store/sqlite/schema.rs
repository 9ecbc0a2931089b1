//! The tables, and how an older file becomes a current one.

use std::path::Path;

use rusqlite::Connection;

use super::StoreError;
use super::writer::failure;

/// Marks the file as ours (`PRAGMA application_id`): "DWRD".
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"DWRD");

/// Step n turns version n into n + 1 (`PRAGMA user_version`). Steps that were released are never edited.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE sessions (
        key       BLOB    PRIMARY KEY NOT NULL CHECK (length(key) = 32),
        id        TEXT    NOT NULL,
        user      TEXT,
        groups    TEXT    NOT NULL, -- JSON list
        address   TEXT,
        created   INTEGER NOT NULL,
        last_seen INTEGER NOT NULL,
        expires   INTEGER NOT NULL,
        state     TEXT    NOT NULL  -- JSON object
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sessions_by_user ON sessions (user, id);
    CREATE TABLE tokens (
        key       BLOB    PRIMARY KEY NOT NULL CHECK (length(key) = 32),
        id        TEXT    NOT NULL,
        name      TEXT    NOT NULL,
        kind      TEXT    NOT NULL CHECK (kind IN ('login', 'minted')),
        user      TEXT    NOT NULL,
        groups    TEXT    NOT NULL, -- JSON list
        address   TEXT,
        created   INTEGER NOT NULL,
        last_used INTEGER,
        expires   INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tokens_by_user ON tokens (user, id);
",
    "
    CREATE TABLE bans (
        kind    TEXT    NOT NULL CHECK (kind IN ('address', 'device', 'user')),
        subject TEXT    NOT NULL,
        strikes INTEGER NOT NULL,
        since   INTEGER NOT NULL,
        until   INTEGER NOT NULL,
        forget  INTEGER NOT NULL,
        lifted  INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (kind, subject)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX bans_by_end ON bans (until);
    CREATE INDEX bans_lifted ON bans (kind, subject) WHERE lifted = 1;
",
    "
    ALTER TABLE tokens ADD COLUMN certificate TEXT; -- JSON list of base64: the chain that it was got by
",
    "
    ALTER TABLE tokens ADD COLUMN scope TEXT CHECK (scope IN ('read'));
",
    "
    CREATE TABLE certificates (
        key       BLOB    PRIMARY KEY NOT NULL CHECK (length(key) = 32),
        id        TEXT    NOT NULL,
        name      TEXT    NOT NULL,
        token     BLOB    NOT NULL, -- counts only as long as tokens has it
        address   TEXT,
        created   INTEGER NOT NULL,
        last_used INTEGER,
        expires   INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX certificates_by_token ON certificates (token);
",
    "
    ALTER TABLE bans ADD COLUMN provisional INTEGER NOT NULL DEFAULT 0; -- ends with the process that made it
",
];

/// Brings the tables up to date, as one transaction: two processes that start together do not do it twice, and after a
/// crash the file is as it was.
pub(super) fn migrate(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let run = |script: &str| connection.execute_batch(script).map_err(|error| failure(path, &error));
    run("BEGIN IMMEDIATE")?;
    let version = version(connection, path)?;
    let known = MIGRATIONS.len();
    let Some(steps) = MIGRATIONS.get(version..) else {
        let text = format!("a newer doorward wrote this file (version {version}; this one knows {known})");
        return Err(failure(path, &text));
    };
    for step in steps {
        run(step)?;
    }
    if !steps.is_empty() {
        run(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {known};"))?;
    }
    run("COMMIT")
}

/// The file's version; refuses a database that some other program made.
fn version(connection: &Connection, path: &Path) -> Result<usize, StoreError> {
    let number = |pragma: &str| {
        connection
            .query_row(&format!("SELECT * FROM {pragma}"), [], |row| row.get::<_, i64>(0))
            .map_err(|error| failure(path, &error))
    };
    let (application, version) = (number("pragma_application_id")?, number("pragma_user_version")?);
    let tables = number("(SELECT count(*) FROM sqlite_schema)")?;
    let ours = application == i64::from(APPLICATION_ID);
    if !ours && (application != 0 || version != 0 || tables != 0) {
        return Err(failure(path, &"this is a database of another program"));
    }
    usize::try_from(version).map_err(|_| failure(path, &"the version number is negative"))
}
