//! Can an auth stage come to success without anybody having proven who they are?
//!
//! The stage is walked as `_pam_dispatch_aux` of libpam walks it, with every verdict that its modules can give to somebody
//! who knows no secret: modules that ask for one never succeed, all others may say what they like. Pure.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;

use super::control::{Action, Verdict};
use super::{Entry, Stack, Stage, Step, What};

/// Stages that need more are not judged, and so not believed.
const MOST_STATES: usize = 100_000;
const MOST_STEPS: usize = 1_000;

/// Modules that can say yes though nobody proved anything: they look at who asks, from where and when, set something up,
/// or keep what was typed for later. Modules that are not named are taken to ask for a proof.
const ASK_FOR_NO_PROOF: [&str; 63] = [
    "pam_abl.so",
    "pam_access.so",
    "pam_afs_session.so",
    "pam_alreadyloggedin.so",
    "pam_apparmor.so",
    "pam_canonicalize_user.so",
    "pam_cap.so",
    "pam_cgfs.so",
    "pam_cgroup.so",
    "pam_chroot.so",
    "pam_ck_connector.so",
    "pam_debug.so",
    "pam_echo.so",
    "pam_ecryptfs.so",
    "pam_elogind.so",
    "pam_env.so",
    "pam_faildelay.so",
    "pam_faillock.so",
    "pam_filter.so",
    "pam_fscrypt.so",
    "pam_ftp.so",
    "pam_geoip.so",
    "pam_gnome_keyring.so",
    "pam_group.so",
    "pam_issue.so",
    "pam_keyinit.so",
    "pam_kwallet.so",
    "pam_kwallet5.so",
    "pam_lastlog.so",
    "pam_lastlog2.so",
    "pam_limits.so",
    "pam_listfile.so",
    "pam_localuser.so",
    "pam_loginuid.so",
    "pam_mail.so",
    "pam_malcontent.so",
    "pam_mkhomedir.so",
    "pam_mklocaluser.so",
    "pam_motd.so",
    "pam_mount.so",
    "pam_namespace.so",
    "pam_nologin.so",
    "pam_rhosts.so",
    "pam_rhosts_auth.so",
    "pam_rootok.so",
    "pam_securetty.so",
    "pam_selinux.so",
    "pam_sepermit.so",
    "pam_shells.so",
    "pam_shield.so",
    "pam_stress.so",
    "pam_succeed_if.so",
    "pam_systemd.so",
    "pam_tally.so",
    "pam_tally2.so",
    "pam_time.so",
    "pam_timestamp.so",
    "pam_tmpdir.so",
    "pam_tty_audit.so",
    "pam_umask.so",
    "pam_usertype.so",
    "pam_warn.so",
    "pam_xauth.so",
];

/// Arguments by which a module that asks for a proof leaves some users alone, or all while its server does not answer.
const LEAVE_ALONE: [&str; 5] =
    ["ignore_authinfo_unavail", "ignore_unknown_user", "localifdown", "nouserok", "nullok"];

/// What somebody who knows no secret can hear from a module.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// A refusal: it asks for a proof, or lets nobody in.
    Refusal,
    /// A refusal, or that it has nothing to do with this user.
    Failure,
    /// Nothing but success.
    Success,
    /// Anything.
    Anything,
}

/// Lines by which the auth stage lets somebody in who proved nothing. Where it takes several of them together, all are
/// named; a stage that cannot be judged names its first line.
#[must_use]
pub fn lines_without_proof(stack: &Stack) -> Vec<&Entry> {
    let steps: Vec<&Step> = stack.steps.iter().filter(|step| step.stage == Stage::Auth).collect();
    let entries = || stack.of(Stage::Auth);
    if stack.is_cut || steps.len() > MOST_STEPS {
        return entries().take(1).collect();
    }
    let steps: Vec<Line<'_>> = steps.into_iter().map(|step| Line::of(step, stack)).collect();
    if !Walk::new(&steps, |_| true).succeeds() {
        return Vec::new();
    }
    let unproven = || steps.iter().filter(|line| line.asks_for_nothing());
    // A line to which nothing but its own jump or end is needed. All others then go on to the line behind them.
    let mut decisive: Vec<&Entry> = Vec::new();
    if !Walk::new(&steps, |_| false).succeeds() {
        for (number, line) in steps.iter().enumerate() {
            let alone = line.asks_for_nothing() && Walk::new(&steps, |other| other == number).succeeds();
            decisive.extend(line.entry.filter(|_| alone));
        }
    }
    if decisive.is_empty() {
        decisive.extend(unproven().filter_map(|line| line.entry));
    }
    decisive
}

/// The same for a service, as `FILE:LINE (line)`. Without auth lines of its own, libpam takes those of `other`.
///
/// # Errors
/// As [`Stack::read`].
pub fn places_without_proof(service: &str, folders: &[PathBuf]) -> io::Result<Vec<String>> {
    let mut stack = Stack::read(service, folders)?;
    if !stack.has(Stage::Auth) {
        stack = Stack::read("other", folders).unwrap_or_default();
    }
    let shown = |entry: &Entry| format!("{} (auth {} {})", entry.place, entry.control, entry.module);
    Ok(lines_without_proof(&stack).into_iter().map(shown).collect())
}

fn kind(entry: &Entry) -> Kind {
    let has = |argument: &str| entry.arguments.iter().any(|given| given == argument);
    match entry.name() {
        "pam_permit.so" => Kind::Success,
        "pam_wheel.so" if has("trust") => Kind::Anything,
        // Without `trust` it says "ignore" at best.
        "pam_wheel.so" => Kind::Failure,
        // The broker lets libpam take no empty password, whatever the line says.
        "pam_unix.so" => Kind::Refusal,
        // A helper that is not given what was typed cannot look at it.
        "pam_exec.so" if !has("expose_authtok") => Kind::Anything,
        "pam_u2f.so" if has("nouserok") => Kind::Anything,
        "pam_yubico.so" if has("nullok") => Kind::Anything,
        "pam_ccreds.so" if entry.argument("action").is_some_and(|action| action != "validate") => {
            Kind::Anything
        }
        name if ASK_FOR_NO_PROOF.contains(&name) => Kind::Anything,
        _ if LEAVE_ALONE.iter().any(|argument| has(argument)) => Kind::Failure,
        _ => Kind::Refusal,
    }
}

/// One line, and what can become of it.
struct Line<'a> {
    entry: Option<&'a Entry>,
    level: usize,
    is_substack: bool,
    kind: Kind,
    outcomes: Vec<(Action, Verdict)>,
}

impl<'a> Line<'a> {
    fn of(step: &Step, stack: &'a Stack) -> Self {
        let entry = match step.what {
            What::Module(number) => stack.entries.get(number),
            What::Substack | What::Nothing => None,
        };
        let kind = entry.map_or(Kind::Refusal, kind);
        let outcomes = match (entry, kind) {
            (None, _) => step.control.of_no_module(),
            (Some(_), Kind::Refusal) => step.control.of_refusals(),
            (Some(_), Kind::Failure) => step.control.of_failures(),
            (Some(_), Kind::Success) => step.control.of_success(),
            (Some(_), Kind::Anything) => step.control.of_anything(),
        };
        Self { entry, level: step.level, is_substack: step.what == What::Substack, kind, outcomes }
    }
}

impl Line<'_> {
    /// Whether it can say yes though nobody proved anything.
    fn asks_for_nothing(&self) -> bool {
        matches!(self.kind, Kind::Success | Kind::Anything)
    }
}

/// libpam's `impression`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Impression {
    Undefined,
    Positive,
    Negative,
}

/// What the stack has come to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct State {
    impression: Impression,
    /// libpam's `status`, as far as it matters.
    status: Verdict,
}

/// Where the walk is: the next line, the level of the last one, and the states at which substacks began.
type Position = (usize, usize, State, Vec<State>);

struct Walk<'a, F> {
    lines: &'a [Line<'a>],
    /// Whether a line that asks for no proof may end the stack or jump.
    is_free: F,
    seen: HashSet<Position>,
    open: Vec<Position>,
}

impl<'a, F: Fn(usize) -> bool> Walk<'a, F> {
    fn new(lines: &'a [Line<'a>], is_free: F) -> Self {
        let state = State { impression: Impression::Undefined, status: Verdict::Failure };
        Self { lines, is_free, seen: HashSet::new(), open: vec![(0, 0, state, vec![state])] }
    }

    /// Whether any way through the stack ends in success. One that is too long to be followed counts as one.
    fn succeeds(mut self) -> bool {
        while let Some(position) = self.open.pop() {
            if self.seen.len() > MOST_STATES {
                return true;
            }
            if !self.seen.insert(position.clone()) {
                continue;
            }
            let (at, last_level, state, saved) = position;
            let Some(line) = self.lines.get(at) else {
                if state == (State { impression: Impression::Positive, status: Verdict::Success }) {
                    return true;
                }
                continue;
            };
            self.step(at, line, last_level, state, saved);
        }
        false
    }

    fn step(
        &mut self,
        at: usize,
        line: &'a Line<'a>,
        last_level: usize,
        state: State,
        mut saved: Vec<State>,
    ) {
        if last_level < line.level {
            saved.resize(line.level + 1, state);
            if let Some(slot) = saved.get_mut(line.level) {
                *slot = state;
            }
        }
        if line.is_substack {
            return self.open.push((at + 1, line.level, state, saved));
        }
        let begun = saved.get(line.level).copied().unwrap_or(state);
        for (action, verdict) in &line.outcomes {
            let (mut action, verdict) = (*action, *verdict);
            if line.asks_for_nothing() && !(self.is_free)(at) {
                action = match action {
                    Action::Done => Action::Ok,
                    Action::Jump(_) => Action::Ignore,
                    other => other,
                };
            }
            for (next, state) in self.after(at, line.level, action, verdict, state, begun) {
                self.open.push((next, line.level, state, saved.clone()));
            }
        }
    }

    /// The next line and state; more than one where versions of libpam differ.
    fn after(
        &self,
        at: usize,
        level: usize,
        action: Action,
        verdict: Verdict,
        state: State,
        begun: State,
    ) -> Vec<(usize, State)> {
        let failed = State { impression: Impression::Negative, status: Verdict::Failure };
        match action {
            Action::Ignore => vec![(at + 1, state)],
            Action::Reset => vec![(at + 1, begun)],
            Action::Bad => vec![(at + 1, failed)],
            Action::Die => vec![(self.end_of(at, level), failed)],
            Action::Ok | Action::Done => {
                let after = |state: State| {
                    let ends = action == Action::Done && state.impression == Impression::Positive;
                    (if ends { self.end_of(at, level) } else { at + 1 }, state)
                };
                counted(state, verdict).into_iter().map(after).collect()
            }
            Action::Jump(lines) => match self.jump(at, level, lines) {
                Some(next) => vec![(next, state)],
                None => vec![(self.lines.len(), failed)],
            },
        }
    }

    /// The line behind the substack, or behind everything.
    fn end_of(&self, at: usize, level: usize) -> usize {
        let rest = self.lines.iter().enumerate().skip(at + 1);
        rest.filter(|(_, line)| line.level < level).map(|(at, _)| at).next().unwrap_or(self.lines.len())
    }

    /// A substack counts as one line. `None` for a jump beyond the end, which fails.
    fn jump(&self, at: usize, level: usize, lines: usize) -> Option<usize> {
        let is_at_least =
            |at: usize, level: usize| self.lines.get(at).is_some_and(|line| line.level >= level);
        let mut at = at;
        let mut left = lines;
        while left > 0 && is_at_least(at + 1, level) {
            at += 1;
            while is_at_least(at + 1, level + 1) {
                at += 1;
            }
            left -= 1;
        }
        (left == 0).then_some(at + 1)
    }
}

/// `ok` and `done`: the verdict counts unless one counts already that is no success. Since 1.6 a failure that is said to be
/// ok keeps a later success from counting; before, it did not.
fn counted(state: State, verdict: Verdict) -> Vec<State> {
    let positive = State { impression: Impression::Positive, status: verdict };
    match (state.impression, state.status, verdict) {
        (Impression::Undefined, _, Verdict::Failure) => {
            vec![positive, State { impression: Impression::Undefined, status: verdict }]
        }
        (Impression::Undefined, _, Verdict::Success) | (Impression::Positive, Verdict::Success, _) => {
            vec![positive]
        }
        _ => vec![state],
    }
}

#[cfg(test)]
mod tests;
