//! Stage 3: what a request means, and whether its maker may have it. Only this module can build a [`Permit`].

mod origin;
mod permit;
mod reading;
mod target;
mod version;

pub use origin::{ForeignOrigin, check_same_origin, is_by_browser};
pub use permit::{Denied, Permit, decide};
pub use reading::NotReading;
pub use target::{InvalidTarget, OWN_PREFIX, Target};
