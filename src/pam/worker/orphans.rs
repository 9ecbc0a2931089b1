//! Processes that a module started and that left the session of their login: the kernel gives them to the broker once
//! their parent has died (`PR_SET_CHILD_SUBREAPER`), and the broker ends them.
//!
//! What stays in the login's session is let be while the login goes on.

use std::fs;

/// Children of this process that are no logins, and belong to none that `is_login` knows. Without `/proc` there are none.
pub(super) fn find(is_login: impl Fn(i32) -> bool) -> Vec<i32> {
    let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    let children = children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
    children.filter(|pid| !is_login(*pid) && !session(*pid).is_some_and(&is_login)).collect()
}

/// The session of a process; each login leads one of its own.
fn session(pid: i32) -> Option<i32> {
    session_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The sixth field of `/proc/PID/stat`. The second, in parentheses, may hold anything (proc(5)).
fn session_in(stat: &str) -> Option<i32> {
    stat.rsplit(')').next()?.split_ascii_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::session_in;

    #[test]
    fn the_session_is_found_whatever_the_program_is_called() {
        assert_eq!(session_in("12 (a) 1 2 3 (b) S 10 11 42 0 -1"), Some(42));
        assert_eq!(session_in(""), None);
    }
}
