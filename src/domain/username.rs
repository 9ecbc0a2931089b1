//! Names of people, checked once at the edge so that PAM, throttling, audit and sessions all use the same form.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::is_unsafe;

const MAX_USERNAME_BYTES: usize = 256;

/// A user name: 1 to 256 bytes of UTF-8 without control characters, white space at the ends, a leading `-`, `/` or `:`.
///
/// `DOM\user` (winbind) and `user@REALM` (Kerberos) pass unchanged. Case is kept: the PAM stack decides.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Username(String);

/// Why a text cannot be a user name.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum InvalidUsername {
    /// A control, format or separator character that could forge log lines or look like another name.
    #[error("the user name holds a character that is not allowed")]
    Character,
    /// Nothing was given.
    #[error("the user name is empty")]
    Empty,
    /// A leading `-` would be an option to a helper program.
    #[error("the user name starts with '-'")]
    LeadingDash,
    /// Longer than 256 bytes.
    #[error("the user name is longer than 256 bytes")]
    TooLong,
}

impl Username {
    /// Checks a name as it was typed.
    ///
    /// # Errors
    /// [`InvalidUsername`] says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidUsername> {
        if text.is_empty() {
            return Err(InvalidUsername::Empty);
        }
        if text.len() > MAX_USERNAME_BYTES {
            return Err(InvalidUsername::TooLong);
        }
        if text.starts_with('-') {
            return Err(InvalidUsername::LeadingDash);
        }
        if text.trim() != text || text.chars().any(is_forbidden) || text == "." || text == ".." {
            return Err(InvalidUsername::Character);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `/` would reach into files that modules open by user name (CVE-2020-27780 class), `:` splits passwd lines;
/// what is invisible or reorders text would make two names look alike.
fn is_forbidden(c: char) -> bool {
    is_unsafe(c) || matches!(c, '/' | ':' | ',' | '"' | '<' | '>' | '\u{fff9}'..='\u{ffff}')
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Username {
    type Error = InvalidUsername;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Username> for String {
    fn from(name: Username) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::Username;

    #[test]
    fn gb2_domain_realm_and_utf8_names_pass_unchanged() {
        for name in ["bob", r"DOM\user", "user@REALM", "jürgen", "first.last", "svc_1$", "a b"] {
            assert_eq!(Username::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a8_what_a_module_makes_of_a_name_is_for_the_module_to_say() {
        for (one, other) in [("Alice", "alice"), (r"DOM\alice", r"dom\alice"), ("alice@REALM", "alice")] {
            assert_ne!(Username::parse(one).unwrap(), Username::parse(other).unwrap());
        }
        // A principal with an instance would be a path to modules that keep a file for each user.
        assert!(Username::parse("alice/admin@REALM").is_err());
    }

    #[test]
    fn a8_names_that_could_cheat_pam_or_the_log_are_refused() {
        let long = "x".repeat(257);
        for name in [
            "",
            "root\0x",
            "-rf",
            "../x",
            "bob ",
            " bob",
            "a\nb",
            "a\x1b[2J",
            "a\u{202e}b",
            "a:b",
            &long,
            "..",
        ] {
            assert!(Username::parse(name).is_err(), "{name:?}");
        }
    }
}
