//! `--hsts`: whether browsers are told to use nothing but HTTPS for this host (RFC 6797).

use std::time::Duration;

use super::check::Checker;
use super::checked::TlsMode;
use super::duration::parse_duration;

/// Long enough to span a year's visits; what preload lists and scanners ask for.
const USUAL: Duration = Duration::from_secs(365 * 24 * 3600);

/// Who is told, and for how long it holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HstsSettings {
    /// Whoever came over HTTPS.
    Always(Duration),
    /// Nobody.
    Off,
    /// Who came by a name and port 443: the host's main site is this gateway. The rule that is set holds for every port
    /// of the name, and would break what else is served in the clear there.
    OnOwnName(Duration),
}

/// By default only where a certificate is shown that browsers can verify: with one that they cannot, nothing could be
/// clicked away any more.
pub(super) fn hsts(checker: &mut Checker<'_>, tls: Option<&TlsMode>) -> HstsSettings {
    let is_verifiable = matches!(tls, Some(TlsMode::Acme(_) | TlsMode::Certfile(_)));
    let usual = if is_verifiable { HstsSettings::OnOwnName(USUAL) } else { HstsSettings::Off };
    let Some(text) = checker.raw.hsts.as_ref() else { return usual };
    if text.as_str() == "off" {
        return HstsSettings::Off;
    }
    match parse_duration(text.as_str()) {
        Ok(_) if matches!(tls, Some(TlsMode::Autocert(_))) => {
            let message = "would lock browsers out once the self-signed certificate changes, with no way around; use it with \
                           --certfile, --acme or --assume-secure";
            checker.problem("hsts", message);
            usual
        }
        Ok(_) if matches!(tls, Some(TlsMode::Plain)) => {
            checker.problem("hsts", "needs a secured connection");
            usual
        }
        // Zero is meant to be sent: it is how browsers are made to forget (RFC 6797 section 6.1.1).
        Ok(length) => {
            // What browsers were told cannot be taken back for those who do not come again.
            checker.at_most("hsts", length, "730d");
            HstsSettings::Always(length)
        }
        Err(message) => {
            checker.problem("hsts", format!("{message}; or write off"));
            usual
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::environment::Environment;
    use super::super::raw::RawSettings;
    use super::super::{HstsSettings, Settings};

    fn check(text: &str) -> Result<HstsSettings, String> {
        let raw: RawSettings = toml::from_str(&format!("use-login = true\n{text}")).unwrap();
        Settings::check(raw, &Environment { root: true, ..Environment::default() })
            .map(|settings| settings.hsts)
            .map_err(|problems| problems.iter().map(|problem| format!("{problem}\n")).collect())
    }

    #[test]
    fn browsers_are_bound_to_https_only_where_they_can_verify_the_certificate() {
        let year = HstsSettings::OnOwnName(Duration::from_secs(31_536_000));
        assert_eq!(check("certfile = 'x'"), Ok(year));
        assert_eq!(check("acme = 'a.example'"), Ok(year));
        assert_eq!(check("autocert = '*'"), Ok(HstsSettings::Off));
        assert_eq!(check("assume-secure = true"), Ok(HstsSettings::Off));
        assert_eq!(check("certfile = 'x'\nhsts = 'off'"), Ok(HstsSettings::Off));
        let week = HstsSettings::Always(Duration::from_secs(7 * 24 * 3600));
        assert_eq!(check("assume-secure = true\nhsts = '7d'"), Ok(week));
        assert_eq!(check("certfile = 'x'\nhsts = '0'"), Ok(HstsSettings::Always(Duration::ZERO)));
        assert!(check("autocert = '*'\nhsts = '7d'").unwrap_err().contains("lock browsers out"));
        assert!(check("certfile = 'x'\nhsts = 'on'").unwrap_err().contains("off"));
    }
}
