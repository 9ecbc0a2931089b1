//! The text of a token: `dwt_`, then 256 random bits and a 24-bit checksum in base32.
//!
//! ```text
//! dwt_ 0123456789abcdefghijklmnopqrstuv…   4 + 56 characters, lower case, one spelling per token
//! ```
//!
//! The prefix lets secret scanners find leaked tokens, the checksum lets them (and us) tell a token from a typo without
//! asking the store.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE32_DNSSEC;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::store::{KeyHash, NoEntropy, fill};

/// What every token starts with.
pub const PREFIX: &str = "dwt_";

const SECRET_BYTES: usize = 32;
const CHECK_BYTES: usize = 3;
/// 35 bytes are exactly 56 characters of 5 bits, so no spare bits allow a second spelling.
const BODY_CHARS: usize = 56;
/// How long every token is.
pub const CHARS: usize = PREFIX.len() + BODY_CHARS;

/// A whole, well-formed token; whether it is known, only the store can say. No `Debug`, no `Display`, no `Serialize`;
/// wiped when dropped.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

/// The text is no token of ours. Deliberately does not say what is wrong with it, nor repeat it.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("this is not a doorward token")]
pub struct InvalidToken;

impl Token {
    /// A new token of 256 random bits.
    ///
    /// # Errors
    /// [`NoEntropy`] if the system gives no random bytes.
    pub fn generate() -> Result<Self, NoEntropy> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        fill(secret.as_mut())?;
        Ok(Self::from_secret(&secret))
    }

    /// Reads a token as it was sent, checking prefix, length, alphabet and checksum.
    ///
    /// # Errors
    /// [`InvalidToken`] if any of them is wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let body = text.strip_prefix(PREFIX).ok_or(InvalidToken)?;
        let lower = body.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'v'));
        if body.len() != BODY_CHARS || !lower {
            return Err(InvalidToken);
        }
        let bytes = Zeroizing::new(BASE32_DNSSEC.decode(body.as_bytes()).map_err(|_| InvalidToken)?);
        let (secret, check) = bytes.split_first_chunk::<SECRET_BYTES>().ok_or(InvalidToken)?;
        if check != checksum(secret) {
            return Err(InvalidToken);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// SHA-256 of the whole text, the form that the store knows. No comparison in constant time is needed anywhere:
    /// tokens are looked up by this hash, and its bytes tell nothing about those of the token.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        let mut hash = KeyHash::default();
        hash.copy_from_slice(digest(&SHA256, self.0.as_bytes()).as_ref());
        hash
    }

    /// The text itself, for the one place that hands it to its owner.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn from_secret(secret: &[u8; SECRET_BYTES]) -> Self {
        let bytes = Zeroizing::new([&secret[..], &checksum(secret)].concat());
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + BODY_CHARS));
        text.push_str(PREFIX);
        BASE32_DNSSEC.encode_append(&bytes, &mut text);
        Self(text)
    }
}

/// The first bytes of SHA-256 over prefix and secret: a guard against typos, not against forgers.
fn checksum(secret: &[u8; SECRET_BYTES]) -> [u8; CHECK_BYTES] {
    let bytes = Zeroizing::new([PREFIX.as_bytes(), secret].concat());
    digest(&SHA256, &bytes).as_ref().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{InvalidToken, Token};

    #[test]
    fn k2_a_token_is_long_and_random_and_starts_with_our_prefix() {
        let (a, b) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert!(a.expose().starts_with("dwt_"));
        assert_eq!(a.expose().len(), 60);
        assert_ne!(a.expose(), b.expose());
    }

    /// Tokens outlive versions: this one must be readable for ever.
    #[test]
    fn the_format_does_not_change() {
        let secret: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        let token = Token::from_secret(&secret);
        assert_eq!(token.expose(), "dwt_000g40o40k30e209185go38e1s8124gj2gahc5oo34d1m70t3ofhncfa");
        assert!(Token::parse(token.expose()).is_ok());
    }

    #[test]
    fn k2_the_hash_is_sha_256_of_the_whole_text() {
        let token = Token::from_secret(&[7; 32]);
        let expected = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.expose().as_bytes());
        assert_eq!(token.hash(), expected.as_ref());
    }

    #[test]
    fn only_one_spelling_is_a_token() {
        let token = Token::from_secret(&[0x5a; 32]);
        let text = token.expose();
        for other in [
            text.to_uppercase(),
            text.replacen("dwt_", "DWT_", 1),
            format!("{text} "),
            format!(" {text}"),
            format!("{text}="),
            format!("{text}0"),
            text[..59].to_owned(),
            text[4..].to_owned(),
            format!("dwt_{}", text[4..].to_uppercase()),
            "dwt_".to_owned(),
            String::new(),
            format!("dwt_{}", "é".repeat(28)),
        ] {
            assert_eq!(Token::parse(&other).err(), Some(InvalidToken), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_generated_is_read_back(secret: [u8; 32]) {
            let token = Token::from_secret(&secret);
            let read = Token::parse(token.expose()).ok().unwrap();
            prop_assert_eq!(read.expose(), token.expose());
            prop_assert_eq!(read.hash(), token.hash());
        }

        #[test]
        fn a_single_wrong_character_is_noticed(secret: [u8; 32], at in 4usize..60, digit in "[0-9a-v]") {
            let token = Token::from_secret(&secret);
            let mut text = token.expose().to_owned();
            prop_assume!(text[at..=at] != digit);
            text.replace_range(at..=at, &digit);
            prop_assert!(Token::parse(&text).is_err());
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), tail in "(dwt_)?[0-9a-v\\PC]{50,60}") {
            prop_assert!(Token::parse(&text).is_err());
            prop_assert!(Token::parse(&tail).is_err());
        }
    }
}
