//! What a token was narrowed to.

use serde::{Deserialize, Serialize};

/// A part of what a token's user may do. A token without one may do all of it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Looking on: what the policy counts as reading, and nothing that is known to show secrets.
    Read,
}

impl Scope {
    /// The word used in the API, in the store and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
        }
    }

    /// Reads the word; `None` for one that is not known, which must not count as no scope.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        (word == Self::Read.as_str()).then_some(Self::Read)
    }
}
