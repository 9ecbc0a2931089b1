//! Certificates of logins. A row counts only together with its token's: each look joins the two, so that whatever removes
//! a token, in whatever way, has ended its certificates.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{self, TOKEN_COLUMNS};
use crate::domain::{UnixSeconds, Username};
use crate::store::{CertificateRecord, KeyHash, TokenRecord};

/// Columns of the certificate come first; the token's follow.
const COLUMNS: &str = "c.key, c.id, c.name, c.token, c.address, c.created, c.last_used, c.expires";
const COLUMN_COUNT: usize = 8;

type Pair = (CertificateRecord, TokenRecord);

fn select(which: &str) -> String {
    let token = TOKEN_COLUMNS.split(", ").map(|column| format!("t.{column}"));
    let token = token.collect::<Vec<_>>().join(", ");
    format!("SELECT {COLUMNS}, {token} FROM certificates c JOIN tokens t ON t.key = c.token {which}")
}

/// `false` if its token has gone in the meantime.
pub(super) fn put(connection: &Connection, record: &CertificateRecord) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "INSERT INTO certificates (key, id, name, token, address, created, last_used, expires)
             SELECT ?1, ?2, ?3, key, ?5, ?6, ?7, ?8 FROM tokens WHERE key = ?4",
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
        .map(|changed| changed > 0)
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
