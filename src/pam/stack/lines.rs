//! The lines of a PAM service file, read as libpam reads them (pam.d(5), `libpam/pam_handlers.c`). Pure.

/// One line that is not empty, with those that it goes on in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Line {
    /// Where it begins, counted from 1.
    pub(super) number: usize,
    pub(super) words: Vec<String>,
}

/// All lines. A `#` begins a comment wherever it stands; a backslash at the end of a line joins the next one, comments
/// between them left out.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, raw) in text.lines().enumerate() {
        let (code, has_comment) = raw.split_once('#').map_or((raw, false), |(code, _)| (code, true));
        let code = code.trim();
        // Within a line that goes on, an empty line or a comment does not end it.
        if code.is_empty() {
            continue;
        }
        let (number, mut line) = open.take().unwrap_or((index + 1, String::new()));
        match code.strip_suffix('\\').filter(|_| !has_comment) {
            Some(part) => {
                line.push_str(part);
                line.push(' ');
                open = Some((number, line));
            }
            None => {
                line.push_str(code);
                found.push(Line { number, words: words(&line) });
            }
        }
    }
    // A file that ends in the middle of a line: libpam gives up on it, and so on the whole stack. What is there is shown.
    found.extend(open.map(|(number, line)| Line { number, words: words(&line) }));
    found.retain(|line| !line.words.is_empty());
    found
}

/// Words are split at white space; one that begins with `[` ends at the next `]` that has no backslash before it.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('[') {
            Some(inner) => bracketed(inner),
            None => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                (word.to_owned(), after)
            }
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}

/// Keeps the brackets, so that a control `[success=1 …]` stays apart from a word.
fn bracketed(inner: &str) -> (String, &str) {
    let mut word = String::from("[");
    let mut letters = inner.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' if inner.get(at + 1..).is_some_and(|rest| rest.starts_with(']')) => {
                word.push(']');
                letters.next();
            }
            ']' => {
                word.push(']');
                return (word, inner.get(at + 1..).unwrap_or_default());
            }
            _ => word.push(letter),
        }
    }
    (word, "")
}

#[cfg(test)]
mod tests {
    use super::lines;

    fn words(text: &str) -> Vec<(usize, Vec<String>)> {
        lines(text).into_iter().map(|line| (line.number, line.words)).collect()
    }

    fn line(number: usize, words: &[&str]) -> (usize, Vec<String>) {
        (number, words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn comments_and_empty_lines_are_nothing() {
        let text = "# one\n\n  \t\nauth required pam_unix.so # why\n   # more\n";
        assert_eq!(words(text), [line(4, &["auth", "required", "pam_unix.so"])]);
    }

    #[test]
    fn a_backslash_joins_lines_and_skips_comments_between() {
        let text = "auth required \\\n# not this\n\n  pam_unix.so nullok\naccount required pam_unix.so\n";
        assert_eq!(
            words(text),
            [
                line(1, &["auth", "required", "pam_unix.so", "nullok"]),
                line(5, &["account", "required", "pam_unix.so"])
            ]
        );
        assert_eq!(words("auth required \\"), [line(1, &["auth", "required"])]);
    }

    #[test]
    fn a_backslash_before_a_comment_joins_nothing() {
        assert_eq!(words("auth a \\ # x\naccount b c\n").len(), 2);
    }

    #[test]
    fn brackets_are_one_word_and_may_hold_an_escaped_bracket() {
        let text = "auth [success=1 default=ignore] pam_succeed_if.so [user = a\\]b] quiet\nauth [open";
        assert_eq!(
            words(text),
            [
                line(
                    1,
                    &["auth", "[success=1 default=ignore]", "pam_succeed_if.so", "[user = a]b]", "quiet"]
                ),
                line(2, &["auth", "[open"]),
            ]
        );
    }
}
