//! Real accounts through pam_unix: who gets in, who does not, and what the gateway learns.

use std::path::Path;

use doorward::domain::PromptStyle;
use doorward::pam::{Mode, Outage, PamEvent, PamRequest, Phase};

use super::house::{Broker, Service, TestUser, answer, hostile, may_run, request};

fn is_refused_in(event: &PamEvent, wanted: Phase) -> bool {
    matches!(event, PamEvent::Refused { phase, .. } if *phase == wanted)
}

#[tokio::test]
async fn the_right_password_lets_in_and_tells_name_and_groups() {
    if !may_run() {
        return;
    }
    let (user, service) = (TestUser::new("right horse"), Service::unix());
    let broker = Broker::start(&[&service], &[]);
    let PamEvent::Done(who) = broker.login(&service, &user.name, "right horse").await else {
        panic!("not let in");
    };
    assert_eq!(who.user.as_str(), user.name);
    assert!(who.groups.contains(&user.name) && who.groups.contains(&"users".to_owned()), "{:?}", who.groups);
    assert!(who.uid.is_some_and(|uid| uid > 0));
    let line = broker.line_with("code=SUCCESS");
    assert!(
        line.contains("trace=abababab") && line.contains("rhost=192.0.2.7") && !line.contains("horse"),
        "{line}"
    );
}

#[tokio::test]
async fn w11_modules_speak_the_language_of_the_system() {
    if !may_run() {
        return;
    }
    // Small images leave translations out; then there is nothing to be heard.
    if !Path::new("/usr/share/locale/de/LC_MESSAGES/Linux-PAM.mo").exists() {
        return;
    }
    let (user, service) = (TestUser::new("right horse"), Service::unix());
    for (environment, wanted) in [
        (&[("LANG", "C.UTF-8"), ("LANGUAGE", "de")], "Passwort: "),
        (&[("LANG", "xx_XX.UTF-8"), ("LANGUAGE", "de")], "Password: "),
        (&[("LANG", "C"), ("LANGUAGE", "")], "Password: "),
    ] {
        let broker = Broker::start_in(environment, &[&service], &[]);
        let (mut conversation, event) = broker.open(&service, &user.name).await;
        assert!(
            matches!(&event, PamEvent::Ask { prompt, .. } if prompt.text == wanted),
            "{environment:?}: {event:?}"
        );
        let event = answer(&mut conversation, "right horse").await;
        assert!(matches!(event, PamEvent::Done(_)), "{event:?}");
    }
}

#[tokio::test]
async fn a3_a_wrong_password_is_refused_and_its_delay_reported_not_slept() {
    if !may_run() {
        return;
    }
    let (user, service) = (TestUser::new("right horse"), Service::unix());
    let broker = Broker::start(&[&service], &[]);
    let event = broker.login(&service, &user.name, "wrong horse").await;
    assert!(event.public_messages().is_empty());
    let PamEvent::Refused { phase: Phase::Auth, code, delay, .. } = event else {
        panic!("not refused: {event:?}");
    };
    assert_eq!(code.name(), "AUTH_ERR");
    assert!(delay.as_micros() > 0);
    assert!(!broker.line_with("AUTH_ERR").contains("horse"));
}

#[tokio::test]
async fn a11_an_unknown_user_is_asked_as_often_as_a_known_one() {
    if !may_run() {
        return;
    }
    let service = Service::unix();
    let broker = Broker::start(&[&service], &[]);
    let event = broker.login(&service, "doorward-nobody-has-this-name", "x").await;
    assert!(is_refused_in(&event, Phase::Auth), "{event:?}");
    assert!(matches!(event, PamEvent::Refused { delay, .. } if !delay.is_zero()));
}

#[tokio::test]
async fn a4_an_expired_account_is_refused_after_the_right_password_and_told_why() {
    if !may_run() {
        return;
    }
    let (user, service) = (TestUser::new("right horse"), Service::unix());
    user.change("chage", &["-E", "2020-01-01"]);
    let broker = Broker::start(&[&service], &[]);
    let event = broker.login(&service, &user.name, "right horse").await;
    assert!(is_refused_in(&event, Phase::Acct), "{event:?}");
    assert!(event.public_messages().iter().any(|said| said.text.contains("expired")), "{event:?}");
    // The account check alone succeeds after a failed authentication; the order of the calls must prevent that.
    let event = broker.login(&service, &user.name, "wrong horse").await;
    assert!(is_refused_in(&event, Phase::Auth) && event.public_messages().is_empty(), "{event:?}");
}

#[tokio::test]
async fn a_locked_account_is_refused_with_and_without_a_password() {
    if !may_run() {
        return;
    }
    let (user, service) = (TestUser::new("right horse"), Service::unix());
    let broker = Broker::start(&[&service], &[]);
    let check = async || broker.begin(&service, &user.name, Mode::AccountOnly).await.next().await;
    let before = check().await;
    assert!(matches!(&before, PamEvent::Done(who) if who.user.as_str() == user.name), "{before:?}");
    user.change("usermod", &["-L"]);
    let event = broker.login(&service, &user.name, "right horse").await;
    assert!(is_refused_in(&event, Phase::Auth), "{event:?}");
    let event = check().await;
    assert!(is_refused_in(&event, Phase::Acct), "{event:?}");
}

#[tokio::test]
async fn k3_an_account_whose_password_is_kept_elsewhere_is_not_locked() {
    if !may_run() {
        return;
    }
    let (user, service) = (TestUser::new("right horse"), Service::unix());
    let elsewhere = Service::new("auth required pam_permit.so\naccount required pam_unix.so\n");
    let broker = Broker::start(&[&service, &elsewhere], &[]);
    for (password, is_let_in) in [("!", true), ("*", true), ("!!", true), ("!*", true), ("!$6$x$y", false)] {
        user.change("usermod", &["-p", password]);
        let event = broker.begin(&service, &user.name, Mode::AccountOnly).await.next().await;
        assert_eq!(matches!(event, PamEvent::Done(_)), is_let_in, "{password}: {event:?}");
        assert!(is_let_in || is_refused_in(&event, Phase::Acct), "{password}: {event:?}");
        // A login says the same, so that it is not undone by the next check.
        let event = broker.begin(&elsewhere, &user.name, Mode::Login).await.next().await;
        assert_eq!(matches!(event, PamEvent::Done(_)), is_let_in, "{password}: {event:?}");
    }
}

#[tokio::test]
async fn k3_who_is_shut_out_is_told_from_who_is_gone_though_the_stack_gives_one_code() {
    if !may_run() {
        return;
    }
    let user = TestUser::new("right horse");
    // As Debian's common-account.
    let service = Service::new(
        "auth required pam_unix.so\n\
         account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so\n\
         account requisite pam_deny.so\naccount required pam_permit.so\n",
    );
    let broker = Broker::start(&[&service], &[]);
    let check = async |name: &str| {
        let event = broker.begin(&service, name, Mode::AccountOnly).await.next().await;
        let PamEvent::Refused { phase: Phase::Acct, code, uid, .. } = event else { panic!("{event:?}") };
        (code, uid.is_some())
    };
    user.change("chage", &["-E", "0"]);
    let shut_out = check(&user.name).await;
    let gone = check("doorward-nobody-has-this-name").await;
    assert_eq!((shut_out.0, shut_out.1, gone.1), (gone.0, true, false));
}

#[tokio::test]
async fn b6_checks_that_hang_leave_logins_their_places_and_logins_leave_checks_theirs() {
    if !may_run() {
        return;
    }
    let (user, service) = (TestUser::new("right horse"), Service::unix());
    let hanging = Service::new(&format!(
        "auth required pam_deny.so\naccount required {} hang\n",
        super::house::hostile().display()
    ));
    let limits = ["--max-children", "1", "--max-checks", "1", "--max-per-address", "1"];
    let broker = Broker::start(&[&service, &hanging], &limits);
    let mut checks = [
        broker.begin(&hanging, &user.name, Mode::AccountOnly).await,
        broker.begin(&hanging, &user.name, Mode::AccountOnly).await,
    ];
    // Whichever was not the first.
    let [first, second] = &mut checks;
    let event = tokio::select! {
        event = first.next() => event,
        event = second.next() => event,
    };
    assert!(matches!(event, PamEvent::Busy { .. }), "{event:?}");
    broker.line_with("connection without a transaction");
    let (_login, asked) = broker.open(&service, &user.name).await;
    assert!(matches!(asked, PamEvent::Ask { .. }), "{asked:?}");
    let broker = Broker::start(&[&service], &limits);
    let (_waits, asked) = broker.open(&service, &user.name).await;
    assert!(matches!(asked, PamEvent::Ask { .. }), "{asked:?}");
    let event = broker.begin(&service, &user.name, Mode::AccountOnly).await.next().await;
    assert!(matches!(event, PamEvent::Done(_)), "{event:?}");
}

#[tokio::test]
async fn a5_an_expired_password_is_changed_before_anybody_is_let_in() {
    if !may_run() {
        return;
    }
    let (user, service) = (TestUser::new("old horse 1"), Service::unix());
    user.change("chage", &["-d", "0"]);
    let broker = Broker::start(&[&service], &[]);
    let (mut conversation, _) = broker.open(&service, &user.name).await;
    let event = answer(&mut conversation, "old horse 1").await;
    assert!(matches!(&event, PamEvent::NeedChange { messages } if !messages.is_empty()), "{event:?}");
    conversation.change_expired().await.unwrap();
    let mut asked = Vec::new();
    let mut event = conversation.next().await;
    while let PamEvent::Ask { prompt, .. } = event {
        let text = if asked.is_empty() { "old horse 1" } else { "new battery staple 2" };
        asked.push(prompt.text);
        event = answer(&mut conversation, text).await;
    }
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(matches!(&event, PamEvent::Done(who) if who.user.as_str() == user.name), "{event:?}");
    let again = broker.login(&service, &user.name, "new battery staple 2").await;
    assert!(matches!(again, PamEvent::Done(_)), "{again:?}");
    let old = broker.login(&service, &user.name, "old horse 1").await;
    assert!(is_refused_in(&old, Phase::Auth), "{old:?}");
}

#[tokio::test]
async fn a5_two_new_passwords_that_differ_change_nothing_and_let_nobody_in() {
    if !may_run() {
        return;
    }
    let (user, service) = (TestUser::new("old horse 1"), Service::unix());
    user.change("chage", &["-d", "0"]);
    let broker = Broker::start(&[&service], &[]);
    let (mut conversation, _) = broker.open(&service, &user.name).await;
    answer(&mut conversation, "old horse 1").await;
    conversation.change_expired().await.unwrap();
    conversation.next().await;
    answer(&mut conversation, "old horse 1").await;
    answer(&mut conversation, "new battery staple 2").await;
    let mut event = answer(&mut conversation, "another battery staple 3").await;
    // Some versions of pam_unix ask again, a few times.
    while matches!(event, PamEvent::Ask { .. }) {
        conversation.answer(None).await.unwrap();
        event = conversation.next().await;
    }
    assert!(!matches!(event, PamEvent::Done(_)), "{event:?}");
    let still = broker.login(&service, &user.name, "old horse 1").await;
    assert!(matches!(still, PamEvent::NeedChange { .. }), "{still:?}");
}

#[tokio::test]
async fn a_password_is_changed_only_after_the_old_one_was_proved() {
    if !may_run() {
        return;
    }
    let (user, service) = (TestUser::new("old horse 1"), Service::unix());
    let broker = Broker::start(&[&service], &[]);
    let mut conversation = broker.begin(&service, &user.name, Mode::ChangePassword).await;
    conversation.next().await;
    let event = answer(&mut conversation, "wrong horse").await;
    assert!(is_refused_in(&event, Phase::Auth), "{event:?}");

    let mut conversation = broker.begin(&service, &user.name, Mode::ChangePassword).await;
    conversation.next().await;
    let mut event = answer(&mut conversation, "old horse 1").await;
    while let PamEvent::Ask { .. } = event {
        event = answer(&mut conversation, "new battery staple 2").await;
    }
    assert!(matches!(event, PamEvent::Done(_)), "{event:?}");
    let again = broker.login(&service, &user.name, "new battery staple 2").await;
    assert!(matches!(again, PamEvent::Done(_)), "{again:?}");
}

#[tokio::test]
async fn without_a_name_the_stack_asks_for_it() {
    if !may_run() {
        return;
    }
    let (user, service) = (TestUser::new("right horse"), Service::unix());
    let broker = Broker::start(&[&service], &[]);
    let nameless = PamRequest { user: None, ..request("nobody", Mode::Login) };
    let mut conversation = broker.client(&service).start(nameless).await.unwrap();
    let event = conversation.next().await;
    assert!(matches!(&event, PamEvent::Ask { prompt, .. } if prompt.style == PromptStyle::Echo), "{event:?}");
    conversation.answer_text(&user.name).await.unwrap();
    let event = conversation.next().await;
    assert!(
        matches!(&event, PamEvent::Ask { prompt, .. } if prompt.style == PromptStyle::Secret),
        "{event:?}"
    );
    assert!(conversation.answer_text("").await.is_err(), "an empty password must not reach PAM");
    let event = answer(&mut conversation, "right horse").await;
    assert!(matches!(&event, PamEvent::Done(who) if who.user.as_str() == user.name), "{event:?}");
}

#[tokio::test]
async fn i20_a_name_that_the_stack_asks_for_is_held_to_the_same_rule() {
    if !may_run() {
        return;
    }
    let service = Service::unix();
    let broker = Broker::start(&[&service], &[]);
    for name in ["../../etc/x", "-rf", "..", "a\u{202e}b"] {
        let nameless = PamRequest { user: None, ..request("nobody", Mode::Login) };
        let mut conversation = broker.client(&service).start(nameless).await.unwrap();
        conversation.next().await;
        conversation.answer_text(name).await.unwrap();
        let event = conversation.next().await;
        assert!(matches!(event, PamEvent::Unavailable(_)), "{name:?}: {event:?}");
    }
}

#[tokio::test]
async fn i20_a_refusal_says_which_name_the_modules_have_made_of_the_one_that_was_typed() {
    if !may_run() {
        return;
    }
    let user = TestUser::new("right horse");
    let unix = "auth required pam_unix.so\naccount required pam_permit.so\n";
    let renaming =
        Service::new(&format!("auth required {} rename {}\n{unix}", hostile().display(), user.name));
    let broken = format!("auth required {} code 4\n", hostile().display());
    let outage =
        Service::new(&format!("auth required {} rename {}\n{broken}{unix}", hostile().display(), user.name));
    let plain = Service::new(unix);
    let broker = Broker::start(&[&renaming, &outage, &plain], &[]);
    let event = broker.login(&renaming, "whatever", "wrong").await;
    assert!(
        matches!(&event, PamEvent::Refused { user: Some(name), .. } if name.as_str() == user.name),
        "{event:?}"
    );
    let event = broker.login(&outage, "whatever", "wrong").await;
    assert!(
        matches!(&event, PamEvent::Unavailable(Outage { user: Some(name), .. }) if name.as_str() == user.name)
    );
    let event = broker.login(&plain, &user.name, "wrong").await;
    assert!(matches!(&event, PamEvent::Refused { user: None, .. }), "{event:?}");
}

#[tokio::test]
async fn i20_a_path_that_a_module_makes_of_the_name_comes_to_no_further_stage() {
    if !may_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    let service = Service::new(&format!(
        "auth required {} rename ../evil\nauth required pam_permit.so\naccount required pam_exec.so /bin/touch {}\n",
        hostile().display(),
        mark.display()
    ));
    let broker = Broker::start(&[&service], &[]);
    let (_, event) = broker.open(&service, "nobody").await;
    assert!(matches!(event, PamEvent::Unavailable(_)), "{event:?}");
    assert!(!mark.exists(), "the account stage was run");
}

#[tokio::test]
async fn the_shipped_service_of_the_account_checks_vouches_and_lets_nobody_log_in() {
    if !may_run() {
        return;
    }
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/pam.d/doorward-account");
    let (user, service) =
        (TestUser::new("right horse"), Service::new(&std::fs::read_to_string(shipped).unwrap()));
    let broker = Broker::start(&[&service], &[]);
    let check = async || broker.begin(&service, &user.name, Mode::AccountOnly).await.next().await;
    assert!(matches!(check().await, PamEvent::Done(_)));
    let mut login = broker.begin(&service, &user.name, Mode::Login).await;
    let event = login.next().await;
    assert!(is_refused_in(&event, Phase::Auth), "{event:?}");
    user.change("usermod", &["-L"]);
    let event = check().await;
    assert!(is_refused_in(&event, Phase::Acct), "{event:?}");
}

#[tokio::test]
async fn the_shipped_service_file_lets_a_unix_user_in() {
    if !may_run() {
        return;
    }
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/pam.d/doorward");
    let (user, service) =
        (TestUser::new("right horse"), Service::new(&std::fs::read_to_string(shipped).unwrap()));
    let broker = Broker::start(&[&service], &[]);
    let event = broker.login(&service, &user.name, "right horse").await;
    assert!(matches!(event, PamEvent::Done(_)), "{event:?}");
    let event = broker.login(&service, &user.name, "wrong horse").await;
    assert!(is_refused_in(&event, Phase::Auth), "{event:?}");
}
