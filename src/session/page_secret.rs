//! The secret that each form of our own pages carries. Whoever sends it has seen the page that it stands in.
//!
//! `Origin` and `Sec-Fetch-Site` tell only that a form was sent by this origin. Where the engine has pages, they are of
//! this origin too, and a script there can send any form as the visitor (`form.submit()`). It cannot read our pages.
//! The secret is a MAC, so that nothing has to be kept: OWASP's "signed double submit", bound to the credential.

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;

use crate::store::{KeyHash, NoEntropy, fill};

/// What the MAC's key is derived from, besides the cookie key.
const CONTEXT: &[u8] = b"doorward: page secrets, 1";
/// Bytes that make two pages' secrets differ, so that compression by a proxy tells nothing of them (BREACH).
const NONCE_BYTES: usize = 16;
/// Nonce and MAC. Longer texts are not looked at.
const SECRET_BYTES: usize = NONCE_BYTES + 32;

/// A form of ours. The secret of one opens no other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PageForm {
    /// The login, in all its steps. It belongs to the login cookie.
    Login,
    /// Signing out. This and the following belong to the credential that was shown for the page.
    Logout,
    /// Ending a session or a token.
    Account,
    /// The code of a program.
    Device,
    /// The answer to a program.
    DeviceAnswer,
}

impl PageForm {
    const fn word(self) -> &'static [u8] {
        match self {
            Self::Login => b"login",
            Self::Logout => b"logout",
            Self::Account => b"account",
            Self::Device => b"device",
            Self::DeviceAnswer => b"device answer",
        }
    }
}

/// Makes and checks such secrets. No `Debug`: it holds a key.
pub struct PageSecrets(hmac::Key);

impl PageSecrets {
    /// The maker that belongs to a cookie key: the same on every replica and after every restart.
    pub(super) fn of(key: &[u8]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), CONTEXT);
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// A secret for one page: 64 letters, digits, `-` and `_`. `holder` names the credential or the login cookie that the
    /// page is shown for.
    ///
    /// # Errors
    /// [`NoEntropy`] if the system gives no random bytes.
    pub fn make(&self, form: PageForm, holder: &KeyHash) -> Result<String, NoEntropy> {
        let mut secret = [0; SECRET_BYTES];
        let (nonce, mac) = secret.split_at_mut(NONCE_BYTES);
        fill(nonce)?;
        mac.copy_from_slice(hmac::sign(&self.0, &signed(nonce, form, holder)).as_ref());
        Ok(BASE64URL_NOPAD.encode(&secret))
    }

    /// Whether `text` is a secret of this form, made for this holder.
    #[must_use]
    pub fn is_ours(&self, form: PageForm, holder: &KeyHash, text: &str) -> bool {
        let Ok(secret) = BASE64URL_NOPAD.decode(text.as_bytes()) else { return false };
        secret.len() == SECRET_BYTES
            && secret
                .split_at_checked(NONCE_BYTES)
                .is_some_and(|(nonce, mac)| hmac::verify(&self.0, &signed(nonce, form, holder), mac).is_ok())
    }
}

/// Two parts of fixed lengths come first, so that no two inputs give the same bytes.
fn signed(nonce: &[u8], form: PageForm, holder: &KeyHash) -> Vec<u8> {
    [nonce, holder, form.word()].concat()
}

#[cfg(test)]
mod tests {
    use super::{PageForm, PageSecrets};

    #[test]
    fn i2_a_secret_is_good_for_its_form_its_holder_and_its_gateway_only() {
        let secrets = PageSecrets::of(&[1; 64]);
        let text = secrets.make(PageForm::Device, &[7; 32]).unwrap();
        assert!(PageSecrets::of(&[1; 64]).is_ours(PageForm::Device, &[7; 32], &text));
        assert!(!PageSecrets::of(&[2; 64]).is_ours(PageForm::Device, &[7; 32], &text), "another gateway");
        assert!(!secrets.is_ours(PageForm::Device, &[8; 32], &text), "another holder");
        for form in [PageForm::Login, PageForm::Logout, PageForm::Account, PageForm::DeviceAnswer] {
            assert!(!secrets.is_ours(form, &[7; 32], &text), "{form:?}");
        }
        assert_ne!(secrets.make(PageForm::Device, &[7; 32]).unwrap(), text, "each page has its own");
    }

    #[test]
    fn i2_what_is_no_secret_is_refused() {
        let secrets = PageSecrets::of(&[1; 64]);
        let text = secrets.make(PageForm::Login, &[7; 32]).unwrap();
        let mut other = text.clone().into_bytes();
        other[0] = if other[0] == b'A' { b'B' } else { b'A' };
        let other = String::from_utf8(other).unwrap();
        for wrong in ["", "=", &text[1..], &text[..60], &format!("{text}AAAA"), &other, &"A".repeat(64), "é"]
        {
            assert!(!secrets.is_ours(PageForm::Login, &[7; 32], wrong), "{wrong}");
        }
    }
}
