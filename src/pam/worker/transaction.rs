//! One PAM transaction, from the first frame to the last.

use pam_client::{Context, Flag, Result as PamResult};

use super::account::{self, Account};
use super::code::PamCode;
use super::control::{Hello, Outcome, Report};
use super::conversation::Conversation;
use super::frames::{Done, FromWorker, Mode, Phase, Start, ToWorker, Tone};
use super::link::{Link, Lost};
use super::name_rule::check_name;
use super::sys;

/// Most bytes of group names in one frame.
const GROUPS_BYTES: usize = 8192;
/// Most bytes of one environment variable, and most of all.
const ENV_BYTES: (usize, usize) = (512, 2048);

/// What a child needs to know of the broker's options.
pub(super) struct Rules<'a> {
    pub(super) services: &'a [String],
    pub(super) pass_env: &'a [String],
}

/// Why there is no success.
enum Fault {
    /// The gateway is to be told.
    Failed(Phase, PamCode),
    /// There is nobody to tell.
    Lost,
}

type Handle = Context<Conversation>;

/// Runs one transaction. `Ok(None)`: nobody asked for one.
pub(super) fn run(mut link: Link, rules: &Rules<'_>) -> Result<(), Lost> {
    match link.hear() {
        Err(Lost::Gone) => Ok(()),
        Err(lost) => Err(lost),
        Ok(ToWorker::Ping { .. }) => link.say(&FromWorker::Pong),
        Ok(ToWorker::Start(start)) => transact(link, &start, rules),
        Ok(_) => Err(Lost::Order(super::turn::OutOfOrder)),
    }
}

fn transact(mut link: Link, start: &Start, rules: &Rules<'_>) -> Result<(), Lost> {
    if !is_plausible(start) {
        return Err(Lost::Frame(super::frames::FrameError::Malformed));
    }
    link.permission(&Report::Hello(Hello {
        service: start.service.clone(),
        user: start.user.clone(),
        rhost: start.rhost,
        mode: start.mode,
        deadline_ms: start.deadline_ms,
        trace: start.trace,
    }))?;
    if !rules.services.contains(&start.service) {
        return finish(&mut link, refusal(Phase::Start, PamCode::SERVICE_ERR), Vec::new());
    }
    let conversation = Conversation::new(link, start.user.is_none());
    // Context::new loses the link on failure; the gateway then sees the connection end, which is "unavailable".
    let mut context = Context::new(&start.service, start.user.as_deref(), conversation).map_err(|error| {
        Lost::Io(std::io::Error::other(format!("pam_start: {}", PamCode(error.code().repr()))))
    })?;
    let result = prepare(&mut context, start)
        .map_err(|error| Fault::Failed(Phase::Start, PamCode(error.code().repr())))
        .and_then(|()| stages(&mut context, start.mode))
        .and_then(|()| identify(&mut context, start.mode, rules));
    conclude(&mut context, start, result)
    // Dropping the context runs the modules' clean-up, still under the broker's deadline.
}

/// The broker need not believe what only the gateway should be able to send.
fn is_plausible(start: &Start) -> bool {
    let visible =
        |text: &str| !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic());
    visible(&start.service) && visible(&start.tty) && start.user.as_deref().is_none_or(is_name)
}

/// The gateway's own rule, once more: modules build paths of files from names (the tally of `pam_faillock`), and a module
/// may have changed the name since.
fn is_name(user: &str) -> bool {
    check_name(user).is_ok()
}

fn prepare(context: &mut Handle, start: &Start) -> PamResult<()> {
    sys::report_delays(context)?;
    context.set_rhost(Some(&start.rhost.to_string()))?;
    context.set_tty(Some(&start.tty))
}

/// All calls of a mode, in the only order that means anything: `pam_acct_mgmt` succeeds after a failed
/// `pam_authenticate`, too.
fn stages(context: &mut Handle, mode: Mode) -> Result<(), Fault> {
    let no_empty = Flag::DISALLOW_NULL_AUTHTOK;
    if mode != Mode::AccountOnly {
        stage(context, Phase::Auth, |pam| pam.authenticate(no_empty))?;
        // Before further modules open files by a name that one of these has made.
        named(context).map_err(|code| Fault::Failed(Phase::Auth, code))?;
    }
    match (stage(context, Phase::Acct, |pam| pam.acct_mgmt(no_empty)), mode) {
        (Err(Fault::Failed(_, PamCode::NEW_AUTHTOK_REQD)), Mode::Login) => {
            offer_change(context)?;
            stage(context, Phase::Chauthtok, |pam| pam.chauthtok(Flag::CHANGE_EXPIRED_AUTHTOK))?;
            stage(context, Phase::Acct, |pam| pam.acct_mgmt(no_empty))
        }
        (Ok(()) | Err(Fault::Failed(_, PamCode::NEW_AUTHTOK_REQD)), Mode::ChangePassword) => {
            stage(context, Phase::Chauthtok, |pam| pam.chauthtok(Flag::empty()))
        }
        (result, _) => result,
    }
}

fn stage(
    context: &mut Handle,
    phase: Phase,
    call: impl FnOnce(&mut Handle) -> PamResult<()>,
) -> Result<(), Fault> {
    let result = call(context);
    if context.conversation().lost.is_some() {
        // Even if a module ignored it and succeeded.
        return Err(Fault::Lost);
    }
    result.map_err(|error| Fault::Failed(phase, PamCode(error.code().repr())))
}

fn offer_change(context: &mut Handle) -> Result<(), Fault> {
    let conversation = context.conversation_mut();
    let messages = conversation.notes.take();
    let answer = conversation
        .link
        .say(&FromWorker::NeedChange { messages })
        .and_then(|()| conversation.link.hear_person());
    match answer {
        Ok(ToWorker::ChangeExpired) => Ok(()),
        Ok(_) => {
            conversation.lose(Lost::Cancelled);
            Err(Fault::Lost)
        }
        Err(lost) => {
            conversation.lose(lost);
            Err(Fault::Lost)
        }
    }
}

/// Who it is, now that every module has had its say about `PAM_USER`.
fn identify(context: &mut Handle, mode: Mode, rules: &Rules<'_>) -> Result<(Done, Vec<String>), Fault> {
    let failed = |code| Fault::Failed(Phase::Acct, code);
    let user = named(context).map_err(failed)?;
    refuse_locked(context, &user, mode).map_err(failed)?;
    let account = account::look_up(&user).map_err(failed)?;
    let (uid, gid, groups) = match account {
        Some(Account { uid, gid, groups }) => (Some(uid), Some(gid), groups),
        None => (None, None, Vec::new()),
    };
    let env = environment(context, rules);
    let done = Done { user: Some(user), uid, gid, env, ..refusal(Phase::Ok, PamCode::SUCCESS) };
    Ok((done, groups))
}

/// `PAM_USER` as it is now, if it is a name.
fn named(context: &Handle) -> Result<String, PamCode> {
    context.user().ok().filter(|user| is_name(user)).ok_or(PamCode::SYSTEM_ERR)
}

/// A lock counts for every login, also by a stack that takes passwords from elsewhere: else a login would be undone by the
/// next check of the account alone. Only such a check needs to be able to see it.
fn refuse_locked(context: &mut Handle, user: &str, mode: Mode) -> Result<(), PamCode> {
    match account::check_not_locked(user) {
        Err(PamCode::PERM_DENIED) => {
            context.conversation_mut().notes.push(Tone::Error, b"the password is locked");
            Err(PamCode::PERM_DENIED)
        }
        Err(outage) if mode == Mode::AccountOnly => Err(outage),
        Err(_) | Ok(()) => Ok(()),
    }
}

fn environment(context: &Handle, rules: &Rules<'_>) -> Vec<(String, String)> {
    let (most_of_one, mut left) = ENV_BYTES;
    let list = context.envlist();
    let allowed = rules.pass_env.iter().filter_map(|name| {
        let value = list.get(name.as_str())?.to_str()?;
        let size = name.len() + value.len();
        left = left.checked_sub(size).filter(|_| size <= most_of_one)?;
        Some((name.clone(), value.to_owned()))
    });
    allowed.collect()
}

fn refusal(phase: Phase, code: PamCode) -> Done {
    Done {
        phase,
        code: code.0,
        delay_us: 0,
        messages: Vec::new(),
        user: None,
        uid: None,
        gid: None,
        env: Vec::new(),
    }
}

/// A refusal of the account alone, looked at more closely: a stack that ignores what it does not know and then denies
/// (Debian's common-account) gives one code for a user who is shut out, one who is gone, and a directory that is down.
fn account_refusal(context: &mut Handle, code: PamCode) -> Done {
    let uid = match context.user().map_err(|_| PamCode::SYSTEM_ERR).and_then(|user| account::uid(&user)) {
        Ok(uid) => uid,
        Err(outage) => return refusal(Phase::Acct, outage),
    };
    Done { uid, ..refusal(Phase::Acct, code) }
}

fn conclude(
    context: &mut Handle,
    start: &Start,
    result: Result<(Done, Vec<String>), Fault>,
) -> Result<(), Lost> {
    let mode = start.mode;
    let (mut done, groups) = match result {
        Ok(success) => success,
        Err(Fault::Failed(Phase::Acct, code)) if mode == Mode::AccountOnly && !code.is_outage() => {
            (account_refusal(context, code), Vec::new())
        }
        Err(Fault::Failed(phase, code)) => (refusal(phase, code), Vec::new()),
        Err(Fault::Lost) => return Err(context.conversation_mut().lost.take().unwrap_or(Lost::Gone)),
    };
    if done.phase != Phase::Ok {
        // Modules may have made another name of what was typed: guesses are counted for that one, too.
        done.user = named(context).ok().filter(|user| start.user.as_ref() != Some(user));
    }
    let conversation = context.conversation_mut();
    done.messages = conversation.notes.take();
    if done.phase != Phase::Ok {
        done.delay_us = conversation.delay_us;
    }
    finish(&mut conversation.link, done, groups)
}

/// Tells the broker (for the log) and then the gateway.
fn finish(link: &mut Link, done: Done, groups: Vec<String>) -> Result<(), Lost> {
    let outcome = Outcome { phase: done.phase, code: done.code, user: done.user.clone(), lost: None };
    link.report(&Report::Outcome(outcome))?;
    for names in in_frames(groups) {
        link.say(&FromWorker::Groups { names })?;
    }
    link.say(&FromWorker::Done(done))
}

/// Splits a list of names so that each part fits into a frame.
fn in_frames(names: Vec<String>) -> Vec<Vec<String>> {
    let mut parts: Vec<Vec<String>> = Vec::new();
    let mut room = 0;
    for name in names {
        let size = name.len() + 4;
        match parts.last_mut().filter(|_| size <= room) {
            Some(part) => {
                room -= size;
                part.push(name);
            }
            None => {
                room = GROUPS_BYTES.saturating_sub(size);
                parts.push(vec![name]);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::super::frames::{FromWorker, Mode, Start, VERSION, encode};
    use super::{in_frames, is_plausible};

    #[test]
    fn thousands_of_groups_are_told_in_frames_that_fit() {
        let names: Vec<String> = (0..5000).map(|n| format!("group-with-a-long-name-{n}")).collect();
        let parts = in_frames(names.clone());
        assert_eq!(parts.concat(), names);
        for names in parts {
            assert!(encode(&FromWorker::Groups { names }).is_ok());
        }
        assert!(in_frames(Vec::new()).is_empty());
    }

    #[test]
    fn i20_a_request_that_no_gateway_makes_is_refused() {
        let good = Start {
            v: VERSION,
            service: "doorward".into(),
            user: Some("jürgen".into()),
            rhost: IpAddr::V4(Ipv4Addr::LOCALHOST),
            tty: "https".into(),
            mode: Mode::Login,
            deadline_ms: 1,
            trace: [0; 16],
        };
        assert!(is_plausible(&good));
        assert!(!is_plausible(&Start { user: Some(String::new()), ..good.clone() }));
        assert!(!is_plausible(&Start { user: Some("a\nb".into()), ..good.clone() }));
        assert!(!is_plausible(&Start { user: Some("x".repeat(257)), ..good.clone() }));
        for name in ["../../root", "a/b", "..", "-rf", "bob ", "a\u{202e}b", "a:b", "a\0b", "／etc"] {
            assert!(!is_plausible(&Start { user: Some(name.into()), ..good.clone() }), "{name:?}");
        }
        for name in [r"DOM\bob", "bob@REALM", "svc_1$", "a b", "first.last"] {
            assert!(is_plausible(&Start { user: Some(name.into()), ..good.clone() }), "{name:?}");
        }
        assert!(!is_plausible(&Start { tty: String::new(), ..good.clone() }));
        assert!(!is_plausible(&Start { service: "a b".into(), ..good }));
    }
}
