//! `doorward whoami`: as whom the gateway knows this machine's login.

use clap::Args;
use http::Method;
use serde_json::Value;

use super::failure::{Outcome, conclude};
use super::remote::{self, HostArgs};
use super::report;
use super::shown::shown_in_line;

const EXAMPLES: &str = "\
Examples:
  doorward whoami
  doorward whoami --host gate.example --json | jq -r .user

Exit codes: 0 logged in, 1 the gateway cannot be asked, 5 not logged in or not any more, 6 it is not the
gateway that was logged in to.";

/// Say who is logged in, as the gateway sees it
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Whoami {
    #[command(flatten)]
    host: HostArgs,
    /// Print the gateway's JSON
    #[arg(long)]
    json: bool,
}

impl Whoami {
    /// Asks, prints the answer, and gives the exit code.
    pub(super) fn run(&self) -> u8 {
        conclude(self.ask())
    }

    fn ask(&self) -> Outcome {
        let login = self.host.login()?;
        let path = "/_doorward/api/v1/whoami";
        let answer =
            remote::wait_for(login.gateway().json::<Value>(Method::GET, path, None::<&()>))??.content;
        if self.json {
            report::say_json(&answer.to_string());
            return Ok(());
        }
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(shown_in_line);
        let groups: Vec<String> = answer
            .get("groups")
            .and_then(Value::as_array)
            .map(|groups| groups.iter().filter_map(Value::as_str).map(shown_in_line).collect())
            .unwrap_or_default();
        let groups = if groups.is_empty() { String::new() } else { format!(" ({})", groups.join(", ")) };
        let user = text("user").unwrap_or_else(|| "?".to_owned());
        report::say(format_args!("{user}{groups} at {}", login.url));
        report::say(format_args!("  login until {}", remote::until(login.expires, remote::now())));
        if let Some(scope) = text("scope") {
            report::say(format_args!("  scope {scope}"));
        }
        Ok(())
    }
}
