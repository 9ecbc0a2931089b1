//! `doorward healthcheck`: for `HEALTHCHECK` in an image that has no curl.

mod client;
mod target;
mod trust;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use clap::Args;
use serde::Serialize;

use self::client::Answer;
use self::target::Target;
use super::{exit, report};
use crate::config::{DEFAULT_FILE, Environment, Problem, gather_without_arguments};

const EXAMPLES: &str = "\
Examples:
  doorward healthcheck
      is the gateway of this machine or container alive?
  doorward healthcheck --ready --json
      are engine, store and PAM reachable too?
  doorward healthcheck --url https://127.0.0.1:9000
      when 'serve' was given another --listen on its command line

The address comes from DOORWARD_LISTEN or the settings file, as for 'serve'; without either it is
port 8100 of this host. TLS is tried first, then plain HTTP, unless the settings tell which. The
certificate is not verified by name: with --autocert in the settings it must be the one kept in the
state folder if that can be read, else any is taken. Nothing secret is sent. A gateway that demands
client certificates counts as alive once it has said so; --ready cannot be asked of it.

Exit codes: 0 alive (--ready: ready), 1 no gateway answers, 3 the gateway answers and is not ready,
78 wrong settings.";

/// Ask a running gateway how it is
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Healthcheck {
    /// Where the gateway listens: https://HOST:PORT, http://HOST:PORT or unix:///PATH
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Ask whether engine, store and PAM are reachable, not only whether the gateway is alive
    #[arg(long)]
    ready: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Settings file [default: /etc/doorward/doorward.toml, if there is one]
    #[arg(long, env = "DOORWARD_CONFIG", value_name = "FILE", hide_env_values = true)]
    config: Option<OsString>,
}

/// What was found out, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    address: String,
    status: Status,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parts: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    NotReady,
    Ok,
    Unreachable,
}

impl Healthcheck {
    /// Asks, prints the answer, and gives the exit code.
    pub(super) fn run(&self) -> u8 {
        let target = match self.target() {
            Ok(target) => target,
            Err(problems) => return report::problems(&problems),
        };
        let path = if self.ready { "/_doorward/readyz" } else { "/_doorward/healthz" };
        let found = match client::ask(&target, path) {
            Err(said) if said == client::CERTIFICATE_REQUIRED && !self.ready => Report::alive(&target),
            answer => Report::of(&target, answer),
        };
        if self.json {
            report::say_json(&serde_json::to_string(&found).unwrap_or_default());
        } else {
            found.print();
        }
        match found.status {
            Status::Ok => exit::OK,
            Status::NotReady => exit::NOT_READY,
            Status::Unreachable => exit::FAILURE,
        }
    }

    fn target(&self) -> Result<Target, Vec<Problem>> {
        if let Some(url) = &self.url {
            return Target::parse(url).map_err(|message| vec![Problem::new("url", message)]);
        }
        let gathered = gather_without_arguments(self.config.as_deref(), Path::new(DEFAULT_FILE))?;
        Target::of(&gathered.whereabouts(&Environment::of_this_process())?)
            .ok_or_else(|| vec![Problem::new("listen", "names no address that can be asked; use --url")])
    }
}

impl Report {
    fn alive(target: &Target) -> Self {
        Self { address: target.to_string(), status: Status::Ok, parts: BTreeMap::new(), message: None }
    }

    fn of(target: &Target, answer: Result<Answer, String>) -> Self {
        let address = target.to_string();
        match answer {
            Ok(answer) => {
                let status = match answer.status {
                    200..=299 => Status::Ok,
                    503 => Status::NotReady,
                    _ => Status::Unreachable,
                };
                let strange = || format!("answered with status {}; is it a Doorward gateway?", answer.status);
                let message = (status == Status::Unreachable).then(strange);
                Self { address, status, parts: answer.parts(), message }
            }
            Err(message) => {
                Self { address, status: Status::Unreachable, parts: BTreeMap::new(), message: Some(message) }
            }
        }
    }

    fn print(&self) {
        let address = &self.address;
        match (self.status, &self.message) {
            (Status::Ok, _) => report::say("ok"),
            (Status::NotReady, _) => {
                report::complain(format_args!("{address}: not ready"));
                for (part, state) in self.parts.iter().filter(|(_, state)| *state != "ok") {
                    report::complain(format_args!("  {part}: {state}"));
                }
            }
            (Status::Unreachable, message) => {
                report::complain(format_args!("{address}: {}", message.as_deref().unwrap_or("no answer")));
            }
        }
    }
}
