//! `docs/doorward.toml` is held to the program.

use std::collections::BTreeSet;

use clap::{Args, Command};
use doorward::config::RawSettings;

use super::{Place, accepted, of_the_repository};

/// The example's settings, those that are commented out too, each as a line of its own.
fn lines() -> Vec<String> {
    let text = std::fs::read_to_string(of_the_repository("docs/doorward.toml")).unwrap();
    let setting = |line: &str| {
        let line = line.strip_prefix('#').unwrap_or(line);
        (line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(" = ")).then(|| line.to_owned())
    };
    text.lines().filter_map(setting).collect()
}

#[test]
fn the_example_file_is_accepted() {
    let place = Place::new();
    let text = std::fs::read_to_string(of_the_repository("docs/doorward.toml")).unwrap();
    place.write("d.toml", &text);
    accepted(&mut place.check(&["--config", "d.toml", "--users", "users"]));
}

#[test]
fn the_example_file_shows_every_key_once_and_each_is_right() {
    let mut shown = BTreeSet::new();
    for line in lines() {
        let parsed: Result<RawSettings, _> = toml::from_str(&line);
        assert!(parsed.is_ok(), "{line}: {parsed:?}");
        let key = line.split(' ').next().unwrap().to_owned();
        assert!(shown.insert(key), "{line} stands there twice");
    }
    let options = RawSettings::augment_args(Command::new("x"));
    let keys = options.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned);
    assert_eq!(shown, keys.filter(|key| key != "config").collect());
}

#[test]
fn the_example_file_shows_the_defaults() {
    let environment = doorward::config::Environment { root: true, cores: 1, ..Default::default() };
    let check = |text: &str| {
        let raw: RawSettings = toml::from_str(text).unwrap();
        format!("{:#?}", doorward::config::Settings::check(raw, &environment).unwrap())
    };
    let base = "use-login = true\nautocert = '*'\nclient-ca = 'own'\n";
    let examples = [
        "admin-group",
        "engine-",
        "acme",
        "allow-from",
        "autocert",
        "cert-map",
        "certfile",
        "client-ca",
        "client-cert-header",
        "client-cert-listen",
        "client-cert-url",
        "client-crl ",
        "hsts",
        "users",
        "pam-account-service",
        "pam-socket",
        "server-name",
        "throttle-exempt",
        "trusted-proxy",
        "use-login",
    ];
    for line in lines().iter().filter(|line| !examples.iter().any(|key| line.starts_with(key))) {
        assert_eq!(check(&format!("{base}{line}\n")), check(base), "{line} is not the default");
    }
}
