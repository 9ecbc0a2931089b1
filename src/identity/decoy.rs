//! A question for those whom the stack refuses before it asks anything.
//!
//! `auth requisite pam_faillock.so preauth` turns a locked account away at once, and asks everybody else for a
//! password. Passed on as it is, that would tell a stranger which accounts exist. So whoever is turned away is asked
//! what everybody else is asked first, and refused whatever the answer.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::authenticator::{Dialogue, Step};
use crate::domain::{Asked, Prompt, PromptStyle, Username};

/// Stands for the user's name in what was learned. Texts of modules hold no control characters.
const NAME: &str = "\u{1}";

/// What the stack asks first, as far as it has been heard to ask since the start.
pub(super) struct FirstQuestion(Mutex<Learned>);

struct Learned {
    /// With [`NAME`] in the place of the name.
    prompt: Prompt,
    /// Its answer may be the password. Known also of a question that stands for one person only.
    takes_password: bool,
}

impl Default for FirstQuestion {
    /// What nearly every stack asks first.
    fn default() -> Self {
        let prompt = Prompt { style: PromptStyle::Secret, text: "Password: ".to_owned() };
        Self(Mutex::new(Learned { prompt, takes_password: true }))
    }
}

impl FirstQuestion {
    /// Whether a password can answer it, as far as is known. If not, no page must ask for one before the stack does.
    pub(super) fn takes_password(&self) -> bool {
        self.lock().takes_password
    }

    /// Learns from the first step of a login, or hides that it was a refusal.
    pub(super) fn cover(
        &self,
        user: &Username,
        dialogue: Option<Dialogue>,
        step: Step,
    ) -> (Option<Dialogue>, Step) {
        let mut first = self.lock();
        match step {
            Step::Ask(prompt, messages) => {
                first.takes_password =
                    prompt.style == PromptStyle::Secret && Asked::by(&prompt.text) != Asked::Code;
                if let Some(text) = without_name(&prompt.text, user) {
                    first.prompt = Prompt { style: prompt.style, text };
                }
                (dialogue, Step::Ask(prompt, messages))
            }
            Step::Refused { proven: false, .. } => {
                let text = first.prompt.text.replace(NAME, user.as_str());
                let prompt = Prompt { style: first.prompt.style, text };
                (Some(Dialogue::Decoy(Box::new(step))), Step::Ask(prompt, Vec::new()))
            }
            other => (dialogue, other),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Learned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is asked of anybody. One person must not be asked with another's name: where it stands in the text other than
/// quoted (``for `bob'``, as pam_oath asks), nothing is learned.
fn without_name(text: &str, user: &Username) -> Option<String> {
    let text = text.replace(&format!("`{user}'"), &format!("`{NAME}'"));
    (!text.contains(user.as_str())).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Dialogue, FirstQuestion, Step};
    use crate::domain::{Prompt, PromptStyle, Username};

    fn refused(proven: bool) -> Step {
        Step::Refused {
            delay: Duration::ZERO,
            why: "Auth AUTH_ERR".to_owned(),
            messages: Vec::new(),
            user: None,
            proven,
        }
    }

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn ask(first: &FirstQuestion, name: &str, text: &str) {
        let prompt = Prompt { style: PromptStyle::Secret, text: text.to_owned() };
        first.cover(&user(name), None, Step::Ask(prompt, Vec::new()));
    }

    fn decoy(first: &FirstQuestion, name: &str) -> (Option<Dialogue>, String) {
        match first.cover(&user(name), None, refused(false)) {
            (dialogue, Step::Ask(prompt, _)) => (dialogue, prompt.text),
            other => panic!("not asked: {:?}", other.1),
        }
    }

    #[tokio::test]
    async fn a11_whoever_is_turned_away_at_once_is_asked_what_everybody_is_asked() {
        let first = FirstQuestion::default();
        assert_eq!(decoy(&first, "eve").1, "Password: ");
        ask(&first, "bob", "Code: ");
        let (dialogue, text) = decoy(&first, "eve");
        assert_eq!(text, "Code: ");
        let Some(mut dialogue @ Dialogue::Decoy(_)) = dialogue else { panic!("no decoy") };
        let step = dialogue.answer("anything").await;
        assert!(matches!(step, Step::Refused { why, .. } if why == "Auth AUTH_ERR"));
    }

    #[test]
    fn a11_nobody_is_asked_with_somebody_elses_name() {
        let first = FirstQuestion::default();
        ask(&first, "bob", "One-time password (OATH) for `bob': ");
        assert_eq!(decoy(&first, "eve").1, "One-time password (OATH) for `eve': ");
        for (name, text) in [("bob", "bob's password: "), ("bob", "Code for bob: "), ("word", "Password: ")] {
            ask(&first, name, text);
            assert_eq!(decoy(&first, "eve").1, "One-time password (OATH) for `eve': ", "{text}");
        }
    }

    #[test]
    fn w7_what_is_asked_first_is_known_after_one_login_to_be_no_password() {
        let first = FirstQuestion::default();
        assert!(first.takes_password(), "what nearly every stack asks");
        for (text, takes_password) in [
            ("Verification code: ", false),
            ("Password: ", true),
            ("Code for bob: ", false),
            ("Answer: ", true),
        ] {
            ask(&first, "bob", text);
            assert_eq!(first.takes_password(), takes_password, "{text}");
        }
        let badge = Prompt { style: PromptStyle::Echo, text: "Badge: ".to_owned() };
        first.cover(&user("bob"), None, Step::Ask(badge, Vec::new()));
        assert!(!first.takes_password(), "it would be seen while it is typed");
    }

    #[test]
    fn who_needed_no_question_is_told_why_the_account_is_refused() {
        let (_, step) = FirstQuestion::default().cover(&user("bob"), None, refused(true));
        assert!(matches!(step, Step::Refused { .. }));
    }
}
