//! Why there is no new certificate, in words for the operator.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::schedule::Failure;

use crate::domain::sanitize;

/// Why a certificate could not be got.
#[derive(Debug, Error)]
pub enum AcmeError {
    /// The server refused to make or find the account.
    #[error("the ACME server does not take the account")]
    Account(#[source] instant_acme::Error),
    /// The server's certificate file, or the key of an external account.
    #[error("{option}: {path}: {text}")]
    File {
        /// The option to look at.
        option: &'static str,
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        text: String,
    },
    /// What came back cannot be served.
    #[error("the ACME server sent a certificate that cannot be used: {0}")]
    BadCertificate(&'static str),
    /// The server offers no challenge that can be answered here.
    #[error(
        "the ACME server offers no challenge for {domain} that can be answered here; it offers: {offered} \
         (--acme-http-listen answers http-01)"
    )]
    NoChallenge {
        /// The name to prove.
        domain: String,
        /// What the server offers.
        offered: String,
    },
    /// A file of the account or the certificate.
    #[error("{}", path.display())]
    Kept {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// The key or the request for a certificate could not be made.
    #[error("cannot make the key or the request")]
    Make(#[source] rcgen::Error),
    /// There is nothing to verify the server's certificate with.
    #[error(
        "this system has no CA certificates to verify the ACME server by; install ca-certificates or give --acme-ca FILE"
    )]
    NoRoots,
    /// The server would not make the order, or not finish it.
    #[error("the ACME server does not give the certificate")]
    Order(#[source] instant_acme::Error),
    /// The server could not be reached.
    #[error("the ACME server cannot be asked")]
    Server(#[source] instant_acme::Error),
    /// The server did not come to an end.
    #[error("the ACME server did not finish within {0} seconds")]
    Slow(u64),
    /// The server looked for the answer to its challenge and did not find it.
    #[error("the ACME server could not verify {0}")]
    Unproven(String),
}

impl AcmeError {
    /// How long to wait depends on this: a server that was not reached, or that stumbled, is asked again soon.
    pub(super) fn failure(&self) -> Failure {
        match self.refusal() {
            Some("rateLimited") => return Failure::Limited,
            // The library has tried a stale nonce again already (RFC 8555 section 6.5).
            Some("badNonce" | "serverInternal") => return Failure::Unreached,
            Some(_) => return Failure::Refused,
            None => {}
        }
        match self {
            Self::NoRoots | Self::File { .. } | Self::Kept { .. } => Failure::Unreached,
            // No answer, or none in the server's own words, such as the page of a proxy before it.
            Self::Account(error) | Self::Order(error) | Self::Server(error) => match error {
                instant_acme::Error::Api(problem) if problem.status.is_none_or(|status| status < 500) => {
                    Failure::Refused
                }
                _ => Failure::Unreached,
            },
            _ => Failure::Refused,
        }
    }

    /// The type of the server's refusal, behind `urn:ietf:params:acme:error:` (RFC 8555 section 6.7).
    pub(super) fn refusal(&self) -> Option<&str> {
        let (Self::Account(error) | Self::Order(error) | Self::Server(error)) = self else { return None };
        let instant_acme::Error::Api(problem) = error else { return None };
        problem.r#type.as_deref()?.strip_prefix("urn:ietf:params:acme:error:")
    }

    /// This error and its causes in one line, without characters that steer a terminal: a server wrote some of them.
    #[must_use]
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        harmless(&text)
    }
}

/// Bounded, and fit for a terminal and a log.
pub(super) fn harmless(text: &str) -> String {
    let first: String = text.chars().take(1000).collect();
    sanitize(&first, ' ')
}
