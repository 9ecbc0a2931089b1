//! `doorward login`: the gateway's questions in a terminal or its pages in a browser; a token and a docker context stay.

mod trust;
mod web;

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use http::Method;

use super::answers::Answers;
use super::context::{ContextArgs, Making, forget};
use super::failure::{Failure, Outcome, conclude};
use super::shown::shown_in_line;
use super::terminal::{has_person, read_line, restore_on_signals};
use super::{remote, report, terminal};
use crate::client::{
    Ask, Fingerprint, Gateway, GatewayUrl, Granted, Login as Kept, LoginStore, OpenConversation, Seen, log_in,
};
use crate::domain::{Password, Username};
use crate::token::is_name;

const EXAMPLES: &str = "\
Examples:
  doorward login https://gate.example:8100
      asks what the gateway asks (password, code, new password), then: docker --context gate.example ps
  doorward login --web https://gate.example:8100
      approve in a browser, on this machine or another, with a code
  doorward login --user ci --password-stdin --fingerprint AB:CD:… https://gate.example:8100 < /run/secrets/password
  doorward login --tunnel https://gate.example:8100 && doorward tunnel --detach
      a docker context on the tunnel's socket, for lazydocker, ctop and VS Code, which send no certificates
  doorward login --ca doorward.pem --default https://gate.example:8100
      and docker uses it from now on without --context

The first time, a self-signed gateway's fingerprint is shown: compare it with the one that the gateway
prints when it starts. From then on its key must stay the same.

The token is kept in ~/.config/doorward/hosts (or below DOORWARD_CONFIG_HOME or XDG_CONFIG_HOME), for
you alone. Where the gateway issues certificates, the docker context gets one, for a key that is made
here; else use 'doorward tunnel'. Another login to the same gateway ends the one before, and cuts what is
open under it.

Exit codes: 0 logged in, 1 it failed, 2 nobody can be asked, 5 refused or given up, 6 the gateway has
not proven who it is.";

/// Log in to a gateway, and let docker use it
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Login {
    /// The gateway: https://HOST:PORT, or HOST for port 8100
    #[arg(value_name = "URL")]
    url: String,
    /// Who you are there [default: asks]
    #[arg(long, short, value_name = "NAME", value_parser = Username::parse, conflicts_with = "web")]
    user: Option<Username>,
    /// Read the password from standard input; further lines answer further questions
    #[arg(long, conflicts_with = "web", requires = "user")]
    password_stdin: bool,
    /// Log in with a browser, here or on another device
    #[arg(long)]
    web: bool,
    /// What the token is called in lists [default: you@this-machine]
    #[arg(long, value_name = "NAME", value_parser = token_name)]
    name: Option<String>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    context: ContextArgs,
}

#[derive(Args, Debug)]
#[group(multiple = false)]
struct TrustArgs {
    /// CA certificates that vouch for the gateway, or its own self-signed one
    #[arg(long, value_name = "FILE", help_heading = "Who the gateway is")]
    ca: Option<PathBuf>,
    /// SHA-256 fingerprint of the gateway's certificate, as it prints it at start
    #[arg(long, value_name = "SHA256", value_parser = fingerprint, help_heading = "Who the gateway is")]
    fingerprint: Option<Fingerprint>,
}

fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    Fingerprint::parse(text)
        .ok_or_else(|| "a SHA-256 fingerprint has 64 hexadecimal digits: AB:CD:…".to_owned())
}

fn token_name(text: &str) -> Result<String, String> {
    let fits = is_name(text).then(|| text.to_owned());
    fits.ok_or_else(|| "a name is short, printable, and has no blanks at its ends".to_owned())
}

/// Ends the login in whose place another has come: nobody has its token any more. It ends by itself if this does not
/// reach the gateway.
fn end(before: &Kept, after: &Kept) {
    let is_same = before.token.expose() == after.token.expose();
    if is_same || before.url != after.url || before.has_ended(after.made) {
        return;
    }
    let gateway = Gateway { token: Some(before.token.clone()), ..after.gateway() };
    let _ = remote::wait_for(async {
        let told = gateway.json::<()>(Method::POST, "/_doorward/api/v1/logout", None::<&()>);
        tokio::time::timeout(remote::LAST_WORD, told).await
    });
}

impl Login {
    /// Logs in, says so, and gives the exit code.
    pub(super) fn run(&self) -> u8 {
        conclude(self.log_in())
    }

    fn log_in(&self) -> Outcome {
        // Not by clap, which would repeat a password that somebody wrote into it.
        let url = GatewayUrl::parse(&self.url).map_err(|error| Failure::Usage(error.to_string()))?;
        let store = LoginStore::of_this_user()?;
        self.context.check()?;
        let before = store.get(&url)?;
        let trust = trust::find(&url, &self.trust, before.as_ref().map(|login| &login.trust))?;
        let gateway = Gateway { url, trust, token: None, proof: None };
        let name = self.name.clone().unwrap_or_else(remote::default_name);
        let granted = if self.web { web::log_in(&gateway, &name)? } else { self.converse(&gateway, &name)? };
        Answers::Terminal.tell(&granted.messages);

        let now = remote::now();
        let mut login = Kept {
            url: gateway.url,
            user: granted.user.to_string(),
            token: granted.token,
            expires: granted.expires,
            made: now,
            trust: gateway.trust,
            context: before.as_ref().and_then(|login| login.context.clone()),
        };
        let left = login.context.take_if(|_| self.context.makes_none());
        login.trust.refresh(granted.seen.as_ref());
        store.put(&login)?;
        let user = shown_in_line(&login.user);
        report::complain(format_args!(
            "logged in to {} as {user} until {}",
            login.url,
            remote::until(login.expires, now)
        ));
        let made = self.make_context(&store, before.as_ref(), &mut login, &name, granted.seen);
        // What an earlier login made for docker ends with its token.
        let forgotten = match (&before, &left) {
            (Some(before), Some(context)) => forget(&login, &before.token, context),
            _ => Ok(()),
        };
        if let Some(before) = &before {
            end(before, &login);
        }
        made.map_err(|failure| failure.after("you are logged in, but docker cannot use it yet"))?;
        forgotten.map_err(|failure| {
            failure.after("you are logged in; the docker context of the login before is still there")
        })?;
        if let Some(context) = left {
            let context = shown_in_line(&context.name);
            report::complain(format_args!("removed docker context {context}, of the login before"));
        }
        Ok(())
    }

    fn make_context(
        &self,
        store: &LoginStore,
        before: Option<&Kept>,
        login: &mut Kept,
        name: &str,
        seen: Option<Seen>,
    ) -> Outcome {
        let old_token = before.map(|login| &login.token);
        Making { store, args: &self.context, name, seen, old_token, is_new: true, socket: None }.make(login)
    }

    fn converse(&self, gateway: &Gateway, name: &str) -> Result<Granted, Failure> {
        let open = OpenConversation::default();
        let (ended, ending) = (open.clone(), gateway.clone());
        restore_on_signals(move || {
            report::complain("\nnot logged in");
            // The timer needs the runtime around it.
            let _ = remote::wait_for(async {
                tokio::time::timeout(remote::LAST_WORD, ended.cancel(&ending)).await
            });
        })
        .context("cannot wait for signals")?;
        let (user, password) = (self.user()?, self.password()?);
        let mut answers = if self.password_stdin { Answers::Lines } else { Answers::Terminal };
        let ask = Ask { user: &user, password: password.as_ref(), name };
        Ok(remote::wait_for(log_in(gateway, &ask, &mut answers, &open))??)
    }

    fn user(&self) -> Result<Username, Failure> {
        if let Some(user) = &self.user {
            return Ok(user.clone());
        }
        if !has_person() {
            let message = "there is no terminal to ask on; write --user NAME --password-stdin";
            return Err(Failure::Usage(message.to_owned()));
        }
        let own = std::env::var("USER").ok().filter(|name| Username::parse(name).is_ok());
        let offer = own.as_ref().map(|name| format!(" [{name}]")).unwrap_or_default();
        report::ask(format_args!("User{offer}:"));
        let typed = read_line().context("the answer cannot be read")?.unwrap_or_default();
        let typed = if typed.is_empty() { own.unwrap_or_default() } else { typed.to_string() };
        Ok(Username::parse(&typed)?)
    }

    /// The password from standard input; `None` if the gateway's questions are answered at a terminal.
    fn password(&self) -> Result<Option<Password>, Failure> {
        if !self.password_stdin {
            return if has_person() {
                Ok(None)
            } else {
                let message = "there is no terminal to ask on; write --password-stdin";
                Err(Failure::Usage(message.to_owned()))
            };
        }
        if std::io::stdin().is_terminal() {
            let message =
                "--password-stdin is for pipes, a terminal would show the password; leave it out to be asked";
            return Err(Failure::Usage(message.to_owned()));
        }
        let line = terminal::read_line().context("cannot read standard input")?;
        let line = line.context("standard input is empty; it should hold the password")?;
        Ok(Some(Password::parse(line.to_string())?))
    }
}
