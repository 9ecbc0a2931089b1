//! Amounts of memory as people write them: `64MiB`, `512KiB`, `1GiB`.

/// Reads an amount of memory, in bytes. A unit must stand behind it, so that nobody mistakes bytes for megabytes.
///
/// # Errors
/// A sentence that says what may be written.
pub(super) fn parse_size(text: &str) -> Result<usize, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("'{text}' is not an amount of memory; write for example 64MiB, 512KiB or 1GiB");
    let number: usize = number.parse().map_err(|_| wrong())?;
    let bytes = match unit {
        "KiB" => number.checked_mul(1 << 10),
        "MiB" => number.checked_mul(1 << 20),
        "GiB" => number.checked_mul(1 << 30),
        _ => None,
    };
    bytes.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn an_amount_of_memory_is_a_number_with_a_unit() {
        for (text, bytes) in [("64MiB", 64 << 20), ("512KiB", 512 << 10), ("2GiB", 2 << 30), ("0MiB", 0)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "64", "64MB", "64M", "64mib", "-1MiB", "1.5GiB", "64 MiB", "99999999999999999999GiB", "MiB"]
        {
            assert!(parse_size(text).unwrap_err().contains("64MiB"), "{text}");
        }
        assert!(parse_size("18446744073709551615GiB").is_err());
    }
}
