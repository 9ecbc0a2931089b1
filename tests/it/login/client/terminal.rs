//! `doorward login` with a person at a terminal.

use std::os::unix::process::ExitStatusExt;
use std::time::Instant;

use nix::sys::signal::Signal;

use super::super::door::{BOB, Door};
use super::super::people::{Person, Service, may_run};
use super::super::wire::AT_MOST;
use super::Home;
use super::server::{Server, json};
use crate::settings::terminal::Terminal;

fn start(home: &Home, arguments: &[&str]) -> Terminal {
    let path = home.path("");
    // What the machine that runs the tests has set would count before the home folder.
    let environment = [
        ("HOME", path.to_str().unwrap()),
        ("USER", "dev"),
        ("XDG_CONFIG_HOME", ""),
        ("DOCKER_CONFIG", ""),
        ("DOORWARD_CONFIG_HOME", ""),
        ("DISPLAY", ""),
        ("WAYLAND_DISPLAY", ""),
    ];
    Terminal::run(&home.place, &environment, arguments)
}

fn trusted(door: &Door) -> String {
    door.state().join("autocert/cert.pem").display().to_string()
}

#[test]
fn k5_the_first_time_a_person_compares_the_fingerprint() {
    let (home, door) = (Home::new(), Door::shared());
    let url = door.origin();
    let lines = door.output.lines();
    let line = lines.iter().find(|line| line.contains("\"fingerprint\"")).unwrap();
    let printed = line.split("\"fingerprint\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    for answer in ["no", "", "perhaps", "AA:BB"] {
        let mut terminal = start(&home, &["login", &url]);
        terminal.expect(&printed);
        // Whatever is no clear yes is asked for again, and is a no in the end.
        for _ in 0..if answer == "no" { 1 } else { 3 } {
            terminal.expect("(yes/no");
            terminal.send(&format!("{answer}\r"));
        }
        let (status, shown) = terminal.end();
        assert!(status.code() == Some(6) && shown.contains("is not trusted; nothing was sent"), "{shown}");
        home.is_empty();
    }
    let mut terminal = start(&home, &["login", &url]);
    terminal.expect("(yes/no");
    terminal.send("yes\r");
    terminal.expect("User [dev]:");
    terminal.send("bob\r");
    terminal.answer("Password: ", BOB.1);
    let (status, shown) = terminal.end();
    assert!(status.success() && shown.contains("logged in to") && !shown.contains("horse"), "{shown}");
    // The second time it is known, and whoever pastes the fingerprint has compared it.
    let mut terminal = start(&home, &["login", "--user", "bob", &url]);
    terminal.answer("Password: ", BOB.1);
    assert!(terminal.end().0.success());
    let other = Home::new();
    let mut terminal = start(&other, &["login", "--user", "bob", &url]);
    terminal.expect("(yes/no");
    terminal.send(&format!("{printed}\r"));
    terminal.answer("Password: ", BOB.1);
    assert!(terminal.end().0.success());
    assert_eq!(other.run(&["whoami"]).code, Some(0));
}

#[test]
fn ctrl_c_leaves_no_trace_and_no_child() {
    if !may_run() {
        return;
    }
    let (home, person, service) = (Home::new(), Person::new("right horse"), Service::unix());
    let door = service.open(&[]);
    let url = door.origin();
    let mut terminal = start(&home, &["login", "--user", &person.name, "--ca", &trusted(&door), &url]);
    terminal.expect("Password: ");
    terminal.await_hidden();
    assert_eq!(door.logins_under_way(), 1);
    terminal.send("right ho\u{3}");
    // `end` sees to it that the terminal shows again what is typed.
    let (status, shown) = terminal.end();
    assert_eq!(status.signal(), Some(Signal::SIGINT as i32), "{status:?} {shown}");
    assert!(shown.contains("not logged in") && !shown.contains("right"), "{shown}");
    home.is_empty();
    // The gateway was told: the child is gone long before its deadline of two minutes.
    let begun = Instant::now();
    while door.logins_under_way() > 0 {
        assert!(begun.elapsed() < AT_MOST, "a login still waits");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn an_expired_password_is_changed_in_the_same_conversation() {
    if !may_run() {
        return;
    }
    let (home, person, service) = (Home::new(), Person::new("right horse"), Service::unix());
    person.change("chage", &["-d", "0"]);
    let door = service.open(&[]);
    let url = door.origin();
    let mut terminal = start(&home, &["login", "--user", &person.name, "--ca", &trusted(&door), &url]);
    terminal.answer("Password: ", "right horse");
    terminal.expect("Changing password for");
    terminal.answer("Current password: ", "right horse");
    terminal.answer("New password: ", "an entirely new horse 7");
    terminal.answer("Retype new password: ", "an entirely new horse 7");
    let (status, shown) = terminal.end();
    assert!(status.success() && shown.contains("logged in to") && !shown.contains("horse"), "{shown}");
    assert_eq!(
        door.api_login(&serde_json::json!({ "user": person.name, "password": "right horse" })).status,
        401
    );
    home.run(&["whoami"]).expect(0);
}

#[test]
fn messages_come_before_questions_of_every_style_and_steer_nothing() {
    let server = Server::start(|request| {
        let answers = request.split("\"answers\":").nth(1).and_then(|rest| rest.split(']').next());
        match answers {
            None if request.contains("/login ") => json(
                200,
                r#"{"conversation":"c","messages":[{"level":"error","text":"look\u001b[2J here"}],"prompts":[
                    {"style":"echo","text":"Code\u001b]0;x\u0007: "},
                    {"style":"secret","text":"PIN: "},
                    {"style":"radio","text":"Trust this? "}]}"#,
            ),
            None => json(404, r#"{"message":"none"}"#),
            Some(r#"["123","4711","yes""#) => super::server::granted(),
            Some(_) => json(401, r#"{"message":"wrong answers"}"#),
        }
    });
    let home = Home::new();
    let mut terminal = start(&home, &["login", "--user", "bob", &server.url()]);
    terminal.expect("(yes/no");
    terminal.send("yes\r");
    terminal.expect("error: look?[2J here");
    terminal.expect("Code?]0;x?: ");
    terminal.send("123\r");
    terminal.answer("PIN: ", "4711");
    terminal.expect("Trust this? (yes/no) ");
    terminal.send("Y\r");
    let (status, shown) = terminal.end();
    assert!(status.success() && !shown.contains("4711"), "{shown}");
}

#[test]
fn a_password_from_a_pipe_is_not_typed_where_everybody_sees_it() {
    let (home, door) = (Home::new(), Door::shared());
    let arguments = ["login", "--user", "bob", "--password-stdin", "--ca", &trusted(&door), &door.origin()];
    let (status, shown) = start(&home, &arguments).end();
    assert!(status.code() == Some(2) && shown.contains("leave it out to be asked"), "{shown}");
}

#[test]
fn a_table_has_colours_at_a_terminal_only() {
    let (home, door) = (Home::new(), Door::shared());
    home.log_in(&door, BOB, &["--no-context"]).expect(0);
    let (status, shown) = start(&home, &["token", "list"]).end();
    assert!(status.success() && shown.contains("\u{1b}[1m"), "{shown:?}");
    assert!(!home.run(&["token", "list"]).expect(0).out.contains('\u{1b}'));
    let mut terminal = start(&home, &["token", "revoke", "--user", "bob"]);
    terminal.expect("Revoke all tokens of bob");
    terminal.send("n\r");
    let (status, shown) = terminal.end();
    assert!(status.code() == Some(1) && shown.contains("nothing was changed"), "{shown}");
    home.run(&["whoami"]).expect(0);
}

#[test]
fn nobody_is_asked_who_they_are_before_the_gateway_has_proven_who_it_is() {
    let (home, server) = (Home::new(), Server::start(|_| json(500, "{}")));
    let other = home.place.write(
        "other.pem",
        &rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap().cert.pem(),
    );
    let (status, shown) = start(&home, &["login", "--ca", other.to_str().unwrap(), &server.url()]).end();
    assert!(status.code() == Some(6) && !shown.contains("User"), "{shown}");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let (status, shown) = start(&home, &["login", &url]).end();
    assert!(status.code() == Some(1) && !shown.contains("User") && !shown.contains("warning"), "{shown}");
}
