//! Whether the auth stage asks for a one-time code before the password.

use crate::doctor::finding::Finding;
use crate::pam::stack::{Entry, Stack, Stage};

/// Modules that ask for a code, and for nothing else.
const ASKS_CODE: [&str; 5] =
    ["pam_duo.so", "pam_google_authenticator.so", "pam_oath.so", "pam_otpw.so", "pam_yubico.so"];
/// Modules that judge without a question, besides those that let everybody through.
const JUDGES: [&str; 14] = [
    "pam_access.so",
    "pam_debug.so",
    "pam_deny.so",
    "pam_faillock.so",
    "pam_listfile.so",
    "pam_localuser.so",
    "pam_nologin.so",
    "pam_rootok.so",
    "pam_securetty.so",
    "pam_shells.so",
    "pam_succeed_if.so",
    "pam_tally2.so",
    "pam_time.so",
    "pam_wheel.so",
];
/// By these a module takes what was typed before, or asks for password and code at once.
const ASKS_NO_CODE_FIRST: [&str; 3] = ["use_first_pass", "try_first_pass", "forward_pass"];

/// Says so, since people and programs then answer in another order. A stack that begins with a module whose questions are
/// not known is asked by the first login.
pub(super) fn code_first(stack: &Stack) -> Option<Finding> {
    let is_silent =
        |entry: &&Entry| JUDGES.contains(&entry.name()) || super::ASKS_NOTHING.contains(&entry.name());
    let first = stack.of(Stage::Auth).find(|entry| !is_silent(entry))?;
    let asks_otherwise =
        first.arguments.iter().any(|argument| ASKS_NO_CODE_FIRST.contains(&argument.as_str()));
    (ASKS_CODE.contains(&first.name()) && !asks_otherwise).then(|| {
        let (name, place) = (first.name(), &first.place);
        let text = format!(
            "{name} of {place} asks for a one-time code before the password: after the first login the sign-in page asks \
             for the name alone, a password that is sent along waits for its own question, and HTTP Basic lets nobody in"
        );
        Finding::ok("pam.first-question", text)
    })
}
