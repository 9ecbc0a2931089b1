//! The heart: one thread's way of a request. Identify, permit, forward, and write it down.

mod body;
mod check;
mod entry;
mod head_timer;
mod hop;
mod host;
mod hsts;
mod lifetime;
mod open_request;
mod own;
mod refuse;
mod request;
mod stream;
mod timer;
mod worker;

pub use body::GatewayBody;
pub use hsts::Hsts;
pub use worker::{Gateway, Mode, Stop, Worker};
