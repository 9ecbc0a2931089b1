//! `doorward logout`: ends logins, there and here.

use clap::Args;
use http::Method;

use super::context::forget;
use super::failure::{Failure, Outcome, conclude};
use super::remote::{self, HostArgs};
use super::report;
use crate::client::{Login, LoginStore};

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
        let logins = if self.all { store.all()? } else { vec![self.host.login()?] };
        let mut first = None;
        for login in &logins {
            if let Err(failure) = end(&store, login) {
                first = first.or(Some(failure));
            }
        }
        first.map_or(Ok(()), Err)
    }
}

/// The gateway is told first: what could not be revoked must at least be known. Here all of it goes in any case.
fn end(store: &LoginStore, login: &Login) -> Outcome {
    let url = &login.url;
    let path = "/_doorward/api/v1/logout";
    let told = remote::wait_for(login.gateway().json::<()>(Method::POST, path, None::<&()>))?;
    let forgotten = login.context.as_ref().map_or(Ok(()), |context| forget(login, &login.token, context));
    store.remove(url)?;
    forgotten.map_err(|failure| failure.after("the docker context is still there"))?;
    match told {
        Ok(_) => report::complain(format_args!("logged out of {url}")),
        Err(error) if error.is_status(401) => {
            report::complain(format_args!("the login to {url} had ended already"))
        }
        Err(error) => {
            let ends = remote::until(login.expires, remote::now());
            let said = format!("logged out of {url} on this machine only; the token is good until {ends}");
            // Whatever the reason, it is no reason to log in.
            return Err(Failure::Other(anyhow::anyhow!("{error:#}").context(said)));
        }
    }
    Ok(())
}
