//! The text below a command's options, as its pages want it: examples, exit codes, and the rest.
//!
//! `--help` shows that text as it is written. Here it is taken apart by the form that all commands keep: paragraphs;
//! below `Examples:` commands indented by two and explanations by six columns; below or behind `Exit codes:` the codes.

use clap_mangen::roff::{Roff, bold, roman};

use super::paragraphs;

const EXAMPLES: &str = "Examples:";
const CODES: &str = "Exit codes:";

/// The parts of such a text.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Help {
    pub(super) examples: Vec<Example>,
    pub(super) codes: Codes,
    /// What stands in paragraphs of its own.
    pub(super) notes: Vec<String>,
}

/// Commands with one explanation.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Example {
    pub(super) commands: Vec<String>,
    pub(super) explanation: String,
}

/// Exit codes, as a sentence or as a table.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) enum Codes {
    #[default]
    Unsaid,
    Sentence(String),
    Table(Vec<(String, String)>),
}

impl Help {
    /// Takes a text apart.
    pub(super) fn parse(text: &str) -> Self {
        let mut help = Self::default();
        for block in text.split("\n\n") {
            let (first, rest) = block.split_once('\n').unwrap_or((block, ""));
            if first == EXAMPLES {
                help.examples = examples(rest);
            } else if first == CODES {
                help.codes = Codes::Table(table(rest));
            } else if let Some(sentence) = block.strip_prefix(CODES) {
                help.codes = Codes::Sentence(one_line(sentence));
            } else if !block.trim().is_empty() {
                help.notes.push(one_line(block));
            }
        }
        help
    }

    /// `EXAMPLES`, if there are any.
    pub(super) fn write_examples(&self, roff: &mut Roff) {
        if self.examples.is_empty() {
            return;
        }
        roff.control("SH", ["EXAMPLES"]);
        for example in &self.examples {
            for (index, command) in example.commands.iter().enumerate() {
                roff.control(if index == 0 { "TP" } else { "TQ" }, []).text([bold(command)]);
            }
            if !example.explanation.is_empty() {
                roff.text([roman(&example.explanation)]);
            }
        }
    }
}

impl Codes {
    /// `EXIT STATUS`.
    pub(super) fn write(&self, roff: &mut Roff) {
        roff.control("SH", ["EXIT STATUS"]);
        match self {
            Self::Unsaid => {}
            Self::Sentence(text) => paragraphs(roff, [text.as_str()]),
            Self::Table(rows) => {
                for (code, meaning) in rows {
                    roff.control("TP", []).text([bold(code)]).text([roman(meaning)]);
                }
            }
        }
    }
}

/// A line that is indented more than its command explains it; one that is indented more than an explanation goes on
/// with what the command line before began.
fn examples(text: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for line in text.lines() {
        let is_explanation = line.starts_with("      ");
        match examples.last_mut() {
            Some(last) if is_explanation => {
                if !last.explanation.is_empty() {
                    last.explanation.push(' ');
                }
                last.explanation.push_str(line.trim());
            }
            Some(last) if last.explanation.is_empty() => last.commands.push(line.trim().to_owned()),
            _ => {
                examples.push(Example { commands: vec![line.trim().to_owned()], explanation: String::new() })
            }
        }
    }
    examples
}

fn table(text: &str) -> Vec<(String, String)> {
    let mut rows: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let (code, meaning) = line.trim().split_once("  ").unwrap_or(("", line));
        match rows.last_mut() {
            Some((_, before)) if code.is_empty() => {
                before.push(' ');
                before.push_str(meaning.trim());
            }
            _ => rows.push((code.to_owned(), meaning.trim().to_owned())),
        }
    }
    rows
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Codes, Example, Help};

    #[test]
    fn a_help_text_comes_apart() {
        let text = "\
Examples:
  doorward a
  doorward b --c
      does this
      and that
  doorward d

A note that
goes on.

Exit codes: 0 done, 1 not.";
        let help = Help::parse(text);
        assert_eq!(
            help.examples,
            [
                Example {
                    commands: vec!["doorward a".into(), "doorward b --c".into()],
                    explanation: "does this and that".into()
                },
                Example { commands: vec!["doorward d".into()], explanation: String::new() },
            ]
        );
        assert_eq!(help.notes, ["A note that goes on."]);
        assert_eq!(help.codes, Codes::Sentence("0 done, 1 not.".into()));
    }

    #[test]
    fn the_table_of_all_exit_codes_is_understood() {
        let Codes::Table(rows) = Help::parse(crate::cli::exit::HELP).codes else { panic!("no table") };
        assert_eq!(rows.first().map(|(code, _)| code.as_str()), Some("0"));
        assert_eq!(rows.last().map(|(code, _)| code.as_str()), Some("78"));
        assert!(
            rows.iter().all(|(code, meaning)| code.parse::<u8>().is_ok() && meaning.len() > 5),
            "{rows:?}"
        );
    }
}
