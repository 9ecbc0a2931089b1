//! What is counted by.

use std::net::IpAddr;

use super::fold::folded;
use crate::domain::{CLIENT_PREFIX, network_of, site_of};
use crate::store::BanKind;

/// What makes an attempt that of a known device of the user. Nobody can make more of these than are counted here: a
/// browser keeps its name over logins, and sessions and tokens, of which a login gives any number, are one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KnownDevice<'a> {
    /// The browser of this id.
    Browser(&'a str),
    /// A live session or token of a login.
    SignedIn,
}

/// One counter's name.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Key {
    Address(IpAddr),
    Device(Box<str>),
    /// All devices of a user together.
    Devices(Box<str>),
    User(Box<str>),
}

/// Stand before the user's name in the subject of a ban, which holds no colon.
const SIGNED_IN: &str = "signed-in:";
const ALL_DEVICES: &str = "all:";

impl Key {
    pub(super) fn address(address: IpAddr) -> Self {
        Self::Address(network_of(address))
    }

    /// A user name in any spelling, see [`folded`].
    pub(super) fn user(name: &str) -> Self {
        Self::User(folded(name).into())
    }

    pub(super) fn device(user: &str, device: KnownDevice<'_>) -> Self {
        match device {
            KnownDevice::Browser(id) => Self::Device(id.into()),
            KnownDevice::SignedIn => Self::Device(format!("{SIGNED_IN}{}", folded(user)).into()),
        }
    }

    pub(super) fn devices(user: &str) -> Self {
        Self::Devices(folded(user).into())
    }

    pub(super) const fn kind(&self) -> BanKind {
        match self {
            Self::Address(_) => BanKind::Address,
            Self::Device(_) | Self::Devices(_) => BanKind::Device,
            Self::User(_) => BanKind::User,
        }
    }

    /// The network that a client's address is in, where it may own many addresses.
    pub(super) fn site(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(site_of(*address)),
            Self::Device(_) | Self::Devices(_) | Self::User(_) => None,
        }
    }

    /// For people and for the store.
    pub(super) fn subject(&self) -> String {
        match self {
            Self::Address(address @ IpAddr::V4(_)) => address.to_string(),
            Self::Address(network @ IpAddr::V6(_)) => format!("{network}/{CLIENT_PREFIX}"),
            Self::Device(text) | Self::User(text) => text.to_string(),
            Self::Devices(user) => format!("{ALL_DEVICES}{user}"),
        }
    }

    /// The way back from [`Key::subject`]; `None` for what we did not write.
    pub(super) fn parse(kind: BanKind, subject: &str) -> Option<Self> {
        match kind {
            BanKind::Address => {
                let address = subject.split('/').next()?.parse().ok()?;
                Some(Self::address(address))
            }
            BanKind::Device => {
                let of_user = |prefix| subject.strip_prefix(prefix);
                Some(match (of_user(ALL_DEVICES), of_user(SIGNED_IN)) {
                    (Some(user), _) => Self::devices(user),
                    (None, Some(user)) => Self::device(user, KnownDevice::SignedIn),
                    (None, None) => Self::Device(subject.into()),
                })
            }
            BanKind::User => Some(Self::user(subject)),
        }
    }
}

/// How a ban that a person writes down stands in the store: a user name in any spelling, an address of a network.
#[must_use]
pub fn subject_of(kind: BanKind, text: &str) -> String {
    Key::parse(kind, text).map_or_else(|| text.to_owned(), |key| key.subject())
}

#[cfg(test)]
mod tests {
    use super::{Key, KnownDevice, subject_of};
    use crate::store::BanKind;

    fn address(text: &str) -> Key {
        Key::address(text.parse().unwrap())
    }

    #[test]
    fn b4_ipv6_is_counted_by_64_and_mapped_ipv4_as_ipv4() {
        assert_eq!(address("2001:db8:1:2::1"), address("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
        assert_eq!(address("::ffff:192.0.2.7"), address("192.0.2.7"));
        assert_ne!(address("192.0.2.7"), address("192.0.2.8"));
    }

    #[test]
    fn b5_what_cannot_be_a_name_takes_no_room_of_its_own() {
        for text in ["x".repeat(60_000).as_str(), "a\nb", "", "-rf", "\u{1b}[2J"] {
            assert_eq!(Key::user(text).subject(), "", "{text:?}");
        }
    }

    #[test]
    fn i20_a_ban_is_found_by_every_spelling_of_its_subject() {
        for (kind, text, subject) in [
            (BanKind::User, r"DOM\Bob", "bob"),
            (BanKind::Device, "signed-in:Bob@REALM", "signed-in:bob"),
            (BanKind::Device, "all:BOB", "all:bob"),
            (BanKind::Device, "5F0c", "5F0c"),
            (BanKind::Address, "2001:db8::7", "2001:db8::/64"),
            (BanKind::Address, "nonsense", "nonsense"),
        ] {
            assert_eq!(subject_of(kind, text), subject);
        }
    }

    #[test]
    fn b8_what_is_written_down_is_read_back() {
        for key in [
            address("192.0.2.7"),
            address("2001:db8::1"),
            Key::user("Bob"),
            Key::device("bob", KnownDevice::Browser("0f")),
            Key::device("Bob", KnownDevice::SignedIn),
            Key::devices("Bob"),
        ] {
            assert_eq!(Key::parse(key.kind(), &key.subject()), Some(key));
        }
        assert_eq!(address("2001:db8::1").subject(), "2001:db8::/64");
        assert_eq!(Key::parse(BanKind::Address, "nonsense"), None);
    }
}
