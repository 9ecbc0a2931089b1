//! Random bytes for names and secrets, from the same generator that TLS uses.

use data_encoding::HEXLOWER;
use thiserror::Error;

const PUBLIC_ID_BYTES: usize = 6;

/// The random generator gave nothing. Callers fail closed: a predictable secret is worse than none.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the system gives no random bytes")]
pub struct NoEntropy;

/// Fills `bytes` with random ones.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), NoEntropy> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| NoEntropy)
}

/// A public name for a session or a token: 12 hex digits. Not derived from the secret, so it may be shown and logged.
pub(crate) fn public_id() -> Result<String, NoEntropy> {
    let mut bytes = [0; PUBLIC_ID_BYTES];
    fill(&mut bytes)?;
    Ok(HEXLOWER.encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::public_id;

    #[test]
    fn public_ids_are_twelve_hex_digits_and_differ() {
        let (a, b) = (public_id().unwrap(), public_id().unwrap());
        assert_eq!(a.len(), 12);
        assert!(a.bytes().all(|digit| digit.is_ascii_hexdigit()));
        assert_ne!(a, b);
    }
}
