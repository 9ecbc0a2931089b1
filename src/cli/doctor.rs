//! `doorward doctor`: what is wrong around the gateway, and what to do about it.

mod login;
mod show;

use clap::{ArgMatches, Args};
use serde_json::json;

use self::show::Style;
use super::{exit, probe, report, serve};
use crate::config::{Problem, RawSettings, Settings};
use crate::doctor::{self, Finding, Paths, PublicUrl, Question, Status, Summary};
use crate::domain::Clock;

const EXAMPLES: &str = "\
Examples:
  sudo doorward doctor
      everything that the settings in /etc/doorward/doorward.toml depend on
  sudo doorward doctor --public-url https://gate.example
      also whether the terminator in front passes forged headers on, and its certificate
  docker exec NAME doorward doctor --autocert '*' --use-login
      in a container; give the options that it was started with
  sudo doorward doctor --login bob
      one real login through PAM, told phase by phase; no session is made. A wrong password counts for
      pam_faillock and the like as any other
  doorward doctor --json

It changes nothing. What this user may not look at it says: run it as root, on the gateway's host or in
its container, to check everything.

Exit codes: 0 nothing to put right (there may be warnings), 4 there are problems, or the login was refused,
78 wrong settings.";

/// Find out what keeps people out, or lets them in who should not, and what to do about it
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Doctor {
    /// Name or address that clients use: is the certificate for it? May be repeated
    #[arg(long = "name", value_name = "HOST", value_delimiter = ',')]
    names: Vec<String>,
    /// URL that clients use, https://HOST[:PORT]: send requests with forged headers through it, and say which of them the
    /// gateway believed
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Instead of the checks, run one login of this user through PAM, and tell what each phase said
    #[arg(long, value_name = "USER")]
    login: Option<String>,
    /// With --login: take the answers from standard input, one a line
    #[arg(long, requires = "login")]
    password_stdin: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: RawSettings,
}

impl Doctor {
    /// Examines, prints, and gives the exit code.
    pub(super) fn run(&self, matches: &ArgMatches) -> u8 {
        let settings = match serve::settings(matches) {
            Ok(settings) => settings,
            Err(problems) => return self.stop(&problems),
        };
        let public_url = match self.public_url.as_deref().map(PublicUrl::parse).transpose() {
            Ok(url) => url,
            Err(message) => return self.stop(&[Problem::new("public-url", message)]),
        };
        if let Some(user) = &self.login {
            return login::run(&settings, user, self.password_stdin, self.json);
        }
        let problems = probe::engine_files(&settings.engine);
        let question = self.question(settings, public_url);
        let findings = doctor::examine(question, &problems);
        self.print(&findings);
        match Summary::of(&findings).verdict() {
            Status::Problem => exit::PROBLEMS,
            _ => exit::OK,
        }
    }

    fn question(&self, settings: Settings, public_url: Option<PublicUrl>) -> Question {
        let names = self.names.iter().map(|name| name.trim().to_owned()).collect();
        Question { settings, names, public_url, clock: Clock::system(), paths: Paths::default() }
    }

    /// With wrong settings nothing else can be looked at.
    fn stop(&self, problems: &[Problem]) -> u8 {
        self.print(&doctor::of_settings(problems));
        exit::CONFIG
    }

    fn print(&self, findings: &[Finding]) {
        let summary = Summary::of(findings);
        if self.json {
            let report = json!({ "status": summary.verdict(), "summary": summary, "checks": findings });
            report::say_json(&report.to_string());
        } else {
            report::say_in_colour(&show::text(findings, Style::of_this_process()));
        }
    }
}
