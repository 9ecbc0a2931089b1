//! The command line: one file a command. Nothing else prints.

mod answers;
mod api;
mod bans;
mod ca;
mod cert;
mod check;
mod completions;
mod context;
mod demo;
mod doctor;
mod env;
mod exit;
mod failure;
mod flow;
mod healthcheck;
mod login;
mod logout;
mod man;
mod probe;
mod records;
mod remote;
mod report;
mod secret;
mod serve;
mod session;
mod shown;
mod table;
mod terminal;
mod token;
mod tunnel;
mod users;
mod whoami;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::listener::tls::install_crypto_provider;
use crate::startup::keep_memory_private;

const EXAMPLES: &str = "\
Examples:
  sudo doorward serve --autocert '*' --use-login
      on the engine's host: TLS with a certificate of its own, and this machine's passwords
  doorward login https://gate.example:8100
      on a developer's machine; then: docker --context gate.example ps
  doorward context
      which docker contexts the logins have made
  doorward tunnel --detach && eval \"$(doorward env)\"
      for clients that cannot log in by themselves: a local socket that is the engine";

/// A login gateway in front of an engine's HTTP API that has no login of its own
#[derive(Debug, Parser)]
#[command(name = "doorward", version, max_term_width = 100, after_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Check(check::Check),
    Doctor(doctor::Doctor),
    Healthcheck(healthcheck::Healthcheck),
    Users(users::Users),
    Bans(bans::Bans),
    Ca(ca::Ca),
    Demo(demo::Demo),
    Tunnel(tunnel::Tunnel),
    Env(env::Env),
    Completions(completions::Completions),
    #[command(name = "man")]
    Man(man::ManPages),
    Login(login::Login),
    Logout(logout::Logout),
    Whoami(whoami::Whoami),
    Context(context::Context),
    Token(token::Token),
    Session(session::Session),
    Cert(cert::Cert),
    Api(api::Api),
}

/// Parses the command line and runs the command. The exit codes are described in `docs/exit-codes.md`.
#[must_use]
pub fn main() -> ExitCode {
    // Passwords, tokens and keys pass through nearly every command. A change of user takes this back, and sets it again.
    keep_memory_private();
    install_crypto_provider();
    let parsed = flow::flowing(Cli::command()).try_get_matches().and_then(|matches| {
        let cli = Cli::from_arg_matches(&matches)?;
        Ok((cli.command, matches))
    });
    match parsed {
        Ok((command, matches)) => run(&command, &matches),
        Err(error) => {
            // Help and version come this way too. A closed pipe behind them is no failure.
            let _ = error.print();
            if error.use_stderr() { exit::USAGE.into() } else { exit::OK.into() }
        }
    }
}

fn run(command: &Command, matches: &clap::ArgMatches) -> ExitCode {
    // Settings need to know which of their values were typed, which only the matches tell.
    let of_command = matches.subcommand().map_or(matches, |(_, matches)| matches);
    let code = match command {
        Command::Serve(serve) => serve.run(of_command),
        Command::Check(_) => check::run(of_command),
        Command::Doctor(doctor) => doctor.run(of_command),
        Command::Healthcheck(healthcheck) => healthcheck.run(),
        Command::Users(users) => users.run(),
        Command::Bans(bans) => bans.run(),
        Command::Ca(ca) => ca.run(),
        Command::Demo(demo) => demo.run(),
        Command::Tunnel(tunnel) => tunnel.run(),
        Command::Env(env) => env.run(),
        Command::Completions(completions) => completions.run(Cli::command()),
        Command::Man(pages) => pages.run(Cli::command()),
        Command::Login(login) => login.run(),
        Command::Logout(logout) => logout.run(),
        Command::Whoami(whoami) => whoami.run(),
        Command::Context(context) => context.run(),
        Command::Token(token) => token.run(),
        Command::Session(session) => session.run(),
        Command::Cert(cert) => cert.run(),
        Command::Api(api) => api.run(),
    };
    code.into()
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_is_explained() {
        each(&Cli::command(), &mut |command| {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                assert!(arg.get_help().is_some(), "{} {}", command.get_name(), arg.get_id());
            }
        });
    }

    #[test]
    fn every_command_shows_examples() {
        let mut missing = Vec::new();
        each(&Cli::command(), &mut |command| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let is_group = command.has_subcommands() && command.get_name() != "doorward";
            if !is_group && !help.starts_with("Examples:\n  ") {
                missing.push(command.get_name().to_owned());
            }
        });
        assert!(missing.is_empty(), "no examples below the help of {missing:?}");
    }

    fn each(command: &Command, look: &mut impl FnMut(&Command)) {
        look(command);
        command.get_subcommands().for_each(|below| each(below, look));
    }
}
