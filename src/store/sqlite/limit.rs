//! How much one person may have, counted and kept in one transaction: two logins at once cannot both find the last place.

use rusqlite::{Connection, Row, params};

use super::rows::unreadable;
use crate::domain::{Door, Username};
use crate::store::limit::{Candidate, displaced};
use crate::store::{Ended, KeyHash, LiveAt, MAX_PER_USER};

/// Sessions and tokens of a user that are live, `?4` left out, each token with its live certificates.
const CANDIDATES: &str = "
    SELECT 'session', key, id, NULL, last_seen, created, 0 FROM sessions
    WHERE user = ?1 AND expires > ?2 AND last_seen >= ?3 AND key <> ?4
    UNION ALL
    SELECT 'token', t.key, t.id, t.name,
        max(coalesce(t.last_used, t.created), coalesce(max(coalesce(c.last_used, c.created)), 0)),
        t.created, count(c.key)
    FROM tokens t LEFT JOIN certificates c ON c.token = t.key AND c.expires > ?2 AND c.key <> ?4
    WHERE t.user = ?1 AND t.expires > ?2 AND t.key <> ?4
    GROUP BY t.key";

/// Ends what a user used least recently until `new` has room, `spared` excepted.
pub(super) fn make_room(
    connection: &Connection,
    user: &Username,
    at: LiveAt,
    new: &KeyHash,
    spared: Option<&KeyHash>,
) -> rusqlite::Result<Vec<Ended>> {
    let ended = displaced(candidates(connection, user, at, new)?, spared);
    for one in &ended {
        let table = if one.door == Door::Session { "sessions" } else { "tokens" };
        connection.prepare_cached(&format!("DELETE FROM {table} WHERE key = ?1"))?.execute([one.key])?;
    }
    Ok(ended)
}

/// Whether a user has as much as one person may have, without `new`.
pub(super) fn is_full(
    connection: &Connection,
    user: &Username,
    at: LiveAt,
    new: &KeyHash,
) -> rusqlite::Result<bool> {
    let all = candidates(connection, user, at, new)?;
    Ok(all.iter().map(|candidate| candidate.certificates + 1).sum::<usize>() >= MAX_PER_USER)
}

fn candidates(
    connection: &Connection,
    user: &Username,
    at: LiveAt,
    new: &KeyHash,
) -> rusqlite::Result<Vec<Candidate>> {
    connection
        .prepare_cached(CANDIDATES)?
        .query_map(params![user.as_str(), at.now, at.idle_since, new], candidate)?
        .collect()
}

fn candidate(row: &Row<'_>) -> rusqlite::Result<Candidate> {
    let door = match row.get_ref(0)?.as_str()? {
        "session" => Door::Session,
        _ => Door::Token,
    };
    let certificates: i64 = row.get(6)?;
    Ok(Candidate {
        what: Ended { door, key: row.get(1)?, id: row.get(2)?, name: row.get(3)?, used: row.get(4)? },
        created: row.get(5)?,
        certificates: usize::try_from(certificates).map_err(|error| unreadable(6, error))?,
    })
}
