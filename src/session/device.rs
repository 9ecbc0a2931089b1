//! A browser from which somebody has logged in before: a cookie that is no credential, only a reason not to lock it out.
//!
//! Failures from anywhere can ban a user name; who shows this cookie of that user may still try. It names a device of
//! its own, which is counted in turn.

use cookie::time::Duration;
use cookie::{Cookie, CookieJar, SameSite};
use http::HeaderMap;
use percent_encoding::percent_decode;

use super::CookieKey;
use super::cookie::raw_device;
use crate::domain::{UnixSeconds, Username};
use crate::store::{NoEntropy, public_id};

/// How long a device stays known without a login: half a year.
const LIFE_SECONDS: i64 = 180 * 86_400;
/// The form of the content, so that another one can follow.
const FORM: &str = "1";
/// A name of 256 bytes, encrypted and escaped, fits many times.
const MAX_VALUE_BYTES: usize = 4096;

/// A device on which `user` has logged in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Device {
    /// Public name of the device: 12 hex digits.
    pub id: String,
    /// Whose it is.
    pub user: Username,
}

impl Device {
    /// The device that a request comes from, if its cookie is ours, the only one of its name, and not too old.
    #[must_use]
    pub fn read(headers: &HeaderMap, key: &CookieKey, now: UnixSeconds) -> Option<Self> {
        let raw = raw_device(headers, key.names()).filter(|raw| raw.len() <= MAX_VALUE_BYTES)?;
        let value = percent_decode(raw).decode_utf8().ok()?.into_owned();
        // Authenticated, and bound to the cookie's name: no session cookie passes for a device.
        let sealed = Cookie::new(key.names().device().to_owned(), value);
        let opened = CookieJar::new().private(key.plain()).decrypt(sealed)?;
        let mut parts = opened.value().splitn(4, ' ');
        let (form, id, issued, user) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let issued: UnixSeconds = issued.parse().ok()?;
        let is_current = form == FORM && now.saturating_sub(issued) < LIFE_SECONDS;
        is_current.then_some(Self { id: id.to_owned(), user: Username::parse(user).ok()? })
    }

    /// A `Set-Cookie` value that makes the browser a known device of `user`. One that was `known` before keeps its name:
    /// logins make no further devices of it.
    ///
    /// # Errors
    /// [`NoEntropy`] if the system gives no random bytes.
    pub fn set_cookie(
        known: Option<Self>,
        user: &Username,
        key: &CookieKey,
        now: UnixSeconds,
    ) -> Result<String, NoEntropy> {
        let id = match known.filter(|device| device.user == *user) {
            Some(device) => device.id,
            None => public_id()?,
        };
        let content = format!("{FORM} {id} {now} {user}");
        let name = key.names().device();
        let cookie = Cookie::build((name.to_owned(), content))
            .path("/")
            .secure(true)
            .http_only(true)
            .same_site(SameSite::Lax)
            .max_age(Duration::seconds(LIFE_SECONDS))
            .build();
        let mut jar = CookieJar::new();
        jar.private_mut(key.plain()).add(cookie);
        let sealed = jar.get(name).ok_or(NoEntropy)?;
        Ok(sealed.encoded().to_string())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::COOKIE;

    use super::{CookieKey, Device, LIFE_SECONDS};
    use crate::domain::Username;

    fn bob() -> Username {
        Username::parse("bob smith").unwrap()
    }

    fn pair(key: &CookieKey) -> String {
        let set = Device::set_cookie(None, &bob(), key, 1000).unwrap();
        set.split(';').next().unwrap().to_owned()
    }

    fn read(cookies: &[&str], key: &CookieKey, now: i64) -> Option<Device> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(COOKIE, cookie.parse().unwrap());
        }
        Device::read(&headers, key, now)
    }

    #[test]
    fn b2_a_device_cookie_is_read_back_for_half_a_year() {
        let key = CookieKey::generate().unwrap();
        let pair = pair(&key);
        let device = read(&["a=b", &format!("c=d; {pair}")], &key, 1000).unwrap();
        assert_eq!((device.user, device.id.len()), (bob(), 12));
        assert!(read(&[&pair], &key, 1000 + LIFE_SECONDS - 1).is_some());
        assert!(read(&[&pair], &key, 1000 + LIFE_SECONDS).is_none());
    }

    #[test]
    fn b2_the_cookie_has_every_protection_and_says_nothing() {
        let key = CookieKey::generate().unwrap();
        let set = Device::set_cookie(None, &bob(), &key, 1000).unwrap();
        for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=15552000"] {
            assert!(set.contains(attribute), "{set}");
        }
        assert!(!set.contains("Domain") && !set.contains("bob"), "{set}");
    }

    #[test]
    fn b2_a_forged_foreign_doubled_or_session_cookie_is_no_device() {
        let key = CookieKey::generate().unwrap();
        let good = pair(&key);
        let foreign = pair(&CookieKey::generate().unwrap());
        let (device, session) = (key.names().device().to_owned(), key.names().session().to_owned());
        let as_session = good.replace(&device, &session);
        let of_another = good.replace(&device, CookieKey::generate().unwrap().names().device());
        let former = good.replace(&device, "__Host-doorward-device");
        let disguised = good.replace("__Host", "%5F_Host");
        let huge = format!("{device}={}", "A".repeat(5000));
        for cookies in [
            &[&*foreign][..],
            &[&*as_session],
            &[&*of_another],
            &[&*former],
            &[&*disguised],
            &[&*huge],
            &[&*good, &*good],
            &[&*format!("{device}=1 0123456789ab 1000 bob")],
            &[&*format!("{device}=")],
            &[&good[..good.len() - 1]],
        ] {
            assert_eq!(read(cookies, &key, 1000), None, "{cookies:?}");
        }
        // A session's cookie under the device's name.
        let session = {
            let mut jar = cookie::CookieJar::new();
            jar.private_mut(key.plain()).add((session.clone(), "1 0123456789ab 1000 bob"));
            jar.get(&session).unwrap().value().to_owned()
        };
        let moved = cookie::Cookie::new(device, session).encoded().to_string();
        assert_eq!(read(&[&moved], &key, 1000), None);
    }

    #[test]
    fn i8_a_browser_stays_one_device_however_often_its_user_logs_in() {
        let key = CookieKey::generate().unwrap();
        let first = read(&[&pair(&key)], &key, 1000).unwrap();
        let again = |known: Device, user: &Username| {
            let set = Device::set_cookie(Some(known), user, &key, 2000).unwrap();
            read(&[set.split(';').next().unwrap()], &key, 2000).unwrap()
        };
        assert_eq!(again(first.clone(), &bob()), first);
        let eve = Username::parse("eve").unwrap();
        assert_ne!(again(first.clone(), &eve).id, first.id, "another user's");
    }
}
