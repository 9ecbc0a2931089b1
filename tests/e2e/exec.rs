//! `docker exec` in its three shapes: output only, piped, and on a terminal.

use std::process::Command;

use crate::support::compare::{on_every_way, with_every_client};
use crate::support::scope::Scope;
use crate::support::{engine, process};

#[test]
fn gf1_output_comes_although_the_client_ended_its_input_at_once() {
    with_every_client(|docker| {
        let scope = Scope::new();
        let name = scope.idle();
        let result = docker.run(&["exec", &name, "sh", "-c", "sleep 2; echo hi"]);
        assert_eq!((result.code, result.stdout.as_str()), (0, "hi\n"), "{result:?}");
        result
    });
}

#[test]
fn gf2_piped_input_comes_back_and_the_exit_code_is_kept() {
    with_every_client(|docker| {
        let scope = Scope::new();
        let name = scope.idle();
        let echoed = docker.run_with_input(&["exec", "-i", &name, "cat"], b"x\n");
        assert_eq!((echoed.code, echoed.stdout.as_str()), (0, "x\n"), "{echoed:?}");
        let failed = docker.run(&["exec", &name, "sh", "-c", "echo out; echo err >&2; exit 9"]);
        assert_eq!((failed.code, failed.stdout.as_str(), failed.stderr.as_str()), (9, "out\n", "err\n"));
        (echoed, failed)
    });
}

#[test]
fn exec_detached_returns_at_once_and_runs() {
    on_every_way(|docker| {
        let scope = Scope::new();
        let name = scope.idle();
        let started =
            docker.run(&["exec", "-d", &name, "sh", "-c", "echo done > /tmp/mark; mv /tmp/mark /tmp/done"]);
        let waiting = "until [ -e /tmp/done ]; do sleep 0.1; done; cat /tmp/done";
        (started.ok(), docker.run(&["exec", &name, "sh", "-c", waiting]).ok())
    });
}

#[test]
fn f6_a_terminal_works_and_follows_the_window_size() {
    with_every_client(|docker| {
        let scope = Scope::new();
        let name = scope.idle();
        let mut command = Command::new("python3");
        command
            .arg(engine::tree().join("tests/e2e/terminal.py"))
            .arg("resize")
            .arg("--")
            .args(docker.prefix());
        command.args(["exec", "-it", &name, "sh"]);
        docker.environment(&mut command);
        let result = process::run(command);
        assert_eq!((result.code, result.stdout.as_str()), (0, "24 80\n51 133\nexit 4\n"), "{result:?}");
        result
    });
}
