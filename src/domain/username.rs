//! Names of people, checked once at the edge so that PAM, throttling, audit and sessions all use the same form.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::name_rule::{InvalidUsername, check_name};

/// A user name that [`check_name`] allows.
///
/// `DOM\user` (winbind) and `user@REALM` (Kerberos) pass unchanged. Case is kept: the PAM stack decides.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Username(String);

impl Username {
    /// Checks a name as it was typed.
    ///
    /// # Errors
    /// [`InvalidUsername`] says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidUsername> {
        check_name(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
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

    #[test]
    fn i20_what_becomes_a_path_an_option_or_nothing_in_a_directory_is_no_name() {
        let compatible = icu_normalizer::DecomposingNormalizerBorrowed::new_nfkd();
        for c in ('\u{80}'..=char::MAX).filter(|c| Username::parse(&format!("a{c}b")).is_ok()) {
            let plain = compatible.normalize(c.encode_utf8(&mut [0; 4])).into_owned();
            // A mark behind '<' makes "not less than"; nobody takes that for the sign.
            let bad = plain.chars().find(|plain| "/:,\"<>".contains(*plain));
            assert_eq!(bad, None, "U+{:04X} is {plain:?}", u32::from(c));
            let (leading, whole) = (format!("{c}b"), format!("{c}{c}"));
            assert!(!plain.starts_with('-') || Username::parse(&leading).is_err(), "U+{:04X}", u32::from(c));
            assert!(
                plain.contains(|c| c != '.') || Username::parse(&whole).is_err(),
                "U+{:04X}",
                u32::from(c)
            );
        }
        for name in [
            ".",
            "...",
            "‥",
            "．．",
            "－rf",
            "a／b",
            "℀",
            "a\u{34f}b",
            "a\u{3164}",
            "b\u{fe0f}",
            "a\u{e0041}",
        ] {
            assert!(Username::parse(name).is_err(), "{name:?}");
        }
    }
}
