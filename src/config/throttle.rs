//! Who may reach the gateway, and how often they may fail.

use std::time::Duration;

use super::address::networks;
use super::check::{Checker, list};
use super::checked::{Rate, Settings, ThrottleSettings};
use super::duration::parse_duration;
use super::raw::Text;
use super::reach::Reach;
use crate::domain::Clients;

const ADDRESS: &str = "60/1h";
const USER: &str = "10/1h";
/// More failures than these are no limit: a guesser is slower than that.
const MOST_A_SECOND: f64 = 10.0;
const MOST_AT_ONCE: u32 = 10_000;

impl Default for ThrottleSettings {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            address: Rate { failures: 60, per: minutes(60) },
            user: Rate { failures: 10, per: minutes(60) },
            ban: minutes(1),
            ban_max: minutes(60),
            exempt: Vec::new(),
        }
    }
}

impl Settings {
    /// Which addresses many clients share: those that are exempt, and proxies that name none.
    #[must_use]
    pub fn clients(&self) -> Clients {
        let exempt = self.throttle.iter().flat_map(|throttle| throttle.exempt.iter().copied());
        let proxies = self.trusted_proxies.iter().filter(|_| !self.believes_everybody()).copied();
        Clients::new(exempt.collect(), proxies.collect())
    }
}

/// `None` where nothing is counted, because nobody logs in or the operator said so.
pub(super) fn throttle(checker: &mut Checker<'_>) -> Option<ThrottleSettings> {
    let raw = checker.raw;
    let is_off = raw.no_throttle == Some(true);
    let is_open = raw.use_login != Some(true) && raw.client_ca.is_empty();
    let problem = if is_open {
        Some("only means something with --use-login or --client-ca")
    } else if is_off {
        Some("contradicts --no-throttle; keep one of the two")
    } else {
        None
    };
    if let Some(problem) = problem {
        let no_throttle = (is_off && is_open).then_some("no-throttle");
        for option in options(checker).into_iter().chain(no_throttle) {
            checker.problem(option, problem);
        }
        return None;
    }
    let settings = ThrottleSettings {
        address: rate(checker, "throttle-address", raw.throttle_address.as_ref(), ADDRESS),
        user: rate(checker, "throttle-user", raw.throttle_user.as_ref(), USER),
        ban: checker.length_up_to("throttle-ban", raw.throttle_ban.as_ref(), "1m", "31d"),
        ban_max: checker.length_up_to("throttle-ban-max", raw.throttle_ban_max.as_ref(), "1h", "31d"),
        exempt: networks(checker, "throttle-exempt", &list(&raw.throttle_exempt)),
    };
    if Reach::of(&settings.exempt).is_wide() {
        let message = "holds more of the Internet than one organisation has, so hardly any address is ever banned; name the \
                       networks, or write --no-throttle if nothing is to be counted";
        checker.problem("throttle-exempt", message);
    }
    if settings.ban > settings.ban_max {
        checker.problem("throttle-ban", "is longer than --throttle-ban-max, the longest that a ban may be");
    }
    Some(settings)
}

fn options(checker: &Checker<'_>) -> Vec<&'static str> {
    let raw = checker.raw;
    let given = [
        ("throttle-address", raw.throttle_address.is_some()),
        ("throttle-user", raw.throttle_user.is_some()),
        ("throttle-ban", raw.throttle_ban.is_some()),
        ("throttle-ban-max", raw.throttle_ban_max.is_some()),
        ("throttle-exempt", !raw.throttle_exempt.is_empty()),
    ];
    given.into_iter().filter_map(|(name, given)| given.then_some(name)).collect()
}

fn rate(checker: &mut Checker<'_>, option: &str, text: Option<&Text>, default: &str) -> Rate {
    let text = text.map_or(default, Text::as_str);
    let rate = parse_rate(text);
    if let Some(rate) = rate {
        checker.at_most(option, rate.per, "31d");
        if f64::from(rate.failures) > MOST_A_SECOND * rate.per.as_secs_f64() || rate.failures > MOST_AT_ONCE {
            let message = format!(
                "'{text}' stops nobody who guesses; write at most {MOST_AT_ONCE} failures, and at most {MOST_A_SECOND} for \
                 each second of the time, for example {default}, or --no-throttle if nothing is to be counted"
            );
            checker.problem(option, message);
        }
    }
    rate.or_else(|| {
        checker.problem(
            option,
            format!("'{text}' is not a number of failures in a time; write for example {default}"),
        );
        parse_rate(default)
    })
    .unwrap_or(Rate { failures: 1, per: Duration::from_secs(60) })
}

/// `60/1h`: so many failures, given back evenly over that time.
fn parse_rate(text: &str) -> Option<Rate> {
    let (failures, per) = text.split_once('/')?;
    let failures = failures.trim().parse().ok().filter(|failures| (1..=100_000).contains(failures))?;
    let per = parse_duration(per.trim()).ok().filter(|per| !per.is_zero())?;
    Some(Rate { failures, per })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ADDRESS, Rate, ThrottleSettings, USER, parse_rate};

    #[test]
    fn a_rate_is_a_number_and_a_time() {
        assert_eq!(parse_rate("60/1h"), Some(Rate { failures: 60, per: Duration::from_secs(3600) }));
        assert_eq!(parse_rate("1 / 90s"), Some(Rate { failures: 1, per: Duration::from_secs(90) }));
        for text in ["", "60", "60/", "/1h", "0/1h", "60/0", "-1/1h", "1000000/1h", "60/1h/2", "a/b"] {
            assert_eq!(parse_rate(text), None, "{text}");
        }
    }

    #[test]
    fn the_defaults_stand_in_one_place_only() {
        let default = ThrottleSettings::default();
        assert_eq!((Some(default.address), Some(default.user)), (parse_rate(ADDRESS), parse_rate(USER)));
    }
}
