//! `docker/ldap` against slapd. The entries are in `servers/entries.ldif`.

use crate::support::derived::{Derived, Front, LDAP, Server};
use crate::support::http;
use crate::support::image::UP;
use crate::support::scope::Scope;
use crate::support::{engine, wait};

/// The name in the directory's certificate.
const HOST: &str = "ldap.test.lan";

pub(super) fn directory(scope: &Scope) -> Server {
    let server = Server::start(scope, "ldap", &[], &["ldap.sh", HOST]);
    server.await_command(&["ldapwhoami", "-x", "-H", "ldapi:///"]);
    server
}

/// A gateway in a container of `derived` that looks people up as `cn=reader` and trusts `ca`, by default the right one.
struct Asking<'a> {
    derived: &'a Derived,
    ca: Option<&'a Server>,
    options: &'a [&'a str],
    arguments: &'a [&'a str],
}

impl Default for Asking<'_> {
    fn default() -> Self {
        Self { derived: &LDAP, ca: None, options: &[], arguments: &[] }
    }
}

impl Asking<'_> {
    fn start(&self, scope: &Scope, server: &Server) -> Front {
        self.with_options(scope, server, |options| {
            Front::start(scope, self.derived.image(), options, self.arguments)
        })
    }

    fn with_options<T>(&self, scope: &Scope, server: &Server, start: impl FnOnce(&[&str]) -> T) -> T {
        let secret = scope.secret("bind", "reader-secret\n");
        let ca = self.ca.unwrap_or(server).fetch(scope, "/srv/ca.pem");
        let host = format!("{HOST}:{}", server.address);
        let secret = format!("{}:/run/secrets/ldap-bind-password:ro", secret.display());
        let (ca, uri) = (format!("{}:/etc/ldap/ca.pem:ro", ca.display()), format!("LDAP_URI=ldap://{HOST}"));
        let mut all = vec!["--add-host", &host, "-v", &secret, "-v", &ca, "-e", &uri];
        all.extend(["-e", "LDAP_BASE=dc=test,dc=lan", "-e", "LDAP_BIND_DN=cn=reader,dc=test,dc=lan"]);
        all.extend(["-e", "LDAP_CA_FILE=/etc/ldap/ca.pem"]);
        all.extend(self.options);
        start(&all)
    }
}

/// A gateway of the image `derived` that asks `server`.
pub(super) fn front_of(scope: &Scope, derived: &Derived, server: &Server) -> Front {
    Asking { derived, ..Asking::default() }.start(scope, server)
}

#[test]
fn a_browser_logs_in_with_the_password_of_an_ldap_directory() {
    let scope = Scope::new();
    let server = directory(&scope);
    let start = |options: &[&str]| Front::start_for_browsers(&scope, LDAP.image(), options);
    let (_front, port) = Asking::default().with_options(&scope, &server, start);
    super::browse(port, "alice", "alice-secret");
}

/// Only this group is let in.
const RESTRICTED: [&str; 2] = ["-e", "LDAP_GROUP=docker-users"];

#[test]
fn gh6_people_of_an_ldap_directory_log_in_and_the_engine_is_told_their_groups() {
    let scope = Scope::new();
    let server = directory(&scope);
    let echo = format!("http://{}:8000", server.address);
    let front = Asking { arguments: &["--engine", &echo], ..Asking::default() }.start(&scope, &server);

    let token = front.log_in("alice", "alice-secret").expect("alice logs in");
    let bearer = format!("Authorization: Bearer {token}");
    let forged = ["-H", &bearer, "-H", "X-Forwarded-Groups: root", "-H", "X-Forwarded-User: root"];
    let seen = http::send(&front.target, "/who", &forged).expect("the engine answers").body;
    assert!(seen.contains("x-forwarded-user: alice\n"), "{seen}");
    assert!(seen.contains("x-forwarded-groups: staff-of-test,docker-users\n"), "{seen}");

    // A8: the directory does not care about case; there is one Alice all the same.
    assert_eq!(front.identity("ALICE", "alice-secret").0, "alice");
    for (user, password) in [("alice", "wrong"), ("nobody-there", "alice-secret"), ("alice*", "alice-secret")]
    {
        assert_eq!(front.refusal(user, password), 401, "{user}");
    }
    let words = "a)(uid=*))(|(uid=*";
    assert_eq!(front.refusal(words, "alice-secret"), 401);
}

#[test]
fn gb2_names_with_a_domain_or_a_realm_reach_the_directory_unchanged() {
    let scope = Scope::new();
    let server = directory(&scope);
    let front = Asking { options: &RESTRICTED, ..Asking::default() }.start(&scope, &server);
    for name in [r"EXAMPLE\eve", "eve@EXAMPLE.LAN"] {
        let (user, groups) = front.identity(name, "eve-secret");
        assert_eq!(
            (user.as_str(), groups),
            (name, vec!["docker-users".to_owned(), "staff-of-test".to_owned()])
        );
    }
    // The other doors take the name as it is, too.
    let basic = http::send(&front.target, "/version", &["-u", r"EXAMPLE\eve:eve-secret"]).expect("an answer");
    assert_eq!(basic.status, 200, "{basic:?}");
    let form = http::submit_login(&front.target, r"EXAMPLE\eve", "eve-secret");
    assert_eq!(form.status, 303, "{form:?}");
    assert!(front.output().contains(r#""user":"EXAMPLE\\eve""#), "{}", front.output());
    assert_eq!(front.refusal("eve", "eve-secret"), 401);
    assert_eq!(front.refusal(r"OTHER\eve", "eve-secret"), 401);
}

#[test]
fn a_group_of_the_directory_keeps_others_out_after_a_proven_password_and_at_the_next_login() {
    let scope = Scope::new();
    let server = directory(&scope);
    let front = Asking { options: &RESTRICTED, arguments: &["--account-recheck", "2s"], ..Asking::default() }
        .start(&scope, &server);
    front.log_in("alice", "alice-secret").expect("a member");
    assert_eq!(front.refusal("oscar", "oscar-secret"), 401);
    assert_eq!(front.last_outcome(), "phase=Acct code=PERM_DENIED");
    assert_eq!(front.refusal("oscar", "wrong"), 401);
    assert_eq!(front.last_outcome(), "phase=Auth code=AUTH_ERR");

    let group = "dn: cn=docker-users,ou=groups,dc=test,dc=lan\nchangetype: modify\n";
    change(
        &server,
        &format!("{group}add: memberUid\nmemberUid: oscar\n-\ndelete: memberUid\nmemberUid: alice\n"),
    );
    let token = front.log_in("oscar", "oscar-secret").expect("a new member");
    assert_eq!(status_with(&front, &token), 204);
    assert_eq!(front.refusal("alice", "alice-secret"), 401);
    change(&server, "dn: uid=oscar,ou=people,dc=test,dc=lan\nchangetype: delete\n");
    assert_eq!(front.refusal("oscar", "oscar-secret"), 401);
    // K3: nor does what he has live on.
    wait::until_true("the token of who is gone to be refused", UP, || status_with(&front, &token) == 401);
}

#[test]
fn a9_an_entry_of_the_directory_never_becomes_a_local_user() {
    let scope = Scope::new();
    let server = directory(&scope);
    let front = front_of(&scope, &LDAP, &server);
    // `small` has the number 0.
    for name in ["root", "daemon", "small"] {
        let secret = if name == "small" { "small-secret" } else { "root-secret" };
        assert_eq!(front.refusal(name, secret), 401, "{name}");
    }
    // useradd finds the directory's alice and refuses.
    front.shell(
        "echo alice:x:3000:3000::/:/bin/false >>/etc/passwd && pwconv && echo alice:local-secret | chpasswd",
    );
    assert_eq!(front.refusal("alice", "alice-secret"), 401);
    front.log_in("alice", "local-secret").expect("the local alice");
}

#[test]
fn a_directory_that_cannot_answer_is_an_outage_and_never_a_wrong_password() {
    let scope = Scope::new();
    let server = directory(&scope);
    let front = front_of(&scope, &LDAP, &server);
    front.log_in("alice", "alice-secret").expect("alice logs in");

    front.shell("kill -STOP $(pidof nslcd)");
    assert_eq!(front.refusal("alice", "alice-secret"), 503);
    front.shell("kill -CONT $(pidof nslcd)");
    front.log_in("alice", "alice-secret").expect("after a pause");

    front.shell("kill -KILL $(pidof nslcd)");
    wait::until_true("nslcd to be started again", UP, || front.log_in("alice", "alice-secret").is_ok());

    server.pause();
    assert_eq!(front.refusal("alice", "alice-secret"), 503);
    server.unpause();
    server.end("slapd");
    for password in ["alice-secret", "wrong"] {
        let answer = front.log_in("alice", password).expect_err("no directory");
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(
            !answer.header("retry-after").is_empty() && !answer.message().contains("password"),
            "{answer:?}"
        );
    }
    // First the loop that would start it again.
    front.shell("for p in /proc/[0-9]*; do grep -qs 'sbin/doorward-lda[p]' $p/cmdline && kill -KILL ${p#/proc/}; done; kill -KILL $(pidof nslcd)");
    assert_eq!(front.refusal("alice", "alice-secret"), 503);
}

#[test]
fn a_directory_that_does_not_prove_who_it_is_gets_no_password() {
    let scope = Scope::new();
    let (server, other) = (directory(&scope), Server::start(&scope, "other", &[], &["ldap.sh", HOST]));
    other.await_command(&["ldapwhoami", "-x", "-H", "ldapi:///"]);
    let front = Asking { ca: Some(&other), ..Asking::default() }.start(&scope, &server);
    assert_eq!(front.refusal("alice", "alice-secret"), 503);
}

#[test]
fn the_password_of_the_directorys_reader_is_for_root_only() {
    let scope = Scope::new();
    let server = directory(&scope);
    let front = front_of(&scope, &LDAP, &server);
    assert!(front.shell("cat /etc/nslcd.conf").contains("bindpw reader-secret"));
    let docker = engine::bare();
    let read = docker.run(&["exec", "-u", "doorward", &front.container, "cat", "/etc/nslcd.conf"]);
    assert!(read.code != 0 && !read.stdout.contains("bindpw"), "{read:?}");
    let environments = front.shell("cat /proc/[0-9]*/environ; cat /proc/[0-9]*/cmdline");
    assert!(!environments.contains("reader-secret"), "{environments:?}");
    assert!(!front.output().contains("reader-secret"));
}

#[test]
fn settings_that_cannot_work_end_the_start_and_are_named() {
    let scope = Scope::new();
    let (label, open) = (scope.label(), scope.file("open"));
    std::fs::write(&open, "reader-secret\n").expect("scratch folder");
    let open = format!("{}:/run/secrets/open:ro", open.display());
    let bind = [
        "LDAP_URI=ldap://x",
        "LDAP_BASE=dc=x",
        "LDAP_BIND_DN=cn=x",
        "LDAP_BIND_PASSWORD_FILE=/run/secrets/open",
    ];
    let cases: [(&[&str], &str); 6] = [
        (&bind, "/run/secrets/open: others may read"),
        (&[], "LDAP_URI"),
        (&["LDAP_URI=ldap://x"], "LDAP_BASE"),
        (&["LDAP_URI=ldap://x", "LDAP_BASE=dc=x", "LDAP_BIND_DN=cn=x"], "/run/secrets/ldap-bind-password"),
        (&["LDAP_URI=ldap://x", "LDAP_BASE=dc=x", "LDAP_GROUP=x)(cn=*"], "LDAP_GROUP"),
        (&["LDAP_URI=ldap://x", "LDAP_BASE=dc=x\npam_authz_search (cn=*)"], "LDAP_BASE"),
    ];
    for (environment, named) in cases {
        let mut args = vec!["run", "--rm", "--label", &label, "-v", &open];
        args.extend(environment.iter().flat_map(|pair| ["-e", pair]));
        args.extend([LDAP.image(), "--assume-secure", "--use-login"]);
        let result = engine::bare().run(&args);
        assert!(result.code == 78 && result.stderr.contains(named), "{named}: {result:?}");
    }
}

/// What a token opens.
fn status_with(front: &Front, token: &str) -> u16 {
    let bearer = format!("Authorization: Bearer {token}");
    http::send(&front.target, "/_doorward/auth", &["-H", &bearer]).expect("the gateway answers").status
}

/// Changes entries as the directory's administrator.
fn change(server: &Server, ldif: &str) {
    let bind = ["-D", "cn=admin,dc=test,dc=lan", "-w", "admin-secret"];
    server.feed(&[&["ldapmodify", "-x", "-H", "ldapi:///"], &bind[..]].concat(), ldif);
}
