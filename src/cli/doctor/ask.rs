//! Where the answers to a login's questions come from: a person at a terminal, or standard input.

use std::io::{self, BufRead, Read, Write};

use zeroize::Zeroizing;

use crate::domain::{Level, Message, Prompt, PromptStyle};

/// Longest line of standard input; PAM takes 511 bytes.
const MOST_BYTES: u64 = 4096;

/// Answers questions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answers {
    /// Questions are shown on the terminal, and passwords typed without being seen.
    Terminal,
    /// One line of standard input for each question; nothing is shown.
    Lines,
}

impl Answers {
    /// The answer; `None` if there is none.
    ///
    /// # Errors
    /// If there is no terminal, or it cannot be read.
    pub(super) fn take(self, prompt: &Prompt) -> io::Result<Option<Zeroizing<String>>> {
        let text = shown(&prompt.text);
        match (self, prompt.style) {
            (Self::Lines, _) => line(),
            (Self::Terminal, PromptStyle::Secret) => {
                rpassword::prompt_password(text).map(|typed| Some(Zeroizing::new(typed)))
            }
            (Self::Terminal, PromptStyle::Echo | PromptStyle::Radio) => {
                write!(io::stderr(), "{text}")?;
                line()
            }
        }
    }

    /// Shows what needs no answer.
    pub(super) fn tell(self, messages: &[Message]) {
        if self == Self::Terminal {
            for message in messages {
                let level = if message.level == Level::Error { "error: " } else { "" };
                super::report::complain(format_args!("{level}{}", shown(&message.text)));
            }
        }
    }
}

fn line() -> io::Result<Option<Zeroizing<String>>> {
    // With room for all of it: growing would leave copies behind.
    let mut line = Zeroizing::new(String::with_capacity(4096));
    if io::stdin().lock().take(MOST_BYTES).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let length = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(length);
    Ok(Some(line))
}

/// The text of a module, which the broker has bounded; it must not steer the terminal.
pub(super) fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
}
