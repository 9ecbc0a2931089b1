//! `doorward serve`.

use std::path::Path;

use clap::{ArgMatches, Args};

use super::{exit, probe, report};
use crate::config::{DEFAULT_FILE, Environment, Problem, RawSettings, Settings, gather};
use crate::domain::Clock;
use crate::listener::tls::TlsError;
use crate::startup;

const EXAMPLES: &str = "\
Examples:
  doorward serve --autocert '*' --use-login
      a self-signed certificate for every name and address of this host; passwords are checked by PAM
  doorward serve --certfile /etc/doorward/server.pem --use-login --users /etc/doorward/users
      own certificate, embedded user file
  doorward serve --assume-secure --trusted-proxy 10.0.0.0/8 --listen 127.0.0.1:8100 --use-login
      behind a reverse proxy that speaks TLS
  doorward serve --config /etc/doorward/doorward.toml
      all settings in a file; 'doorward check' with the same options tells whether it would start";

/// Run the gateway
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: RawSettings,
    /// The child process that the launcher started.
    #[arg(long, hide = true)]
    as_gateway: bool,
}

impl Serve {
    /// Runs the gateway until it is told to stop.
    pub(super) fn run(&self, matches: &ArgMatches) -> u8 {
        let settings = match settings(matches) {
            Ok(settings) => settings,
            Err(problems) => return report::problems(&problems),
        };
        // The child would repeat what its launcher said, and cannot see some files any more.
        if !self.as_gateway {
            let problems = probe::before_start(&settings, &Clock::system());
            if !problems.is_empty() {
                return report::problems(&problems);
            }
        }
        match startup::serve(&settings, self.as_gateway) {
            Ok(()) => exit::OK,
            Err(error) => {
                report::complain(format_args!("error: {error:#}"));
                if error.chain().any(|cause| cause.is::<TlsError>()) { exit::CONFIG } else { exit::FAILURE }
            }
        }
    }
}

/// The checked settings from command line, environment and file.
pub(super) fn settings(matches: &ArgMatches) -> Result<Settings, Vec<Problem>> {
    gather(matches, Path::new(DEFAULT_FILE))?.check(&Environment::of_this_process())
}
