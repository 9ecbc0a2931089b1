//! What a hostile module says and does, seen from a browser, a program and the logs; and how many children are left.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::conversations::{hidden, next_step};
use super::door::Door;
use super::people::{Person, Service, hostile, may_run};
use super::wire::{AT_MOST, Reply, Request};

fn open(what: &str, arguments: &[&str]) -> (Service, Door) {
    let service = Service::new(&format!(
        "auth required {} {what}\naccount required pam_permit.so\n",
        hostile().display()
    ));
    let door = service.open(arguments);
    (service, door)
}

fn begin(door: &Door) -> Value {
    let reply = door.api_login(&json!({ "user": "nobody" }));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

fn answer(door: &Door, step: &Value, text: &str) -> Reply {
    door.api_login(&json!({ "conversation": step["conversation"], "answers": [text] }))
}

fn start(door: &Door) -> Reply {
    door.submit(&[("user", "nobody"), ("password", "")])
}

/// Waits until the broker has so many children.
pub(super) fn await_children(door: &Door, wanted: usize) {
    let begun = std::time::Instant::now();
    loop {
        let children = door.logins_under_way();
        if children == wanted {
            return;
        }
        assert!(begun.elapsed() < AT_MOST, "{children} children, never {wanted}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a6_texts_stand_before_the_question_they_belong_to_and_a_radio_prompt_is_a_choice() {
    if !may_run() {
        return;
    }
    let (_service, door) = open("talk", &[]);
    let first = begin(&door);
    assert_eq!((&first["prompts"][0]["text"], &first["messages"]), (&json!("First: "), &json!([])));
    let second = answer(&door, &first, "1").json();
    assert_eq!(second["prompts"], json!([{ "style": "radio", "text": "Push to your phone?" }]));
    let between = json!([{ "level": "error", "text": "An error between" }, { "level": "info", "text": "A note between" }]);
    assert_eq!(second["messages"], between);
    let third = answer(&door, &second, "yes").json();
    assert_eq!(third["messages"], json!([{ "level": "info", "text": "A note before the last" }]));
    let done = answer(&door, &third, "2").json();
    assert_eq!(done["messages"], json!([{ "level": "info", "text": "Goodbye" }]));

    let page = start(&door);
    assert!(!page.body.contains("locked"), "said before anything was proved: {}", page.body);
    let page = next_step(&door, &page, "1");
    let at = |text: &str| page.body.find(text).unwrap_or_else(|| panic!("no {text} in {}", page.body));
    let order = [
        "An error between",
        "A note between",
        "<legend>",
        "Push to your phone?",
        "value=\"yes\"",
        "value=\"no\"",
    ];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{}", page.body);
    assert!(page.body.contains("role=\"alert\"><bdi>An error between"), "{}", page.body);
    let page = next_step(&door, &page, "yes");
    assert!(page.body.contains("A note before the last") && !page.body.contains("between"), "{}", page.body);
    let done = next_step(&door, &page, "2");
    let location = done.header("location").unwrap();
    let cookie = done.new_cookie().unwrap();
    assert!(door.send(&Request::get(location).navigating().cookie(&cookie)).body.contains("Goodbye"));
}

#[test]
fn a6_a_greeting_is_shown_where_the_operator_wants_it() {
    if !may_run() {
        return;
    }
    let (_service, door) = open("talk", &["--pam-greeting"]);
    assert_eq!(begin(&door)["messages"][0]["text"], "The account is locked due to 3 failed logins.");
}

#[test]
fn a7_markup_line_breaks_and_escape_sequences_are_text_in_page_json_header_and_log() {
    if !may_run() {
        return;
    }
    let (_service, mut door) = open("markup", &[]);
    let harmless = |reply: &Reply| {
        for bad in ["<script", "\u{1b}", "\u{7}", "\u{202e}", "\r"] {
            assert!(!reply.body.contains(bad), "{bad:?} in {}", reply.body);
        }
        assert!(reply.all("set-cookie").iter().all(|set| set.starts_with("__Host-doorward")), "{reply:?}");
    };
    let step = answer(&door, &begin(&door), "x").json();
    let said = "\"><script>alert(1)</script>&amp;\nSet-Cookie: x=1\u{fffd}]0;title\u{fffd}\u{fffd}\u{fffd}(\u{fffd}{\"a\":1}";
    assert_eq!(step["prompts"][0]["text"], said);
    assert_eq!(
        step["messages"],
        json!([{ "level": "info", "text": said }, { "level": "error", "text": said }])
    );
    assert_eq!(answer(&door, &step, "x").json()["messages"][0]["text"], said);
    let page = next_step(&door, &start(&door), "x");
    harmless(&page);
    assert!(page.body.matches("&#60;script&#62;").count() == 3, "{}", page.body);
    let done = next_step(&door, &page, "x");
    harmless(&done);
    let welcome =
        Request::get(done.header("location").unwrap()).navigating().cookie(&done.new_cookie().unwrap());
    harmless(&door.send(&welcome));
    door.restart(nix::sys::signal::Signal::SIGTERM);
    let said = format!("{}{}", door.log(), door.output.lines().join("\n"));
    assert!(
        said.contains("login accepted") && !said.contains("<script") && !said.contains('\u{1b}'),
        "{said}"
    );
}

#[test]
fn a7_a_megabyte_of_text_makes_no_large_page_and_no_large_answer() {
    if !may_run() {
        return;
    }
    let (_service, door) = open("megabyte", &[]);
    let reply = answer(&door, &begin(&door), "x");
    assert!(reply.status == 200 && reply.body.len() < 10_000, "{} bytes", reply.body.len());
    let reply = answer(&door, &reply.json(), "x");
    assert!(reply.json()["token"].is_string() && reply.body.len() < 6_000, "{} bytes", reply.body.len());
    let page = next_step(&door, &start(&door), "x");
    assert!(page.status == 200 && page.body.len() < 20_000, "{} bytes", page.body.len());
    let done = next_step(&door, &page, "x");
    let welcome =
        Request::get(done.header("location").unwrap()).navigating().cookie(&done.new_cookie().unwrap());
    let shown = door.send(&welcome);
    assert!(shown.status == 200 && shown.body.len() < 20_000, "{} bytes", shown.body.len());
}

#[test]
fn a9_who_is_root_says_pam_and_a_name_that_is_none_is_nobody() {
    if !may_run() {
        return;
    }
    // A module that names root is believed, as it is by login(1): modules are the operator's. The log names both.
    let (_service, door) = open("rename root", &[]);
    let reply = door.api_login(&json!({ "user": "nobody" })).json();
    assert_eq!(reply["user"], "root");
    let line = door.output.line_with("as=");
    assert!(line.contains("user=\"nobody\"") && line.contains("as=\"root\""), "{line}");
    for what in ["lie", "nameless"] {
        let (_service, door) = open(what, &[]);
        door.api_login(&json!({ "user": "nobody" })).is_engine_error(503);
        assert_eq!(door.submit(&[("user", "nobody"), ("password", "x")]).status, 503);
    }
}

#[test]
fn a1_a2_what_spins_scribbles_or_leaves_daemons_costs_its_own_login_and_no_child_is_left() {
    if !may_run() {
        return;
    }
    let (person, victim) = (Person::new("right horse"), Person::new("x"));
    for (what, status) in [("spin", 503), ("write-all", 503), ("daemon", 200), ("leave", 200)] {
        let service = Service::hostile_for(&victim.name, what);
        let door = service.open(&["--pam-compute-timeout", "1s"]);
        let token = door.token((&person.name, "right horse"));
        let reply = door.api_login(&json!({ "user": victim.name, "password": "x" }));
        assert_eq!(reply.status, status, "{what}: {reply:?}");
        door.token((&person.name, "right horse"));
        assert_eq!(door.passes(|request| request.bearer(&token)), 200, "{what}");
        await_children(&door, 0);
    }
}

#[test]
fn an_abandoned_login_frees_its_child() {
    if !may_run() {
        return;
    }
    let (_service, door) = open("two", &["--pam-prompt-timeout", "3s"]);
    let asked: Vec<Value> = (0..3).map(|_| begin(&door)).collect();
    let page = start(&door);
    await_children(&door, 4);
    // Given up: at once, by whoever it belongs to.
    let cancel = |step: &Value| json!({ "conversation": step["conversation"], "cancel": true });
    assert_eq!(door.api_login(&cancel(&asked[0])).status, 204);
    let again = [("conversation", &*hidden(&page, "conversation")), ("again", "1")];
    let request = Request::post("/_doorward/login").by_our_page().cookie(&page.login_cookie().unwrap());
    assert_eq!(door.send(&request.form(&again)).status, 303);
    await_children(&door, 2);
    // Forgotten: at the deadline of the prompt.
    await_children(&door, 0);
    answer(&door, &asked[1], "42").is_engine_error(410);
}

#[test]
fn the_whole_login_has_a_deadline_however_quickly_each_question_is_answered() {
    if !may_run() {
        return;
    }
    let (_service, door) = open(
        "ever",
        &[
            "--pam-prompt-timeout",
            "2s",
            "--pam-login-timeout",
            "3s",
            "--pam-compute-timeout",
            "2s",
            "--login-failure-delay",
            "100ms",
        ],
    );
    let mut step = begin(&door);
    let mut asked = 0;
    let last = loop {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let reply = answer(&door, &step, "x");
        if reply.status != 200 {
            break reply;
        }
        asked += 1;
        // The broker itself ends it after 32 questions.
        assert!(asked < 30, "it goes on for ever");
        step = reply.json();
    };
    assert!(matches!(last.status, 401 | 410 | 503), "{last:?}");
    await_children(&door, 0);
}

#[test]
fn of_more_than_eight_logins_of_one_address_the_oldest_child_goes() {
    if !may_run() {
        return;
    }
    let (_service, door) = open("two", &[]);
    let asked: Vec<Value> = (0..10).map(|_| begin(&door)).collect();
    await_children(&door, 8);
    answer(&door, &asked[9], "42").json()["conversation"].as_str().unwrap();
    answer(&door, &asked[0], "42").is_engine_error(410);
}

#[test]
fn a3_the_delay_of_a_failure_holds_no_child_and_no_place() {
    if !may_run() {
        return;
    }
    let person = Person::new("right horse");
    let service = Service::new(
        "auth optional pam_faildelay.so delay=8000000\nauth required pam_unix.so nodelay\naccount required pam_unix.so\n",
    );
    let (places, logins) = (8, 40);
    let door = service.open(&["--pam-max-logins", &places.to_string()]);
    let unanswered = AtomicUsize::new(logins);
    let body = json!({ "user": "dwl-nobody", "password": "x" });
    let fail = || {
        // More than there are places at the same moment are told to come back; all are to be refused in the end.
        while door.api_login(&body).status == 429 {}
        unanswered.fetch_sub(1, Ordering::SeqCst);
    };
    std::thread::scope(|scope| {
        (0..logins).for_each(|_| drop(scope.spawn(fail)));
        (0..logins).for_each(|_| drop(door.output.line_with("code=USER_UNKNOWN")));
        await_children(&door, 0);
        // All were judged, nobody computes, and yet more of them wait for their answer than there are places.
        let waiting = unanswered.load(Ordering::SeqCst);
        assert!(waiting > places, "{waiting} of {logins} wait");
        door.token((&person.name, "right horse"));
    });
}
