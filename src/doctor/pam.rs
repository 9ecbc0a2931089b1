//! The PAM service: is its file there, the administrator's, complete, and are its modules?

mod code_first;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::identity::{Bits, Identity, READ, user_name};
use super::paths::Paths;
use crate::config::PamSettings;
use crate::pam::stack::{Entry, Stack, Stage, places_without_proof};

const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Modules that ask nobody for anything: a stage of only these lets everybody through.
const ASKS_NOTHING: [&str; 11] = [
    "pam_permit.so",
    "pam_cap.so",
    "pam_echo.so",
    "pam_env.so",
    "pam_faildelay.so",
    "pam_group.so",
    "pam_keyinit.so",
    "pam_lastlog.so",
    "pam_motd.so",
    "pam_umask.so",
    "pam_warn.so",
];
/// Modules that say no by a code that means an outage, whatever the reason; the code as a control field names it.
const REFUSE_AS_OUTAGE: [(&str, &str); 1] = [("pam_exec.so", "system_err")];
/// Debian's package of a module whose name does not tell.
const PACKAGES: [(&str, &str); 10] = [
    ("pam_faillock.so", "libpam-modules"),
    ("pam_google_authenticator.so", "libpam-google-authenticator"),
    ("pam_krb5.so", "libpam-krb5"),
    ("pam_ldap.so", "libpam-ldapd"),
    ("pam_oath.so", "libpam-oath"),
    ("pam_pwquality.so", "libpam-pwquality"),
    ("pam_radius_auth.so", "libpam-radius-auth"),
    ("pam_sss.so", "libpam-sss"),
    ("pam_unix.so", "libpam-modules"),
    ("pam_winbind.so", "libpam-winbind"),
];

/// Everything about the service's files. Gives the stack for further checks if it could be read.
pub(super) fn examine(service: &str, paths: &Paths, broker: &Identity) -> (Vec<Finding>, Option<Stack>) {
    if !is_served(service) {
        let text = format!("the broker serves no service named '{service}'");
        let fix = "name it with 1 to 64 of a-z, 0-9, '-' and '_', and not 'other' (--pam-service)";
        return (vec![Finding::problem("pam.service", text, fix)], None);
    }
    let stack = match Stack::read(service, &paths.pam) {
        Ok(stack) => stack,
        Err(error) => return (vec![unreadable(service, paths, &error)], None),
    };
    let own = stack.files.first().map(|path| path.display().to_string()).unwrap_or_default();
    let mut findings = vec![Finding::ok("pam.service", format!("{own} is there"))];
    findings.extend(stack.files.iter().filter_map(|path| file_of_others(path, broker)));
    findings.extend(stack.faults.iter().map(|fault| {
        let text = format!("{} {}, so the whole stage fails", fault.place, fault.text);
        Finding::problem("pam.stack", text, "correct or remove the line; pam.d(5) describes its form")
    }));
    findings.extend([Stage::Auth, Stage::Account].map(|stage| a_stage(&stack, stage, &own)));
    if !stack.has(Stage::Password) {
        let text =
            format!("{own} has no password line: for an expired password libpam takes those of 'other'");
        let fix = format!("add to {own}: @include common-password");
        findings.push(Finding::warning("pam.password-stage", text, fix));
    }
    findings.extend(code_first::code_first(&stack));
    findings.extend(modules(&stack, paths));
    (findings, Some(stack))
}

/// Every line by which somebody gets in without a proof. The broker refuses to start with one, unless it is forced.
pub(super) fn without_proof(settings: &PamSettings, paths: &Paths) -> Vec<Finding> {
    let places = places_without_proof(&settings.service, &paths.pam).unwrap_or_default();
    let text = |place: &String| format!("{place} lets people in who proved nothing");
    let id = "pam.no-proof";
    if settings.allow_without_proof {
        let fix = "correct the line, and take --allow-pam-without-proof away";
        return places.iter().map(|place| Finding::warning(id, text(place), fix)).collect();
    }
    let fix = "correct the line: have it add to what is asked (required, requisite), not stand in for it";
    places.iter().map(|place| Finding::problem(id, text(place), fix)).collect()
}

/// As the broker judges (`pam/worker/services.rs`): libpam would change other names.
fn is_served(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=64).contains(&name.len()) && name != "other" && name.bytes().all(fits)
}

fn unreadable(service: &str, paths: &Paths, error: &io::Error) -> Finding {
    let folder = paths.pam.first().map(|folder| folder.display().to_string()).unwrap_or_default();
    let path = format!("{folder}/{service}");
    if error.kind() == io::ErrorKind::PermissionDenied {
        return Finding::unchecked(
            "pam.service",
            format!("{path} cannot be read by this user; run as root to check it"),
        );
    }
    let falls = paths.pam.iter().any(|folder| folder.join("other").is_file());
    let instead =
        if falls { "libpam would fall through to the service 'other'" } else { "PAM lets nobody in" };
    let fix =
        format!("install {path} (pam.d/doorward in the sources), or name another file with --pam-service");
    Finding::problem("pam.service", format!("{path} is missing, and without it {instead}"), fix)
}

/// Whoever can write a service file or one that it includes decides who comes in.
fn file_of_others(path: &Path, broker: &Identity) -> Option<Finding> {
    let name = path.display();
    let bits = Bits::of(&fs::metadata(path).ok()?);
    if bits.uid != 0 && bits.uid != broker.uid {
        let text = format!("{name} belongs to {}, who can change who is let in", user_name(bits.uid));
        return Some(Finding::problem("pam.service-mode", text, format!("chown root:root {name}")));
    }
    if bits.mode & WRITABLE_BY_OTHERS != 0 {
        let text = format!("{name} can be written by others than root (mode {:04o})", bits.mode);
        return Some(Finding::problem("pam.service-mode", text, format!("chmod go-w {name}")));
    }
    broker.reaches(path, READ).err().map(|blocked| {
        let text = format!("the broker ({}) cannot read {name}: {blocked}", broker.what);
        Finding::problem("pam.service-mode", text, format!("chmod go+r {name}"))
    })
}

/// A stage that is missing is taken from `other`, one that asks nothing is open.
fn a_stage(stack: &Stack, stage: Stage, own: &str) -> Finding {
    let (id, word, line) = match stage {
        Stage::Account => ("pam.account-stage", "account", "@include common-account"),
        _ => ("pam.auth-stage", "auth", "@include common-auth"),
    };
    let fix = format!("add to {own}: {line}");
    if !stack.has(stage) {
        let matter =
            if stage == Stage::Account { "whether an account is locked or expired" } else { "the password" };
        let text = format!("{own} has no {word} line, so libpam asks the service 'other' about {matter}");
        return Finding::problem(id, text, fix);
    }
    let is_open = stack.of(stage).all(|entry| ASKS_NOTHING.contains(&entry.name()));
    match (is_open && !stack.faults.iter().any(|fault| fault.stage == Some(stage)), stage) {
        (false, _) => Finding::ok(id, format!("the {word} stage has {} modules", stack.of(stage).count())),
        (true, Stage::Account) => {
            let text = format!("the account stage of {own} lets everybody through, expired accounts too");
            Finding::warning(id, text, fix)
        }
        (true, _) => {
            let text = format!("the auth stage of {own} asks nothing: everybody comes in without a password");
            Finding::problem(id, text, fix)
        }
    }
}

fn modules(stack: &Stack, paths: &Paths) -> Vec<Finding> {
    // Doorward opens no session: what stands there is never called.
    let used: Vec<&Entry> = stack.entries.iter().filter(|entry| entry.stage != Stage::Session).collect();
    let mut seen: Vec<&str> = Vec::new();
    let mut findings = Vec::new();
    for entry in &used {
        if seen.contains(&entry.module.as_str()) {
            continue;
        }
        seen.push(&entry.module);
        findings.extend(a_module(entry, paths));
    }
    findings.extend(used.iter().filter_map(|entry| file_of_a_module(entry)));
    findings.extend(used.iter().filter_map(|entry| refuses_as_outage(entry)));
    if findings.is_empty() && !used.is_empty() {
        findings.push(Finding::ok("pam.modules", format!("all {} modules are there", seen.len())));
    }
    findings
}

fn a_module(entry: &Entry, paths: &Paths) -> Option<Finding> {
    let (name, place) = (&entry.module, &entry.place);
    let Some(path) = find(name, &paths.modules) else {
        if entry.is_silent {
            return None;
        }
        let package =
            PACKAGES.iter().find(|(module, _)| *module == entry.name()).map(|(_, package)| *package);
        let install = package.map_or_else(String::new, |package| format!("apt-get install {package}, or "));
        let text =
            format!("the module {name} that {place} names is not there, so its stage fails (MODULE_UNKNOWN)");
        return Some(Finding::problem("pam.modules", text, format!("{install}correct the line")));
    };
    let bits = Bits::of(&fs::metadata(&path).ok()?);
    let is_roots = bits.uid == 0 && bits.mode & WRITABLE_BY_OTHERS == 0;
    let path = path.display();
    (!is_roots).then(|| {
        let text = format!("others than root can write {path}, which the broker runs");
        Finding::problem("pam.modules", text, format!("chown root:root {path} && chmod go-w {path}"))
    })
}

/// People are told "try again later" for a wrong password, and bans by it end sooner.
fn refuses_as_outage(entry: &Entry) -> Option<Finding> {
    let (name, code) = REFUSE_AS_OUTAGE.iter().find(|(name, _)| *name == entry.name())?;
    let is_judge = matches!(entry.stage, Stage::Auth | Stage::Account) && entry.passes_on(code);
    is_judge.then(|| {
        let (place, upper) = (&entry.place, code.to_uppercase());
        let text = format!(
            "{name} of {place} reports every refusal as an outage ({upper}): a wrong password looks like a directory \
             that is down"
        );
        let stage = entry.stage.word();
        let fix = format!(
            "write [success=1 default=ignore] in place of {}, and below it: {stage} requisite pam_deny.so and \
             {stage} required pam_permit.so",
            entry.control
        );
        Finding::warning("pam.outage", text, fix)
    })
}

fn find(module: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    // A path from '/' replaces the folder.
    folders.iter().map(|folder| folder.join(module)).find(|path| path.is_file())
}

/// Files and programs that a module's arguments name, where one that is missing means that nobody comes in.
fn file_of_a_module(entry: &Entry) -> Option<Finding> {
    let (id, file) = match entry.name() {
        "pam_oath.so" => ("pam.module-file", entry.argument("usersfile")?),
        "pam_listfile.so" => ("pam.module-file", entry.argument("file")?),
        "pam_exec.so" => {
            ("pam.helper", entry.arguments.iter().find(|argument| argument.starts_with('/'))?.as_str())
        }
        _ => return None,
    };
    // `${HOME}` and `${USER}` are the module's to fill in.
    if file.contains('$') || !file.starts_with('/') {
        return None;
    }
    let error = fs::metadata(file).err()?;
    if error.kind() != io::ErrorKind::NotFound {
        return Some(Finding::unchecked(id, format!("{file}: {error}; run as root to check it")));
    }
    let text = format!("{file}, which {} needs by {}, is not there", entry.name(), entry.place);
    Some(Finding::problem(id, text, format!("make {file}, or correct the line")))
}

#[cfg(test)]
mod tests;
