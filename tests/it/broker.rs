//! The PAM broker as a real process with real PAM stacks: what it lets in, survives and refuses.
//!
//! Marked `cfg(test)` so that clippy's allowances for tests hold in functions that are no tests themselves.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod house;
#[cfg(test)]
mod misdeeds;
#[cfg(test)]
mod process;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod systemd;
#[cfg(test)]
mod unit;
