use std::path::Path;

use proptest::prelude::*;

use super::{UserFile, UsersError, Verdict};
use crate::domain::{Password, Username};

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
    assert_eq!(file.decoy.cost(), file.users[&user("demo")].hash.cost());
    assert!(!file.is_active(&user("demo")) && !file.is_active(&user("nobody")));
}

#[test]
fn a11_the_decoy_costs_what_most_users_cost() {
    let dear = HASH.replace("m=256", "m=512");
    let text = format!(
        "[users.a]\npassword = \"{dear}\"\n[users.b]\npassword = \"{HASH}\"\n[users.c]\npassword = \"{HASH}\"\n"
    );
    let file = parse(&text).unwrap();
    assert_eq!(file.decoy.cost(), file.users[&user("b")].hash.cost());
    assert_ne!(file.decoy.cost(), file.users[&user("a")].hash.cost());
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
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}\n  is not\n{message}");
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

#[test]
fn changes_are_made_and_refused_by_name() {
    let mut file = UserFile::empty(Path::new("users.toml")).unwrap();
    file.add(user("bob"), &password("one"), vec!["ops".into()]).unwrap();
    assert!(matches!(file.add(user("bob"), &password("x"), vec![]), Err(UsersError::Exists(_))));
    assert!(matches!(file.add(user("eve"), &password("x"), vec!["a,b".into()]), Err(UsersError::Group(_))));
    assert_eq!(verify(&file, "bob", "one"), Verdict::Ok { groups: vec!["ops".into()] });
    file.set_password(&user("bob"), &password("two")).unwrap();
    assert_eq!(verify(&file, "bob", "one"), Verdict::Refused);
    assert_eq!(verify(&file, "bob", "two"), Verdict::Ok { groups: vec!["ops".into()] });
    file.set_disabled(&user("bob"), true).unwrap();
    assert_eq!(verify(&file, "bob", "two"), Verdict::Refused);
    assert_eq!(
        file.users().map(|user| (user.name.as_str(), user.disabled)).collect::<Vec<_>>(),
        [("bob", true)]
    );
    file.remove(&user("bob")).unwrap();
    for result in [
        file.remove(&user("bob")),
        file.set_password(&user("bob"), &password("x")),
        file.set_disabled(&user("bob"), false),
    ] {
        assert!(matches!(result, Err(UsersError::Unknown(_))));
    }
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
