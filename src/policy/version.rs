//! The version of the engine's API, which may stand before every path: `/v1.41/info`.
//!
//! dockerd takes `v[0-9.]+` for one, however long and whatever its zeros; Podman takes `v[0-9][0-9A-Za-z.-]*`. What they
//! take must be written in one way, so that nobody hides an action from a reader of the log behind it.

/// Longest version, its `v` included: `v4.0.0-rc10.debian`.
const MAX_BYTES: usize = 20;
/// Most digits of one of its numbers.
const MAX_DIGITS: usize = 4;
/// Most numbers: Podman has three.
const MAX_NUMBERS: usize = 3;

/// Whether the first segment of a path (without its first slash) is what an engine takes for a version, and is written in
/// another way than versions are.
pub(super) fn is_odd(path: &str) -> bool {
    // Quick no: nearly every path begins with a word, or with a version of dockerd as its clients write it.
    match path.as_bytes() {
        [b'v', b'1', b'.', b'1'..=b'9', b'0'..=b'9', b'/', ..] => return false,
        [b'v', b'0'..=b'9' | b'.', ..] => {}
        _ => return false,
    }
    let segment = first(path);
    let number = segment.get(1..).unwrap_or_default();
    let is_dockers = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let is_podmans = number.starts_with(|c: char| c.is_ascii_digit())
        && number.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    let is_well = segment.len() <= MAX_BYTES && (is_plain(number) || is_tagged(number));
    (is_dockers || is_podmans) && !is_well
}

/// A path without the version before it. Only numbers count: to dockerd all else is a name.
pub(super) fn without(path: &str) -> &str {
    let relative = path.strip_prefix('/').unwrap_or(path);
    let segment = first(relative);
    match (segment.strip_prefix('v'), relative.get(segment.len()..)) {
        (Some(number), Some(rest)) if rest.starts_with('/') && is_plain(number) => rest,
        _ => path,
    }
}

fn first(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

/// `1.41`
fn is_plain(number: &str) -> bool {
    let is_number = |part: &str| {
        let is_short = (1..=MAX_DIGITS).contains(&part.len());
        is_short && part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'))
    };
    number.split('.').count() <= MAX_NUMBERS && number.split('.').all(is_number)
}

/// `4.0.0-dev`, `1beta1`
fn is_tagged(number: &str) -> bool {
    let end = number.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(number.len());
    end < number.len() && number.get(..end).is_some_and(|number| is_plain(number.trim_end_matches('.')))
}

#[cfg(test)]
mod tests {
    use super::{is_odd, without};

    #[test]
    fn i11_what_an_engine_takes_for_a_version_is_written_as_one() {
        for path in [
            "v1.41/info",
            "v1/info",
            "v0.9",
            "v5.0.0/libpod/info",
            "v4.0.0-rc1/libpod/info",
            "v1beta1/x",
            "volumes/x",
            "v/x",
            "version",
            "v1_a/x",
            "x/v00001/y",
            "v2ray/x",
            "",
        ] {
            assert!(!is_odd(path), "{path}");
        }
        let long = format!("v{}1.41/info", "0".repeat(500));
        let dots = format!("v{}/info", "1.".repeat(300));
        let tagged = format!("v1.41-{}/containers/x/exec", "a".repeat(300));
        for path in [
            "v01.41/info",
            "v1.041/info",
            "v00/info",
            "v1..41/info",
            "v.1/info",
            "v1./info",
            "v./info",
            "v1.2.3.4/info",
            "v12345/info",
            "v00001.41",
            "v01-a/info",
            &long,
            &dots,
            &tagged,
        ] {
            assert!(is_odd(path), "{path}");
        }
    }

    #[test]
    fn a_route_is_what_follows_the_version() {
        for (path, route) in [
            ("/v1.41/info", "/info"),
            ("/info", "/info"),
            ("/v1.41", "/v1.41"),
            ("/v1.41/v1.41/info", "/v1.41/info"),
            ("/v1.41-x/info", "/v1.41-x/info"),
            ("/volumes/v1", "/volumes/v1"),
            ("/v1/", "/"),
        ] {
            assert_eq!(without(path), route);
        }
    }
}
