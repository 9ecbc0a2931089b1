//! Lengths of time as people write them: `90`, `90s`, `5m`, `1h`, `7d`, `500ms`.

use std::time::Duration;

/// Ten years: longer than any sensible setting, short enough that adding it to a date never overflows.
const LONGEST: Duration = Duration::from_secs(3650 * 24 * 3600);

/// Reads a length of time; a bare number is seconds.
///
/// # Errors
/// A sentence that says what may be written.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("'{text}' is not a length of time; write for example 90, 90s, 5m, 1h or 500ms");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60 * 1000),
        "h" => number.checked_mul(3600 * 1000),
        "d" => number.checked_mul(24 * 3600 * 1000),
        _ => return Err(wrong()),
    };
    millis
        .map(Duration::from_millis)
        .filter(|length| *length <= LONGEST)
        .ok_or_else(|| format!("'{text}' is longer than ten years"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::parse_duration;

    #[test]
    fn a_length_of_time_is_a_number_with_a_unit_or_seconds() {
        for (text, millis) in [
            ("90", 90_000),
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("500ms", 500),
            ("0", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_an_example() {
        for text in ["", "s", "-1", "1.5h", "1 h", "1H", "1h30m", "ten", "١s", "99999999999999999999"] {
            assert!(parse_duration(text).unwrap_err().contains("500ms"), "{text}");
        }
        assert!(parse_duration("3651d").unwrap_err().contains("ten years"));
        assert!(parse_duration("18446744073709551615h").unwrap_err().contains("ten years"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "[0-9٣a-z .-]{0,24}") {
            let _ = parse_duration(&text);
        }
    }
}
