//! The ways in.

use serde::{Deserialize, Serialize};

/// One way in: which kind of credential proved an identity.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// `Authorization: Basic` (RFC 7617).
    Basic,
    /// A TLS client certificate (RFC 8446 section 4.4.2).
    Certificate,
    /// No proof: the operator said `--no-login`.
    None,
    /// A session cookie, got by the password form.
    Session,
    /// `Authorization: Bearer` (RFC 6750).
    Token,
}

impl Door {
    /// Whether a browser adds this proof to whatever a page makes it send, as it does with a cookie, though not only
    /// browsers come by this door. A session is always a browser's, and a token never is.
    #[must_use]
    pub const fn opens_by_itself(self) -> bool {
        matches!(self, Self::Basic | Self::Certificate | Self::None)
    }

    /// The word used in logs and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Certificate => "certificate",
            Self::None => "none",
            Self::Session => "session",
            Self::Token => "token",
        }
    }
}
