//! Whose client certificates count: files that openssl makes, of many shapes, judged by the gateway's code and, beside it, by
//! openssl itself, which is what nginx asks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod chains;
mod lists;
mod made;
