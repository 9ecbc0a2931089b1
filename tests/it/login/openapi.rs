//! `openapi.json` held to the code: the same paths, and answers as described.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::door::{BOB, Door, Setup};
use super::wire::{Reply, Request};

fn description() -> Value {
    serde_json::from_str(include_str!("../../../static/openapi.json")).unwrap()
}

/// `GET /path` of every route in the source of the application.
fn routes() -> BTreeSet<String> {
    let source = include_str!("../../../src/pages/app.rs");
    let mut scopes: Vec<(usize, String)> = Vec::new();
    let mut found = BTreeSet::new();
    for line in source.lines() {
        let depth = line.len() - line.trim_start().len();
        let line = line.trim();
        scopes.retain(|(outer, _)| *outer < depth || (*outer == depth && line.starts_with('.')));
        if let Some(path) = line.strip_prefix("web::scope(\"") {
            scopes.push((depth, path.split('"').next().unwrap().to_owned()));
        } else if let Some(rest) = line.strip_prefix(".route(\"") {
            let path = rest.split('"').next().unwrap();
            let method = rest.split("web::").nth(1).unwrap().split('(').next().unwrap();
            let scope: String = scopes.iter().map(|(_, scope)| scope.as_str()).collect();
            found.insert(format!("{} {scope}{path}", method.to_uppercase()));
        }
    }
    found
}

fn operations(description: &Value) -> BTreeSet<String> {
    let paths = description["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect()
}

#[test]
fn every_route_is_described_and_no_other() {
    let routes = routes();
    assert!(routes.contains("DELETE /_doorward/api/v1/tokens/{id}") && routes.len() > 15, "{routes:#?}");
    assert_eq!(routes, operations(&description()));
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() {
    let description = description();
    let text = description.to_string();
    for reference in text.split("\"$ref\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(description.pointer(&reference[1..]).is_some(), "{reference}");
    }
    let names: Vec<&str> =
        text.split("\"operationId\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), operations(&description).len(), "{names:?}");
    for path in description["paths"].as_object().unwrap().values() {
        for operation in path.as_object().unwrap().values() {
            for required in ["summary", "security", "responses", "tags"] {
                assert!(!operation[required].is_null(), "{required} in {operation}");
            }
        }
    }
}

/// Asks the gateway and holds every answer to the description.
struct Checked<'a> {
    door: &'a Door,
    description: Value,
    /// `GET /path 200` of every answer that was seen.
    seen: BTreeSet<String>,
}

impl Checked<'_> {
    /// `template` is the path as described; `path` what is asked for.
    fn ask(&mut self, method: &str, template: &str, path: &str, with: impl Fn(Request) -> Request) -> Reply {
        let reply = self.door.send(&with(Request::new(method, path)));
        let operation = &self.description["paths"][template][method.to_lowercase()];
        let response = self.follow(&operation["responses"][reply.status.to_string()]);
        assert!(response.is_object(), "{method} {template}: {} is not described: {reply:?}", reply.status);
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let value = reply.all(name).first().copied();
            assert!(
                value.is_some() || header["required"] != true,
                "{method} {template}: no {name}: {reply:?}"
            );
        }
        match response["content"].as_object() {
            None => assert_eq!(reply.body, "", "{method} {template}"),
            Some(kinds) => {
                let kind = reply.header("content-type").unwrap();
                let described = kinds.get(kind.split(';').next().unwrap());
                let schema = described.unwrap_or_else(|| panic!("{method} {template}: {kind}"));
                if kind == "application/json" {
                    self.check(&schema["schema"], &reply.json(), &format!("{method} {template}"));
                }
            }
        }
        self.seen.insert(format!("{method} {template} {}", reply.status));
        reply
    }

    fn follow<'v>(&'v self, value: &'v Value) -> &'v Value {
        match value["$ref"].as_str() {
            Some(reference) => self.follow(self.description.pointer(&reference[1..]).unwrap()),
            None => value,
        }
    }

    /// The part of JSON Schema that the description uses; a word that it does not know fails the test.
    fn check(&self, schema: &Value, value: &Value, place: &str) {
        let problems = self.problems(self.follow(schema), value);
        assert!(problems.is_empty(), "{place}: {value}: {problems:?}");
    }

    fn problems(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        let mut note = |ok: bool, what: &str| {
            if !ok {
                problems.push(format!("{what}: {value}"));
            }
        };
        let mut deeper = Vec::new();
        for (word, rule) in schema.as_object().unwrap() {
            match word.as_str() {
                "description" | "format" => {}
                "type" => note(is_of_type(rule, value), "type"),
                "const" => note(rule == value, "const"),
                "enum" => note(rule.as_array().unwrap().contains(value), "enum"),
                "minLength" => note(length(value) >= rule.as_u64().unwrap(), "minLength"),
                "maxLength" => note(length(value) <= rule.as_u64().unwrap(), "maxLength"),
                "minItems" => {
                    note(value.as_array().unwrap().len() as u64 >= rule.as_u64().unwrap(), "minItems")
                }
                "minimum" => note(value.as_i64().is_none_or(|n| n >= rule.as_i64().unwrap()), "minimum"),
                "pattern" => note(matches(rule.as_str().unwrap(), value.as_str().unwrap()), "pattern"),
                "items" => {
                    for item in value.as_array().unwrap() {
                        deeper.extend(self.problems(self.follow(rule), item));
                    }
                }
                "required" => {
                    for name in rule.as_array().unwrap() {
                        note(value.get(name.as_str().unwrap()).is_some(), &format!("required {name}"));
                    }
                }
                "additionalProperties" => {
                    for name in value.as_object().unwrap().keys() {
                        note(schema["properties"].get(name).is_some(), &format!("additional {name}"));
                    }
                }
                "properties" => {
                    for (name, rule) in rule.as_object().unwrap() {
                        if let Some(value) = value.get(name) {
                            deeper.extend(self.problems(self.follow(rule), value));
                        }
                    }
                }
                "oneOf" => {
                    let fitting = rule.as_array().unwrap().iter();
                    let count =
                        fitting.filter(|one| self.problems(self.follow(one), value).is_empty()).count();
                    note(count == 1, &format!("{count} of oneOf fit"));
                }
                other => panic!("the test does not know {other}"),
            }
        }
        problems.extend(deeper);
        problems
    }
}

fn length(value: &Value) -> u64 {
    value.as_str().map_or(0, |text| text.chars().count() as u64)
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        other => panic!("the test does not know the type {other}"),
    };
    rule.as_array().map_or_else(|| is(rule), |types| types.iter().any(is))
}

/// The few patterns of the description, written out: no regular expressions are at hand here.
fn matches(pattern: &str, text: &str) -> bool {
    let all = |text: &str, length: usize, allowed: fn(char) -> bool| {
        text.len() == length && text.chars().all(allowed)
    };
    let is_id = all(text, 12, |c| matches!(c, '0'..='9' | 'a'..='f'));
    match pattern {
        "^[0-9a-f]{12}$" => is_id,
        "^([0-9a-f]{2,42}|basic|none)$" => {
            let is_serial = (2..=42).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit());
            is_serial || ["basic", "none"].contains(&text)
        }
        "^dwt_[0-9a-v]{56}$" => text
            .strip_prefix("dwt_")
            .is_some_and(|rest| all(rest, 56, |c| matches!(c, '0'..='9' | 'a'..='v'))),
        "^[A-Za-z0-9_-]{43}$" => all(text, 43, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')),
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z$" => {
            text.len() == 20 && text.parse::<jiff::Timestamp>().is_ok()
        }
        "^[0-9a-f]{32}$" => all(text, 32, |c| matches!(c, '0'..='9' | 'a'..='f')),
        other => panic!("the test does not know {other}"),
    }
}

const LOGIN: &str = "/_doorward/api/v1/login";
const TOKENS: &str = "/_doorward/api/v1/tokens";
const TOKEN: &str = "/_doorward/api/v1/tokens/{id}";
const SESSIONS: &str = "/_doorward/api/v1/sessions";
const SESSION: &str = "/_doorward/api/v1/sessions/{id}";

#[test]
fn answers_are_as_described() {
    let door = super::issued::setup().open();
    let cookie = door.cookie(BOB);
    let mut api = Checked { door: &door, description: description(), seen: BTreeSet::new() };
    logins(&mut api);
    let token = door.token(BOB);
    tokens_and_sessions(&mut api, &token, &cookie);
    devices(&mut api, &cookie);
    certificates(&mut api, &token, &cookie);
    pages(&mut api, &cookie);
    for (template, with_login) in [
        ("/_doorward/api/v1/whoami", true),
        ("/_doorward/auth", true),
        ("/_doorward/api/v1/openapi.json", false),
    ] {
        api.ask("GET", template, template, |r| r.bearer(&token));
        api.ask("GET", template, template, |r| r.cookie(&cookie));
        api.ask("GET", template, template, |r| r.basic(BOB.0, BOB.1));
        assert_eq!(api.ask("GET", template, template, |r| r).status, if with_login { 401 } else { 200 });
        api.ask("GET", template, template, |r| r.header("Host", "a%0d"));
    }
    let doctor = "/_doorward/doctor";
    let nonce = doorward::store::Nonce::issue(&door.state()).unwrap();
    for status in [200, 404] {
        let reply = api.ask("GET", doctor, doctor, |r| r.header("Doorward-Doctor", nonce.text()));
        assert_eq!(reply.status, status);
    }
    api.ask("GET", "/_doorward/healthz", "/_doorward/healthz", |r| r);
    api.ask("GET", "/_doorward/readyz", "/_doorward/readyz", |r| r);
    std::fs::rename(door.folder.path().join("engine.sock"), door.folder.path().join("aside.sock")).unwrap();
    door.await_status(503, &Request::get("/_doorward/readyz"));
    api.ask("GET", "/_doorward/readyz", "/_doorward/readyz", |r| r);
    let logout = "/_doorward/api/v1/logout";
    api.ask("POST", logout, logout, |r| r);
    api.ask("POST", logout, logout, |r| r.cookie(&cookie));
    api.ask("POST", logout, logout, |r| r.bearer(&token));
    // It succeeds with a certificate; `certificates/exchange.rs` is there.
    let exchange = "/_doorward/certificate";
    assert_eq!(api.ask("GET", exchange, exchange, |r| r).status, 401);
    // Every operation was tried, and every one that can succeed did.
    let others = operations(&api.description).into_iter().filter(|operation| !operation.ends_with(exchange));
    for operation in others {
        let went_well = |code: &str| api.seen.contains(&format!("{operation} {code}"));
        assert!(
            ["200", "201", "204", "303"].iter().any(|code| went_well(code)),
            "{operation} never succeeded"
        );
    }
}

#[test]
fn what_is_not_there_without_client_certificates_is_as_described() {
    let door = Door::shared();
    let mut api = Checked { door: &door, description: description(), seen: BTreeSet::new() };
    let (exchange, token) = ("/_doorward/certificate", door.token(BOB));
    assert_eq!(api.ask("GET", exchange, exchange, |r| r).status, 404);
    let list = "/_doorward/api/v1/certificates";
    for method in ["GET", "POST", "DELETE"] {
        assert_eq!(api.ask(method, list, list, |r| r.bearer(&token)).status, 404);
    }
}

#[test]
fn refusals_after_too_many_failures_are_as_described() {
    let ban = ["--throttle-address", "1/1h", "--throttle-ban", "1h", "--throttle-ban-max", "1h"];
    let door = Setup::usual().throttled(&ban).open();
    let mut api = Checked { door: &door, description: description(), seen: BTreeSet::new() };
    let (login, form) = (json!({ "user": "bob", "password": "x" }), [("user", "bob"), ("password", "x")]);
    assert_eq!(api.ask("POST", LOGIN, LOGIN, |r| r.json(&login)).status, 401);
    let page = "/_doorward/login";
    let mut refused = vec![api.ask("POST", LOGIN, LOGIN, |r| r.json(&login))];
    refused.push(api.ask("POST", page, page, |r| r.by_our_page().form(&form)));
    for path in ["/_doorward/auth", "/_doorward/api/v1/whoami", TOKENS, SESSIONS, "/_doorward/account"] {
        refused.push(api.ask("GET", path, path, |r| r.basic("bob", "x")));
        refused.push(api.ask("GET", path, path, |r| r.bearer("dwt_x")));
    }
    assert!(refused.iter().all(|reply| reply.status == 429), "{refused:#?}");
}

fn logins(api: &mut Checked<'_>) {
    let question = api.ask("POST", LOGIN, LOGIN, |r| r.json(&json!({ "user": "bob" }))).json();
    let answer = json!({ "conversation": question["conversation"], "answers": [BOB.1], "name": "x" });
    api.ask("POST", LOGIN, LOGIN, |r| r.json(&answer));
    let whole = json!({ "user": "bob", "password": BOB.1 });
    let schema =
        api.description["paths"][LOGIN]["post"]["requestBody"]["content"]["application/json"]["schema"]
            .clone();
    for body in [&answer, &whole, &json!({ "user": "bob" })] {
        api.check(&schema, body, "a login's body");
    }
    for body in
        [json!({ "user": "bob", "conversation": "x" }), json!({ "answers": [] }), json!({ "user": 1 })]
    {
        assert!(!api.problems(&schema, &body).is_empty(), "{body}");
        assert_eq!(api.ask("POST", LOGIN, LOGIN, |r| r.json(&body)).status, 400);
    }
    let cancel = json!({ "conversation": question["conversation"], "cancel": true });
    assert!(api.problems(&schema, &cancel).is_empty(), "{cancel}");
    assert_eq!(api.ask("POST", LOGIN, LOGIN, |r| r.json(&cancel)).status, 204);
    api.ask("POST", LOGIN, LOGIN, |r| r.json(&answer));
    api.ask("POST", LOGIN, LOGIN, |r| r.body("text/plain", whole.to_string()));
    api.ask("POST", LOGIN, LOGIN, |r| r.header("Origin", "null").json(&whole));
    api.ask("POST", LOGIN, LOGIN, |r| r.json(&json!({ "user": "x".repeat(70_000) })));
}

fn tokens_and_sessions(api: &mut Checked<'_>, token: &str, cookie: &str) {
    let narrow = json!({ "name": "ci", "scope": "read" });
    api.ask("POST", TOKENS, TOKENS, |r| r.bearer(token).json(&narrow));
    let wish = json!({ "name": "ci", "expires_in": 60 });
    let made = api.ask("POST", TOKENS, TOKENS, |r| r.bearer(token).json(&wish)).json();
    api.ask("POST", TOKENS, TOKENS, |r| r.bearer(token).json(&json!({ "name": "ci", "expires_in": null })));
    api.ask("POST", TOKENS, TOKENS, |r| r.bearer(token).json(&json!({})));
    let minted = made["token"].as_str().unwrap();
    assert_eq!(api.ask("GET", TOKENS, TOKENS, |r| r.bearer(minted)).status, 403);
    assert_eq!(api.door.passes(|r| r.bearer(minted)), 200);
    for list in [TOKENS, SESSIONS] {
        assert!(!api.ask("GET", list, list, |r| r.bearer(token)).json().as_array().unwrap().is_empty());
        api.ask("GET", list, list, |r| r.cookie(cookie));
        api.ask("GET", list, list, |r| r);
        let whole = format!("{list}?all=true");
        assert_eq!(api.ask("GET", list, &whole, |r| r.bearer(token)).status, 200);
        assert_eq!(api.ask("GET", list, &format!("{list}?all=x"), |r| r.bearer(token)).status, 400);
        for (user, status) in [("eve", 200), ("", 400)] {
            let path = format!("{list}?user={user}");
            assert_eq!(api.ask("DELETE", list, &path, |r| r.bearer(token)).status, status);
        }
        api.ask("DELETE", list, list, |r| r.bearer(minted));
    }
    let id = format!("{TOKENS}/{}", made["id"].as_str().unwrap());
    for with in [Some(minted), None, Some(token), Some(token)] {
        api.ask("DELETE", TOKEN, &id, |r| with.iter().fold(r, |r, token| r.bearer(token)));
    }
    let other = api.door.cookie(BOB);
    let me =
        api.ask("GET", "/_doorward/api/v1/whoami", "/_doorward/api/v1/whoami", |r| r.cookie(&other)).json();
    let id = format!("{SESSIONS}/{}", me["credential"].as_str().unwrap());
    for status in [204, 404] {
        assert_eq!(api.ask("DELETE", SESSION, &id, |r| r.bearer(token)).status, status);
    }
}

fn certificates(api: &mut Checked<'_>, token: &str, cookie: &str) {
    let (list, one) = ("/_doorward/api/v1/certificates", "/_doorward/api/v1/certificates/{id}");
    let csr = super::issued::request(&rcgen::KeyPair::generate().unwrap());
    let wish = json!({ "csr": csr, "name": "laptop" });
    let made = api.ask("POST", list, list, |r| r.bearer(token).json(&wish)).json();
    assert!(made["id"].is_string(), "{made}");
    api.ask("POST", list, list, |r| r.bearer(token).json(&json!({})));
    api.ask("POST", list, list, |r| r.bearer(token).body("text/plain", "x"));
    api.ask("POST", list, list, |r| r.basic(BOB.0, BOB.1).json(&wish));
    for query in ["", "?all=true", "?all=x"] {
        api.ask("GET", list, &format!("{list}{query}"), |r| r.bearer(token));
    }
    api.ask("GET", list, list, |r| r.cookie(cookie));
    api.ask("GET", list, list, |r| r);
    let id = format!("{list}/{}", made["id"].as_str().unwrap());
    for status in [204, 404] {
        assert_eq!(api.ask("DELETE", one, &id, |r| r.bearer(token)).status, status);
    }
    for (query, status) in [("", 400), ("?user=eve", 200)] {
        let path = format!("{list}{query}");
        assert_eq!(api.ask("DELETE", list, &path, |r| r.bearer(token)).status, status);
    }
}

fn devices(api: &mut Checked<'_>, cookie: &str) {
    let (begin, poll) = ("/_doorward/api/v1/device", "/_doorward/api/v1/device/token");
    let (page, answer) = ("/_doorward/device", "/_doorward/device/answer");
    let begun = api.ask("POST", begin, begin, |r| r.json(&json!({ "name": "laptop" }))).json();
    api.ask("POST", begin, begin, |r| r.json(&json!({ "name": "" })));
    api.ask("POST", begin, begin, |r| r.body("text/plain", "x"));
    let body = json!({ "device": begun["device"] });
    for status in [202, 429] {
        assert_eq!(api.ask("POST", poll, poll, |r| r.json(&body)).status, status);
    }
    for other in [json!({ "device": "x" }), json!({})] {
        api.ask("POST", poll, poll, |r| r.json(&other));
    }
    api.ask("GET", page, page, Request::navigating);
    api.ask("GET", page, page, |r| r.navigating().cookie(cookie));
    api.ask("GET", page, page, |r| r.header("Sec-Fetch-Dest", "empty").cookie(cookie));
    api.ask("POST", page, page, |r| r.cookie(cookie).form(&[("code", "x")]));
    api.ask("POST", page, page, |r| r.by_our_page().cookie(cookie).form(&[("code", "x")]));
    api.ask("POST", page, page, |r| r.by_our_page().form(&[("code", "x")]));
    let code = [("code", begun["code"].as_str().unwrap())];
    let shown = api.ask("POST", page, page, |r| r.by_our_page().cookie(cookie).form(&code)).body;
    let request = shown.split("name=\"request\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let secret = shown.split("name=\"csrf_token\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let form = [("request", request), ("choice", "approve"), ("csrf_token", secret)];
    api.ask("POST", answer, answer, |r| r.by_our_page().form(&form));
    api.ask("POST", answer, answer, |r| r.cookie(cookie).form(&form));
    for status in [200, 400] {
        let reply = api.ask("POST", answer, answer, |r| r.by_our_page().cookie(cookie).form(&form));
        assert_eq!(reply.status, status);
    }
    // As fast as allowed, until it is told.
    while api.ask("POST", poll, poll, |r| r.json(&body)).status != 200 {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

fn pages(api: &mut Checked<'_>, cookie: &str) {
    let (login, logout, account) = ("/_doorward/login", "/_doorward/logout", "/_doorward/account");
    let revoke = "/_doorward/account/revoke";
    let page = api.ask("GET", login, login, Request::navigating).body;
    let style =
        page.split("href=\"").find(|rest| rest.contains(".css\"")).unwrap().split('"').next().unwrap();
    api.ask("GET", "/_doorward/static/{name}", style, |r| r);
    api.ask("GET", "/_doorward/static/{name}", "/_doorward/static/x", |r| r);
    let form = [("user", BOB.0), ("password", BOB.1)];
    let fresh = api.ask("POST", login, login, |r| r.by_our_page().form(&form)).new_cookie().unwrap();
    api.ask("POST", login, login, |r| r.form(&form));
    api.ask("POST", login, login, |r| r.by_our_page().form(&[("user", BOB.0)]));
    for path in [account, logout] {
        api.ask("GET", path, path, |r| r.navigating().cookie(cookie));
        api.ask("GET", path, path, Request::navigating);
    }
    let welcome = "/_doorward/welcome";
    for path in [account, welcome] {
        api.ask("GET", path, path, |r| r.header("Sec-Fetch-Dest", "empty").cookie(cookie));
    }
    api.ask("GET", welcome, welcome, |r| r.navigating().cookie(cookie));
    api.ask("GET", welcome, welcome, Request::navigating);
    for kind in ["token", "nonsense"] {
        let form = [("kind", kind), ("id", "x")];
        api.ask("POST", revoke, revoke, |r| r.by_our_page().form(&form).cookie(cookie));
    }
    // A form that cannot be read: a page for browsers, a sentence for programs.
    for path in [login, revoke, "/_doorward/device", "/_doorward/device/answer"] {
        let unreadable = |r: Request| r.header("Sec-Fetch-Site", "same-origin").cookie(cookie);
        api.ask("POST", path, path, unreadable);
        api.ask("POST", path, path, |r| unreadable(r).navigating());
    }
    api.ask("POST", logout, logout, |r| r.cookie(&fresh));
    api.ask("POST", logout, logout, |r| r.by_our_page().cookie(&fresh));
}
