//! `doorward logout`: ends logins, there and here.

use clap::Args;
use http::Method;

use super::context::forget;
use super::failure::{Failure, Outcome, conclude};
use super::remote::{self, HostArgs};
use super::report;
use crate::client::{Login, LoginStore, StoreFault};

const EXAMPLES: &str = "\
Examples:
  doorward logout
      ends the last login: its token and certificates are refused from now on, open streams are cut
  doorward logout --host gate.example
  doorward logout --all

Token, docker context and key are removed from this machine even if the gateway cannot be reached; the
exit code is then 1, and the token ends by itself at the time that is shown.";

/// End a login, and remove what it left on this machine
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Logout {
    #[command(flatten)]
    host: HostArgs,
    /// End all logins
    #[arg(long, conflicts_with = "host")]
    all: bool,
}

impl Logout {
    /// Logs out, says so, and gives the exit code.
    pub(super) fn run(&self) -> u8 {
        conclude(self.log_out())
    }

    fn log_out(&self) -> Outcome {
        let store = LoginStore::of_this_user()?;
        let mut failures = Vec::new();
        let logins = if self.all {
            failures.extend(store.broken()?.iter().map(|fault| discard(&store, fault)));
            store.all()?
        } else {
            vec![self.host.login()?]
        };
        failures.extend(logins.iter().filter_map(|login| end(&store, login).err()));
        let last = failures.pop();
        for failure in failures {
            conclude(Err(failure));
        }
        last.map_or(Ok(()), Err)
    }
}

/// Removes an entry that cannot be used: what it holds may still be a token.
fn discard(store: &LoginStore, broken: &StoreFault) -> Failure {
    match store.discard(broken) {
        Ok(true) => {
            let said = "removed a login that could not be used; its token is good until it ends";
            Failure::Other(anyhow::anyhow!("{broken}").context(said))
        }
        Ok(false) => Failure::Other(anyhow::anyhow!("{broken}")),
        Err(error) => error.into(),
    }
}

/// The gateway is told first: what could not be revoked must at least be known. Here all of it goes in any case.
fn end(store: &LoginStore, login: &Login) -> Outcome {
    let url = &login.url;
    let path = "/_doorward/api/v1/logout";
    let told = remote::wait_for(login.gateway().json::<()>(Method::POST, path, None::<&()>))?;
    let forgotten = login.context.as_ref().map_or(Ok(()), |context| forget(login, &login.token, context));
    let removed = store.remove(url);
    match told {
        Ok(_) => report::complain(format_args!("logged out of {url}")),
        Err(error) if error.is_status(401) => {
            report::complain(format_args!("the login to {url} had ended already"))
        }
        Err(error) => {
            let ends = remote::until(login.expires, remote::now());
            let said = format!("logged out of {url} on this machine only; the token is good until {ends}");
            // Whatever the reason, it is no reason to log in.
            let failure = Failure::Other(anyhow::anyhow!("{error:#}").context(said));
            let others = [forgotten, removed.map_err(Failure::from)];
            others.into_iter().filter_map(Result::err).for_each(|other| {
                conclude(Err(other));
            });
            return Err(failure);
        }
    }
    removed?;
    forgotten.map_err(|failure| failure.after("not all of docker's side could be removed"))
}
