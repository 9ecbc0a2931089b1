//! The text below a command's options, so that it fits any terminal.
//!
//! It is written with a line break every hundred columns or so, where clap would break it once more at the terminal's
//! own width. Here such breaks go, before clap sets its own: those within a paragraph and within an explanation of
//! examples. Commands and tables keep theirs.

use clap::Command;

/// How deep explanations stand below the commands that they explain.
const EXPLANATION: &str = "      ";

/// The command with all below it, ready to be shown.
pub(super) fn flowing(command: Command) -> Command {
    let text = command.get_after_help().map(|text| flow(&text.to_string()));
    let command = match text {
        Some(text) => command.after_help(text),
        None => command,
    };
    command.mut_subcommands(flowing)
}

fn flow(text: &str) -> String {
    text.split("\n\n").map(block).collect::<Vec<_>>().join("\n\n")
}

fn block(text: &str) -> String {
    let is_table = text.starts_with("Exit codes:\n");
    let is_examples = text.starts_with("Examples:\n");
    let mut flowing = String::new();
    let mut before = "";
    for line in text.lines() {
        let goes_on = if is_examples {
            line.starts_with(EXPLANATION) && before.starts_with(EXPLANATION)
        } else {
            !is_table
        };
        if !flowing.is_empty() {
            flowing.push(if goes_on { ' ' } else { '\n' });
        }
        flowing.push_str(if goes_on { line.trim_start() } else { line });
        before = line;
    }
    flowing
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::{flow, flowing};
    use crate::cli::Cli;

    #[test]
    fn paragraphs_and_explanations_flow_and_commands_do_not() {
        let text = "\
Examples:
  doorward a
  doorward b
      does this
      and that
  doorward c

A note that
goes on.

Exit codes:
   0  done
   1  not";
        let wanted = "\
Examples:
  doorward a
  doorward b
      does this and that
  doorward c

A note that goes on.

Exit codes:
   0  done
   1  not";
        assert_eq!(flow(text), wanted);
    }

    #[test]
    fn no_line_of_any_help_ends_early() {
        for width in [60, 80, 100] {
            each(&flowing(Cli::command()).term_width(width), width, &mut |command, width| {
                let help = command.clone().render_long_help().to_string();
                let lines: Vec<&str> = help.lines().collect();
                for pair in lines.windows(2) {
                    let (line, next) = (pair[0], pair[1]);
                    let is_text = |line: &str| line.chars().next().is_some_and(char::is_alphabetic);
                    let word = next.split(' ').next().unwrap_or_default();
                    let fits = line.chars().count() + 1 + word.chars().count() <= width;
                    let is_heading = line.ends_with(':');
                    assert!(
                        !(is_text(line) && is_text(next) && fits) || is_heading,
                        "{} at {width}: {line:?} and {next:?}",
                        command.get_name()
                    );
                }
            });
        }
    }

    fn each(command: &Command, width: usize, look: &mut impl FnMut(&Command, usize)) {
        look(command, width);
        for below in command.get_subcommands() {
            each(&below.clone().term_width(width), width, look);
        }
    }
}
