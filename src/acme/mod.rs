//! A certificate from an ACME server (RFC 8555): ordered, proven, stored, and renewed in time.
//!
//! ```text
//! keeper ── due? ──► order ──► challenges ◄── the TLS listener (TLS-ALPN-01), responder (HTTP-01)
//!    ▲ when it failed, and when next    │
//!    └────────── folder ◄───────────────┘ certificate and key, the account's key
//! ```
//!
//! Whatever goes wrong, the certificate in use stays in use: a new one is looked at before it takes the old one's place.

mod account;
mod attempts;
mod challenges;
mod client;
mod error;
mod folder;
mod keeper;
mod kept;
mod order;
mod prepared;
mod responder;
mod schedule;

pub use attempts::LastFailure;
pub use challenges::{ALPN, Challenges, Pending, challenge_certificate};
pub use error::AcmeError;
pub use folder::Folder;
pub use keeper::{Install, Keeper};
pub use kept::Kept;
pub use prepared::Prepared;
pub use responder::respond;
