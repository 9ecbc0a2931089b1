//! May people who have logged in still come in? PAM's account stage is asked at the first use of a credential in this
//! process and again before an interval is over, once for each person, and ahead of time: no request waits for it
//! unless its user is not known here yet.
//!
//! ```text
//! first use ──ask──► table: one account each ◄──check_ahead── upkeep, once a second
//!                      │ due                 ▲
//!                      ▼                     │ answer ──► registry: cut, new groups   store: new groups, delete
//!                    few checks at once ──► broker (Mode::AccountOnly)
//! ```

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

use self::account::{Account, Answer, Effect, Rules};
use crate::config::PamSettings;
use crate::domain::Username;
use crate::identity::authenticator::Verified;
use crate::identity::chain::{Outcome, Reason};
use crate::identity::credential::Identity;
use crate::identity::registry::Registry;
use crate::pam::PamClient;
use crate::store::Store;

mod account;
mod check;

pub use account::Standing;

/// Most checks at once; the broker keeps as many places for them (`--max-checks`), so that they take none of the logins'.
pub const CHECKS_AT_ONCE: usize = 4;
/// Most of them for which nobody waits.
const AHEAD_AT_ONCE: usize = 2;

/// All accounts that have something open in this process. Shared by all threads; asked when a credential is new to a
/// thread, not on every request.
pub struct Accounts {
    client: PamClient,
    rules: Rules,
    /// A login has run the very account stage that is asked here.
    is_of_login: bool,
    /// Longest wait of a request.
    patience: Duration,
    registry: Arc<Registry>,
    store: Arc<dyn Store>,
    table: Mutex<HashMap<Username, Place>>,
    checks: Semaphore,
    ahead: Arc<Semaphore>,
    /// Held by whoever walks through those that are due.
    walk: Arc<Semaphore>,
}

struct Place {
    account: Account,
    /// Closed when the check that is under way has been settled.
    running: Option<watch::Receiver<()>>,
    /// Counts logins, so that an answer that was asked for before one does not count after it.
    logins: u64,
}

impl Place {
    fn new(address: IpAddr, now: Instant) -> Self {
        Self { account: Account::new(address, now), running: None, logins: 0 }
    }

    /// A check whose event loop has ended is not running.
    fn running(&self) -> Option<watch::Receiver<()>> {
        self.running.clone().filter(|running| running.has_changed().is_ok())
    }
}

impl Accounts {
    /// Asks `client` about people, and tells `registry` and `store` what it says.
    #[must_use]
    pub fn new(
        client: PamClient,
        settings: &PamSettings,
        registry: Arc<Registry>,
        store: Arc<dyn Store>,
    ) -> Self {
        Self {
            client,
            rules: Rules { interval: settings.account_recheck },
            is_of_login: settings.account_service == settings.service,
            patience: settings.compute_deadline,
            registry,
            store,
            table: Mutex::default(),
            checks: Semaphore::new(CHECKS_AT_ONCE),
            ahead: Arc::new(Semaphore::new(AHEAD_AT_ONCE)),
            walk: Arc::new(Semaphore::new(1)),
        }
    }

    /// Whether `user`, who came from `address` with a good credential of whatever kind, may come in. Waits for PAM only
    /// if this process does not know yet, and at most for as long as a module may work.
    pub async fn ask(self: &Arc<Self>, user: &Username, address: IpAddr) -> Standing {
        let mut running = {
            let now = Instant::now();
            let mut table = self.lock();
            let place = table.entry(user.clone()).or_insert_with(|| Place::new(address, now));
            (place.account.used, place.account.address) = (now, address);
            if let Some(standing) = place.account.standing(now, self.rules) {
                return standing;
            }
            place.running().unwrap_or_else(|| self.begin(user, place, None))
        };
        // Never changes: ends when the check does.
        let _ = timeout(self.patience, running.changed()).await;
        let table = self.lock();
        let place = table.get(user);
        place.map_or(Standing::Unavailable, |place| place.account.last_standing(Instant::now(), self.rules))
    }

    /// Why `identity` may not come in, if so. Gives the credential its user's present groups.
    pub(super) async fn refusal(self: &Arc<Self>, identity: &Identity, address: IpAddr) -> Option<Outcome> {
        match self.ask(identity.user(), address).await {
            // It was revoked while we waited.
            Standing::Good(_) if identity.cut().has_fallen() => Some(Outcome::Failed(Reason::Over)),
            Standing::Good(groups) => {
                if identity.credential().set_groups(&groups) {
                    self.keep_groups(identity.user(), &groups);
                }
                None
            }
            Standing::Refused => Some(Outcome::Failed(Reason::Account)),
            Standing::Unavailable => Some(Outcome::Unavailable),
        }
    }

    /// Notes that somebody goes on from another address.
    pub(super) fn note_address(&self, user: &Username, address: IpAddr) {
        if let Some(place) = self.lock().get_mut(user) {
            place.account.address = address;
        }
    }

    /// Notes a login.
    pub(super) fn logged_in(self: &Arc<Self>, verified: &Verified, address: IpAddr) {
        let now = Instant::now();
        if !self.is_of_login {
            if let Some(place) = self.lock().get_mut(&verified.user) {
                place.account.reconsider(now);
            }
            return;
        }
        let groups: Arc<[String]> = verified.groups.clone().into();
        {
            let mut table = self.lock();
            let place = table.entry(verified.user.clone()).or_insert_with(|| Place::new(address, now));
            (place.account.used, place.account.address) = (now, address);
            place.account.prove(Arc::clone(&groups), now, self.rules, check::spread());
            place.logins += 1;
        }
        self.spread_groups(&verified.user, &groups);
    }

    /// Asks about those whose time has come, and ends what nobody could be asked about for too long. To be called about
    /// once a second.
    pub fn check_ahead(self: &Arc<Self>) {
        let now = Instant::now();
        let open = self.registry.users();
        let (mut lapsed, mut due) = (Vec::new(), Vec::new());
        self.lock().retain(|user, place| {
            let has_open = open.contains(user);
            if place.account.lapses(now, self.rules) {
                lapsed.push(user.clone());
            }
            if place.running().is_none()
                && let Some(since) = place.account.due_ahead(now, has_open)
            {
                due.push((since, user.clone()));
            }
            has_open || place.running().is_some() || !place.account.is_idle(now, self.rules)
        });
        for user in lapsed {
            self.registry.revoke_user(&user);
            tracing::error!(
                target: "doorward::account", %user,
                "the account could not be checked for too long: what they had open has ended, until it can be"
            );
        }
        due.sort_unstable_by_key(|(since, _)| *since);
        if let (false, Ok(walk)) = (due.is_empty(), Arc::clone(&self.walk).try_acquire_owned()) {
            tokio::spawn(Arc::clone(self).walk(due, walk));
        }
    }

    /// One after the other, as places become free.
    async fn walk(self: Arc<Self>, due: Vec<(Instant, Username)>, _walk: OwnedSemaphorePermit) {
        for (_, user) in due {
            let Ok(permit) = Arc::clone(&self.ahead).acquire_owned().await else { return };
            if let Some(place) = self.lock().get_mut(&user).filter(|place| place.running().is_none()) {
                self.begin(&user, place, Some(permit));
            }
        }
    }

    /// Starts the one check of a user; what it gives is closed when the answer has been taken.
    fn begin(
        self: &Arc<Self>,
        user: &Username,
        place: &mut Place,
        permit: Option<OwnedSemaphorePermit>,
    ) -> watch::Receiver<()> {
        let (done, running) = watch::channel(());
        place.running = Some(running.clone());
        let (accounts, user) = (Arc::clone(self), user.clone());
        let (address, logins) = (place.account.address, place.logins);
        tokio::spawn(async move {
            let answer = accounts.check(&user, address).await;
            accounts.settle(&user, logins, answer).await;
            drop((done, permit));
        });
        running
    }

    async fn check(&self, user: &Username, address: IpAddr) -> Answer {
        match timeout(self.patience, self.checks.acquire()).await {
            Ok(Ok(_permit)) => check::check(&self.client, user, address).await,
            _ => Answer::Unavailable("too many account checks are under way".to_owned()),
        }
    }

    /// The table first: a credential that is looked up at the same time is either found by the cut, or asks after it.
    async fn settle(&self, user: &Username, logins: u64, answer: Answer) {
        let (effect, groups) = {
            let mut table = self.lock();
            let Some(place) = table.get_mut(user) else { return };
            if place.logins != logins {
                return;
            }
            let now = Instant::now();
            let effect = place.account.take(answer, now, self.rules, check::spread());
            (effect, place.account.last_standing(now, self.rules))
        };
        match effect {
            Effect::Nothing | Effect::Confirmed => {}
            Effect::Restored => {
                tracing::info!(target: "doorward::account", %user, "the account may come in again");
            }
            Effect::ShutOut(why) => {
                self.registry.revoke_user(user);
                tracing::warn!(
                    target: "doorward::account", %user, why,
                    "the account is refused: what they had open has ended"
                );
            }
            Effect::Gone => self.end(user, "the user does not exist any more").await,
            Effect::Replaced => self.end(user, "the name belongs to another account now").await,
            Effect::Unanswered(reason) => tracing::warn!(
                target: "doorward::account", %user, reason, holds_seconds = self.rules.keeps().as_secs(),
                "the account cannot be checked; a good answer from before holds for a while"
            ),
        }
        if let Standing::Good(groups) = groups {
            self.spread_groups(user, &groups);
        }
    }

    /// Ends what is stored, too. The store must forget it before this process does (the registry's rule).
    async fn end(&self, user: &Username, why: &str) {
        match self.store.delete_user(user).await {
            Ok(0) => {}
            Ok(ended) => tracing::warn!(
                target: "doorward::account", %user, why, ended,
                "all sessions and tokens of the user have been removed"
            ),
            Err(error) => tracing::error!(
                target: "doorward::account", %error, %user, why,
                "cannot remove the user's sessions and tokens; they stay refused"
            ),
        }
        self.registry.revoke_user(user);
    }

    fn spread_groups(&self, user: &Username, groups: &Arc<[String]>) {
        if self.registry.set_groups(user, groups) {
            self.keep_groups(user, groups);
        }
    }

    /// Nobody waits for the disk: until it is written, a restart would ask anew anyway.
    fn keep_groups(&self, user: &Username, groups: &Arc<[String]>) {
        tracing::info!(target: "doorward::account", %user, ?groups, "the groups have changed");
        let (store, user, groups) = (Arc::clone(&self.store), user.clone(), groups.to_vec());
        tokio::spawn(async move {
            if let Err(error) = store.set_groups(&user, groups).await {
                tracing::error!(target: "doorward::account", %error, %user, "cannot write new groups down");
            }
        });
    }

    /// A thread that panicked while holding the lock left a map that is still whole: each change is one call.
    fn lock(&self) -> MutexGuard<'_, HashMap<Username, Place>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
