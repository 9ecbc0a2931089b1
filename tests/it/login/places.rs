//! Who gets a place for a login where others hold many: nobody can keep everybody else out.

use serde_json::{Value, json};

use super::door::{BOB, Door, Setup};
use super::people::{Service, hostile, may_run};
use super::wire::{Reply, Request};

const HONEST: &str = "203.0.113.7";
const LOGIN: &str = "/_doorward/api/v1/login";

/// Clients have the addresses that a trusted terminator names.
fn behind_terminator() -> Setup {
    Setup::behind_terminator().with(&["--trusted-proxy", "127.0.0.1"])
}

fn from(door: &Door, address: &str, body: &Value) -> Reply {
    let request = Request::post(LOGIN).json(body);
    door.send(&if address.is_empty() { request } else { request.header("X-Forwarded-For", address) })
}

fn begin(door: &Door, address: &str) -> Reply {
    from(door, address, &json!({ "user": BOB.0 }))
}

fn answer(door: &Door, address: &str, step: &Value, text: &str) -> Reply {
    from(door, address, &json!({ "conversation": step["conversation"], "answers": [text] }))
}

/// The address of each member.
type Crowd = fn(usize) -> String;

/// Addresses that one owner may have.
fn crowds() -> [(&'static str, Crowd); 3] {
    [
        ("one /64", |number| format!("2001:db8::{:x}", number % 12)),
        ("one /48", |number| format!("2001:db8:0:{number:x}::1")),
        ("eight addresses", |number| format!("198.51.100.{}", number % 8)),
    ]
}

#[test]
fn i12_a_network_that_begins_logins_and_never_answers_keeps_nobody_out() {
    for (what, address) in crowds() {
        let door = behind_terminator().open();
        for number in 0..70 {
            begin(&door, &address(number));
        }
        let mine = begin(&door, HONEST);
        assert_eq!(mine.status, 200, "{what}: {mine:?}");
        for number in 70..140 {
            begin(&door, &address(number));
        }
        let done = answer(&door, HONEST, &mine.json(), BOB.1);
        assert_eq!(done.status, 200, "{what}: {done:?}");
    }
}

#[test]
fn i12_behind_a_balancer_that_names_no_client_everybody_has_a_place_and_failures_ban_nobody_else() {
    let rates = ["--throttle-address", "3/1h", "--throttle-user", "100/1h", "--throttle-ban", "1h"];
    let door = behind_terminator().with(&["--trusted-proxy", "10.0.0.0/8"]).throttled(&rates).open();
    let steps: Vec<Value> = (0..30).map(|_| begin(&door, "").json()).collect();
    for step in &steps {
        assert_eq!(answer(&door, "", step, BOB.1).status, 200, "{step}");
    }
    for number in 0..4 {
        let wrong = json!({ "user": format!("nobody{number}"), "password": "wrong" });
        assert_eq!(from(&door, "", &wrong).status, 401);
    }
    assert_eq!(from(&door, "", &json!({ "user": BOB.0, "password": BOB.1 })).status, 200);
    // Where it names them, each is one client, also in a network of proxies.
    for number in 0..3 {
        let wrong = json!({ "user": format!("no-one{number}"), "password": "wrong" });
        assert_eq!(from(&door, "10.1.2.3", &wrong).status, 401);
    }
    assert_eq!(from(&door, "10.1.2.3", &json!({ "user": BOB.0, "password": BOB.1 })).status, 429);
}

#[test]
fn i12_one_client_goes_on_from_another_address_of_its_64() {
    let door = behind_terminator().open();
    let step = begin(&door, "2001:db8:7::1").json();
    assert_eq!(answer(&door, "2001:db8:7::ffff", &step, BOB.1).status, 200);
    let step = begin(&door, "2001:db8:7::1").json();
    assert_eq!(answer(&door, "2001:db8:7:1::1", &step, BOB.1).status, 410);
}

#[test]
fn i12_a_step_after_a_right_answer_is_refused_for_want_of_a_place_by_nobody() {
    if !may_run() {
        return;
    }
    // Asks for a badge, "42", and then for a code.
    let service =
        Service::new(&format!("auth required {} two\naccount required pam_permit.so\n", hostile().display()));
    let door = Setup::behind_terminator()
        .without_users()
        .with(&["--pam-service", &service.name, "--pam-max-logins", "16"])
        .with(&["--trusted-proxy", "127.0.0.1", "--login-failure-delay", "50ms"])
        .open();
    let mine = begin(&door, HONEST).json();
    // As many networks as somebody has rented machines.
    let crowd: Vec<Value> =
        (0..16).map(|number| begin(&door, &format!("198.51.{number}.1"))).map(|reply| reply.json()).collect();
    let second = answer(&door, HONEST, &mine, "42");
    assert_eq!(second.status, 200, "{second:?}");
    for number in 16..32 {
        begin(&door, &format!("198.51.{number}.1"));
    }
    // Steps of their own do not push it out either.
    for step in crowd.iter().filter(|step| step["conversation"].is_string()) {
        answer(&door, "198.51.0.1", step, "42");
    }
    let done = answer(&door, HONEST, &second.json(), "s3cret");
    assert_eq!(done.status, 200, "{done:?}");
}
