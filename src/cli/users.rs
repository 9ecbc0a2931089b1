//! `doorward users`: the people of a user file.

mod change;
mod finish;
mod list;
mod password;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::failure::{DEFAULT_ACCOUNT, Failure, Outcome, conclude};
use crate::config::{DEFAULT_FILE, Environment, Problem, gather_without_arguments};

const EXAMPLES: &str = "\
Examples:
  doorward users --users /etc/doorward/users add bob --group ops
      asks for bob's password twice and adds him; makes the file if there is none
  doorward users disable eve
      shuts eve out; what she has open ends within about a second
  doorward users passwd bob --logout
      a new password, and everything that was opened with the old one ends
  doorward users list --json

A running gateway takes each change at once. The file is the one that --users, DOORWARD_USERS or
'users' in the settings file names. Comments and order of a file written by hand stay.";

/// Add, change, remove and list the people of a user file
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Users {
    #[command(flatten)]
    file: FileArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Args, Debug)]
struct FileArgs {
    /// The user file [default: the one in the settings file]
    #[arg(
        long,
        env = "DOORWARD_USERS",
        value_name = "FILE",
        global = true,
        help_heading = "The file",
        hide_env_values = true
    )]
    users: Option<OsString>,
    /// Settings file [default: /etc/doorward/doorward.toml, if there is one]
    #[arg(
        long,
        env = "DOORWARD_CONFIG",
        value_name = "FILE",
        global = true,
        help_heading = "The file",
        hide_env_values = true
    )]
    config: Option<OsString>,
}

#[derive(Debug, Subcommand)]
enum Action {
    Add(change::Add),
    Passwd(change::Passwd),
    Set(change::Set),
    Enable(change::Enable),
    Disable(change::Disable),
    Logout(change::Logout),
    Remove(change::Remove),
    List(list::List),
}

/// The file to work on.
struct Place {
    file: PathBuf,
    /// Whom the gateway runs as.
    account: String,
}

impl Users {
    /// Does what was asked, says so, and gives the exit code.
    pub(super) fn run(&self) -> u8 {
        let outcome = self.file.place().map_err(Failure::Settings).and_then(|place| match &self.action {
            Action::Add(add) => add.run(&place),
            Action::Passwd(passwd) => passwd.run(&place),
            Action::Set(set) => set.run(&place),
            Action::Enable(enable) => enable.run(&place),
            Action::Disable(disable) => disable.run(&place),
            Action::Logout(logout) => logout.run(&place),
            Action::Remove(remove) => remove.run(&place),
            Action::List(list) => list.run(&place),
        });
        conclude(outcome)
    }
}

impl FileArgs {
    /// A file that is named here needs no settings file, so one that is broken does not stand in the way.
    fn place(&self) -> Result<Place, Vec<Problem>> {
        let settings = gather_without_arguments(self.config.as_deref(), Path::new(DEFAULT_FILE))
            .and_then(|gathered| gathered.user_place(&Environment::of_this_process()));
        if let Some(file) = self.users.as_ref().filter(|file| !file.is_empty()) {
            let account = settings.map_or_else(|_| DEFAULT_ACCOUNT.to_owned(), |found| found.account);
            return Ok(Place { file: file.into(), account });
        }
        let found = settings?;
        let nowhere = || {
            let advice = format!(
                "no user file is named; write --users FILE, set DOORWARD_USERS, or write users = \"FILE\" into {}",
                self.config.as_deref().unwrap_or(DEFAULT_FILE.as_ref()).display()
            );
            vec![Problem::new("users", advice)]
        };
        Ok(Place { file: found.file.ok_or_else(nowhere)?, account: found.account })
    }
}
