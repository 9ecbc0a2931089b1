//! What opens the gate wide, or keeps it open for years, takes more than one word or is refused.

use super::{RawSettings, Settings, problem, problems, root, settings};

#[test]
fn i14_no_login_on_every_address_takes_a_second_word() {
    let checked = |text: &str| {
        let raw: RawSettings = toml::from_str(&format!("no-login = true\n{text}")).unwrap();
        Settings::check(raw, &root())
            .map(drop)
            .map_err(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    for everywhere in [
        "",
        "listen = ':8100'",
        "listen = 8100",
        "listen = '*:8100'",
        "listen = '0.0.0.0:8100'",
        "listen = '[::]:8100'",
        "listen = '[::ffff:0.0.0.0]:8100'",
        "listen = ['127.0.0.1:1', 'unix:/run/x.sock', '0.0.0.0:2']",
        "listen = '127.0.0.1:1,[::0]:2'",
        "assume-secure = true",
        "autocert = '*'",
        "allow-from = '10.0.0.0/8'",
    ] {
        let refused = checked(everywhere).unwrap_err();
        assert!(refused.starts_with("--no-login: lets in everybody who reaches any address"), "{refused}");
        assert!(
            refused.contains("--listen 127.0.0.1:") && refused.contains("--no-login-on-all-addresses"),
            "{refused}"
        );
        assert_eq!(
            checked(&format!("{everywhere}\nno-login-on-all-addresses = true")),
            Ok(()),
            "{everywhere}"
        );
    }
    for here in ["listen = '127.0.0.1:8100'", "listen = '[::1]:8100'", "listen = 'unix:/run/x.sock'"] {
        assert_eq!(checked(here), Ok(()), "{here}");
        let both = checked(&format!("{here}\nno-login-on-all-addresses = true")).unwrap_err();
        assert!(both.contains("only means something with --no-login"), "{both}");
    }
    let without = problem("use-login = true\nautocert = '*'\nno-login-on-all-addresses = true");
    assert!(without.contains("only means something with --no-login"), "{without}");
}

#[test]
fn i14_networks_that_add_up_to_everybody_are_no_trusted_proxies() {
    let usual = "use-login = true\nassume-secure = true\n";
    let header = "assume-secure = true\nclient-ca = 'own'\nclient-cert-header = 'nginx'\n";
    for all in [
        "'0.0.0.0/0'",
        "'::/0'",
        "['0.0.0.0/1', '128.0.0.0/1']",
        "['10.0.0.1', '0.0.0.0/2', '64.0.0.0/2', '128.0.0.0/2', '192.0.0.0/2']",
        "'::ffff:0:0/96'",
        "['::ffff:0.0.0.0/97', '::ffff:128.0.0.0/97']",
        "'2000::/3'",
        "['2000::/4', '3000::/4']",
        "'64.0.0.0/2'",
        "['1.0.0.0/8', '2.0.0.0/8']",
    ] {
        let told = problem(&format!("{usual}trusted-proxy = {all}"));
        assert!(told.starts_with("--trusted-proxy: holds more of the Internet"), "{told}");
        assert!(told.contains("--trust-all-proxies"), "{told}");
        let word = format!("{usual}trusted-proxy = {all}\ntrust-all-proxies = true");
        assert!(settings(&word).warnings().join("\n").contains("believes everybody"));
        // No word makes a public certificate a proof.
        for word in ["", "trust-all-proxies = true\n"] {
            let told = problem(&format!("{header}{word}trusted-proxy = {all}"));
            assert!(told.contains("--client-cert-header") && !told.contains("--trust-all-proxies"), "{told}");
        }
    }
    for one in ["'127.0.0.1'", "'10.0.0.0/8'", "['10.0.0.0/8', 'fd00::/8']", "'104.16.0.0/13'", "'0.0.0.0'"] {
        assert!(!settings(&format!("{usual}trusted-proxy = {one}")).believes_everybody(), "{one}");
        settings(&format!("{header}trusted-proxy = {one}"));
    }
    let told = problem(&format!("{usual}trusted-proxy = '127.0.0.1'\ntrust-all-proxies = true"));
    assert!(told.starts_with("--trust-all-proxies: only means something"), "{told}");
    let wide = settings(&format!("{header}trusted-proxy = '10.0.0.0/8'")).warnings().join("\n");
    assert!(wide.contains("--client-cert-header believes every host in 10.0.0.0/8"), "{wide}");
    let mapped = settings(&format!("{usual}trusted-proxy = '::ffff:10.0.0.0/104'")).trusted_proxies;
    assert_eq!(mapped, ["10.0.0.0/8".parse().unwrap()]);
}

#[test]
fn i14_lists_that_hold_everybody_and_limits_that_limit_nothing_are_refused() {
    let usual = "use-login = true\nassume-secure = true\n";
    for (text, expected) in [
        ("allow-from = '0.0.0.0/0'", "--allow-from: keeps nobody out"),
        ("allow-from = ['::/0', '10.0.0.0/8']", "--allow-from: keeps nobody out"),
        ("allow-from = ['0.0.0.0/1', '128.0.0.0/1', '::1']", "--allow-from: keeps nobody out"),
        ("throttle-exempt = '0.0.0.0/0'", "--throttle-exempt: holds more of the Internet"),
        ("throttle-exempt = ['0.0.0.0/1', '128.0.0.0/1']", "--throttle-exempt: holds more of the Internet"),
        ("throttle-user = '100/1s'", "--throttle-user: '100/1s' stops nobody"),
        ("throttle-user = '1/1ms'", "--throttle-user: '1/1ms' stops nobody"),
        ("throttle-address = '100000/1d'", "--throttle-address: '100000/1d' stops nobody"),
        ("throttle-address = '1/3650d'", "--throttle-address: is longer than 31d"),
        ("throttle-ban = '40d'\nthrottle-ban-max = '31d'", "--throttle-ban: is longer than"),
        ("throttle-ban-max = '365d'", "--throttle-ban-max: is longer than 31d"),
        ("account-recheck = 0", "--account-recheck: 0 never asks again"),
        ("account-recheck = '0s'", "--account-recheck: 0 never asks again"),
        ("account-recheck = '365d'", "--account-recheck: is longer than 1d"),
    ] {
        let told = problems(&format!("{usual}{text}")).join("\n");
        assert!(told.contains(expected), "{text}: {told}");
    }
    for fine in [
        "allow-from = ['0.0.0.0/1', '::1']",
        "throttle-exempt = '10.0.0.0/8'",
        "throttle-user = '10/1s'",
        "throttle-address = '5000/1h'",
        "account-recheck = '1d'",
    ] {
        settings(&format!("{usual}{fine}"));
    }
}

#[test]
fn i14_nothing_lives_for_years() {
    let usual = "use-login = true\nassume-secure = true\n";
    for (option, most, more) in [
        ("session-max", "31d", "32d"),
        ("token-lifetime", "366d", "367d"),
        ("basic-cache", "1d", "25h"),
        ("grace", "1h", "2h"),
        ("drain", "1h", "2h"),
        ("hsts", "730d", "731d"),
        ("pam-compute-timeout", "1h", "61m"),
        ("pam-prompt-timeout", "1h", "61m"),
        ("pam-login-timeout", "1h", "61m"),
        ("login-failure-delay", "1m", "2m"),
    ] {
        let told = problems(&format!("{usual}{option} = '{more}'")).join("\n");
        assert!(told.contains(&format!("--{option}: is longer than {most}")), "{told}");
        let years = problems(&format!("{usual}{option} = '3650d'")).join("\n");
        assert!(years.contains(&format!("--{option}: is longer than {most}")), "{years}");
        let rest = if option.starts_with("pam-") { "pam-login-timeout = '1h'\n" } else { "" };
        let rest = if option == "pam-login-timeout" { "" } else { rest };
        settings(&format!("{usual}{rest}{option} = '{most}'"));
    }
    let idle = problems(&format!("{usual}session-max = '3650d'\nsession-idle = '3650d'")).join("\n");
    assert!(idle.contains("--session-max: is longer than 31d"), "{idle}");
}

#[test]
fn i24_names_are_said_where_nobody_logs_in_and_none_is_every_name() {
    let here = "no-login = true\nlisten = '127.0.0.1:1'\n";
    assert!(settings(here).server_names.is_empty());
    let names = settings(&format!("{here}server-name = ['Gate.Example.', '*.inner.example, doorward']"));
    assert_eq!(names.server_names, ["gate.example", "*.inner.example", "doorward"]);
    for (text, words) in [
        ("server-name = '*'", "every name that a stranger's page can have"),
        ("server-name = 'https://gate.example'", "write only the host"),
        ("server-name = 'gate.example:8100'", "neither a DNS name nor an address"),
        ("server-name = ''", "neither a DNS name nor an address"),
    ] {
        let refused = problem(&format!("{here}{text}"));
        assert!(refused.starts_with("--server-name: ") && refused.contains(words), "{refused}");
    }
    let beside = problem("use-login = true\nautocert = '*'\nserver-name = 'gate.example'");
    assert!(beside.contains("only means something with --no-login"), "{beside}");
}
