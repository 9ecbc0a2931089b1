//! The PAM broker. Compiled only into `doorward-pam`, the one binary that links libpam.
//!
//! ```text
//! gateway ──unix socket──► broker (one thread, poll loop, holds deadlines and limits, never runs PAM)
//!    ▲                        │ fork for each connection     ▲ control socket: hello, may I compute?, outcome
//!    └────────frames──────► child: exactly one transaction, then _exit
//! ```
//!
//! The gateway talks to the child; the broker only counts, waits and kills. Modules may therefore hang, crash, exit,
//! leak or write anywhere: it costs that one login.

mod account;
#[path = "../arguments.rs"]
#[allow(unreachable_pub, reason = "compiled into the gateway too, which prints its manual page")]
mod arguments;
mod broker;
mod child;
#[path = "../code.rs"]
#[allow(dead_code, unreachable_pub, reason = "compiled into the gateway too, which uses the rest")]
mod code;
mod control;
mod conversation;
#[path = "../../domain/foreign_text.rs"]
#[allow(dead_code, unreachable_pub, reason = "compiled into the gateway too, which uses the rest")]
mod foreign_text;
#[path = "../frames.rs"]
#[allow(dead_code, unreachable_pub, reason = "compiled into the gateway too, which uses the rest")]
mod frames;
#[path = "../../fs/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "compiled into the gateway too, which uses the rest"
)]
mod fs;
mod ledger;
mod link;
mod log;
#[path = "../../domain/name_rule.rs"]
#[allow(dead_code, unreachable_pub, reason = "compiled into the gateway too, which uses the rest")]
mod name_rule;
#[path = "../../domain/network.rs"]
#[allow(dead_code, unreachable_pub, reason = "compiled into the gateway too, which uses the rest")]
mod network;
mod options;
mod orphans;
mod outcome;
mod services;
mod socket;
#[path = "../stack/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "compiled into the gateway too, whose doctor uses the rest"
)]
mod stack;
mod sys;
mod text;
mod transaction;
#[path = "../turn.rs"]
#[allow(dead_code, unreachable_pub, reason = "compiled into the gateway too, which uses the rest")]
mod turn;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use options::Config;

/// `EX_CONFIG` of `sysexits.h`: the operator must change something.
const EX_CONFIG: u8 = 78;
/// `EX_OSERR` of `sysexits.h`: the system refused something.
const EX_OSERR: u8 = 71;

pub(crate) fn main() -> ExitCode {
    let options = Arguments::parse();
    let check_only = options.check;
    let config = match options.checked() {
        Ok(config) => config,
        Err(problems) => {
            for problem in problems {
                log::line(format_args!("error: {problem}"));
            }
            return ExitCode::from(EX_CONFIG);
        }
    };
    if check_only {
        log::line(format_args!("the service files are in order"));
        return ExitCode::SUCCESS;
    }
    serve(&config)
}

fn serve(config: &Config) -> ExitCode {
    let listener = match socket::listener(config) {
        Ok(listener) => listener,
        Err(error) => {
            log::line(format_args!("error: {error}"));
            return ExitCode::from(EX_CONFIG);
        }
    };
    let served = sys::clear_environment(&options::KEPT_ENVIRONMENT)
        .and_then(|()| broker::Broker::new(config, &listener))
        .and_then(broker::Broker::run);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::line(format_args!("error: the broker ends: {error}"));
            ExitCode::from(EX_OSERR)
        }
    }
}
