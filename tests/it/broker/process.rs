//! The broker as a process: its start, its limits, its socket, its end.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use doorward::pam::frames::{FromWorker, HEADER, Start, ToWorker, VERSION, decode, encode};
use doorward::pam::{Mode, PamEvent, PamRequest};

use super::house::{Broker, PROGRAM, Service, may_run, request};

fn asks() -> Service {
    Service::hostile("two")
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn problem(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_missing_service_file_refuses_the_start_and_is_named() {
    for extra in [&["--check"][..], &["--socket", "/nonexistent/pam.sock"]] {
        let said = problem(&[&["--service", "doorward-test-missing"], extra].concat());
        assert!(said.contains("/etc/pam.d/doorward-test-missing") && said.contains("install"), "{said}");
    }
}

#[test]
fn a_service_file_that_others_may_write_refuses_the_start() {
    if !may_run() {
        return;
    }
    let service = Service::new("auth required pam_unix.so\n");
    assert!(run(&["--check", "--service", &service.name]).status.success());
    fs::set_permissions(service.path(), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(problem(&["--check", "--service", &service.name]).contains("chmod go-w"));
    fs::set_permissions(service.path(), fs::Permissions::from_mode(0o644)).unwrap();
    std::os::unix::fs::chown(service.path(), Some(65534), None).unwrap();
    assert!(problem(&["--check", "--service", &service.name]).contains("chown root"));
}

#[test]
fn without_a_listening_socket_the_broker_says_what_it_needs() {
    if !may_run() {
        return;
    }
    let service = asks();
    assert!(problem(&["--service", &service.name]).contains("--socket"));
}

#[test]
fn only_the_broker_links_libpam() {
    let holds = |program: &str| fs::read(program).unwrap().windows(9).any(|bytes| bytes == b"libpam.so");
    assert!(holds(PROGRAM));
    assert!(!holds(env!("CARGO_BIN_EXE_doorward")));
}

#[tokio::test]
async fn the_socket_may_come_on_standard_input() {
    if !may_run() {
        return;
    }
    let (service, folder) = (asks(), tempfile::tempdir().unwrap());
    let socket = folder.path().join("given.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut command = Command::new(PROGRAM);
    command.stdin(Stdio::from(OwnedFd::from(listener)));
    let broker = Broker::spawn(command, folder, socket, &[&service], &[]);
    let (_, event) = broker.open(&service, "nobody").await;
    assert!(matches!(event, PamEvent::Ask { .. }), "{event:?}");
}

#[tokio::test]
async fn a_ping_tells_whether_a_broker_is_there() {
    if !may_run() {
        return;
    }
    let service = asks();
    let mut broker = Broker::start(&[&service], &[]);
    let client = broker.client(&service);
    client.ping().await.unwrap();
    broker.stop();
    assert!(client.ping().await.is_err());
    assert!(client.start(request("nobody", Mode::Login)).await.is_err());
}

#[tokio::test]
async fn b6_over_the_limit_a_login_is_told_busy_and_a_disconnect_frees_its_place() {
    if !may_run() {
        return;
    }
    let service = asks();
    let broker = Broker::start(&[&service], &["--max-children", "1"]);
    let (first, event) = broker.open(&service, "nobody").await;
    assert!(matches!(event, PamEvent::Ask { .. }), "{event:?}");
    let (_, event) = broker.open(&service, "nobody").await;
    assert!(matches!(event, PamEvent::Busy { retry_after } if !retry_after.is_zero()), "{event:?}");
    drop(first);
    broker.line_with("closed the connection");
    let (_, event) = broker.open(&service, "nobody").await;
    assert!(matches!(event, PamEvent::Ask { .. }), "{event:?}");
}

#[tokio::test]
async fn b1_one_address_cannot_take_all_places() {
    if !may_run() {
        return;
    }
    let service = asks();
    let broker = Broker::start(&[&service], &["--max-per-address", "1"]);
    let (_first, _) = broker.open(&service, "nobody").await;
    let (_, event) = broker.open(&service, "nobody").await;
    assert!(matches!(event, PamEvent::Busy { .. }), "{event:?}");
    let elsewhere = PamRequest { rhost: "2001:db8::1".parse().unwrap(), ..request("nobody", Mode::Login) };
    let event = broker.client(&service).start(elsewhere).await.unwrap().next().await;
    assert!(matches!(event, PamEvent::Ask { .. }), "{event:?}");
}

#[tokio::test]
async fn a_person_who_does_not_answer_is_not_waited_for_for_ever() {
    if !may_run() {
        return;
    }
    let service = asks();
    let broker = Broker::start(&[&service], &["--prompt-seconds", "1"]);
    let (mut conversation, _) = broker.open(&service, "nobody").await;
    assert!(broker.line_with("mode=Login").contains("no answer to a prompt"));
    let _ = conversation.answer_text("42").await;
    let event = conversation.next().await;
    assert!(matches!(event, PamEvent::Unavailable { .. }), "{event:?}");
}

#[tokio::test]
async fn a_service_that_is_not_served_is_unavailable() {
    if !may_run() {
        return;
    }
    let (served, other) =
        (asks(), Service::new("auth required pam_permit.so\naccount required pam_permit.so\n"));
    let broker = Broker::start(&[&served], &[]);
    let (_, event) = broker.open(&other, "nobody").await;
    assert!(matches!(event, PamEvent::Unavailable { .. }), "{event:?}");
}

#[tokio::test]
async fn frames_that_break_the_protocol_end_their_connection_only() {
    if !may_run() {
        return;
    }
    let service = asks();
    let broker = Broker::start(&[&service], &[]);
    let early_answer = encode(&ToWorker::Answer { n: 1, value: None }).unwrap();
    let wrong_version = encode(&ToWorker::Ping { v: VERSION + 1 }).unwrap();
    let garbage: [&[u8]; 6] = [
        &[0xff; 4],
        &[0; 4],
        &[3, 0, 0, 0, 0xff, 0xff, 0xff],
        b"GET / HTTP/1.1\r\n\r\n",
        &early_answer,
        &wrong_version,
    ];
    for bytes in garbage {
        let mut stream = UnixStream::connect(&broker.socket).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{bytes:?} was answered");
    }
    let mut stream = UnixStream::connect(&broker.socket).unwrap();
    stream.write_all(&encode(&ToWorker::Ping { v: VERSION }).unwrap()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(decode::<FromWorker>(&answer[HEADER..]).unwrap(), FromWorker::Pong);
}

#[tokio::test]
async fn i20_a_name_that_is_a_path_an_option_or_no_name_never_reaches_a_module() {
    if !may_run() {
        return;
    }
    let service = asks();
    let broker = Broker::start(&[&service], &[]);
    let answer = |user: &str| {
        let start = Start {
            v: VERSION,
            service: service.name.clone(),
            user: Some(user.to_owned()),
            rhost: "192.0.2.1".parse().unwrap(),
            tty: "https".to_owned(),
            mode: Mode::Login,
            deadline_ms: 2000,
            trace: [0; 16],
        };
        let mut stream = UnixStream::connect(&broker.socket).unwrap();
        stream.write_all(&encode(&ToWorker::Start(start)).unwrap()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    };
    for name in
        ["../../etc/x", "a/b", "/", ".", "..", "-rf", "", " bob", "a\nb", "a:b", "a\u{200b}", "．．", "a／b"]
    {
        assert!(answer(name).is_empty(), "{name:?} was asked about");
    }
    let asked = answer(r"DOM\bob@REALM");
    assert!(matches!(decode::<FromWorker>(&asked[HEADER..]), Ok(FromWorker::Prompt { .. })), "{asked:?}");
}

#[tokio::test]
async fn sigterm_ends_the_broker_and_every_child() {
    if !may_run() {
        return;
    }
    let service = Service::hostile("ask-hang");
    let mut broker = Broker::start(&[&service], &[]);
    let (mut hanging, _) = broker.open(&service, "nobody").await;
    hanging.answer_text("").await.unwrap();
    let (mut waiting, _) = broker.open(&service, "nobody").await;
    assert!(broker.stop().success());
    for conversation in [&mut hanging, &mut waiting] {
        let event = conversation.next().await;
        assert!(matches!(event, PamEvent::Unavailable { .. }), "{event:?}");
    }
    assert!(!broker.socket.exists());
    broker.rest_of_log();
}

#[test]
fn a_broker_dies_with_its_launcher_if_told_to() {
    if !may_run() {
        return;
    }
    let (service, folder) = (asks(), tempfile::tempdir().unwrap());
    let socket = folder.path().join("pam.sock");
    let mut command = Command::new("sh");
    command.args(["-c", "\"$@\" & wait", "sh", PROGRAM, "--die-with-parent", "--socket"]).arg(&socket);
    let broker = Broker::spawn(command, folder, socket, &[&service], &[]);
    kill(broker.pid(), Signal::SIGKILL).unwrap();
    broker.rest_of_log();
}

#[tokio::test]
async fn a_launcher_that_ignores_sigchld_does_not_fill_the_places() {
    if !may_run() {
        return;
    }
    let (service, folder) = (Service::hostile("exit"), tempfile::tempdir().unwrap());
    let socket = folder.path().join("pam.sock");
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' CHLD; exec \"$@\"", "sh", PROGRAM, "--max-children", "1", "--socket"])
        .arg(&socket);
    let broker = Broker::spawn(command, folder, socket, &[&service], &[]);
    for _ in 0..3 {
        let (_, event) = broker.open(&service, "nobody").await;
        assert!(matches!(event, PamEvent::Unavailable { .. }), "{event:?}");
        broker.line_with("exited with 0");
    }
}

#[tokio::test]
async fn a_second_broker_does_not_take_the_socket_but_a_dead_ones_is_replaced() {
    if !may_run() {
        return;
    }
    let service = asks();
    let broker = Broker::start(&[&service], &[]);
    let socket = broker.socket.to_str().unwrap().to_owned();
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    assert!(problem(&["--service", &service.name, "--socket", &socket]).contains("another broker"));
    kill(broker.pid(), Signal::SIGKILL).unwrap();
    broker.rest_of_log();
    assert!(broker.socket.exists());
    let mut command = Command::new(PROGRAM);
    command.arg("--socket").arg(&socket).stdin(Stdio::null());
    let again = Broker::spawn(command, tempfile::tempdir().unwrap(), broker.socket.clone(), &[&service], &[]);
    again.client(&service).ping().await.unwrap();
}

#[test]
fn a_user_who_is_not_allowed_is_turned_away() {
    if !may_run() {
        return;
    }
    let service = asks();
    let broker = Broker::start(&[&service], &[]);
    // Anybody may reach the socket now, so that only the check of the peer is left.
    fs::set_permissions(broker.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&broker.socket, fs::Permissions::from_mode(0o666)).unwrap();
    let program = broker.folder.path().join("doorward-pam");
    fs::copy(PROGRAM, &program).unwrap();
    // As another user, a broker that finds the socket taken has connected to it.
    let status = Command::new(&program)
        .args(["--service", &service.name, "--socket"])
        .arg(&broker.socket)
        .uid(65534)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(78));
    assert!(broker.line_with("refused uid").contains("65534"));
    assert_ne!(broker.pid(), Pid::this());
}
