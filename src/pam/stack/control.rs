//! What becomes of a module's verdict: the second word of a line (pam.d(5); `_pam_parse_control` of libpam). Pure.

/// Return codes by their numbers, as they are written in brackets.
const CODES: [&str; 32] = [
    "success",
    "open_err",
    "symbol_err",
    "service_err",
    "system_err",
    "buf_err",
    "perm_denied",
    "auth_err",
    "cred_insufficient",
    "authinfo_unavail",
    "user_unknown",
    "maxtries",
    "new_authtok_reqd",
    "acct_expired",
    "session_err",
    "cred_unavail",
    "cred_expired",
    "cred_err",
    "no_module_data",
    "conv_err",
    "authtok_err",
    "authtok_recover_err",
    "authtok_lock_busy",
    "authtok_disable_aging",
    "try_again",
    "ignore",
    "abort",
    "authtok_expired",
    "module_unknown",
    "bad_item",
    "conv_again",
    "incomplete",
];
const SUCCESS: usize = 0;
const PERM_DENIED: usize = 6;
const NEW_AUTHTOK_REQD: usize = 12;
const IGNORE: usize = 25;
/// libpam hands this one back at once.
const INCOMPLETE: usize = 31;

/// What is done with one code.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Action {
    /// Nothing.
    Ignore,
    /// It counts, unless something counts already that is no success.
    Ok,
    /// The same, and the stack ends.
    Done,
    /// The stack fails.
    Bad,
    /// The same, and it ends.
    Die,
    /// What a substack came to is forgotten.
    Reset,
    /// So many lines are left out.
    Jump(usize),
}

/// What a code is to the stack.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Verdict {
    Success,
    Failure,
}

/// The action for each code.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Control([Action; CODES.len()]);

impl Control {
    /// Everything fails: what libpam makes of a line that it cannot use.
    pub(super) const BAD: Self = Self([Action::Bad; CODES.len()]);

    /// Reads a word, or pairs without their brackets; `None` if libpam would take it for [`Control::BAD`].
    pub(super) fn parse(text: &str) -> Option<Self> {
        let usual = |good, other| {
            let mut actions = [other; CODES.len()];
            for (code, action) in actions.iter_mut().enumerate() {
                if code == SUCCESS || code == NEW_AUTHTOK_REQD {
                    *action = good;
                }
            }
            actions
        };
        let ignoring = |mut actions: [Action; CODES.len()]| {
            if let Some(action) = actions.get_mut(IGNORE) {
                *action = Action::Ignore;
            }
            Self(actions)
        };
        match text.to_ascii_lowercase().as_str() {
            "required" => Some(ignoring(usual(Action::Ok, Action::Bad))),
            "requisite" => Some(ignoring(usual(Action::Ok, Action::Die))),
            "optional" => Some(Self(usual(Action::Ok, Action::Ignore))),
            "sufficient" => Some(Self(usual(Action::Done, Action::Ignore))),
            _ => pairs(text),
        }
    }

    /// The action for a code as it is written, such as `system_err`.
    pub(super) fn action(&self, code: &str) -> Option<Action> {
        let number = CODES.iter().position(|name| *name == code)?;
        self.0.get(number).copied()
    }

    /// What can become of a line whose module refuses: neither a success nor an expired password, which it says of one
    /// that is right.
    pub(super) fn of_refusals(&self) -> Vec<(Action, Verdict)> {
        self.possible(|code| ![SUCCESS, NEW_AUTHTOK_REQD, IGNORE].contains(&code))
    }

    /// The same if the module may also say that it has nothing to do with this user.
    pub(super) fn of_failures(&self) -> Vec<(Action, Verdict)> {
        self.possible(|code| ![SUCCESS, NEW_AUTHTOK_REQD].contains(&code))
    }

    /// What becomes of a module that always succeeds.
    pub(super) fn of_success(&self) -> Vec<(Action, Verdict)> {
        self.possible(|code| code == SUCCESS)
    }

    /// What can become of a module that may say anything.
    pub(super) fn of_anything(&self) -> Vec<(Action, Verdict)> {
        self.possible(|_| true)
    }

    /// What becomes of a line that names no module that could be called.
    pub(super) fn of_no_module(&self) -> Vec<(Action, Verdict)> {
        self.possible(|code| code == PERM_DENIED)
    }

    fn possible(&self, is_possible: impl Fn(usize) -> bool) -> Vec<(Action, Verdict)> {
        let mut found = Vec::new();
        for (code, action) in
            self.0.iter().enumerate().filter(|(code, _)| *code != INCOMPLETE && is_possible(*code))
        {
            let verdict = if code == SUCCESS { Verdict::Success } else { Verdict::Failure };
            if !found.contains(&(*action, verdict)) {
                found.push((*action, verdict));
            }
        }
        found
    }
}

/// `code = action …`, blanks or none around the sign. `default` is for codes that nothing was said about so far; what is
/// left in the end fails.
fn pairs(text: &str) -> Option<Control> {
    let mut actions = [None; CODES.len()];
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let code = CODES.iter().chain(&["default"]).position(|name| rest.starts_with(name))?;
        let name = CODES.get(code).unwrap_or(&"default");
        rest = rest.strip_prefix(name)?.trim_start().strip_prefix('=')?.trim_start();
        let (action, after) = action(rest)?;
        match actions.get_mut(code) {
            Some(slot) => *slot = Some(action),
            None => actions.iter_mut().filter(|slot| slot.is_none()).for_each(|slot| *slot = Some(action)),
        }
        rest = after.trim_start();
    }
    Some(Control(actions.map(|action| action.unwrap_or(Action::Bad))))
}

fn action(text: &str) -> Option<(Action, &str)> {
    let words = [
        ("ignore", Action::Ignore),
        ("ok", Action::Ok),
        ("done", Action::Done),
        ("bad", Action::Bad),
        ("die", Action::Die),
        ("reset", Action::Reset),
    ];
    for (word, action) in words {
        if let Some(rest) = text.strip_prefix(word) {
            return Some((action, rest));
        }
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    // More lines than a file can have are as good as any number that is too large.
    let lines = if number.len() > 9 { usize::MAX } else { number.parse().ok()? };
    (lines > 0).then_some((Action::Jump(lines), rest))
}

#[cfg(test)]
mod tests {
    use super::{Action, Control};

    fn of(text: &str, codes: &[&str]) -> Vec<Action> {
        let control = Control::parse(text).unwrap();
        codes.iter().map(|code| control.action(code).unwrap()).collect()
    }

    #[test]
    fn words_and_pairs_are_read_as_libpam_reads_them() {
        use Action::{Bad, Die, Done, Ignore, Jump, Ok};
        let codes = ["success", "ignore", "auth_err"];
        assert_eq!(of("Required", &codes), [Ok, Ignore, Bad]);
        assert_eq!(of("requisite", &codes), [Ok, Ignore, Die]);
        assert_eq!(of("optional", &codes), [Ok, Ignore, Ignore]);
        assert_eq!(of("SUFFICIENT", &codes), [Done, Ignore, Ignore]);
        assert_eq!(of("success=1 default=ignore", &codes), [Jump(1), Ignore, Ignore]);
        assert_eq!(of("success = ok", &codes), [Ok, Bad, Bad], "what is not named fails");
        assert_eq!(of("default=die success=done", &codes), [Done, Die, Die]);
        assert_eq!(of("default=bad default=ok", &codes), [Bad, Bad, Bad], "the first default counts");
        assert_eq!(of("success=okauth_err=ignore", &codes), [Ok, Bad, Ignore], "no blank is needed");
        assert_eq!(of("success=12345678901", &codes)[0], Jump(usize::MAX));
        for malformed in
            ["wanted", "success", "success=", "success=0", "success=maybe", "ok=success", "success ok"]
        {
            assert!(Control::parse(malformed).is_none(), "{malformed}");
        }
    }
}
