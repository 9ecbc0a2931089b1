//! The names of this gateway's cookies.
//!
//! A cookie belongs to a host name, not to a port (RFC 6265 section 8.5). Two gateways on one host name would overwrite
//! each other's cookies if the names were the same. The names therefore carry an identifier of the cookie key: it is the
//! same after a restart and on every replica that shares the key, and differs between gateways that do not.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;

/// What the name of every cookie of every Doorward gateway begins with. `__Host-`: only over TLS, only for this host,
/// for the whole site (RFC 6265bis section 4.1.3.2).
pub const COOKIE_PREFIX: &str = "__Host-doorward";

/// The names before they carried an identifier. A browser may still hold such cookies; they mean nothing any more.
pub(super) const FORMER_NAMES: [&str; 3] =
    ["__Host-doorward", "__Host-doorward-device", "__Host-doorward-login"];

/// What the identifier is derived from, besides the key. Another text would log everybody out.
const CONTEXT: &[u8] = b"doorward: cookie names, 1";
/// Bytes of the identifier: enough to tell the gateways of one host apart. It is public and opens nothing.
const IDENTIFIER_BYTES: usize = 4;

/// The names of one gateway's cookies, computed once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CookieNames {
    session: Box<str>,
    device: Box<str>,
    login: Box<str>,
}

impl CookieNames {
    /// The names that belong to this cookie key.
    pub(super) fn of(key: &[u8]) -> Self {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), CONTEXT);
        let identifier = HEXLOWER.encode(tag.as_ref().get(..IDENTIFIER_BYTES).unwrap_or_default());
        let session = format!("{COOKIE_PREFIX}-{identifier}");
        Self {
            device: format!("{session}-device").into(),
            login: format!("{session}-login").into(),
            session: session.into(),
        }
    }

    /// The session cookie: `__Host-doorward-1a2b3c4d`.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// The cookie by which a browser is known: `__Host-doorward-1a2b3c4d-device`.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The cookie of a login under way: `__Host-doorward-1a2b3c4d-login`.
    #[must_use]
    pub fn login(&self) -> &str {
        &self.login
    }
}

#[cfg(test)]
mod tests {
    use super::CookieNames;

    #[test]
    fn i16_names_are_the_same_for_one_key_and_differ_between_keys() {
        let (names, other) = (CookieNames::of(&[1; 64]), CookieNames::of(&[2; 64]));
        assert_eq!(names, CookieNames::of(&[1; 64]));
        assert_ne!(names.session(), other.session());
        // Written down: another derivation would log everybody out at an update.
        assert_eq!(names.session(), "__Host-doorward-c33d8163");
        assert_eq!(names.device(), "__Host-doorward-c33d8163-device");
        assert_eq!(names.login(), "__Host-doorward-c33d8163-login");
    }
}
