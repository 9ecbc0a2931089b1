//! The ways in.

use serde::{Deserialize, Serialize};

/// One way in: which kind of credential proved an identity.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// `Authorization: Basic` (RFC 7617).
    Basic,
    /// No proof: the operator said `--no-login`.
    None,
    /// A session cookie, got by the password form.
    Session,
    /// `Authorization: Bearer` (RFC 6750).
    Token,
}

impl Door {
    /// The word used in logs and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::None => "none",
            Self::Session => "session",
            Self::Token => "token",
        }
    }
}
