//! What a docker client shows when the gateway says no.

use std::fs::File;

use crate::support::cli::{Cli, gateway_ways, programs};
use crate::support::gateway::{self, Gateway};
use crate::support::http;
use crate::support::process::Finished;
use crate::support::scope::Scope;

/// Size of the refused upload: more than all socket buffers on the way hold.
const UPLOAD: u64 = 64 << 20;

#[test]
fn gg1_without_a_credential_the_client_prints_our_message() {
    for docker in clients() {
        let refused = docker.clone().without_credential().run(&["ps"]);
        assert_refused(&docker, &refused, &message(&docker, &[]));
    }
}

#[test]
fn d7_with_a_wrong_token_the_client_prints_our_message() {
    for docker in clients() {
        let wrong = "dwt_0123456789012345678901234567890123456789012";
        let scope = Scope::new();
        let config = scope.file("wrong-token");
        http::write_docker_config(&config, wrong);
        let refused = docker.clone().with_config(&config).run(&["ps"]);
        assert_refused(
            &docker,
            &refused,
            &message(&docker, &["-H", &format!("Authorization: Bearer {wrong}")]),
        );
    }
}

#[test]
fn gc1_after_its_revocation_a_token_is_worth_nothing() {
    for way in gateway_ways() {
        let gateway = gateway::shared(way);
        let token = gateway.log_in();
        let scope = Scope::new();
        let config = scope.file("revoked-token");
        http::write_docker_config(&config, &token);
        let docker = Cli::through(gateway).with_config(&config);
        docker.run(&["ps"]).ok();
        revoke(gateway, &token);
        let refused = docker.run(&["ps"]);
        assert_refused(
            &docker,
            &refused,
            &message(&docker, &["-H", &format!("Authorization: Bearer {token}")]),
        );
        Cli::through(gateway).run(&["ps"]).ok();
    }
}

#[test]
fn gg2_a_refused_upload_shows_our_message_ten_times_of_ten() {
    let scope = Scope::new();
    let file = scope.file("upload");
    File::create(&file).and_then(|upload| upload.set_len(UPLOAD)).expect("scratch folder");
    let file = file.display().to_string();
    for docker in clients() {
        let expected = message(&docker, &[]);
        for _ in 0..10 {
            let refused = docker.clone().without_credential().run(&["load", "-i", &file]);
            assert_refused(&docker, &refused, &expected);
        }
    }
}

#[test]
fn gg3_a_refused_hijack_ends_with_an_error_and_never_in_silence() {
    for docker in clients() {
        let scope = Scope::new();
        let name = scope.idle();
        for args in [
            &["exec", &name, "echo", "hi"][..],
            &["attach", &name],
            &["run", "--rm", "busybox", "echo", "hi"],
        ] {
            let refused = docker.clone().without_credential().run(args);
            assert!(
                refused.code != 0 && refused.stdout.is_empty() && !refused.stderr.is_empty(),
                "{refused:?}"
            );
        }
    }
}

/// Every installed client on every gateway way.
fn clients() -> impl Iterator<Item = Cli> {
    gateway_ways().into_iter().flat_map(|way| programs().iter().map(move |program| Cli::new(program, way)))
}

/// The text that the gateway gives to a request with these credentials.
fn message(docker: &Cli, options: &[&str]) -> String {
    let target = gateway::shared(docker.way()).target();
    let answer = http::send(&target, "/v1.41/containers/json", options).expect("the gateway answers");
    assert_eq!(answer.status, 401, "{answer:?}");
    answer.message()
}

fn assert_refused(docker: &Cli, refused: &Finished, message: &str) {
    // It names the gateway as each client does.
    let by_address = |text: &str| text.replace("https://localhost:", "https://127.0.0.1:");
    let shown = by_address(&format!("Error response from daemon: {message}"));
    assert!(shown.contains("run: doorward login https://127.0.0.1:"), "{shown}");
    assert_eq!(refused.code, 1, "{docker}: {refused:?}");
    // Newer clients capitalise nothing and wrap nothing: the line stands as it is.
    let has_it = refused.stderr.lines().any(|line| by_address(line) == shown);
    assert!(has_it, "{docker} shows {refused:?}, not {shown:?}");
}

/// Has a token revoked by its owner.
fn revoke(gateway: &Gateway, token: &str) {
    let bearer = format!("Authorization: Bearer {token}");
    let who = http::send(&gateway.target(), "/_doorward/api/v1/whoami", &["-H", &bearer])
        .expect("an answer")
        .json();
    let id = who["credential"].as_str().unwrap_or_else(|| panic!("no credential id in {who}")).to_owned();
    let path = format!("/_doorward/api/v1/tokens/{id}");
    let answer = http::send(&gateway.target(), &path, &["-X", "DELETE", "-H", &bearer]).expect("an answer");
    assert!((200..300).contains(&answer.status), "{answer:?}");
}
