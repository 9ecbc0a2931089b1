//! How a command that works on files or asks a gateway ends: what it could not do, and the exit code that says so.

mod advice;

use anyhow::Error;

use super::shown::shown;
use super::{exit, report};
use crate::client::{CertificateError, ClientError, ConnectError, LoginError, PickError, Seen};
use crate::config::Problem;

/// Whom the gateway runs as where no settings can be read.
pub(super) const DEFAULT_ACCOUNT: &str = "doorward";

/// Why a command did not do what it was told.
pub(super) enum Failure {
    /// The command line asks for something that cannot be.
    Usage(String),
    /// Wrong settings.
    Settings(Vec<Problem>),
    /// A server that has not proven who it is.
    Identity(String),
    /// A login that was refused, or that is missing.
    Login(Error),
    /// Anything else.
    Other(Error),
}

/// How a command ended.
pub(super) type Outcome = Result<(), Failure>;

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

impl Failure {
    /// The failure, with what it comes on top of said before it.
    pub(super) fn after(self, said: &str) -> Self {
        match self {
            Self::Other(error) => Self::Other(error.context(said.to_owned())),
            Self::Login(error) => Self::Login(error.context(said.to_owned())),
            other => other,
        }
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
        Err(Failure::Identity(message)) => {
            report::complain(format_args!("error: {}", shown(&message)));
            exit::IDENTITY
        }
        Err(Failure::Login(error)) => {
            report::complain(format_args!("error: {}", shown(&words(&error))));
            exit::LOGIN
        }
        Err(Failure::Other(error)) => {
            // Parts of it may be a gateway's words, and that may not be the gateway that was meant.
            report::complain(format_args!("error: {}", shown(&words(&error))));
            code(&error)
        }
    }
}

fn code(error: &Error) -> u8 {
    if connect_error(error).is_some_and(|error| seen_in(error).is_some()) {
        exit::IDENTITY
    } else if is_about_login(error) {
        exit::LOGIN
    } else {
        exit::FAILURE
    }
}

/// Whether somebody has to log in, or could not.
pub(super) fn is_about_login(error: &Error) -> bool {
    let unauthorized = client_error(error).is_some_and(|error| error.is_status(401));
    let picked = matches!(error.downcast_ref(), Some(PickError::Nowhere | PickError::Unknown { .. }));
    let given_up = matches!(error.downcast_ref(), Some(LoginError::GivenUp | LoginError::Endless));
    unauthorized || picked || given_up
}

fn client_error(error: &Error) -> Option<&ClientError> {
    error
        .downcast_ref()
        .or_else(|| match error.downcast_ref()? {
            LoginError::Client(error) => Some(error),
            _ => None,
        })
        .or_else(|| match error.downcast_ref()? {
            CertificateError::Client(error) => Some(error),
            CertificateError::Make(_) => None,
        })
}

fn connect_error(error: &Error) -> Option<&ConnectError> {
    error.downcast_ref().or_else(|| match client_error(error)? {
        ClientError::Connect(error) => Some(error),
        _ => None,
    })
}

/// What a server showed that was not believed.
fn seen_in(error: &ConnectError) -> Option<&Seen> {
    match error {
        ConnectError::Changed { seen, .. } | ConnectError::Untrusted { seen, .. } => Some(seen),
        _ => None,
    }
}

/// The error, and what to do about it.
fn words(error: &Error) -> String {
    match connect_error(error) {
        Some(ConnectError::Changed { url, seen }) => format!(
            "THE KEY OF {url} HAS CHANGED\n\
             Somebody may stand between you and the gateway, or its administrator gave it a new key. Nothing was sent.\n\
             The certificate that it shows now has the SHA-256 fingerprint\n  {}\n\
             Ask the administrator. If it is right, forget the old key and log in again:\n  \
             doorward logout --host {}; doorward login {url}",
            seen.fingerprint(),
            url.authority()
        ),
        Some(ConnectError::Untrusted { url, seen }) => format!(
            "the certificate of {url} cannot be verified: {}; nothing was sent; its SHA-256 fingerprint is\n  {}",
            advice::about_certificate(url, seen),
            seen.fingerprint()
        ),
        _ => match advice::about(error) {
            Some(advice) => format!("{error:#}; {advice}"),
            None => format!("{error:#}"),
        },
    }
}
