//! Texts of others on a terminal.

use crate::domain::is_unsafe;

/// A text that somebody else wrote, as it may be shown: it must not steer the terminal, nor turn what stands beside it
/// around (Unicode TR 36). Lines stay lines.
pub(super) fn shown(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || !is_unsafe(c) { c } else { '?' }).collect()
}

/// As [`shown`], on one line.
pub(super) fn shown_in_line(text: &str) -> String {
    shown(text).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::{shown, shown_in_line};

    #[test]
    fn nothing_of_a_foreign_text_steers_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\r\nc\u{9b}1m\u{202e}d\u{7}"), "a?[2Jb?\nc?1m?d?");
        assert_eq!(shown_in_line("Grüße\nan alle"), "Grüße an alle");
    }
}
