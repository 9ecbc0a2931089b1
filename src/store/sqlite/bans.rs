//! The statements about bans.

use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use crate::domain::UnixSeconds;
use crate::store::{BanKind, BanRecord, MOST_BANS};

/// A ban that was lifted and is put again is a new ban.
pub(super) fn put(connection: &Connection, bans: &[BanRecord]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO bans (kind, subject, strikes, since, until, forget, provisional)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for ban in bans {
        insert.execute(params![
            ban.kind.as_str(),
            ban.subject,
            ban.strikes,
            ban.since,
            ban.until,
            ban.forget,
            ban.is_provisional
        ])?;
    }
    shorten(connection, MOST_BANS)
}

/// Whoever rotates names or addresses must not fill the disk.
fn shorten(connection: &Connection, most: usize) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM bans WHERE (kind, subject) IN (SELECT kind, subject FROM bans ORDER BY until LIMIT
             max(0, (SELECT count(*) FROM bans) - ?1))",
        )?
        .execute([i64::try_from(most).unwrap_or(i64::MAX)])
        .map(drop)
}

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<BanRecord>> {
    connection
        .prepare_cached(
            "SELECT kind, subject, strikes, since, until, forget, provisional FROM bans WHERE lifted = 0
             ORDER BY until DESC, kind, subject",
        )?
        .query_map([], record)?
        .collect()
}

pub(super) fn lift(connection: &Connection, kind: BanKind, subject: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("UPDATE bans SET lifted = 1 WHERE kind = ?1 AND subject = ?2 AND lifted = 0")?
        .execute([kind.as_str(), subject])
        .map(|changed| changed > 0)
}

pub(super) fn lifted(connection: &Connection) -> rusqlite::Result<Vec<(BanKind, String)>> {
    connection
        .prepare_cached("SELECT kind, subject FROM bans WHERE lifted = 1")?
        .query_map([], |row| Ok((kind(row)?, row.get(1)?)))?
        .collect()
}

/// Only if it is still marked: a ban that was put meanwhile stays.
pub(super) fn forget(connection: &Connection, lifted: &[(BanKind, String)]) -> rusqlite::Result<()> {
    let mut delete =
        connection.prepare_cached("DELETE FROM bans WHERE kind = ?1 AND subject = ?2 AND lifted = 1")?;
    for (kind, subject) in lifted {
        delete.execute([kind.as_str(), subject])?;
    }
    Ok(())
}

pub(super) fn purge(connection: &Connection, now: UnixSeconds) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM bans WHERE forget <= ?1", [now]).map(drop)
}

fn record(row: &Row<'_>) -> rusqlite::Result<BanRecord> {
    Ok(BanRecord {
        kind: kind(row)?,
        subject: row.get(1)?,
        strikes: row.get(2)?,
        since: row.get(3)?,
        until: row.get(4)?,
        forget: row.get(5)?,
        is_provisional: row.get(6)?,
    })
}

fn kind(row: &Row<'_>) -> rusqlite::Result<BanKind> {
    match row.get_ref(0)?.as_str()? {
        "address" => Ok(BanKind::Address),
        "device" => Ok(BanKind::Device),
        "user" => Ok(BanKind::User),
        other => {
            let error = format!("unknown kind {other:?}").into();
            Err(rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error))
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::{BanKind, BanRecord, all, put, shorten};

    #[test]
    fn b5_beyond_the_most_the_bans_that_end_first_go() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE bans (kind TEXT, subject TEXT, strikes INTEGER, since INTEGER, until INTEGER,
                 forget INTEGER, lifted INTEGER DEFAULT 0, provisional INTEGER DEFAULT 0, PRIMARY KEY (kind, subject))",
            )
            .unwrap();
        let ban = |number: i64| BanRecord {
            kind: BanKind::User,
            subject: format!("user{number}"),
            strikes: 1,
            since: 0,
            until: number,
            forget: 100,
            is_provisional: false,
        };
        put(&connection, &[ban(3), ban(1), ban(2)]).unwrap();
        shorten(&connection, 2).unwrap();
        assert_eq!(all(&connection).unwrap(), [ban(3), ban(2)]);
    }
}
