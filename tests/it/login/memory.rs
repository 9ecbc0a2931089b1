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
