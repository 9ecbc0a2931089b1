//! Every command, against a gateway with a user file.

use serde_json::{Value, json};

use super::super::door::{BOB, Door, EVE, Setup};
use super::super::wire::Request;
use super::{Home, mode};

#[test]
fn gc1_login_keeps_a_private_token_and_logout_makes_the_next_request_401() {
    let (home, door) = (Home::new(), Door::shared());
    let ended = home.log_in(&door, BOB, &[]).expect(0);
    assert!(ended.err.contains("as bob until") && ended.out.is_empty(), "{ended:?}");
    assert_eq!(mode(&home.entry_path(&door)), 0o600);
    assert_eq!(mode(home.entry_path(&door).parent().unwrap()), 0o700);
    let token = home.token(&door);
    assert_eq!(door.passes(|request| request.bearer(&token)), 200);
    let who = home.run(&["whoami"]).expect(0).out;
    assert!(who.starts_with(&format!("bob (ops, dev team) at {}\n", door.origin())), "{who}");
    let told: Value = serde_json::from_str(&home.run(&["whoami", "--json"]).expect(0).out).unwrap();
    assert_eq!((told["user"].as_str(), told["door"].as_str()), (Some("bob"), Some("token")));
    let stream = door.open_stream("/silent", |request| request.bearer(&token));
    home.run(&["logout"]).expect(0);
    stream.await_end();
    assert_eq!(door.passes(|request| request.bearer(&token)), 401);
    home.is_empty();
    let said = home.run(&["whoami"]).expect(5).err;
    assert!(said.contains("doorward login https://"), "{said}");
    home.run(&["logout"]).expect(5);
    home.run(&["logout", "--all"]).expect(0);
}

#[test]
fn a_login_that_was_revoked_elsewhere_says_so() {
    let (home, door) = (Home::new(), Door::shared());
    home.log_in(&door, BOB, &["--no-context"]).expect(0);
    let token = home.token(&door);
    door.send(&Request::post("/_doorward/api/v1/logout").bearer(&token));
    let said = home.run(&["whoami"]).expect(5).err;
    assert!(said.ends_with(&format!("run: doorward login {}\n", door.origin())), "{said}");
    home.run(&["token", "list"]).expect(5);
    assert!(home.run(&["logout"]).expect(0).err.contains("had ended already"));
    home.is_empty();
}

#[test]
fn logout_forgets_a_gateway_that_is_gone_and_says_that_the_token_lives() {
    let (home, door) = (Home::new(), Setup::usual().open());
    home.log_in(&door, BOB, &["--default"]).expect(0);
    assert!(!home.files().is_empty());
    drop(door);
    let said = home.run(&["logout", "--all"]).expect(1).err;
    assert!(said.contains("on this machine only") && said.contains("the token is good until"), "{said}");
    home.is_empty();
}

#[test]
fn refusals_end_with_5_and_keep_nothing() {
    let (home, door) = (Home::new(), Door::shared());
    let said = home.log_in(&door, (BOB.0, "wrong"), &[]).expect(5).err;
    assert!(said.contains("wrong user name or password"), "{said}");
    home.is_empty();
    // Nobody can be asked: neither for the name nor for the password.
    let url = door.origin();
    let ca = door.state().join("autocert/cert.pem").display().to_string();
    for arguments in [vec!["login", "--ca", &ca, &url], vec!["login", "--user", "bob", "--ca", &ca, &url]] {
        assert!(home.run(&arguments).expect(2).err.contains("--password-stdin"));
    }
    let empty = home.run_with("", &["login", "--user", "bob", "--password-stdin", "--ca", &ca, &url]);
    assert!(empty.expect(1).err.contains("standard input is empty"));
    for arguments in
        [vec!["login", "https://bob:secret@127.0.0.1"], vec!["whoami", "--host", "bob:secret@127.0.0.1"]]
    {
        let said = home.run(&arguments).err;
        assert!(!said.is_empty() && !said.contains("secret"), "{said}");
    }
    home.run(&["login", "https://bob:secret@127.0.0.1"]).expect(2);
    home.is_empty();
}

#[test]
fn k7_no_secret_stands_in_arguments_or_environment() {
    let help = Home::new().run(&["login", "--help"]).expect(0).out;
    for option in ["--password ", "--password=", "--token"] {
        assert!(!help.contains(option), "{help}");
    }
    assert!(!help.contains("[env"), "{help}");
}

#[test]
fn k5_without_a_terminal_nobody_is_believed_who_proves_nothing() {
    let (home, door) = (Home::new(), Door::shared());
    let url = door.origin();
    let login = |more: &[&str]| {
        let arguments = ["login", "--user", "bob", "--password-stdin", &url];
        home.run_with("correct horse\n", &[&arguments, more].concat())
    };
    let said = login(&[]).expect(6).err;
    let fingerprint =
        said.lines().find_map(|line| line.trim().strip_prefix("--fingerprint ")).unwrap().to_owned();
    let wrong = fingerprint.replace(['0', '1', '2'], "A").replace('B', "C");
    assert!(login(&["--fingerprint", &wrong]).expect(6).err.contains("another fingerprint"));
    login(&["--fingerprint", "abc"]).expect(2);
    let elsewhere = Home::new();
    let other = elsewhere.place.write("other.pem", &other_certificate());
    login(&["--ca", other.to_str().unwrap()]).expect(6);
    home.is_empty();
    login(&["--fingerprint", &fingerprint.to_lowercase()]).expect(0);
    // From then on the key is known.
    assert_eq!(home.entry(&door)["trust"]["by"], "pin");
    home.run(&["whoami"]).expect(0);
    login(&[]).expect(0);
}

fn other_certificate() -> String {
    rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap().cert.pem()
}

#[test]
fn k4_a_token_is_made_listed_and_revoked() {
    let (home, door) = (Home::new(), Setup::usual().open());
    home.log_in(&door, BOB, &["--name", "laptop"]).expect(0);
    let made = home.run(&["token", "create", "--name", "ci", "--expires", "1h"]).expect(0);
    let token = made.out.trim_end();
    assert!(token.starts_with("dwt_") && made.out.lines().count() == 1, "{made:?}");
    assert!(!made.err.contains(token), "{made:?}");
    assert_eq!(door.passes(|request| request.bearer(token)), 200);
    let list = home.run(&["token", "list"]).expect(0).out;
    assert!(list.starts_with("ID  ") && list.contains("laptop") && list.contains("minted"), "{list}");
    assert!(!list.contains("dwt_") && !list.contains('\u{1b}'), "{list}");
    let rows: Value = serde_json::from_str(&home.run(&["token", "list", "--json"]).expect(0).out).unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["name"] == "ci").unwrap();
    assert_eq!(row["kind"], "minted");
    let id = row["id"].as_str().unwrap();
    assert!(!made.err.contains("shorter"), "{made:?}");
    let long = home.run(&["token", "create", "--name", "long", "--expires", "30d"]).expect(0).err;
    assert!(long.contains("shorter than --expires asks for"), "{long}");
    home.run(&["token", "revoke", id]).expect(0);
    assert_eq!(door.passes(|request| request.bearer(token)), 401);
    assert!(home.run(&["token", "revoke", id]).expect(1).err.contains("no such token"));
    home.run(&["token", "revoke"]).expect(2);
    // An id is no way to another path.
    home.run(&["token", "revoke", "../logout"]).expect(1);
    home.run(&["whoami"]).expect(0);
}

#[test]
fn a_browsers_session_is_listed_and_ended() {
    let (home, door) = (Home::new(), Setup::usual().open());
    home.log_in(&door, EVE, &["--no-context"]).expect(0);
    assert!(home.run(&["session", "list"]).expect(0).err.contains("no sessions"));
    let cookie = door.cookie(EVE);
    let rows: Value = serde_json::from_str(&home.run(&["session", "list", "--json"]).expect(0).out).unwrap();
    let id = rows[0]["id"].as_str().unwrap();
    assert!(home.run(&["session", "list"]).expect(0).out.contains(id));
    home.run(&["session", "revoke", id]).expect(0);
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 401);
}

#[test]
fn api_sends_one_request_with_the_login() {
    let (home, door) = (Home::new(), Door::shared());
    home.log_in(&door, BOB, &["--no-context"]).expect(0);
    let seen = home.run(&["api", "GET", "/echo?x=1"]).expect(0).out;
    assert!(seen.contains("GET /echo?x=1 ") && seen.contains("x-forwarded-user: bob\r\n"), "{seen}");
    assert!(!seen.contains("dwt_"), "the engine never sees the token: {seen}");
    let sent = home.run(&["api", "post", "/x", "--data", "{\"a\":1}"]).expect(0).out;
    assert!(sent.starts_with("POST /x ") && sent.contains("content-length: 7\r\n"), "{sent}");
    assert!(sent.contains("content-type: application/json\r\n"), "{sent}");
    let head = home.run(&["api", "GET", "/_doorward/api/v1/whoami", "-i", "--json"]).expect(0).out;
    assert!(head.starts_with("HTTP/1.1 200 OK\n") && head.contains("\n\n{\n  \"credential\""), "{head}");
    let refused = home.run(&["api", "GET", "/_doorward/nothing"]).expect(1).out;
    assert_eq!(serde_json::from_str::<Value>(&refused).unwrap(), json!({ "message": "page not found" }));
    for path in ["info", "https://elsewhere.example/", "/a b"] {
        home.run(&["api", "GET", path]).expect(2);
    }
    home.run(&["api", "POST", "/x", "--data", "@/nothing/here"]).expect(1);
}

#[test]
fn of_several_logins_the_last_one_counts_unless_a_host_is_named() {
    let (home, one, other) = (Home::new(), Setup::usual().open(), Setup::usual().open());
    home.log_in(&one, BOB, &[]).expect(0);
    // Times of logins have seconds; the other must be the later one.
    let entry = home.entry_path(&one);
    let text = std::fs::read_to_string(&entry).unwrap();
    let made = home.entry(&one)["made"].as_i64().unwrap();
    std::fs::write(&entry, text.replace(&made.to_string(), &(made - 10).to_string())).unwrap();
    home.log_in(&other, EVE, &[]).expect(0);
    assert!(home.run(&["whoami"]).expect(0).out.starts_with("eve at"));
    assert!(home.run(&["whoami", "--host", &one.host()]).expect(0).out.starts_with("bob"));
    // The second gateway of a host has a context of its own.
    let context = home.entry(&other)["context"]["name"].as_str().unwrap().to_owned();
    assert_eq!(context, format!("127.0.0.1-{}", other.address.port()));
    assert!(home.run(&["whoami", "--host", &context]).expect(0).out.starts_with("eve"));
    // Named like that it may be either.
    home.run(&["whoami", "--host", "localhost"]).expect(5);
    home.run(&["logout", "--host", &one.host()]).expect(0);
    home.run(&["whoami"]).expect(0);
    home.run(&["logout", "--all"]).expect(0);
    home.is_empty();
}

#[test]
fn plain_http_is_for_private_addresses_and_warned_of() {
    let (home, door) = (Home::new(), Setup::behind_terminator().open());
    let url = format!("http://{}", door.address);
    let arguments = ["login", "--user", "bob", "--password-stdin", &url];
    let said = home.run_with("correct horse\n", &arguments).expect(0).err;
    assert!(said.contains("not encrypted") && said.contains("doorward tunnel"), "{said}");
    home.run(&["whoami"]).expect(0);
    home.run(&["logout"]).expect(0);
    // A public address is not spoken to at all.
    let far = ["login", "--user", "bob", "--password-stdin", "http://192.0.2.1:8100"];
    let said = home.run_with("correct horse\n", &far).expect(1).err;
    assert!(said.contains("192.0.2.1 is not an address of this host or of a private network"), "{said}");
    assert!(!said.contains("warning"), "it is refused, not warned of: {said}");
    home.is_empty();
}

#[test]
fn another_login_ends_the_one_before() {
    let (home, door) = (Home::new(), Setup::usual().open());
    home.log_in(&door, BOB, &["--http-headers"]).expect(0);
    let old = home.token(&door);
    let stream = door.open_stream("/silent", |request| request.bearer(&old));
    let said = home.log_in(&door, BOB, &["--no-context"]).expect(0).err;
    assert!(said.contains("removed docker context"), "{said}");
    stream.await_end();
    assert_eq!(door.passes(|request| request.bearer(&old)), 401);
    assert_eq!(door.passes(|request| request.bearer(&home.token(&door))), 200);
    assert_eq!(home.files(), [home.entry_path(&door)], "nothing of the old login may stay");
    // What ended by itself, or elsewhere, is no reason to fail.
    let token = home.token(&door);
    door.send(&Request::post("/_doorward/api/v1/logout").bearer(&token));
    home.log_in(&door, EVE, &[]).expect(0);
    assert_eq!(home.run(&["token", "list", "--json"]).expect(0).out.matches("\"id\"").count(), 1);
}

#[test]
fn a_broken_entry_does_not_stand_in_the_way_of_other_logins() {
    let (home, door) = (Home::new(), Door::shared());
    home.log_in(&door, BOB, &[]).expect(0);
    let broken = home.entry_path(&door).with_file_name("broken.example:8100.json");
    std::fs::write(&broken, "{\"token\": \"dwt_secret").unwrap();
    std::fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let host = door.host();
    for arguments in
        [vec!["whoami"], vec!["whoami", "--host", &host], vec!["context"], vec!["context", "renew"]]
    {
        let ended = home.run(&arguments).expect(0);
        assert!(ended.err.contains("warning: ") && ended.err.contains("broken.example"), "{ended:?}");
        assert!(!ended.err.contains("secret"), "{ended:?}");
    }
    let said = home.run(&["whoami", "--host", "broken.example"]).expect(1).err;
    assert!(said.contains("remove it and log in again"), "{said}");
    let said = home.run(&["logout", "--all"]).expect(1).err;
    assert!(said.contains("logged out of") && said.contains("broken.example"), "{said}");
    home.is_empty();
}
