//! placeholder
use crate::config::{EngineAddress, ListenAddress};
use std::path::PathBuf;
/// What `doorward demo` was asked for.
pub struct DemoOptions {
    /// Where to listen.
    pub listen: Vec<ListenAddress>,
    /// State folder; a temporary one if absent.
    pub state: Option<PathBuf>,
    /// The engine; found or made up if absent.
    pub engine: Option<EngineAddress>,
}
/// placeholder
pub fn demo(_: DemoOptions) -> anyhow::Result<()> {
    Ok(())
}
