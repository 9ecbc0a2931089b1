//! `doorward login --web`: the person approves in a browser.

use std::io::{IsTerminal, stderr};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::cli::failure::Failure;
use crate::cli::{remote, report};
use crate::client::{ClientError, DeviceLogin, Gateway, Granted, Polled};

/// After being told to ask less often (RFC 8628 section 3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// Failures in a row that are forgiven: a network that comes and goes.
const FORGIVEN: u32 = 5;

pub(super) fn log_in(gateway: &Gateway, name: &str) -> Result<Granted, Failure> {
    let begun = remote::wait_for(DeviceLogin::begin(gateway, name))?;
    let device = begun.map_err(|error| match error {
        error if error.is_status(404) => {
            anyhow::Error::new(error).context("this gateway has no login with a browser; leave out --web")
        }
        error => error.into(),
    })?;
    report::complain(format_args!(
        "Open this address in a browser, on this machine or another:\n\n  {}\n",
        device.url
    ));
    report::complain(format_args!("Log in there, and type this code:\n\n  {}\n", device.code));
    report::complain("Approve nothing that you did not begin yourself. Waiting; Ctrl-C gives up.");
    open_browser(device.url.as_str());
    remote::wait_for(wait(gateway, &device))?
}

async fn wait(gateway: &Gateway, device: &DeviceLogin) -> Result<Granted, Failure> {
    let end = Instant::now() + device.lifetime;
    let (mut interval, mut failures) = (device.interval, 0);
    while Instant::now() < end {
        tokio::time::sleep(interval).await;
        match device.poll(gateway).await {
            Ok(Polled::Granted(granted)) => return Ok(granted),
            Ok(Polled::Pending) => failures = 0,
            Ok(Polled::TooFast) => interval += SLOWER,
            // Nothing secret can be lost: the same question is asked again.
            Err(ClientError::Broken(_) | ClientError::Slow(_)) if failures < FORGIVEN => failures += 1,
            Err(error @ ClientError::Refused { .. }) => return Err(Failure::Login(error.into())),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::Login(anyhow::anyhow!("nobody approved in time; run it again for a new code")))
}

/// Only where somebody sits: a screen, and a terminal on it.
fn open_browser(url: &str) {
    let has_screen = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if has_screen && stderr().is_terminal() {
        let mut command = Command::new("xdg-open");
        command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Without one the person opens it by hand.
        let _ = command.spawn();
    }
}
