//! `docker/kerberos` against an MIT KDC.

use std::path::Path;

use crate::support::derived::{Front, KERBEROS, Server};
use crate::support::engine;
use crate::support::scope::Scope;

const REALM: &str = "TEST.LAN";
const HOST: &str = "kdc.test.lan";

fn kdc(scope: &Scope, what: &str, people: &[(&str, &str)]) -> Server {
    let server = Server::start(scope, what, &["--hostname", HOST], &["kdc.sh", REALM, "gate.test.lan"]);
    server.await_command(&["pidof", "kadmind", "krb5kdc"]);
    for (person, options) in people {
        let query = format!("addprinc {options} -pw {person}-secret {person}");
        server.run(&["kadmin.local", "-q", &query]);
    }
    server
}

fn front(scope: &Scope, server: &Server, keytab: &Path) -> Front {
    with_options(server, keytab, |options| Front::start(scope, KERBEROS.image(), options, &[]))
}

fn with_options<T>(server: &Server, keytab: &Path, start: impl FnOnce(&[&str]) -> T) -> T {
    let host = format!("{HOST}:{}", server.address);
    let keytab = format!("{}:/run/secrets/krb5-keytab:ro", keytab.display());
    let realm = format!("KRB5_REALM={REALM}");
    let options = ["--add-host", &host, "-v", &keytab, "-e", &realm, "-e", "KRB5_KDC=kdc.test.lan"];
    start(&options)
}

#[test]
fn a_browser_logs_in_with_the_password_of_a_realm() {
    let scope = Scope::new();
    let server = kdc(&scope, "kdc", &[("bob", "")]);
    let start = |options: &[&str]| Front::start_for_browsers(&scope, KERBEROS.image(), options);
    let (_front, port) = with_options(&server, &server.fetch(&scope, "/srv/keytab"), start);
    super::browse(port, "bob", "bob-secret");
}

#[test]
fn gh6_gb2_people_of_a_realm_log_in_by_their_name_or_principal_and_are_one_person() {
    let scope = Scope::new();
    let server = kdc(&scope, "kdc", &[("bob", ""), ("root", "")]);
    let front = front(&scope, &server, &server.fetch(&scope, "/srv/keytab"));
    assert_eq!(front.identity("bob", "bob-secret").0, "bob");
    // The principal reaches the module as it was typed, and the session belongs to the name that it became.
    assert_eq!(front.identity("bob@TEST.LAN", "bob-secret").0, "bob");
    assert!(front.output().contains(r#"user="bob@TEST.LAN""#), "{}", front.output());
    for (user, password) in [("bob", "wrong"), ("bob@TEST.LAN", "wrong"), ("nobody-there", "bob-secret")] {
        assert_eq!(front.refusal(user, password), 401, "{user}");
    }
    // A realm that nobody here knows is asked for nothing.
    assert!(front.log_in("bob@EVIL.EXAMPLE", "bob-secret").is_err());
    // A9: the realm has a principal `root`, and that is not the container's root.
    for user in ["root", "root@TEST.LAN"] {
        assert_eq!(front.refusal(user, "root-secret"), 401, "{user}");
    }
}

#[test]
fn a5_an_expired_kerberos_password_is_changed_before_there_is_a_token() {
    let scope = Scope::new();
    let server = kdc(&scope, "kdc", &[("carol", "+needchange")]);
    let front = front(&scope, &server, &server.fetch(&scope, "/srv/keytab"));
    // Whether it has expired is told only to whom it belongs.
    assert_eq!(front.refusal("carol", "wrong"), 401);
    let mut answer = None;
    let mut step = front.begin("carol", "carol-secret");
    for text in ["carol-secret", "new-carol-secret", "new-carol-secret"] {
        assert!(step["token"].is_null(), "a token before the change: {step}");
        let next = front.answer(&step, text);
        step = next.json();
        answer = Some(next);
    }
    let answer = answer.expect("three answers");
    assert!(answer.status == 200 && step["token"].is_string(), "{answer:?}");
    front.log_in("carol", "new-carol-secret").expect("the new password");
    assert_eq!(front.refusal("carol", "carol-secret"), 401);
}

#[test]
fn a_kdc_that_cannot_be_reached_is_an_outage_and_never_a_wrong_password() {
    let scope = Scope::new();
    let server = kdc(&scope, "kdc", &[("bob", "")]);
    let front = front(&scope, &server, &server.fetch(&scope, "/srv/keytab"));
    front.log_in("bob", "bob-secret").expect("bob logs in");
    server.pause();
    assert_eq!(front.refusal("bob", "bob-secret"), 503);
    server.unpause();
    front.log_in("bob", "bob-secret").expect("after a pause");
    server.end("krb5kdc");
    for password in ["bob-secret", "wrong"] {
        assert_eq!(front.refusal("bob", password), 503);
    }
}

#[test]
fn a_kdc_that_does_not_know_our_key_lets_nobody_in() {
    let scope = Scope::new();
    let (real, impostor) = (kdc(&scope, "kdc", &[]), kdc(&scope, "impostor", &[("bob", "")]));
    let front = front(&scope, &impostor, &real.fetch(&scope, "/srv/keytab"));
    assert!(front.log_in("bob", "bob-secret").is_err(), "{}", front.output());
}

#[test]
fn without_a_keytab_or_a_realm_there_is_no_start() {
    let scope = Scope::new();
    let (label, keytab) = (scope.label(), scope.secret("keytab", "x"));
    let keytab = format!("{}:/run/secrets/krb5-keytab:ro", keytab.display());
    let loose = scope.file("krb5.conf");
    std::fs::write(&loose, "[libdefaults]\ndefault_realm = TEST.LAN\n").expect("scratch folder");
    let loose_conf = format!("{}:/etc/krb5.conf:ro", loose.display());
    let open = format!("{}:/run/secrets/krb5-keytab:ro", loose.display());
    let cases: [(&[&str], &str); 5] = [
        (&["-v", &open, "-e", "KRB5_REALM=TEST.LAN"], "others may read"),
        (&["-e", "KRB5_REALM=TEST.LAN"], "/run/secrets/krb5-keytab"),
        (&["-v", &keytab], "KRB5_REALM"),
        (&["-v", &keytab, "-e", "KRB5_REALM=TEST.LAN", "-e", "KRB5_KDC=a b;c"], "KRB5_KDC"),
        (&["-v", &keytab, "-v", &loose_conf], "verify_ap_req_nofail"),
    ];
    for (options, named) in cases {
        let mut args = vec!["run", "--rm", "--label", &label];
        args.extend(options);
        args.extend([KERBEROS.image(), "--assume-secure", "--use-login"]);
        let result = engine::bare().run(&args);
        assert!(result.code == 78 && result.stderr.contains(named), "{named}: {result:?}");
    }
}
