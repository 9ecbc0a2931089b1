//! The statements, and how rows become records. A row that does not read as a record is an error, never a guess.

use std::error::Error;
use std::net::IpAddr;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::{ClientCertificate, Scope, UnixSeconds, Username};
use crate::store::{KeyHash, SessionRecord, TokenKind, TokenRecord};

const SESSION_COLUMNS: &str = "key, id, user, groups, address, created, last_seen, expires, state";
pub(super) const TOKEN_COLUMNS: &str =
    "key, id, name, kind, user, groups, address, created, last_used, expires, certificate, scope";

pub(super) fn put_session(connection: &Connection, record: &SessionRecord) -> rusqlite::Result<()> {
    connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO sessions ({SESSION_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        ))?
        .execute(params![
            record.key,
            record.id,
            record.user.as_ref().map(Username::as_str),
            to_json(&record.groups)?,
            record.address.map(|address| address.to_string()),
            record.created,
            record.last_seen,
            record.expires,
            to_json(&record.state)?,
        ])
        .map(drop)
}

pub(super) fn replace_session(connection: &Connection, record: &SessionRecord) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "UPDATE sessions SET user = ?2, groups = ?3, address = ?4, last_seen = max(last_seen, ?5), state = ?6
             WHERE key = ?1",
        )?
        .execute(params![
            record.key,
            record.user.as_ref().map(Username::as_str),
            to_json(&record.groups)?,
            record.address.map(|address| address.to_string()),
            record.last_seen,
            to_json(&record.state)?,
        ])
        .map(|changed| changed > 0)
}

pub(super) fn session(connection: &Connection, key: &KeyHash) -> rusqlite::Result<Option<SessionRecord>> {
    connection
        .prepare_cached(&format!("SELECT {SESSION_COLUMNS} FROM sessions WHERE key = ?1"))?
        .query_row([key], session_record)
        .optional()
}

pub(super) fn sessions_of(connection: &Connection, user: &Username) -> rusqlite::Result<Vec<SessionRecord>> {
    connection
        .prepare_cached(&format!(
            "SELECT {SESSION_COLUMNS} FROM sessions WHERE user = ?1 ORDER BY created DESC, id"
        ))?
        .query_map([user.as_str()], session_record)?
        .collect()
}

pub(super) fn all_sessions(connection: &Connection) -> rusqlite::Result<Vec<SessionRecord>> {
    connection
        .prepare_cached(&format!(
            "SELECT {SESSION_COLUMNS} FROM sessions WHERE user IS NOT NULL ORDER BY created DESC, id"
        ))?
        .query_map([], session_record)?
        .collect()
}

pub(super) fn delete_session(connection: &Connection, key: &KeyHash) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("DELETE FROM sessions WHERE key = ?1")?
        .execute([key])
        .map(|changed| changed > 0)
}

pub(super) fn delete_session_by_id(
    connection: &Connection,
    user: &Username,
    id: &str,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("DELETE FROM sessions WHERE user = ?1 AND id = ?2")?
        .execute([user.as_str(), id])
        .map(|changed| changed > 0)
}

pub(super) fn put_token(connection: &Connection, record: &TokenRecord) -> rusqlite::Result<()> {
    connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO tokens ({TOKEN_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
        ))?
        .execute(params![
            record.key,
            record.id,
            record.name,
            kind_word(record.kind),
            record.user.as_str(),
            to_json(&record.groups)?,
            record.address.map(|address| address.to_string()),
            record.created,
            record.last_used,
            record.expires,
            record.certificate.as_ref().map(to_json).transpose()?,
            record.scope.map(Scope::as_str),
        ])
        .map(drop)
}

pub(super) fn token(connection: &Connection, key: &KeyHash) -> rusqlite::Result<Option<TokenRecord>> {
    connection
        .prepare_cached(&format!("SELECT {TOKEN_COLUMNS} FROM tokens WHERE key = ?1"))?
        .query_row([key], |row| token_record(row, 0))
        .optional()
}

pub(super) fn tokens_of(connection: &Connection, user: &Username) -> rusqlite::Result<Vec<TokenRecord>> {
    connection
        .prepare_cached(&format!(
            "SELECT {TOKEN_COLUMNS} FROM tokens WHERE user = ?1 ORDER BY created DESC, id"
        ))?
        .query_map([user.as_str()], |row| token_record(row, 0))?
        .collect()
}

pub(super) fn all_tokens(connection: &Connection) -> rusqlite::Result<Vec<TokenRecord>> {
    connection
        .prepare_cached(&format!("SELECT {TOKEN_COLUMNS} FROM tokens ORDER BY created DESC, id"))?
        .query_map([], |row| token_record(row, 0))?
        .collect()
}

pub(super) fn delete_token(connection: &Connection, user: &Username, id: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("DELETE FROM tokens WHERE user = ?1 AND id = ?2")?
        .execute([user.as_str(), id])
        .map(|changed| changed > 0)
}

/// All that a user has in one table.
pub(super) fn delete_of(connection: &Connection, table: &str, user: &Username) -> rusqlite::Result<usize> {
    connection.execute(&format!("DELETE FROM {table} WHERE user = ?1"), [user.as_str()])
}

pub(super) fn delete_user(connection: &Connection, user: &Username) -> rusqlite::Result<usize> {
    Ok(delete_of(connection, "sessions", user)? + delete_of(connection, "tokens", user)?)
}

pub(super) fn set_groups(
    connection: &Connection,
    user: &Username,
    groups: &[String],
) -> rusqlite::Result<()> {
    let groups = to_json(&groups)?;
    for table in ["sessions", "tokens"] {
        connection
            .prepare_cached(&format!("UPDATE {table} SET groups = ?2 WHERE user = ?1 AND groups <> ?2"))?
            .execute(params![user.as_str(), groups])?;
    }
    Ok(())
}

/// Times only grow, so batches of several worker threads may arrive in any order.
pub(super) fn touch(
    connection: &Connection,
    sessions: &[(KeyHash, UnixSeconds)],
    tokens: &[(KeyHash, UnixSeconds)],
) -> rusqlite::Result<()> {
    let mut update =
        connection.prepare_cached("UPDATE sessions SET last_seen = ?2 WHERE key = ?1 AND last_seen < ?2")?;
    for (key, at) in sessions {
        update.execute(params![key, at])?;
    }
    let mut update = connection.prepare_cached(
        "UPDATE tokens SET last_used = ?2 WHERE key = ?1 AND (last_used IS NULL OR last_used < ?2)",
    )?;
    for (key, at) in tokens {
        update.execute(params![key, at])?;
    }
    Ok(())
}

pub(super) fn purge(
    connection: &Connection,
    now: UnixSeconds,
    idle_since: UnixSeconds,
) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM sessions WHERE expires <= ?1 OR last_seen < ?2", [now, idle_since])?;
    connection.execute("DELETE FROM tokens WHERE expires <= ?1", [now])?;
    Ok(())
}

/// Reads a table, so that a file that has gone bad or away shows.
pub(super) fn ping(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("SELECT count(*) FROM (SELECT 1 FROM sessions LIMIT 1)", [], |_| Ok(()))
}

fn session_record(row: &Row<'_>) -> rusqlite::Result<SessionRecord> {
    Ok(SessionRecord {
        key: row.get(0)?,
        id: row.get(1)?,
        user: row.get::<_, Option<String>>(2)?.map(|name| username(2, &name)).transpose()?,
        groups: from_json(row, 3)?,
        address: address(row, 4)?,
        created: row.get(5)?,
        last_seen: row.get(6)?,
        expires: row.get(7)?,
        state: from_json(row, 8)?,
    })
}

/// Reads a token whose columns begin at `first`.
pub(super) fn token_record(row: &Row<'_>, first: usize) -> rusqlite::Result<TokenRecord> {
    Ok(TokenRecord {
        key: row.get(first)?,
        id: row.get(first + 1)?,
        name: row.get(first + 2)?,
        kind: kind(row, first + 3)?,
        user: username(first + 4, &row.get::<_, String>(first + 4)?)?,
        groups: from_json(row, first + 5)?,
        address: address(row, first + 6)?,
        created: row.get(first + 7)?,
        last_used: row.get(first + 8)?,
        expires: row.get(first + 9)?,
        certificate: certificate(row, first + 10)?,
        scope: scope(row, first + 11)?,
    })
}

const fn kind_word(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Login => "login",
        TokenKind::Minted => "minted",
    }
}

fn kind(row: &Row<'_>, column: usize) -> rusqlite::Result<TokenKind> {
    match row.get_ref(column)?.as_str()? {
        "login" => Ok(TokenKind::Login),
        "minted" => Ok(TokenKind::Minted),
        other => Err(unreadable(column, format!("unknown kind {other:?}"))),
    }
}

/// A word that is not known is an error: read as none it would widen the token.
fn scope(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Scope>> {
    let Some(word) = row.get_ref(column)?.as_str_or_null()? else { return Ok(None) };
    Scope::parse(word).map(Some).ok_or_else(|| unreadable(column, format!("unknown scope {word:?}")))
}

fn username(column: usize, name: &str) -> rusqlite::Result<Username> {
    Username::parse(name).map_err(|error| unreadable(column, error))
}

pub(super) fn address(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<IpAddr>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|error| unreadable(column, error))).transpose()
}

fn certificate(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<ClientCertificate>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| serde_json::from_str(&text).map_err(|error| unreadable(column, error))).transpose()
}

fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| unreadable(column, error))
}

fn to_json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

pub(super) fn unreadable(column: usize, error: impl Into<Box<dyn Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}
