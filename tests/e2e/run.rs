//! Listing and running containers.

use crate::support::compare::{on_every_way, with_every_client};
use crate::support::engine::{self, IMAGE};
use crate::support::scope::Scope;

#[test]
fn ps_lists_the_same_containers() {
    let scope = Scope::new();
    let name = scope.idle();
    with_every_client(|docker| {
        let format = "{{.Names}} {{.Image}} {{.Command}}";
        let listed = docker.run(&["ps", "--no-trunc", "--filter", &scope.filter(), "--format", format]).ok();
        assert!(listed.stdout.starts_with(&name), "{listed:?}");
        listed.visible()
    });
}

#[test]
fn gf13_version_and_info_come_from_the_engine() {
    with_every_client(|docker| {
        let version = docker.run(&["version", "--format", "{{.Client.APIVersion}} {{.Server.Version}}"]).ok();
        let info = docker.run(&["info", "--format", "{{.ID}} {{.ServerVersion}} {{.Name}}"]).ok();
        assert!(!version.text().is_empty());
        (version.visible(), info.visible())
    });
}

#[test]
fn gf2_run_prints_what_the_container_prints() {
    with_every_client(|docker| {
        let scope = Scope::new();
        let result = docker.run(&["run", "--rm", "--label", &scope.label(), IMAGE, "echo", "hi"]);
        assert_eq!((result.code, result.stdout.as_str()), (0, "hi\n"), "{result:?}");
        result
    });
}

#[test]
fn gf2_run_keeps_both_outputs_apart_and_returns_the_exit_code() {
    with_every_client(|docker| {
        let scope = Scope::new();
        let script = "echo out; echo err >&2; exit 7";
        let result = docker.run(&["run", "--rm", "--label", &scope.label(), IMAGE, "sh", "-c", script]);
        assert_eq!((result.code, result.stdout.as_str(), result.stderr.as_str()), (7, "out\n", "err\n"));
        result
    });
}

#[test]
fn gf2_standard_input_reaches_the_container_and_its_end_too() {
    with_every_client(|docker| {
        let scope = Scope::new();
        let args = ["run", "-i", "--rm", "--label", &scope.label(), IMAGE, "cat"];
        let result = docker.run_with_input(&args, b"x\n");
        assert_eq!((result.code, result.stdout.as_str()), (0, "x\n"), "{result:?}");
        result
    });
}

#[test]
fn f6_output_after_the_end_of_standard_input_is_not_lost() {
    with_every_client(|docker| {
        let scope = Scope::new();
        let args =
            ["run", "-i", "--rm", "--label", &scope.label(), IMAGE, "sh", "-c", "cat; sleep 1; echo after"];
        let result = docker.run_with_input(&args, b"before\n");
        assert_eq!((result.code, result.stdout.as_str()), (0, "before\nafter\n"), "{result:?}");
        result
    });
}

#[test]
fn attach_joins_a_running_container() {
    with_every_client(|docker| {
        let scope = Scope::new();
        let (name, label) = (scope.name("attached"), scope.label());
        // Made with `create -i`, its input closes with the client's. One made with `run -di` would end the output too,
        // which the engine does as soon as the input ends.
        let script = "read line; echo got $line; exit 3";
        let create = ["create", "-i", "--name", &name, "--label", &label, IMAGE, "sh", "-c", script];
        engine::bare().run(&create).ok();
        engine::bare().run(&["start", &name]).ok();
        let result = docker.run_with_input(&["attach", &name], b"hello\n");
        assert_eq!((result.code, result.stdout.as_str()), (3, "got hello\n"), "{result:?}");
        result
    });
}

#[test]
fn gf6_wait_returns_the_exit_code() {
    with_every_client(|docker| {
        let scope = Scope::new();
        let name = scope.container("waited", &[], &["sh", "-c", "sleep 1; exit 5"]);
        let result = docker.run(&["wait", &name]).ok();
        assert_eq!(result.stdout, "5\n");
        result
    });
}

#[test]
fn a_container_can_be_made_started_inspected_and_removed() {
    on_every_way(|docker| {
        let scope = Scope::new();
        let (name, label) = (scope.name("made"), scope.label());
        docker.run(&["create", "--name", &name, "--label", &label, IMAGE, "sleep", "1000"]).ok();
        let started = docker.run(&["start", &name]).ok();
        let state = docker.run(&["inspect", "--format", "{{.Name}} {{.State.Status}}", &name]).ok();
        let killed = docker.run(&["kill", &name]).ok();
        let removed = docker.run(&["rm", &name]).ok();
        let gone = docker.run(&["inspect", &name]);
        assert_eq!(gone.code, 1, "{gone:?}");
        [started, state, killed, removed, gone]
            .map(|step| (step.code, scope.neutral(&step.stdout), scope.neutral(&step.stderr)))
    });
}

#[test]
fn stats_are_taken_once() {
    on_every_way(|docker| {
        let scope = Scope::new();
        let name = scope.idle();
        let result = docker.run(&["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", &name]).ok();
        scope.neutral(&result.stdout)
    });
}

#[test]
fn errors_of_the_engine_come_through_word_for_word() {
    with_every_client(|docker| {
        let missing = docker.run(&["rm", "dwe2e-there-is-no-such-container"]);
        assert_eq!(missing.code, 1);
        assert!(missing.stderr.contains("No such container"), "{missing:?}");
        let image = docker.run(&["image", "inspect", "dwe2e/there-is-no-such-image"]);
        (missing, image)
    });
}

#[test]
fn names_that_need_escaping_are_matched_by_the_engine_alone() {
    let scope = Scope::new();
    let name = scope.idle();
    on_every_way(|docker| {
        // The filter travels as percent-encoded JSON in the query.
        let (by_name, by_image) = (format!("name=^/{name}$"), format!("ancestor={IMAGE}"));
        let filters = ["--filter", by_name.as_str(), "--filter", by_image.as_str()];
        docker.run(&[&["ps", "-a", "--format", "{{.Names}}"], filters.as_slice()].concat()).ok()
    });
}
