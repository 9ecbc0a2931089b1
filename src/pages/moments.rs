//! Times for people. Pure.

use crate::domain::UnixSeconds;
pub(super) use crate::domain::span;
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

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn moments_point_both_ways() {
        assert_eq!(moment(3_700, 100).text, "in 1 h");
        assert_eq!(moment(100, 3_700).text, "1 h ago");
        assert_eq!(moment(100, 130).text, "just now");
        assert_eq!(moment(0, 0).iso, "1970-01-01T00:00:00Z");
    }
}
