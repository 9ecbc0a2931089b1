//! `doorward check`: says what `serve` would say, and whether the engine is there, without starting anything.

use clap::{ArgMatches, Args};

use super::{exit, probe, report, serve};
use crate::config::{RawSettings, unknown_variables};
use crate::domain::Clock;

const EXAMPLES: &str = "\
Examples:
  doorward check --config /etc/doorward/doorward.toml
  doorward check --autocert '*' --use-login

Prints 'ok', or every problem at once.";

/// Check the settings, the files they name and whether the engine can be reached; start and write nothing
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    #[command(flatten)]
    settings: RawSettings,
}

/// Checks everything and reports it.
pub(super) fn run(matches: &ArgMatches) -> u8 {
    let settings = match serve::settings(matches) {
        Ok(settings) => settings,
        Err(problems) => return report::problems(&problems),
    };
    let variables = std::env::vars_os().map(|(name, _)| name);
    let warnings = settings.warnings().into_iter().chain(probe::certificate_warnings(&settings));
    for warning in warnings.chain(unknown_variables(variables)) {
        report::complain(format_args!("warning: {warning}"));
    }
    let mut problems = probe::before_start(&settings, &Clock::system());
    problems.extend(probe::neighbours(&settings));
    if !problems.is_empty() {
        return report::problems(&problems);
    }
    report::say("ok");
    exit::OK
}
