//! What a log line says. Pure: facts in, bytes out.

use std::borrow::Cow;
use std::cell::RefCell;

use serde::Serialize;

use crate::config::LogFormat;
use crate::domain::{UnixMillis, is_unsafe};

/// Longest text from a client that a line holds, in bytes.
const MOST_BYTES: usize = 512;
/// Of a path with more segments than these, the ones between are left out. The text before the first slash is one, and
/// what an engine does is said by at most two words at each end: `/libpod/images/…`, `/containers/…/attach/ws`.
const FIRST_SEGMENTS: usize = 5;
const LAST_SEGMENTS: usize = 4;
/// Bytes of a long segment that are shown before and behind its length.
const SEGMENT_START: usize = 20;
const SEGMENT_END: usize = 12;

/// One request.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    /// RFC 3339, UTC, milliseconds.
    pub time: String,
    /// `user`, `door` and `credential` as [`who`] has written them, if somebody has.
    #[serde(skip)]
    pub who: Option<&'a str>,
    /// Always `request`.
    pub event: &'static str,
    /// The request's id, also in `X-Request-Id` of the gateway's own answers.
    pub id: &'a str,
    /// Who; absent if nobody was proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<&'a str>,
    /// By which door.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub door: Option<&'static str>,
    /// By which session or token (its public id).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<&'a str>,
    /// SHA-256 of the client certificate that was shown, in hex, whoever decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<&'a str>,
    /// From where: an IP address.
    pub address: &'a str,
    /// The method; fit for a line, see [`clean`].
    pub method: Cow<'a, str>,
    /// The path, without the query; fit for a line, see [`clean_path`].
    pub path: Cow<'a, str>,
    /// The status that was answered.
    pub status: u16,
    /// Length of the answer's body, if it is known already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Milliseconds until the status was known, to the microsecond.
    pub duration_ms: f64,
    /// Why it was refused or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
}

/// The end of a stream or tunnel whose request has its line already.
#[derive(Debug, Serialize)]
pub struct Closing<'a> {
    /// RFC 3339, UTC, milliseconds.
    pub time: String,
    /// `stream-end` or `tunnel-end`.
    pub event: &'static str,
    /// The request's id.
    pub id: &'a str,
    /// Who; absent with `--no-login`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<&'a str>,
    /// Bytes from the client, for tunnels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_in: Option<u64>,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// How long it stood.
    pub duration_ms: u64,
    /// Why it ended.
    pub end: &'static str,
}

impl Line<'_> {
    /// Appends the line, with its line feed.
    pub fn write(&self, format: LogFormat, out: &mut Vec<u8>) {
        match format {
            LogFormat::Json => self.write_json(out),
            LogFormat::Text => {
                let text = format!(
                    "{} {:>3} {:<6} {} {} {} {:.1}ms{}\n",
                    self.time,
                    self.status,
                    self.method,
                    self.path,
                    self.user.map_or_else(
                        || "-".to_owned(),
                        |user| format!("{user}/{}", self.door.unwrap_or("-"))
                    ),
                    self.address,
                    self.duration_ms,
                    self.reason.map_or_else(String::new, |reason| format!(" ({reason})")),
                );
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}

impl Line<'_> {
    /// As the derived form would be, which a test compares it with. That one spells out and escapes every name on every
    /// request, which cost more than deciding what to do with it.
    fn write_json(&self, out: &mut Vec<u8>) {
        put_plain(out, b"{\"time\":\"", &self.time);
        put_plain(out, b"\",\"event\":\"", self.event);
        put_plain(out, b"\",\"id\":\"", self.id);
        out.push(b'"');
        match self.who {
            Some(who) => out.extend_from_slice(who.as_bytes()),
            None => put_who(out, self.user, self.door, self.credential),
        }
        if let Some(certificate) = self.certificate {
            put_plain(out, b",\"certificate\":\"", certificate);
            out.push(b'"');
        }
        put_plain(out, b",\"address\":\"", self.address);
        out.push(b'"');
        // A method is a token, which holds no quotes (RFC 9110 section 5.6.2).
        put_plain(out, b",\"method\":\"", &self.method);
        out.push(b'"');
        put_clean(out, b",\"path\":", &self.path);
        put_number(out, b",\"status\":", u64::from(self.status));
        if let Some(bytes) = self.bytes {
            put_number(out, b",\"bytes\":", bytes);
        }
        put_millis(out, b",\"duration_ms\":", self.duration_ms);
        if let Some(reason) = self.reason {
            put(out, b",\"reason\":", reason);
        }
        out.extend_from_slice(b"}\n");
    }
}

/// Who sent a request, as it stands in each of their lines.
#[must_use]
pub fn who(user: Option<&str>, door: &str, credential: &str) -> Box<str> {
    let mut out = Vec::new();
    put_who(&mut out, user, Some(door), Some(credential));
    String::from_utf8_lossy(&out).into()
}

fn put_who(out: &mut Vec<u8>, user: Option<&str>, door: Option<&str>, credential: Option<&str>) {
    for (name, value) in
        [(&b",\"user\":"[..], user), (b",\"door\":", door), (b",\"credential\":", credential)]
    {
        if let Some(value) = value {
            put(out, name, value);
        }
    }
}

/// Appends a text of our own making, which needs no look at its characters.
fn put_plain(out: &mut Vec<u8>, name: &[u8], text: &str) {
    out.extend_from_slice(name);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a text that [`clean`] has looked at: nothing but quotes and backslashes is left to be escaped.
fn put_clean(out: &mut Vec<u8>, name: &[u8], text: &str) {
    if !text.bytes().fold(true, |plain, b| plain & (b != b'"') & (b != b'\\')) {
        return put(out, name, text);
    }
    put_plain(out, name, "\"");
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Appends a whole number.
fn put_number(out: &mut Vec<u8>, name: &[u8], number: u64) {
    out.extend_from_slice(name);
    let mut digits = [0_u8; 20];
    let (mut left, mut at) = (number, digits.len());
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(left % 10).unwrap_or_default();
        (left, at) = (left / 10, at - 1);
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// Appends milliseconds, to the microsecond; the digits are those that any writer of floating point would find, but it
/// need not look for them.
fn put_millis(out: &mut Vec<u8>, name: &[u8], millis: f64) {
    let micros = (millis * 1e3).round();
    if !(0.0..1e12).contains(&micros) {
        return put(out, name, &millis);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number within these bounds"
    )]
    let micros = micros as u64;
    let (whole, mut part) = (micros / 1000, micros % 1000);
    put_number(out, name, whole);
    let mut digits = [b'0'; 3];
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(part % 10).unwrap_or_default();
        part /= 10;
    }
    let shown = digits.iter().rposition(|digit| *digit != b'0').unwrap_or_default();
    out.push(b'.');
    out.extend(digits.iter().take(shown + 1));
}

/// A value of a line.
trait Value: Serialize {
    /// The text, if it is one.
    fn text(&self) -> Option<&str> {
        None
    }
}

impl Value for str {
    fn text(&self) -> Option<&str> {
        Some(self)
    }
}
impl Value for f64 {}

/// Appends a name, as it stands in the line, and its value.
fn put(out: &mut Vec<u8>, name: &[u8], value: &(impl Value + ?Sized)) {
    out.extend_from_slice(name);
    // No early end: so the compiler looks at many bytes at once.
    let is_plain = |text: &&str| {
        text.bytes().fold(true, |plain, b| plain & (0x20..0x7f).contains(&b) & (b != b'"') & (b != b'\\'))
    };
    if let Some(text) = value.text().filter(is_plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else if serde_json::to_writer(&mut *out, value).is_err() {
        // Writing to memory fails only if a value cannot be JSON, and none of ours can be so.
        out.extend_from_slice(b"null");
    }
}

impl Closing<'_> {
    /// Appends the line, with its line feed.
    pub fn write(&self, format: LogFormat, out: &mut Vec<u8>) {
        match format {
            LogFormat::Json => json(self, out),
            LogFormat::Text => {
                let text = format!(
                    "{} end {} {} in={} out={} {}ms ({})\n",
                    self.time,
                    self.event,
                    self.user.unwrap_or("-"),
                    self.bytes_in.unwrap_or(0),
                    self.bytes_out,
                    self.duration_ms,
                    self.end,
                );
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}

fn json(line: &impl Serialize, out: &mut Vec<u8>) {
    // Writing to memory fails only if a value cannot be JSON, and none of ours can be so.
    if serde_json::to_writer(&mut *out, line).is_ok() {
        out.push(b'\n');
    }
}

/// A text from outside, fit for one line: control characters (line breaks, escape sequences) and invisible ones are
/// written as `\u{..}`, and no more than 512 bytes are kept.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    // No early end, as in [`put`]: the largest distance from a space says it all.
    let most = text.bytes().fold(0, |most: u8, b| most.max(b.wrapping_sub(b' ')));
    let is_clean = text.len() <= MOST_BYTES && most <= b'~' - b' ';
    if is_clean {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len().min(MOST_BYTES) + 16);
    for c in text.chars() {
        if kept.len() >= MOST_BYTES {
            kept.push('…');
            break;
        }
        push_escaped(&mut kept, c);
    }
    Cow::Owned(kept)
}

/// A path from outside, fit for one line, in which no padding hides what was asked for: of more than 512 bytes, long
/// segments keep their beginning and end with their length between them, and of many segments the first and the last
/// stand, with the number of those that are left out. What an engine does is told by the first segments and the last ones.
#[must_use]
pub fn clean_path(path: &str) -> Cow<'_, str> {
    if path.len() <= MOST_BYTES {
        let cleaned = clean(path);
        if cleaned.len() <= MOST_BYTES {
            return cleaned;
        }
    }
    let escaped = escape(path);
    let segments: Vec<&str> = escaped.split('/').collect();
    let left_out = segments.len().saturating_sub(FIRST_SEGMENTS + LAST_SEGMENTS);
    let mut shortened = String::with_capacity(MOST_BYTES);
    for (at, segment) in segments.iter().enumerate() {
        if at > 0 && (at <= FIRST_SEGMENTS || at >= FIRST_SEGMENTS + left_out) {
            shortened.push('/');
        }
        if left_out > 0 && at == FIRST_SEGMENTS {
            shortened.push_str(&format!("…[{left_out} segments of {} bytes in all]…", path.len()));
        }
        if left_out == 0 || !(FIRST_SEGMENTS..FIRST_SEGMENTS + left_out).contains(&at) {
            push_segment(&mut shortened, segment);
        }
    }
    Cow::Owned(shortened)
}

/// A segment, or its beginning and its end.
fn push_segment(out: &mut String, segment: &str) {
    if segment.len() <= SEGMENT_START + SEGMENT_END {
        out.push_str(segment);
        return;
    }
    // Not in the middle of a character.
    let start = (0..=SEGMENT_START).rev().find_map(|at| segment.get(..at));
    let end = (segment.len() - SEGMENT_END..=segment.len()).find_map(|at| segment.get(at..));
    out.push_str(start.unwrap_or_default());
    out.push_str(&format!("…[{} bytes]…", segment.len()));
    out.push_str(end.unwrap_or_default());
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    text.chars().for_each(|c| push_escaped(&mut escaped, c));
    escaped
}

fn push_escaped(out: &mut String, c: char) {
    if is_unsafe(c) {
        out.extend(c.escape_unicode());
    } else {
        out.push(c);
    }
}

/// `2026-11-21T23:00:00.123Z`. A thread writes many lines in one second, so it remembers that second's text.
#[must_use]
pub fn rfc3339(millis: UnixMillis) -> String {
    thread_local! {
        static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    let (second, rest) = (millis.div_euclid(1000), millis.rem_euclid(1000));
    SECOND.with_borrow_mut(|(known, text)| {
        if *known != second {
            *known = second;
            let time = jiff::Timestamp::from_second(second)
                .map_or_else(|_| second.to_string(), |time| time.to_string());
            *text = format!("{}.", time.trim_end_matches('Z'));
        }
        let mut time = String::with_capacity(text.len() + 4);
        time.push_str(text);
        for digit in [rest / 100, rest / 10 % 10, rest % 10] {
            time.push(char::from(b'0' + u8::try_from(digit).unwrap_or_default()));
        }
        time.push('Z');
        time
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Line, MOST_BYTES, clean, clean_path, rfc3339, who};
    use crate::config::LogFormat;

    #[test]
    fn l1_line_breaks_escapes_and_floods_stay_in_one_bounded_line() {
        let evil = format!("/a\r\n{{\"user\":\"root\"}}\x1b[2J\u{202e}{}", "x".repeat(1 << 20));
        let cleaned = clean(&evil);
        assert!(cleaned.len() < 600, "{}", cleaned.len());
        assert!(!cleaned.chars().any(char::is_control));
        for format in [LogFormat::Json, LogFormat::Text] {
            let line = Line {
                time: rfc3339(0),
                who: None,
                event: "request",
                id: "1",
                user: None,
                door: None,
                credential: None,
                certificate: None,
                address: "192.0.2.1",
                method: clean("GET"),
                path: cleaned.clone(),
                status: 400,
                bytes: None,
                duration_ms: 0.5,
                reason: None,
            };
            let mut out = Vec::new();
            line.write(format, &mut out);
            assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
            assert!(!out.contains(&0x1b) && !out.contains(&b'\r'));
        }
    }

    #[test]
    fn i11_no_padding_hides_what_a_path_asks_for() {
        let long = "a".repeat(60_000);
        let many = "a/".repeat(2_000);
        let wide = "ü".repeat(10_000);
        for (path, start, end) in [
            (format!("/v1.41/containers/{long}/exec"), "/v1.41/containers/aaa", "aaa/exec"),
            (format!("/v1.41/images/{many}push"), "/v1.41/images/a/", "/a/a/a/push"),
            (
                format!("/containers/{long}/checkpoints/{long}"),
                "/containers/aaa",
                "/checkpoints/aaaaaaaaaaaaaaaaaaaa…[60000 bytes]…aaaaaaaaaaaa",
            ),
            (
                format!("/libpod/images/scp/{many}"),
                "/libpod/images/scp/a/…[1996 segments of 4019 bytes in all]…",
                "/a/a/a/",
            ),
            (format!("/v{}1.41/containers/create", "0".repeat(600)), "/v000", "/containers/create"),
            (format!("/containers/{wide}/attach/ws"), "/containers/üüü", "ü/attach/ws"),
            (format!("/{}/x/kill", "\u{202e}".repeat(300)), "/\\u{202e}", "/x/kill"),
            (format!("/{}/", "x/".repeat(30_000)), "/x/x/x/x/…[", "…/x/x//"),
        ] {
            let cleaned = clean_path(&path);
            assert!(cleaned.starts_with(start) && cleaned.ends_with(end), "{cleaned}");
            assert!(cleaned.len() <= MOST_BYTES, "{} bytes: {cleaned}", cleaned.len());
        }
        let all_long = clean_path(&format!("/{long}").repeat(50)).into_owned();
        assert!(all_long.len() <= MOST_BYTES, "{} bytes: {all_long}", all_long.len());
        for whole in [format!("/containers/{}/json", "a".repeat(400)), "/x".repeat(256)] {
            assert_eq!(clean_path(&whole), whole);
        }
        assert_eq!(clean_path("/a\nb"), "/a\\u{a}b");
    }

    proptest! {
        #[test]
        fn i11_a_path_is_bounded_and_shows_its_words(words in proptest::collection::vec("[a-zü\n]{0,200}", 0..60)) {
            let path = format!("/v1.41/{}/end", words.join("/"));
            let cleaned = clean_path(&path);
            prop_assert!(cleaned.len() <= MOST_BYTES);
            prop_assert!(cleaned.starts_with("/v1.41/") && cleaned.ends_with("/end"));
            prop_assert!(!cleaned.chars().any(char::is_control));
        }

        #[test]
        fn a_line_is_what_the_derived_form_would_be(
            user in proptest::option::of("\\PC{0,12}"),
            path in "[ -~\\n\"\\\\é\u{1f600}]{0,24}",
            bytes in proptest::option::of(any::<u64>()),
            status in any::<u16>(),
            micros in 0..10_000_000_u32,
        ) {
            let known = user.as_ref().map(|user| who(Some(user), "token", "0123456789ab"));
            let line = Line {
                time: rfc3339(1_795_302_000_123),
                who: known.as_deref(),
                event: "request",
                id: "00c0ffee00c0ffee",
                user: user.as_deref(),
                door: user.as_ref().map(|_| "token"),
                credential: user.as_ref().map(|_| "0123456789ab"),
                certificate: user.as_ref().filter(|_| status > 999).map(|_| "00ff"),
                address: "2001:db8::1",
                method: clean("GET"),
                path: clean(&path),
                status,
                bytes,
                duration_ms: f64::from(micros) / 1e3,
                reason: user.as_ref().map(|_| "a \"reason\"\t"),
            };
            let mut written = Vec::new();
            line.write(LogFormat::Json, &mut written);
            let mut derived = serde_json::to_vec(&line).unwrap();
            derived.push(b'\n');
            prop_assert_eq!(String::from_utf8(written), String::from_utf8(derived));
        }
    }

    #[test]
    fn times_are_rfc3339_in_utc() {
        assert_eq!(rfc3339(1_795_302_000_123), "2026-11-21T23:00:00.123Z");
    }
}
