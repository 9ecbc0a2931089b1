//! Modules that hang, crash, scribble and ask odd things cost one login and nothing else.

use std::time::Duration;

use doorward::config::PamSettings;
use doorward::domain::PromptStyle;
use doorward::pam::{Mode, PamClient, PamEvent};

use super::house::{AT_MOST, Broker, Service, answer, may_run, request, settings};

/// A stack that lets everybody in, to see whether the broker still lives.
fn open_door() -> Service {
    Service::new("auth required pam_permit.so\naccount required pam_permit.so\n")
}

/// One login to a stack with this misdeed, up to the first event, and the broker's log line of it.
async fn commit(what: &str, options: &[&str]) -> (PamEvent, String) {
    let (service, door) = (Service::hostile(what), open_door());
    let broker = Broker::start(&[&service, &door], options);
    let (conversation, event) = broker.open(&service, "nobody").await;
    drop(conversation);
    let line = broker.line_with(&format!("service={}", service.name));
    let (_, other) = broker.open(&door, "nobody").await;
    assert!(matches!(other, PamEvent::Done(_)), "after {what}: {other:?}");
    (event, line)
}

#[tokio::test]
async fn a2_a_module_that_crashes_or_exits_costs_one_login() {
    if !may_run() {
        return;
    }
    for (what, trace) in [("segv", "SIGSEGV"), ("abort", "SIGABRT"), ("exit", "exited with 0 in the middle")]
    {
        let (event, line) = commit(what, &[]).await;
        assert!(matches!(event, PamEvent::Unavailable { .. }), "{what}: {event:?}");
        assert!(line.contains(trace), "{what}: {line}");
    }
}

#[tokio::test]
async fn a1_a_module_that_never_returns_is_killed_at_the_deadline() {
    if !may_run() {
        return;
    }
    for what in ["hang", "spin", "block"] {
        let (event, line) = commit(what, &["--compute-seconds", "1"]).await;
        assert!(matches!(event, PamEvent::Unavailable { .. }), "{what}: {event:?}");
        assert!(line.contains("killed: a PAM module took too long (--pam-compute-timeout"), "{what}: {line}");
    }
}

#[tokio::test]
async fn w11_a_stack_that_takes_longer_than_it_may_is_told_by_the_option_that_says_so() {
    if !may_run() {
        return;
    }
    let service = Service::hostile("hang");
    let broker = Broker::start(&[&service], &["--compute-seconds", "1"]);
    let patient = PamSettings { compute_deadline: Duration::from_secs(1), ..settings(&service) };
    let client = PamClient::new(broker.socket.clone(), &patient);
    let mut conversation = client.start(request("nobody", Mode::Login)).await.unwrap();
    let PamEvent::Unavailable(outage) = conversation.next().await else { panic!("not ended") };
    assert!(outage.reason.contains("longer than 1 s, see --pam-compute-timeout"), "{outage:?}");
    let line = broker.line_with("killed");
    assert!(line.contains("--pam-compute-timeout"), "{line}");
}

#[tokio::test]
async fn a1_others_log_in_while_modules_hang_even_with_one_place_to_compute() {
    if !may_run() {
        return;
    }
    let (service, door) = (Service::hostile("ask-hang"), open_door());
    let broker = Broker::start(&[&service, &door], &["--max-computing", "1", "--compute-seconds", "600"]);
    let mut hanging = Vec::new();
    for _ in 0..4 {
        let (mut conversation, event) = broker.open(&service, "nobody").await;
        assert!(matches!(event, PamEvent::Ask { .. }), "{event:?}");
        conversation.answer_text("").await.unwrap();
        hanging.push(conversation);
    }
    let (_, event) = broker.open(&door, "nobody").await;
    assert!(matches!(event, PamEvent::Done(_)), "{event:?}");
}

#[tokio::test]
async fn a2_what_a_module_writes_to_its_files_does_not_reach_the_gateway() {
    if !may_run() {
        return;
    }
    let (event, line) = commit("write", &[]).await;
    assert!(matches!(event, PamEvent::Done(_)), "{event:?}");
    assert!(line.contains("code=SUCCESS"), "{line}");
}

#[tokio::test]
async fn a2_garbage_on_every_descriptor_costs_that_login() {
    if !may_run() {
        return;
    }
    let (event, line) = commit("write-all", &[]).await;
    assert!(matches!(event, PamEvent::Unavailable { .. }), "{event:?}");
    assert!(!line.contains("code=SUCCESS"), "{line}");
}

#[tokio::test]
async fn a2_a_process_that_a_module_leaves_behind_ends_with_the_login() {
    if !may_run() {
        return;
    }
    for what in ["leave", "daemon"] {
        let (event, _) = commit(what, &[]).await;
        let PamEvent::Done(who) = event else {
            panic!("not let in: {event:?}");
        };
        let pid: i32 = who.messages[0].text.strip_prefix("left ").unwrap().parse().unwrap();
        // Killed at the latest when the child was buried; the kernel may need a moment more for its own part.
        let begun = std::time::Instant::now();
        while !gone(pid) {
            assert!(begun.elapsed() < AT_MOST, "{what}: {pid} lives on");
            tokio::task::yield_now().await;
        }
    }
}

fn gone(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.trim_start().starts_with(['Z', 'X']))
}

#[tokio::test]
async fn a9_a_name_that_is_none_lets_nobody_in_and_stays_one_line() {
    if !may_run() {
        return;
    }
    for what in ["lie", "nameless"] {
        let (event, line) = commit(what, &[]).await;
        assert!(matches!(event, PamEvent::Unavailable { .. }), "{what}: {event:?}");
        assert!(!line.contains("evil") && !line.contains('\u{1b}'), "{line}");
    }
}

#[tokio::test]
async fn a7_a_megabyte_in_one_text_or_prompt_is_cut() {
    if !may_run() {
        return;
    }
    let service = Service::hostile("megabyte");
    let broker = Broker::start(&[&service], &[]);
    let (mut conversation, _) = broker.open(&service, "nobody").await;
    let event = answer(&mut conversation, "x").await;
    let PamEvent::Ask { prompt, before } = event else {
        panic!("not asked: {event:?}");
    };
    assert_eq!((prompt.text.len(), before.len(), before[0].text.len()), (4096, 1, 4096));
    let event = answer(&mut conversation, "x").await;
    assert!(matches!(&event, PamEvent::Done(who) if who.messages[0].text.len() == 4096), "{event:?}");
}

#[tokio::test]
async fn a6_a11_what_is_said_before_the_first_question_is_withheld_unless_it_is_wanted() {
    if !may_run() {
        return;
    }
    let service = Service::hostile("talk");
    let broker = Broker::start(&[&service], &[]);
    let (_, event) = broker.open(&service, "nobody").await;
    assert!(matches!(&event, PamEvent::Ask { before, .. } if before.is_empty()), "{event:?}");
    let greeting = PamSettings { greeting: true, ..settings(&service) };
    let client = PamClient::new(broker.socket.clone(), &greeting);
    let event = client.start(request("nobody", Mode::Login)).await.unwrap().next().await;
    assert!(matches!(&event, PamEvent::Ask { before, .. } if before.len() == 1), "{event:?}");
}

#[tokio::test]
async fn a7_a_flood_of_texts_is_bounded() {
    if !may_run() {
        return;
    }
    let (event, _) = commit("flood", &[]).await;
    let PamEvent::Refused { messages, .. } = event else {
        panic!("not refused: {event:?}");
    };
    assert!((1..=16).contains(&messages.len()));
    assert!(messages.iter().map(|said| said.text.len()).sum::<usize>() <= 8192);
}

#[tokio::test]
async fn a7_control_characters_of_a_prompt_do_not_reach_the_gateway() {
    if !may_run() {
        return;
    }
    let (event, _) = commit("escape", &[]).await;
    let PamEvent::Ask { prompt, .. } = event else {
        panic!("not asked: {event:?}");
    };
    assert_eq!(prompt.text, "a\nb\u{fffd}[2Jc\u{fffd}: ");
}

#[tokio::test]
async fn a6_two_prompts_and_texts_come_in_order_with_their_styles() {
    if !may_run() {
        return;
    }
    let service = Service::hostile("two");
    let broker = Broker::start(&[&service], &[]);
    let (mut conversation, event) = broker.open(&service, "nobody").await;
    assert!(matches!(&event, PamEvent::Ask { prompt, before }
        if prompt.style == PromptStyle::Echo && prompt.text == "Badge: " && before.is_empty()));
    let event = answer(&mut conversation, "42").await;
    assert!(matches!(&event, PamEvent::Ask { prompt, before }
        if prompt.style == PromptStyle::Secret && before[0].text == "A code was sent"));
    let event = answer(&mut conversation, "s3cret").await;
    assert!(matches!(&event, PamEvent::Done(who) if who.messages[0].text == "Welcome"), "{event:?}");
}

#[tokio::test]
async fn a_radio_prompt_takes_yes() {
    if !may_run() {
        return;
    }
    let service = Service::hostile("radio");
    let broker = Broker::start(&[&service], &[]);
    for (text, lets_in) in [("yes", true), ("no", false)] {
        let (mut conversation, event) = broker.open(&service, "nobody").await;
        assert!(
            matches!(&event, PamEvent::Ask { prompt, .. } if prompt.style == PromptStyle::Radio),
            "{event:?}"
        );
        assert_eq!(matches!(answer(&mut conversation, text).await, PamEvent::Done(_)), lets_in);
    }
}

#[tokio::test]
async fn a_module_that_asks_for_ever_is_cut_off() {
    if !may_run() {
        return;
    }
    let service = Service::hostile("ever");
    let broker = Broker::start(&[&service], &[]);
    let (mut conversation, mut event) = broker.open(&service, "nobody").await;
    let mut asked = 0;
    while matches!(event, PamEvent::Ask { .. }) {
        asked += 1;
        event = answer(&mut conversation, "x").await;
    }
    assert_eq!(asked, 32);
    assert!(matches!(event, PamEvent::Unavailable { .. }), "{event:?}");
}

#[tokio::test]
async fn a_module_that_ignores_the_missing_answer_lets_nobody_in() {
    if !may_run() {
        return;
    }
    let service = Service::hostile("ignore");
    let broker = Broker::start(&[&service], &[]);
    let (mut conversation, _) = broker.open(&service, "nobody").await;
    conversation.answer(None).await.unwrap();
    let event = conversation.next().await;
    assert!(matches!(event, PamEvent::Unavailable { .. }), "{event:?}");
    assert!(broker.line_with("mode=Login").contains("cancelled"));
}

#[tokio::test]
async fn a_directory_that_is_down_is_unavailable_not_a_wrong_password() {
    if !may_run() {
        return;
    }
    let (event, line) = commit("unavail", &[]).await;
    assert!(matches!(event, PamEvent::Unavailable { .. }), "{event:?}");
    assert!(line.contains("AUTHINFO_UNAVAIL"), "{line}");
}

#[tokio::test]
async fn a9_the_name_that_modules_settle_on_is_the_one_that_counts() {
    if !may_run() {
        return;
    }
    let (event, line) = commit("rename daemon", &[]).await;
    assert!(
        matches!(&event, PamEvent::Done(who) if who.user.as_str() == "daemon" && who.uid == Some(1)),
        "{event:?}"
    );
    assert!(line.contains("user=\"nobody\"") && line.contains("as=\"daemon\""), "{line}");
    let (event, _) = commit("rename ../etc/shadow", &[]).await;
    assert!(matches!(event, PamEvent::Unavailable { .. }), "{event:?}");
}

#[tokio::test]
async fn modules_see_where_the_person_is_and_nothing_of_the_broker() {
    if !may_run() {
        return;
    }
    let (event, _) = commit("tell", &[]).await;
    let PamEvent::Done(who) = event else {
        panic!("not let in: {event:?}");
    };
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let own: i32 = stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().parse().unwrap();
    let nice = (own + 5).min(19);
    let expected = format!(
        "rhost=192.0.2.7 tty=https nice={nice} core=0 umask=77 low= secret=gone \
         path=/usr/sbin:/usr/bin:/sbin:/bin group=1"
    );
    assert_eq!(who.messages[0].text, expected);
}

#[tokio::test]
async fn only_allowed_variables_of_the_pam_environment_are_handed_on() {
    if !may_run() {
        return;
    }
    let (event, _) = commit("env", &[]).await;
    assert!(matches!(&event, PamEvent::Done(who) if who.env.is_empty()), "{event:?}");
    let (event, _) = commit("env", &["--pass-env", "DOORWARD_TWO"]).await;
    assert!(
        matches!(&event, PamEvent::Done(who) if who.env == [("DOORWARD_TWO".into(), "2".into())]),
        "{event:?}"
    );
}
