//! `doorward users list`: as a table for people, as JSON for scripts.

use anstyle::{AnsiColor, Style};
use clap::Args;
use serde::Serialize;

use super::{Outcome, Place};
use crate::cli::{report, table};
use crate::users::{UserFile, UserInfo};

const EXAMPLES: &str = "\
Examples:
  doorward users list
  doorward users list --json | jq -r '.users[] | select(.disabled | not) | .name'";

const HEAD: [&str; 4] = ["USER", "STATE", "GROUPS", "HASH"];

/// List the users: name, state, groups and how the password is hashed
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct List {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Listed<'a> {
    file: String,
    users: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    disabled: bool,
    groups: &'a [String],
    /// What was opened until then has ended; RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_from: Option<String>,
    hash: Hash,
}

/// argon2id's parameters.
#[derive(Serialize)]
struct Hash {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    weak: bool,
}

impl List {
    pub(super) fn run(&self, place: &Place) -> Outcome {
        let file = UserFile::load(&place.file)?;
        if self.json {
            let users = file.users().map(Line::of).collect();
            report::say_json(&serde_json::to_string(&Listed {
                file: place.file.display().to_string(),
                users,
            })?);
            return Ok(());
        }
        if file.users().next().is_none() {
            report::complain(format_args!(
                "{} holds no users; add one with: doorward users add NAME",
                place.file.display()
            ));
            return Ok(());
        }
        report::say_in_colour(&table(&file.users().collect::<Vec<_>>()));
        let weak = file.users().filter(|user| user.cost.is_weak()).count();
        if weak > 0 {
            report::complain(format_args!(
                "{weak} hashed more weakly than new passwords are; set them anew with: doorward users passwd NAME"
            ));
        }
        Ok(())
    }
}

impl<'a> Line<'a> {
    fn of(user: UserInfo<'a>) -> Self {
        let hash = Hash {
            memory_kib: user.cost.memory_kib,
            passes: user.cost.passes,
            lanes: user.cost.lanes,
            weak: user.cost.is_weak(),
        };
        let time = |seconds| jiff::Timestamp::from_second(seconds).ok().map(|time| time.to_string());
        let valid_from = user.valid_from.and_then(time);
        Self { name: user.name.as_str(), disabled: user.disabled, groups: user.groups, valid_from, hash }
    }
}

/// Colours repeat what words say.
fn table(users: &[UserInfo<'_>]) -> String {
    let style = |user: &UserInfo<'_>| match (user.disabled, user.cost.is_weak()) {
        (true, _) => Style::new().dimmed(),
        (false, true) => AnsiColor::Yellow.on_default(),
        (false, false) => Style::new(),
    };
    let rows: Vec<_> = users.iter().map(|user| (cells(user), style(user))).collect();
    table::render(&HEAD.map(str::to_owned), &rows)
}

fn cells(user: &UserInfo<'_>) -> [String; 4] {
    let state = if user.disabled { "disabled" } else { "active" };
    let groups = if user.groups.is_empty() { "-".to_owned() } else { user.groups.join(", ") };
    let weak = if user.cost.is_weak() { " (weak)" } else { "" };
    [user.name.to_string(), state.to_owned(), groups, format!("{}{weak}", user.cost)]
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::domain::Username;
    use crate::users::{Cost, UserInfo};

    #[test]
    fn columns_are_aligned_and_lines_have_no_blank_end() {
        let (one, other) = (Username::parse("bob").unwrap(), Username::parse("jürgen").unwrap());
        let groups = ["ops".to_owned(), "dev team".to_owned()];
        let cost = Cost { memory_kib: 19456, passes: 2, lanes: 1 };
        let weak = Cost { memory_kib: 8, passes: 1, lanes: 1 };
        let users = [
            UserInfo { name: &one, groups: &groups, disabled: false, valid_from: None, cost },
            UserInfo { name: &other, groups: &[], disabled: true, valid_from: None, cost: weak },
        ];
        let plain = anstream::adapter::strip_str(&table(&users)).to_string();
        assert_eq!(
            plain,
            "USER    STATE     GROUPS         HASH\n\
             bob     active    ops, dev team  m=19456,t=2,p=1\n\
             jürgen  disabled  -              m=8,t=1,p=1 (weak)\n"
        );
    }
}
