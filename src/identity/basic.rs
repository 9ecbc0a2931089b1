//! `Authorization: Basic` (RFC 7617): a name and password on every request, asked of PAM once in a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::{Clock, Door, Password, UnixSeconds, Username};
use crate::identity::chain::{Outcome, Reason};
use crate::identity::conversations::Conversations;
use crate::identity::credential::{Credential, Identity};
use crate::identity::exchange::Reply;
use crate::identity::origin::Origin;
use crate::identity::registry::Registry;
use crate::store::KeyHash;

/// Most verified passwords remembered at once.
const MOST: usize = 4096;

/// Most of one person that are alive at once; a further one ends the one used least recently.
const MOST_OF_ONE: usize = 32;

/// Remembers verified passwords for a short while, as a keyed hash in memory only.
pub struct BasicDoor {
    key: hmac::Key,
    cache_seconds: i64,
    life_seconds: i64,
    verified: Mutex<HashMap<KeyHash, Remembered>>,
    /// One look-up at a time for one password: a client that opens ten connections asks PAM once.
    checking: Mutex<HashMap<KeyHash, Arc<tokio::sync::Mutex<()>>>>,
}

struct Remembered {
    until: UnixSeconds,
    identity: Identity,
}

/// One who asks, or waits for another who asks the same. A client that leaves takes its entry along too, else guesses
/// would pile up as fast as they can be sent.
struct Turn<'a> {
    door: &'a BasicDoor,
    hash: KeyHash,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut checking = lock(&self.door.checking);
        // The map's and ours: nobody else has come for it, and under the map's lock nobody can.
        if Arc::strong_count(&self.lock) == 2 {
            checking.remove(&self.hash);
        }
    }
}

impl BasicDoor {
    /// A door whose memory holds for `cache_seconds`, and whose streams live for `life_seconds`.
    ///
    /// # Errors
    /// If the machine has no randomness.
    pub fn new(cache_seconds: i64, life_seconds: i64) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut bytes = [0_u8; 32];
        aws_lc_rs::rand::fill(&mut bytes)?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &bytes),
            cache_seconds,
            life_seconds,
            verified: Mutex::default(),
            checking: Mutex::default(),
        })
    }

    /// Checks the value that follows the scheme's name.
    pub async fn check(
        &self,
        encoded: &[u8],
        origin: Origin,
        conversations: &Arc<Conversations>,
        registry: &Registry,
        clock: &Clock,
    ) -> Outcome {
        let Some((user, password)) = decode(encoded) else { return Outcome::Failed(Reason::Malformed) };
        let hash = self.hash(&user, &password);
        if let Some(identity) = self.remembered(hash, clock.now()) {
            return Outcome::Authenticated(identity);
        }
        let turn = Turn { door: self, hash, lock: Arc::clone(lock(&self.checking).entry(hash).or_default()) };
        let _turn = turn.lock.lock().await;
        // Somebody with the same password may have been first.
        match self.remembered(hash, clock.now()) {
            Some(identity) => Outcome::Authenticated(identity),
            None => self.ask(hash, user, password, origin, conversations, registry, clock).await,
        }
    }

    /// Forgets what is over.
    pub fn sweep(&self, now: UnixSeconds) {
        lock(&self.verified).retain(|_, entry| now < entry.until);
    }

    #[expect(clippy::too_many_arguments, reason = "one call, and a struct would only rename them")]
    async fn ask(
        &self,
        hash: KeyHash,
        user: Username,
        password: Password,
        origin: Origin,
        conversations: &Arc<Conversations>,
        registry: &Registry,
        clock: &Clock,
    ) -> Outcome {
        let generation = registry.generation();
        match conversations.check(user, password, &hash, origin).await {
            Reply::Done(verified) => {
                let now = clock.now();
                let made = Credential::from_password(
                    hash,
                    verified.user,
                    verified.groups,
                    now,
                    now + self.life_seconds,
                );
                let Some(credential) = registry.admit(Door::Basic, made, generation) else {
                    return Outcome::Unavailable;
                };
                registry.limit(Door::Basic, credential.user(), MOST_OF_ONE);
                let identity = Identity::new(credential);
                self.remember(hash, &identity, now);
                Outcome::Authenticated(identity)
            }
            Reply::Throttled(wait) => Outcome::Throttled(wait),
            Reply::Busy(_) | Reply::Unavailable => Outcome::Unavailable,
            Reply::Ask { .. } | Reply::Expired | Reply::Refused(_) | Reply::Unknown => {
                // The password has changed since: what was opened with it ends.
                registry.revoke(Door::Basic, hash);
                Outcome::Failed(Reason::WrongPassword)
            }
        }
    }

    fn remembered(&self, hash: KeyHash, now: UnixSeconds) -> Option<Identity> {
        let verified = lock(&self.verified);
        let entry = verified.get(&hash)?;
        (now < entry.until && entry.identity.credential().is_live(now)).then(|| entry.identity.clone())
    }

    fn remember(&self, hash: KeyHash, identity: &Identity, now: UnixSeconds) {
        let mut verified = lock(&self.verified);
        if verified.len() >= MOST {
            verified.retain(|_, entry| now < entry.until);
        }
        if verified.len() < MOST {
            verified.insert(hash, Remembered { until: now + self.cache_seconds, identity: identity.clone() });
        }
    }

    /// The length stands first so that no other name and password give the same bytes.
    fn hash(&self, user: &Username, password: &Password) -> KeyHash {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(user.as_str().len() as u64).to_le_bytes());
        context.update(user.as_str().as_bytes());
        context.update(password.expose().as_bytes());
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }
}

/// `base64(user ":" password)`, UTF-8 (RFC 7617 section 2.1). A user name holds no colon.
fn decode(encoded: &[u8]) -> Option<(Username, Password)> {
    let bytes = zeroize::Zeroizing::new(STANDARD.decode(encoded.trim_ascii()).ok()?);
    let text = std::str::from_utf8(&bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((Username::parse(user).ok()?, Password::parse(password.to_owned()).ok()?))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{BasicDoor, Turn, decode, lock};

    #[test]
    fn i13_a_check_is_forgotten_by_the_last_who_waited_for_it() {
        let door = BasicDoor::new(60, 60).unwrap();
        let turn = |hash: [u8; 32]| Turn {
            door: &door,
            hash,
            lock: Arc::clone(lock(&door.checking).entry(hash).or_default()),
        };
        let (first, second, other) = (turn([1; 32]), turn([1; 32]), turn([2; 32]));
        drop((first, other));
        assert_eq!(lock(&door.checking).keys().collect::<Vec<_>>(), [&[1; 32]]);
        drop(second);
        assert!(lock(&door.checking).is_empty());
    }

    #[test]
    fn a_password_may_hold_colons_and_a_broken_value_is_refused() {
        let (user, password) = decode(b"Ym9iOmE6Yg==").unwrap();
        assert_eq!((user.as_str(), password.expose()), ("bob", "a:b"));
        for broken in [&b""[..], b"!!!!", b"Ym9i", b"OnB3", b"Ym9iOg=="] {
            assert!(decode(broken).is_none(), "{broken:?}");
        }
    }
}
