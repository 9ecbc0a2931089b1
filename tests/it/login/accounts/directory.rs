//! A directory that hangs or cannot be asked: never "wrong", never for ever, and in nobody else's way.

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::super::door::Door;
use super::super::people::{Person, Service, hostile, may_run};
use super::super::wire::{AT_MOST, Request};
use super::{Belongings, PASSWORD, lines_about};

const UNIX: &str = "auth required pam_unix.so\naccount required pam_unix.so\n";

/// `UNIX`, and an account module that does `what` for this one person.
fn troubled(person: &Person, what: &str) -> String {
    format!(
        "auth required pam_unix.so\n\
         account [success=ignore default=1] pam_succeed_if.so quiet user = {}\n\
         account required {} {what}\n\
         account required pam_unix.so\n",
        person.name,
        hostile().display()
    )
}

/// Processes of the broker: itself and one for each transaction.
fn broker_processes(door: &Door) -> Vec<Pid> {
    let is_broker = |pid: &Pid| {
        std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("doorward-pam"))
    };
    door.processes().into_iter().filter(is_broker).collect()
}

fn await_broker_processes(door: &Door, count: usize) -> Vec<Pid> {
    let begun = std::time::Instant::now();
    loop {
        let processes = broker_processes(door);
        if processes.len() == count {
            return processes;
        }
        assert!(begun.elapsed() < AT_MOST, "never {count} processes of the broker");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_directory_that_is_down_costs_nothing_for_a_while_then_503_and_it_recovers_by_itself() {
    if !may_run() {
        return;
    }
    let (person, other, service) = (Person::new(PASSWORD), Person::new(PASSWORD), Service::unix());
    let door = service.open(&["--account-recheck", "3s"]);
    let (mut open, mut others) = (Belongings::of(&person, &door), Belongings::of(&other, &door));
    service.rewrite(&troubled(&person, "unavail"));
    door.output.line_with("the account cannot be checked; a good answer");
    open.are_whole(&door);
    door.output.line_with("could not be checked for too long");
    open.streams.drain(..).for_each(super::Open::await_end);
    door.send(&Request::get("/version").bearer(&open.token)).is_engine_error(503);
    let reply = door.send(&Request::get("/version").cookie(&open.cookie));
    assert!(reply.status == 503 && reply.header("retry-after").is_some(), "{reply:?}");
    assert_eq!(lines_about(&door, &person.name, "cannot be checked").len(), 1);
    others.are_whole(&door);
    service.rewrite(UNIX);
    open.await_token(&door, 200);
    assert_eq!(door.passes(|request| request.cookie(&open.cookie)), 200);
}

#[test]
fn a_check_that_hangs_is_waited_for_by_no_request_and_takes_no_logins_place() {
    if !may_run() {
        return;
    }
    let (person, other, service) = (Person::new(PASSWORD), Person::new(PASSWORD), Service::unix());
    let door = service.open(&["--account-recheck", "10s", "--pam-max-logins", "1"]);
    let mut open = Belongings::of(&person, &door);
    await_broker_processes(&door, 1);
    service.rewrite(&troubled(&person, "block"));
    let during = await_broker_processes(&door, 2);
    open.are_whole(&door);
    let token = door.token((&other.name, PASSWORD));
    assert_eq!(door.passes(|request| request.bearer(&token)), 200);
    let still = broker_processes(&door);
    assert!(during.iter().all(|pid| still.contains(pid)), "the check did not go on all the while");
}

#[test]
fn after_a_restart_nobody_is_let_in_who_cannot_be_asked_about() {
    if !may_run() {
        return;
    }
    let (person, service) = (Person::new(PASSWORD), Service::unix());
    let mut door = service.open(&["--pam-compute-timeout", "1s"]);
    let token = door.token((&person.name, PASSWORD));
    for what in ["unavail", "hang", "segv", "exit"] {
        service.rewrite(&troubled(&person, what));
        door.restart(Signal::SIGTERM);
        door.send(&Request::get("/version").bearer(&token)).is_engine_error(503);
    }
    service.rewrite(UNIX);
    door.await_status(200, &Request::get("/version").bearer(&token));
}

#[test]
fn while_the_broker_is_down_a_known_person_goes_on() {
    if !may_run() {
        return;
    }
    let (person, service) = (Person::new(PASSWORD), Service::unix());
    let door = service.open(&["--account-recheck", "20s"]);
    let mut open = Belongings::of(&person, &door);
    for pid in broker_processes(&door) {
        let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
    }
    door.output.line_with("the PAM broker ended");
    open.are_whole(&door);
}
