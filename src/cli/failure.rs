//! How a command that works on files ends: what it could not do, and the exit code that says so.

use super::{exit, report};
use crate::config::Problem;

/// Whom the gateway runs as where no settings can be read.
pub(super) const DEFAULT_ACCOUNT: &str = "doorward";

/// Why a command did not do what it was told.
pub(super) enum Failure {
    /// The command line asks for something that cannot be.
    Usage(String),
    /// Wrong settings.
    Settings(Vec<Problem>),
    /// Anything else.
    Other(anyhow::Error),
}

/// How a command ended.
pub(super) type Outcome = Result<(), Failure>;

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Says what went wrong, if anything did, and gives the exit code.
pub(super) fn conclude(outcome: Outcome) -> u8 {
    match outcome {
        Ok(()) => exit::OK,
        Err(Failure::Settings(problems)) => report::problems(&problems),
        Err(Failure::Usage(message)) => {
            report::complain(format_args!("error: {message}"));
            exit::USAGE
        }
        Err(Failure::Other(error)) => {
            report::complain(format_args!("error: {error:#}"));
            exit::FAILURE
        }
    }
}
