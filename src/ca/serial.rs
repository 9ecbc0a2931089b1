//! Serial numbers of certificates.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use rcgen::SerialNumber;
use serde::{Deserialize, Serialize};

use crate::store::{NoEntropy, fill};

const BYTES: usize = 16;

/// A serial number of 128 bits, 126 of them random: not to be guessed, so nobody can ready two contents with one
/// signature (RFC 5280 §4.1.2.2 allows 20 bytes; the CA/Browser Forum asks for 64 random bits).
///
/// Written as 32 hex digits; read with colons and capitals too, as openssl and browsers show it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Serial([u8; BYTES]);

/// A text that is no serial number of this kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a serial number has 32 hex digits")]
pub struct InvalidSerial;

impl Serial {
    /// A new one. Random also where the key stays: Firefox refuses two certificates of one issuer with one number.
    ///
    /// # Errors
    /// [`NoEntropy`] if the system gives no random bytes.
    pub fn random() -> Result<Self, NoEntropy> {
        let mut bytes = [0; BYTES];
        fill(&mut bytes)?;
        // Positive, and never a zero in front: DER writes the shortest form, and all have one length.
        if let Some(first) = bytes.first_mut() {
            *first = (*first & 0x7f) | 0x40;
        }
        Ok(Self(bytes))
    }

    /// The number as it stands in a certificate (its DER content); `None` if no certificate of ours has such a one.
    #[must_use]
    pub fn from_der(content: &[u8]) -> Option<Self> {
        <[u8; BYTES]>::try_from(content).ok().map(Self)
    }

    /// The bytes, the highest first.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Serial> for SerialNumber {
    fn from(serial: Serial) -> Self {
        Self::from_slice(&serial.0)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl FromStr for Serial {
    type Err = InvalidSerial;

    fn from_str(text: &str) -> Result<Self, InvalidSerial> {
        let digits: String = text.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
        let bytes = HEXLOWER.decode(digits.as_bytes()).map_err(|_| InvalidSerial)?;
        Self::from_der(&bytes).ok_or(InvalidSerial)
    }
}

impl TryFrom<String> for Serial {
    type Error = InvalidSerial;

    fn try_from(text: String) -> Result<Self, InvalidSerial> {
        text.parse()
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> Self {
        serial.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Serial;

    #[test]
    fn serial_numbers_are_positive_of_one_length_and_differ() {
        let all: Vec<Serial> = (0..64).map(|_| Serial::random().unwrap()).collect();
        for (at, serial) in all.iter().enumerate() {
            assert!((0x40..0x80).contains(&serial.as_bytes()[0]), "{serial}");
            assert!(!all[..at].contains(serial));
        }
    }

    #[test]
    fn a_serial_number_is_read_as_openssl_and_browsers_show_it() {
        let serial = Serial::random().unwrap();
        let plain = serial.to_string();
        let pairs: Vec<String> = serial.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect();
        for text in [plain.clone(), plain.to_uppercase(), pairs.join(":")] {
            assert_eq!(text.parse(), Ok(serial), "{text}");
        }
        for bad in ["", "bob", "0x40", &plain[1..], &format!("{plain}00")] {
            assert!(bad.parse::<Serial>().is_err(), "{bad}");
        }
    }
}
