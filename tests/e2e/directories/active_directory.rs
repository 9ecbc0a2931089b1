//! `docker/active-directory` against a Samba domain controller.

use crate::support::derived::{ACTIVE_DIRECTORY, Front, Server};
use crate::support::image::{self, UP};
use crate::support::scope::Scope;
use crate::support::{engine, wait};

const ADMIN: &str = "Admin-passw0rd";
const ALICE: &str = "Alice-passw0rd";
const OSCAR: &str = "Oscar-passw0rd";

fn controller(scope: &Scope) -> Server {
    let host = ["--hostname", "dc1.ad.test.lan"];
    let server = Server::start(scope, "dc", &host, &["dc.sh", "AD.TEST.LAN", "ADTEST", ADMIN]);
    server.await_command(&[
        "samba-tool",
        "user",
        "show",
        "Administrator",
        "--URL=ldap://localhost",
        "-U",
        &format!("Administrator%{ADMIN}"),
    ]);
    server.run(&["samba-tool", "user", "create", "alice", ALICE]);
    server.run(&["samba-tool", "user", "create", "oscar", OSCAR]);
    // Alice is let in by a group in the group.
    server.run(&["samba-tool", "group", "add", "gatekeepers"]);
    server.run(&["samba-tool", "group", "add", "team"]);
    server.run(&["samba-tool", "group", "addmembers", "gatekeepers", "team"]);
    server.run(&["samba-tool", "group", "addmembers", "team", "alice"]);
    server
}

/// A gateway whose machine account is on a volume of this name.
fn front(scope: &Scope, server: &Server, volume: &str, options: &[&str]) -> Front {
    let folder = scope.file(volume);
    std::fs::create_dir_all(&folder).expect("scratch folder");
    let volume = format!("{}:/var/lib/samba", folder.display());
    let mut all = vec!["--dns", &server.address, "-v", &volume, "-e", "AD_REALM=AD.TEST.LAN"];
    all.extend(["-e", "AD_DOMAIN=ADTEST", "-e", "AD_NAME=GATE", "-e", r"AD_GROUP=ADTEST\gatekeepers"]);
    all.extend(options);
    Front::start(scope, ACTIVE_DIRECTORY.image(), &all, &[])
}

fn remove(front: &Front) {
    engine::bare().run(&["rm", "-f", &front.container]).ok();
}

fn await_alice(front: &Front) {
    wait::until_true("winbindd to know the domain", UP, || front.log_in(r"ADTEST\alice", ALICE).is_ok());
}

/// One domain controller for the whole story: it takes fifteen seconds to make one.
#[test]
fn gh6_gb2_a_container_joins_a_domain_and_its_people_log_in_as_dom_user_and_user_at_realm() {
    let scope = Scope::new();
    let server = controller(&scope);

    // Before it is a member, it can say nothing about anybody.
    let first = front(&scope, &server, "by-hand", &[]);
    assert!(first.output().contains("ad-join"), "{}", first.output());
    assert_eq!(first.refusal(r"ADTEST\alice", ALICE), 503);
    let joined = image::dialogue(&[("password", ADMIN)], &["exec", "-ti", &first.container, "ad-join"]);
    assert_eq!(joined.code, 0, "{joined:?}");
    await_alice(&first);
    check_people(&first);
    remove(&first);

    // A new container with the same volume is still a member.
    let second = front(&scope, &server, "by-hand", &[]);
    await_alice(&second);
    remove(&second);

    let secret = scope.secret("ad-join", &format!("username=Administrator\npassword={ADMIN}\n"));
    let mount = format!("{}:/run/secrets/ad-join:ro", secret.display());
    let third = front(&scope, &server, "by-file", &["-v", &mount]);
    await_alice(&third);
    assert!(!third.output().contains(ADMIN));
    check_changes(&third, &server);
    check_outages(&third, &server);
}

fn check_people(front: &Front) {
    for name in [r"ADTEST\alice", r"adtest\ALICE", "alice@ad.test.lan", "alice@AD.TEST.LAN"] {
        let (user, groups) = front.identity(name, ALICE);
        assert_eq!(user, r"ADTEST\alice", "{name}");
        assert!(groups.contains(&r"ADTEST\gatekeepers".to_owned()), "{groups:?}");
    }
    // Without a domain, a name is local.
    for (user, password) in
        [(r"ADTEST\alice", "wrong"), ("alice", ALICE), (r"ADTEST\oscar", OSCAR), (r"ADTEST\nobody", ALICE)]
    {
        assert_eq!(front.refusal(user, password), 401, "{user}");
    }
    front.shell("useradd bob && echo bob:local-secret | chpasswd");
    assert_eq!(front.identity("bob", "local-secret").0, "bob");
}

/// What the domain's administrator does counts at the next login.
fn check_changes(front: &Front, server: &Server) {
    server.run(&["samba-tool", "user", "disable", "alice"]);
    assert_eq!(front.refusal(r"ADTEST\alice", ALICE), 401);
    server.run(&["samba-tool", "user", "enable", "alice"]);
    front.log_in(r"ADTEST\alice", ALICE).expect("enabled again");
    server.run(&["samba-tool", "group", "removemembers", "gatekeepers", "team"]);
    assert_eq!(front.refusal(r"ADTEST\alice", ALICE), 401);
    server.run(&["samba-tool", "group", "addmembers", "gatekeepers", "team"]);
    front.log_in(r"ADTEST\alice", ALICE).expect("a member again");
}

fn check_outages(front: &Front, server: &Server) {
    front.shell("kill -KILL $(pidof winbindd)");
    wait::until_true("winbindd to be started again", UP, || front.log_in(r"ADTEST\alice", ALICE).is_ok());
    front.shell("kill -STOP $(pidof winbindd)");
    assert_eq!(front.refusal(r"ADTEST\alice", ALICE), 503);
    front.shell("kill -CONT $(pidof winbindd)");
    server.pause();
    for password in [ALICE, "wrong"] {
        assert_eq!(front.refusal(r"ADTEST\alice", password), 503);
    }
}
