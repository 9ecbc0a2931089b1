//! `doorward token`: tokens for programs.

use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use serde::Serialize;
use serde_json::Value;

use super::failure::{Outcome, conclude};
use super::records::{Column, Form, Kind, ListArgs, RevokeArgs};
use super::remote::{self, HostArgs, moment};
use super::report;
use super::shown::shown_in_line;
use crate::client::Secret;
use crate::config::parse_duration;
use crate::domain::UnixSeconds;

const EXAMPLES: &str = "\
Examples:
  doorward token create --name ci --expires 8h --scope read > token
  doorward token list
  doorward token revoke 5f0c9ad2b1e7
  doorward token list --all
      everybody's, for administrators

A token made so can use the engine, but not make, list or revoke tokens, and does not outlive the
login that made it.";

/// Clocks of a gateway and of a client that differ by no more are the same, in seconds.
const CLOCKS: UnixSeconds = 120;

pub(super) const TOKENS: Kind = Kind {
    path: "tokens",
    one: "token",
    columns: &[
        Column { head: "ID", field: "id", form: Form::Text },
        Column { head: "NAME", field: "name", form: Form::Text },
        Column { head: "KIND", field: "kind", form: Form::Text },
        Column { head: "SCOPE", field: "scope", form: Form::Text },
        Column { head: "CREATED", field: "created", form: Form::Time },
        Column { head: "LAST USED", field: "last_used", form: Form::Time },
        Column { head: "FROM", field: "address", form: Form::Text },
        Column { head: "EXPIRES", field: "expires", form: Form::Time },
    ],
};

/// Make, list and revoke tokens
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Token {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(Create),
    /// List tokens: names, ages, last use, address, expiry
    #[command(after_help = "\
Examples:
  doorward token list
  doorward token list --json | jq -r '.[] | select(.kind == \"minted\") | .id'")]
    List(ListArgs),
    /// Revoke tokens; what is open under them is cut
    #[command(after_help = "\
Examples:
  doorward token revoke 5f0c9ad2b1e7 0b7d51c2a9ee
  doorward token revoke --user bob --yes
      all of bob's, for administrators")]
    Revoke(RevokeArgs),
}

/// Make a token for a program; its text is printed once, alone on standard output
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  doorward token create --name ci --expires 8h --scope read
  curl -H \"Authorization: Bearer $(doorward token create --name try --expires 5m)\" https://gate.example:8100/info")]
struct Create {
    #[command(flatten)]
    host: HostArgs,
    /// What it is called in lists
    #[arg(long, value_name = "NAME")]
    name: String,
    /// How long it lasts, such as 8h or 30m; not longer than the login [default: as long as the login]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    expires: Option<Duration>,
    /// Narrow what it may do: read
    #[arg(long, value_name = "SCOPE")]
    scope: Option<String>,
    /// Print the gateway's JSON, the token in it
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Wish<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

impl Token {
    /// Does what was asked, says so, and gives the exit code.
    pub(super) fn run(&self) -> u8 {
        conclude(match &self.action {
            Action::Create(create) => create.run(),
            Action::List(args) => TOKENS.list(args),
            Action::Revoke(args) => TOKENS.revoke(args),
        })
    }
}

impl Create {
    fn run(&self) -> Outcome {
        let login = self.host.login()?;
        let expires_in = self.expires.map(|length| length.as_secs().max(1));
        let wish = Wish { name: &self.name, expires_in, scope: self.scope.as_deref() };
        let path = "/_doorward/api/v1/tokens";
        let answer =
            remote::wait_for(login.gateway().json::<Value>(Method::POST, path, Some(&wish)))??.content;
        if self.json {
            return Ok(report::say_json_or_fail(&answer.to_string())?);
        }
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        let token = text("token").and_then(|text| Secret::parse(text.to_owned().into()));
        let token =
            token.ok_or_else(|| anyhow::anyhow!("the answer holds no token; is this a Doorward gateway?"))?;
        report::say_or_fail(token.expose())?;
        let ends =
            text("expires").and_then(moment).map(|at| remote::until(at, remote::now())).unwrap_or_default();
        let id = shown_in_line(text("id").unwrap_or("?"));
        report::complain(format_args!("token {id} at {}, until {ends}; it is shown only now", login.url));
        if let (Some(asked), Some(at)) = (expires_in, text("expires").and_then(moment))
            && is_shorter(at, asked, remote::now())
        {
            report::complain(
                "note: that is shorter than --expires asks for: a token ends with the login that made it, at the latest",
            );
        }
        Ok(())
    }
}

/// Whether a token ends earlier than was asked, by more than clocks differ.
fn is_shorter(expires: UnixSeconds, asked: u64, now: UnixSeconds) -> bool {
    let wanted = now.saturating_add(i64::try_from(asked).unwrap_or(i64::MAX));
    expires < wanted.saturating_sub(CLOCKS)
}

#[cfg(test)]
mod tests {
    use super::is_shorter;

    #[test]
    fn a_token_that_ends_early_is_noticed_and_clocks_may_differ() {
        assert!(is_shorter(43_200, 30 * 86_400, 0) && is_shorter(43_200, u64::MAX, 0));
        assert!(!is_shorter(3600, 3600, 0) && !is_shorter(3600, 3600, 90) && !is_shorter(3600, 3600, -90));
    }
}
