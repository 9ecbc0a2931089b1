//! One question to PAM about one person, and what its answer means.

use std::net::IpAddr;

use aws_lc_rs::rand;

use super::account::Answer;
use crate::domain::{Message, Username};
use crate::pam::{Mode, PamClient, PamCode, PamEvent, PamRequest, Phase};

/// Most characters of what modules said that go into the log.
const MOST_SAID: usize = 200;

/// Asks the account stage, which must answer without a question.
pub(super) async fn check(client: &PamClient, user: &Username, rhost: IpAddr) -> Answer {
    let mut trace = [0; 16];
    // Only a label: zeros do no harm.
    let _ = rand::fill(&mut trace);
    let request = PamRequest { user: Some(user.clone()), rhost, trace, mode: Mode::AccountOnly };
    match client.start(request).await {
        Ok(mut transaction) => meaning(transaction.next().await, user),
        Err(error) => Answer::Unavailable(error.to_string()),
    }
}

fn meaning(event: PamEvent, user: &Username) -> Answer {
    match event {
        PamEvent::Done(who) if who.user == *user => Answer::Good { groups: who.groups.into(), uid: who.uid },
        // The credential belongs to the name that the login ended with. A stack that makes another of it vouches for
        // that other one (behaviour A9).
        PamEvent::Done(who) => Answer::Refused {
            why: format!("the account stage turns the name into {}", who.user),
            is_unknown: false,
            has_no_entry: false,
        },
        PamEvent::Refused { phase, code, uid, messages, .. } => Answer::Refused {
            why: why(phase, code, &messages),
            is_unknown: code == PamCode::USER_UNKNOWN,
            has_no_entry: phase == Phase::Acct && uid.is_none(),
        },
        PamEvent::Ask { .. } | PamEvent::NeedChange { .. } => Answer::Unavailable(
            "the account stage asks a question, which nobody can answer here; \
             give it a service of its own with --pam-account-service"
                .to_owned(),
        ),
        PamEvent::Unavailable(outage) => Answer::Unavailable(outage.reason),
        PamEvent::Busy { .. } => {
            Answer::Unavailable("the PAM broker has no place free for checks".to_owned())
        }
    }
}

/// Phase and code, and what the modules said about it, as one bounded line.
fn why(phase: Phase, code: PamCode, messages: &[Message]) -> String {
    let said: Vec<&str> = messages.iter().flat_map(|message| message.text.split_whitespace()).collect();
    let said: String = said.join(" ").chars().take(MOST_SAID).collect();
    if said.is_empty() { format!("{phase:?} {code}") } else { format!("{phase:?} {code}: {said}") }
}

/// A number from 0 to 1, so that not all checks fall on one moment.
pub(super) fn spread() -> f64 {
    let mut byte = [0_u8; 1];
    if rand::fill(&mut byte).is_ok() { f64::from(byte[0]) / 255.0 } else { 0.5 }
}

#[cfg(test)]
mod tests {
    use crate::domain::{Level, Message, Username};
    use crate::pam::{Outage, PamCode, PamEvent, PamSuccess, Phase};

    use super::super::account::Answer;
    use super::{meaning, why};

    fn done(name: &str) -> PamEvent {
        PamEvent::Done(PamSuccess {
            user: Username::parse(name).unwrap(),
            uid: Some(1000),
            gid: Some(1000),
            groups: vec!["ops".to_owned()],
            messages: Vec::new(),
            env: Vec::new(),
        })
    }

    fn refused(phase: Phase, code: i32, uid: Option<u32>) -> PamEvent {
        let code = PamCode(code);
        PamEvent::Refused {
            phase,
            code,
            uid,
            user: None,
            delay: std::time::Duration::ZERO,
            messages: Vec::new(),
        }
    }

    #[test]
    fn a9_only_the_credentials_own_name_is_vouched_for() {
        let bob = Username::parse("bob").unwrap();
        assert!(matches!(meaning(done("bob"), &bob), Answer::Good { uid: Some(1000), .. }));
        for other in ["root", "Bob"] {
            assert!(matches!(meaning(done(other), &bob), Answer::Refused { .. }), "{other}");
        }
    }

    #[test]
    fn k3_who_is_gone_is_told_from_who_is_shut_out() {
        let bob = Username::parse("bob").unwrap();
        for (event, unknown, no_entry) in [
            (refused(Phase::Acct, 13, Some(1)), false, false),
            (refused(Phase::Acct, 7, None), false, true),
            (refused(Phase::Acct, 10, None), true, true),
            (refused(Phase::Start, 6, None), false, false),
        ] {
            let Answer::Refused { is_unknown, has_no_entry, .. } = meaning(event, &bob) else { panic!() };
            assert_eq!((is_unknown, has_no_entry), (unknown, no_entry));
        }
    }

    #[test]
    fn what_cannot_be_found_out_is_no_refusal() {
        let bob = Username::parse("bob").unwrap();
        for event in [
            PamEvent::Unavailable(Outage::default()),
            PamEvent::Busy { retry_after: std::time::Duration::ZERO },
            PamEvent::NeedChange { messages: Vec::new() },
        ] {
            assert!(matches!(meaning(event, &bob), Answer::Unavailable(_)));
        }
    }

    #[test]
    fn l1_what_modules_say_is_one_bounded_line() {
        let text = format!("a\n{{\"user\":\"forged\"}} {}", "x ".repeat(500));
        let said = why(Phase::Acct, PamCode(13), &[Message { level: Level::Error, text }]);
        assert!(
            said.starts_with("Acct ACCT_EXPIRED: a {") && !said.contains('\n') && said.len() < 250,
            "{said}"
        );
    }
}
