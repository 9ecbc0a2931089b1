//! Certificates of logins. A row counts only together with its token's: each look joins the two, so that whatever removes
//! a token, in whatever way, has ended its certificates.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::limit;
use super::rows::{self, TOKEN_COLUMNS};
use crate::domain::{UnixSeconds, Username};
use crate::store::{
    Admission, CertificateRecord, KeyHash, LiveAt, MAX_CERTIFICATES_PER_TOKEN, TokenKind, TokenRecord,
};

/// Columns of the certificate come first; the token's follow.
const COLUMNS: &str = "c.key, c.id, c.name, c.token, c.address, c.created, c.last_used, c.expires";
const COLUMN_COUNT: usize = 8;

type Pair = (CertificateRecord, TokenRecord);

fn select(which: &str) -> String {
    let token = TOKEN_COLUMNS.split(", ").map(|column| format!("t.{column}"));
    let token = token.collect::<Vec<_>>().join(", ");
    format!("SELECT {COLUMNS}, {token} FROM certificates c JOIN tokens t ON t.key = c.token {which}")
}

/// Kept if its token is there, and if there is room for it.
pub(super) fn put(
    connection: &Connection,
    record: &CertificateRecord,
    at: LiveAt,
) -> rusqlite::Result<Admission> {
    let Some(token) = rows::token(connection, &record.token)? else { return Ok(Admission::Orphaned) };
    let own = live_of(connection, &record.token, &record.key, at)?;
    if own >= MAX_CERTIFICATES_PER_TOKEN {
        return Ok(Admission::TokenFull);
    }
    let is_part_of_login = own == 0 && token.kind == TokenKind::Login;
    let ended = if is_part_of_login {
        limit::make_room(connection, &token.user, at, &record.key, Some(&record.token))?
    } else if limit::is_full(connection, &token.user, at, &record.key)? {
        return Ok(Admission::Full);
    } else {
        Vec::new()
    };
    insert(connection, record)?;
    Ok(Admission::Kept(ended))
}

fn live_of(
    connection: &Connection,
    token: &KeyHash,
    without: &KeyHash,
    at: LiveAt,
) -> rusqlite::Result<usize> {
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM certificates WHERE token = ?1 AND key <> ?2 AND expires > ?3")?
        .query_row(params![token, without, at.now], |row| row.get(0))?;
    usize::try_from(count).map_err(|error| rows::unreadable(0, error))
}

fn insert(connection: &Connection, record: &CertificateRecord) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO certificates (key, id, name, token, address, created, last_used, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            record.key,
            record.id,
            record.name,
            record.token,
            record.address.map(|address| address.to_string()),
            record.created,
            record.last_used,
            record.expires,
        ])
        .map(drop)
}

pub(super) fn one(connection: &Connection, key: &KeyHash) -> rusqlite::Result<Option<Pair>> {
    connection.prepare_cached(&select("WHERE c.key = ?1"))?.query_row([key], pair).optional()
}

pub(super) fn of(connection: &Connection, user: &Username) -> rusqlite::Result<Vec<Pair>> {
    connection
        .prepare_cached(&select("WHERE t.user = ?1 ORDER BY c.created DESC, c.id"))?
        .query_map([user.as_str()], pair)?
        .collect()
}

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Pair>> {
    connection.prepare_cached(&select("ORDER BY c.created DESC, c.id"))?.query_map([], pair)?.collect()
}

pub(super) fn delete(connection: &Connection, user: &Username, id: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "DELETE FROM certificates WHERE id = ?2 AND token IN (SELECT key FROM tokens WHERE user = ?1)",
        )?
        .execute([user.as_str(), id])
        .map(|changed| changed > 0)
}

pub(super) fn delete_of(connection: &Connection, user: &Username) -> rusqlite::Result<usize> {
    connection.execute(
        "DELETE FROM certificates WHERE token IN (SELECT key FROM tokens WHERE user = ?1)",
        [user.as_str()],
    )
}

pub(super) fn touch(connection: &Connection, uses: &[(KeyHash, UnixSeconds)]) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached(
        "UPDATE certificates SET last_used = ?2 WHERE key = ?1 AND (last_used IS NULL OR last_used < ?2)",
    )?;
    for (key, at) in uses {
        update.execute(params![key, at])?;
    }
    Ok(())
}

/// To be called after the tokens' own.
pub(super) fn purge(connection: &Connection, now: UnixSeconds) -> rusqlite::Result<()> {
    connection
        .execute(
            "DELETE FROM certificates WHERE expires <= ?1 OR token NOT IN (SELECT key FROM tokens)",
            [now],
        )
        .map(drop)
}

fn pair(row: &Row<'_>) -> rusqlite::Result<Pair> {
    let certificate = CertificateRecord {
        key: row.get(0)?,
        id: row.get(1)?,
        name: row.get(2)?,
        token: row.get(3)?,
        address: rows::address(row, 4)?,
        created: row.get(5)?,
        last_used: row.get(6)?,
        expires: row.get(7)?,
    };
    Ok((certificate, rows::token_record(row, COLUMN_COUNT)?))
}
