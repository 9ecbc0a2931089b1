//! Where an attempt to log in comes from.

use std::net::IpAddr;

use http::HeaderMap;

use crate::domain::{Client, Door, UnixSeconds, Username};
use crate::identity::credential::Identity;
use crate::listener::is_relayed_unbelieved;
use crate::session::{CookieKey, Device};
use crate::store::TokenKind;
use crate::throttle::KnownDevice;

/// An address, and a device on which somebody is known.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Where the client is.
    pub client: Client,
    /// Hash of the key that a login's browser was given, so that nobody else behind the same address can go on with it.
    /// Programs have none: to them the id of a step is a secret that is shown to nobody.
    pub(super) browser: Option<[u8; 32]>,
    device: Option<Device>,
    /// Who is signed in there.
    signed_in: Option<Username>,
    /// Forwarded headers came along that are not believed: perhaps everybody comes by one proxy.
    pub(super) is_relayed: bool,
}

impl Origin {
    /// An origin of which nothing but the address is known.
    #[must_use]
    pub const fn unknown(client: Client) -> Self {
        Self { client, browser: None, device: None, signed_in: None, is_relayed: false }
    }

    /// What the headers of a request prove: a device by its cookie. A live session or token of a login beside the attempt
    /// does as well: who holds one need not be kept from getting another. Derived and scoped tokens are given away, to
    /// programs and other people.
    #[must_use]
    pub fn of(
        headers: &HeaderMap,
        address: IpAddr,
        identity: Option<&Identity>,
        key: &CookieKey,
        now: UnixSeconds,
    ) -> Self {
        let is_login = |identity: &&Identity| match identity.door() {
            Door::Session => true,
            Door::Token => {
                let credential = identity.credential();
                credential.token_kind() == Some(TokenKind::Login) && credential.scope().is_none()
            }
            Door::Basic | Door::Certificate | Door::None => false,
        };
        Self {
            client: client_of(headers, address),
            browser: None,
            device: Device::read(headers, key, now),
            signed_in: identity.filter(is_login).map(|identity| identity.user().clone()),
            is_relayed: is_relayed_unbelieved(headers, address),
        }
    }

    /// The same, in the browser that holds this key of logins under way.
    #[must_use]
    pub fn in_browser(self, key: Option<[u8; 32]>) -> Self {
        Self { browser: key, ..self }
    }

    /// What makes it a device on which `user` is known.
    #[must_use]
    pub fn device_of(&self, user: &str) -> Option<KnownDevice<'_>> {
        let is_user = |known: &Username| known.as_str().to_lowercase() == user.to_lowercase();
        let browser = self.device.as_ref().filter(|device| is_user(&device.user));
        browser
            .map(|device| KnownDevice::Browser(&device.id))
            .or_else(|| self.signed_in.as_ref().filter(|known| is_user(known)).map(|_| KnownDevice::SignedIn))
    }
}

/// The client at an address. Only a trusted peer can have named it, and only by the header; who is not trusted gains
/// nothing by writing one.
pub(super) fn client_of(headers: &HeaderMap, address: IpAddr) -> Client {
    Client { address, is_peer: !headers.contains_key("x-forwarded-for") }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use http::HeaderMap;
    use http::header::COOKIE;

    use super::{CookieKey, Device, Origin};
    use crate::domain::Username;

    #[test]
    fn b2_a_device_is_known_for_its_own_user_only() {
        let key = CookieKey::generate().unwrap();
        let set = Device::set_cookie(None, &Username::parse("Bob").unwrap(), &key, 0).unwrap();
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, set.split(';').next().unwrap().parse().unwrap());
        let origin = Origin::of(&headers, [192, 0, 2, 1].into(), None, &key, 0);
        assert!(origin.device_of("bob").is_some() && origin.device_of("BOB").is_some());
        assert!(origin.device_of("eve").is_none());
        assert!(Origin::unknown(IpAddr::from([192, 0, 2, 1]).into()).device_of("bob").is_none());
    }
}
