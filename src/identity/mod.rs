//! Stage 2: who sent this request. One file a door; the first credential on a request decides.

mod accounts;
mod authenticator;
mod basic;
mod bearer;
mod certificate;
mod chain;
mod conversations;
mod cookie;
mod credential;
mod credential_cache;
mod decoy;
mod devices;
mod exchange;
mod issued;
mod look_up;
mod origin;
mod pending;
mod registry;
mod replays;
mod room;
mod steps;

pub use accounts::{Accounts, CHECKS_AT_ONCE, Standing};
pub use authenticator::{Authenticator, Dialogue, Step, Verified};
pub use basic::BasicDoor;
pub use certificate::CertificateDoor;
pub use chain::{Doors, Outcome, Reason, Shared};
pub use conversations::Conversations;
pub use credential::{Credential, Identity, Login};
pub use devices::{BegunDevice, DEVICE_SECONDS, DevicePoll, Devices, POLL_SECONDS, ShownDevice};
pub use exchange::{Begin, Limits, Reply};
pub use origin::Origin;
pub use registry::Registry;
