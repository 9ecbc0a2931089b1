//! The broker's command line, checked: all problems at once, each with what to change.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::{Gid, Group, Uid, User};

use super::arguments::Arguments;
use super::ledger::Limits;
use super::log;
use super::network::Clients;
use super::services;

/// What modules may see of the broker's environment, besides a fixed `PATH`: languages of their texts, the time zone
/// of pam_time, and the settings of Kerberos and LDAP libraries.
pub(super) const KEPT_ENVIRONMENT: [&str; 8] =
    ["KRB5_CONFIG", "LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LDAPCONF", "LDAPTLS_CACERT", "TZ"];

/// Options that have been checked.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) services: Vec<String>,
    pub(super) pass_env: Vec<String>,
    /// Users that may connect.
    pub(super) uids: BTreeSet<u32>,
    pub(super) socket: Option<PathBuf>,
    pub(super) group: Option<Gid>,
    pub(super) limits: Limits,
    pub(super) compute_seconds: u32,
    pub(super) die_with_parent: bool,
}

impl Arguments {
    /// Looks at everything that can be wrong before the first login.
    ///
    /// # Errors
    /// Every problem, for the operator.
    pub(super) fn checked(self) -> Result<Config, Vec<String>> {
        let mut problems = Vec::new();
        let mut note = |problem: Result<(), String>| problems.extend(problem.err());
        self.service.iter().for_each(|name| note(services::check(name)));
        for problem in self.service.iter().flat_map(|name| services::without_proof(name)) {
            if self.allow_pam_without_proof {
                log::line(format_args!("warning: {problem}"));
            } else {
                note(Err(problem));
            }
        }
        for name in self.serialize.iter().filter(|name| !self.service.contains(name)) {
            note(Err(format!("--serialize {name}: is not among the services; add --service {name}")));
        }
        for (option, number) in [
            ("--max-children", self.max_children),
            ("--max-checks", self.max_checks),
            ("--max-per-address", self.max_per_address),
            ("--max-computing", self.max_computing.unwrap_or(1)),
            ("--compute-seconds", self.compute_seconds as usize),
            ("--prompt-seconds", self.prompt_seconds as usize),
            ("--login-seconds", self.login_seconds as usize),
        ] {
            if !(1..=86_400).contains(&number) {
                note(Err(format!("{option} {number}: must be 1 to 86400")));
            }
        }
        let mut uids = BTreeSet::from([0, Uid::effective().as_raw()]);
        for name in &self.allow_uid {
            match uid(name) {
                Ok(uid) => drop(uids.insert(uid)),
                Err(problem) => note(Err(problem)),
            }
        }
        let group = match self.group.as_deref().map(gid).transpose() {
            Ok(group) => group,
            Err(problem) => {
                note(Err(problem));
                None
            }
        };
        if problems.is_empty() { Ok(self.into_config(uids, group)) } else { Err(problems) }
    }

    fn into_config(self, uids: BTreeSet<u32>, group: Option<Gid>) -> Config {
        let seconds = |number: u32| Duration::from_secs(u64::from(number));
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Config {
            limits: Limits {
                children: self.max_children,
                checks: self.max_checks,
                per_address: self.max_per_address,
                clients: Clients::new(self.shared_network, Vec::new()),
                computing: self.max_computing.unwrap_or_else(cores),
                compute: seconds(self.compute_seconds),
                prompt: seconds(self.prompt_seconds),
                login: seconds(self.login_seconds),
                serialized: self.serialize.into_iter().collect(),
            },
            services: self.service,
            pass_env: self.pass_env,
            uids,
            socket: self.socket,
            group,
            compute_seconds: self.compute_seconds,
            die_with_parent: self.die_with_parent,
        }
    }
}

fn uid(name: &str) -> Result<u32, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        _ => Err(format!("--allow-uid {name}: there is no such user; create it or give a number")),
    }
}

fn gid(name: &str) -> Result<Gid, String> {
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid),
        _ => Err(format!("--group {name}: there is no such group; create it")),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Arguments;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn l4_every_problem_is_named_at_once() {
        let options = Arguments::parse_from([
            "doorward-pam",
            "--service",
            "doorward-no-such-file",
            "--serialize",
            "other-service",
            "--max-children",
            "0",
            "--allow-uid",
            "no-such-user-here",
            "--socket",
            "/nowhere",
            "--group",
            "no-such-group-here",
        ]);
        let problems = options.checked().unwrap_err().join("\n");
        for word in
            ["doorward-no-such-file", "other-service", "--max-children", "no-such-user-here", "no-such-group"]
        {
            assert!(problems.contains(word), "{word} in {problems}");
        }
    }
}
