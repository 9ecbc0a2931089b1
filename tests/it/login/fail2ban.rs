//! The filter and the jail for fail2ban under packaging/, held to what the program says, with the real fail2ban.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::door::{BOB, Door, EVE, Setup};
use super::wire::Request;

fn of_the_package(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/fail2ban").join(name)
}

/// The addresses that the filter finds in these lines.
fn found(lines: &[String], folder: &Path) -> Vec<String> {
    let log = folder.join("said.log");
    fs::write(&log, lines.join("\n") + "\n").unwrap();
    let output = Command::new("fail2ban-regex")
        .args(["--out", "ip"])
        .args([&log, &of_the_package("doorward.conf")])
        .output()
        .expect("fail2ban-regex is part of fail2ban: scripts/install-deps.sh test");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    said.lines().map(str::to_owned).collect()
}

fn fail_at_every_door(door: &Door) {
    let login = |address: &str, user: &str, password: &str| {
        let body = json!({ "user": user, "password": password });
        let request = Request::post("/_doorward/api/v1/login").header("X-Forwarded-For", address);
        door.send(&request.json(&body)).status
    };
    assert_eq!(login("198.51.100.1", BOB.0, "wrong"), 401);
    assert_eq!(login("2001:db8::2", "nobody address=9.9.9.9", "wrong"), 401);
    assert_eq!(
        login("198.51.100.3", "x\",\"message\":\"login refused\",\"address\":\"9.9.9.9", "wrong"),
        401
    );
    assert_eq!(login("198.51.100.77", BOB.0, BOB.1), 200);
    let from =
        |address: &str, request: Request| door.send(&request.header("X-Forwarded-For", address)).status;
    let form = Request::post("/_doorward/login").by_our_page();
    assert_eq!(from("198.51.100.4", form.form(&[("user", EVE.0), ("password", "wrong")])), 401);
    assert_eq!(from("198.51.100.5", Request::get("/version").basic(EVE.0, "wrong")), 401);
    assert_eq!(from("198.51.100.6", Request::get("/_doorward/auth").bearer("dwt_nonsense")), 401);
    // A step that nobody knows is no failure.
    let answer = json!({ "conversation": "nonsense", "answers": ["x"] });
    assert_eq!(from("198.51.100.7", Request::post("/_doorward/api/v1/login").json(&answer)), 410);
    // Without any credential, and again with one that was counted.
    assert_eq!(from("198.51.100.78", Request::get("/version")), 401);
    assert_eq!(from("198.51.100.6", Request::get("/version").bearer("dwt_nonsense")), 401);
    // Eve is banned after her second failure; going on all the same is told as well.
    assert_eq!(login("198.51.100.8", EVE.0, EVE.1), 429);
}

#[test]
fn the_fail2ban_filter_finds_every_refused_login_once_and_no_forged_one() {
    let door = Setup::behind_terminator()
        .throttled(&["--trusted-proxy", "127.0.0.1", "--throttle-user", "2/1h"])
        .open();
    fail_at_every_door(&door);
    let expected = [
        "198.51.100.1",
        "2001:db8::2",
        "198.51.100.3",
        "198.51.100.4",
        "198.51.100.5",
        "198.51.100.6",
        "198.51.100.8",
    ];
    let lines = door.output.lines();
    assert_eq!(found(&lines, door.folder.path()), expected, "{lines:#?}");
    // As the journal's back end gives them.
    let journal: Vec<String> = lines.iter().map(|line| format!("host doorward[12]: {line}")).collect();
    assert_eq!(found(&journal, door.folder.path()), expected);
}

#[test]
fn the_fail2ban_jail_is_one_that_fail2ban_takes() {
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").args(["-rL", "/etc/fail2ban/."]).arg(folder.path()).status().unwrap();
    assert!(copied.success(), "fail2ban is not installed: scripts/install-deps.sh test");
    fs::copy(of_the_package("doorward.conf"), folder.path().join("filter.d/doorward.conf")).unwrap();
    fs::copy(of_the_package("doorward.local"), folder.path().join("jail.d/doorward.local")).unwrap();
    // Debian's own jail wants a log file that a machine without a system logger does not have.
    fs::write(folder.path().join("jail.d/zz.local"), "[sshd]\nenabled = false\n").unwrap();
    let output = Command::new("fail2ban-client").arg("-c").arg(folder.path()).arg("-d").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("'doorward', 'systemd'") && said.contains("'maxretry', 100"), "{said}");
    assert!(said.contains("_SYSTEMD_UNIT=doorward.service"), "{said}");
}
