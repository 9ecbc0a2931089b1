//! Too many failures: at which doors they count, whom they keep out, and whom not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::conversations::hidden;
use super::door::{BOB, Door, EVE, LOU, PROGRAM, Setup};
use super::people::{Service, hostile, may_run};
use super::wire::{AT_MOST, Reply, Request};

/// Bans that outlast the test.
const LONG: [&str; 4] = ["--throttle-ban", "1h", "--throttle-ban-max", "1h"];
const UNKNOWN: &str = "nobody-has-this-name";

fn throttled(address: &str, user: &str) -> Setup {
    Setup::usual().throttled(&["--throttle-address", address, "--throttle-user", user]).with(&LONG)
}

/// Clients have the addresses that a trusted terminator names.
fn behind_terminator(address: &str, user: &str) -> Setup {
    Setup::behind_terminator()
        .throttled(&["--throttle-address", address, "--throttle-user", user, "--trusted-proxy", "127.0.0.1"])
        .with(&LONG)
}

fn api(user: &str, password: &str) -> Request {
    Request::post("/_doorward/api/v1/login").json(&json!({ "user": user, "password": password }))
}

fn form(user: &str, password: &str) -> Request {
    Request::post("/_doorward/login").by_our_page().form(&[("user", user), ("password", password)])
}

fn basic(user: &str, password: &str) -> Request {
    Request::get("/version").basic(user, password)
}

fn from(address: &str, request: Request) -> Request {
    request.header("X-Forwarded-For", address)
}

/// Fails the test unless this is a refusal after too many failures.
fn is_refused(reply: &Reply) {
    assert_eq!(reply.status, 429, "{reply:?}");
    let wait: u32 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3600).contains(&wait), "{reply:?}");
    assert!(reply.all("set-cookie").is_empty(), "{reply:?}");
}

/// Sends all at the same time: each refusal takes two seconds.
fn all(door: &Door, requests: &[Request]) -> Vec<Reply> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = requests.iter().map(|request| scope.spawn(|| door.send(request))).collect();
        asked.into_iter().map(|reply| reply.join().unwrap()).collect()
    })
}

fn statuses(replies: &[Reply]) -> Vec<u16> {
    let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    statuses
}

fn begin(door: &Door, user: &str) -> Value {
    door.api_login(&json!({ "user": user })).json()["conversation"].clone()
}

#[test]
fn b1_failures_count_at_every_door_and_every_door_then_refuses() {
    let door = throttled("7/1h", "100/1h").open();
    let (cookie, token) = (door.cookie(BOB), door.token(BOB));
    let parked = begin(&door, BOB.0);
    let asked = door.submit(&[("user", EVE.0), ("password", "")]);
    let failures = [
        api(BOB.0, "wrong"),
        form(EVE.0, "wrong"),
        basic(LOU.0, "wrong"),
        Request::get("/_doorward/auth").basic(UNKNOWN, "wrong"),
        Request::get("/version").bearer("dwt_nonsense"),
        Request::get("/_doorward/auth").bearer("dwt_other"),
        Request::post("/_doorward/login")
            .by_our_page()
            .cookie(&asked.login_cookie().unwrap())
            .form(&[("conversation", &hidden(&asked, "conversation")), ("answer0", "wrong")]),
    ];
    assert_eq!(statuses(&all(&door, &failures)), [401; 7]);
    let answer = json!({ "conversation": parked, "answers": [BOB.1] });
    let refused = all(
        &door,
        &[
            api(BOB.0, BOB.1),
            form(EVE.0, EVE.1),
            basic(EVE.0, EVE.1),
            basic(EVE.0, EVE.1).navigating(),
            Request::get("/_doorward/auth").basic(EVE.0, EVE.1),
            Request::get("/_doorward/api/v1/whoami").basic(EVE.0, EVE.1),
            Request::get("/version").bearer("dwt_nonsense"),
            Request::get("/_doorward/auth").bearer("dwt_other"),
            Request::post("/_doorward/api/v1/login").json(&answer),
            Request::post("/_doorward/api/v1/login").json(&json!({ "user": "new" })),
        ],
    );
    refused.iter().for_each(is_refused);
    for number in [0, 2, 4, 5, 6, 7, 8, 9] {
        let text = refused[number].is_engine_error(429);
        assert!(text.starts_with("too many failed logins: try again in "), "{text}");
    }
    assert!(refused[1].body.contains("Too many failed logins. Try again in"), "{}", refused[1].body);
    assert!(refused[3].body.contains("Too many attempts"), "{}", refused[3].body);
    // What is known to be good is not asked for its address.
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 200);
    assert_eq!(door.passes(|request| request.bearer(&token)), 200);
    assert_eq!(door.send(&Request::get("/_doorward/auth").bearer(&token)).status, 204);
    assert_eq!(door.send(&Request::get("/_doorward/login").navigating()).status, 200);
    door.mint(&token, "from a banned address");
}

#[test]
fn b1_one_submission_is_one_attempt_however_many_steps_it_has() {
    let door = throttled("100/1h", "3/1h").open();
    let id = begin(&door, BOB.0);
    let wrong = json!({ "conversation": id, "answers": ["wrong"] });
    assert_eq!(door.api_login(&wrong).status, 401);
    assert_eq!(statuses(&all(&door, &[form(BOB.0, "wrong")])), [401]);
    // Right ones cost nothing, and steps that only ask neither.
    for _ in 0..10 {
        door.token(BOB);
        begin(&door, BOB.0);
    }
    assert_eq!(door.send(&basic(BOB.0, "wrong")).status, 401);
    is_refused(&door.send(&form(BOB.0, BOB.1)));
}

#[test]
fn b1_guesses_at_once_are_no_more_than_one_after_another() {
    let door = throttled("100/1h", "5/1h").open();
    let guesses: Vec<Request> = (0..40).map(|number| api(BOB.0, &format!("wrong{number}"))).collect();
    let statuses = statuses(&all(&door, &guesses));
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 5, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 35, "{statuses:?}");
}

#[test]
fn b1_a_client_that_hangs_up_early_has_failed_all_the_same() {
    let door = throttled("100/1h", "3/1h").open();
    for _ in 0..3 {
        let mut socket = TcpStream::connect(door.address).unwrap();
        let name = rustls::pki_types::ServerName::from(door.address.ip());
        let mut client = rustls::ClientConnection::new(door.tls(), name).unwrap();
        let mut tls = rustls::Stream::new(&mut client, &mut socket);
        tls.write_all(&api(BOB.0, "wrong").bytes(&door.host(), true)).unwrap();
        // The password has been looked at, and what it costs has not been waited for.
        door.output.line_with("login refused");
    }
    is_refused(&door.send(&api(BOB.0, BOB.1)));
}

#[test]
fn b2_nobody_can_lock_a_person_out_of_a_device_that_is_known() {
    let door = behind_terminator("100/1h", "3/1h").open();
    let reply = door.send(&from("198.51.100.1", form(BOB.0, BOB.1)));
    let device = reply.new_device().unwrap();
    let eves = door.send(&from("198.51.100.1", form(EVE.0, EVE.1))).new_device().unwrap();
    let token = door.token(BOB);
    for number in 1..=3 {
        assert_eq!(door.send(&from(&format!("203.0.113.{number}"), api("BOB", "wrong"))).status, 401);
    }
    is_refused(&door.send(&from("198.51.100.1", form(BOB.0, BOB.1))));
    // Somebody else's device is none of bob's.
    is_refused(&door.send(&from("198.51.100.1", form(BOB.0, BOB.1).cookie(&eves))));
    let doors: [fn(&str, &str) -> Request; 3] = [form, api, basic];
    for door_of in doors {
        let reply = door.send(&from("198.51.100.1", door_of(BOB.0, BOB.1).cookie(&device)));
        assert!(matches!(reply.status, 200 | 303), "{reply:?}");
    }
    // Nor can they lock out who holds a token.
    assert_eq!(door.passes(|request| request.bearer(&token)), 200);
    assert_eq!(door.send(&from("192.0.2.1", api(BOB.0, BOB.1).bearer(&token))).status, 200);
    // Whoever has got hold of the cookie has no endless tries either.
    for _ in 0..3 {
        assert_eq!(door.send(&from("192.0.2.2", form(BOB.0, "wrong").cookie(&device))).status, 401);
    }
    is_refused(&door.send(&from("192.0.2.2", form(BOB.0, BOB.1).cookie(&device))));
}

#[test]
fn i8_tokens_and_sessions_however_many_buy_no_further_guesses() {
    let door = throttled("1000/1h", "3/1h").open();
    let browser = door.send(&form(BOB.0, BOB.1)).new_device().unwrap();
    let stolen = door.token(BOB);
    let mut credentials: Vec<Box<dyn Fn(Request) -> Request>> = Vec::new();
    for number in 0..4 {
        let tokens = [door.token(BOB), door.mint(&stolen, &format!("derived {number}")).0];
        for token in tokens.into_iter().chain([scoped(&door, &stolen, number)]) {
            credentials.push(Box::new(move |request: Request| request.bearer(&token)));
        }
        let cookie = door.cookie(BOB);
        credentials.push(Box::new(move |request: Request| request.cookie(&cookie)));
    }
    let guesses: Vec<Request> = (0..5)
        .flat_map(|round| {
            credentials
                .iter()
                .enumerate()
                .map(move |(number, with)| with(api(BOB.0, &format!("{round} {number}"))))
        })
        .collect();
    let looked_at = all(&door, &guesses).iter().filter(|reply| reply.status == 401).count();
    assert_eq!(looked_at, 6, "three as a device, and three for the name");
    let fresh = door.send(&form(BOB.0, BOB.1).cookie(&browser)).new_device().unwrap();
    // A browser stays one device, whatever its cookie looks like after each login.
    let guesses = [&browser, &fresh].map(|cookie| form(BOB.0, "wrong").cookie(cookie));
    assert_eq!(statuses(&all(&door, &guesses)), [401; 2]);
    assert_eq!(door.send(&form(BOB.0, "wrong").cookie(&browser)).status, 401);
    is_refused(&door.send(&form(BOB.0, BOB.1).cookie(&fresh)));
}

#[test]
fn i8_derived_and_scoped_tokens_are_no_device() {
    let door = throttled("1000/1h", "3/1h").open();
    let token = door.token(BOB);
    let given_away = [door.mint(&token, "program").0, scoped(&door, &token, 1)];
    assert_eq!(statuses(&all(&door, &[(); 3].map(|()| api(BOB.0, "wrong")))), [401; 3]);
    for token in given_away {
        is_refused(&door.send(&api(BOB.0, BOB.1).bearer(&token)));
    }
    assert_eq!(door.send(&api(BOB.0, BOB.1).bearer(&token)).status, 200);
}

/// A token of the scope `read`.
fn scoped(door: &Door, token: &str, number: usize) -> String {
    let body = json!({ "name": format!("scoped {number}"), "scope": "read" });
    let reply = door.send(&Request::post("/_doorward/api/v1/tokens").bearer(token).json(&body));
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.json()["token"].as_str().unwrap().to_owned()
}

#[test]
fn b2_the_device_cookie_is_safe_and_stays_with_the_gateway() {
    let door = throttled("100/1h", "100/1h").open();
    let reply = door.submit(&[("user", BOB.0), ("password", BOB.1)]);
    let set = reply.set_cookie("-device").unwrap();
    for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(!set.contains("bob") && !set.contains("Domain"), "{set}");
    let device = reply.new_device().unwrap();
    assert_eq!(door.passes(|request| request.cookie(&device)), 401, "it is no credential");
    let cookies = format!("a=b; {device}; {}", reply.new_cookie().unwrap());
    let seen = door.send(&Request::get("/b2").cookie(&cookies)).body;
    assert!(seen.contains("a=b") && !seen.contains("doorward-"), "{seen}");
    let answer = door.send(&Request::get("/cookies").cookie(&reply.new_cookie().unwrap()));
    assert_eq!(answer.all("set-cookie"), ["a=b"]);
    // Failed logins give none, and nobody needs one.
    assert!(door.submit(&[("user", BOB.0), ("password", "wrong")]).new_device().is_none());
}

#[test]
fn b4_what_an_untrusted_peer_writes_into_forwarded_headers_makes_no_new_client() {
    let door = Setup::behind_terminator()
        .throttled(&["--throttle-address", "3/1h", "--throttle-user", "100/1h"])
        .with(&LONG)
        .open();
    for number in 1..=3 {
        let request = api(&format!("user{number}"), "wrong")
            .header("X-Forwarded-For", &format!("198.51.100.{number}"))
            .header("X-Real-IP", &format!("198.51.100.{number}"))
            .header("Forwarded", &format!("for=198.51.100.{number}"));
        assert_eq!(door.send(&request).status, 401);
    }
    is_refused(&door.send(&from("198.51.100.9", api(BOB.0, BOB.1))));
    door.output.line_with("it sends forwarded headers");
}

#[test]
fn b4_ipv6_is_counted_by_64_and_what_clients_forge_behind_a_proxy_counts_for_nothing() {
    let door = behind_terminator("3/1h", "100/1h").open();
    for (number, client) in
        ["2001:db8::1", "9.9.9.9, 2001:db8::ffff:2", "8.8.8.8, [2001:db8::3]:4711"].iter().enumerate()
    {
        assert_eq!(door.send(&from(client, api(&format!("user{number}"), "wrong"))).status, 401);
    }
    is_refused(&door.send(&from("7.7.7.7, 2001:db8::4", api(BOB.0, BOB.1))));
    assert_eq!(door.send(&from("2001:db8:0:1::1", api(BOB.0, BOB.1))).status, 200);
}

#[test]
fn b5_a_name_that_nobody_has_is_banned_as_one_that_somebody_has() {
    let door = throttled("1000/1h", "3/1h").open();
    let begun = Instant::now();
    let people = [(BOB.0, "wrong"), LOU, (UNKNOWN, "x")];
    let wrong: Vec<Request> =
        people.iter().flat_map(|(user, password)| (0..3).map(|_| api(user, password))).collect();
    assert_eq!(statuses(&all(&door, &wrong)), [401; 9]);
    let doors: [fn(&str, &str) -> Request; 3] = [api, form, basic];
    for door_of in doors {
        let requests = people.map(|(user, password)| door_of(user, password));
        let shapes: Vec<_> = all(&door, &requests)
            .iter()
            .zip(people)
            .map(|(reply, (user, _))| {
                is_refused(reply);
                shape(reply, user)
            })
            .collect();
        assert_eq!(shapes[0], shapes[1]);
        assert_eq!(shapes[0], shapes[2]);
    }
    // Four rounds, each of which has paid two seconds, give or take a quarter. The lower bound is the promise.
    assert!(begun.elapsed() >= Duration::from_millis(5900), "{:?}", begun.elapsed());
}

/// What an observer can compare; ids, the name, and the seconds that have passed aside.
fn shape(reply: &Reply, user: &str) -> (u16, Vec<String>, String) {
    let mut names: Vec<String> = reply.headers.iter().map(|(name, _)| name.clone()).collect();
    // Their order is chance.
    names.sort_unstable();
    let id = reply.header("x-request-id").unwrap_or("no such text");
    let body = reply.body_without_secrets().replace(id, "ID").replace(user, "USER");
    (reply.status, names, body.chars().filter(|c| !c.is_ascii_digit()).collect())
}

#[test]
fn a_program_with_an_old_token_bans_nobody() {
    let door = throttled("3/1h", "100/1h").open();
    let token = door.token(BOB);
    let revoked = door.token(BOB);
    let logout = Request::post("/_doorward/api/v1/logout").bearer(&revoked);
    assert_eq!(door.send(&logout).status, 204);
    for _ in 0..20 {
        assert_eq!(door.passes(|request| request.bearer(&revoked)), 401);
    }
    assert_eq!(door.passes(|request| request.bearer(&token)), 200);
    assert_eq!(door.send(&api(BOB.0, BOB.1)).status, 200);
}

#[test]
fn exempt_addresses_are_not_banned_and_names_still_are() {
    let door = throttled("3/1h", "4/1h").with(&["--throttle-exempt", "127.0.0.0/8"]).open();
    let wrong: Vec<Request> =
        [BOB.0, EVE.0, UNKNOWN].iter().flat_map(|user| (0..2).map(|_| api(user, "wrong"))).collect();
    assert_eq!(statuses(&all(&door, &wrong)), [401; 6]);
    door.token(BOB);
    assert_eq!(statuses(&all(&door, &[api(BOB.0, "wrong"), api(BOB.0, "wrong")])), [401; 2]);
    is_refused(&door.send(&api(BOB.0, BOB.1)));
    door.token(EVE);
}

#[test]
fn b7_peers_outside_are_dropped_before_they_are_spoken_to() {
    let door = Setup::usual().with(&["--allow-from", "192.0.2.0/24"]).open();
    let mut stream = TcpStream::connect(door.address).unwrap();
    stream.set_read_timeout(Some(AT_MOST)).unwrap();
    let name = rustls::pki_types::ServerName::from(door.address.ip());
    let mut client = rustls::ClientConnection::new(door.tls(), name).unwrap();
    // It may be gone before it has heard anything.
    let _ = client.write_tls(&mut stream);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty(), "TLS was spoken");
    assert_eq!(door.log(), "");
    let door = Setup::usual().with(&["--allow-from", "192.0.2.0/24,127.0.0.1"]).open();
    door.token(BOB);
}

#[test]
fn b7_clients_outside_that_a_trusted_proxy_names_get_403_before_anything_else() {
    let door = behind_terminator("100/1h", "100/1h").with(&["--allow-from", "198.51.100.0/24"]).open();
    let token =
        door.send(&from("198.51.100.1", api(BOB.0, BOB.1))).json()["token"].as_str().unwrap().to_owned();
    for request in [
        from("203.0.113.1", api(BOB.0, BOB.1)),
        from("203.0.113.1", form(BOB.0, "wrong")),
        from("203.0.113.1", basic(BOB.0, "wrong")),
        from("203.0.113.1", Request::get("/b7").bearer(&token)),
        from("198.51.100.1, 203.0.113.1", Request::get("/b7").bearer(&token)),
        from("203.0.113.1", Request::get("/_doorward/healthz")),
        // The proxy itself is not one of those who are served.
        Request::get("/b7").bearer(&token),
    ] {
        door.send(&request).is_engine_error(403);
    }
    assert!(door.engine.requests_with("/b7").is_empty());
    assert!(
        !door.output.lines().iter().any(|line| line.contains("login refused")),
        "a password was looked at"
    );
    assert_eq!(door.send(&from("198.51.100.1", Request::get("/b7").bearer(&token))).status, 200);
    door.await_log("clients from this address are not served here");
}

#[test]
fn b8_bans_survive_a_restart_and_an_operator_can_lift_them() {
    let mut door = behind_terminator("3/1h", "3/1h").open();
    for user in [BOB.0, EVE.0] {
        for number in 1..=3 {
            assert_eq!(door.send(&from(&format!("203.0.113.{number}"), api(user, "wrong"))).status, 401);
        }
    }
    assert_eq!(door.send(&from("203.0.113.1", api(UNKNOWN, "wrong"))).status, 401);
    door.restart(Signal::SIGTERM);
    is_refused(&door.send(&from("198.51.100.1", api(BOB.0, BOB.1))));
    is_refused(&door.send(&from("203.0.113.1", api("somebody", "x"))));
    assert_eq!(bans(&door, &["lift", "user", "lou"]).0, Some(1));
    assert_eq!(bans(&door, &["lift", "user", EVE.0]), (Some(0), "lifted\n".to_owned()));
    door.output.line_with("ban lifted");
    assert_eq!(door.send(&from("198.51.100.1", api(EVE.0, EVE.1))).status, 200);
    is_refused(&door.send(&from("198.51.100.1", api(BOB.0, BOB.1))));
}

#[test]
fn b8_a_ban_survives_a_crash_about_a_second_after_it_began() {
    let mut door = throttled("100/1h", "3/1h").open();
    assert_eq!(statuses(&all(&door, &[api(BOB.0, "1"), api(BOB.0, "2"), api(BOB.0, "3")])), [401; 3]);
    let begun = Instant::now();
    while !bans(&door, &[]).1.contains("user") {
        assert!(begun.elapsed() < AT_MOST, "never written down");
    }
    let (_, line) = bans(&door, &["--json"]);
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((line["kind"].as_str(), line["subject"].as_str()), (Some("user"), Some("bob")));
    assert_eq!(line["bans_in_a_row"], 1);
    door.restart(Signal::SIGKILL);
    is_refused(&door.send(&api(BOB.0, BOB.1)));
}

/// Exit code and output of `doorward bans`.
fn bans(door: &Door, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(PROGRAM);
    // Behind the words, as one adds it to a line that named none.
    command.arg("bans").args(arguments).arg("--state").arg(door.state()).env_clear();
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_password_checker_that_is_away_bans_nobody() {
    let door = Setup::pam()
        .throttled(&[
            "--throttle-address",
            "3/1h",
            "--throttle-user",
            "3/1h",
            "--pam-socket",
            "/nonexistent/pam.sock",
        ])
        .with(&LONG)
        .open();
    for _ in 0..5 {
        assert_eq!(door.send(&api(BOB.0, "x")).status, 503);
        assert_eq!(door.send(&basic(BOB.0, "x")).status, 503);
    }
}

#[test]
fn a3_a_delay_that_a_module_asks_for_holds_no_process_and_no_place() {
    if !may_run() {
        return;
    }
    let service = Service::new(
        "auth optional pam_faildelay.so delay=4000000\nauth required pam_deny.so\naccount required pam_deny.so\n",
    );
    let door = service.open(&["--pam-max-logins", "8"]);
    std::thread::scope(|scope| {
        let mut waiting = Vec::new();
        // Three times as many as there are places, all of whom wait for their delay at the end.
        for _ in 0..3 {
            waiting.extend((0..8).map(|_| scope.spawn(|| door.send(&api("dwl-nobody", "x")))));
            (0..8).for_each(|_| drop(door.output.line_with("login refused")));
            // Launcher, broker and gateway: the children go though nobody has been answered.
            let begun = Instant::now();
            while door.processes().len() > 3 {
                assert!(begun.elapsed() < AT_MOST, "a child is left: {:?}", door.processes());
            }
        }
        assert!(waiting.iter().any(|reply| !reply.is_finished()), "nobody waits");
        for reply in waiting {
            assert_eq!(reply.join().unwrap().status, 401);
        }
    });
}

#[test]
fn b6_beyond_the_places_logins_are_dropped_at_once_and_everything_else_goes_on() {
    if !may_run() {
        return;
    }
    let service = Service::new(&format!(
        "auth required {} hang\naccount required pam_permit.so\n",
        hostile().display()
    ));
    let door = service.open(&["--pam-max-logins", "2", "--pam-compute-timeout", "10s"]);
    std::thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        for _ in 0..3 {
            let (tell, door) = (tell.clone(), &door);
            scope.spawn(move || tell.send(door.send(&api("dwl-nobody", "x"))));
        }
        let dropped = told.recv().unwrap();
        assert_eq!(dropped.status, 429, "{dropped:?}");
        assert!(dropped.header("retry-after").is_some(), "{dropped:?}");
        let more: Vec<Request> = (0..20).map(|_| form("dwl-nobody", "x")).collect();
        assert_eq!(statuses(&all(&door, &more)), [429; 20]);
        assert!(told.try_recv().is_err(), "the drops waited for a place");
        assert_eq!(door.send(&Request::get("/_doorward/healthz")).status, 200);
        assert_eq!(statuses(&[told.recv().unwrap(), told.recv().unwrap()]), [503; 2]);
    });
}
