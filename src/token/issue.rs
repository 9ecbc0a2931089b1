//! Who gets a token, of which kind and for how long. Pure apart from the random bytes; the caller keeps the record.

use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;

use super::Token;
use crate::domain::{ClientCertificate, UnixSeconds, Username};
use crate::store::{NoEntropy, TokenKind, TokenRecord, public_id};

const MAX_NAME_CHARS: usize = 64;

/// What somebody who has just proven a password asks for.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// What its owner calls it: 1 to 64 printable characters.
    pub name: String,
    /// Whose it will be.
    pub user: Username,
    /// The user's groups, as the login gave them.
    pub groups: Vec<String>,
    /// Client address that asks.
    pub address: Option<IpAddr>,
    /// The certificate that the asker came by, if any: the token ends with it.
    pub certificate: Option<ClientCertificate>,
    /// Wished life time; the longest allowed one when absent.
    pub lifetime: Option<Duration>,
}

/// Why no token was made.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum IssueError {
    /// The maker is itself minted, or has expired.
    #[error("this token may not make other tokens")]
    MayNotMint,
    /// Empty, too long, or with characters that could forge a line of a list.
    #[error("a token's name has 1 to 64 printable characters")]
    Name,
    /// No random bytes for it.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

/// Makes a token for somebody who has just proven a password. It lives as long as was asked, but at most `longest`.
///
/// # Errors
/// [`IssueError`] if the name is not allowed or there are no random bytes.
pub fn issue(
    kind: TokenKind,
    request: TokenRequest,
    longest: Duration,
    now: UnixSeconds,
) -> Result<(Token, TokenRecord), IssueError> {
    if !is_name(&request.name) {
        return Err(IssueError::Name);
    }
    let lifetime = request.lifetime.unwrap_or(longest).min(longest);
    let token = Token::generate()?;
    let record = TokenRecord {
        key: token.hash(),
        id: public_id()?,
        name: request.name,
        kind,
        user: request.user,
        groups: request.groups,
        address: request.address,
        created: now,
        last_used: None,
        expires: now.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)),
        certificate: request.certificate,
    };
    Ok((token, record))
}

/// Makes a token from a login token: of the same user, with the same groups, never living longer than its maker (else a
/// stolen token could renew itself for ever), and unable to make more.
///
/// # Errors
/// [`IssueError`] if the maker may not, the name is not allowed, or there are no random bytes.
pub fn mint(
    maker: &TokenRecord,
    name: String,
    address: Option<IpAddr>,
    lifetime: Option<Duration>,
    longest: Duration,
    now: UnixSeconds,
) -> Result<(Token, TokenRecord), IssueError> {
    let left = u64::try_from(maker.expires.saturating_sub(now)).unwrap_or_default();
    if maker.kind != TokenKind::Login || left == 0 {
        return Err(IssueError::MayNotMint);
    }
    let request = TokenRequest {
        name,
        user: maker.user.clone(),
        groups: maker.groups.clone(),
        address,
        certificate: maker.certificate.clone(),
        lifetime,
    };
    issue(TokenKind::Minted, request, longest.min(Duration::from_secs(left)), now)
}

/// Whether a token may be called so: 1 to 64 characters that are printable as Rust's `Debug` sees it: no control, format
/// or private characters, and no odd spaces.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let chars = name.chars().count();
    (1..=MAX_NAME_CHARS).contains(&chars) && name.trim() == name && name.chars().all(is_printable)
}

fn is_printable(c: char) -> bool {
    let plain = |c: char| c.escape_debug().count() == 1;
    matches!(c, '"' | '\'' | '\\') || plain(c)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{IssueError, TokenRequest, issue, mint};
    use crate::domain::Username;
    use crate::store::{TokenKind, TokenRecord};
    use crate::token::Token;

    const DAY: Duration = Duration::from_secs(86_400);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_login_token_is_its_owners_and_lives_as_long_as_allowed() {
        let (token, record) = issue(TokenKind::Login, request("laptop"), DAY, 1000).unwrap();
        assert_eq!(record.key, token.hash());
        assert_eq!(record.kind, TokenKind::Login);
        assert_eq!((record.user.as_str(), &*record.groups[0], &*record.name), ("bob", "ops", "laptop"));
        assert_eq!((record.created, record.last_used, record.expires), (1000, None, 1000 + 86_400));
        assert_eq!(record.id.len(), 12);
        assert!(!token.expose().contains(&record.id));
    }

    #[test]
    fn gc5_a_life_time_can_only_be_narrowed() {
        for (asked, gets) in
            [(Some(HOUR), HOUR), (Some(2 * DAY), DAY), (Some(Duration::MAX), DAY), (None, DAY)]
        {
            let request = TokenRequest { lifetime: asked, ..request("ci") };
            let (_, record) = issue(TokenKind::Minted, request, DAY, 0).unwrap();
            assert_eq!(u64::try_from(record.expires).unwrap(), gets.as_secs(), "{asked:?}");
        }
    }

    #[test]
    fn k4_a_minted_token_is_never_wider_than_its_maker() {
        let maker = login_token(1000, HOUR);
        let (token, record) = mint(&maker, "ci".into(), None, Some(DAY), DAY, 1600).unwrap();
        assert_eq!((record.kind, record.expires), (TokenKind::Minted, maker.expires));
        assert_eq!((&record.user, &record.groups), (&maker.user, &maker.groups));
        assert!(record.key != maker.key && Token::parse(token.expose()).is_ok());
    }

    #[test]
    fn k4_a_minted_token_mints_nothing() {
        let (_, minted) = mint(&login_token(0, DAY), "ci".into(), None, None, DAY, 0).unwrap();
        assert_eq!(mint(&minted, "x".into(), None, None, DAY, 0).err(), Some(IssueError::MayNotMint));
    }

    #[test]
    fn k3_an_expired_token_mints_nothing() {
        for now in [3600, 3601, i64::MAX] {
            let result = mint(&login_token(0, HOUR), "ci".into(), None, None, DAY, now);
            assert_eq!(result.err(), Some(IssueError::MayNotMint));
        }
    }

    #[test]
    fn names_are_short_and_printable() {
        for good in ["a", "build server #2", "jürgen's \"phone\"", &"é".repeat(64)] {
            assert!(issue(TokenKind::Login, request(good), DAY, 0).is_ok(), "{good:?}");
        }
        for bad in
            ["", " a", "a ", "a\nb", "a\x1b[2J", "a\u{202e}b", "a\u{200b}b", "a\u{2003}b", &"x".repeat(65)]
        {
            let result = issue(TokenKind::Login, request(bad), DAY, 0);
            assert_eq!(result.err(), Some(IssueError::Name), "{bad:?}");
        }
    }

    fn login_token(now: i64, lifetime: Duration) -> TokenRecord {
        issue(TokenKind::Login, request("laptop"), lifetime, now).unwrap().1
    }

    fn request(name: &str) -> TokenRequest {
        let user = Username::parse("bob").unwrap();
        TokenRequest {
            name: name.to_owned(),
            user,
            groups: vec!["ops".into()],
            address: None,
            certificate: None,
            lifetime: None,
        }
    }
}
