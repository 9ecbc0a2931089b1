//! The request log: who did what, when, from where, by which credential.
//!
//! One line a request, written as soon as its status is known; streams and tunnels get a closing line. A request that
//! is still running when its client leaves gets its line all the same (status 499, as nginx names it).
//! Never in it: queries, bodies, cookies, tokens, passwords, `Authorization`, `X-Registry-*`.

mod line;
mod sink;

pub use line::{Closing, Line, clean, clean_path, rfc3339, who};
pub use sink::{Sink, SinkError};
