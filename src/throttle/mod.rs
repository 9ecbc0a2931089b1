//! Brute force gets nowhere: failures are counted, and who has too many waits.
//!
//! Each address (IPv6 by /64), each user name, known or not, each known device, and all devices of a user together have a
//! bucket of failures that refills with time. An empty one is a ban, and each further ban is twice as long. What is asked before a password is checked
//! is [`Throttle::admit`]; it reserves a place, so that a thousand guesses at once are no more than one after another.
//!
//! A failure without a verdict counts too, or a stack that reports refusals as outages would give guesses for nothing;
//! what it brings is provisional, see `outage`.
//!
//! The crate `governor` was looked at for the buckets. It can only take, neither look nor give back, and here a
//! success must cost nothing; nor has it bans, a bound, or a way to the disk. What is left of it would be one addition.

mod count;
mod fold;
mod guard;
mod keep;
mod key;
mod outage;
mod table;
#[cfg(test)]
mod tests;

pub use guard::{Attempt, Throttle, Transcript};
pub use key::{KnownDevice, subject_of};
pub use outage::OutageCode;
