//! Stacks that write, and brokers that can and cannot.

use std::fs;

use super::super::identity::Identity;
use super::super::paths::Paths;
use super::{Mounts, examine};
use crate::pam::stack::Stack;

const ROOT: u64 = u64::MAX;
/// What the unit had when pam_faillock never locked: AUDIT_WRITE, CHOWN, DAC_READ_SEARCH, KILL, SETGID, SETUID.
const TOO_FEW: u64 = 1 << 29 | 1 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 7;

fn broker(uid: u32, capabilities: u64) -> Identity {
    Identity { what: "the broker".into(), uid, gid: uid, groups: Vec::new(), capabilities }
}

/// `status: text | fix` of every finding.
fn says(stack: &str, broker: &Identity, mounts: Option<&str>) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("s"), stack).unwrap();
    let stack = Stack::read("s", &[folder.path().to_owned()]).unwrap();
    let mounts = mounts.map(Mounts::parse);
    let findings = examine(&stack, &Paths::default(), broker, mounts.as_ref());
    findings
        .iter()
        .map(|f| format!("{}: {} | {}", f.status.word(), f.text, f.fix.as_deref().unwrap_or("")))
        .collect()
}

#[test]
fn i7_capabilities_that_a_writing_module_needs_are_missed_by_name() {
    let faillock = "auth required pam_faillock.so preauth\nauth required pam_unix.so\n";
    let said = says(faillock, &broker(0, TOO_FEW), None);
    assert_eq!(said.len(), 1, "{said:#?}");
    for word in [
        "problem: ",
        "CAP_FOWNER CAP_DAC_OVERRIDE",
        "pam_faillock.so",
        "nobody is ever locked",
        "--cap-add FOWNER",
    ] {
        assert!(said[0].contains(word), "{word} in {said:#?}");
    }
    assert!(says(faillock, &broker(0, ROOT), None)[0].starts_with("ok: "));
    let google = "auth required pam_google_authenticator.so\n";
    assert!(says(google, &broker(0, TOO_FEW), None)[0].starts_with("ok: "), "it writes as the user");
    assert!(says(google, &broker(0, 0), None)[0].contains("CAP_SETUID CAP_SETGID"));
    let change = "password required pam_unix.so\n";
    assert!(says(change, &broker(0, TOO_FEW), None)[0].starts_with("ok: "));
    assert!(says(change, &broker(0, 0), None)[0].contains("CAP_CHOWN"));
    assert!(
        says("auth required pam_unix.so\nsession required pam_lastlog.so\n", &broker(0, 0), None).is_empty()
    );
}

#[test]
fn i7_folders_that_the_broker_sees_read_only_are_found() {
    let mounts = "1 0 8:1 / / rw,relatime - ext4 /dev/sda rw\n\
        2 1 8:1 /home /home ro,relatime - ext4 /dev/sda rw\n\
        3 1 8:1 /etc /etc rw - ext4 /dev/sda ro\n";
    let root = broker(0, ROOT);
    let google = "auth required pam_google_authenticator.so\n";
    let said = says(google, &root, Some(mounts));
    assert!(said[0].starts_with("problem: ") && said[0].contains("/home read-only"), "{said:#?}");
    assert!(said[0].contains("ProtectHome=no"), "{said:#?}");
    // Somewhere else than in the homes.
    let elsewhere = "auth required pam_google_authenticator.so user=root secret=/var/lib/${USER}\n";
    assert!(says(elsewhere, &root, Some(mounts))[0].starts_with("ok: "));
    for stack in ["password required pam_unix.so\n", "password required pam_pwhistory.so\n"] {
        assert!(
            says(stack, &root, Some(mounts))[0].contains("read-only"),
            "the file system itself is: {stack}"
        );
    }
    let oath = "auth required pam_oath.so usersfile=/etc/users.oath\n";
    assert!(says(oath, &root, Some(mounts))[0].contains("one-time codes"));
    let with_rw_on_top = format!("{mounts}4 2 8:1 /home /home rw - ext4 /dev/sda rw\n");
    assert!(says(google, &root, Some(&with_rw_on_top))[0].starts_with("ok: "), "the last one lies on top");
}

#[test]
fn i7_the_tally_folder_is_found_as_pam_faillock_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("faillock.conf");
    fs::write(&settings, "# dir = /no\n deny=3\ndir = /var/tally # here\n").unwrap();
    let at = |arguments: &str| {
        let stack = format!("auth required pam_faillock.so preauth {arguments}\n");
        says(&stack, &broker(0, 0), None).remove(0)
    };
    assert!(at("dir=/srv/tally").contains("write in /srv/tally,"));
    assert!(at(&format!("conf={}", settings.display())).contains("write in /var/tally,"));
    assert!(at(&format!("conf={} dir=/srv/t", settings.display())).contains("write in /srv/t,"));
    assert!(at("conf=/nonexistent").contains("write in /run/faillock,"));
}

#[test]
fn i7_a_broker_that_is_not_root_needs_the_folder_itself() {
    let said = says("auth required pam_oath.so usersfile=/etc/users.oath\n", &broker(4_000_000, 0), None);
    assert!(said[0].starts_with("problem: ") && said[0].contains("cannot write in /etc"), "{said:#?}");
}
