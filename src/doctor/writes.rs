//! What PAM modules write at a login or a change of password: can the broker write it?
//!
//! A counter that cannot be written never locks, and a one-time code that cannot be marked as used is refused. A unit's
//! sandbox is the usual cause: read-only folders, or root without the capabilities that open what belongs to others.

use std::fs;
use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::identity::{Blocked, CHOWN, DAC_OVERRIDE, ENTER, FOWNER, Identity, SETGID, SETUID, WRITE};
use super::paths::Paths;
use crate::pam::stack::{Entry, Stack, Stage};

const ID: &str = "pam.module-writes";

/// What a module writes, and what it takes.
struct Written {
    /// A folder that new files come into.
    folder: PathBuf,
    /// Capabilities that root needs besides: what is there may be another user's.
    capabilities: &'static [(u64, &'static str)],
    /// What becomes of a login if it cannot be written.
    consequence: &'static str,
}

/// Looks at every module of the stack that writes.
pub(super) fn examine(
    stack: &Stack,
    paths: &Paths,
    broker: &Identity,
    mounts: Option<&Mounts>,
) -> Vec<Finding> {
    let called = stack.entries.iter().filter(|entry| entry.stage != Stage::Session);
    let mut findings: Vec<Finding> = Vec::new();
    let mut is_any = false;
    for entry in called {
        for written in written_by(entry, paths) {
            is_any = true;
            let found = look(entry, &written, broker, mounts);
            // Two lines of one module say the same.
            findings.extend(found.filter(|new| findings.iter().all(|old| old.fix != new.fix)));
        }
    }
    if is_any && findings.is_empty() {
        findings.push(Finding::ok(ID, format!("{} can write what the modules have to keep", broker.what)));
    }
    findings
}

fn written_by(entry: &Entry, paths: &Paths) -> Vec<Written> {
    let never_locks = "so failures are not counted and nobody is ever locked";
    let no_change = "so an expired password cannot be changed";
    let no_code = "so right one-time codes are refused, or work more than once";
    let to_users: &[_] = &[(CHOWN, "CAP_CHOWN"), (FOWNER, "CAP_FOWNER"), (DAC_OVERRIDE, "CAP_DAC_OVERRIDE")];
    let as_users: &[_] = &[(SETUID, "CAP_SETUID"), (SETGID, "CAP_SETGID")];
    let one = |folder: &Path, capabilities, consequence| Written {
        folder: folder.to_owned(),
        capabilities,
        consequence,
    };
    let folder_of = |file: &str| Path::new(file).parent().map(Path::to_owned);
    match (entry.name(), entry.stage) {
        ("pam_faillock.so", Stage::Auth | Stage::Account) => {
            vec![one(&tally_folder(entry, paths), to_users, never_locks)]
        }
        ("pam_unix.so", Stage::Password) => {
            let mut all = vec![one(&paths.shadow_folder(), &[(CHOWN, "CAP_CHOWN")], no_change)];
            if entry.argument("remember").is_some() {
                all.push(one(&paths.old_passwords, &[(CHOWN, "CAP_CHOWN")], no_change));
            }
            all
        }
        ("pam_pwhistory.so", Stage::Password) => {
            vec![one(&paths.old_passwords, &[(CHOWN, "CAP_CHOWN")], no_change)]
        }
        ("pam_oath.so", Stage::Auth) => match entry.argument("usersfile") {
            Some(file) if file.contains("${HOME}") => vec![one(&paths.homes, to_users, no_code)],
            Some(file) => folder_of(file).iter().map(|folder| one(folder, &[], no_code)).collect(),
            None => Vec::new(),
        },
        ("pam_google_authenticator.so", Stage::Auth) => match entry.argument("secret") {
            Some(file) if !file.contains("${HOME}") && !file.starts_with('~') => {
                folder_of(file).iter().map(|folder| one(folder, as_users, no_code)).collect()
            }
            _ => vec![one(&paths.homes, as_users, no_code)],
        },
        _ => Vec::new(),
    }
}

/// The folder of pam_faillock's tallies: its argument, else its settings file, else the usual one.
fn tally_folder(entry: &Entry, paths: &Paths) -> PathBuf {
    let settings = entry.argument("conf").map_or_else(|| paths.faillock.clone(), PathBuf::from);
    let text = fs::read_to_string(settings).unwrap_or_default();
    // The last one counts.
    let mut of_settings = text.lines().rev().filter_map(|line| {
        let (name, value) = line.split_once('#').map_or(line, |(code, _)| code).split_once('=')?;
        (name.trim() == "dir").then(|| value.trim().to_owned())
    });
    let dir = entry.argument("dir").map(str::to_owned).or_else(|| of_settings.next());
    dir.filter(|dir| dir.starts_with('/')).map_or_else(|| PathBuf::from("/run/faillock"), PathBuf::from)
}

fn look(entry: &Entry, written: &Written, broker: &Identity, mounts: Option<&Mounts>) -> Option<Finding> {
    // A folder that is missing is made by the module in the one above.
    let nearest = written.folder.ancestors().find_map(|path| fs::canonicalize(path).ok())?;
    let (name, place, folder) = (entry.name(), &entry.place, written.folder.display());
    let (who, consequence) = (&broker.what, written.consequence);
    if mounts.is_some_and(|mounts| mounts.is_read_only(&nearest)) {
        let text = format!("{who} sees {folder} read-only, where {name} ({place}) writes, {consequence}");
        let fix = format!(
            "systemctl edit doorward-pam, and under [Service]: ReadWritePaths={folder} (for homes: ProtectHome=no); in a \
             container: mount it without ro"
        );
        return Some(Finding::problem(ID, text, fix));
    }
    let missing: Vec<&str> = written
        .capabilities
        .iter()
        .filter(|(bit, _)| broker.uid == 0 && broker.capabilities & bit == 0)
        .map(|(_, name)| *name)
        .collect();
    if !missing.is_empty() {
        let words = missing.join(" ");
        let text =
            format!("{who} lacks {words}, which {name} ({place}) needs to write in {folder}, {consequence}");
        let fix = format!(
            "systemctl edit doorward-pam, and under [Service]: CapabilityBoundingSet={words}; in a container: --cap-add {}",
            words.replace("CAP_", "").replace(' ', " --cap-add ")
        );
        return Some(Finding::problem(ID, text, fix));
    }
    let Err(blocked @ Blocked::Mode(..)) = broker.reaches(&nearest, WRITE | ENTER) else { return None };
    let text =
        format!("{who} cannot write in {folder}, where {name} ({place}) writes, {consequence}: {blocked}");
    Some(Finding::problem(
        ID,
        text,
        "start the broker as root; or have the module keep it in a folder of the broker's",
    ))
}

/// What a process sees mounted (proc(5), `mountinfo`).
#[derive(Debug)]
pub(super) struct Mounts(Vec<(PathBuf, bool)>);

impl Mounts {
    /// Of another process; `None` if it cannot be looked at.
    pub(super) fn of_process(pid: i32) -> Option<Self> {
        fs::read_to_string(format!("/proc/{pid}/mountinfo")).ok().map(|text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let mounts = text.lines().filter_map(|line| {
            let (mount, file_system) = line.split_once(" - ")?;
            let mut words = mount.split(' ').skip(4);
            let (at, options) = (unescape(words.next()?), words.next()?);
            let of_all = file_system.rsplit(' ').next()?;
            let is_read_only = |options: &str| options.split(',').any(|option| option == "ro");
            Some((at, is_read_only(options) || is_read_only(of_all)))
        });
        Self(mounts.collect())
    }

    /// The mount that lies on top is the last one of the longest path.
    fn is_read_only(&self, path: &Path) -> bool {
        let above = self.0.iter().filter(|(at, _)| path.starts_with(at));
        above.max_by_key(|(at, _)| at.components().count()).is_some_and(|(_, is_read_only)| *is_read_only)
    }
}

/// Spaces and the like stand as `\040`.
fn unescape(text: &str) -> PathBuf {
    PathBuf::from(text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
}

#[cfg(test)]
mod tests;
