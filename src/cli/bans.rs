//! `doorward bans`: who has failed too often, and letting them try again.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use nix::unistd::{User, geteuid};
use serde::Serialize;

use super::failure::DEFAULT_ACCOUNT;
use super::{exit, report};
use crate::config::{DEFAULT_FILE, Environment, Problem, StatePlace, gather_without_arguments};
use crate::domain::Clock;
use crate::startup::act_as;
use crate::store::{BanKind, BanRecord, DATABASE, SqliteStore, StateFolder, Store, StoreError};
use crate::throttle::subject_of;

const EXAMPLES: &str = "\
Examples:
  doorward bans
      who is banned, the longest first
  doorward bans lift user bob
  doorward bans lift address 2001:db8::/64
      a running gateway takes notice within about a second

The state folder comes from DOORWARD_STATE or the settings file, as for 'serve'. A ban stands here
about a second after it began. Run it as root, or as the user that the gateway runs as.

Exit codes: 0 done, 1 there is no such ban or no database, 78 wrong settings.";

const LIFT_EXAMPLES: &str = "\
Examples:
  doorward bans lift user bob
  doorward bans lift address 2001:db8::/64
      as 'doorward bans' shows it; a running gateway takes notice within about a second

Exit codes: 0 done, 1 there is no such ban or no database, 78 wrong settings.";

/// Show who is banned after too many failed logins, or lift a ban
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Bans {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Folder that holds the database [default: as for serve]
    #[arg(long, value_name = "FOLDER", global = true)]
    state: Option<PathBuf>,
    /// Settings file [default: /etc/doorward/doorward.toml, if there is one]
    #[arg(long, env = "DOORWARD_CONFIG", value_name = "FILE", global = true, hide_env_values = true)]
    config: Option<OsString>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Let somebody try again at once, and forget earlier bans
    #[command(after_help = LIFT_EXAMPLES)]
    Lift {
        /// What the ban is about
        kind: Kind,
        /// The address, device or user name, as the list shows it
        subject: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Address,
    Device,
    User,
}

/// One ban as `--json` prints it.
#[derive(Debug, Serialize)]
struct Line<'a> {
    kind: BanKind,
    subject: &'a str,
    seconds_left: i64,
    bans_in_a_row: u32,
    /// It may be the work of an outage: it ends with it, or with the process.
    provisional: bool,
}

impl Bans {
    /// Does it, and gives the exit code.
    pub(super) fn run(&self) -> u8 {
        let place = match self.place() {
            Ok(place) => place,
            Err(problems) => return report::problems(&problems),
        };
        let file = place.state.join(DATABASE);
        // Opening would make one, which the gateway could not use if root had made it.
        if !file.exists() {
            report::complain(format_args!("{}: there is no such database", file.display()));
            return exit::FAILURE;
        }
        match become_owner(&place).and_then(|()| self.act(&file)) {
            Ok(code) => code,
            Err(error) => {
                report::complain(format_args!("{error:#}"));
                exit::FAILURE
            }
        }
    }

    /// A folder that is named here needs no settings file, so one that is broken does not stand in the way.
    fn place(&self) -> Result<StatePlace, Vec<Problem>> {
        let settings = gather_without_arguments(self.config.as_deref(), Path::new(DEFAULT_FILE))
            .and_then(|gathered| gathered.state_place(None, &Environment::of_this_process()));
        let Some(state) = &self.state else { return settings };
        let account = settings.map_or_else(|_| DEFAULT_ACCOUNT.to_owned(), |found| found.account);
        Ok(StatePlace { state: std::path::absolute(state).unwrap_or_else(|_| state.clone()), account })
    }

    fn act(&self, file: &Path) -> anyhow::Result<u8> {
        let store = SqliteStore::open(file)?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        match &self.action {
            None => self.list(&runtime.block_on(store.bans())?),
            Some(Action::Lift { kind, subject }) => {
                let (kind, subject) = (BanKind::from(*kind), subject.trim());
                let lift = |subject: &str| -> Result<bool, StoreError> {
                    runtime.block_on(store.lift_ban(kind, subject))
                };
                if !lift(subject)? && !lift(&subject_of(kind, subject))? {
                    report::complain(format_args!("there is no such ban; 'doorward bans' lists them"));
                    return Ok(exit::FAILURE);
                }
                report::say("lifted");
            }
        }
        Ok(exit::OK)
    }

    fn list(&self, bans: &[BanRecord]) {
        let now = Clock::system().now();
        let mut shown = false;
        for ban in bans.iter().filter(|ban| ban.until > now) {
            let left = (ban.until - now).min(ban.until - ban.since);
            let line = Line {
                kind: ban.kind,
                subject: &ban.subject,
                seconds_left: left,
                bans_in_a_row: ban.strikes,
                provisional: ban.is_provisional,
            };
            if self.json {
                report::say_json(&serde_json::to_string(&line).unwrap_or_default());
            } else {
                if !shown {
                    report::say(format_args!("{:<8} {:>9} {:>7}  WHO", "KIND", "SECONDS", "IN A ROW"));
                }
                report::say(format_args!(
                    "{:<8} {:>9} {:>8}  {}",
                    line.kind.as_str(),
                    left,
                    ban.strikes,
                    line.subject
                ));
            }
            shown = true;
        }
        if !shown && !self.json {
            report::say("nobody is banned");
        }
    }
}

/// Root works on the gateway's database as the gateway's user, who could have put links into the folder.
fn become_owner(place: &StatePlace) -> anyhow::Result<()> {
    let own = geteuid();
    let account = if own.is_root() { User::from_name(&place.account).ok().flatten() } else { None };
    let user = account.map_or(own, |account| account.uid).as_raw();
    act_as(StateFolder::open(&place.state, user)?.owner())
}

impl From<Kind> for BanKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Address => Self::Address,
            Kind::Device => Self::Device,
            Kind::User => Self::User,
        }
    }
}
