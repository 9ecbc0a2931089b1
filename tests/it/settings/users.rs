//! `doorward users`: what it changes, what it says, and what it does not do.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::{Command, Stdio};

use nix::unistd::{User, geteuid};
use serde_json::{Value, json};

use super::{Place, outcome, refused};

/// "password", cheap and weak.
const HASH: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

/// A place whose user file `people` holds bob, in two groups, and eve, who is disabled.
fn place() -> Place {
    let place = Place::new();
    let text = format!(
        "# The lab.\n\n# The chief.\n[users.bob]\npassword = \"{HASH}\"\ngroups = [\"ops\", \"dev\"]\n\n\
         [users.eve]\npassword = \"{HASH}\"\ndisabled = true\n"
    );
    place.write("people", &text);
    place
}

fn users(place: &Place, arguments: &[&str]) -> Command {
    let mut command = place.doorward(&["users", "--users", "people"]);
    command.args(arguments);
    command
}

/// What the command said on both streams; it must end with `code`.
#[track_caller]
fn ends(code: i32, command: &mut Command) -> (String, String) {
    let (ended, stdout, stderr) = outcome(command);
    assert_eq!(ended, Some(code), "{stdout}{stderr}");
    (stdout, stderr)
}

/// As [`ends`], with a standard input.
#[track_caller]
fn fed(input: &[u8], code: i32, command: &mut Command) -> (String, String) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that reads nothing closes its end.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    (stdout, stderr)
}

fn listed(place: &Place) -> Value {
    let (stdout, _) = ends(0, &mut users(place, &["list", "--json"]));
    serde_json::from_str(&stdout).unwrap()
}

fn names(place: &Place) -> Vec<String> {
    let listed = listed(place);
    let users = listed["users"].as_array().unwrap();
    users.iter().map(|user| user["name"].as_str().unwrap().to_owned()).collect()
}

fn text(place: &Place) -> String {
    std::fs::read_to_string(place.path("people")).unwrap()
}

#[test]
fn a_user_is_added_with_a_password_from_a_pipe() {
    let place = place();
    let (stdout, stderr) = fed(
        b"correct horse\n",
        0,
        &mut users(&place, &["add", "amy", "--group", "ops", "--group", "dev team", "--password-stdin"]),
    );
    assert_eq!(stdout, "added amy, in the groups ops, dev team\n");
    assert!(!stderr.contains("password"), "{stderr}");
    let amy = &listed(&place)["users"][0];
    assert_eq!((&amy["name"], &amy["groups"]), (&json!("amy"), &json!(["ops", "dev team"])));
    assert_eq!(amy["hash"], json!({ "memory_kib": 19456, "passes": 2, "lanes": 1, "weak": false }));
    assert!(text(&place).starts_with("# The lab.\n\n# The chief.\n[users.bob]"), "{}", text(&place));
    assert!(!text(&place).contains("horse"));

    let (_, stderr) = fed(b"x\n", 1, &mut users(&place, &["add", "amy", "--password-stdin"]));
    assert_eq!(stderr, "error: user amy exists already\n");
}

#[test]
fn what_cannot_be_a_password_is_refused_and_what_is_short_is_warned_of() {
    let place = place();
    let before = text(&place);
    for (input, said) in [
        (&b""[..], "the password is empty"),
        (b"\n", "the password is empty"),
        (b"a\0b\n", "the password holds a NUL"),
        (b"a\xff\n", "not UTF-8"),
        (b"one\ntwo\n", "more than one line"),
        (&[b'x'; 512], "longer than 511 bytes"),
        (&[b'x'; 1_000_000], "longer than 511 bytes"),
    ] {
        let (_, stderr) = fed(input, 1, &mut users(&place, &["add", "amy", "--password-stdin"]));
        assert!(stderr.contains(said), "{stderr}");
    }
    assert_eq!(text(&place), before);
    let (_, stderr) = fed(b"amy\n", 0, &mut users(&place, &["add", "amy", "--password-stdin"]));
    assert!(stderr.contains("warning: the password is short (3 of at least 8"), "{stderr}");
    assert!(stderr.contains("warning: the password is the user's name"), "{stderr}");
}

#[test]
fn a_made_up_password_is_all_of_standard_output_and_stands_nowhere_else() {
    let place = place();
    for arguments in [["add", "amy", "--generate"], ["passwd", "bob", "--generate"]] {
        let before = text(&place);
        let (stdout, stderr) = ends(0, &mut users(&place, &arguments));
        let password = stdout.strip_suffix('\n').unwrap();
        assert!(password.len() == 23 && !password.contains(char::is_whitespace), "{password:?}");
        assert!(stderr.contains("the password is shown this once"), "{stderr}");
        assert!(!text(&place).contains(password) && text(&place) != before);
        let file = doorward::users::UserFile::load(&place.path("people")).unwrap();
        let name = doorward::domain::Username::parse(arguments[1]).unwrap();
        let typed = doorward::domain::Password::parse(password.to_owned()).unwrap();
        assert_ne!(file.verify(&name, &typed), doorward::users::Verdict::Refused);
    }
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (_, stderr) = ends(1, users(&place, &["passwd", "bob", "--generate"]).stdout(full));
    assert!(stderr.contains("could not be printed") && stderr.contains("set another"), "{stderr}");
}

#[test]
fn a_password_is_never_taken_from_arguments_or_the_environment() {
    let place = place();
    let before = text(&place);
    for arguments in [&["add", "amy", "secret"][..], &["add", "amy", "--password", "secret"]] {
        ends(2, &mut users(&place, arguments));
    }
    for name in ["DOORWARD_PASSWORD", "DOORWARD_PASSWORD_STDIN", "PASSWORD"] {
        let mut command = users(&place, &["add", "amy"]);
        let (_, stderr) = ends(2, command.env(name, "secret").stdin(Stdio::null()));
        assert!(stderr.contains("--password-stdin or --generate"), "{stderr}");
    }
    ends(2, &mut users(&place, &["add", "amy", "--password-stdin", "--generate"]));
    assert_eq!(text(&place), before);
}

#[test]
fn groups_and_the_flag_are_set_one_user_at_a_time() {
    let place = place();
    let before = text(&place);
    let set = |arguments: &[&str]| {
        let (stdout, _) = ends(0, users(&place, &["set"]).args(arguments));
        stdout
    };
    assert_eq!(set(&["bob", "--groups", "dev,new"]), "bob is let in, in the groups dev, new\n");
    assert_eq!(
        set(&["bob", "--add-group", "ops", "--remove-group", "new,dev"]),
        "bob is let in, in the group ops\n"
    );
    assert_eq!(set(&["eve", "--enable", "--add-group", "ops"]), "eve is let in, in the group ops\n");
    assert_eq!(set(&["bob", "--groups", "", "--disable"]), "bob is shut out, in no group\n");
    let users_now = &listed(&place)["users"];
    assert_eq!((&users_now[0]["disabled"], &users_now[1]["disabled"]), (&json!(true), &json!(false)));
    set(&["bob", "--groups", "ops,dev", "--enable"]);
    set(&["eve", "--groups", "", "--disable"]);
    let same = |text: &str| text.replace("groups = []\n", "").replace("disabled = false\n", "");
    assert_eq!(same(&text(&place)), same(&before));

    for wrong in [
        &["bob"][..],
        &["bob", "--enable", "--disable"],
        &["bob", "--groups", "a", "--add-group", "b"],
        &["-x", "--enable"],
    ] {
        ends(2, users(&place, &["set"]).args(wrong));
    }
    let (_, stderr) = ends(1, &mut users(&place, &["set", "bob", "--groups", "a/b"]));
    assert_eq!(stderr, "error: \"a/b\" cannot be a group's name\n");
}

#[test]
fn several_are_shut_out_let_in_and_removed_together_or_not_at_all() {
    let place = place();
    let before = text(&place);
    for command in ["enable", "disable", "logout", "remove"] {
        let (_, stderr) = ends(1, &mut users(&place, &[command, "bob", "nobody"]));
        assert_eq!(stderr, "error: there is no user nobody\n");
        assert_eq!(text(&place), before, "{command}");
    }
    let (_, stderr) = ends(0, &mut users(&place, &["disable", "bob", "eve"]));
    assert!(stderr.contains("nobody in the file can log in now"), "{stderr}");
    ends(0, &mut users(&place, &["enable", "bob", "eve"]));
    assert!(listed(&place)["users"].as_array().unwrap().iter().all(|user| user["disabled"] == false));
    ends(0, &mut users(&place, &["logout", "bob"]));
    let listed = listed(&place);
    let time = listed["users"][0]["valid_from"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(time <= jiff::Timestamp::now() && listed["users"][1].get("valid_from").is_none(), "{listed}");
    // Without a terminal nobody can be asked.
    let (stdout, stderr) = ends(0, users(&place, &["remove", "bob", "bob"]).stdin(Stdio::null()));
    assert_eq!((stdout.as_str(), names(&place)), ("removed bob\n", vec!["eve".to_owned()]));
    assert!(stderr.contains("this comment went with it: # The chief."), "{stderr}");
    assert!(text(&place).starts_with("# The lab.\n"), "{}", text(&place));
}

#[test]
fn a_list_is_aligned_and_has_no_colours_where_no_terminal_is() {
    let place = place();
    let (stdout, stderr) = ends(0, &mut users(&place, &["list"]));
    assert_eq!(
        stdout,
        "USER  STATE     GROUPS    HASH\n\
         bob   active    ops, dev  m=256,t=2,p=1 (weak)\n\
         eve   disabled  -         m=256,t=2,p=1 (weak)\n"
    );
    assert!(stderr.starts_with("2 hashed more weakly than new passwords are"), "{stderr}");
    let listed = listed(&place);
    assert_eq!(listed["file"], "people");
    assert_eq!(listed["users"][0]["hash"]["weak"], true);
    place.write("people", "");
    let (stdout, stderr) = ends(0, &mut users(&place, &["list"]));
    assert!(stdout.is_empty() && stderr.contains("holds no users"), "{stderr}");
}

#[test]
fn l4_the_file_comes_from_option_environment_or_settings_or_is_asked_for() {
    let place = place();
    let list = || place.doorward(&["users", "list", "--json"]);
    let config = place.write("d.toml", "users = \"people\"\nautocert = \"*\"\n");
    ends(0, list().arg("--config").arg(&config));
    ends(0, list().env("DOORWARD_CONFIG", &config));
    ends(0, list().env("DOORWARD_USERS", "people"));
    ends(0, list().args(["--users", "people"]).env("DOORWARD_USERS", "absent").arg("--config").arg(&config));
    let stderr = refused(list().env("DOORWARD_USERS", ""));
    for way in ["--users FILE", "DOORWARD_USERS", "/etc/doorward/doorward.toml"] {
        assert!(stderr.contains(way), "{stderr}");
    }
    let broken = place.write("broken.toml", "users = \"people\"\nspeed = 9\n");
    let stderr = refused(list().arg("--config").arg(&broken));
    assert!(stderr.contains("broken.toml:2: unknown key 'speed'"), "{stderr}");
    ends(0, list().args(["--users", "people"]).arg("--config").arg(&broken));
}

#[test]
fn a_broken_file_is_named_with_its_line_and_left_alone() {
    let place = place();
    let broken = format!("[users.bob]\npassword = \"{HASH}\"\n\ngroup = [\"ops\"]\n");
    place.write("people", &broken);
    for arguments in [
        &["list"][..],
        &["add", "amy", "--generate"],
        &["passwd", "bob", "--generate"],
        &["set", "bob", "--disable"],
        &["disable", "bob"],
        &["enable", "bob"],
        &["logout", "bob"],
        &["remove", "bob", "--yes"],
    ] {
        let (stdout, stderr) = ends(1, &mut users(&place, arguments));
        assert!(stderr.starts_with("error: people:4: unknown field `group`"), "{stderr}");
        assert!(stdout.is_empty() && text(&place) == broken);
        assert!(!stderr.contains("argon2id"), "{stderr}");
    }
    std::fs::set_permissions(place.path("people"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let (_, stderr) = ends(1, &mut users(&place, &["disable", "bob"]));
    assert!(stderr.contains("people is open to others (mode 644); run: chmod 600 people"), "{stderr}");
}

#[test]
fn a_new_file_can_be_read_by_the_gateway_and_by_nobody_else() {
    let place = place();
    std::fs::remove_file(place.path("people")).unwrap();
    let (_, stderr) = ends(1, &mut users(&place, &["passwd", "amy", "--generate"]));
    assert!(stderr.contains("cannot read people"), "{stderr}");
    place.write("d.toml", "user = \"nobody\"\n");
    let (_, stderr) = ends(0, &mut users(&place, &["--config", "d.toml", "add", "amy", "--generate"]));
    assert!(stderr.contains("made people"), "{stderr}");
    let metadata = std::fs::metadata(place.path("people")).unwrap();
    let nobody = User::from_name("nobody").unwrap().unwrap();
    if !geteuid().is_root() {
        assert_eq!(metadata.mode() & 0o777, 0o600);
        return;
    }
    assert_eq!((metadata.mode() & 0o777, metadata.uid(), metadata.gid()), (0o640, 0, nobody.gid.as_raw()));
    chown(place.path("people"), Some(0), Some(0)).unwrap();
    let (_, stderr) = ends(0, &mut users(&place, &["--config", "d.toml", "disable", "amy"]));
    assert!(stderr.contains("run: chgrp nobody people && chmod 640 people"), "{stderr}");
}

#[test]
fn every_command_shows_examples() {
    let place = Place::new();
    for command in ["", "add", "passwd", "set", "enable", "disable", "logout", "remove", "list"] {
        let words = ["users", command, "--help"];
        let (stdout, _) = ends(
            0,
            &mut place.doorward(
                &words.map(str::trim).into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>(),
            ),
        );
        assert!(stdout.contains("Examples:\n  ") && stdout.contains("--users <FILE>"), "{stdout}");
    }
}
