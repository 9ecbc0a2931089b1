//! Passwords that nobody has to think up.

use data_encoding::BASE32_NOPAD;
use zeroize::{Zeroize, Zeroizing};

use crate::store::{NoEntropy, fill};

/// 20 letters and digits of 5 bits each.
const BYTES: usize = 13;
const LETTERS: usize = 20;
const GROUP: usize = 5;

/// A random password of 100 bits, easy to read out and to type: `abcde-fghij-klmno-pqrst`.
///
/// # Errors
/// [`NoEntropy`] if the system gives no random bytes.
pub fn generate_password() -> Result<Zeroizing<String>, NoEntropy> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    fill(bytes.as_mut())?;
    let mut word = BASE32_NOPAD.encode(bytes.as_ref()).to_lowercase();
    // Room for all of it from the start: a string that grows leaves a copy behind.
    let mut password = Zeroizing::new(String::with_capacity(LETTERS * 2));
    for (index, letter) in word.chars().take(LETTERS).enumerate() {
        if index > 0 && index % GROUP == 0 {
            password.push('-');
        }
        password.push(letter);
    }
    word.zeroize();
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::generate_password;

    #[test]
    fn generated_passwords_have_a_hundred_bits_and_differ() {
        let (one, other) = (generate_password().unwrap(), generate_password().unwrap());
        assert_ne!(*one, *other);
        let groups: Vec<&str> = one.split('-').collect();
        assert_eq!(groups.len(), 4, "{groups:?}");
        for group in groups {
            assert!(
                group.len() == 5
                    && group.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b))
            );
        }
    }
}
