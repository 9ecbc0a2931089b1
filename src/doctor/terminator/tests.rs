//! Every kind of terminator, by what the gateway would say.

use std::net::IpAddr;

use super::super::finding::{Finding, Status};
use super::super::public::PublicUrl;
use super::{Echo, judge, trusted};
use crate::config::{Environment, Settings};

const FAR: &str = "198.51.100.7";
const HERE: &str = "192.0.2.1";
const PROXY: &str = "10.0.0.5";

fn settings(text: &str) -> Settings {
    let environment = Environment { root: true, cores: 1, ..Environment::default() };
    Settings::check(toml::from_str(text).unwrap(), &environment).unwrap()
}

fn behind(networks: &str) -> Settings {
    settings(&format!("use-login = true\nassume-secure = true\ntrusted-proxy = [{networks}]"))
}

fn echo(client: &str, forwarded_for: &str) -> Echo {
    Echo {
        client: client.parse().unwrap(),
        is_forwarded: forwarded_for.split(", ").any(|hop| hop == client),
        forwarded_for: forwarded_for.into(),
        host: Some("gate.example".into()),
        is_insecure: false,
        user: None,
        referrer_policy: "same-origin".into(),
    }
}

fn judged(settings: &Settings, honest: &Echo, forged: &Echo) -> Vec<Finding> {
    let url = PublicUrl::parse("https://gate.example").unwrap();
    judge(&url, settings, HERE.parse::<IpAddr>().unwrap(), honest, forged)
}

#[track_caller]
fn says(findings: &[Finding], id: &str, status: Status, word: &str) {
    let found = findings.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("{findings:#?}"));
    assert_eq!(found.status, status, "{found:#?}");
    assert!(found.text.contains(word), "{found:#?}");
}

#[test]
fn a_terminator_that_adds_or_replaces_is_fine() {
    let settings = behind("'10.0.0.5'");
    for chain in [format!("203.0.113.77, {HERE}"), HERE.to_owned()] {
        let findings = judged(&settings, &echo(HERE, HERE), &echo(HERE, &chain));
        says(&findings, "terminator.forged-address", Status::Ok, HERE);
        says(&findings, "terminator.client-address", Status::Ok, HERE);
        says(&findings, "terminator.headers", Status::Ok, "not believed");
    }
}

#[test]
fn a_terminator_that_passes_a_forged_address_on_is_found() {
    let settings = behind("'10.0.0.5'");
    let forged = echo("203.0.113.77", "203.0.113.77");
    says(
        &judged(&settings, &echo(PROXY, ""), &forged),
        "terminator.forged-address",
        Status::Problem,
        "believed a forged address",
    );
    says(
        &judged(&settings, &echo(PROXY, ""), &forged),
        "terminator.client-address",
        Status::Warning,
        "sends no X-Forwarded-For",
    );
    // Not believed yet, but only because the terminator is not trusted either.
    let settings = behind("'10.9.9.9'");
    let findings = judged(&settings, &echo(PROXY, ""), &echo(PROXY, "203.0.113.77"));
    says(&findings, "terminator.forged-address", Status::Warning, "only because");
}

#[test]
fn trust_that_is_too_wide_is_told_from_a_terminator_that_passes_on() {
    let settings = behind("'10.0.0.0/8', '198.51.100.0/24'");
    let findings = judged(&settings, &echo(FAR, FAR), &echo("203.0.113.77", &format!("203.0.113.77, {FAR}")));
    says(&findings, "terminator.forged-address", Status::Warning, "--trusted-proxy also covers 198.51.100.7");
    // The doctor's own host is often the terminator's too.
    let findings =
        judged(&settings, &echo(HERE, HERE), &echo("203.0.113.77", &format!("203.0.113.77, {HERE}")));
    says(&findings, "terminator.forged-address", Status::Ok, "from this host");
}

#[test]
fn a_terminator_that_is_not_believed_is_found() {
    let findings = judged(&behind("'10.9.9.9'"), &echo(PROXY, HERE), &echo(PROXY, HERE));
    says(
        &findings,
        "terminator.client-address",
        Status::Warning,
        "does not believe the terminator at 10.0.0.5",
    );
}

#[test]
fn a_gateway_that_speaks_tls_itself_believes_nobody_or_too_many() {
    let alone = settings("use-login = true\nautocert = 'a'");
    let findings = judged(&alone, &echo(HERE, ""), &echo(HERE, "203.0.113.77"));
    says(&findings, "terminator.forged-address", Status::Ok, "not believed");
    let wide =
        settings("use-login = true\nautocert = 'a'\ntrusted-proxy = '0.0.0.0/0'\ntrust-all-proxies = true");
    let findings = judged(&wide, &echo(HERE, ""), &echo("203.0.113.77", "203.0.113.77"));
    says(&findings, "terminator.forged-address", Status::Problem, "is believed whatever");
}

#[test]
fn host_protocol_and_user_are_judged() {
    let settings = behind("'10.0.0.5'");
    let good = echo(HERE, HERE);
    let with = |change: &dyn Fn(&mut Echo)| {
        let mut echo = good.clone();
        change(&mut echo);
        echo
    };
    let id = "terminator.headers";
    let host = with(&|echo| echo.host = Some("forged.invalid".into()));
    says(&judged(&settings, &good, &host), id, Status::Warning, "X-Forwarded-Host");
    says(&judged(&settings, &host, &host), id, Status::Problem, "changes the host to 'forged.invalid'");
    let insecure = with(&|echo| echo.is_insecure = true);
    says(&judged(&settings, &good, &insecure), id, Status::Warning, "X-Forwarded-Proto");
    says(&judged(&settings, &insecure, &insecure), id, Status::Problem, "nobody can log in");
    let policy = with(&|echo| echo.referrer_policy = "same-origin, no-referrer".into());
    says(&judged(&settings, &policy, &good), id, Status::Warning, "Referrer-Policy");
    let root = with(&|echo| echo.user = Some("root".into()));
    says(&judged(&settings, &good, &root), id, Status::Problem, "'root'");
}

#[test]
fn a_trusted_network_that_is_everybody_is_a_problem() {
    let says_trusted = |text: &str, status: Status, word: &str| {
        let word_of_the_operator = if status == Status::Problem { "\ntrust-all-proxies = true" } else { "" };
        let front = "use-login = true\nassume-secure = true\n";
        let settings = settings(&format!("{front}trusted-proxy = [{text}]{word_of_the_operator}"));
        let findings = trusted(&settings);
        says(&findings, "terminator.trusted-proxy", status, word);
    };
    says_trusted("'0.0.0.0/0'", Status::Problem, "believes everybody");
    says_trusted("'::/0'", Status::Problem, "believes everybody");
    says_trusted("'0.0.0.0/1', '128.0.0.0/1'", Status::Problem, "believes everybody");
    says_trusted("'10.0.0.0/7'", Status::Warning, "very wide");
    says_trusted("'10.0.0.0/8'", Status::Ok, "too wide");
    says_trusted("", Status::Warning, "without --trusted-proxy");
}

#[test]
fn w9_a_port_that_the_terminator_leaves_out_is_named() {
    let settings = behind("'10.0.0.5'");
    let url = PublicUrl::parse("https://gate.example:8443").unwrap();
    let honest = echo(HERE, HERE);
    let findings = judge(&url, &settings, HERE.parse::<IpAddr>().unwrap(), &honest, &honest);
    says(&findings, "terminator.headers", Status::Warning, "leaves the port out");
}
