//! Composition root.

use std::path::PathBuf;

use crate::config::{EngineAddress, ListenAddress, Settings};

/// What `doorward demo` may be told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DemoOptions {
    /// Where to listen.
    pub listen: Vec<ListenAddress>,
    /// Folder for keys and sessions; a temporary one when absent.
    pub state: Option<PathBuf>,
    /// The engine; a built-in one when absent.
    pub engine: Option<EngineAddress>,
}

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// If it could not be started.
#[expect(clippy::needless_pass_by_value, reason = "the gateway owns its settings")]
pub fn serve(settings: Settings, as_gateway: bool) -> anyhow::Result<()> {
    anyhow::bail!(
        "cannot serve {:?} (child: {as_gateway}) in this build",
        settings.listen
    )
}

/// Runs a gateway with made-up users.
///
/// # Errors
/// If it could not be started.
#[expect(clippy::needless_pass_by_value, reason = "the gateway owns its settings")]
pub fn demo(options: DemoOptions) -> anyhow::Result<()> {
    anyhow::bail!("cannot run the demo on {:?} in this build", options.listen)
}
