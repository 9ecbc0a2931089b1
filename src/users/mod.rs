//! The embedded user file: names, argon2id hashes and groups in TOML, for hosts without a PAM stack.
//!
//! ```toml
//! [users.demo]
//! password = "$argon2id$v=19$m=19456,t=2,p=1$…"
//! groups = ["ops"]
//! disabled = false
//! valid-from = 2026-01-31T18:00:00Z
//! ```

mod document;
mod edit;
mod error;
mod file;
mod generate;
mod hash;
mod live;

pub use edit::{Changed, Draft, IfMissing, change, check_groups};
pub use error::UsersError;
pub use file::{UserFile, UserInfo, Verdict};
pub use generate::generate_password;
pub use hash::{Cost, PasswordHash, hash_password};
pub use live::Users;
