//! `docker/otp` on top of `docker/ldap`: a code after the password, of people in the directory and in the container.

use crate::support::derived::{Front, OTP};
use crate::support::engine;
use crate::support::scope::Scope;

/// A code of now, from the link that `otp add` printed.
fn code(front: &Front, link: &str) -> String {
    let secret = link.split("secret=").nth(1).and_then(|rest| rest.split('&').next()).expect("a secret");
    let args = ["exec", &front.container, "oathtool", "--totp", "--base32", secret];
    engine::bare().run(&args).ok().text().to_owned()
}

#[test]
fn a6_a_code_is_asked_for_after_the_right_password_and_each_is_good_once() {
    let scope = Scope::new();
    let server = super::ldap::directory(&scope);
    let front = super::ldap::front_of(&scope, &OTP, &server);
    // Its one file for all people wants one login at a time.
    let words = front.shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
    assert!(words.contains("--serialize doorward"), "{words}");
    front.shell(
        "useradd bob && echo bob:bob-secret | chpasswd && useradd dave && echo dave:dave-secret | chpasswd",
    );
    for (user, password) in [("bob", "bob-secret"), ("alice", "alice-secret"), (r"EXAMPLE\eve", "eve-secret")]
    {
        let link = front.shell(&format!("otp add '{user}'"));
        assert!(link.starts_with("otpauth://totp/"), "{link}");
        assert_eq!(front.refusal(user, "wrong"), 401, "{user}");

        let step = front.begin(user, password);
        let question = step["prompts"][0].clone();
        assert!(question["text"].as_str().is_some_and(|text| text.contains("One-time password")), "{step}");
        assert_eq!(front.answer(&step, "000000").status, 401, "{user}");

        let (step, code) = (front.begin(user, password), code(&front, &link));
        let answer = front.answer(&step, &code);
        assert!(answer.status == 200 && answer.json()["user"] == user, "{answer:?}\n{}", front.output());
        // The same code again, as somebody would who looked over a shoulder.
        let step = front.begin(user, password);
        assert_eq!(front.answer(&step, &code).status, 401, "{user}");
    }
    // Who has no secret, or not any more, has no second factor to show.
    assert_eq!(front.refusal("dave", "dave-secret"), 401);
    front.shell("otp remove bob");
    assert_eq!(front.refusal("bob", "bob-secret"), 401);
    assert_eq!(front.shell("otp list"), "alice\nEXAMPLE\\eve\n");
    let read = engine::bare().run(&[
        "exec",
        "-u",
        "doorward",
        &front.container,
        "cat",
        "/var/lib/doorward-otp/users",
    ]);
    assert_ne!(read.code, 0, "{read:?}");
}
