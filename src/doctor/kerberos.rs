//! What the doctor needs of `krb5.conf(5)`. Pure. Included files are not followed.

use std::fmt;

/// Where a KDC listens if nothing else is said.
const KDC_PORT: u16 = 88;

/// A KDC as the settings name it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Kdc {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Kdc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// `default_realm` of `[libdefaults]`.
pub(super) fn default_realm(text: &str) -> Option<String> {
    section(text, "libdefaults").find_map(|line| value(line, "default_realm")).map(str::to_owned)
}

/// The KDCs of a realm, in their order.
pub(super) fn kdcs(text: &str, realm: &str) -> Vec<Kdc> {
    let mut is_inside = false;
    let mut found = Vec::new();
    for line in section(text, "realms") {
        match line.split_once('=') {
            // The realm may be all on one line up to the brace, and the brace may be alone.
            Some((name, rest)) if name.trim() == realm => is_inside = !rest.contains('}'),
            _ if line.starts_with('}') => is_inside = false,
            _ if is_inside => found.extend(value(line, "kdc").and_then(parse)),
            _ => {}
        }
    }
    found
}

fn section<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let mut is_inside = false;
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    lines.filter(move |line| {
        if let Some(title) = line.strip_prefix('[') {
            is_inside = title.trim_end_matches('*').strip_suffix(']') == Some(name);
            return false;
        }
        is_inside
    })
}

fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (key, value) = line.split_once('=')?;
    (key.trim() == name).then(|| value.trim().trim_end_matches('*').trim()).filter(|value| !value.is_empty())
}

/// `host`, `host:port`, `[v6]:port`, with `tcp/` or `udp/` in front; a proxy's URL is no host.
fn parse(text: &str) -> Option<Kdc> {
    if text.contains("://") {
        return None;
    }
    let text = text.strip_prefix("tcp/").or_else(|| text.strip_prefix("udp/")).unwrap_or(text);
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()?),
        _ => (text, KDC_PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| Kdc { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::{default_realm, kdcs, parse};

    const TEXT: &str = "\
[libdefaults]
    # default_realm = NO
    default_realm = EXAMPLE.ORG
[realms]
    OTHER = {
        kdc = other
    }
    EXAMPLE.ORG = {
        admin_server = a
        kdc = kdc1.example.org
        kdc = [fd00::1]:750
    }
[domain_realm]
    kdc = not-this
";

    #[test]
    fn realm_and_kdcs_are_found_in_their_sections() {
        assert_eq!(default_realm(TEXT).as_deref(), Some("EXAMPLE.ORG"));
        let found: Vec<String> = kdcs(TEXT, "EXAMPLE.ORG").iter().map(ToString::to_string).collect();
        assert_eq!(found, ["kdc1.example.org:88", "fd00::1:750"]);
        assert!(kdcs(TEXT, "ABSENT").is_empty());
        assert_eq!(default_realm("[realms]\ndefault_realm = X\n"), None);
    }

    #[test]
    fn every_form_of_an_address_is_read() {
        for (text, host, port) in [
            ("h", "h", 88),
            ("h:1", "h", 1),
            ("tcp/h:2", "h", 2),
            ("fd00::1", "fd00::1", 88),
            ("[fd00::1]", "fd00::1", 88),
        ] {
            let kdc = parse(text).unwrap();
            assert_eq!((kdc.host.as_str(), kdc.port), (host, port), "{text}");
        }
        assert_eq!(parse("https://proxy/KdcProxy"), None);
    }
}
