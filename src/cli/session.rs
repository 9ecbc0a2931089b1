//! `doorward session`: browsers that are logged in.

use clap::{Args, Subcommand};

use super::failure::conclude;
use super::records::{Column, Form, Kind, ListArgs, RevokeArgs};

const EXAMPLES: &str = "\
Examples:
  doorward session list
  doorward session revoke 0b7d51c2a9ee
  doorward session list --all
      everybody's, for administrators";

const SESSIONS: Kind = Kind {
    path: "sessions",
    one: "session",
    columns: &[
        Column { head: "ID", field: "id", form: Form::Text },
        Column { head: "CREATED", field: "created", form: Form::Time },
        Column { head: "LAST SEEN", field: "last_seen", form: Form::Time },
        Column { head: "FROM", field: "address", form: Form::Text },
        Column { head: "EXPIRES", field: "expires", form: Form::Time },
    ],
};

/// List and end sessions of browsers
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Session {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List browser sessions: ages, last use, address, expiry
    #[command(after_help = "\
Examples:
  doorward session list
  doorward session list --all --json | jq -r '.[] | select(.user == \"bob\") | .id'")]
    List(ListArgs),
    /// End browser sessions; what is open under them is cut
    #[command(after_help = "\
Examples:
  doorward session revoke 0b7d51c2a9ee
  doorward session revoke --user bob --yes
      all of bob's, for administrators")]
    Revoke(RevokeArgs),
}

impl Session {
    /// Does what was asked, says so, and gives the exit code.
    pub(super) fn run(&self) -> u8 {
        conclude(match &self.action {
            Action::List(args) => SESSIONS.list(args),
            Action::Revoke(args) => SESSIONS.revoke(args),
        })
    }
}
