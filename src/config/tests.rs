//! The rules between settings.

mod wide;

use std::path::PathBuf;
use std::time::Duration;

use super::{Environment, ListenAddress, LogFormat, LogTarget, LoginMode, RawSettings, Settings, TlsMode};

fn root() -> Environment {
    Environment { root: true, cores: 3, ..Environment::default() }
}

/// `no-login` on every address needs a second word; what these tests are about is something else.
fn raw(text: &str) -> RawSettings {
    let is_open = text.contains("no-login = true") && !text.contains("listen") && !text.contains("use-login");
    let more = if is_open { "\nno-login-on-all-addresses = true" } else { "" };
    toml::from_str(&format!("{text}{more}")).unwrap()
}

fn settings(text: &str) -> Settings {
    Settings::check(raw(text), &root()).unwrap()
}

fn problems(text: &str) -> Vec<String> {
    Settings::check(raw(text), &root()).unwrap_err().iter().map(ToString::to_string).collect()
}

/// The one problem of these settings.
fn problem(text: &str) -> String {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems[0].clone()
}

#[test]
fn the_defaults_are_as_documented() {
    let settings = settings("use-login = true\nautocert = '*'");
    assert_eq!(settings.engine, super::EngineAddress::Unix("/var/run/docker.sock".into()));
    assert_eq!(settings.listen, [ListenAddress::Tcp("[::]:8100".parse().unwrap())]);
    assert_eq!(settings.state, PathBuf::from("/var/lib/doorward"));
    assert_eq!(settings.runtime, PathBuf::from("/run/doorward"));
    assert_eq!(settings.sessions.idle, Duration::from_secs(3600));
    assert_eq!(settings.sessions.absolute, Duration::from_secs(12 * 3600));
    assert_eq!(settings.token_lifetime, Duration::from_secs(12 * 3600));
    assert_eq!(settings.basic_cache, Duration::from_secs(60));
    assert_eq!(settings.grace, Duration::from_secs(8));
    assert_eq!((settings.workers, settings.user.as_str()), (3, "doorward"));
    assert_eq!((settings.log, settings.log_format), (LogTarget::Stdout, LogFormat::Json));
    let LoginMode::Pam(pam) = settings.login else { panic!("not PAM") };
    assert_eq!((pam.service.as_str(), pam.max_logins, pam.socket), ("doorward", 128, None));
    let seconds = [pam.compute_deadline, pam.prompt_deadline, pam.login_deadline, pam.failure_delay];
    assert_eq!(seconds.map(|length| length.as_secs()), [10, 120, 300, 2]);
    assert_eq!((pam.account_service.as_str(), pam.account_recheck.as_secs()), ("doorward", 300));
}

#[test]
fn account_checks_take_the_service_of_the_login_unless_they_have_their_own() {
    let login = "use-login = true\nautocert = '*'\npam-service = 'own'\n";
    let pam = |text: &str| match settings(&format!("{login}{text}")).login {
        LoginMode::Pam(pam) => (pam.account_service, pam.account_recheck.as_secs()),
        other => panic!("{other:?}"),
    };
    assert_eq!(pam(""), ("own".to_owned(), 300));
    assert_eq!(pam("pam-account-service = 'other'\naccount-recheck = '1h'"), ("other".to_owned(), 3600));
    assert_eq!(pam("account-recheck = 'never'").1, 0);
    let warned = settings(&format!("{login}account-recheck = 'never'")).warnings().join("\n");
    assert!(warned.contains("--account-recheck never"), "{warned}");
    assert!(problem(&format!("{login}account-recheck = '500ms'")).contains("too short"));
    assert!(problem(&format!("{login}pam-account-service = '../x'")).starts_with("--pam-account-service: "));
    assert!(problem("no-login = true\naccount-recheck = '1m'").starts_with("--account-recheck: "));
}

#[test]
fn ga1_login_without_a_secured_connection_is_refused_and_the_three_are_named() {
    let problem = problem("use-login = true");
    assert!(problem.starts_with("--use-login: "), "{problem}");
    for mode in ["--autocert", "--certfile", "--assume-secure"] {
        assert!(problem.contains(mode), "{problem}");
    }
}

#[test]
fn ga4_more_than_one_secure_mode_is_refused() {
    let twice = problem("use-login = true\nautocert = '*'\nassume-secure = true");
    assert!(twice.starts_with("--autocert: contradicts --assume-secure;"), "{twice}");
    let all = problem("use-login = true\nautocert = '*'\ncertfile = 'x'\nassume-secure = true");
    assert!(all.contains("contradicts --certfile and --assume-secure"), "{all}");
}

#[test]
fn who_may_come_in_must_be_said() {
    assert!(problem("autocert = '*'").contains("--no-login"));
    assert!(problem("autocert = '*'\nuse-login = true\nno-login = true").contains("contradicts --no-login"));
    assert_eq!(settings("no-login = true").tls, TlsMode::Plain);
    assert_eq!(settings("no-login = true\nassume-secure = true").tls, TlsMode::AssumeSecure);
    assert_eq!(
        settings("use-login = true\nassume-secure = true\nusers = '/u'").login,
        LoginMode::Users("/u".into())
    );
}

#[test]
fn options_that_could_have_no_effect_are_refused() {
    assert!(problem("no-login = true\nusers = '/u'").starts_with("--users: "));
    assert!(problem("no-login = true\npam-service = 'x'").starts_with("--pam-service: "));
    let with_users = "use-login = true\nassume-secure = true\nusers = '/u'\n";
    assert!(problem(&format!("{with_users}login-failure-delay = '1s'")).contains("no effect with --users"));
    for switch in ["pam-serialize", "pam-greeting", "allow-pam-without-proof"] {
        assert!(problem(&format!("{with_users}{switch} = true")).starts_with(&format!("--{switch}: ")));
    }
    let elsewhere = "use-login = true\nassume-secure = true\npam-socket = '/s'\npam-service = 'otp'\n";
    let told = problem(&format!("{elsewhere}pam-serialize = true"));
    assert!(told.contains("doorward-pam --serialize otp"), "{told}");
    let told = problem(&format!("{elsewhere}allow-pam-without-proof = true"));
    assert!(told.contains("doorward-pam --allow-pam-without-proof"), "{told}");
    let plain = "no-login = true\n";
    assert!(problem(&format!("{plain}engine-ca = '/c'")).starts_with("--engine-ca: "));
    let https = format!("{plain}engine = 'https://h'\n");
    assert!(problem(&format!("{https}engine-cert = '/c'")).contains("needs --engine-key"));
    assert!(problem(&format!("{https}engine-key = '/k'")).contains("needs --engine-cert"));
    let super::EngineAddress::Https { ca, identity, .. } =
        settings(&format!("{https}engine-ca = '/a'\nengine-cert = '/c'\nengine-key = '/k'")).engine
    else {
        panic!("not https")
    };
    assert_eq!((ca, identity), (Some("/a".into()), Some(("/c".into(), "/k".into()))));
}

#[test]
fn d9_all_problems_are_reported_at_once() {
    let text = "use-login = true\nengine = 'tcp://x'\nlisten = ['nowhere', ':1']\ntrusted-proxy = 'x'\nworkers = 'many'\n\
                session-idle = '2h'\nsession-max = '1h'\ngrace = 0\nlog-format = 'xml'\npam-service = '../x'\nstate = 'x'\n\
                user = 'root'\npam-max-logins = 0\nlog = ''\npam-prompt-timeout = '1h'";
    let problems = problems(text);
    for option in [
        "use-login",
        "engine",
        "listen",
        "trusted-proxy",
        "workers",
        "session-idle",
        "grace",
        "log-format",
        "pam-service",
        "state",
        "user",
        "pam-max-logins",
        "log",
        "pam-prompt-timeout",
    ] {
        let named = problems.iter().filter(|problem| problem.starts_with(&format!("--{option}: "))).count();
        assert_eq!(named, 1, "{option}: {problems:#?}");
    }
    assert_eq!(problems.len(), 14, "{problems:#?}");
}

#[test]
fn times_of_zero_are_refused_but_for_the_basic_cache() {
    for option in ["session-idle", "session-max", "token-lifetime", "grace"] {
        assert!(problem(&format!("no-login = true\n{option} = 0")).contains("is zero"), "{option}");
    }
    assert_eq!(settings("no-login = true\nbasic-cache = 0").basic_cache, Duration::ZERO);
}

#[test]
fn a_short_session_does_not_contradict_the_default_idle_time() {
    let sessions = settings("no-login = true\nsession-max = '10m'").sessions;
    assert_eq!((sessions.idle.as_secs(), sessions.absolute.as_secs()), (600, 600));
}

#[test]
fn c11_autocert_takes_lists_in_both_ways_and_names_each_wrong_name() {
    let names = |text: &str| match settings(&format!("no-login = true\nautocert = {text}")).tls {
        TlsMode::Autocert(names) => names,
        other => panic!("{other:?}"),
    };
    assert_eq!(names("'*'"), ["*"]);
    assert_eq!(names("['a, B', '10.0.0.1', 'a']"), ["a", "b", "10.0.0.1"]);
    assert_eq!(problems("no-login = true\nautocert = 'a b,x/y'").len(), 2);
}

#[test]
fn folders_follow_the_user_who_runs_it() {
    let text = "no-login = true";
    let home = |environment: Environment| Settings::check(raw(text), &environment).unwrap();
    let user = Environment { cores: 1, home: Some("/home/bob".into()), ..Environment::default() };
    let plain = home(user.clone());
    assert_eq!(plain.state, PathBuf::from("/home/bob/.local/state/doorward"));
    assert_eq!(plain.runtime, plain.state);
    let xdg = home(Environment { state_home: Some("/s".into()), runtime_dir: Some("/r".into()), ..user });
    assert_eq!((xdg.state, xdg.runtime), (PathBuf::from("/s/doorward"), PathBuf::from("/r/doorward")));
    let homeless = Settings::check(raw(text), &Environment::default()).unwrap_err();
    assert!(homeless[0].to_string().starts_with("--state: "), "{homeless:?}");
}

#[test]
fn a_child_with_another_user_comes_to_the_same_settings() {
    let parent = Environment { terminal: true, ..root() };
    let settings = Settings::check(raw("no-login = true"), &parent).unwrap();
    let mut child = raw("no-login = true");
    for (name, value) in settings.child_environment() {
        let value = Some(value.to_str().unwrap().into());
        match name {
            "DOORWARD_STATE" => child.state = value,
            "DOORWARD_RUNTIME_DIR" => child.runtime_dir = value,
            "DOORWARD_LOG_FORMAT" => child.log_format = value,
            "DOORWARD_WORKERS" => child.workers = value,
            other => panic!("{other}"),
        }
    }
    let child = Settings::check(child, &Environment { cores: 1, ..Environment::default() }).unwrap();
    assert_eq!(format!("{child:?}"), format!("{settings:?}"));
}

#[test]
fn the_log_is_text_only_on_a_terminal() {
    let on_terminal = Environment { terminal: true, ..root() };
    let format = |text: &str| Settings::check(raw(text), &on_terminal).unwrap().log_format;
    assert_eq!(format("no-login = true"), LogFormat::Text);
    assert_eq!(format("no-login = true\nlog = '/x'"), LogFormat::Json);
    assert_eq!(format("no-login = true\nlog-format = 'json'"), LogFormat::Json);
}

#[test]
fn doubtful_settings_are_allowed_with_a_warning() {
    let warnings = |text: &str| settings(text).warnings().join("\n");
    let local = "listen = '127.0.0.1:8100'\n";
    assert!(
        warnings(&format!("{local}use-login = true\nassume-secure = true"))
            .contains("believes no forwarded header")
    );
    let all = warnings(
        "use-login = true\nassume-secure = true\ntrusted-proxy = ['0.0.0.0/0', '::/0']\ntrust-all-proxies = true",
    );
    assert!(all.contains("--trusted-proxy believes everybody"), "{all}");
    assert!(all.contains("past the terminator"), "{all}");
    assert!(warnings("no-login = true").contains("--no-login lets everybody"));
    assert!(
        warnings(&format!("{local}no-login = true\nengine = 'http://10.0.0.1:2375'"))
            .contains("without encryption")
    );
    let here = "listen = '[::1]:1'\nno-login = true\nengine = 'http://[::1]:1'";
    assert!(
        warnings(here).contains("--no-login lets everybody"),
        "other programs and pages on this host can reach it"
    );
    assert_eq!(warnings("use-login = true\nautocert = '*'"), "");
    let secured = "use-login = true\nautocert = '*'\n";
    assert!(warnings(&format!("{secured}no-throttle = true")).contains("--no-throttle lets everybody guess"));
    assert!(warnings(&format!("{secured}allow-from = '192.0.2.0/24'")).contains("healthcheck"));
    assert_eq!(warnings(&format!("{secured}allow-from = ['192.0.2.0/24', '127.0.0.1']")), "");
}

#[test]
fn b1_failures_are_counted_unless_somebody_says_not_to() {
    let secured = "use-login = true\nautocert = '*'\n";
    let throttle = settings(secured).throttle.unwrap();
    assert_eq!(throttle, super::ThrottleSettings::default());
    assert_eq!(settings(&format!("{secured}no-throttle = true")).throttle, None);
    assert_eq!(settings("no-login = true").throttle, None);
    assert!(
        problem("no-login = true\nno-throttle = true").starts_with("--no-throttle: only means something")
    );
    assert!(
        problem("no-login = true\nthrottle-ban = '1m'").starts_with("--throttle-ban: only means something")
    );
    let both = problem(&format!("{secured}no-throttle = true\nthrottle-user = '5/1h'"));
    assert!(both.starts_with("--throttle-user: contradicts --no-throttle"), "{both}");
    assert!(problem(&format!("{secured}throttle-user = '5'")).contains("write for example 10/1h"));
    assert!(problem(&format!("{secured}throttle-ban = '2h'")).contains("longer than --throttle-ban-max"));
    assert!(problem(&format!("{secured}throttle-exempt = '10.0.0.1/8'")).contains("10.0.0.0/8"));
    assert!(problem(&format!("{secured}allow-from = 'nowhere'")).starts_with("--allow-from: "));
}

#[test]
fn gd1_the_certificate_door_has_safe_defaults_and_is_a_login_of_its_own() {
    use super::{CertField, ClientCa};
    let alone = settings("autocert = '*'\nclient-ca = ['own', '/etc/ca.pem']");
    assert_eq!(alone.login, LoginMode::Certificates);
    let certs = alone.client_certs.unwrap();
    assert_eq!(certs.authorities, [ClientCa::Own, ClientCa::File("/etc/ca.pem".into())]);
    assert!(!certs.required && certs.listen.is_empty() && !certs.accept_expired_crl);
    assert_eq!((certs.depth, certs.user_field), (3, CertField::CommonName));
    let both = settings("autocert = '*'\nclient-ca = 'own'\nuse-login = true\nclient-cert-listen = ':8143'");
    assert!(matches!(both.login, LoginMode::Pam(_)));
    assert_eq!(both.client_certs.unwrap().listen.len(), 1);
}

#[test]
fn options_of_the_certificate_door_that_cannot_be_meant_are_refused() {
    let door = "autocert = '*'\nclient-ca = 'own'\n";
    for (text, expected) in [
        (
            "use-login = true\nautocert = '*'\ncert-user = 'cn'",
            "cert-user: only means something with --client-ca",
        ),
        ("no-login = true\nautocert = '*'\nclient-ca = 'own'", "client-ca: contradicts --no-login"),
        ("client-ca = 'own'", "client-ca: certificates need a secured connection"),
        (
            "assume-secure = true\ntrusted-proxy = '::1'\nclient-cert-header = 'nginx'\nclient-ca = 'own'\n\
             client-cert = 'required'",
            "client-cert: is the terminator's business",
        ),
        (&format!("{door}client-cert = 'maybe'"), "client-cert: 'maybe' is not known"),
        (&format!("{door}client-cert-listen = ':8100'"), "client-cert-listen: is port 8100"),
        (
            &format!("{door}listen = ':1'\nclient-cert-listen = ':1'"),
            "client-cert-listen: is an address of --listen",
        ),
        (&format!("{door}client-cert-listen = 'unix:/x'"), "client-cert-listen: cannot be a socket file"),
        (
            &format!("{door}client-cert-url = 'https://x:1'"),
            "client-cert-url: only means something with --client-cert-listen",
        ),
        (
            &format!("{door}client-cert-listen = ':1'\nclient-cert-url = 'http://x/y'"),
            "client-cert-url: 'http://x/y' is not of the form",
        ),
        (&format!("{door}client-cert-depth = 7"), "client-cert-depth: write a number from 0 to 6"),
        (&format!("{door}cert-user = 'name'"), "cert-user: 'name' is not known"),
        (
            &format!("{door}client-crl-expired = 'accept'"),
            "client-crl-expired: only means something with --client-crl",
        ),
        ("autocert = '*'\nclient-ca = ['own', 'own']", "client-ca: 'own' is given twice"),
    ] {
        let problem = problem(text);
        assert!(problem.trim_start_matches("--").starts_with(expected), "{text}: {problem}");
    }
}

#[test]
fn administrators_are_named_by_group_and_not_by_an_empty_one() {
    let login = "use-login = true\nautocert = '*'\n";
    assert!(settings(login).admin_groups.is_empty());
    let groups = settings(&format!("{login}admin-group = ['ops', 'DOM\\domain admins']")).admin_groups;
    assert_eq!(groups, ["ops", "DOM\\domain admins"]);
    assert!(problem(&format!("{login}admin-group = ['ops', ' ']")).contains("is empty"));
    assert!(problem("no-login = true\nadmin-group = 'ops'").contains("means nothing with --no-login"));
}

#[test]
fn c9_certificates_from_a_header_need_assume_secure_and_a_terminator_that_is_named() {
    use super::CertHeader;
    let behind = "client-ca = 'own'\nassume-secure = true\n";
    let named = format!("{behind}trusted-proxy = '10.0.0.1'\n");
    for (name, form) in CertHeader::ALL {
        let settings = settings(&format!("{named}client-cert-header = '{name}'"));
        assert_eq!(settings.client_certs.unwrap().header, Some(form));
    }
    assert!(problem(&named).contains("by --client-cert-header, one of rfc9440, nginx"));
    assert!(problem(&format!("{behind}client-cert-header = 'nginx'")).contains("needs --trusted-proxy"));
    let own = "client-ca = 'own'\nautocert = '*'\ntrusted-proxy = '10.0.0.1'\nclient-cert-header = 'nginx'";
    assert!(problem(own).starts_with("--client-cert-header: only means something with --assume-secure"));
    let alone =
        "use-login = true\nassume-secure = true\ntrusted-proxy = '10.0.0.1'\nclient-cert-header = 'nginx'";
    assert!(problem(alone).starts_with("--client-cert-header: only means something with --client-ca"));
    let unknown = problem(&format!("{named}client-cert-header = 'apache'"));
    assert!(unknown.contains("'apache' is not known") && unknown.contains("haproxy"), "{unknown}");
}
