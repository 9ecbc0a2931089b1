//! Who may try, and what becomes of it.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::count::{Ban, Cause, Rules};
use super::key::{Key, KnownDevice};
use super::outage::{OutageCode, Outages, Seen};
use super::table::{Failed, Place, Table};
use crate::config::ThrottleSettings;
use crate::domain::{Client, Clients, Clock, network_of};
use crate::store::{BanKind, MOST_BANS};

/// Most counters of one kind.
const MOST: usize = MOST_BANS / 4;

/// All counters of this process. Asked only where a password is about to be checked or a credential was no good:
/// what is known to be good never comes here.
pub struct Throttle {
    /// `None` where the operator said `--no-throttle`.
    pub(super) state: Option<Mutex<State>>,
    clients: Clients,
    pub(super) clock: Clock,
    hasher: RandomState,
}

pub(super) struct State {
    addresses: Table,
    devices: Table,
    all_devices: Table,
    users: Table,
    outages: Outages,
    /// Bans that the store does not know yet.
    pub(super) changed: HashSet<Key>,
    /// Wall clock less steady clock, in milliseconds, when bans were last written down.
    pub(super) offset: i64,
}

/// What a login has said so far: its name and its answers, hashed with a key of this process.
#[derive(Clone, Copy, Debug)]
pub struct Transcript {
    /// Of the name as it is counted.
    name: u64,
    /// Of the name as typed and all answers.
    said: u64,
    has_secret: bool,
}

impl Transcript {
    const fn credential(self) -> Option<u64> {
        if self.has_secret { Some(self.said) } else { None }
    }
}

/// One attempt under way. Dropped without a verdict (at the end of the process) it counts as a failure. A client that
/// leaves drops none: its check goes on.
#[must_use = "an attempt that is dropped counts as a failure"]
pub struct Attempt {
    throttle: Arc<Throttle>,
    places: Vec<(Key, Place)>,
    credential: Option<u64>,
    seen: Option<Seen>,
    is_relayed: bool,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// Nobody waited for it.
    Abandoned,
    NoVerdict(OutageCode),
    Refused,
}

impl Throttle {
    /// Counters with these rules; `None` counts nothing. Addresses that many `clients` share are not counted.
    #[must_use]
    pub fn new(settings: Option<&ThrottleSettings>, clients: Clients, clock: Clock) -> Self {
        let state = settings.map(|settings| {
            let rules = |rate| Rules::new(rate, settings.ban, settings.ban_max);
            Mutex::new(State {
                addresses: Table::new(rules(settings.address), MOST),
                devices: Table::new(rules(settings.user), MOST),
                all_devices: Table::new(rules(settings.user).doubled(), MOST),
                users: Table::new(rules(settings.user), MOST),
                outages: Outages::default(),
                changed: HashSet::new(),
                offset: clock.now_millis() - clock.steady_millis(),
            })
        });
        Self { state, clients, clock, hasher: RandomState::new() }
    }

    /// Whether anything is counted.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.state.is_some()
    }

    /// The transcript of a login that has said its name.
    #[must_use]
    pub fn transcript(&self, user: &str) -> Transcript {
        let name = self.hasher.hash_one(Key::user(user));
        Transcript { name, said: self.hasher.hash_one(user), has_secret: false }
    }

    /// The same with one more answer.
    #[must_use]
    pub fn answered(&self, transcript: Transcript, answer: &str) -> Transcript {
        let said = self.hasher.hash_one((transcript.said, answer));
        Transcript { said, has_secret: true, ..transcript }
    }

    /// Asks for an attempt of `user` by a `client`, before the password is looked at. The name counts as typed,
    /// whether anybody has it or not. A known `device` of that user is counted in the name's stead, so that nobody can
    /// lock a person out from elsewhere; once it has failed too often itself, or all of the user's together, it is known
    /// no more. The `transcript` tells repetitions, which a provisional ban does not keep out.
    ///
    /// # Errors
    /// How long to wait. It does not tell which counter says so.
    pub fn admit(
        self: &Arc<Self>,
        client: impl Into<Client>,
        user: &str,
        device: Option<KnownDevice<'_>>,
        transcript: Option<Transcript>,
    ) -> Result<Attempt, Duration> {
        let client = client.into();
        let mut attempt = Attempt {
            throttle: Arc::clone(self),
            places: Vec::new(),
            credential: None,
            seen: transcript.map(|transcript| Seen {
                name: transcript.name,
                credential: transcript.credential(),
                client: network_of(client.address),
            }),
            is_relayed: false,
        };
        let Some(mut state) = self.lock() else { return Ok(attempt) };
        let now = self.clock.steady_millis();
        let is_repeated =
            attempt.seen.is_some_and(|seen| state.outages.is_repeated(seen.name, seen.credential));
        let device = device
            .map(|device| vec![Key::device(user, device), Key::devices(user)])
            .filter(|keys| keys.iter().all(|key| state.table(key).banned(key, now).is_ok()));
        let address = self.clients.one(client).map(Key::address);
        for key in address.into_iter().chain(device.unwrap_or_else(|| vec![Key::user(user)])) {
            match state.table(&key).reserve(&key, is_repeated, now) {
                Ok(place) => attempt.places.push((key, place)),
                Err(millis) => {
                    state.release(&std::mem::take(&mut attempt.places), now);
                    return Err(duration(millis));
                }
            }
        }
        drop(state);
        Ok(attempt)
    }

    /// Counts a credential that was no good, where no password was checked: a token that nobody knows. `false` if it
    /// was not worth a count, because the same one has failed from there before.
    ///
    /// # Errors
    /// How long the address has to wait, if it had been banned before.
    pub fn bad_credential(&self, client: impl Into<Client>, credential: &[u8]) -> Result<bool, Duration> {
        let Some(client) = self.clients.one(client.into()) else { return Ok(true) };
        let Some(mut state) = self.lock() else { return Ok(true) };
        let (key, now) = (Key::address(client), self.clock.steady_millis());
        state.addresses.banned(&key, now).map_err(duration)?;
        let credential = Some(self.hasher.hash_one(credential));
        Ok(state.fail(&key, Cause::Refused, credential, now) != Failed::Again)
    }

    /// Each change is one call, so a panic elsewhere leaves nothing half done.
    pub(super) fn lock(&self) -> Option<MutexGuard<'_, State>> {
        self.state.as_ref().map(|state| state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    pub(super) const fn table(&mut self, key: &Key) -> &mut Table {
        match key {
            Key::Address(_) => &mut self.addresses,
            Key::Device(_) => &mut self.devices,
            Key::Devices(_) => &mut self.all_devices,
            Key::User(_) => &mut self.users,
        }
    }

    pub(super) const fn tables(&self) -> [&Table; 4] {
        [&self.addresses, &self.devices, &self.all_devices, &self.users]
    }

    fn release(&mut self, places: &[(Key, Place)], now: i64) {
        for (key, place) in places {
            self.table(key).release(key, *place, now);
        }
    }

    fn fail(&mut self, key: &Key, cause: Cause, credential: Option<u64>, now: i64) -> Failed {
        let failed = self.table(key).fail(key, cause, credential, now);
        if let Failed::Banned(ban) = &failed {
            self.changed.insert(key.clone());
            report(key, ban);
        }
        failed
    }

    /// A credential was accepted: if that shows an outage that has ended, takes back what it has brought.
    fn accept(&mut self, credential: Option<u64>, is_login: bool, now: i64) {
        if !self.outages.is_ended_by(credential, is_login, now) {
            return;
        }
        for table in [&mut self.addresses, &mut self.devices, &mut self.all_devices, &mut self.users] {
            self.changed.extend(table.pardon(now));
        }
        tracing::info!(
            target: "doorward::login",
            "logins that got no verdict before are accepted again: provisional bans are lifted"
        );
    }
}

impl Attempt {
    /// Names the credential that is tried, for doors where programs send the same one again and again: a repetition is
    /// counted for the name and not for the address, which the program may share with others.
    pub fn with(mut self, credential: &[u8]) -> Self {
        self.credential = Some(self.throttle.hasher.hash_one(credential));
        self
    }

    /// Whether forwarded headers came along that are not believed.
    pub const fn relayed(mut self, is_relayed: bool) -> Self {
        self.is_relayed = is_relayed;
        self
    }

    /// The stack came to this name, whatever was typed: the attempt counts for it too. A known device stands in for all
    /// names of its user.
    ///
    /// # Errors
    /// How long to wait, if the name is banned. What came of the attempt must not be told.
    pub fn on(&mut self, name: &str) -> Result<(), Duration> {
        let key = Key::user(name);
        let is_counted =
            self.places.iter().any(|(other, _)| *other == key || other.kind() == BanKind::Device);
        let Some(mut state) = self.throttle.lock().filter(|_| !is_counted) else { return Ok(()) };
        let now = self.throttle.clock.steady_millis();
        let is_repeated = self.seen.is_some_and(|seen| state.outages.is_repeated(seen.name, seen.credential));
        let place = state.table(&key).reserve(&key, is_repeated, now).map_err(duration)?;
        self.places.push((key, place));
        Ok(())
    }

    /// There is no verdict yet and none is due: nobody was asked, or an answer is still to come.
    pub fn release(self) {
        self.free(|_, _| ());
    }

    /// The stack went on: it accepted what was answered so far, and asks for more.
    pub fn go_on(self) {
        let credential = self.seen.and_then(|seen| seen.credential);
        self.free(|state, now| state.accept(credential, false, now));
    }

    /// The login is complete.
    pub fn succeed(self) {
        let credential = self.seen.and_then(|seen| seen.credential);
        self.free(|state, now| state.accept(credential, true, now));
    }

    /// It was a failure.
    pub fn fail(mut self) {
        self.end(Ending::Refused);
    }

    /// A secret was given, and the stack had no verdict. It counts as a failure, since some stacks refuse in this way; if
    /// it turns out to have been an outage, it is taken back.
    pub fn fail_without_verdict(mut self, code: OutageCode) {
        self.end(Ending::NoVerdict(code));
    }

    fn free(mut self, then: impl FnOnce(&mut State, i64)) {
        let places = std::mem::take(&mut self.places);
        if let Some(mut state) = self.throttle.lock() {
            let now = self.throttle.clock.steady_millis();
            state.release(&places, now);
            then(&mut state, now);
        }
    }

    fn end(&mut self, ending: Ending) {
        let places = std::mem::take(&mut self.places);
        let Some(mut state) = self.throttle.lock() else { return };
        let now = self.throttle.clock.steady_millis();
        state.release(&places, now);
        match (ending, self.seen) {
            (Ending::NoVerdict(code), Some(seen)) => state.outages.note(code, seen, now),
            (Ending::Abandoned, Some(seen)) => state.outages.note_abandoned(seen),
            (Ending::Refused, _) | (_, None) => {}
        }
        let cause = if matches!(ending, Ending::Refused) { Cause::Refused } else { Cause::NoVerdict };
        for (key, _) in &places {
            let credential = self.credential.filter(|_| key.kind() == BanKind::Address);
            let is_banned = matches!(state.fail(key, cause, credential, now), Failed::Banned(_));
            if is_banned && key.kind() == BanKind::Address && self.is_relayed {
                tracing::warn!(
                    address = key.subject(),
                    "it sends forwarded headers; if it is a proxy, all its clients are banned with it: name it with \
                     --trusted-proxy, or with --throttle-exempt"
                );
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.places.is_empty() {
            self.end(Ending::Abandoned);
        }
    }
}

fn report(key: &Key, ban: &Ban) {
    tracing::warn!(
        target: "doorward::login",
        kind = key.kind().as_str(),
        subject = key.subject(),
        seconds = (ban.until - ban.since) / 1000,
        bans_in_a_row = ban.strikes,
        provisional = ban.is_provisional,
        "too many failures: banned"
    );
}

/// Never zero, which would say "at once".
fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or_default().max(1000))
}
