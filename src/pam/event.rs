//! What a conversation with the PAM stack can say, and how frames become that. Pure.

use std::time::Duration;

use super::code::PamCode;
use super::frames::{Done, Note, Phase, Style, Tone};
use crate::domain::{Level, Message, Prompt, PromptStyle, Username};

/// What the stack says next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PamEvent {
    /// A question. Go on with [`super::PamConversation::answer`].
    Ask {
        /// The question.
        prompt: Prompt,
        /// Texts to show above it.
        before: Vec<Message>,
    },
    /// Too many logins at once; nothing was tried.
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// Who it is. The only success.
    Done(PamSuccess),
    /// The password is right but has expired. Go on with [`super::PamConversation::change_expired`], or drop the
    /// conversation.
    NeedChange {
        /// Why.
        messages: Vec<Message>,
    },
    /// No.
    Refused {
        /// Where the transaction failed; never [`Phase::Ok`].
        phase: Phase,
        /// Why; for the log, not for the person (it tells unknown users from wrong passwords).
        code: PamCode,
        /// Of [`super::Mode::AccountOnly`]: the user's id, if the name service knows the user.
        uid: Option<u32>,
        /// The name that PAM came to, if it is not the one that was typed.
        user: Option<Username>,
        /// Delay that modules asked for. Nobody has slept it: answer no earlier than this after the request.
        delay: Duration,
        /// What modules said. Show only what [`PamEvent::public_messages`] gives.
        messages: Vec<Message>,
    },
    /// The stack did not do its work: "try later", and look into the broker's log.
    Unavailable(Outage),
}

/// Why the stack gave no verdict. Some stacks report every refusal in this way (`pam_exec` returns `SYSTEM_ERR`), so
/// whoever counts guesses must count these too.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outage {
    /// For the log.
    pub reason: String,
    /// Where the stack failed and with which code; absent if the broker or its child gave no result at all.
    pub code: Option<(Phase, PamCode)>,
    /// The name that PAM came to, if it is not the one that was typed.
    pub user: Option<Username>,
    /// Delay that modules asked for.
    pub delay: Duration,
}

/// A person whom the PAM stack let in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PamSuccess {
    /// `PAM_USER` after the account phase; modules may have mapped the name that was typed.
    pub user: Username,
    /// The user's id; absent when the name service does not know the user (a stack without Unix accounts).
    pub uid: Option<u32>,
    /// The user's primary group; absent as `uid` is.
    pub gid: Option<u32>,
    /// Names of all groups of the user, the primary one included; a number where a group has no name.
    pub groups: Vec<String>,
    /// Texts to show, for example a warning that the password will expire.
    pub messages: Vec<Message>,
    /// Environment set by modules, as far as the broker lets it through.
    pub env: Vec<(String, String)>,
}

impl PamEvent {
    pub(super) fn unavailable(reason: &impl ToString) -> Self {
        Self::Unavailable(Outage { reason: reason.to_string(), ..Outage::default() })
    }

    /// The texts that the person at the door may see.
    ///
    /// What a module says while it refuses a password ("account is locked", "no such user") tells a stranger which
    /// accounts exist; it is withheld. After authentication, the person is known and may learn why it still is no.
    #[must_use]
    pub fn public_messages(&self) -> &[Message] {
        match self {
            Self::Ask { before: messages, .. }
            | Self::NeedChange { messages }
            | Self::Done(PamSuccess { messages, .. })
            | Self::Refused { phase: Phase::Acct | Phase::Chauthtok, messages, .. } => messages,
            Self::Busy { .. } | Self::Refused { .. } | Self::Unavailable(_) => &[],
        }
    }

    /// The meaning of the last frame. `groups` came in the frames before it.
    pub(super) fn of_done(done: Done, groups: Vec<String>) -> Self {
        let (code, delay) = (PamCode(done.code), Duration::from_micros(u64::from(done.delay_us)));
        if (done.phase == Phase::Ok) != (code == PamCode::SUCCESS) {
            return Self::unavailable(&format_args!("{code} in phase {:?} contradicts itself", done.phase));
        }
        if done.phase == Phase::Ok {
            return Self::success(done, groups);
        }
        let user = done.user.as_deref().and_then(|user| Username::parse(user).ok());
        // ABORT of chauthtok is how pam_unix reports two new passwords that differ.
        if code.is_outage() || (code == PamCode::ABORT && done.phase != Phase::Chauthtok) {
            let reason = format!("PAM returned {code} in phase {:?}", done.phase);
            return Self::Unavailable(Outage { reason, code: Some((done.phase, code)), user, delay });
        }
        Self::Refused {
            phase: done.phase,
            code,
            uid: done.uid,
            user,
            delay,
            messages: messages(done.messages),
        }
    }

    fn success(done: Done, groups: Vec<String>) -> Self {
        match Username::parse(done.user.as_deref().unwrap_or_default()) {
            Ok(user) => Self::Done(PamSuccess {
                user,
                uid: done.uid,
                gid: done.gid,
                groups,
                messages: messages(done.messages),
                env: done.env,
            }),
            Err(error) => {
                Self::unavailable(&format_args!("PAM let in a user without a usable name: {error}"))
            }
        }
    }
}

/// A question in the words of the domain.
pub(super) fn prompt(style: Style, text: String) -> Prompt {
    let style = match style {
        Style::Echo => PromptStyle::Echo,
        Style::Radio => PromptStyle::Radio,
        Style::Secret => PromptStyle::Secret,
    };
    Prompt { style, text }
}

/// Texts in the words of the domain.
pub(super) fn messages(notes: Vec<Note>) -> Vec<Message> {
    let level = |tone| match tone {
        Tone::Error => Level::Error,
        Tone::Info => Level::Info,
    };
    notes.into_iter().map(|note| Message { level: level(note.tone), text: note.text }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::frames::{Done, Note, Phase, Tone};
    use super::PamEvent;

    fn done(phase: Phase, code: i32, user: Option<&str>) -> PamEvent {
        let frame = Done {
            phase,
            code,
            delay_us: 2_000_000,
            messages: vec![Note { tone: Tone::Error, text: "because".into() }],
            user: user.map(str::to_owned),
            uid: Some(1000),
            gid: Some(1000),
            env: Vec::new(),
        };
        PamEvent::of_done(frame, vec!["staff".into()])
    }

    #[test]
    fn only_phase_ok_with_code_0_and_a_name_is_success() {
        assert!(matches!(done(Phase::Ok, 0, Some("bob")), PamEvent::Done(who) if who.groups == ["staff"]));
        for (phase, code, user) in [
            (Phase::Ok, 7, Some("bob")),
            (Phase::Acct, 0, Some("bob")),
            (Phase::Ok, 0, None),
            (Phase::Ok, 0, Some("")),
            (Phase::Ok, 0, Some("../x")),
        ] {
            assert!(matches!(done(phase, code, user), PamEvent::Unavailable(_)), "{phase:?} {code} {user:?}");
        }
    }

    #[test]
    fn a_dead_directory_is_unavailable_and_a_wrong_password_refused() {
        assert!(matches!(done(Phase::Auth, 9, None), PamEvent::Unavailable(_)));
        assert!(matches!(done(Phase::Auth, 28, None), PamEvent::Unavailable(_)));
        assert!(matches!(done(Phase::Acct, 26, None), PamEvent::Unavailable(_)));
        assert!(matches!(done(Phase::Chauthtok, 26, None), PamEvent::Refused { .. }));
        assert!(
            matches!(done(Phase::Auth, 7, None), PamEvent::Refused { delay, .. } if delay.as_secs() == 2)
        );
    }

    #[test]
    fn a11_texts_of_a_failed_authentication_are_withheld() {
        assert!(done(Phase::Auth, 7, None).public_messages().is_empty());
        assert_eq!(done(Phase::Acct, 13, None).public_messages().len(), 1);
        assert_eq!(done(Phase::Chauthtok, 20, None).public_messages().len(), 1);
    }
}
