//! `Strict-Transport-Security` (RFC 6797) on what is answered, where it is safe.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, header};

use crate::config::HstsSettings;

/// The header, ready to be sent.
#[derive(Clone, Debug)]
pub struct Hsts {
    value: HeaderValue,
    on_own_name_only: bool,
}

impl Hsts {
    /// `None` if nobody is told.
    #[must_use]
    pub fn new(settings: HstsSettings) -> Option<Self> {
        let (length, on_own_name_only) = match settings {
            HstsSettings::Always(length) => (length, false),
            HstsSettings::Off => return None,
            HstsSettings::OnOwnName(length) => (length, true),
        };
        // Without `includeSubDomains`: other hosts are not ours to speak for.
        let value = HeaderValue::try_from(format!("max-age={}", length.as_secs())).ok()?;
        Some(Self { value, on_own_name_only })
    }

    /// Adds the header. `authority`: what the client calls us.
    pub(super) fn add(&self, authority: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let is_own_name = || authority.and_then(|value| value.to_str().ok()).is_some_and(is_own_name);
        if !self.on_own_name_only || is_own_name() {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, self.value.clone());
        }
    }
}

/// A name with no port but 443. Addresses have no such rule (RFC 6797 section 8.1.1).
fn is_own_name(authority: &str) -> bool {
    let host = authority.strip_suffix(":443").unwrap_or(authority);
    !host.is_empty() && !host.contains(':') && host.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue, header};

    use super::{Hsts, is_own_name};
    use crate::config::HstsSettings;

    #[test]
    fn only_the_host_s_main_site_speaks_for_all_of_its_ports() {
        for authority in ["gate.example", "gate.example:443"] {
            assert!(is_own_name(authority), "{authority}");
        }
        for authority in ["gate.example:8100", "192.0.2.1", "192.0.2.1:443", "[::1]", "[::1]:443", ""] {
            assert!(!is_own_name(authority), "{authority}");
        }
    }

    #[test]
    fn the_operator_decides_and_not_the_engine() {
        let hsts = Hsts::new(HstsSettings::Always(Duration::from_secs(60))).unwrap();
        let mut headers = HeaderMap::new();
        hsts.add(None, &mut headers);
        assert_eq!(headers[header::STRICT_TRANSPORT_SECURITY], "max-age=60");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=1"));
        hsts.add(None, &mut headers);
        assert_eq!(headers[header::STRICT_TRANSPORT_SECURITY], "max-age=60");
    }
}
