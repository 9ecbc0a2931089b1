//! Stage 3: what a request means, and whether its maker may have it. Only this module can build a [`Permit`].

mod answer;
mod fetch;
mod origin;
mod permit;
mod reading;
mod target;
mod version;

pub use answer::{AnswerRules, Keeping};
pub use fetch::FetchMetadata;
pub use origin::{ForeignOrigin, check_own_form, check_same_origin, is_by_browser};
pub use permit::{Asked, Denied, Permit, decide};
pub use reading::NotReading;
pub use target::{InvalidTarget, OWN_PREFIX, Target};
