//! `doorward ca list`: as a table for people, as JSON for scripts.

use anstyle::{AnsiColor, Style};
use clap::Args;
use serde::Serialize;

use super::issue::day;
use super::{Outcome, Place};
use crate::ca::{CaFolder, Index, Reason, Record, State};
use crate::cli::{report, table};
use crate::domain::{Clock, UnixSeconds};

const EXAMPLES: &str = "\
Examples:
  doorward ca list
  doorward ca list --json | jq -r '.certificates[] | select(.state == \"valid\" and .days_left < 14) | .name'
      what has to be renewed";

const HEAD: [&str; 7] = ["NAME", "KIND", "STATE", "DAYS LEFT", "EXPIRES", "ISSUED", "SERIAL"];
const DAY: UnixSeconds = 24 * 3600;
/// A certificate with fewer days is shown in another colour.
const SOON: i64 = 14;
/// Everything has to be issued anew before the CA ends.
const CA_SOON: i64 = 180;

/// List what the CA has issued, and how long it is valid
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct List {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What `--json` prints. Times are RFC 3339.
#[derive(Serialize)]
struct Listed<'a> {
    folder: String,
    ca: Ca<'a>,
    crl: Crl,
    certificates: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Ca<'a> {
    name: &'a str,
    expires: String,
    days_left: i64,
}

#[derive(Serialize)]
struct Crl {
    number: u64,
    expires: String,
    days_left: i64,
    /// Whether the file shows all that the index says.
    current: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    serial: String,
    subject: String,
    kind: &'static str,
    name: &'a str,
    names: &'a [String],
    issued: String,
    expires: String,
    state: State,
    days_left: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

impl List {
    pub(super) fn run(&self, place: &Place) -> Outcome {
        let folder = place.open()?;
        let index = folder.index()?;
        let now = Clock::system().now();
        let current = folder.crl_number_on_disk() == Some(index.crl_number());
        if self.json {
            let listed = Listed {
                folder: folder.path().display().to_string(),
                ca: Ca {
                    name: folder.name(),
                    expires: time(folder.expires()),
                    days_left: days_left(folder.expires(), now),
                },
                crl: Crl {
                    number: index.crl_number(),
                    expires: time(index.crl_expires()),
                    days_left: days_left(index.crl_expires(), now),
                    current,
                },
                certificates: index.records().iter().map(|record| Line::of(record, now)).collect(),
            };
            report::say_json(&serde_json::to_string(&listed)?);
            return Ok(());
        }
        if index.records().is_empty() {
            report::complain("no certificates yet; make some with doorward ca server and doorward ca client");
        } else {
            report::say_in_colour(&render(index.records(), now));
        }
        warn(&folder, &index, current, now);
        Ok(())
    }
}

impl<'a> Line<'a> {
    fn of(record: &'a Record, now: UnixSeconds) -> Self {
        Self {
            serial: record.serial.to_string(),
            subject: format!("CN={}", record.name),
            kind: record.kind.as_str(),
            name: &record.name,
            names: &record.names,
            issued: time(record.issued),
            expires: time(record.expires),
            state: record.state(now),
            days_left: days_left(record.expires, now),
            revoked: record.revoked.map(|revocation| time(revocation.at)),
            reason: record.revoked.map(|revocation| revocation.reason),
        }
    }
}

/// What will stop to work, or works less than people may think.
fn warn(folder: &CaFolder, index: &Index, current: bool, now: UnixSeconds) {
    let left = days_left(folder.expires(), now);
    if left < CA_SOON {
        report::complain(format_args!(
            "warning: the CA itself ends on {} ({left} days)",
            day(folder.expires())
        ));
    }
    if !current {
        report::complain("warning: crl.pem does not show the last change; run: doorward ca crl");
    }
    let left = days_left(index.crl_expires(), now);
    if left < SOON {
        let end = day(index.crl_expires());
        report::complain(format_args!(
            "warning: the revocation list ends on {end} ({left} days); run: doorward ca crl"
        ));
    }
}

/// Colours repeat what words say.
fn render(records: &[Record], now: UnixSeconds) -> String {
    let row = |record: &Record| {
        let state = record.state(now);
        let left = days_left(record.expires, now);
        let (word, style) = match state {
            State::Valid if left < SOON => ("valid", AnsiColor::Yellow.on_default()),
            State::Valid => ("valid", Style::new()),
            State::Expired => ("expired", Style::new().dimmed()),
            State::Revoked => ("revoked", Style::new().dimmed()),
        };
        let left = if state == State::Valid { left.to_string() } else { "-".to_owned() };
        let cells = [
            record.name.clone(),
            record.kind.as_str().to_owned(),
            word.to_owned(),
            left,
            day(record.expires),
            day(record.issued),
            record.serial.to_string(),
        ];
        (cells, style)
    };
    let rows: Vec<_> = records.iter().map(row).collect();
    table::render(&HEAD.map(str::to_owned), &rows)
}

/// Whole days; below zero once it is over.
fn days_left(end: UnixSeconds, now: UnixSeconds) -> i64 {
    (end - now).div_euclid(DAY)
}

fn time(seconds: UnixSeconds) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}
