//! `doorward ca`: certificates of our own.

mod init;
mod issue;
mod list;
mod output;
mod pkcs12;
mod renew;
mod revoke;
mod unlock;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use nix::unistd::{User, geteuid};

use self::output::Output;
use super::failure::{DEFAULT_ACCOUNT, Failure, Outcome, conclude};
use crate::ca::{CA_FOLDER, CaFolder, Kind};
use crate::config::{DEFAULT_FILE, Environment, Problem, gather_without_arguments};

const EXAMPLES: &str = "\
Examples:
  doorward ca init
      a CA in the state folder; asks for a passphrase that encrypts its key
  doorward ca server --name gate.example --ip 192.0.2.10
      ./gate.example/server.pem for --certfile; cert.pem, key.pem and ca.pem for dockerd
  doorward ca client bob --p12
      ./bob for DOCKER_CERT_PATH, and bob.p12 for browsers
  doorward ca list
  doorward ca revoke bob --reason key-compromise
  doorward ca renew bob

Run it as root, or as whoever owns the CA. Keys that it makes are kept in the folder that they were
made for and nowhere else; the CA remembers certificates only.";

/// Make and revoke certificates of our own, for servers and people
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Ca {
    #[command(flatten)]
    folder: FolderArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Args, Debug)]
struct FolderArgs {
    /// The CA's folder [default: ca in the state folder]
    #[arg(long, value_name = "DIR", global = true, help_heading = "The CA")]
    dir: Option<PathBuf>,
    /// The gateway's state folder [default: the one in DOORWARD_STATE or the settings file]
    #[arg(long, value_name = "DIR", global = true, help_heading = "The CA", conflicts_with = "dir")]
    state: Option<String>,
    /// Settings file [default: /etc/doorward/doorward.toml, if there is one]
    #[arg(
        long,
        env = "DOORWARD_CONFIG",
        value_name = "FILE",
        global = true,
        help_heading = "The CA",
        hide_env_values = true
    )]
    config: Option<OsString>,
}

#[derive(Debug, Subcommand)]
enum Action {
    Init(init::Init),
    Server(issue::Server),
    Client(issue::Client),
    List(list::List),
    Revoke(revoke::Revoke),
    Crl(revoke::Crl),
    Renew(renew::Renew),
}

/// The CA to work on.
struct Place {
    folder: PathBuf,
    /// The state folder that it is in; `None` if the CA's own was named.
    state: Option<PathBuf>,
    /// Whom the gateway runs as.
    account: String,
}

impl Ca {
    /// Does what was asked, says so, and gives the exit code.
    pub(super) fn run(&self) -> u8 {
        let outcome = self.folder.place().map_err(Failure::Settings).and_then(|place| match &self.action {
            Action::Init(init) => init.run(&place),
            Action::Server(server) => server.run(&place),
            Action::Client(client) => client.run(&place),
            Action::List(list) => list.run(&place),
            Action::Revoke(revoke) => revoke.run(&place),
            Action::Crl(crl) => crl.run(&place),
            Action::Renew(renew) => renew.run(&place),
        });
        conclude(outcome)
    }
}

impl FolderArgs {
    /// A folder that is named here needs no settings file, so one that is broken does not stand in the way.
    fn place(&self) -> Result<Place, Vec<Problem>> {
        let settings = gather_without_arguments(self.config.as_deref(), Path::new(DEFAULT_FILE))
            .and_then(|gathered| gathered.state_place(self.state.clone(), &Environment::of_this_process()));
        if let Some(dir) = &self.dir {
            let account = settings.map_or_else(|_| DEFAULT_ACCOUNT.to_owned(), |found| found.account);
            return Ok(Place { folder: dir.clone(), state: None, account });
        }
        let found = settings?;
        Ok(Place { folder: found.state.join(CA_FOLDER), state: Some(found.state), account: found.account })
    }
}

impl Place {
    fn open(&self) -> Result<CaFolder, Failure> {
        Ok(CaFolder::open(&self.folder)?)
    }

    /// The folder for a certificate.
    fn output(&self, wanted: Option<&Path>, name: &str, kind: Kind) -> anyhow::Result<Output> {
        let account = if kind == Kind::Server { self.gateway_account() } else { None };
        Output::open(wanted, name, account.map(|account| account.gid.as_raw()))
    }

    /// Whom the gateway runs as, if this is root and there is such a user; its group may read what the gateway needs.
    fn gateway_account(&self) -> Option<User> {
        if geteuid().is_root() { User::from_name(&self.account).ok().flatten() } else { None }
    }
}
