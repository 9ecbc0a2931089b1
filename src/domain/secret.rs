//! Values that must never be printed.

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

/// What PAM accepts: `PAM_MAX_RESP_SIZE` is 512 with the terminating NUL; longer answers fail at once and tell the
/// length check apart from a wrong password.
const MAX_PASSWORD_BYTES: usize = 511;

/// A password or another answer to a prompt: 1 to 511 bytes without NUL. Wiped when dropped, redacted in `Debug`.
#[derive(Clone, Debug)]
pub struct Password(SecretString);

/// Why a text cannot be a password.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum InvalidPassword {
    /// Empty passwords are refused before PAM, whatever `nullok` says.
    #[error("the password is empty")]
    Empty,
    /// A NUL would cut the C string that PAM sees.
    #[error("the password holds a NUL")]
    Nul,
    /// Longer than PAM takes.
    #[error("the password is longer than 511 bytes")]
    TooLong,
}

impl Password {
    /// Checks the length and takes ownership of the text.
    ///
    /// # Errors
    /// [`InvalidPassword`] if it is empty, too long for PAM, or holds a NUL.
    pub fn parse(text: String) -> Result<Self, InvalidPassword> {
        let secret = SecretString::from(text);
        let exposed = secret.expose_secret();
        if exposed.is_empty() {
            return Err(InvalidPassword::Empty);
        }
        if exposed.len() > MAX_PASSWORD_BYTES {
            return Err(InvalidPassword::TooLong);
        }
        if exposed.contains('\0') {
            return Err(InvalidPassword::Nul);
        }
        Ok(Self(secret))
    }

    /// The text itself, for the one place that must hand it on.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidPassword, Password};

    #[test]
    fn a12_empty_nul_and_overlong_passwords_are_refused_before_pam() {
        assert_eq!(Password::parse(String::new()).unwrap_err(), InvalidPassword::Empty);
        assert_eq!(Password::parse("a\0b".into()).unwrap_err(), InvalidPassword::Nul);
        assert_eq!(Password::parse("x".repeat(512)).unwrap_err(), InvalidPassword::TooLong);
        assert!(Password::parse("x".repeat(511)).is_ok());
    }

    #[test]
    fn debug_does_not_print_the_password() {
        let shown = format!("{:?}", Password::parse("hunter2".into()).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
