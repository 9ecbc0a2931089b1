//! Bearer tokens: what they look like, and who may get one of which kind.

mod issue;
mod text;

pub use issue::{IssueError, MintRequest, TokenRequest, is_name, issue, mint};
pub use text::{CHARS, InvalidToken, PREFIX, Token};
