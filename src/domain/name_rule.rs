//! What can be a user name. Compiled into the broker too, which need not believe the gateway.

use thiserror::Error;

use super::foreign_text::is_unsafe;

/// Longest name.
const MAX_USERNAME_BYTES: usize = 256;

/// Why a text cannot be a user name.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum InvalidUsername {
    /// A control, format or separator character that could forge log lines or look like another name.
    #[error("the user name holds a character that is not allowed")]
    Character,
    /// Nothing was given.
    #[error("the user name is empty")]
    Empty,
    /// A leading `-` would be an option to a helper program.
    #[error("the user name starts with '-'")]
    LeadingDash,
    /// Longer than 256 bytes.
    #[error("the user name is longer than 256 bytes")]
    TooLong,
}

/// 1 to 256 bytes of UTF-8 without control characters, invisible characters, white space at the ends, a leading `-`, `/`,
/// `:`, or a name that is nothing but dots; nor what a directory turns into one of these (compatibility forms, UAX 15).
///
/// # Errors
/// [`InvalidUsername`] says which rule it breaks.
pub fn check_name(text: &str) -> Result<(), InvalidUsername> {
    if text.is_empty() {
        return Err(InvalidUsername::Empty);
    }
    if text.len() > MAX_USERNAME_BYTES {
        return Err(InvalidUsername::TooLong);
    }
    if text.starts_with(['-', '\u{fe63}', '\u{ff0d}']) {
        return Err(InvalidUsername::LeadingDash);
    }
    if text.trim() != text || text.chars().any(is_forbidden) || text.chars().all(is_dot) {
        return Err(InvalidUsername::Character);
    }
    Ok(())
}

/// `/` would reach into files that modules open by user name (CVE-2020-27780 class), `:` splits passwd lines, and what is
/// invisible or reorders text would make two names look alike that are one to a directory (RFC 4518 section 2.2); some
/// characters are the same in another width, or hold them (`℀`).
fn is_forbidden(c: char) -> bool {
    is_unsafe(c)
        || matches!(c, '/' | ':' | ',' | '"' | '<' | '>' | '\u{fff9}'..='\u{ffff}')
        || matches!(c, '\u{1806}' | '\u{fe00}'..='\u{fe0f}' | '\u{1bca0}'..='\u{1bca3}')
        || matches!(c, '／' | '：' | '，' | '＂' | '＜' | '＞' | '﹐' | '﹕' | '﹤' | '﹥')
        || matches!(c, '℀' | '℁' | '℅' | '℆' | '\u{fe10}' | '\u{fe13}' | '⩴' | '\u{1f101}'..='\u{1f10a}')
        || matches!(c, '\u{226e}' | '\u{226f}' | '\u{2044}' | '\u{2215}')
}

const fn is_dot(c: char) -> bool {
    matches!(c, '.' | '．' | '﹒' | '․' | '‥' | '…' | '\u{fe19}' | '\u{fe30}')
}
