//! Names that a self-signed certificate may carry.

use std::net::IpAddr;

/// RFC 1035 §2.3.4.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// `*`, an address, a DNS name, or a DNS name whose first label is `*`; in lower case.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn certificate_name(text: &str) -> Result<String, String> {
    let name = text.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    if name == "*" || name.parse::<IpAddr>().is_ok() {
        return Ok(name);
    }
    if text.contains("://") || text.contains('/') {
        return Err(format!("'{text}' is not a name; write only the host, without scheme and path"));
    }
    let host = name.strip_prefix("*.").unwrap_or(&name);
    if host.len() <= MAX_NAME && host.split('.').all(is_label) {
        Ok(name)
    } else {
        Err(format!("'{text}' is neither a DNS name nor an address; names with other letters go as xn--…"))
    }
}

/// RFC 1123 §2.1, and the underscore that many inner networks use.
fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::certificate_name;

    #[test]
    fn names_addresses_and_wildcards_are_taken() {
        for (text, name) in [
            ("*", "*"),
            ("Gate.Example.org.", "gate.example.org"),
            ("*.example.org", "*.example.org"),
            ("10.0.0.1", "10.0.0.1"),
            ("[::1]", "::1"),
            ("my_host-1", "my_host-1"),
        ] {
            assert_eq!(certificate_name(text).as_deref(), Ok(name));
        }
    }

    #[test]
    fn what_no_client_could_match_is_refused() {
        let long = "a".repeat(64);
        for text in
            ["", "a..b", "a*.example", "*.*.x", "-a", "https://x", "x/y", "bücher.example", "a b", &long]
        {
            assert!(certificate_name(text).is_err(), "{text}");
        }
    }
}
