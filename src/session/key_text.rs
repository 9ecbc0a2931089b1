//! The secret that a session cookie carries.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use zeroize::{Zeroize, Zeroizing};

use crate::store::{KeyHash, NoEntropy, fill};

const KEY_BYTES: usize = 32;

/// The text of a session's key. No `Debug`, no `Display`, no `Serialize`; wiped when dropped.
#[derive(Clone, Eq, PartialEq)]
pub struct SessionKeyText(Zeroizing<String>);

impl SessionKeyText {
    /// A new key of 256 random bits.
    ///
    /// # Errors
    /// [`NoEntropy`] if the system gives no random bytes.
    pub fn generate() -> Result<Self, NoEntropy> {
        let mut bytes = [0; KEY_BYTES];
        fill(&mut bytes)?;
        let text = BASE64URL_NOPAD.encode(&bytes);
        bytes.zeroize();
        Ok(Self::new(text))
    }

    /// Takes a text that came out of our own cookie.
    pub(super) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the one place that must hand it on.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the store knows the session by.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        hash(self.expose())
    }
}

/// SHA-256 of a session key. Plain, without salt or stretching: the key has 256 random bits, so nobody can guess it
/// from its hash, and a look-up by hash leaks nothing about the key through its timing.
#[must_use]
pub fn hash(key_text: &str) -> KeyHash {
    let mut hash = KeyHash::default();
    hash.copy_from_slice(digest(&SHA256, key_text.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::{SessionKeyText, hash};

    #[test]
    fn the_hash_is_sha_256() {
        let hex = data_encoding::HEXLOWER.encode(&hash("abc"));
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn gb4_keys_are_long_and_never_the_same() {
        let (a, b) = (SessionKeyText::generate().unwrap(), SessionKeyText::generate().unwrap());
        assert_eq!(a.expose().len(), 43);
        assert!(a != b);
    }
}
