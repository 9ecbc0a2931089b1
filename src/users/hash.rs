//! argon2id hashes as PHC strings. Here, and nowhere else, a password meets a hash.

use std::fmt;

use argon2::password_hash::phc::{self, Output, ParamsString, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::{Zeroize, Zeroizing};

use super::UsersError;
use crate::domain::Password;
use crate::store::fill;

const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 32;
/// A shorter hash could be met by chance or by search.
const MIN_OUTPUT_BYTES: usize = 16;
/// Ceilings on what a file may make each login cost: 1 GiB, 64 passes, 64 lanes.
const MAX_COST: Cost = Cost { memory_kib: 1 << 20, passes: 64, lanes: 64 };

/// Memory times passes (KiB) below which OWASP's list of equally strong parameters ends: 7168 KiB, 5 passes.
const ENOUGH: u64 = 7168 * 5;

/// What one verification costs: argon2's parameters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Cost {
    /// Memory, in KiB (`m`).
    pub memory_kib: u32,
    /// Passes over it (`t`).
    pub passes: u32,
    /// Lanes (`p`).
    pub lanes: u32,
}

/// A fresh hash as a PHC string, to be written into a file.
pub struct PasswordHash(String);

/// A checked hash: verifying against it can only answer yes or no.
#[derive(Clone)]
pub(super) struct Hash {
    params: Params,
    salt: Salt,
    output: Output,
}

/// Hashes a password with a fresh salt and the parameters that OWASP names first (19 MiB, 2 passes). Takes some 50 ms:
/// call it where blocking is allowed.
///
/// # Errors
/// [`UsersError`] if there is no memory or there are no random bytes.
pub fn hash_password(password: &Password) -> Result<PasswordHash, UsersError> {
    let mut salt = [0; SALT_BYTES];
    fill(&mut salt)?;
    let mut output = [0; OUTPUT_BYTES];
    derive(&Params::DEFAULT, password.expose().as_bytes(), &salt, &mut output).map_err(failed)?;
    let phc = phc::PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&Params::DEFAULT).map_err(failed)?,
        salt: Some(Salt::new(&salt).map_err(failed)?),
        hash: Some(Output::new(&output).map_err(failed)?),
    };
    Ok(PasswordHash(phc.to_string()))
}

impl PasswordHash {
    /// The PHC string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Hash {
    /// Reads a PHC string, refusing everything that could later fail, be weak by mistake, or exhaust the machine.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let phc = phc::PasswordHash::new(text)
            .map_err(|_| "the password is no hash; set it with: doorward users passwd")?;
        if phc.algorithm != ARGON2ID_IDENT || phc.version != Some(Version::V0x13.into()) {
            return Err("only argon2id hashes of version 19 ($argon2id$v=19$…) are accepted".to_owned());
        }
        let params = Params::try_from(&phc).map_err(|error| format!("the hash's parameters: {error}"))?;
        let (Some(salt), Some(output)) = (phc.salt, phc.hash) else {
            return Err("the hash is cut short".to_owned());
        };
        if output.len() < MIN_OUTPUT_BYTES {
            return Err(format!("the hash is shorter than {MIN_OUTPUT_BYTES} bytes"));
        }
        let hash = Self { params, salt, output };
        hash.cost().check()?;
        Ok(hash)
    }

    /// A hash of no password that costs as much to refuse as a real one, for users who do not exist.
    pub(super) fn decoy(cost: Cost) -> Result<Self, UsersError> {
        let params =
            Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(OUTPUT_BYTES)).map_err(failed)?;
        let (mut salt, mut output) = ([0; SALT_BYTES], [0; OUTPUT_BYTES]);
        fill(&mut salt)?;
        fill(&mut output)?;
        Ok(Self {
            params,
            salt: Salt::new(&salt).map_err(failed)?,
            output: Output::new(&output).map_err(failed)?,
        })
    }

    /// Whether this is the hash of `password`. A hash that cannot be computed (no memory) is a no, and is logged.
    pub(super) fn verify(&self, password: &Password) -> bool {
        let mut output = Zeroizing::new(vec![0; self.output.len()]);
        match derive(&self.params, password.expose().as_bytes(), &self.salt, &mut output) {
            Ok(()) => verify_slices_are_equal(&output, self.output.as_bytes()).is_ok(),
            Err(error) => {
                tracing::error!(%error, "a password cannot be checked");
                false
            }
        }
    }

    pub(super) fn cost(&self) -> Cost {
        Cost::of(&self.params)
    }
}

impl Cost {
    /// What a new hash costs.
    pub(super) const USUAL: Self = Self::of(&Params::DEFAULT);

    /// Whether a new hash of the same password would be harder to guess.
    #[must_use]
    pub const fn is_weak(self) -> bool {
        (self.memory_kib as u64) * (self.passes as u64) < ENOUGH
    }

    const fn of(params: &Params) -> Self {
        Self { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() }
    }

    fn check(self) -> Result<(), String> {
        let within = self.memory_kib <= MAX_COST.memory_kib
            && self.passes <= MAX_COST.passes
            && self.lanes <= MAX_COST.lanes;
        if within {
            return Ok(());
        }
        Err("the hash's parameters are too costly (at most m=1048576, t=64, p=64)".to_owned())
    }
}

/// As the PHC string has it: `m=19456,t=2,p=1`.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={},t={},p={}", self.memory_kib, self.passes, self.lanes)
    }
}

/// Runs argon2id in memory of our own, because that must be wiped: it is derived from the password.
fn derive(params: &Params, password: &[u8], salt: &[u8], output: &mut [u8]) -> Result<(), argon2::Error> {
    let mut blocks = Vec::new();
    blocks.try_reserve_exact(params.block_count()).map_err(|_| argon2::Error::OutOfMemory)?;
    blocks.resize(params.block_count(), Block::new());
    let result = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into_with_memory(password, salt, output, blocks.as_mut_slice());
    for block in &mut blocks {
        block.as_mut().zeroize();
    }
    result
}

fn failed(error: impl fmt::Display) -> UsersError {
    UsersError::Hash(error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Cost, Hash, hash_password};
    use crate::domain::Password;

    /// From the tests of the reference implementation in C: "password" with the salt "somesalt".
    const REFERENCE: &str =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    #[test]
    fn a_hash_verifies_its_own_password_only() {
        let made = hash_password(&password("hunter2")).unwrap();
        let text = made.as_str();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        let hash = Hash::parse(text).unwrap();
        assert!(hash.verify(&password("hunter2")));
        assert!(!hash.verify(&password("hunter3")));
        assert!(!hash.verify(&password("hunter")));
    }

    #[test]
    fn two_hashes_of_one_password_differ() {
        let hash = || hash_password(&password("same")).unwrap().as_str().to_owned();
        assert_ne!(hash(), hash());
    }

    #[test]
    fn hashes_of_other_programs_are_understood() {
        let hash = Hash::parse(REFERENCE).unwrap();
        assert!(hash.verify(&password("password")));
        assert!(!hash.verify(&password("Password")));
    }

    #[test]
    fn what_is_no_sound_argon2id_hash_is_refused_at_load() {
        for bad in [
            "",
            "hunter2",
            "$6$salt$hash",
            "$argon2id$v=19$m=256,t=2,p=1",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ",
            &REFERENCE.replace("argon2id", "argon2i"),
            &REFERENCE.replace("v=19", "v=16"),
            &REFERENCE.replace("$v=19", ""),
            &REFERENCE.replace("m=256", "m=1"),
            &REFERENCE.replace("m=256", "m=4294967295"),
            &REFERENCE.replace("t=2", "t=65"),
            &REFERENCE.replace("t=2", "x=2"),
            &REFERENCE.replace("nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "nf65EOgLrQMR/uIPnA4"),
        ] {
            assert!(Hash::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a11_a_decoy_costs_what_the_users_hashes_cost() {
        let real = Hash::parse(REFERENCE).unwrap();
        let decoy = Hash::decoy(real.cost()).unwrap();
        assert_eq!(decoy.cost(), real.cost());
        assert!(!decoy.verify(&password("password")));
        let made = Hash::parse(hash_password(&password("x")).unwrap().as_str()).unwrap();
        assert_eq!(Hash::decoy(Cost::USUAL).unwrap().cost(), made.cost());
    }

    #[test]
    fn weaker_parameters_than_todays_are_told_from_others_of_the_same_strength() {
        let weak = |memory_kib, passes| Cost { memory_kib, passes, lanes: 1 }.is_weak();
        for (memory, passes) in [(47104, 1), (19456, 2), (12288, 3), (9216, 4), (7168, 5), (32768, 2)] {
            assert!(!weak(memory, passes), "{memory} {passes}");
        }
        assert!(!Cost::USUAL.is_weak());
        for (memory, passes) in [(4096, 3), (256, 2), (19456, 1), (u32::MAX >> 20, 8)] {
            assert!(weak(memory, passes), "{memory} {passes}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), tail in "[$=,a-zA-Z0-9+/]{0,60}") {
            let _ = Hash::parse(&text);
            let _ = Hash::parse(&format!("$argon2id{tail}"));
            let _ = Hash::parse(&format!("$argon2id$v=19$m=256,t=2,p=1{tail}"));
        }
    }

    fn password(text: &str) -> Password {
        Password::parse(text.to_owned()).unwrap()
    }
}
