//! Login through PAM, which lives in another process (`doorward-pam`, see `worker/`).
//!
//! Modules may hang, crash, call `exit` or steal signal handlers; none of that may happen inside the gateway.
//! This side holds the protocol ([`frames`], [`turn`]: pure) and the client of it. It does not link libpam.

pub mod arguments;
mod client;
mod code;
mod event;
pub mod frames;
pub mod stack;
pub mod turn;

pub use client::{PamClient, PamConversation, PamError, PamRequest};
pub use code::PamCode;
pub use event::{Outage, PamEvent, PamSuccess};
pub use frames::{Mode, Phase};
