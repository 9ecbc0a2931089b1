//! actix-session on top of our store: what it may keep, for how long, and under which hash.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_session::SessionMiddleware;
use actix_session::config::{CookieContentSecurity, PersistentSession, TtlExtensionPolicy};
use actix_session::storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError};
use actix_web::cookie::{SameSite, time};
use anyhow::{Context, Error, anyhow};
use serde::de::DeserializeOwned;

use super::{CookieKey, SessionKeyText, hash, is_live};
use crate::config::SessionLimits;
use crate::domain::{ClientCertificate, Clock, UnixSeconds, Username};
use crate::store::{Ended, LastUses, LiveAt, SessionRecord, Store, public_id};

/// Under this name a page puts the user (a [`Username`]) into the session at login, after `renew()`.
pub const USER: &str = "user";
/// The user's groups at login, a list of texts.
pub const GROUPS: &str = "groups";
/// The client's [`IpAddr`] at login.
pub const ADDRESS: &str = "address";
/// The [`ClientCertificate`] that the session was got by, which it ends with; a session got by a password has none.
pub const CERTIFICATE: &str = "certificate";

/// The certificate that a session was got by, if any.
///
/// # Errors
/// If it cannot be read any more: then nobody knows whether it still counts.
pub fn certificate_of(record: &SessionRecord) -> Result<Option<ClientCertificate>, serde_json::Error> {
    record.state.get(CERTIFICATE).map(|text| serde_json::from_str(text)).transpose()
}

/// A session without a user lives only as long as somebody may need to fill in a login form: anyone can make them, so
/// they must not pile up.
const ANONYMOUS: Duration = Duration::from_secs(15 * 60);

/// What actix-session loads from and saves to. Only hashes of keys reach the store.
#[derive(Clone)]
pub struct StoreAdapter {
    /// Where sessions are kept.
    pub store: Arc<dyn Store>,
    /// How long they live.
    pub limits: SessionLimits,
    /// The server's clock, the only one that counts.
    pub clock: Clock,
    /// Cuts what a new session has displaced, once the store has forgotten it.
    pub on_ended: OnEnded,
}

/// Is told what of a user has ended in the store.
pub type OnEnded = Arc<dyn Fn(&Username, &[Ended]) + Send + Sync>;

/// The session middleware of the pages, with the one right set of cookie attributes.
///
/// * `Secure`, `HttpOnly`, `Path=/`, no `Domain`: what `__Host-` demands.
/// * `SameSite=Lax`: a link from a chat or a bookmark must find the login; changes from other sites are refused by their
///   Fetch metadata, not by this attribute.
/// * `Max-Age` is the absolute life time: browsers restore "browser sessions" for weeks, so leaving it out would not end
///   a login sooner, and saying it lets browser and server forget at about the same time. The server's record decides.
#[must_use]
pub fn middleware(adapter: StoreAdapter, key: &CookieKey) -> SessionMiddleware<StoreAdapter> {
    let max_age = time::Duration::seconds(seconds(adapter.limits.absolute));
    let lifecycle = PersistentSession::default()
        .session_ttl(max_age)
        .session_ttl_extension_policy(TtlExtensionPolicy::OnStateChanges);
    SessionMiddleware::builder(adapter, key.actix())
        .cookie_name(key.names().session().to_owned())
        .cookie_content_security(CookieContentSecurity::Private)
        .cookie_secure(true)
        .cookie_http_only(true)
        .cookie_same_site(SameSite::Lax)
        .cookie_path("/".to_owned())
        .cookie_domain(None)
        .session_lifecycle(lifecycle)
        .build()
}

impl StoreAdapter {
    async fn live(&self, key: &SessionKey) -> Result<Option<SessionRecord>, Error> {
        let now = self.clock.now();
        let found = self.store.session(hash(key.as_ref())).await?;
        Ok(found.filter(|record| {
            is_live(record.created, record.last_seen, record.expires, self.limits.idle, now)
        }))
    }

    fn new_record(&self, key: &SessionKeyText, login: Login, state: State) -> Result<SessionRecord, Error> {
        let now = self.clock.now();
        let longest =
            if login.user.is_some() { self.limits.absolute } else { self.limits.absolute.min(ANONYMOUS) };
        Ok(SessionRecord {
            key: key.hash(),
            id: public_id()?,
            user: login.user,
            groups: login.groups,
            address: login.address,
            created: now,
            last_seen: now,
            expires: now.saturating_add(seconds(longest)),
            state,
        })
    }

    async fn insert(&self, login: Login, state: State) -> Result<SessionKey, Error> {
        let key = SessionKeyText::generate()?;
        let record = self.new_record(&key, login, state)?;
        let user = record.user.clone();
        let at = LiveAt::new(record.created, self.limits.idle);
        let ended = self.store.put_session(record, at).await?;
        if let Some(user) = user.filter(|_| !ended.is_empty()) {
            (self.on_ended)(&user, &ended);
        }
        Ok(SessionKey::try_from(key.expose().to_owned())?)
    }

    /// A change of user under an unchanged key is session fixation, whatever the page meant by it: refused.
    async fn replace(&self, key: &SessionKey, login: Login, state: State) -> Result<(), Error> {
        let old = self.live(key).await?.context("the session ended while the request was under way")?;
        if old.user != login.user {
            return Err(anyhow!(
                "the user of a session changes only together with its key: call renew() first"
            ));
        }
        let Login { user, address, .. } = login;
        // The record's groups may be newer than those of the login.
        let groups = old.groups.clone();
        let record = SessionRecord { user, groups, address, last_seen: self.clock.now(), state, ..old };
        if self.store.replace_session(record).await? {
            return Ok(());
        }
        Err(anyhow!("the session was revoked while the request was under way"))
    }
}

/// actix-session's state: values are JSON texts.
type State = HashMap<String, String>;

impl SessionStore for StoreAdapter {
    async fn load(&self, session_key: &SessionKey) -> Result<Option<State>, LoadError> {
        let found = self.live(session_key).await.map_err(LoadError::Other)?;
        Ok(found.map(|record| record.state))
    }

    async fn save(&self, state: State, _ttl: &time::Duration) -> Result<SessionKey, SaveError> {
        let login = Login::of(&state).map_err(SaveError::Serialization)?;
        self.insert(login, state).await.map_err(SaveError::Other)
    }

    async fn update(
        &self,
        session_key: SessionKey,
        state: State,
        _ttl: &time::Duration,
    ) -> Result<SessionKey, UpdateError> {
        let login = Login::of(&state).map_err(UpdateError::Serialization)?;
        self.replace(&session_key, login, state).await.map_err(UpdateError::Other)?;
        Ok(session_key)
    }

    /// Notes the use and nothing more: the absolute end never moves.
    async fn update_ttl(&self, session_key: &SessionKey, _ttl: &time::Duration) -> Result<(), Error> {
        let used = (hash(session_key.as_ref()), self.clock.now());
        Ok(self.store.touch(LastUses { sessions: vec![used], ..LastUses::default() }).await?)
    }

    async fn delete(&self, session_key: &SessionKey) -> Result<(), Error> {
        self.store.delete_session(hash(session_key.as_ref())).await?;
        Ok(())
    }
}

/// The part of the state that the data plane needs, in columns of its own.
struct Login {
    user: Option<Username>,
    groups: Vec<String>,
    address: Option<IpAddr>,
}

impl Login {
    fn of(state: &State) -> Result<Self, Error> {
        Ok(Self {
            user: value(state, USER)?,
            groups: value(state, GROUPS)?.unwrap_or_default(),
            address: value(state, ADDRESS)?,
        })
    }
}

/// A value that does not read as what it should be is an error: half a login must not be saved.
fn value<T: DeserializeOwned>(state: &State, name: &'static str) -> Result<Option<T>, Error> {
    let Some(text) = state.get(name) else {
        return Ok(None);
    };
    serde_json::from_str(text).with_context(|| format!("the session's {name} does not read as one"))
}

fn seconds(duration: Duration) -> UnixSeconds {
    UnixSeconds::try_from(duration.as_secs()).unwrap_or(UnixSeconds::MAX)
}

#[cfg(test)]
mod tests;
