//! Bans over a restart, and over a wall clock that somebody sets.
//!
//! In the process only lengths of time count, by a clock that nobody sets. The store holds dates, as it must. When the
//! wall clock is set, the dates are written anew; and what is read at the next start lasts at most as long as it was to
//! last, whatever the clock says.

use std::collections::HashSet;

use super::count::Ban;
use super::guard::{State, Throttle};
use super::key::Key;
use crate::domain::UnixSeconds;
use crate::store::{BanKind, BanRecord, Store};

/// A wall clock that differs by this much from what has passed, in milliseconds, was set.
const WAS_SET: i64 = 2000;

impl Throttle {
    /// Takes up the bans of an earlier process.
    pub fn restore(&self, records: &[BanRecord]) {
        let Some(mut state) = self.lock() else { return };
        let (wall, steady) = (self.clock.now(), self.clock.steady_millis());
        for record in records {
            if let (Some(key), Some(ban)) =
                (Key::parse(record.kind, &record.subject), in_process(record, wall, steady))
            {
                if ban.is_provisional {
                    // It is over by now, and no longer to be listed.
                    state.changed.insert(key.clone());
                }
                if !ban.is_provisional || ban.strikes > 0 {
                    state.table(&key).restore(&key, &ban);
                }
            }
        }
    }

    /// Writes down what is new, and notices what an operator has lifted. To be called about every second.
    pub async fn keep(&self, store: &dyn Store) {
        let (keys, records) = self.news();
        if !records.is_empty()
            && let Err(error) = store.put_bans(records).await
        {
            tracing::error!(%error, "cannot write bans down; a restart would forget them");
            if let Some(mut state) = self.lock() {
                state.changed.extend(keys);
            }
        }
        if !self.is_on() {
            return;
        }
        match store.take_lifted().await {
            Ok(lifted) => lifted.iter().for_each(|(kind, subject)| self.lift(*kind, subject)),
            Err(error) => tracing::error!(%error, "cannot look for lifted bans"),
        }
    }

    fn lift(&self, kind: BanKind, subject: &str) {
        let (Some(key), Some(mut state)) = (Key::parse(kind, subject), self.lock()) else { return };
        if state.table(&key).lift(&key) {
            tracing::info!(kind = kind.as_str(), subject, "ban lifted");
        }
    }

    fn news(&self) -> (HashSet<Key>, Vec<BanRecord>) {
        let Some(mut state) = self.lock() else { return Default::default() };
        let (wall, steady) = (self.clock.now_millis(), self.clock.steady_millis());
        let offset = wall - steady;
        let mut keys = std::mem::take(&mut state.changed);
        if offset.abs_diff(state.offset) >= WAS_SET.unsigned_abs() {
            keys.extend(state.tables().into_iter().flat_map(|table| table.struck().cloned()));
            state.offset = offset;
        }
        let records = keys.iter().map(|key| record(&mut state, key, offset, steady)).collect();
        (keys, records)
    }
}

/// What is to be written down: the key's ban, or in its place one that is over.
fn record(state: &mut State, key: &Key, offset: i64, steady: i64) -> BanRecord {
    let over = Ban { strikes: 0, since: steady, until: steady, forget: steady, is_provisional: false };
    let ban = state.table(key).ban(key).unwrap_or(over);
    let date = |steady: i64| steady.saturating_add(offset).div_euclid(1000);
    // Not a second too short.
    let end = |steady: i64| if steady > ban.since { date(steady.saturating_add(999)) } else { date(steady) };
    BanRecord {
        kind: key.kind(),
        subject: key.subject(),
        strikes: ban.strikes,
        since: date(ban.since),
        until: end(ban.until),
        forget: date(ban.forget),
        is_provisional: ban.is_provisional,
    }
}

/// The dates as lengths of time from now. What lies in the future lasts no longer than it was to last, so that a clock
/// that was set back cannot make a ban eternal. `None` once it is forgiven.
fn in_process(record: &BanRecord, wall: UnixSeconds, steady: i64) -> Option<Ban> {
    let length = record.until.saturating_sub(record.since).max(0);
    let left = record.until.saturating_sub(wall).min(length);
    let remembered = record.forget.saturating_sub(record.until).max(0).saturating_add(left);
    let from_now = |seconds: i64| steady.saturating_add(seconds.saturating_mul(1000));
    (remembered > 0).then(|| Ban {
        strikes: record.strikes,
        since: from_now(left.saturating_sub(length)),
        until: from_now(left),
        forget: from_now(remembered),
        is_provisional: record.is_provisional,
    })
}
