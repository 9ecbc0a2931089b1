//! Where a password is once the login is over: not in a core dump, not in a log, and with nobody who would keep it.

use std::fs;
use std::os::unix::fs::FileExt;

use nix::unistd::{Pid, geteuid};
use serde_json::json;

use super::door::{Door, Setup, write_users};
use super::wire::Request;

/// Long, and found nowhere else.
const PASSWORD: &str = "Zq7-a-password-that-stands-nowhere-else-0193-hx";
const PAGE: usize = 4096;

/// The process that faces the network.
fn gateway(door: &Door) -> Pid {
    *door.processes().last().unwrap()
}

/// How often a text stands in the writable memory of a process. Pages that were never used, which an allocator has by
/// the gigabyte, are passed over (`/proc/PID/pagemap`, proc(5): the highest bit says present).
fn copies(pid: Pid, text: &[u8]) -> usize {
    let open = |name: &str| fs::File::open(format!("/proc/{pid}/{name}")).unwrap();
    let (memory, pagemap) = (open("mem"), open("pagemap"));
    let is_present = |page: usize| {
        let mut entry = [0; 8];
        pagemap.read_exact_at(&mut entry, page as u64 * 8).is_ok() && entry[7] & 0x80 != 0
    };
    let mut found = 0;
    for line in
        fs::read_to_string(format!("/proc/{pid}/maps")).unwrap().lines().filter(|line| line.contains(" rw"))
    {
        let (first, last) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let at = |hex: &str| usize::from_str_radix(hex, 16).unwrap() / PAGE;
        let mut run = Vec::new();
        for page in at(first)..at(last) {
            let mut bytes = [0; PAGE];
            if is_present(page) && memory.read_exact_at(&mut bytes, (page * PAGE) as u64).is_ok() {
                run.extend_from_slice(&bytes);
            } else {
                found += memchr::memmem::find_iter(&run, text).count();
                run.clear();
            }
        }
        found += memchr::memmem::find_iter(&run, text).count();
    }
    found
}

#[test]
fn a13_the_gateway_leaves_no_core_dump_and_no_other_process_of_its_user_may_look_into_it() {
    let door = Door::shared();
    let folder = format!("/proc/{}", gateway(&door));
    let limits = fs::read_to_string(format!("{folder}/limits")).unwrap_or_default();
    if geteuid().is_root() {
        let core: Vec<&str> = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"))
            .unwrap()
            .split_whitespace()
            .collect();
        assert_eq!(core[4..6], ["0", "0"], "{limits}");
    }
    // The kernel gives the files of a process that may not be dumped to root (proc(5)).
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(format!("{folder}/mem")).unwrap().uid(), 0);
}

/// Whether a process leaves no core file, and lets only root look into it.
fn is_private(pid: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default();
    let is_zero = core.split_whitespace().skip(4).take(2).eq(["0", "0"]);
    is_zero && fs::metadata(format!("/proc/{pid}/mem")).is_ok_and(|found| found.uid() == 0)
}

#[test]
fn i21_the_demonstration_and_every_command_keep_their_memory_as_the_gateway_does() {
    if !geteuid().is_root() {
        println!("skipped: /proc says so of another user's process to root alone");
        return;
    }
    let account = super::door::account();
    let begun = std::time::Instant::now();
    let await_private = |pid: u32| {
        while !is_private(pid) {
            assert!(begun.elapsed() < super::wire::AT_MOST, "{pid} leaves its memory open");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    // Started by root and by an ordinary user: both ways end in the same.
    for as_root in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = if as_root {
            std::process::Command::new(super::door::PROGRAM)
        } else {
            let mut command = std::process::Command::new("setpriv");
            command.args(["--reuid", &account.uid.to_string(), "--regid", &account.gid.to_string()]);
            command.args(["--clear-groups", "--", super::door::PROGRAM]);
            std::os::unix::fs::chown(folder.path(), Some(account.uid.as_raw()), None).unwrap();
            command
        };
        command.args(["demo", "--listen", "127.0.0.1:0", "--state"]).arg(folder.path().join("state"));
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
        let mut demo = command.spawn().unwrap();
        // It has left root by the time that it prints the password.
        let mut said = String::new();
        let mut output = std::io::BufReader::new(demo.stdout.take().unwrap());
        while !said.contains("password") {
            assert!(std::io::BufRead::read_line(&mut output, &mut said).unwrap() > 0, "{said}");
        }
        let is_so = is_private(demo.id());
        demo.kill().unwrap();
        demo.wait().unwrap();
        assert!(is_so, "as root: {as_root}");
    }
    // A command that waits for a password.
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(super::door::PROGRAM);
    command.arg("users").arg("--users").arg(folder.path().join("users.toml")).args([
        "add",
        "bob",
        "--password-stdin",
    ]);
    let mut waits = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    await_private(waits.id());
    waits.kill().unwrap();
    waits.wait().unwrap();
}

#[test]
fn a13_nothing_keeps_a_password_after_the_login() {
    if !geteuid().is_root() {
        println!("skipped: only root may look into the gateway's memory");
        return;
    }
    let door = Setup::usual().with(&["--basic-cache", "1h"]).open();
    write_users(&door.folder.path().join("users.toml"), &[("bob", PASSWORD)]);
    let pid = gateway(&door);
    let logins = 300;
    for _ in 0..logins / 3 {
        door.token(("bob", PASSWORD));
        door.cookie(("bob", PASSWORD));
        assert_eq!(door.passes(|request| request.basic("bob", PASSWORD)), 200);
    }
    // Sessions, tokens and the memory of Basic are alive, and each of them would hold its own copy. What is found is
    // what TLS and HTTP libraries freed without wiping it; it is overwritten as memory is used again.
    let left = copies(pid, PASSWORD.as_bytes());
    println!("copies left: {left}");
    assert!(left < logins / 6, "{left} copies after {logins} logins");
}

#[test]
fn a13_no_password_stands_in_a_log_of_the_finest_level() {
    let mut door = Setup::usual().variable("DOORWARD_LOG_LEVEL", "trace").open();
    write_users(&door.folder.path().join("users.toml"), &[("bob", PASSWORD)]);
    let (cookie, token) = (door.cookie(("bob", PASSWORD)), door.token(("bob", PASSWORD)));
    door.send(&Request::get("/version").basic("bob", PASSWORD).header("X-Registry-Auth", "regsecret-8861"));
    door.send(&Request::get("/version").cookie(&cookie));
    door.send(&Request::get("/version").bearer(&token));
    let asked = door.api_login(&json!({ "user": "bob" })).json();
    let id = asked["conversation"].as_str().unwrap().to_owned();
    door.api_login(&json!({ "conversation": id, "answers": [PASSWORD] }));
    let page = door.submit(&[("user", "bob"), ("password", "")]);
    let browser = page.login_cookie().unwrap();
    super::conversations::next_step(&door, &page, PASSWORD);
    door.restart(nix::sys::signal::Signal::SIGTERM);
    let said = format!("{}{:?}", door.log(), door.output.lines());
    assert!(said.contains("TRACE") && said.contains("login accepted"), "not the finest level: {said}");
    let value = |cookie: &str| cookie.split_once('=').unwrap().1.to_owned();
    let basic = data_encoding::BASE64.encode(format!("bob:{PASSWORD}").as_bytes());
    for secret in [PASSWORD, &basic, &token, &id, &value(&cookie), &value(&browser), "regsecret-8861"] {
        assert!(!said.contains(secret), "{secret} is in the log");
    }
}
