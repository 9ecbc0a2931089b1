//! Findings for people: grouped, one line each, what to do indented below.

use std::fmt::Write;
use std::io::IsTerminal;

use crate::doctor::{Finding, Status, Summary};
use crate::domain::sanitize;

/// How it is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Style {
    /// Signs before the words; for terminals.
    signs: bool,
    colours: bool,
}

impl Style {
    /// Signs and colours only on a terminal, and no colours if `NO_COLOR` is set (no-color.org).
    pub(super) fn of_this_process() -> Self {
        let signs = std::io::stdout().is_terminal();
        let colours = signs && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { signs, colours }
    }

    /// The word for a status, always there; what is before and around it only repeats it.
    fn word(self, status: Status) -> String {
        let (sign, colour) = match status {
            Status::Ok => ("✓", 32),
            Status::Unchecked => ("?", 36),
            Status::Warning => ("!", 33),
            Status::Problem => ("✗", 31),
        };
        let word = format!("{:<9}", status.word());
        let word = if self.signs { format!("{sign} {word}") } else { word };
        if self.colours { format!("\u{1b}[{colour}m{word}\u{1b}[0m") } else { word }
    }
}

/// All findings and a summary. Findings are in the order of their groups already.
pub(super) fn text(findings: &[Finding], style: Style) -> String {
    let mut text = String::new();
    let mut group = "";
    let indent = if style.signs { "              " } else { "            " };
    for finding in findings {
        if finding.group() != group {
            group = finding.group();
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{}", title(group));
        }
        let _ = writeln!(text, "  {} {}", style.word(finding.status), one_line(&finding.text));
        if let Some(fix) = &finding.fix {
            let _ = writeln!(text, "{indent}fix: {}", one_line(fix));
        }
    }
    let _ = writeln!(text, "\n{}", summary(Summary::of(findings)));
    text
}

fn title(group: &str) -> &str {
    match group {
        "settings" => "Settings",
        "pam" => "PAM",
        "directory" => "Directory",
        "users" => "User file",
        "engine" => "Engine",
        "tls" => "Certificate",
        "terminator" => "Terminator",
        "listen" => "Addresses",
        "files" => "Files",
        "clock" => "Clock",
        other => other,
    }
}

fn summary(summary: Summary) -> String {
    let count = |number, one: &str, more: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{number} {more}"),
    };
    let mut text = format!(
        "{}, {}, {} in order",
        count(summary.problem, "problem", "problems"),
        count(summary.warning, "warning", "warnings"),
        summary.ok
    );
    if summary.unchecked > 0 {
        let _ = write!(text, ", {} could not be checked", summary.unchecked);
    }
    text
}

/// Strangers may have written a part of it: an engine, a directory, a file's name.
fn one_line(text: &str) -> String {
    sanitize(text, ' ')
}

#[cfg(test)]
mod tests {
    use super::{Style, text};
    use crate::doctor::Finding;

    const PLAIN: Style = Style { signs: false, colours: false };
    const BRIGHT: Style = Style { signs: true, colours: true };

    fn findings() -> Vec<Finding> {
        vec![
            Finding::ok("pam.service", "it is there"),
            Finding::problem("pam.shadow", "it is not\u{1b}[2J", "do this"),
            Finding::unchecked("engine.answer", "run as root"),
        ]
    }

    #[test]
    fn it_is_grouped_with_the_fix_below_and_a_summary() {
        let expected = "\
PAM
  ok        it is there
  problem   it is not [2J
            fix: do this

Engine
  unchecked run as root

1 problem, 0 warnings, 1 in order, 1 could not be checked
";
        assert_eq!(text(&findings(), PLAIN), expected);
    }

    #[test]
    fn colour_only_repeats_what_words_say() {
        let bright = text(&findings(), BRIGHT);
        assert!(bright.contains("\u{1b}[31m✗ problem"), "{bright}");
        let without_colours: String = bright
            .split('\u{1b}')
            .map(|part| {
                part.split_once('m')
                    .map_or(part, |(code, rest)| if code.starts_with('[') { rest } else { part })
            })
            .collect();
        for word in ["✓ ok", "✗ problem", "? unchecked"] {
            assert!(without_colours.contains(word), "{without_colours}");
        }
        assert_eq!(
            bright.matches('\u{1b}').count(),
            6,
            "two for each finding, and none from a finding's text"
        );
    }
}
