//! Holds every page of the gallery, in every state, to what the pages promise.

use std::collections::{BTreeSet, HashSet};

use crate::domain::Level;
use crate::pages::{assets, views};

use super::*;

#[path = "../../../examples/gallery/samples.rs"]
mod samples;

/// One start tag of a page, as a browser would read it.
#[derive(Debug)]
struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn is_visible_field(&self) -> bool {
        ["input", "select", "textarea"].contains(&self.name.as_str())
            && self.get("type") != Some("hidden")
            && self.get("hidden").is_none()
    }
}

/// The start tags of a page. Strict on purpose: it takes only what our templates write (quoted values, `<` and `>`
/// nowhere but around tags) and stops at anything else, which is what text that escaped its escaping would be.
fn tags(html: &str) -> Vec<Tag> {
    html.split('<')
        .skip(1)
        .map(|piece| piece.split_once('>').unwrap_or_else(|| panic!("a tag that does not end: {piece}")))
        .inspect(|(_, text)| assert!(!text.contains('>'), "a stray > in {text:?}"))
        .filter(|(tag, _)| !tag.starts_with(['/', '!']))
        .map(|(tag, _)| parse(tag.trim_end_matches('/')))
        .collect()
}

fn parse(tag: &str) -> Tag {
    let (name, mut rest) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
    let mut attributes = Vec::new();
    while !rest.trim_start().is_empty() {
        rest = rest.trim_start();
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        assert!(
            key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
            "odd attribute {key:?} in {tag:?}"
        );
        let (value, after) = match after.strip_prefix("=\"") {
            Some(quoted) => quoted.split_once('"').unwrap_or_else(|| panic!("an open quote in {tag:?}")),
            None => ("", after),
        };
        attributes.push((key.to_owned(), value.to_owned()));
        rest = after;
    }
    Tag { name: name.to_owned(), attributes }
}

fn pages() -> Vec<(String, String)> {
    samples::pages().unwrap()
}

fn page(name: &str) -> String {
    pages().into_iter().find(|(each, _)| each == name).map(|(_, html)| html).unwrap()
}

fn field_names(html: &str) -> BTreeSet<String> {
    tags(html)
        .iter()
        .filter(|tag| tag.name == "input")
        .filter_map(|tag| tag.get("name"))
        .map(str::to_owned)
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a7_markup_in_any_text_is_escaped() {
    for (name, html) in pages() {
        let names: HashSet<_> = tags(&html).into_iter().map(|tag| tag.name).collect();
        for bad in ["script", "img", "iframe", "object", "base", "style"] {
            assert!(!names.contains(bad), "{name} has a <{bad}>");
        }
    }
    assert!(page("login-hostile").contains("&#60;script&#62;alert(1)&#60;/script&#62;"));
}

#[test]
fn no_page_needs_script_or_inline_style() {
    for (name, html) in pages() {
        for tag in tags(&html) {
            for (key, value) in &tag.attributes {
                assert!(key != "style" && !key.starts_with("on"), "{name}: {tag:?}");
                assert!(!value.trim().to_lowercase().starts_with("javascript:"), "{name}: {tag:?}");
            }
        }
    }
}

#[test]
fn pages_load_only_our_own_assets_and_post_only_to_our_own_paths() {
    for (name, html) in pages() {
        for tag in tags(&html) {
            if tag.name == "link" {
                assert!(assets::find(tag.get("href").unwrap()).is_some(), "{name}: {tag:?}");
            }
            if tag.name == "form" {
                assert_eq!(tag.get("method"), Some("post"), "{name}");
                let action = tag.get("action").unwrap();
                let known = [
                    "/_doorward/login",
                    "/_doorward/logout",
                    "/_doorward/account/revoke",
                    "/_doorward/device",
                    "/_doorward/device/answer",
                ];
                assert!(known.contains(&action), "{name}: {action}");
            }
            assert!(tag.get("src").is_none() && tag.get("formaction").is_none(), "{name}: {tag:?}");
        }
    }
}

#[test]
fn every_visible_field_has_a_label() {
    let mut fields = 0;
    for (name, html) in pages() {
        let labelled: HashSet<_> =
            tags(&html).iter().filter_map(|tag| tag.get("for").map(str::to_owned)).collect();
        for tag in tags(&html).iter().filter(|tag| tag.is_visible_field()) {
            fields += 1;
            // A choice stands inside its label.
            let inside = tag.get("type") == Some("radio")
                && html
                    .contains(&format!("<label class=\"choice\"><input id=\"{}\"", tag.get("id").unwrap()));
            assert!(inside || labelled.contains(tag.get("id").unwrap()), "{name}: {tag:?}");
        }
    }
    assert!(fields > 10);
}

#[test]
fn ids_are_unique_and_what_refers_to_one_finds_it() {
    for (name, html) in pages() {
        let tags = tags(&html);
        let ids: Vec<_> = tags.iter().filter_map(|tag| tag.get("id")).collect();
        let unique: HashSet<_> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "{name}: {ids:?}");
        for key in ["for", "form", "aria-describedby", "aria-labelledby"] {
            for target in tags.iter().filter_map(|tag| tag.get(key)) {
                assert!(unique.contains(target), "{name}: {key}={target}");
            }
        }
    }
}

#[test]
fn every_page_has_a_language_a_title_one_heading_and_one_main_part() {
    for (name, html) in pages() {
        let count = |tag: &str| tags(&html).iter().filter(|each| each.name == tag).count();
        assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "{name}");
        assert_eq!((count("title"), count("h1"), count("main"), count("header")), (1, 1, 1, 1), "{name}");
        let focused = tags(&html).iter().filter(|tag| tag.get("autofocus").is_some()).count();
        assert!(focused <= 1, "{name} puts the cursor in {focused} places");
    }
}

#[test]
fn i2_every_form_of_every_page_carries_its_pages_secret() {
    let mut forms = 0;
    for (name, html) in pages() {
        for form in html.split("<form ").skip(1) {
            let form = form.split("</form>").next().unwrap();
            assert!(form.starts_with("method=\"post\" action=\"/_doorward/"), "{name}: {form}");
            assert_eq!(form.matches("name=\"csrf_token\" value=\"c2Vj").count(), 1, "{name}: {form}");
            forms += 1;
        }
    }
    assert!(forms > 20, "{forms}");
}

#[test]
fn the_first_form_sends_user_password_and_next() {
    let html = page("login");
    assert_eq!(field_names(&html), set(&["csrf_token", "next", "password", "user"]));
    let all = tags(&html);
    let field = |name: &str| all.iter().find(|tag| tag.get("name") == Some(name)).unwrap();
    assert_eq!(field("next").get("value"), Some("/containers?all=1&#38;x=%2F"));
    assert_eq!(field("user").get("autocomplete"), Some("username"));
    assert_eq!(field("user").get("autocapitalize"), Some("none"));
    assert_eq!(field("user").get("spellcheck"), Some("false"));
    assert_eq!(field("password").get("autocomplete"), Some("current-password"));
    assert_eq!(field("password").get("type"), Some("password"));
}

#[test]
fn a6_the_next_form_sends_the_conversation_and_an_answer_for_each_prompt() {
    assert_eq!(
        field_names(&page("login-code")),
        set(&["again", "answer0", "conversation", "csrf_token", "next"])
    );
    assert_eq!(
        field_names(&page("login-new-password")),
        set(&["again", "answer0", "answer1", "conversation", "csrf_token", "next"])
    );
    assert_eq!(field_names(&page("login-read-only")), set(&["again", "conversation", "csrf_token", "next"]));
    let html = page("login-radio");
    let radios: Vec<_> = tags(&html).into_iter().filter(|tag| tag.get("type") == Some("radio")).collect();
    let values: Vec<_> =
        radios.iter().map(|tag| (tag.get("name").unwrap(), tag.get("value").unwrap())).collect();
    assert_eq!(values, [("answer0", "yes"), ("answer0", "no")]);
    assert!(radios.iter().all(|tag| tag.get("checked").is_none()), "nobody answers for the user");
    assert!(
        tags(&html).iter().any(|tag| tag.get("name") == Some("answer1") && tag.get("type") == Some("text"))
    );
}

#[test]
fn starting_again_keeps_where_to_go_and_is_not_what_the_enter_key_does() {
    let html = page("login-code");
    let again = html.split("<form").last().unwrap();
    for field in
        ["name=\"next\" value=\"/containers?all=1&#38;x=%2F\"", "name=\"again\"", "name=\"conversation\""]
    {
        assert!(again.contains(field), "{field} in {again}");
    }
    // The first button of a form is pressed by the enter key; this one belongs to a form of its own.
    assert!(html.contains("<button type=\"submit\" class=\"link\" form=\"again\">Start again"), "{html}");
}

#[test]
fn the_code_is_typed_and_never_filled_in_and_yes_is_pressed_on_purpose() {
    let html = page("device");
    assert_eq!(field_names(&html), set(&["code", "csrf_token"]));
    assert!(tags(&html).iter().all(|tag| tag.get("name") != Some("code") || tag.get("value").is_none()));
    let html = page("device-question");
    assert!(html.contains("Approve only what you have just started yourself"), "{html}");
    let answers: Vec<_> = tags(&html)
        .into_iter()
        .filter(|tag| tag.get("name") == Some("choice"))
        .map(|tag| (tag.get("value").unwrap().to_owned(), tag.get("autofocus").is_some()))
        .collect();
    assert_eq!(answers, [("approve".to_owned(), false), ("deny".to_owned(), false)]);
}

#[test]
fn no_page_gives_a_password_back() {
    for (name, html) in pages() {
        for tag in tags(&html).iter().filter(|tag| tag.get("type") == Some("password")) {
            assert_eq!(tag.get("value"), None, "{name}");
        }
    }
}

#[test]
fn what_went_wrong_is_announced() {
    let html = page("login-wrong");
    assert!(html.contains("role=\"alert\" id=\"why\">Wrong user name or password.</p>"), "{html}");
    assert!(tags(&html).iter().any(|tag| tag.get("aria-describedby") == Some("why")));
    assert!(!page("login").contains("role=\"alert\""));
}

#[test]
fn tokens_and_other_sessions_can_be_revoked_but_not_the_current_one_by_that_way() {
    let html = page("account");
    let forms: Vec<_> = html.split("<form").filter(|form| form.contains("account/revoke")).collect();
    let has = |kind: &str, id: &str| {
        forms.iter().any(|form| {
            form.contains(&format!("name=\"kind\" value=\"{kind}\""))
                && form.contains(&format!("name=\"id\" value=\"{id}\""))
        })
    };
    assert_eq!(forms.len(), 3);
    assert!(has("token", "9a4be1c05d73") && has("token", "51e0f7d2bb86") && has("session", "07d5a8e3c119"));
    assert!(!has("session", "9f31c27a04de"));
}

#[test]
fn every_status_in_use_has_words_of_its_own() {
    let titles: HashSet<_> =
        [400, 401, 403, 404, 429, 500, 502, 503].map(|status| ErrorPage::standard(status, "").title).into();
    assert_eq!(titles.len(), 8);
    let html = ErrorPage::standard(418, "").render().unwrap();
    assert!(html.contains("Error 418") && !html.contains("Reference for"), "{html}");
}

#[test]
fn any_first_letter_makes_an_account_page() {
    for (user, letter) in [("bob", "B"), ("élise", "É"), ("ßeta", "SS"), ("", "")] {
        let html = AccountPage { user, ..samples::account(&[]) }.render().unwrap();
        assert!(html.contains(&format!("text-anchor=\"middle\">{letter}</text>")), "{user:?}");
    }
}
