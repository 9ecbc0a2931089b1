//! `doorward demo`.

use std::path::PathBuf;

use clap::Args;

use super::{exit, report};
use crate::config::{Problem, parse_engine, parse_listen};
use crate::startup::{self, DemoOptions};

const EXAMPLES: &str = "\
Examples:
  doorward demo
      stand before the Docker socket if it can be used, else before a small engine that is built in; the user demo and
      a random password are printed
  doorward demo --engine unix:///var/run/docker.sock --listen 127.0.0.1:9000";

/// Try the gateway on this machine with one made-up user; not for production
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Demo {
    /// Listen on ADDR:PORT, :PORT, PORT or unix:PATH; may be repeated
    #[arg(long, value_name = "WHERE", default_value = "127.0.0.1:8100", value_delimiter = ',')]
    listen: Vec<String>,
    /// Keep keys and sessions here [default: a folder that is removed at the end]
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Engine to guard [default: /var/run/docker.sock if it can be used, else a small one that is built in]
    #[arg(long, value_name = "URL")]
    engine: Option<String>,
}

impl Demo {
    /// Runs the demo until it is told to stop.
    pub(super) fn run(&self) -> u8 {
        let options = match self.options() {
            Ok(options) => options,
            Err(problems) => return report::problems(&problems),
        };
        match startup::demo(options) {
            Ok(()) => exit::OK,
            Err(error) => {
                report::complain(format_args!("error: {error:#}"));
                exit::FAILURE
            }
        }
    }

    fn options(&self) -> Result<DemoOptions, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut keep = |option: &str, message: String| problems.push(Problem::new(option, message));
        let mut listen = Vec::new();
        for text in &self.listen {
            match parse_listen(text) {
                Ok(address) => listen.push(address),
                Err(message) => keep("listen", message),
            }
        }
        let engine = self.engine.as_deref().map(parse_engine).transpose();
        let engine = engine.unwrap_or_else(|message| {
            keep("engine", message);
            None
        });
        let state = self.state.as_ref().map(std::path::absolute).transpose();
        let state = state.unwrap_or_else(|error| {
            keep("state", error.to_string());
            None
        });
        if problems.is_empty() { Ok(DemoOptions { listen, state, engine }) } else { Err(problems) }
    }
}
