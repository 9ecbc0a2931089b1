//! How what a PAM module says and asks is put on a page.

use crate::domain::{Asked, Level, Message, Prompt, PromptStyle, is_unsafe};

/// Longest label shown, in characters. Real prompts are shorter than a line.
const MAX_LABEL: usize = 200;
/// Longest message shown, in characters. Room for the enrolment QR codes some modules draw with text.
const MAX_MESSAGE: usize = 4000;

/// How the answer to a prompt is typed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PromptKind {
    /// Visible while typing.
    Echo,
    /// Yes or no; the field's value is `yes` or `no`.
    Radio,
    /// Hidden while typing.
    Secret,
}

/// One field of the form that goes on with a login.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PromptView {
    /// The form field's name, unique on the page: `answer0`, `answer1`, …
    pub name: String,
    /// What the user is asked, without the trailing colon.
    pub label: String,
    /// How the answer is typed.
    pub kind: PromptKind,
    /// What a password manager may fill in: a token of the `autocomplete` attribute (HTML standard).
    pub autocomplete: &'static str,
    /// Whether the cursor starts here; true for one prompt at most.
    pub autofocus: bool,
}

impl PromptView {
    /// The fields for these prompts, in their order, named `answer0`, `answer1`, …; the first has the cursor.
    #[must_use]
    pub fn list(prompts: &[Prompt]) -> Vec<Self> {
        prompts.iter().enumerate().map(|(index, prompt)| Self::new(index, prompt)).collect()
    }

    fn new(index: usize, prompt: &Prompt) -> Self {
        let kind = match prompt.style {
            PromptStyle::Echo => PromptKind::Echo,
            PromptStyle::Radio => PromptKind::Radio,
            PromptStyle::Secret => PromptKind::Secret,
        };
        let label = label(&prompt.text);
        let autocomplete = autocomplete(&label);
        Self { name: format!("answer{index}"), label, kind, autocomplete, autofocus: index == 0 }
    }
}

/// A text of the login that needs no answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MessageView {
    /// How it is meant.
    pub level: Level,
    /// What it says; line breaks are kept.
    pub text: String,
}

impl MessageView {
    /// Whether it is announced as an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.level == Level::Error
    }
}

impl From<&Message> for MessageView {
    fn from(message: &Message) -> Self {
        let text: String =
            message.text.chars().filter(|c| *c == '\n' || is_shown(*c)).take(MAX_MESSAGE).collect();
        Self { level: message.level, text: text.trim_matches('\n').trim_end().to_owned() }
    }
}

/// One line, without the colon that terminals need and forms do not. A prompt without words still gets a label.
fn label(text: &str) -> String {
    let spaced = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c });
    let line: String = spaced.filter(|c| is_shown(*c)).take(MAX_LABEL).collect();
    let words = line.trim().trim_end_matches([':', ' ']);
    if words.is_empty() { "Your answer".to_owned() } else { words.to_owned() }
}

/// Control characters mean nothing on a page, and those that turn the direction of writing could make a module's text
/// read as ours.
fn is_shown(c: char) -> bool {
    !is_unsafe(c)
}

/// PAM says only how an answer is typed, so what is asked for has to be guessed from the words. A wrong guess costs a
/// wrong suggestion by the password manager, nothing else.
fn autocomplete(label: &str) -> &'static str {
    let label = label.to_lowercase();
    let words: Vec<&str> =
        label.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let has = |some: &[&str]| words.iter().any(|word| some.contains(word));
    let asked = Asked::by(&label);
    let password = asked == Asked::Password || label.contains("passw") || label.contains("passphrase");
    if asked == Asked::Code {
        "one-time-code"
    } else if password && has(&["new", "retype", "repeat", "confirm", "again"]) {
        "new-password"
    } else if password {
        "current-password"
    } else if has(&["login", "user", "username"]) {
        "username"
    } else {
        "off"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(text: &str) -> Prompt {
        Prompt { style: PromptStyle::Secret, text: text.to_owned() }
    }

    #[test]
    fn the_colon_of_the_terminal_is_dropped() {
        for (text, shown) in [
            ("Password: ", "Password"),
            ("Verification code:", "Verification code"),
            ("Retype new password :  ", "Retype new password"),
            ("Ratio 1:2?", "Ratio 1:2?"),
            ("\r\n Login for\tbob: ", "Login for bob"),
            ("", "Your answer"),
            (" : ", "Your answer"),
            ("\u{1b}\u{0}", "Your answer"),
        ] {
            assert_eq!(label(text), shown, "{text:?}");
        }
    }

    #[test]
    fn password_managers_are_told_what_is_asked_for() {
        for (text, token) in [
            ("Password", "current-password"),
            ("LDAP Password", "current-password"),
            ("Current password", "current-password"),
            ("(current) UNIX password", "current-password"),
            ("Renewal password", "current-password"),
            ("New password", "new-password"),
            ("Retype new UNIX password", "new-password"),
            ("Enter new passphrase", "new-password"),
            ("Verification code", "one-time-code"),
            ("One-time password (OATH) for `bob'", "one-time-code"),
            ("OTP", "one-time-code"),
            ("Passcode or option (1-2)", "one-time-code"),
            ("PIN", "one-time-code"),
            ("Login", "username"),
            ("Name of your first pet", "off"),
            ("Spinning wheel", "off"),
        ] {
            assert_eq!(autocomplete(text), token, "{text:?}");
        }
    }

    #[test]
    fn prompts_are_numbered_and_the_first_has_the_cursor() {
        let fields = PromptView::list(&[prompt("New password: "), prompt("Retype new password: ")]);
        let names: Vec<_> = fields.iter().map(|field| (field.name.as_str(), field.autofocus)).collect();
        assert_eq!(names, [("answer0", true), ("answer1", false)]);
    }

    #[test]
    fn a7_what_pam_says_is_bounded_and_freed_of_control_characters() {
        let noise = "\u{1b}[31mred\r\nnext\u{0}\u{202e}line\u{7}\n\n".to_owned();
        let message = MessageView::from(&Message { level: Level::Info, text: noise.clone() });
        assert_eq!(message.text, "[31mred\nnextline");
        assert_eq!(label(&noise), "[31mred  nextline");
        let long = "x".repeat(1 << 20);
        assert_eq!(label(&long).len(), MAX_LABEL);
        assert_eq!(MessageView::from(&Message { level: Level::Error, text: long }).text.len(), MAX_MESSAGE);
    }
}
