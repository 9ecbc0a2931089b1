//! A proof, good once and for a minute, that somebody can write into the state folder of this very gateway.
//!
//! `doorward doctor` asks a running gateway what it believes of a request. That is for nobody else to know, so the doctor
//! first puts an empty file into the state folder whose name is the hash of a random number, and sends the number. Who can
//! make files there has the TLS key and the sessions already; who sees the number on the wire is too late.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;

use super::{create_private, fill};
use crate::domain::Clock;

/// Random bytes; twice as many hex digits.
const BYTES: usize = 32;
/// Longest life.
const LIFE: Duration = Duration::from_secs(60);

/// A proof that was issued. What is left of it goes when it is dropped.
#[derive(Debug)]
pub struct Nonce {
    text: String,
    path: PathBuf,
}

impl Nonce {
    /// Makes one for the gateway that keeps its things in `state`.
    ///
    /// # Errors
    /// If the folder is missing or this user may not write to it, or there are no random bytes.
    pub fn issue(state: &Path) -> io::Result<Self> {
        let mut bytes = [0; BYTES];
        fill(&mut bytes).map_err(io::Error::other)?;
        let text = HEXLOWER.encode(&bytes);
        let path = path_of(state, &text);
        create_private(&path, b"")?;
        Ok(Self { text, path })
    }

    /// What to send. Not to be shown to anybody else before it is used.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether `text` is a proof that was issued within the last minute and not used before. Uses it up.
    #[must_use]
    pub fn redeem(state: &Path, text: &str, clock: &Clock) -> bool {
        let is_one = text.len() == 2 * BYTES && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !is_one {
            return false;
        }
        let path = path_of(state, text);
        let Ok(found) = std::fs::symlink_metadata(&path) else { return false };
        let made = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let now = Duration::from_secs(u64::try_from(clock.now()).unwrap_or_default());
        let is_fresh = made.is_some_and(|made| now.abs_diff(made) <= LIFE);
        // Of two requests with the same text, one removes the file.
        std::fs::remove_file(&path).is_ok() && is_fresh && found.is_file()
    }
}

impl Drop for Nonce {
    fn drop(&mut self) {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::debug!(%error, path = %self.path.display(), "a used proof could not be removed");
            }
            _ => {}
        }
    }
}

fn path_of(state: &Path, text: &str) -> PathBuf {
    state.join(format!("doctor-{}", HEXLOWER.encode(digest(&SHA256, text.as_bytes()).as_ref())))
}

#[cfg(test)]
mod tests {
    use super::Nonce;
    use crate::domain::Clock;

    #[test]
    fn a_proof_is_good_once() {
        let state = tempfile::tempdir().unwrap();
        let nonce = Nonce::issue(state.path()).unwrap();
        assert!(Nonce::redeem(state.path(), nonce.text(), &Clock::system()));
        assert!(!Nonce::redeem(state.path(), nonce.text(), &Clock::system()));
    }

    #[test]
    fn nothing_but_an_issued_proof_is_one() {
        let (state, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let nonce = Nonce::issue(other.path()).unwrap();
        let long = "a".repeat(64);
        for text in ["", "../doctor", long.as_str(), nonce.text(), &nonce.text().to_uppercase()] {
            assert!(!Nonce::redeem(state.path(), text, &Clock::system()), "{text}");
        }
    }

    #[test]
    fn a_proof_ends_after_a_minute_and_leaves_nothing() {
        let state = tempfile::tempdir().unwrap();
        let nonce = Nonce::issue(state.path()).unwrap();
        let later = Clock::manual(Clock::system().now() + 62);
        assert!(!Nonce::redeem(state.path(), nonce.text(), &later));
        drop(Nonce::issue(state.path()).unwrap());
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
    }
}
