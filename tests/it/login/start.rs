//! What `serve` does before anybody can log in.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::door::{BOB, Door, PROGRAM, Setup};

/// Exit code and complaints of a start that is refused.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(PROGRAM)
        .arg("serve")
        .args(arguments)
        .args(["--listen", "127.0.0.1:0", "--state"])
        .arg(folder.path().join("state"))
        .arg("--runtime-dir")
        .arg(folder.path().join("run"))
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn ga1_login_over_open_connections_is_refused_and_the_three_ways_are_named() {
    let (code, said) = refused(&["--use-login"]);
    assert_eq!(code, Some(78), "{said}");
    for way in ["--autocert", "--certfile", "--assume-secure"] {
        assert!(said.contains(way), "{way} in {said}");
    }
}

#[test]
fn ga4_two_ways_at_once_are_refused() {
    let (code, said) = refused(&["--use-login", "--assume-secure", "--autocert", "localhost"]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("--assume-secure") && said.contains("--autocert"), "{said}");
}

#[test]
fn l4_nobody_said_who_may_come_in() {
    let (code, said) = refused(&["--assume-secure"]);
    assert!(
        code == Some(78) && said.contains("--use-login") && said.contains("--no-login"),
        "{code:?} {said}"
    );
}

#[test]
fn ga2_the_generated_certificate_names_what_was_asked_and_keeps_its_key() {
    let mut door = Setup::usual().open();
    let folder = door.state().join("autocert");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let key = folder.join("key.pem");
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (before, _) = (read("key.pem"), door.token(BOB));
    let said = door.output.lines().join("\n");
    assert!(said.contains("fingerprint"), "{said}");
    door.restart(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(read("key.pem"), before);
    // The client trusts just this certificate, and asks for it by address.
    door.token(BOB);
}

#[test]
fn i4_a_state_folder_that_root_put_back_from_a_backup_serves_its_tokens_again() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root gives folders away");
        return;
    }
    let mut door = Setup::usual().with(&["--client-ca", "own"]).prepared(with_a_ca).open();
    let token = door.token(BOB);
    let state = door.state();
    let everything = || -> Vec<(std::path::PathBuf, u32)> {
        let output = Command::new("find").arg(&state).args(["-printf", "%U %p\n"]).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        lines
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(uid, path)| (path.into(), uid.parse().unwrap()))
            .collect()
    };
    let before = everything();
    assert!(Command::new("chown").args(["-R", "root"]).arg(door.state()).status().unwrap().success());
    door.restart(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(door.passes(|request| request.bearer(&token)), 200);
    let now = everything();
    for (path, uid) in before {
        let same = now.iter().find(|(other, _)| *other == path);
        assert!(same.is_none_or(|(_, now)| *now == uid), "{}: {same:?}, was {uid}", path.display());
    }
}

/// The CA of `doorward ca`, made by root before the first start.
fn with_a_ca(folder: &std::path::Path) {
    let mut command = Command::new(PROGRAM);
    command.args(["ca", "init", "--no-passphrase", "--state"]).arg(folder.join("state"));
    command.env("DOORWARD_USER", super::door::account().name);
    assert!(command.output().unwrap().status.success());
}

/// A door with the certificate of another in one file, its parts in this order.
fn with_certfile(other: &Door, order: [&str; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.pem");
    let parts = order.map(|name| std::fs::read_to_string(other.state().join("autocert").join(name)).unwrap());
    std::fs::write(&file, parts.concat()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let trusted = other.state().join("autocert/cert.pem");
    let door = Setup::certfile(&trusted).with(&["--certfile", file.to_str().unwrap()]).open();
    door.token(BOB);
}

#[test]
fn ga3_a_certfile_serves_with_its_parts_in_either_order_though_only_root_can_read_it() {
    let other = Door::shared();
    with_certfile(&other, ["cert.pem", "key.pem"]);
    with_certfile(&other, ["key.pem", "cert.pem"]);
}

#[test]
fn ga3_a_certfile_that_cannot_serve_ends_the_start() {
    let other = Door::shared();
    let certificate = other.state().join("autocert/cert.pem");
    for file in [certificate.to_str().unwrap(), "/nonexistent.pem", "/dev/null"] {
        let (code, said) = refused(&["--use-login", "--certfile", file]);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(file), "{said}");
    }
}
