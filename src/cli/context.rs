//! `doorward context`: the docker contexts that belong to logins.

mod make;
mod tell;

use anstyle::Style;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::failure::{Failure, Outcome, conclude};
use super::shown::shown_in_line;
use super::{remote, report, table};
use crate::client::{ContextName, DockerFolder, Login, LoginStore};
use crate::domain::UnixSeconds;

pub(super) use self::make::{Making, forget};

const EXAMPLES: &str = "\
Examples:
  doorward context
      lists the docker contexts that 'doorward login' has made
  doorward context renew
      a new certificate for each of them, as long as its login lives; asks nothing, fit for cron
  doorward context renew gate.example --default
  doorward context remove gate.example
      the login stays; 'doorward logout' ends it too

They are contexts like any other: docker --context NAME ps, or docker context use NAME.";

const HEAD: [&str; 6] = ["CONTEXT", "HOST", "USER", "LOGIN ENDS", "CERTIFICATE ENDS", "DEFAULT"];

/// List, renew and remove the docker contexts of logins
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct Context {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    Renew(Renew),
    Remove(Remove),
}

/// Get a new certificate for a docker context, or make one anew
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  doorward context renew
  doorward context renew gate.example --default")]
struct Renew {
    /// HOST, HOST:PORT or context [default: all]
    #[arg(value_name = "HOST")]
    host: Option<String>,
    #[command(flatten)]
    context: ContextArgs,
}

/// Remove a docker context and its key; the login stays
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  doorward context remove gate.example")]
struct Remove {
    /// HOST, HOST:PORT or context
    #[arg(value_name = "HOST")]
    host: String,
}

/// What becomes of docker's side.
#[derive(Args, Debug)]
pub(super) struct ContextArgs {
    /// Name of the docker context [default: the host's]
    #[arg(long, value_name = "NAME", help_heading = "Docker", value_parser = context_name)]
    context: Option<ContextName>,
    /// Let docker use this context unless it is told otherwise
    #[arg(long, help_heading = "Docker")]
    default: bool,
    /// Make no docker context
    #[arg(long, help_heading = "Docker", conflicts_with_all = ["context", "default", "http_headers"])]
    no_context: bool,
    /// Lead to the socket of 'doorward tunnel': for tools that ignore a context's TLS files (lazydocker, VS Code)
    #[arg(long, help_heading = "Docker", conflicts_with_all = ["no_context", "http_headers"])]
    tunnel: bool,
    /// Without certificates: have docker send the token from config.json, to every engine that it talks to
    #[arg(long, help_heading = "Docker")]
    http_headers: bool,
}

pub(super) fn context_name(text: &str) -> Result<ContextName, String> {
    ContextName::parse(text).ok_or_else(|| {
        "docker takes two or more letters, digits, '_', '.', '+' or '-', with a letter or digit in front, and not 'default'"
            .to_owned()
    })
}

impl ContextArgs {
    /// Those of a tunnel's context.
    pub(super) const fn of_tunnel(context: Option<ContextName>) -> Self {
        Self { context, default: false, no_context: false, tunnel: true, http_headers: false }
    }

    /// Whether there is to be none.
    pub(super) const fn makes_none(&self) -> bool {
        self.no_context
    }

    /// What can be known to go wrong before there is a login.
    pub(super) fn check(&self) -> Outcome {
        if !self.no_context {
            DockerFolder::of_this_user()?;
        }
        Ok(())
    }
}

impl Context {
    /// Does what was asked, says so, and gives the exit code.
    pub(super) fn run(&self) -> u8 {
        conclude(match &self.action {
            None => self.list(),
            Some(Action::Renew(renew)) => renew.run(),
            Some(Action::Remove(remove)) => remove.run(),
        })
    }

    fn list(&self) -> Outcome {
        let store = LoginStore::of_this_user()?;
        remote::warn_of_broken(&store)?;
        let logins = store.all()?;
        let rows: Vec<Row> = logins.iter().filter_map(Row::of).collect();
        if self.json {
            report::say_json(&serde_json::to_string(&rows)?);
        } else if rows.is_empty() {
            report::complain("no docker contexts; 'doorward login https://HOST:PORT' makes one");
        } else {
            let now = remote::now();
            let cells: Vec<_> = rows.iter().map(|row| (row.cells(now), Style::new())).collect();
            report::say_in_colour(&table::render(&HEAD.map(str::to_owned), &cells));
        }
        Ok(())
    }
}

impl Renew {
    fn run(&self) -> Outcome {
        let store = LoginStore::of_this_user()?;
        remote::warn_of_broken(&store)?;
        let logins = match &self.host {
            Some(host) => vec![store.pick(Some(host))?],
            None => store.all()?.into_iter().filter(|login| login.context.is_some()).collect(),
        };
        let mut first = None;
        for mut login in logins {
            let host = login.url.authority();
            let name = remote::default_name();
            let making = Making {
                store: &store,
                args: &self.context,
                name: &name,
                seen: None,
                old_token: None,
                is_new: false,
                socket: None,
            };
            if let Err(failure) = making.make(&mut login) {
                first = first.or(Some(failure.after(&format!("{host} was not renewed"))));
            }
        }
        first.map_or(Ok(()), Err)
    }
}

impl Remove {
    fn run(&self) -> Outcome {
        let store = LoginStore::of_this_user()?;
        let mut login = store.pick(Some(&self.host))?;
        let Some(context) = login.context.take() else {
            return Err(Failure::Other(anyhow::anyhow!("{} has no docker context", login.url)));
        };
        forget(&login, &login.token, &context)?;
        store.update(&login)?;
        report::complain(format_args!("removed docker context {}", shown_in_line(&context.name)));
        Ok(())
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Row {
    context: String,
    host: String,
    user: String,
    login_expires: UnixSeconds,
    certificate_expires: Option<UnixSeconds>,
    default: bool,
}

impl Row {
    fn of(login: &Login) -> Option<Self> {
        let context = login.context.as_ref()?;
        let name = ContextName::parse(&context.name)?;
        Some(Self {
            context: context.name.clone(),
            host: login.url.authority(),
            user: login.user.clone(),
            login_expires: login.expires,
            certificate_expires: context.certificate.as_ref().map(|certificate| certificate.expires),
            default: DockerFolder::at(context.folder.clone()).is_selected(&name),
        })
    }

    fn cells(&self, now: UnixSeconds) -> [String; 6] {
        let certificate = self.certificate_expires.map_or_else(|| "-".to_owned(), |at| remote::end(at, now));
        [
            self.context.clone(),
            self.host.clone(),
            shown_in_line(&self.user),
            remote::end(self.login_expires, now),
            certificate,
            if self.default { "yes" } else { "" }.to_owned(),
        ]
    }
}
