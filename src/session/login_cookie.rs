//! The cookie that ties a login in several steps to the browser that began it. It opens nothing by itself.
//!
//! A step's id stands in the page. Whoever learns it (over a shoulder, from a copied form) and sits behind the same
//! address could otherwise go on with somebody else's half of a login.

use actix_web::cookie::{Cookie, SameSite, time};
use data_encoding::BASE64URL_NOPAD;
use http::HeaderMap;

use super::cookie::{pairs, trim_start};
use super::{CookieNames, SessionKeyText, hash};
use crate::store::{KeyHash, NoEntropy};

/// A sign-in page may stand open for a day.
const LIFE: time::Duration = time::Duration::DAY;

/// What a browser that takes steps of a login is known by.
pub struct LoginKey(SessionKeyText);

impl LoginKey {
    /// The key of the request's only cookie of the exact name. Two of them, or one that we did not make, count as none.
    #[must_use]
    pub fn read(headers: &HeaderMap, names: &CookieNames) -> Option<Self> {
        let mut values = pairs(headers).filter_map(|pair| {
            trim_start(pair).strip_prefix(names.login().as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
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

    /// The cookie to set. All tabs of a browser share it, so it is left alone when one of them is done. `Lax`: a link of
    /// another site brings it along, or else the page there would set a new one and end what other tabs have begun. No form
    /// of another site does.
    #[must_use]
    pub fn cookie(&self, names: &CookieNames) -> Cookie<'static> {
        Cookie::build(names.login().to_owned(), self.0.expose().to_owned())
            .path("/")
            .secure(true)
            .http_only(true)
            .same_site(SameSite::Lax)
            .max_age(LIFE)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{CookieNames, LoginKey};

    fn headers(values: &[String]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("cookie", value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_key_that_was_set_is_read_and_nothing_else_is() {
        let (key, names) = (LoginKey::generate().unwrap(), CookieNames::of(&[1; 64]));
        let text = key.cookie(&names).value().to_owned();
        let name = names.login();
        let pair = format!("{name}={text}");
        let read = |values: &[String]| LoginKey::read(&headers(values), &names).map(|key| key.hash());
        assert_eq!(read(&[format!("a=b; {pair}; c=d")]), Some(key.hash()));
        for values in [
            vec![],
            vec![format!("{pair}; {pair}")],
            vec![pair.clone(), pair.clone()],
            vec![format!("{name}=")],
            vec![format!("{name}=short")],
            vec![format!("{name}={text}x")],
            vec![format!("x{pair}")],
            vec![pair.replace("__Host", "__host")],
            vec![format!("__Host-doorward-login={text}")],
            vec![format!("{}={text}", CookieNames::of(&[2; 64]).login())],
        ] {
            assert_eq!(read(&values), None, "{values:?}");
        }
    }

    #[test]
    fn s2_the_cookie_has_every_protection() {
        let cookie = LoginKey::generate().unwrap().cookie(&CookieNames::of(&[1; 64])).to_string();
        for word in
            ["__Host-doorward-c33d8163-login=", "Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="]
        {
            assert!(cookie.contains(word), "{word} in {cookie}");
        }
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
}
