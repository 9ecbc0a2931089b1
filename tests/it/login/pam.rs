//! The whole chain with real PAM: launcher, broker, gateway; Unix accounts, real stacks, a hostile module.
//!
//! Needs root, to make users and service files; says so and passes where that cannot be.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::unistd::Pid;
use serde_json::{Value, json};

use super::conversations::next_step;
use super::door::{Door, account};
use super::people::{Person, Service, hostile, may_run, tool};
use super::wire::{Reply, Request};

fn try_token(door: &Door, user: &str, password: &str) -> Reply {
    door.api_login(&json!({ "user": user, "password": password }))
}

fn begin(door: &Door, user: &str) -> Value {
    let reply = door.api_login(&json!({ "user": user }));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

fn answer(door: &Door, step: &Value, text: &str) -> Reply {
    door.api_login(&json!({ "conversation": step["conversation"], "answers": [text] }))
}

/// Name of a process's program, and whose it is.
fn program_and_user(pid: Pid) -> (String, u32) {
    use std::os::unix::fs::MetadataExt;
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let program = fs::read_link(folder.join("exe")).unwrap();
    (program.file_name().unwrap().to_str().unwrap().to_owned(), fs::metadata(&folder).unwrap().uid())
}

#[test]
fn the_right_password_opens_every_door_with_name_and_groups() {
    if !may_run() {
        return;
    }
    let (person, service) = (Person::new("right horse"), Service::unix());
    let door = service.open(&[]);
    let who = (person.name.as_str(), "right horse");
    let reply = try_token(&door, who.0, who.1);
    assert_eq!(reply.status, 200, "{reply:?}");
    let body = reply.json();
    assert_eq!(body["user"], person.name);
    assert!(body["groups"].as_array().unwrap().contains(&json!("users")), "{body}");
    let token = body["token"].as_str().unwrap();
    let seen = door.send(&Request::get("/who").bearer(token)).body;
    assert!(seen.contains(&format!("x-forwarded-user: {}\r\n", person.name)), "{seen}");
    let cookie = door.cookie(who);
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 200);
    assert_eq!(door.passes(|request| request.basic(who.0, who.1)), 200);
    assert_eq!(door.send(&Request::get("/_doorward/readyz")).status, 200);
}

#[test]
fn d3_the_launcher_and_the_broker_are_root_and_the_gateway_is_not() {
    if !may_run() {
        return;
    }
    let service = Service::unix();
    let door = service.open(&[]);
    let family: Vec<(String, u32)> = door.processes().into_iter().map(program_and_user).collect();
    let of = |program: &str| -> Vec<u32> {
        let mut uids: Vec<u32> =
            family.iter().filter(|(name, _)| name == program).map(|(_, uid)| *uid).collect();
        uids.sort_unstable();
        uids
    };
    assert_eq!(of("doorward"), [0, account().uid.as_raw()], "{family:?}");
    assert_eq!(of("doorward-pam"), [0], "{family:?}");
    // Nothing of root is left to the gateway, nor can it be had back.
    let gateway = door.processes().into_iter().find(|pid| program_and_user(*pid).1 != 0).unwrap();
    let status = fs::read_to_string(format!("/proc/{gateway}/status")).unwrap();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("CapEff").ends_with("0000000000000000") && line("CapPrm").ends_with("0000000000000000"));
    assert!(line("NoNewPrivs").ends_with('1'), "{status}");
    assert!(!line("Groups").split_whitespace().any(|group| group == "0"), "{}", line("Groups"));
}

#[test]
fn gb1_a11_unknown_locked_and_wrong_are_told_apart_by_nobody() {
    if !may_run() {
        return;
    }
    let (known, locked, service) = (Person::new("right horse"), Person::new("right horse"), Service::unix());
    locked.change("usermod", &["-L"]);
    let door = service.open(&[]);
    let people = [(&*known.name, "wrong"), (&*locked.name, "right horse"), ("dwl-nobody", "right horse")];
    let prompts = people.map(|(user, _)| {
        let mut step = begin(&door, user);
        step["conversation"].take();
        step
    });
    assert_eq!(prompts[0]["prompts"], json!([{ "style": "secret", "text": "Password: " }]));
    assert!(prompts.iter().all(|step| *step == prompts[0]), "{prompts:?}");
    std::thread::scope(|scope| {
        let door = &door;
        let form: Vec<_> = people
            .map(|(user, password)| {
                scope.spawn(move || door.submit(&[("user", user), ("password", password)]))
            })
            .into();
        let api: Vec<_> =
            people.map(|(user, password)| scope.spawn(move || try_token(door, user, password))).into();
        for reply in api.into_iter().map(|reply| reply.join().unwrap()) {
            assert_eq!(reply.is_engine_error(401), "wrong user name or password");
        }
        let pages: Vec<String> = form
            .into_iter()
            .zip(people)
            .map(|(reply, (user, _))| {
                let reply = reply.join().unwrap();
                assert_eq!(reply.status, 401, "{reply:?}");
                reply.body_without_secrets().replace(user, "USER")
            })
            .collect();
        assert!(pages.iter().all(|page| *page == pages[0]), "{pages:?}");
    });
}

#[test]
fn gb1_an_account_that_has_expired_is_refused_after_the_right_password() {
    if !may_run() {
        return;
    }
    let (person, service) = (Person::new("right horse"), Service::unix());
    person.change("chage", &["-E", "2020-01-01"]);
    let door = service.open(&[]);
    try_token(&door, &person.name, "right horse").is_engine_error(401);
    let page = door.submit(&[("user", &person.name), ("password", "right horse")]);
    assert!(page.status == 401 && page.new_cookie().is_none(), "{page:?}");
    assert!(page.body.contains("expired"), "the person is not told why: {}", page.body);
}

#[test]
fn a12_an_account_without_a_password_stays_closed_whatever_nullok_says() {
    if !may_run() {
        return;
    }
    let service = Service::new("auth required pam_unix.so nullok\naccount required pam_unix.so\n");
    let person = Person::new("x");
    person.change("passwd", &["-d"]);
    let door = service.open(&[]);
    for password in ["x", ""] {
        let reply = try_token(&door, &person.name, password);
        let reply = match reply.status {
            // An empty answer is no answer.
            200 if reply.json()["conversation"].is_string() => answer(&door, &reply.json(), ""),
            _ => reply,
        };
        reply.is_engine_error(401);
    }
    assert_eq!(door.passes(|request| request.basic(&person.name, "x")), 401);
}

#[test]
fn gb7_a_user_who_is_added_while_the_gateway_runs_logs_in_at_once() {
    if !may_run() {
        return;
    }
    let service = Service::unix();
    let door = service.open(&[]);
    let person = Person::new("brand new");
    door.token((&person.name, "brand new"));
    tool("chpasswd", &["-c", "SHA512"], &format!("{}:another one\n", person.name));
    door.token((&person.name, "another one"));
    try_token(&door, &person.name, "brand new").is_engine_error(401);
}

#[test]
fn a6_two_questions_come_one_after_the_other_with_their_style_over_api_and_form() {
    if !may_run() {
        return;
    }
    let service =
        Service::new(&format!("auth required {} two\naccount required pam_permit.so\n", hostile().display()));
    let door = service.open(&[]);
    let first = begin(&door, "nobody");
    assert_eq!(first["prompts"], json!([{ "style": "echo", "text": "Badge: " }]));
    let second = answer(&door, &first, "42").json();
    assert_eq!(second["prompts"], json!([{ "style": "secret", "text": "Code: " }]));
    assert_eq!(second["messages"], json!([{ "level": "info", "text": "A code was sent" }]));
    assert_ne!(first["conversation"], second["conversation"]);
    let done = answer(&door, &second, "s3cret").json();
    assert_eq!((&done["user"], &done["messages"][0]["text"]), (&json!("nobody"), &json!("Welcome")));
    // A password given at once is no code, though both are hidden while they are typed.
    let first = door.api_login(&json!({ "user": "nobody", "password": "s3cret" })).json();
    assert_eq!(first["prompts"][0]["text"], "Badge: ");
    let second = answer(&door, &first, "42").json();
    assert_eq!(second["prompts"], json!([{ "style": "secret", "text": "Code: " }]), "{second}");
    assert!(answer(&door, &second, "s3cret").json()["token"].is_string());

    let page = door.submit(&[("user", "nobody"), ("password", ""), ("next", "/x")]);
    assert!(page.body.contains("<bdi>Badge</bdi>") && page.body.contains("name=\"answer0\" type=\"text\""));
    let page = next_step(&door, &page, "42");
    assert!(
        page.body.contains("A code was sent") && page.body.contains("name=\"answer0\" type=\"password\"")
    );
    assert!(page.new_cookie().is_none(), "a session before the last answer: {page:?}");
    let done = next_step(&door, &page, "s3cret");
    // "Welcome", the module said, and that is read before going on; once.
    assert_eq!(
        (done.status, done.header("location")),
        (303, Some("/_doorward/welcome?next=%2Fx")),
        "{done:?}"
    );
    let cookie = done.new_cookie().unwrap();
    let welcome = Request::get("/_doorward/welcome?next=%2Fx").navigating().cookie(&cookie);
    let shown = door.send(&welcome);
    assert!(shown.body.contains("<bdi>Welcome</bdi>") && shown.body.contains("href=\"/x\""), "{shown:?}");
    assert_eq!(door.send(&welcome).header("location"), Some("/x"));
    // The step that is over takes no other answer.
    assert_eq!(next_step(&door, &page, "another").status, 410);
}

#[test]
fn a5_an_expired_password_is_changed_in_the_form_before_there_is_a_session() {
    if !may_run() {
        return;
    }
    let (person, service) = (Person::new("old horse 1"), Service::unix());
    person.change("chage", &["-d", "0"]);
    let door = service.open(&[]);
    let mut page = door.submit(&[("user", &person.name), ("password", "old horse 1"), ("next", "/x")]);
    assert!(page.body.contains("required to change your password"), "not told why: {}", page.body);
    let mut asked = 0;
    while page.status == 200 {
        assert!(page.new_cookie().is_none(), "a session before the change: {page:?}");
        let text = if asked == 0 { "old horse 1" } else { "new battery staple 2" };
        asked += 1;
        page = next_step(&door, &page, text);
    }
    assert_eq!((page.status, page.header("location"), asked), (303, Some("/x"), 3), "{page:?}");
    let cookie = page.new_cookie().unwrap();
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 200);
    door.token((&person.name, "new battery staple 2"));
    try_token(&door, &person.name, "old horse 1").is_engine_error(401);
}

#[test]
fn gb3_a1_a2_a_module_that_hangs_crashes_or_exits_costs_its_own_login_and_nothing_else() {
    if !may_run() {
        return;
    }
    let (person, victim) = (Person::new("right horse"), Person::new("x"));
    for (what, deadline) in
        [("hang", "2s"), ("block", "2s"), ("segv", "10s"), ("exit", "10s"), ("abort", "10s")]
    {
        let service = Service::hostile_for(&victim.name, what);
        let door = service.open(&["--pam-compute-timeout", deadline]);
        let token = door.token((&person.name, "right horse"));
        std::thread::scope(|scope| {
            let struck = scope.spawn(|| try_token(&door, &victim.name, "x"));
            // Meanwhile, and afterwards, others come and go.
            for _ in 0..3 {
                door.token((&person.name, "right horse"));
                assert_eq!(door.passes(|request| request.bearer(&token)), 200);
                assert_eq!(door.send(&Request::get("/_doorward/healthz")).status, 200);
            }
            let reply = struck.join().unwrap();
            reply.is_engine_error(503);
            assert!(reply.header("retry-after").is_some(), "{what}: {reply:?}");
        });
        door.token((&person.name, "right horse"));
        let page = door.submit(&[("user", &person.name), ("password", "right horse")]);
        assert!(page.new_cookie().is_some(), "after {what}: {page:?}");
    }
}

#[test]
fn gb3_b6_over_the_limit_logins_are_told_to_come_back() {
    if !may_run() {
        return;
    }
    let service = Service::unix();
    let door = service.open(&["--pam-max-logins", "1"]);
    let first = begin(&door, "dwl-nobody");
    let busy = door.api_login(&json!({ "user": "dwl-nobody" }));
    busy.is_engine_error(429);
    assert!(busy.header("retry-after").is_some(), "{busy:?}");
    // Basic cannot wait: it is told that the check is not available, never that the password is wrong.
    let basic = door.send(&Request::get("/version").basic("dwl-nobody", "x"));
    basic.is_engine_error(503);
    answer(&door, &first, "wrong").is_engine_error(401);
    begin(&door, "dwl-nobody");
}

#[test]
fn a_broker_that_was_killed_comes_back_and_logins_fail_closed_meanwhile() {
    if !may_run() {
        return;
    }
    let (person, service) = (Person::new("right horse"), Service::unix());
    let door = service.open(&[]);
    let token = door.token((&person.name, "right horse"));
    let broker = door.processes().into_iter().find(|pid| program_and_user(*pid).0 == "doorward-pam").unwrap();
    nix::sys::signal::kill(broker, nix::sys::signal::Signal::SIGKILL).unwrap();
    door.output.line_with("the PAM broker ended");
    assert_eq!(door.passes(|request| request.bearer(&token)), 200);
    let begun = std::time::Instant::now();
    loop {
        let reply = try_token(&door, &person.name, "right horse");
        if reply.status == 200 {
            return;
        }
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(begun.elapsed() < super::wire::AT_MOST, "it does not come back");
    }
}

#[test]
fn a9_the_name_that_a_module_leaves_is_the_one_that_counts() {
    if !may_run() {
        return;
    }
    let person = Person::new("x");
    let service = Service::new(&format!(
        "auth required {module} rename {name}\nauth required pam_permit.so\naccount required pam_permit.so\n",
        module = hostile().display(),
        name = person.name
    ));
    let door = service.open(&[]);
    let reply = try_token(&door, "somebody-else", "x");
    assert_eq!(reply.json()["user"], person.name.as_str(), "{reply:?}");
}

#[test]
fn a7_what_a_module_says_is_harmless_in_page_and_json() {
    if !may_run() {
        return;
    }
    for (what, prompt) in [("escape", true), ("flood", false)] {
        let service = Service::new(&format!(
            "auth required {} {what}\naccount required pam_permit.so\n",
            hostile().display()
        ));
        let door = service.open(&[]);
        if prompt {
            let step = begin(&door, "nobody");
            let text = step["prompts"][0]["text"].as_str().unwrap();
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
            let page = door.submit(&[("user", "nobody"), ("password", "")]);
            assert!(page.status == 200 && !page.body.contains('\u{1b}') && !page.body.contains('\r'));
        } else {
            let page = door.submit(&[("user", "nobody"), ("password", "x")]);
            assert!(page.status == 401 && page.body.len() < 100_000, "{} bytes", page.body.len());
        }
    }
}

#[test]
fn a_pam_service_that_does_not_exist_ends_the_start_and_is_named() {
    if !may_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ends = |options: &[&str], named: &str| {
        let output = Command::new(super::door::PROGRAM)
            .args(["serve", "--use-login", "--assume-secure", "--listen", "127.0.0.1:0"])
            .args(options)
            .args(["--user", &account().name, "--state"])
            .arg(folder.path().join("state"))
            .arg("--runtime-dir")
            .arg(folder.path().join("run"))
            .output()
            .unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(named), "{said}");
    };
    ends(&["--pam-service", "doorward-test-missing"], "/etc/pam.d/doorward-test-missing");
    // The service of the account checks, too.
    let service = Service::unix();
    let options = ["--pam-service", &service.name, "--pam-account-service", "doorward-test-absent"];
    ends(&options, "/etc/pam.d/doorward-test-absent");
}
