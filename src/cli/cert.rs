//! `doorward cert`: client certificates that logins have got.

use clap::{Args, Subcommand};

use super::failure::conclude;
use super::records::{Column, Form, Kind, ListArgs, RevokeArgs};

const EXAMPLES: &str = "\
Examples:
  doorward cert list
  doorward cert revoke 2f81c0…
  doorward cert list --all
      everybody's, for administrators

These are the short-lived certificates that 'doorward login' puts into docker contexts. For those of
the CA in the gateway's state folder see 'doorward ca'.";

const CERTIFICATES: Kind = Kind {
    path: "certificates",
    one: "certificate",
    columns: &[
        Column { head: "ID", field: "id", form: Form::Text },
        Column { head: "NAME", field: "name", form: Form::Text },
        Column { head: "CREATED", field: "created", form: Form::Time },
        Column { head: "LAST USED", field: "last_used", form: Form::Time },
        Column { head: "FROM", field: "address", form: Form::Text },
        Column { head: "EXPIRES", field: "expires", form: Form::Time },
    ],
};

/// List and revoke client certificates of logins
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Cert {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List client certificates: names, ages, expiry
    #[command(after_help = "\
Examples:
  doorward cert list
  doorward cert list --all --json")]
    List(ListArgs),
    /// Revoke client certificates; what is open under them is cut
    #[command(after_help = "\
Examples:
  doorward cert revoke 2f81c0d2a6
  doorward cert revoke --user bob --yes
      all of bob's, for administrators")]
    Revoke(RevokeArgs),
}

impl Cert {
    /// Does what was asked, says so, and gives the exit code.
    pub(super) fn run(&self) -> u8 {
        conclude(match &self.action {
            Action::List(args) => CERTIFICATES.list(args),
            Action::Revoke(args) => CERTIFICATES.revoke(args),
        })
    }
}
