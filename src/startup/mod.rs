//! The composition root: settings become running processes. It may import everything; only the command line imports it.
//!
//! Started as root (or as PID 1, or where the PAM broker has to be started too), `serve` is a small launcher with two
//! children: the broker, which keeps root and holds no network socket, and the gateway, which runs as an ordinary user.

mod acme;
mod application;
mod capabilities;
mod certificates;
mod demo;
mod descriptors;
mod launcher;
mod listeners;
mod prepare;
mod privileges;
mod sample;
mod telemetry;
mod temporary;
mod upkeep;

use anyhow::Context;

use crate::config::{LoginMode, Settings, unknown_variables};

pub use application::Application;
pub use demo::{DemoOptions, demo};
pub use privileges::{act_as, keep_memory_private};
pub use telemetry::start_quiet as diagnose;
pub use temporary::TemporaryBroker;

/// Runs `doorward serve` until it is told to end.
///
/// # Errors
/// What kept it from starting, or made it end early.
pub fn serve(settings: &Settings, as_gateway: bool) -> anyhow::Result<()> {
    telemetry::start();
    let variables = std::env::vars_os().map(|(name, _)| name);
    for warning in settings.warnings().into_iter().chain(unknown_variables(variables)) {
        tracing::warn!("{warning}");
    }
    if !as_gateway && needs_launcher(settings) {
        capabilities::check()?;
        return launcher::run(settings);
    }
    let sockets = listeners::bind(&settings.listen, settings.client_certs.as_ref())?;
    // Read as root what only root may read; everything after this line runs without privileges.
    let early_tls = privileges::load_certfile_first(settings)?;
    let acme = acme::prepare(settings)?;
    privileges::leave_root(settings)?;
    privileges::keep_memory_private();
    if as_gateway {
        privileges::die_with_parent();
        launcher::heed_orders();
    }
    application::run(settings, sockets, early_tls, acme)
}

fn needs_launcher(settings: &Settings) -> bool {
    let starts_broker = matches!(&settings.login, LoginMode::Pam(pam) if pam.socket.is_none());
    nix::unistd::geteuid().is_root() || starts_broker || std::process::id() == 1
}

/// One runtime for the main thread; actix-server makes those of the workers.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    actix_rt::System::with_tokio_rt(|| {
        // Building fails only if the machine has no descriptors left, and then nothing can run.
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "no event loop can be made");
                std::process::abort()
            }
        }
    })
    .block_on(future)
    .context("doorward ended")
}
