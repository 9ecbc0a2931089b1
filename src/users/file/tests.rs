use std::path::Path;

use proptest::prelude::*;

use super::{UserFile, UsersError, Verdict};
use crate::domain::{Password, Username};
use crate::users::hash::{Cost, Hash};

/// "password", cheap.
const HASH: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

#[test]
fn a_right_password_gives_the_groups() {
    let file = parse(&format!("[users.demo]\npassword = \"{HASH}\"\ngroups = [\"ops\", \"dev\"]\n")).unwrap();
    assert_eq!(verify(&file, "demo", "password"), Verdict::Ok { groups: vec!["ops".into(), "dev".into()] });
    assert_eq!(verify(&file, "demo", "Password"), Verdict::Refused);
}

#[test]
fn a11_unknown_and_disabled_users_are_refused_like_a_wrong_password() {
    let file = parse(&format!("[users.demo]\npassword = \"{HASH}\"\ndisabled = true\n")).unwrap();
    assert_eq!(verify(&file, "demo", "password"), Verdict::Refused);
    assert_eq!(verify(&file, "nobody", "password"), Verdict::Refused);
    assert!(!file.is_active(&user("demo")) && !file.is_active(&user("nobody")));
}

#[test]
fn a11_every_check_computes_one_hash_with_each_set_of_parameters_whoever_is_asked_about() {
    let (dear, wide) = (HASH.replace("m=256", "m=512"), HASH.replace("p=1", "p=2"));
    let text = format!(
        "[users.a]\npassword = \"{dear}\"\n[users.b]\npassword = \"{HASH}\"\n[users.c]\npassword = \"{HASH}\"\n\
         [users.d]\npassword = \"{wide}\"\ndisabled = true\n"
    );
    let file = parse(&text).unwrap();
    let costs = |file: &UserFile| file.decoys.iter().map(Hash::cost).collect::<Vec<_>>();
    let mut expected: Vec<Cost> = ["a", "b", "d"].map(|name| file.users[&user(name)].hash.cost()).to_vec();
    expected.sort();
    assert_eq!(costs(&file), expected);
    assert_eq!(costs(&parse("").unwrap()), [Cost::USUAL], "somebody is always asked about");
    assert_eq!(
        verify(&file, "b", "password"),
        Verdict::Ok { groups: vec![] },
        "a decoy does not stand in the way"
    );
    for (name, password) in [("a", "password"), ("b", "x"), ("d", "password"), ("nobody", "password")] {
        assert_eq!(verify(&file, name, password), Verdict::Refused, "{name}");
    }
}

#[test]
fn names_are_told_apart_by_case() {
    let file = parse(&format!("[users.demo]\npassword = \"{HASH}\"\n")).unwrap();
    assert_eq!(verify(&file, "Demo", "password"), Verdict::Refused);
}

#[test]
fn errors_name_file_line_and_user() {
    let good = format!("[users.demo]\npassword = \"{HASH}\"\n");
    for (text, message) in [
        ("[users.bob]\npassword = \"hunter2\"\n", "users.toml:2: user \"bob\": the password is no hash"),
        ("[users.\"a:b\"]\npassword = \"x\"\n", "users.toml:1: user \"a:b\": the user name holds"),
        (
            &format!("{good}groups = [\n\"ops\",\n\"a,b\"]"),
            "users.toml:5: user \"demo\": \"a,b\" cannot be a group",
        ),
        (&format!("{good}group = [\"ops\"]\n"), "users.toml:3: unknown field `group`"),
        (&format!("{good}\n[user.bob]\n"), "users.toml:4: unknown field `user`"),
        (&format!("{good}{good}"), "users.toml:3: duplicate key"),
        ("[users.bob]\n", "users.toml:1: missing field `password`"),
        ("\n[users.bob\n", "users.toml:2: "),
        (&format!("{good}disabled = 1\n"), "users.toml:3: invalid type"),
        (
            &format!("{good}valid-from = 2026-01-01T00:00:00\n"),
            "users.toml:3: user \"demo\": valid-from is no time with a zone",
        ),
        (&format!("{good}valid-from = \"2026\"\n"), "users.toml:3: invalid type"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}\n  is not\n{message}");
    }
}

#[test]
fn a_time_counts_in_any_zone_and_none_is_none() {
    let time = |line: &str| {
        parse(&format!("[users.demo]\npassword = \"{HASH}\"\n{line}\n")).unwrap().valid_from(&user("demo"))
    };
    assert_eq!(time("valid-from = 2026-01-01T00:00:00Z"), Some(1_767_225_600));
    assert_eq!(time("valid-from = 2026-01-01T01:00:00.9+01:00"), Some(1_767_225_600));
    assert_eq!(time(""), None);
}

#[test]
fn l1_words_of_the_file_cannot_rewrite_the_terminal_or_forge_a_line() {
    for text in ["\"\\u001b[2J\\nforged\" = 1\n", "[users.\"\\u001b[2J\"]\n", "[users.a]\n\"x\\n\" = 1\n"] {
        let said = parse(text).unwrap_err().to_string();
        assert!(said.starts_with("users.toml:") && !said.contains(char::is_control), "{said:?}");
    }
}

#[test]
fn l2_neither_errors_nor_debug_show_a_hash() {
    let text = format!("[users.demo]\npassword = \"{HASH}\"\noops = 1\n");
    assert!(!parse(&text).unwrap_err().to_string().contains("argon2id"));
    let file = parse(&text.replace("oops = 1\n", "")).unwrap();
    let shown = format!("{file:?}");
    assert!(shown.contains("demo") && !shown.contains("argon2id"), "{shown}");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = parse(&text);
        let _ = parse(&format!("[users.{text}]\npassword = {text:?}"));
    }
}

fn parse(text: &str) -> Result<UserFile, UsersError> {
    UserFile::parse(text, Path::new("users.toml"))
}

fn verify(file: &UserFile, name: &str, text: &str) -> Verdict {
    file.verify(&user(name), &password(text))
}

fn user(name: &str) -> Username {
    Username::parse(name).unwrap()
}

fn password(text: &str) -> Password {
    Password::parse(text.to_owned()).unwrap()
}
