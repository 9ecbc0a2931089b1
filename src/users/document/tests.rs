use std::path::Path;

use super::Document;

const HAND_MADE: &str = "\
# Users of the lab.
# Ask ops before you change anything.

# The chief; keep.
[users.bob]   # since 2019
password = \"old\"   # rotated in May
groups = [
    \"ops\",   # on call
    \"dev\",
]

# --- Guests ---

# Until June.
[users.'DOM\\eve']
disabled = true
password = \"e\"

[users.amy]
password = \"a\"
# the end
";

fn edited(text: &str, edit: impl FnOnce(&mut Document)) -> String {
    let mut document = Document::parse(text, Path::new("users")).unwrap();
    edit(&mut document);
    document.to_string()
}

fn groups(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_not_changed_stays_byte_for_byte() {
    assert_eq!(edited(HAND_MADE, |_| {}), HAND_MADE);
    let changed = edited(HAND_MADE, |users| users.set_password("bob", "new"));
    assert_eq!(changed, HAND_MADE.replace("\"old\"", "\"new\""));
    let changed = edited(HAND_MADE, |users| users.set_disabled("DOM\\eve", false));
    assert_eq!(changed, HAND_MADE.replace("disabled = true", "disabled = false"));
    let changed = edited(HAND_MADE, |users| users.set_disabled("amy", true));
    assert_eq!(changed, HAND_MADE.replace("\"a\"\n", "\"a\"\ndisabled = true\n"));
}

#[test]
fn a_time_is_written_in_utc_and_replaced() {
    let changed = edited(HAND_MADE, |users| users.set_valid_from("amy", 1_767_225_599));
    let expected = "\"a\"\nvalid-from = 2025-12-31T23:59:59Z\n";
    assert_eq!(changed, HAND_MADE.replace("\"a\"\n", expected));
    let changed = edited(&changed, |users| users.set_valid_from("amy", 1_767_225_600));
    assert!(changed.contains("\nvalid-from = 2026-01-01T00:00:00Z\n"), "{changed}");
}

#[test]
fn a_new_user_comes_behind_the_others() {
    let changed = edited(HAND_MADE, |users| users.add("zoe", "z", &groups(&["dev team"])));
    let expected = "\n[users.zoe]\npassword = \"z\"\ngroups = [\"dev team\"]\n# the end\n";
    assert_eq!(changed, HAND_MADE.replace("# the end\n", expected));
}

#[test]
fn the_first_user_comes_below_the_files_comments() {
    let changed = edited("# Users.\n", |users| users.add("a b", "z", &[]));
    assert_eq!(changed, "# Users.\n\n[users.\"a b\"]\npassword = \"z\"\ngroups = []\n");
    assert_eq!(edited("", |users| users.add("a", "z", &[])), "[users.a]\npassword = \"z\"\ngroups = []\n");
}

#[test]
fn groups_that_stay_keep_their_place_and_comments() {
    let changed = edited(HAND_MADE, |users| users.set_groups("bob", &groups(&["ops", "new"])));
    assert_eq!(changed, HAND_MADE.replace("\"dev\"", "\"new\""));
    let changed = edited(HAND_MADE, |users| users.set_groups("bob", &groups(&["dev"])));
    assert_eq!(changed, HAND_MADE.replace("\n    \"ops\",   # on call", "   # on call"));
    let changed = edited(HAND_MADE, |users| users.set_groups("bob", &[]));
    assert_eq!(changed, HAND_MADE.replace("\n    \"ops\",   # on call\n    \"dev\",", "   # on call"));
    let changed = edited(HAND_MADE, |users| users.set_groups("amy", &groups(&["new"])));
    assert_eq!(changed, HAND_MADE.replace("\"a\"\n", "\"a\"\ngroups = [\"new\"]\n"));
    let twice = "[users.a]\npassword = \"z\"\ngroups = [\"x\", \"x\"]\n";
    assert!(edited(twice, |users| users.set_groups("a", &groups(&["x"]))).contains("[\"x\"]"));
}

#[test]
fn a_removed_user_takes_their_own_comments_along_and_no_others() {
    let changed = edited(HAND_MADE, |users| users.remove("DOM\\eve"));
    let (before, rest) = HAND_MADE.split_once("# Until June.\n").unwrap();
    let after = &rest[rest.find("\n[users.amy]").unwrap()..];
    assert_eq!(changed, format!("{before}{after}"));
    let changed = edited(HAND_MADE, |users| users.remove("bob"));
    assert!(
        changed.starts_with("# Users of the lab.\n# Ask ops before you change anything.\n\n"),
        "{changed}"
    );
    assert!(!changed.contains("The chief") && changed.contains("# --- Guests ---"), "{changed}");
    let changed = edited(HAND_MADE, |users| users.remove("amy"));
    assert!(changed.ends_with("password = \"e\"\n# the end\n"), "{changed}");
}

#[test]
fn a_comment_that_the_file_begins_with_is_about_the_file() {
    let text = "# Users.\n[users.a]\npassword = \"a\"\n\n[users.b]\npassword = \"b\"\n";
    let changed = edited(text, |users| users.remove("a"));
    assert_eq!(changed, "# Users.\n\n\n[users.b]\npassword = \"b\"\n");
    let changed = edited(&changed, |users| users.remove("b"));
    assert_eq!(changed.trim(), "# Users.");
}

#[test]
fn other_spellings_of_toml_can_be_changed_too() {
    for text in [
        "[users]\na = { password = \"a\" }\nb = { password = \"b\" }\n",
        "users = { a = { password = \"a\" }, b = { password = \"b\" } }\n",
        "users.a.password = \"a\"\nusers.b.password = \"b\"\n",
        "[users]\na.password = \"a\"\n[users.b]\npassword = \"b\"\n",
    ] {
        let changed = edited(text, |users| {
            users.remove("a");
            users.set_password("b", "x");
            users.set_disabled("b", true);
            users.set_groups("b", &groups(&["g"]));
            users.add("c", "c", &groups(&["h"]));
        });
        let table: toml::Table =
            changed.parse().unwrap_or_else(|error| panic!("{text} -> {changed}: {error}"));
        let expected: toml::Table =
            "users.b = { password = 'x', disabled = true, groups = ['g'] }\nusers.c = { password = 'c', groups = ['h'] }"
                .parse()
                .unwrap();
        assert_eq!(table, expected, "{text} -> {changed}");
    }
}
