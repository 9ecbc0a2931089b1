//! The cookie that ties a login in several steps to the browser that began it. It opens nothing by itself.
//!
//! A step's id stands in the page. Whoever learns it (over a shoulder, from a copied form) and sits behind the same
//! address could otherwise go on with somebody else's half of a login.

use actix_web::cookie::{Cookie, SameSite, time};
use data_encoding::BASE64URL_NOPAD;
use http::HeaderMap;

use super::cookie::{pairs, trim_start};
use super::{SessionKeyText, hash};
use crate::store::{KeyHash, NoEntropy};

/// The cookie's name; see [`super::COOKIE_NAME`] for the prefix.
pub const LOGIN_COOKIE: &str = "__Host-doorward-login";

/// Browsers ask `Strict` cookies to travel only with navigation that began on this site: a login does.
const LIFE: time::Duration = time::Duration::hours(1);

/// What a browser that takes steps of a login is known by.
pub struct LoginKey(SessionKeyText);

impl LoginKey {
    /// The key of the request's only cookie of the exact name. Two of them, or one that we did not make, count as none.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut values = pairs(headers).filter_map(|pair| {
            trim_start(pair).strip_prefix(LOGIN_COOKIE.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
        });
        let value = values.next().filter(|_| values.next().is_none())?.trim_ascii_end();
        let is_key = BASE64URL_NOPAD.decode(value).is_ok_and(|bytes| bytes.len() == 32);
        let text = std::str::from_utf8(value).ok().filter(|_| is_key)?;
        Some(Self(SessionKeyText::new(text.to_owned())))
    }

    /// A new one.
    ///
    /// # Errors
    /// [`NoEntropy`] if the system gives no random bytes.
    pub fn generate() -> Result<Self, NoEntropy> {
        SessionKeyText::generate().map(Self)
    }

    /// What a conversation remembers of it.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        hash(self.0.expose())
    }

    /// The cookie to set. All tabs of a browser share it, so it is left alone when one of them is done.
    #[must_use]
    pub fn cookie(&self) -> Cookie<'static> {
        Cookie::build(LOGIN_COOKIE, self.0.expose().to_owned())
            .path("/")
            .secure(true)
            .http_only(true)
            .same_site(SameSite::Strict)
            .max_age(LIFE)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{LOGIN_COOKIE, LoginKey};

    fn headers(values: &[String]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("cookie", value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_key_that_was_set_is_read_and_nothing_else_is() {
        let key = LoginKey::generate().unwrap();
        let text = key.cookie().value().to_owned();
        let pair = format!("{LOGIN_COOKIE}={text}");
        let read = |values: &[String]| LoginKey::read(&headers(values)).map(|key| key.hash());
        assert_eq!(read(&[format!("a=b; {pair}; c=d")]), Some(key.hash()));
        for values in [
            vec![],
            vec![format!("{pair}; {pair}")],
            vec![pair.clone(), pair.clone()],
            vec![format!("{LOGIN_COOKIE}=")],
            vec![format!("{LOGIN_COOKIE}=short")],
            vec![format!("{LOGIN_COOKIE}={text}x")],
            vec![format!("x{pair}")],
            vec![format!("__host-doorward-login={text}")],
        ] {
            assert_eq!(read(&values), None, "{values:?}");
        }
    }

    #[test]
    fn s2_the_cookie_has_every_protection() {
        let cookie = LoginKey::generate().unwrap().cookie().to_string();
        for word in ["__Host-doorward-login=", "Secure", "HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="]
        {
            assert!(cookie.contains(word), "{word} in {cookie}");
        }
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
}
