//! The commands that change the user file.

use clap::{ArgGroup, Args};

use super::finish::{finish, gateway_group};
use super::password::PasswordArgs;
use super::{Outcome, Place};
use crate::cli::terminal;
use crate::domain::{Clock, InvalidUsername, Username};
use crate::users::{Draft, IfMissing, UserFile, UsersError, change, check_groups};

const ADD_EXAMPLES: &str = "\
Examples:
  doorward users add bob
      asks for the password, twice and without showing it
  doorward users add bob --group ops --group 'dev team' --generate
      makes up a password; standard output is the password and nothing else
  pass show gate/bob | doorward users add bob --password-stdin

A file that is not there is made: mode 0600, or, as root, 0640 for the group of the gateway's user.";

const PASSWD_EXAMPLES: &str = "\
Examples:
  doorward users passwd bob
  doorward users passwd bob --generate
  doorward users passwd bob --logout
      the old one was stolen: whoever came in with it is out within about a second

The old password is refused at once, by Basic after --basic-cache at the latest. Without --logout,
what was opened with it stays open.";

const SET_EXAMPLES: &str = "\
Examples:
  doorward users set bob --groups ops,dev
  doorward users set bob --add-group ops --enable
  doorward users set bob --groups '' --disable
      no groups, and shut out

Groups go to the engine as X-Forwarded-Groups.";

const ENABLE_EXAMPLES: &str = "\
Examples:
  doorward users enable bob eve";

const DISABLE_EXAMPLES: &str = "\
Examples:
  doorward users disable bob

Their sessions, tokens and streams end within about a second. The entry stays.";

const LOGOUT_EXAMPLES: &str = "\
Examples:
  doorward users logout bob

Their sessions, tokens and streams end within about a second, also those that a gateway which is not
running remembers. They may log in again at once.";

const REMOVE_EXAMPLES: &str = "\
Examples:
  doorward users remove bob
  doorward users remove bob eve --yes

Their sessions, tokens and streams end within about a second. On a terminal you are asked first.";

/// Add a user
#[derive(Args, Debug)]
#[command(after_help = ADD_EXAMPLES)]
pub(super) struct Add {
    /// Name to log in with; case counts
    #[arg(value_name = "NAME", value_parser = name)]
    name: Username,
    /// Put the user into this group; may be repeated
    #[arg(long = "group", value_name = "GROUP", value_delimiter = ',')]
    groups: Vec<String>,
    /// Keep the user out for now
    #[arg(long)]
    disabled: bool,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Give a user a new password
#[derive(Args, Debug)]
#[command(after_help = PASSWD_EXAMPLES)]
pub(super) struct Passwd {
    /// Whose
    #[arg(value_name = "NAME", value_parser = name)]
    name: Username,
    /// End all sessions, tokens and streams of the user too
    #[arg(long)]
    logout: bool,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Change a user's groups, shut the user out or let the user in again
#[derive(Args, Debug)]
#[command(after_help = SET_EXAMPLES)]
#[command(group = ArgGroup::new("what").multiple(true).required(true))]
pub(super) struct Set {
    /// Whose
    #[arg(value_name = "NAME", value_parser = name)]
    name: Username,
    /// Exactly these groups, separated by commas; '' for none
    #[arg(long, value_name = "GROUPS", value_delimiter = ',', group = "what",
          conflicts_with_all = ["add_group", "remove_group"])]
    groups: Option<Vec<String>>,
    /// Put the user into this group too; may be repeated
    #[arg(long, value_name = "GROUP", value_delimiter = ',', group = "what")]
    add_group: Vec<String>,
    /// Take the user out of this group; may be repeated
    #[arg(long, value_name = "GROUP", value_delimiter = ',', group = "what")]
    remove_group: Vec<String>,
    /// Let the user in again
    #[arg(long, group = "what", conflicts_with = "disable")]
    enable: bool,
    /// Shut the user out
    #[arg(long, group = "what")]
    disable: bool,
}

/// Let users in again
#[derive(Args, Debug)]
#[command(after_help = ENABLE_EXAMPLES)]
pub(super) struct Enable {
    /// Whom
    #[arg(value_name = "NAME", value_parser = name, required = true)]
    names: Vec<Username>,
}

/// Shut users out, and end what they have open
#[derive(Args, Debug)]
#[command(after_help = DISABLE_EXAMPLES)]
pub(super) struct Disable {
    /// Whom
    #[arg(value_name = "NAME", value_parser = name, required = true)]
    names: Vec<Username>,
}

/// End all sessions, tokens and streams of users, who may log in again
#[derive(Args, Debug)]
#[command(after_help = LOGOUT_EXAMPLES)]
pub(super) struct Logout {
    /// Whom
    #[arg(value_name = "NAME", value_parser = name, required = true)]
    names: Vec<Username>,
}

/// Remove users, and end what they have open
#[derive(Args, Debug)]
#[command(after_help = REMOVE_EXAMPLES)]
pub(super) struct Remove {
    /// Whom
    #[arg(value_name = "NAME", value_parser = name, required = true)]
    names: Vec<Username>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Add {
    pub(super) fn run(&self, place: &Place) -> Outcome {
        // Nobody shall type a password twice to learn that there is such a user, or that the file is broken.
        let missing = IfMissing::Create(gateway_group(place));
        if place.file.exists() && UserFile::load(&place.file)?.contains(&self.name) {
            return Err(UsersError::Exists(self.name.clone()).into());
        }
        let groups: Vec<String> = self.groups.iter().map(|group| group.trim().to_owned()).collect();
        check_groups(&groups)?;
        let new = self.password.get(&self.name)?;
        let changed = change(&place.file, missing, |users| {
            users.add(&self.name, &new.hash, &groups)?;
            users.set_disabled(&self.name, self.disabled)
        })?;
        let state = if self.disabled { ", who is shut out for now" } else { "" };
        let done = format!("added {}{state}{}", self.name, in_groups(&changed.file, &self.name));
        finish(place, &changed, &done, new.generated.as_deref().map(String::as_str))
    }
}

impl Passwd {
    pub(super) fn run(&self, place: &Place) -> Outcome {
        if !UserFile::load(&place.file)?.contains(&self.name) {
            return Err(UsersError::Unknown(self.name.clone()).into());
        }
        let new = self.password.get(&self.name)?;
        let changed = change(&place.file, IfMissing::Refuse, |users| {
            users.set_password(&self.name, &new.hash)?;
            if self.logout { users.log_out(&self.name, Clock::system().now()) } else { Ok(()) }
        })?;
        let end = if self.logout { "; all that they had open ends" } else { "" };
        let done = format!("{} has a new password{end}", self.name);
        finish(place, &changed, &done, new.generated.as_deref().map(String::as_str))
    }
}

impl Set {
    pub(super) fn run(&self, place: &Place) -> Outcome {
        let changed = change(&place.file, IfMissing::Refuse, |users| {
            if let Some(groups) = self.wanted(users) {
                users.set_groups(&self.name, &groups)?;
            }
            if self.enable || self.disable {
                users.set_disabled(&self.name, self.disable)?;
            }
            Ok(())
        })?;
        let user = changed.file.users().find(|user| *user.name == self.name);
        let state = if user.is_some_and(|user| user.disabled) { "shut out" } else { "let in" };
        let done = format!("{} is {state}{}", self.name, in_groups(&changed.file, &self.name));
        finish(place, &changed, &done, None)
    }

    /// The groups that the user shall have, if they change.
    fn wanted(&self, users: &Draft) -> Option<Vec<String>> {
        let clean = |groups: &[String]| -> Vec<String> {
            groups.iter().map(|group| group.trim().to_owned()).filter(|group| !group.is_empty()).collect()
        };
        if let Some(groups) = &self.groups {
            return Some(clean(groups));
        }
        let (more, fewer) = (clean(&self.add_group), clean(&self.remove_group));
        if more.is_empty() && fewer.is_empty() {
            return None;
        }
        let now = users.users().find(|user| *user.name == self.name).map(|user| user.groups.to_vec());
        let mut groups: Vec<String> = now.unwrap_or_default();
        groups.retain(|group| !fewer.contains(group));
        groups.extend(more);
        Some(groups)
    }
}

impl Enable {
    pub(super) fn run(&self, place: &Place) -> Outcome {
        set_disabled(place, &self.names, false, "let in again")
    }
}

impl Disable {
    pub(super) fn run(&self, place: &Place) -> Outcome {
        set_disabled(place, &self.names, true, "shut out; what they have open ends within about a second")
    }
}

impl Logout {
    pub(super) fn run(&self, place: &Place) -> Outcome {
        let changed = change(&place.file, IfMissing::Refuse, |users| {
            self.names.iter().try_for_each(|name| users.log_out(name, Clock::system().now()))
        })?;
        let done = format!("{}: what they have open ends within about a second", joined(&self.names));
        finish(place, &changed, &done, None)
    }
}

impl Remove {
    pub(super) fn run(&self, place: &Place) -> Outcome {
        let file = UserFile::load(&place.file)?;
        if let Some(unknown) = self.names.iter().find(|name| !file.contains(name)) {
            return Err(UsersError::Unknown(unknown.clone()).into());
        }
        let names = joined(&self.names);
        let question = format!("Remove {names} from {} and end what they have open?", place.file.display());
        if !self.yes && terminal::has_person() && !terminal::confirm(&question) {
            return Err(anyhow::anyhow!("nothing was changed").into());
        }
        let changed = change(&place.file, IfMissing::Refuse, |users| {
            unique(&self.names).iter().try_for_each(|name| users.remove(name))
        })?;
        finish(place, &changed, &format!("removed {names}"), None)
    }
}

fn set_disabled(place: &Place, names: &[Username], disabled: bool, done: &str) -> Outcome {
    let changed = change(&place.file, IfMissing::Refuse, |users| {
        names.iter().try_for_each(|name| users.set_disabled(name, disabled))
    })?;
    finish(place, &changed, &format!("{}: {done}", joined(names)), None)
}

fn in_groups(file: &UserFile, name: &Username) -> String {
    match file.groups(name) {
        Some([]) | None => ", in no group".to_owned(),
        Some([one]) => format!(", in the group {one}"),
        Some(more) => format!(", in the groups {}", more.join(", ")),
    }
}

fn joined(names: &[Username]) -> String {
    unique(names).iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
}

fn unique(names: &[Username]) -> Vec<&Username> {
    let mut found: Vec<&Username> = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

fn name(text: &str) -> Result<Username, InvalidUsername> {
    Username::parse(text)
}
