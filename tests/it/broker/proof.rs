//! Services that let people in though nobody proved anything.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use doorward::pam::stack::{Stack, lines_without_proof};
use nix::unistd::geteuid;

use super::house::{PROGRAM, Service, may_run};

const WORD: &str = "--allow-pam-without-proof";

/// What the broker says of a service, and whether it would start.
fn check(service: &Service, words: &[&str]) -> (bool, String) {
    let output =
        Command::new(PROGRAM).args(["--check", "--service", &service.name]).args(words).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn i9_the_broker_refuses_a_service_that_lets_people_in_without_a_proof_unless_forced() {
    if !may_run() {
        return;
    }
    for (line, stack) in [
        (1, "auth sufficient pam_rootok.so\nauth required pam_unix.so\n"),
        (
            2,
            "auth required pam_env.so\nauth [success=done default=ignore] pam_localuser.so\nauth required pam_unix.so\n",
        ),
        (
            1,
            "auth [success=1 default=ignore] pam_succeed_if.so user = x\nauth required pam_unix.so\nauth required pam_permit.so\n",
        ),
        (1, "-auth  [sufficient]\\\n pam_permit.so\nauth required pam_unix.so\n"),
        (1, "auth required pam_permit.so\n"),
    ] {
        let service = Service::new(&format!("{stack}account required pam_unix.so\n"));
        let (starts, said) = check(&service, &[]);
        let place = format!("{}:{line}", service.path().display());
        assert!(!starts && said.contains(&place) && said.contains(WORD), "{stack}{said}");
        let (starts, said) = check(&service, &[WORD]);
        assert!(starts && said.contains(&place), "it is said all the same: {said}");
        let output = Command::new(PROGRAM)
            .args(["--service", &service.name, "--socket", "/nonexistent/pam.sock"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(78), "{output:?}");
    }
}

#[test]
fn i9_the_gateway_and_its_check_refuse_it_too_and_the_doctor_names_the_line() {
    if !may_run() {
        return;
    }
    let service = Service::new(
        "auth sufficient pam_timestamp.so\nauth required pam_unix.so\naccount required pam_unix.so\n",
    );
    let place = format!("{}:1", service.path().display());
    let folder = tempfile::tempdir().unwrap();
    let doorward = |command: &str, words: &[&str]| {
        let mut started = Command::new(env!("CARGO_BIN_EXE_doorward"));
        started.args([
            command,
            "--use-login",
            "--autocert",
            "localhost",
            "--listen",
            "127.0.0.1:0",
            "--pam-service",
        ]);
        started.arg(&service.name).args(words).arg("--state").arg(folder.path().join("state"));
        started.arg("--runtime-dir").arg(folder.path().join("run")).arg("--engine").arg("http://127.0.0.1:1");
        if geteuid().is_root() && nix::unistd::User::from_name("doorward").unwrap().is_none() {
            started.args(["--user", "nobody"]);
        }
        let output = started.stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    for command in ["serve", "check"] {
        let (code, said) = doorward(command, &[]);
        assert!(code == Some(78) && said.contains(&place) && said.contains(WORD), "{command}: {said}");
    }
    let (_, said) = doorward("doctor", &["--json"]);
    let report: serde_json::Value = serde_json::from_str(said.split("\n{").next().unwrap())
        .unwrap_or_else(|error| panic!("{error}: {said}"));
    let found = |status: &str, report: &serde_json::Value| {
        let checks = report["checks"].as_array().unwrap().iter();
        checks.filter(|check| check["id"] == "pam.no-proof" && check["status"] == status).count()
    };
    assert_eq!(found("problem", &report), 1, "{said}");
    assert!(said.contains(&place), "{said}");
    let (_, said) = doorward("doctor", &["--json", WORD]);
    let report = serde_json::from_str(&said).unwrap();
    assert_eq!((found("problem", &report), found("warning", &report)), (0, 1), "{said}");
}

#[test]
fn i9_a_service_without_auth_lines_is_judged_by_those_of_other() {
    if !may_run() {
        return;
    }
    let service = Service::new("account required pam_unix.so\n");
    let is_open = Stack::read("other", &["/etc/pam.d".into()])
        .is_ok_and(|other| !lines_without_proof(&other).is_empty());
    let (starts, said) = check(&service, &[]);
    assert_eq!(starts, !is_open, "{said}");
}

/// The same numbers each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}

/// Files of one made-up service, its own first.
fn made_up(number: usize, numbers: &mut Numbers) -> Vec<(String, String)> {
    let controls = [
        "required",
        "requisite",
        "sufficient",
        "optional",
        "[success=1 default=ignore]",
        "[success=2 default=bad]",
        "[default=1]",
        "[success=done default=die]",
        "[ success = ok default = reset ]",
        "[default=ok]",
        "[success=done]",
        "[auth_err=ok success=ignore default=ignore]",
        "[sufficient]",
        "success=done",
        "[ok]",
    ];
    let modules = [
        "pam_permit.so",
        "pam_deny.so",
        "pam_deny.so",
        "pam_rootok.so",
        "pam_debug.so auth=success",
        "pam_debug.so auth=auth_err",
        "pam_debug.so auth=ignore",
        "pam_debug.so auth=new_authtok_reqd",
        "pam_debug.so auth=user_unknown",
        "pam_unix.so",
        "pam_not_there.so",
    ];
    let below = format!("below{number}");
    let mut write = |can_include: bool| {
        let mut text = String::new();
        for _ in 0..=numbers.below(4) {
            let (control, module) = (numbers.of(&controls), numbers.of(&modules));
            let way = numbers.below(if can_include { 7 } else { 4 });
            let _ = match way {
                4 => writeln!(text, "auth include {below}"),
                5 => writeln!(text, "auth substack {below}"),
                6 => writeln!(text, "@include {below}"),
                _ => writeln!(text, "auth {control} {module}"),
            };
        }
        text
    };
    let files = [(format!("own{number}"), write(true)), (below.clone(), write(false))];
    files.into()
}

#[test]
fn i9_no_stack_that_libpam_lets_somebody_through_is_taken_for_one_that_asks() {
    if !may_run() {
        return;
    }
    let (folder, program) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let program = program.path().join("authenticate");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pam/authenticate.c");
    let compiled = Command::new("gcc").arg("-o").arg(&program).args([source, "-lpam"]).status().unwrap();
    assert!(compiled.success(), "gcc could not compile {source}; is libpam0g-dev installed?");
    let mut numbers = Numbers(2026);
    let all: Vec<Vec<(String, String)>> = (0..1500).map(|number| made_up(number, &mut numbers)).collect();
    for (name, text) in all.iter().flatten() {
        fs::write(folder.path().join(name), text).unwrap();
    }
    // Nothing is taken from the machine's own `other`.
    fs::write(folder.path().join("other"), "auth required pam_deny.so\n").unwrap();
    let output = Command::new(&program).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let (mut lets_in, mut refuses) = (0, 0);
    for files in &all {
        let is_in = said.lines().any(|line| line == format!("{} in", files[0].0));
        let named = named(&files[0].0, folder.path());
        assert!(!is_in || named > 0, "libpam lets root in without a proof: {files:#?}");
        lets_in += usize::from(is_in);
        refuses += usize::from(named == 0);
    }
    // Both kinds must be among them for this to say anything.
    assert!(lets_in > 100 && refuses > 100, "{lets_in} {refuses}");
}

fn named(service: &str, folder: &Path) -> usize {
    lines_without_proof(&Stack::read(service, &[folder.to_owned()]).unwrap()).len()
}
