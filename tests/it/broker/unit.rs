//! Modules that write, in the sandbox of the shipped unit: what they have to keep, they can keep.
//!
//! Of the modules in Debian's packages these write when somebody logs in or changes a password. Those that write for a
//! session (`pam_lastlog`, `pam_mkhomedir`, `pam_namespace`, `pam_timestamp`, …) are never called: Doorward opens none.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

use doorward::pam::{PamCode, PamEvent};
use nix::unistd::User;
use tempfile::TempDir;

use super::house::{Service, TestUser, answer};
use super::systemd::{UnderUnit, can_run_units};

const SECRET: &str = "3132333435363738393031323334353637383930";
/// The same in Base32.
const BASE32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
const WRONG: PamCode = PamCode(7);

/// Codes of a counter from `first` on.
fn codes(first: usize) -> Vec<String> {
    let output = Command::new("oathtool")
        .args(["--hotp", "-c", &first.to_string(), "-w", "9", SECRET])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A folder that the unit sees too.
fn folder() -> TempDir {
    TempDir::with_prefix_in("doorward-test-", "/var/lib").unwrap()
}

fn is_wrong(event: &PamEvent) {
    assert!(matches!(event, PamEvent::Refused { code, .. } if *code == WRONG), "{event:?}");
}

fn is_in(event: &PamEvent) {
    assert!(matches!(event, PamEvent::Done(_)), "{event:?}");
}

/// As the manual page of pam_faillock shows it.
fn faillock(options: &str) -> Service {
    Service::new(&format!(
        "auth requisite pam_faillock.so preauth deny=3 unlock_time=600 {options}\n\
         auth [success=1 default=bad] pam_unix.so\n\
         auth [default=die] pam_faillock.so authfail deny=3 unlock_time=600 {options}\n\
         auth sufficient pam_faillock.so authsucc deny=3 unlock_time=600 {options}\n\
         account required pam_unix.so\n"
    ))
}

#[tokio::test]
async fn i7_pam_faillock_locks_and_forgives_under_the_shipped_unit() {
    if !can_run_units() {
        return;
    }
    let tally = folder();
    let usual = faillock("");
    let elsewhere = faillock(&format!("dir={}", tally.path().display()));
    let unit = UnderUnit::start(&[&usual, &elsewhere]);
    for service in [&usual, &elsewhere] {
        let user = TestUser::new("right horse");
        // A success in between forgives what was counted.
        for _ in 0..2 {
            is_wrong(&unit.login(service, &user.name, &["wrong"]).await);
        }
        is_in(&unit.login(service, &user.name, &["right horse"]).await);
        for _ in 0..3 {
            is_wrong(&unit.login(service, &user.name, &["wrong"]).await);
        }
        let locked = unit.begin(service, &user.name).await.1;
        is_wrong(&locked);
    }
}

#[tokio::test]
async fn i7_pam_faillock_counts_on_in_tallies_that_were_made_with_other_rights() {
    if !can_run_units() {
        return;
    }
    let tally = folder();
    let service = faillock(&format!("dir={}", tally.path().display()));
    let unit = UnderUnit::start(&[&service]);
    for mode in [0o600, 0o660, 0o400] {
        let user = TestUser::new("right horse");
        let id = User::from_name(&user.name).unwrap().unwrap().uid.as_raw();
        let file = tally.path().join(&user.name);
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        chown(&file, Some(id), Some(0)).unwrap();
        for _ in 0..3 {
            is_wrong(&unit.login(&service, &user.name, &["wrong"]).await);
        }
        is_wrong(&unit.begin(&service, &user.name).await.1);
    }
}

#[tokio::test]
async fn i7_an_expired_password_is_changed_and_remembered_under_the_shipped_unit() {
    if !can_run_units() {
        return;
    }
    let unix = Service::new(
        "auth required pam_unix.so\naccount required pam_unix.so\npassword required pam_unix.so sha512 remember=3\n",
    );
    let history = Service::new(
        "auth required pam_unix.so\naccount required pam_unix.so\n\
         password required pam_pwhistory.so remember=3 enforce_for_root\n\
         password required pam_unix.so sha512 use_authtok\n",
    );
    let unit = UnderUnit::start(&[&unix, &history]);
    for (service, answers) in [
        (&unix, &["right horse", "battery staple 1", "battery staple 1"][..]),
        (&history, &["battery staple 2", "battery staple 2", "right horse"][..]),
    ] {
        let user = TestUser::new("right horse");
        user.change("chage", &["-d", "0"]);
        let (mut conversation, _) = unit.begin(service, &user.name).await;
        let event = answer(&mut conversation, "right horse").await;
        assert!(matches!(event, PamEvent::NeedChange { .. }), "{event:?}");
        conversation.change_expired().await.unwrap();
        let mut event = conversation.next().await;
        let mut left = answers.iter();
        while let PamEvent::Ask { prompt, .. } = &event {
            // What is asked first differs from module to module: the old password, or the new one.
            let is_old = prompt.text.to_lowercase().contains("current");
            let text =
                if is_old { "right horse" } else { left.find(|text| **text != "right horse").unwrap() };
            event = answer(&mut conversation, text).await;
        }
        is_in(&event);
        let new = answers.iter().find(|text| **text != "right horse").unwrap();
        is_in(&unit.login(service, &user.name, &[new]).await);
        let remembered = fs::read_to_string("/etc/security/opasswd").unwrap();
        assert!(remembered.lines().any(|line| line.starts_with(&format!("{}:", user.name))), "{remembered}");
        let shadow = fs::metadata("/etc/shadow").unwrap().permissions().mode();
        assert_eq!(shadow & 0o007, 0);
    }
}

#[tokio::test]
async fn i7_pam_oath_uses_up_its_codes_under_the_shipped_unit() {
    if !can_run_units() {
        return;
    }
    let (users, codes) = (folder(), codes(0));
    let file = users.path().join("users.oath");
    let service = Service::new(&format!(
        "auth required pam_oath.so usersfile={} window=5 digits=6\naccount required pam_unix.so\n",
        file.display()
    ));
    let unit = UnderUnit::start(&[&service]);
    let user = TestUser::new("right horse");
    fs::write(&file, format!("HOTP {} - {SECRET}\n", user.name)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    is_in(&unit.login(&service, &user.name, &[&codes[0]]).await);
    is_wrong(&unit.login(&service, &user.name, &[&codes[0]]).await);
    is_in(&unit.login(&service, &user.name, &[&codes[1]]).await);
}

/// A user with a home folder, in which the second factor's file is.
struct AtHome {
    user: TestUser,
    home: PathBuf,
}

impl AtHome {
    fn new(above: &str) -> Self {
        let user = TestUser::new("right horse");
        let home = PathBuf::from(above).join(&user.name);
        fs::create_dir_all(&home).unwrap();
        user.change("usermod", &["-d", home.to_str().unwrap()]);
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        let at_home = Self { user, home };
        at_home.own(&at_home.home);
        at_home
    }

    fn own(&self, path: &std::path::Path) {
        let user = User::from_name(&self.user.name).unwrap().unwrap();
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        self.own(&path);
        path
    }
}

impl Drop for AtHome {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.home);
    }
}

#[tokio::test]
async fn i7_pam_google_authenticator_uses_up_its_codes_in_home_folders_under_the_shipped_unit() {
    if !can_run_units() {
        return;
    }
    let service = Service::new("auth required pam_google_authenticator.so\naccount required pam_unix.so\n");
    let (shared, secrets) = (folder(), folder());
    let in_one_folder = Service::new(&format!(
        "auth required pam_google_authenticator.so user=root secret={}/${{USER}}\naccount required pam_unix.so\n",
        secrets.path().display()
    ));
    let unit = UnderUnit::start(&[&service, &in_one_folder]);
    let text = format!("{BASE32}\n\" HOTP_COUNTER 1\n\" WINDOW_SIZE 5\n");
    fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for above in ["/home", shared.path().to_str().unwrap()] {
        let (at_home, codes) = (AtHome::new(above), codes(1));
        let file = at_home.put(".google_authenticator", &text);
        let user = &at_home.user.name;
        is_in(&unit.login(&service, user, &[&codes[0]]).await);
        is_wrong(&unit.login(&service, user, &[&codes[0]]).await);
        // A wrong code moves the counter too.
        is_in(&unit.login(&service, user, &[&codes[3]]).await);
        let kept = fs::read_to_string(&file).unwrap();
        assert!(kept.contains("HOTP_COUNTER 5"), "{above}: {kept}");
    }
    let (user, codes) = (TestUser::new("right horse"), codes(1));
    let file = secrets.path().join(&user.name);
    fs::write(&file, &text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    is_in(&unit.login(&in_one_folder, &user.name, &[&codes[0]]).await);
    is_wrong(&unit.login(&in_one_folder, &user.name, &[&codes[0]]).await);
}

#[tokio::test]
async fn i7_helpers_of_pam_exec_write_where_root_and_where_the_user_may_under_the_shipped_unit() {
    if !can_run_units() {
        return;
    }
    let place = folder();
    let helper = place.path().join("helper");
    fs::write(&helper, "#!/bin/sh\ncat >/dev/null\necho \"$PAM_USER\" >> \"$1\"\n").unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let log = place.path().join("log");
    let at_home = AtHome::new("/home");
    let theirs = at_home.put("seen", "");
    let service = Service::new(&format!(
        "auth required pam_exec.so expose_authtok {helper} {log}\n\
         auth required pam_exec.so expose_authtok {helper} {theirs}\n\
         account required pam_unix.so\n",
        helper = helper.display(),
        log = log.display(),
        theirs = theirs.display()
    ));
    let unit = UnderUnit::start(&[&service]);
    is_in(&unit.login(&service, &at_home.user.name, &["x"]).await);
    for file in [log, theirs] {
        assert_eq!(fs::read_to_string(file).unwrap().trim(), at_home.user.name);
    }
}

#[tokio::test]
async fn i7_the_unit_still_keeps_the_broker_from_what_no_module_needs() {
    if !can_run_units() {
        return;
    }
    let service = Service::unix();
    let unit = UnderUnit::start(&[&service]);
    let user = TestUser::new("right horse");
    is_in(&unit.login(&service, &user.name, &["right horse"]).await);
    let broker = fs::read_dir(unit.inside("/proc"))
        .unwrap()
        .flatten()
        .find(|entry| {
            fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name.trim() == "doorward-pam")
        })
        .unwrap()
        .path();
    let status = fs::read_to_string(broker.join("status")).unwrap();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    let capabilities = u64::from_str_radix(capabilities, 16).unwrap();
    // SYS_ADMIN, SYS_MODULE, SYS_PTRACE, NET_ADMIN, SYS_RAWIO, MKNOD, SETPCAP (capabilities(7)).
    for bit in [21, 16, 19, 12, 17, 27, 8] {
        assert_eq!(capabilities & (1 << bit), 0, "bit {bit} of {capabilities:x}");
    }
    let mounts = fs::read_to_string(broker.join("mountinfo")).unwrap();
    let is_read_only = |at: &str| {
        mounts.lines().any(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            words[4] == at && words[5].split(',').any(|option| option == "ro")
        })
    };
    assert!(is_read_only("/usr") && is_read_only("/proc/sys"), "{mounts}");
}

/// What the doctor says of the modules that write, beside a broker that runs under the unit with these lines more.
fn doctor(service: &Service, lines: &str) -> String {
    let unit = UnderUnit::start_with(&[service], lines);
    let state = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["doctor", "--json", "--use-login", "--autocert", "localhost", "--listen", "127.0.0.1:0"])
        .args(["--pam-service", &service.name, "--pam-socket"])
        .arg(unit.socket())
        .arg("--state")
        .arg(state.path().join("state"))
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap().iter();
    let lines = checks
        .filter(|check| check["id"] == "pam.module-writes")
        .map(|check| format!("{}: {}", check["status"].as_str().unwrap(), check["text"].as_str().unwrap()));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn i7_the_doctor_finds_what_the_running_brokers_sandbox_keeps_modules_from_writing() {
    if !can_run_units() {
        return;
    }
    let service = Service::new(
        "auth required pam_faillock.so preauth\n\
         auth required pam_google_authenticator.so\n\
         auth required pam_unix.so\n\
         account required pam_unix.so\n\
         password required pam_unix.so\n",
    );
    let said = doctor(&service, "");
    assert!(said.starts_with("ok: ") && said.lines().count() == 1, "{said}");
    let said = doctor(&service, "ProtectHome=read-only\n");
    assert!(said.contains("sees /home read-only") && said.contains("pam_google_authenticator.so"), "{said}");
    let said = doctor(&service, "CapabilityBoundingSet=~CAP_FOWNER CAP_DAC_OVERRIDE\n");
    assert!(said.contains("lacks CAP_FOWNER CAP_DAC_OVERRIDE") && said.contains("pam_faillock.so"), "{said}");
    let said = doctor(&service, "ProtectSystem=full\n");
    assert!(said.contains("sees /etc read-only") && said.contains("cannot be changed"), "{said}");
}
