//! Where the answers to a login's questions come from: a person at a terminal, or standard input.

use std::io;

use zeroize::Zeroizing;

use super::report;
use super::shown::shown;
use super::terminal::{read_hidden, read_line};
use crate::client::Person;
use crate::domain::{Level, Message, Prompt, PromptStyle};

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
            (Self::Lines, _) => read_line(),
            (Self::Terminal, PromptStyle::Secret) => read_hidden(&text),
            (Self::Terminal, PromptStyle::Echo) => {
                report::ask(text.trim_end());
                read_line()
            }
            (Self::Terminal, PromptStyle::Radio) => {
                report::ask(format_args!("{} (yes/no)", text.trim_end()));
                Ok(read_line()?.map(spelled_out))
            }
        }
    }

    /// Shows what needs no answer.
    pub(super) fn tell(self, messages: &[Message]) {
        if self == Self::Terminal {
            for message in messages {
                let level = if message.level == Level::Error { "error: " } else { "" };
                report::complain(format_args!("{level}{}", shown(&message.text)));
            }
        }
    }
}

impl Person for Answers {
    fn tell(&mut self, messages: &[Message]) {
        Self::tell(*self, messages);
    }

    fn answer(&mut self, prompt: &Prompt) -> io::Result<Option<Zeroizing<String>>> {
        self.take(prompt)
    }
}

/// What modules understand of what people type.
fn spelled_out(typed: Zeroizing<String>) -> Zeroizing<String> {
    match typed.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Zeroizing::new("yes".to_owned()),
        "n" | "no" => Zeroizing::new("no".to_owned()),
        _ => typed,
    }
}
