//! Times for people. Pure.

use crate::domain::UnixSeconds;
use crate::pages::views::Moment;

/// A time in words, relative to `now`, with its exact form beside it.
pub(super) fn moment(at: UnixSeconds, now: UnixSeconds) -> Moment {
    let distance = span(at.abs_diff(now));
    let text = match at - now {
        -59..=59 => "just now".to_owned(),
        60.. => format!("in {distance}"),
        _ => format!("{distance} ago"),
    };
    Moment { text, iso: iso(at) }
}

/// RFC 3339 in UTC.
pub(super) fn iso(at: UnixSeconds) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}

/// A length of time in its two largest units: `11 h 59 min`.
pub(super) fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, name) in units {
        if rest >= size || (size == 1 && parts.is_empty()) {
            parts.push(format!("{} {name}", rest / size));
            rest %= size;
        } else if !parts.is_empty() {
            break;
        }
    }
    parts.truncate(2);
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::{moment, span};

    #[test]
    fn spans_read_like_speech() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min 59 s"),
            (43_140, "11 h 59 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn moments_point_both_ways() {
        assert_eq!(moment(3_700, 100).text, "in 1 h");
        assert_eq!(moment(100, 3_700).text, "1 h ago");
        assert_eq!(moment(100, 130).text, "just now");
        assert_eq!(moment(0, 0).iso, "1970-01-01T00:00:00Z");
    }
}
