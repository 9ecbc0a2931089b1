//! Texts of modules, made fit to be shown: bounded, UTF-8, nothing that steers a terminal or reorders a line. Pure.

use super::foreign_text::is_unsafe;
use super::frames::{Note, Tone};

/// Most bytes of one text.
const MAX_TEXT: usize = 4096;
/// Most texts between two prompts.
const MAX_NOTES: usize = 16;
/// Most bytes of all texts between two prompts: with a prompt of [`MAX_TEXT`] they still fit into one frame.
const MAX_ALL: usize = 8192;

/// `raw` as text of at most [`MAX_TEXT`] bytes in which line feeds are the only control characters.
pub(super) fn clean(raw: &[u8]) -> String {
    let cut = raw.get(..MAX_TEXT).unwrap_or(raw);
    let mut text = String::new();
    for c in String::from_utf8_lossy(cut).chars().filter_map(harmless) {
        if text.len() + c.len_utf8() > MAX_TEXT {
            break;
        }
        text.push(c);
    }
    text
}

fn harmless(c: char) -> Option<char> {
    match c {
        '\n' => Some(c),
        '\r' => None,
        '\t' => Some(' '),
        _ if is_unsafe(c) => Some('\u{fffd}'),
        _ => Some(c),
    }
}

/// Texts that wait for the next frame.
#[derive(Debug, Default)]
pub(super) struct Notes {
    kept: Vec<Note>,
    bytes: usize,
}

impl Notes {
    /// Keeps a text, or drops it once there are too many.
    pub(super) fn push(&mut self, tone: Tone, raw: &[u8]) {
        let text = clean(raw);
        if self.kept.len() < MAX_NOTES && self.bytes + text.len() <= MAX_ALL {
            self.bytes += text.len();
            self.kept.push(Note { tone, text });
        }
    }

    /// All texts since the last call.
    pub(super) fn take(&mut self) -> Vec<Note> {
        std::mem::take(self).kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frames::{FromWorker, Style, Tone, encode};
    use super::{MAX_TEXT, Notes, clean};

    #[test]
    fn a7_escape_sequences_and_line_breaks_are_defused() {
        assert_eq!(clean(b"a\r\nb\tc\x1b[2Jd\x07"), "a\nb c\u{fffd}[2Jd\u{fffd}");
        assert_eq!(clean("x\u{202e}y".as_bytes()), "x\u{fffd}y");
        assert_eq!(clean(b"\xff"), "\u{fffd}");
        assert_eq!(clean("Passwort für jürgen: ".as_bytes()), "Passwort für jürgen: ");
    }

    #[test]
    fn a7_a_flood_of_texts_fits_into_one_frame() {
        let mut notes = Notes::default();
        for _ in 0..1000 {
            notes.push(Tone::Error, &[0xff; 5000]);
        }
        for _ in 0..100 {
            notes.push(Tone::Info, b"short");
        }
        let frame =
            FromWorker::Prompt { n: 1, style: Style::Echo, text: clean(&[b'x'; 9999]), before: notes.take() };
        assert!(encode(&frame).is_ok());
        assert!(notes.take().is_empty());
    }

    proptest! {
        #[test]
        fn a7_any_bytes_become_bounded_harmless_text(raw in proptest::collection::vec(any::<u8>(), 0..6000)) {
            let text = clean(&raw);
            prop_assert!(text.len() <= MAX_TEXT);
            prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
}
