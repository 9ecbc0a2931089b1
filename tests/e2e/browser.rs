//! A real browser at the gateway's pages: Chromium, driven by the Python scripts in `browser/`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::support::cli::{Way, gateway_ways};
use crate::support::gateway::{Gateway, PASSWORD, USER};
use crate::support::{engine, process};

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

/// Runs one script against a gateway of its own: a wrong password slows the next login of the same address.
fn browse(script: &str) {
    // A browser needs TLS: the cookie is never sent over the plain port.
    if !gateway_ways().contains(&Way::Tls) {
        return;
    }
    let gateway = Gateway::start(Way::Tls, &engine::url());
    let mut command = Command::new(python());
    command.arg(engine::tree().join("tests/e2e/browser").join(script));
    command.arg(format!("https://localhost:{}", gateway.port)).arg(USER).arg(PASSWORD);
    command.arg(engine::tree().join("target/screenshots"));
    let result = process::run(command);
    assert_eq!(result.code, 0, "{}\n{}", result.stdout, result.stderr);
}

/// A Python that has playwright.
pub(crate) fn python() -> &'static PathBuf {
    PYTHON.get_or_init(|| engine::script("e2e-browser.sh", &[], None).into())
}
