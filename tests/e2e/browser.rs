//! A real browser at the gateway's pages: Chromium, driven by the Python scripts in `browser/`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use nix::unistd::geteuid;

use crate::support::certificates::OwnCa;
use crate::support::cli::{Way, gateway_ways};
use crate::support::gateway::{self, Gateway, PASSWORD, USER};
use crate::support::scope::Scope;
use crate::support::{engine, process, ui};

static PYTHON: OnceLock<PathBuf> = OnceLock::new();

#[test]
fn gb6_a_browser_logs_in_returns_where_it_wanted_to_go_and_logs_out() {
    browse("login.py");
}

#[test]
fn s9_five_tabs_open_the_login_page_and_all_log_in() {
    browse("tabs.py");
}

#[test]
fn the_pages_look_right_light_and_dark_on_a_phone_and_on_a_desk() {
    browse("looks.py");
}

#[test]
fn a_program_that_waits_is_let_in_by_a_person_at_a_browser() {
    if !gateway_ways().contains(&Way::Tls) {
        return;
    }
    let gateway = Gateway::start(Way::Tls, &engine::url());
    let mut command = script("device.py", &gateway);
    command.arg(env!("CARGO_BIN_EXE_doorward")).arg(gateway.certificate.as_ref().expect("TLS"));
    finish(command);
}

#[test]
fn c7_an_imported_certificate_logs_in_on_its_own_port_until_it_is_revoked() {
    // Which certificate a browser shows is settled by a policy of the machine.
    if !gateway_ways().contains(&Way::Certificate) || !geteuid().is_root() {
        println!("skipped: the browser's policy is for root to write");
        return;
    }
    let scope = Scope::new();
    let own = OwnCa::new(&scope);
    let secret = scope.secret("p12-password", "of bob's file\n");
    let p12 = ["client", USER, "--p12", "--p12-password-file", &secret.display().to_string()];
    own.run(&p12).ok();
    let port = gateway::free_port();
    let users = gateway::write_users(&scope.file(""));
    let (asking, users) = (format!("127.0.0.1:{port}"), users.display().to_string());
    let gateway = own.gateway(&["--use-login", "--users", &users, "--client-cert-listen", &asking]);
    let mut command = script("certificate.py", &gateway);
    command.arg(port.to_string()).arg(own.path("server/ca.pem"));
    command.arg(own.path(&format!("{USER}/{USER}.p12"))).arg("of bob's file");
    command
        .arg(env!("CARGO_BIN_EXE_doorward"))
        .args(["ca", "revoke", USER, "--yes", "--state"])
        .arg(own.state());
    finish(command);
}

#[test]
fn i1_i23_a_containers_output_is_never_a_page_and_a_foreign_page_cannot_ask_for_it() {
    if !gateway_ways().contains(&Way::Tls) {
        return;
    }
    let scope = Scope::new();
    let page = "<!DOCTYPE html><title>mine</title><script>fetch('/containers/create?name=PWNED',{method:'POST',\
        headers:{'Content-Type':'application/json'},body:JSON.stringify({Image:'busybox',HostConfig:{Binds:['/:/host']}})})</script>";
    let (pwned, text) = (scope.name("pwned"), page.replace("PWNED", &scope.name("pwned")));
    let name = scope.container("prints", &["-t"], &["sh", "-c", "echo \"$0\"; sleep 100000", &text]);
    let gateway = Gateway::start(Way::Tls, &engine::url());
    let mut command = script("foreign.py", &gateway);
    command.arg(name);
    finish(command);
    let made =
        engine::bare().run(&["ps", "-a", "--filter", &format!("name={pwned}"), "--format", "{{.Names}}"]);
    assert_eq!(made.ok().text(), "", "a script of the container's ran as the person");
}

#[test]
fn i1_i23_an_engine_with_pages_is_no_more_than_its_pages() {
    if !gateway_ways().contains(&Way::Tls) {
        return;
    }
    finish(script("engine_ui.py", &Gateway::with_ui(&ui::engine())));
}

#[test]
fn i2_a_service_worker_of_before_ends_at_the_sign_in_page() {
    browse("worker.py");
}

#[test]
fn i2_with_pages_of_the_engine_a_person_shows_their_password_before_a_program_is_let_in() {
    if !gateway_ways().contains(&Way::Tls) {
        return;
    }
    let gateway = Gateway::with_ui(&ui::engine());
    let mut command = script("device.py", &gateway);
    command.arg(env!("CARGO_BIN_EXE_doorward")).arg(gateway.certificate.as_ref().expect("TLS")).arg("asks");
    finish(command);
}

/// Runs one script against a gateway of its own: a wrong password slows the next login of the same address.
fn browse(script_name: &str) {
    // A browser needs TLS: the cookie is never sent over the plain port.
    if !gateway_ways().contains(&Way::Tls) {
        return;
    }
    let gateway = Gateway::start(Way::Tls, &engine::url());
    finish(script(script_name, &gateway));
}

/// A script, told where the gateway is and who logs in.
fn script(name: &str, gateway: &Gateway) -> Command {
    let mut command = Command::new(python());
    command.arg(engine::tree().join("tests/e2e/browser").join(name));
    command.arg(format!("https://localhost:{}", gateway.port)).arg(USER).arg(PASSWORD);
    command.arg(engine::tree().join("target/screenshots"));
    command
}

fn finish(command: Command) {
    let result = process::run(command);
    assert_eq!(result.code, 0, "{}\n{}", result.stdout, result.stderr);
}

/// A Python that has playwright.
pub(crate) fn python() -> &'static PathBuf {
    PYTHON.get_or_init(|| engine::script("e2e-python.sh", &[], None).into())
}
