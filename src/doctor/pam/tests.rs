//! Service files with every fault that has a finding.

use std::fs::{self, Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::super::finding::{Finding, Status};
use super::super::identity::Identity;
use super::super::paths::Paths;
use super::examine;

struct Place {
    folder: tempfile::TempDir,
    paths: Paths,
}

impl Place {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let (pam, modules) = (folder.path().join("pam.d"), folder.path().join("security"));
        fs::create_dir(&pam).unwrap();
        fs::create_dir(&modules).unwrap();
        let place =
            Self { folder, paths: Paths { pam: vec![pam], modules: vec![modules], ..Paths::default() } };
        for (name, text) in files {
            place.write(&format!("pam.d/{name}"), text);
        }
        for module in ["pam_unix.so", "pam_permit.so", "pam_oath.so"] {
            place.write(&format!("security/{module}"), "");
        }
        place
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        path
    }

    fn all(&self, service: &str) -> Vec<Finding> {
        let broker = Identity::of_this_process().unwrap();
        examine(service, &self.paths, &broker).0
    }

    /// What stands out, as `id: text | fix`.
    fn faults(&self, service: &str) -> Vec<String> {
        let all = self.all(service);
        let faults = all.iter().filter(|finding| finding.status != Status::Ok);
        // Modules made by an ordinary user are not root's, which is another test's business.
        let faults =
            faults.filter(|f| nix::unistd::geteuid().is_root() || !f.text.contains("which the broker runs"));
        faults.map(|f| format!("{}: {} | {}", f.id, f.text, f.fix.as_deref().unwrap_or_default())).collect()
    }
}

const GOOD: &str = "auth required pam_unix.so\naccount required pam_unix.so\npassword required pam_unix.so\n";

fn only(faults: &[String], id: &str, words: &[&str]) {
    let [fault] = faults else { panic!("not one fault: {faults:#?}") };
    assert!(fault.starts_with(&format!("{id}: ")), "{fault}");
    for word in words {
        assert!(fault.contains(word), "{word} in {fault}");
    }
}

#[test]
fn a_complete_service_has_no_fault() {
    let place = Place::with(&[("s", GOOD)]);
    assert_eq!(place.faults("s"), [""; 0]);
}

#[test]
fn a_missing_file_falls_through_to_other_if_there_is_one() {
    let place = Place::with(&[]);
    only(&place.faults("s"), "pam.service", &["/s is missing", "PAM lets nobody in", "--pam-service"]);
    place.write("pam.d/other", GOOD);
    only(&place.faults("s"), "pam.service", &["fall through to the service 'other'"]);
    only(&place.faults("Other"), "pam.service", &["the broker serves no service named 'Other'"]);
}

#[test]
fn a_service_without_account_stage_is_found_through_every_kind_of_include() {
    let auth = "auth required pam_unix.so\npassword required pam_unix.so\n";
    let place = Place::with(&[
        ("bare", auth),
        ("common", "auth required pam_unix.so\naccount required pam_unix.so\n"),
        ("wrong-include", &format!("{auth}auth include common\n")),
        ("wrong-substack", &format!("{auth}auth substack common\n")),
        ("right-include", &format!("{auth}account include common\n")),
        ("right-at-include", "@include common\npassword required pam_unix.so\n"),
    ]);
    for service in ["bare", "wrong-include", "wrong-substack"] {
        let words = ["has no account line", "'other'", "@include common-account"];
        only(&place.faults(service), "pam.account-stage", &words);
    }
    for service in ["right-include", "right-at-include"] {
        assert_eq!(place.faults(service), [""; 0], "{service}");
    }
}

#[test]
fn a_stage_that_asks_nothing_is_open() {
    let open = "account required pam_unix.so\npassword required pam_unix.so\nauth required pam_permit.so\n";
    let place = Place::with(&[
        ("s", open),
        ("t", &GOOD.replace("account required pam_unix", "account required pam_permit")),
    ]);
    only(&place.faults("s"), "pam.auth-stage", &["comes in without a password"]);
    only(&place.faults("t"), "pam.account-stage", &["lets everybody through"]);
}

#[test]
fn a_file_that_others_may_write_is_found_also_behind_an_include() {
    let place = Place::with(&[("s", "@include common\n"), ("common", GOOD)]);
    let common = place.paths.pam[0].join("common");
    set_permissions(&common, Permissions::from_mode(0o664)).unwrap();
    only(&place.faults("s"), "pam.service-mode", &["common can be written by others", "chmod go-w"]);
}

#[test]
fn a_missing_module_is_named_with_its_line_and_package() {
    let place =
        Place::with(&[("s", &format!("{GOOD}auth required pam_ldap.so\n-auth optional pam_sss.so\n"))]);
    only(&place.faults("s"), "pam.modules", &["pam_ldap.so", "/s:4", "MODULE_UNKNOWN", "libpam-ldapd"]);
}

#[test]
fn a_module_that_others_may_write_is_found() {
    let place = Place::with(&[("s", GOOD)]);
    set_permissions(place.paths.modules[0].join("pam_unix.so"), Permissions::from_mode(0o666)).unwrap();
    let all = place.all("s");
    assert!(
        all.iter().any(|f| f.id == "pam.modules" && f.text.contains("which the broker runs")),
        "{all:#?}"
    );
}

#[test]
fn a_file_that_a_module_needs_is_named() {
    let place = Place::with(&[(
        "s",
        &format!("{GOOD}auth required pam_oath.so usersfile=/nonexistent/oath window=5\n"),
    )]);
    only(&place.faults("s"), "pam.module-file", &["/nonexistent/oath", "pam_oath.so", "/s:4"]);
}

#[test]
fn a_broken_line_is_named() {
    let place = Place::with(&[("s", &format!("{GOOD}auth wanted pam_unix.so\n"))]);
    only(&place.faults("s"), "pam.stack", &["/s:4", "'wanted' is not a control word"]);
}

#[test]
fn i6_a_stack_that_reports_every_refusal_as_an_outage_is_named_and_the_way_out_is_taken() {
    let rest = "auth required pam_unix.so\naccount required pam_unix.so\npassword required pam_unix.so\n";
    let of = |line: &str| {
        let place = Place::with(&[("s", &format!("{line}\n{rest}"))]);
        place.write("security/pam_exec.so", "");
        place.faults("s")
    };
    for control in
        ["required", "REQUISITE", "[success=ok default=die]", "[success=ok system_err=bad default=ignore]"]
    {
        let faults = of(&format!("auth {control} pam_exec.so expose_authtok"));
        only(&faults, "pam.outage", &["every refusal as an outage", "/s:1", "pam_deny.so"]);
    }
    only(&of("account required pam_exec.so"), "pam.outage", &["account requisite pam_deny.so"]);
    for harmless in [
        "auth [success=1 default=ignore] pam_exec.so expose_authtok",
        "auth optional pam_exec.so",
        "auth sufficient pam_exec.so expose_authtok",
        "auth [success=ok system_err=ignore default=die] pam_exec.so",
        "session required pam_exec.so",
        "password required pam_exec.so",
    ] {
        assert_eq!(of(harmless), [""; 0], "{harmless}");
    }
}

#[test]
fn w7_a_stack_that_asks_for_a_code_first_is_named() {
    let rest = "account required pam_unix.so\npassword required pam_unix.so\n";
    let unix = "auth required pam_unix.so\n";
    let code = "auth required pam_oath.so\n";
    let before = "auth required pam_env.so\nauth requisite pam_faillock.so preauth\n";
    for (auth, is_named) in [
        (format!("{code}{unix}"), true),
        (format!("{before}{code}{unix}"), true),
        (format!("auth include codes\n{unix}"), true),
        (code.to_owned(), true),
        (format!("{unix}{code}"), false),
        (format!("auth required pam_oath.so try_first_pass\n{unix}"), false),
        (format!("auth required pam_google_authenticator.so forward_pass\n{unix}"), false),
        (format!("auth required pam_of_a_friend.so\n{code}{unix}"), false),
        (unix.to_owned(), false),
    ] {
        let place = Place::with(&[("s", &format!("{auth}{rest}")), ("codes", code)]);
        let all = place.all("s");
        let found = all.iter().find(|finding| finding.id == "pam.first-question");
        assert_eq!(found.is_some(), is_named, "{auth}: {all:?}");
        let says =
            |finding: &Finding| finding.status == Status::Ok && finding.text.contains("pam_oath.so of ");
        assert!(found.is_none_or(says), "{found:?}");
    }
}
