//! A token as its owner keeps it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// Longer is no token.
const MOST_BYTES: usize = 512;

/// The text of a token. No `Debug`, no `Display`; wiped when dropped. What it may look like is the gateway's business,
/// but it must fit into a header.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// `None` if the text could not be sent as a bearer token (RFC 6750 section 2.1).
    #[must_use]
    pub fn parse(text: Zeroizing<String>) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        ((1..=MOST_BYTES).contains(&text.len()) && text.bytes().all(fits)).then_some(Self(text))
    }

    /// The text itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// For the credentials file, which is its owner's alone.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        Self::parse(text).ok_or_else(|| serde::de::Error::custom("not a token"))
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn what_could_break_out_of_a_header_is_no_token() {
        let parse = |text: &str| Secret::parse(text.to_owned().into());
        assert_eq!(parse("dwt_abc-._~+/=").unwrap().expose(), "dwt_abc-._~+/=");
        for text in ["", "a b", "a\r\nb", "a\u{1b}[2J", "ä", &"x".repeat(513)] {
            assert!(parse(text).is_none(), "{text:?}");
        }
    }
}
