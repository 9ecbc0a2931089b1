//! Settings: `raw` mirrors the command line, `doorward.toml` and `DOORWARD_*`; `checked` is valid by construction.
//!
//! ```text
//! arguments ─┐
//! DOORWARD_* ─┼─ gather ─► RawSettings ─ Settings::check ─► Settings
//! file ──────┘      (every problem of both steps is reported at once)
//! ```
//!
//! Nothing here opens what a setting points to: that a file can be read or an engine answers is for the commands.

mod acme;
mod address;
mod cert_header;
mod certificates;
mod check;
pub mod checked;
mod duration;
mod environment;
mod file;
mod gather;
mod hsts;
mod login;
mod names;
mod places;
mod problem;
mod raw;
mod reach;
mod size;
mod state_place;
#[cfg(test)]
mod tests;
mod throttle;
mod user_place;
mod warnings;
mod whereabouts;

pub use address::{parse_engine, parse_listen};
pub use checked::*;
pub use duration::parse_duration;
pub use environment::Environment;
pub use file::DEFAULT_FILE;
pub(crate) use file::line_of;
pub use gather::{Gathered, gather, gather_without_arguments, unknown_variables};
pub use names::certificate_name;
pub use problem::{Origin, Problem};
pub use raw::{RawSettings, Text};
pub use state_place::StatePlace;
pub use user_place::UserPlace;
pub use whereabouts::Whereabouts;
