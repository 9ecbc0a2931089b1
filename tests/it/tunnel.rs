//! `doorward tunnel` as a process, between clients on its socket and a gateway that answers what a test tells it to.
//!
//! That a real gateway and a terminator understand each other through it is seen in `login/tunnel.rs` and `tests/e2e`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod gateway;
mod life;
pub(crate) mod process;
mod requests;
mod streams;

use std::time::Duration;

/// Longest wait for anything that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
