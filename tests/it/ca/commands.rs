//! What the commands refuse, write and say.

use std::os::unix::fs::{chown, symlink};
use std::process::Stdio;

use nix::unistd::geteuid;

use super::{Bench, lasts, outcome};

#[test]
fn keys_are_private_and_what_is_public_can_be_read() {
    let bench = Bench::new();
    let key = ["--passphrase-file", "pp"];
    bench.ok(&[&["client", "bob", "--p12"], &key[..]].concat());
    bench.ok(&[&["server", "--ip", "10.0.0.1"], &key[..]].concat());
    for secret in ["ca/ca-key.pem", "bob/key.pem", "bob/bob.pem", "bob/bob.p12", "10.0.0.1/key.pem"] {
        assert_eq!(bench.mode(secret), 0o600, "{secret}");
    }
    for public in ["bob/cert.pem", "bob/ca.pem"] {
        assert_eq!(bench.mode(public), 0o644, "{public}");
    }
    assert_eq!(bench.mode("bob"), 0o700);
    // Without root, or without the gateway's user, there is no group that it could be open to.
    let server = ["10.0.0.1", "10.0.0.1/server.pem"].map(|name| bench.mode(name));
    assert!([[0o700, 0o600], [0o750, 0o640]].contains(&server), "{server:?}");
    for file in ["ca/ca.pem", "ca/crl.pem", "ca/index"] {
        assert!([0o600, 0o640].contains(&bench.mode(file)), "{file}");
    }
    let mut names: Vec<_> = std::fs::read_dir(bench.path("bob"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["bob.p12", "bob.pem", "ca.pem", "cert.pem", "key.pem"], "no temporary file may stay");
}

#[test]
fn a_second_ca_in_one_folder_is_refused_and_the_first_stays() {
    let bench = Bench::new();
    let before = [bench.text("ca/ca.pem"), bench.text("ca/ca-key.pem")];
    let said = bench.fails(1, &["init", "--no-passphrase"]);
    assert!(said.contains("there is a CA in ca already; give another folder with --dir"), "{said}");
    // Nor is a key that lost its certificate written over.
    std::fs::remove_file(bench.path("ca/ca.pem")).unwrap();
    let said = bench.fails(1, &["init", "--no-passphrase"]);
    assert!(said.contains("ca-key.pem: is a key without its certificate"), "{said}");
    assert_eq!(bench.text("ca/ca-key.pem"), before[1]);
}

#[test]
fn a_passphrase_is_never_taken_from_arguments_or_the_environment() {
    let bench = Bench::new();
    for option in ["--passphrase", "--password"] {
        let (code, ..) = outcome(&mut bench.ca(&["client", "bob", option, "x"]));
        assert_eq!(code, Some(2));
    }
    // Without a terminal and without a file nobody can be asked, and nothing is left behind.
    let said = bench.fails(2, &["client", "bob"]);
    assert!(said.contains("write --passphrase-file FILE"), "{said}");
    let said = Bench::empty().fails(2, &["init"]);
    assert!(said.contains("--passphrase-file FILE or --no-passphrase"), "{said}");
    assert!(bench.certificates().is_empty());
}

#[test]
fn a_wrong_passphrase_changes_nothing() {
    let bench = Bench::new();
    let index = bench.text("ca/index");
    bench.write("wrong", "incorrect horse\n");
    for command in [&["client", "bob"][..], &["server", "--name", "a"], &["crl"]] {
        let said = bench.fails(1, &[command, &["--passphrase-file", "wrong"]].concat());
        assert!(said.contains("this is not the passphrase of the CA's key"), "{said}");
    }
    assert_eq!(bench.text("ca/index"), index);
    assert!(!bench.path("bob").exists() && !bench.path("a").exists(), "no empty folder stays");
    std::fs::set_permissions(bench.path("pp"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let said = bench.fails(1, &["crl", "--passphrase-file", "pp"]);
    assert!(said.contains("pp is open to others; run: chmod 600 pp"), "{said}");
}

#[test]
fn a_passphrase_may_come_through_a_pipe() {
    let bench = Bench::new();
    let mut command = bench.ca(&["client", "bob", "--passphrase-file", "/dev/stdin"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"correct horse battery").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_ca_key_that_is_open_to_others_or_somebody_elses_is_not_used() {
    let bench = Bench::plain();
    let path = bench.path("ca/ca-key.pem");
    for mode in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let said = bench.fails(1, &["client", "bob"]);
        assert!(said.contains("is open to others") && said.contains("chmod go-rwx ca/ca-key.pem"), "{said}");
    }
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    if geteuid().is_root() {
        chown(&path, Some(12345), None).unwrap();
        let said = bench.fails(1, &["client", "bob"]);
        assert!(said.contains("belongs to another user (uid 12345)"), "{said}");
        chown(&path, Some(0), None).unwrap();
    }
    std::fs::rename(&path, bench.path("moved")).unwrap();
    symlink(bench.path("moved"), &path).unwrap();
    bench.fails(1, &["client", "bob"]);
    assert!(bench.certificates().is_empty());
}

#[test]
fn a_folder_that_others_may_change_holds_no_ca() {
    let bench = Bench::plain();
    let chmod = |path: &str, mode| {
        std::fs::set_permissions(bench.path(path), std::os::unix::fs::PermissionsExt::from_mode(mode))
            .unwrap();
    };
    std::fs::create_dir(bench.path("prepared")).unwrap();
    for mode in [0o777, 0o770] {
        chmod("ca", mode);
        chmod("prepared", mode);
        let said = bench.fails(1, &["client", "bob"]);
        assert!(said.contains("ca: is open to others") && said.contains("chmod go-w ca"), "{said}");
        bench.fails(1, &["--dir", "prepared", "init", "--no-passphrase"]);
    }
    chmod("ca", 0o700);
    chmod("prepared", 0o700);
    if geteuid().is_root() {
        for folder in ["ca", "prepared"] {
            chown(bench.path(folder), Some(12345), None).unwrap();
        }
        assert!(bench.fails(1, &["client", "bob"]).contains("ca: belongs to another user (uid 12345)"));
        assert!(bench.fails(1, &["--dir", "prepared", "init", "--no-passphrase"]).contains("uid 12345"));
    }
    assert_eq!(std::fs::read_dir(bench.path("prepared")).unwrap().count(), 0);
}

#[test]
fn another_key_than_the_certificates_signs_nothing() {
    let bench = Bench::plain();
    bench.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca/ca-key.pem");
    let said = bench.fails(1, &["client", "bob"]);
    assert!(said.contains("is not the key of the certificate in ca.pem"), "{said}");
}

#[test]
fn a_key_that_is_there_is_never_written_over() {
    let bench = Bench::plain();
    bench.ok(&["client", "bob"]);
    let key = bench.text("bob/key.pem");
    let said = bench.fails(1, &["client", "bob"]);
    assert!(
        said.contains("bob/key.pem is there already") && said.contains("doorward ca renew bob"),
        "{said}"
    );
    std::fs::create_dir(bench.path("mixed")).unwrap();
    symlink(bench.path("nowhere"), bench.path("mixed/key.pem")).unwrap();
    bench.fails(1, &["client", "eve", "--out", "mixed"]);
    assert_eq!(bench.text("bob/key.pem"), key);
    assert_eq!(bench.certificates().len(), 1);
    assert!(!bench.path("nowhere").exists());
}

#[test]
fn a8_names_lead_nowhere_and_overwrite_nothing() {
    let bench = Bench::plain();
    for name in ["../x", "a/b", "", "a\nb", "-x", "..", &"x".repeat(65)] {
        let (code, ..) = outcome(&mut bench.ca(&["client", "--", name]));
        assert_ne!(code, Some(0), "{name:?}");
    }
    for name in ["*", "a b", "http://x", "bücher", ""] {
        assert_eq!(outcome(&mut bench.ca(&["server", "--name", name])).0, Some(2), "{name:?}");
    }
    assert!(bench.certificates().is_empty());
    // Users called as the fixed files are, and one that would hide.
    bench.ok(&["client", "key"]);
    assert!(bench.text("key/key.pem").starts_with("-----BEGIN PRIVATE KEY"));
    assert!(bench.text("key/key-client.pem").starts_with("-----BEGIN CERTIFICATE"));
    bench.ok(&["client", ".ssh"]);
    assert!(bench.path("_.ssh/_.ssh.pem").exists() && !bench.path(".ssh").exists());
    bench.ok(&["client", r"DOM\user"]);
    bench.ok(&["server", "--name", "*.example"]);
    assert!(bench.path("_.example/server.pem").exists());
}

#[test]
fn list_says_what_was_issued_and_what_became_of_it() {
    let bench = Bench::plain();
    let (_, said) = bench.ok(&["list"]);
    assert!(said.contains("no certificates yet"), "{said}");
    bench.ok(&["server", "--name", "gate.example", "--ip", "10.0.0.1"]);
    bench.ok(&["client", "bob", "--days", "10"]);
    bench.ok(&["client", "eve"]);
    bench.ok(&["revoke", "eve", "--reason", "affiliation-changed"]);
    let listed = bench.listed();
    assert_eq!((&listed["ca"]["name"], &listed["crl"]["current"]), (&"Test CA".into(), &true.into()));
    let all = bench.certificates();
    assert_eq!(all[0]["names"], serde_json::json!(["gate.example", "10.0.0.1"]));
    assert_eq!(all[0]["kind"], "server");
    lasts(10, &all[1]);
    assert_eq!((&all[1]["subject"], &all[1]["state"]), (&"CN=bob".into(), &"valid".into()));
    assert_eq!((&all[2]["state"], &all[2]["reason"]), (&"revoked".into(), &"affiliation-changed".into()));
    let serial = bench.openssl("x509 -in bob/cert.pem -noout -serial");
    assert_eq!(serial.trim().to_lowercase(), format!("serial={}", all[1]["serial"].as_str().unwrap()));
    let (table, _) = bench.ok(&["list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[0].starts_with("NAME") && lines[3].contains("revoked"), "{table}");
}

#[test]
fn revoking_names_what_is_not_there_and_does_all_or_nothing() {
    let bench = Bench::plain();
    bench.ok(&["client", "bob"]);
    bench.ok(&["client", "bob", "--out", "laptop"]);
    bench.ok(&["client", "eve"]);
    let said = bench.fails(1, &["revoke", "bob", "nobody"]);
    assert!(said.contains("\"nobody\"") && said.contains("doorward ca list"), "{said}");
    let states = || -> Vec<String> {
        bench.certificates().iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(states(), ["valid", "valid", "valid"]);
    let serial = bench.certificates()[2]["serial"].as_str().unwrap().to_owned();
    bench.ok(&["revoke", &serial]);
    assert_eq!(states(), ["valid", "valid", "revoked"]);
    let said = bench.fails(1, &["revoke", &serial]);
    assert!(said.contains("is revoked already"), "{said}");
    let (said, _) = bench.ok(&["revoke", "bob"]);
    assert_eq!((states(), said.lines().count()), (vec!["revoked".to_owned(); 3], 2));
    bench.fails(1, &["revoke", "bob"]);
    bench.fails(2, &["revoke", "bob", "--reason", "remove-from-crl"]);
}

#[test]
fn a_folder_without_a_ca_says_how_to_make_one() {
    let bench = Bench::empty();
    for command in [&["list"][..], &["client", "bob"], &["revoke", "bob"], &["crl"], &["renew", "bob"]] {
        let said = bench.fails(1, command);
        assert!(said.contains("there is no CA in ca; make one with: doorward ca init --dir ca"), "{said}");
    }
}

#[test]
fn without_a_folder_the_ca_is_in_the_state_folder() {
    let bench = Bench::empty();
    let doorward = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.env_clear().env("HOME", bench.path("")).current_dir(bench.path("")).arg("ca").args(arguments);
        command
    };
    let state = bench.path("state").display().to_string();
    let (code, said, error) = outcome(&mut doorward(&["init", "--no-passphrase", "--state", &state]));
    assert_eq!(code, Some(0), "{error}");
    assert!(said.contains("state/ca") && bench.path("state/ca/ca.pem").exists(), "{said}");
    let mut command = doorward(&["list", "--json"]);
    command.env("DOORWARD_STATE", &state);
    assert_eq!(outcome(&mut command).0, Some(0));
    bench.write("settings", &format!("state = '{state}'\n"));
    assert_eq!(outcome(&mut doorward(&["list", "--config", "settings"])).0, Some(0));
    bench.write("broken", "state = 7 7\n");
    assert_eq!(outcome(&mut doorward(&["list", "--config", "broken"])).0, Some(78));
    assert_eq!(outcome(&mut doorward(&["list", "--config", "broken", "--dir", "state/ca"])).0, Some(0));
}
