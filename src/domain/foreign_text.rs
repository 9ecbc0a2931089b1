//! Texts that others wrote, made fit to be shown to a person. The one place where that is decided.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character does more than to be read: it steers a terminal, turns the direction of what stands beside it
/// around, or cannot be seen (Unicode TR 36 section 2; UAX 9 for U+061C, U+200E, U+200F, U+202A to U+202E and U+2066 to
/// U+2069; CVE-2021-42574). Line feeds and tabs are among them.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    // Nearly all are plain.
    if matches!(c, ' '..='~') {
        return false;
    }
    c.is_control()
        || matches!(c,
            // Soft hyphen, grapheme joiner, Arabic letter mark.
            '\u{ad}' | '\u{34f}' | '\u{61c}'
            // Fillers, and vowels and selectors without a shape.
            | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{ffa0}'
            // Spaces without width, marks and embeddings of direction, line and paragraph separators.
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            // Byte order mark, interlinear annotations, and what is no character.
            | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            // Musical formats, tags.
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A text on one line, with `stand_in` for each character that is unsafe.
#[must_use]
pub fn sanitize(text: &str, stand_in: char) -> String {
    text.chars().map(|c| if is_unsafe(c) { stand_in } else { c }).collect()
}

/// JSON with escapes (RFC 8259 section 7) for what is unsafe in its strings, where alone it can stand: the same document to
/// a program. Line breaks between its parts stay.
#[must_use]
pub fn escape_json(json: &str) -> Cow<'_, str> {
    // Controls below the space stand between its parts only; in a string they are escaped already.
    let stays = |c: char| c < ' ' || !is_unsafe(c);
    if json.chars().all(stays) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if stays(c) {
            escaped.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::{escape_json, is_unsafe, sanitize};

    #[test]
    fn i22_json_means_the_same_to_a_program_and_nothing_to_a_terminal() {
        let harmful = "\u{7f}\u{85}\u{9b}\u{61c}\u{200f}\u{202e}\u{2066}\u{feff}\u{e0041}\u{1b}\n";
        let value = serde_json::json!({ "a\u{202e}": harmful, "b": ["\u{e0041}é", "日本 😀"] });
        for json in [value.to_string(), format!("{value:#}")] {
            let escaped = escape_json(&json);
            assert!(escaped.chars().all(|c| c == '\n' || !is_unsafe(c)), "{escaped}");
            assert!(escaped.contains("é") && escaped.contains("日本 😀"), "{escaped}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
        }
        assert_eq!(escape_json("{\n  \"a\": \"é\"\n}"), "{\n  \"a\": \"é\"\n}");
    }

    #[test]
    fn i22_nothing_that_steers_reorders_or_hides_is_safe() {
        for c in [
            '\n',
            '\r',
            '\t',
            '\u{0}',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{ad}',
            '\u{61c}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202b}',
            '\u{202c}',
            '\u{202d}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2067}',
            '\u{2068}',
            '\u{2069}',
            '\u{206a}',
            '\u{3164}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e0001}',
            '\u{e007f}',
        ] {
            assert!(is_unsafe(c), "{:x}", u32::from(c));
        }
        for c in "az AZ~ äß ñ Ж 日本 עברית العربية € … – ✓ 😀".chars() {
            assert!(!is_unsafe(c), "{:x}", u32::from(c));
        }
        assert_eq!(sanitize("a\u{202e}b\u{1b}[2J\nc", '?'), "a?b?[2J?c");
    }
}
