//! How a tunnel begins and ends, and who may use it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use doorward::client::ServerTrust;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::gateway::Gateway;
use super::process::{Home, await_that, exists, get};

fn usual() -> (Gateway, Home) {
    let gateway = Gateway::start(|call| call.say("ok"));
    let home = Home::new();
    home.log_in(&format!("http://{}", gateway.address), "dwt_one", ServerTrust::Plain, 3600);
    (gateway, home)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn ctrl_c_and_sigterm_leave_nothing_behind() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let (_gateway, home) = usual();
        let tunnel = home.tunnel();
        assert_eq!(mode(&tunnel.socket), 0o600);
        let _open = tunnel.connect();
        tunnel.signal(signal);
        let (code, said) = tunnel.end();
        assert_eq!((code, said.as_str()), (Some(0), ""), "{signal}");
        assert!(!exists(&home.path("s")) && !exists(&home.path("s.lock")), "{signal}");
    }
}

#[test]
fn a_tunnel_that_was_killed_is_replaced_and_one_that_lives_is_reported() {
    let (_gateway, home) = usual();
    let killed = home.tunnel();
    killed.signal(Signal::SIGKILL);
    killed.end();
    assert!(exists(&home.path("s")), "a killed tunnel cannot remove its socket");
    let living = home.tunnel();
    let second = home.command(&["tunnel", "--socket", home.path("s").to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("already") && said.contains(&living.pid().to_string()), "{said}");
    assert!(living.ask(&get("/")).ends_with("ok"));
}

#[test]
fn another_user_is_refused_even_where_the_file_lets_him_in() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let (gateway, home) = usual();
    let tunnel = home.tunnel();
    let folder = tunnel.socket.parent().unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&tunnel.socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    let ask = |user: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", user, "--clear-groups", "curl", "-sS", "--max-time", "20", "--unix-socket"]);
        command.arg(&tunnel.socket).arg("http://docker/_ping").output().unwrap()
    };
    let own = ask("0");
    assert_eq!(own.stdout, b"ok", "{own:?}");
    let other = ask("65534");
    assert!(!other.status.success() && other.stdout.is_empty(), "{other:?}");
    assert_eq!(gateway.heads().len(), 1);
}

#[test]
fn a_logout_ends_the_tunnel() {
    let (gateway, home) = usual();
    let tunnel = home.tunnel();
    let login = home.store().pick(None).unwrap();
    home.store().remove(&login.url).unwrap();
    let (code, said) = tunnel.end();
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("logged out of") && said.contains(&gateway.address.to_string()), "{said}");
    assert!(!exists(&home.path("s")));
}

#[test]
fn a_login_that_runs_out_ends_the_tunnel_and_says_how_to_go_on() {
    let (gateway, home) = usual();
    let tunnel = home.tunnel();
    home.log_in(&format!("http://{}", gateway.address), "dwt_one", ServerTrust::Plain, 1);
    let (code, said) = tunnel.end();
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("has ended") && said.contains("doorward login"), "{said}");
}

#[test]
fn only_the_gateways_own_no_ends_the_tunnel() {
    // The engine answers 401 for a registry's password; the gateway still knows the token.
    let gateway = Gateway::start(|call| {
        if call.head.contains("/auth") {
            call.body();
            call.answer("401 Unauthorized", "{\"message\":\"incorrect username or password\"}");
        } else {
            call.say("{}");
        }
    });
    let home = Home::new();
    home.log_in(&format!("http://{}", gateway.address), "dwt_one", ServerTrust::Plain, 3600);
    let tunnel = home.tunnel();
    let answer =
        tunnel.ask("POST /auth HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}");
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("incorrect username"), "{answer}");
    await_that("it asked who this is", || gateway.heads().iter().any(|head| head.contains("whoami")));
    assert!(tunnel.ask(&get("/after")).starts_with("HTTP/1.1 200 "));
}

#[test]
fn in_the_background_it_listens_before_its_starter_ends() {
    let (gateway, home) = usual();
    let started = home.command(&["tunnel", "--detach"]).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(started.stderr).unwrap();
    assert_eq!(started.status.code(), Some(0), "{said}");
    let pid = said.split("(process ").nth(1).and_then(|rest| rest.split(')').next()).unwrap();
    let pid = Pid::from_raw(pid.parse().unwrap());
    let port = gateway.address.port();
    let socket = home.path(&format!("doorward/127.0.0.1-{port}.sock"));
    assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o600, 0o700));
    assert_eq!(mode(&socket.with_extension("sock.log")), 0o600);
    // No terminal, no descriptor of the starter, a session of its own.
    assert_eq!(nix::unistd::getsid(Some(pid)).unwrap(), pid);
    assert!(super::process::ask(&socket, &get("/")).ends_with("ok"));

    let env = home.command(&["env"]).output().unwrap();
    let printed = String::from_utf8(env.stdout).unwrap();
    assert!(printed.contains(&format!("export DOCKER_HOST='unix://{}';", socket.display())), "{printed}");
    assert!(!printed.contains("dwt_") && env.stderr.is_empty());

    let again = home.command(&["tunnel", "--detach"]).output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    kill(pid, Signal::SIGTERM).unwrap();
    await_that("it has ended", || !exists(&socket));
    await_that("its log is gone", || !exists(&socket.with_extension("sock.log")));
}

#[test]
fn the_log_of_a_tunnel_in_the_background_keeps_why_it_has_ended() {
    let (gateway, home) = usual();
    assert!(home.command(&["tunnel", "--detach"]).stderr(Stdio::null()).status().unwrap().success());
    let socket = home.path(&format!("doorward/127.0.0.1-{}.sock", gateway.address.port()));
    home.log_in(&format!("http://{}", gateway.address), "dwt_one", ServerTrust::Plain, -1);
    await_that("it has ended", || !exists(&socket));
    let log = || std::fs::read_to_string(socket.with_extension("sock.log")).unwrap();
    await_that("its log says why", || log().contains("run: doorward login"));
}

#[test]
fn whoever_is_not_logged_in_is_told_to() {
    let home = Home::new();
    for arguments in [&["tunnel"][..], &["tunnel", "--detach"], &["env"]] {
        let output = home.command(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(said.contains("doorward login") && output.stdout.is_empty(), "{said}");
    }
    let unset = home.command(&["env", "--unset"]).output().unwrap();
    assert_eq!(String::from_utf8(unset.stdout).unwrap(), "unset DOCKER_HOST;\n");
}
