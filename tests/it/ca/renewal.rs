//! `doorward ca renew`: which folder, which key, which certificate.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use nix::unistd::{User, geteuid};

use super::{Bench, lasts};

fn key_of(bench: &Bench, certificate: &str) -> String {
    bench.openssl(&format!("x509 -in {certificate} -noout -pubkey"))
}

#[test]
fn renewing_makes_a_new_key_unless_the_old_one_shall_stay() {
    let bench = Bench::plain();
    bench.ok(&["client", "bob", "--days", "3"]);
    let old = key_of(&bench, "bob/cert.pem");
    bench.ok(&["renew", "bob"]);
    let new = key_of(&bench, "bob/cert.pem");
    assert_ne!(old, new);
    bench.ok(&["renew", "bob", "--same-key"]);
    assert_eq!(key_of(&bench, "bob/cert.pem"), new);
    assert_eq!(bench.openssl("pkey -in bob/key.pem -pubout"), new);
    bench.openssl("verify -CAfile ca/ca.pem -purpose sslclient bob/cert.pem");
    let all = bench.certificates();
    for (one, days) in all.iter().zip([3, 90, 90]) {
        lasts(days, one);
    }
    assert!(all.iter().all(|one| one["state"] == "valid"));
}

#[test]
fn a_server_keeps_its_names_and_the_old_certificate_can_go_at_once() {
    let bench = Bench::plain();
    bench.ok(&["server", "--name", "gate.example,other.example", "--ip", "10.0.0.1", "--out", "tls"]);
    let (_, said) = bench.ok(&["renew", "gate.example", "--out", "tls", "--revoke-old"]);
    assert!(said.contains("revoked the old one"), "{said}");
    let text = bench.openssl("x509 -in tls/cert.pem -noout -text");
    assert!(text.contains("DNS:gate.example, DNS:other.example, IP Address:10.0.0.1"), "{text}");
    let all = bench.certificates();
    assert_eq!((&all[0]["state"], &all[0]["reason"]), (&"revoked".into(), &"superseded".into()));
    assert_eq!(all[1]["state"], "valid");
    bench.openssl("verify -crl_check -CAfile ca/ca.pem -CRLfile ca/crl.pem tls/cert.pem");
    bench.fails(2, &["renew", "gate.example", "--out", "tls", "--days", "400"]);
    bench.fails(2, &["renew", "gate.example", "--out", "tls", "--p12"]);
}

#[test]
fn a_server_goes_on_with_its_key_unless_it_shall_have_a_new_one() {
    let bench = Bench::plain();
    bench.ok(&["server", "--name", "gate.example"]);
    let old = key_of(&bench, "gate.example/cert.pem");
    let (_, said) = bench.ok(&["renew", "gate.example"]);
    assert!(!said.contains("warning"), "{said}");
    assert_eq!(key_of(&bench, "gate.example/server.pem"), old);
    assert_eq!(bench.openssl("pkey -in gate.example/server.pem -pubout"), old);
    // Whoever remembers the key has to be told.
    for new in [&["--new-key"][..], &["--rsa"], &["--out", "elsewhere"]] {
        let (_, said) = bench.ok(&[&["renew", "gate.example"], new].concat());
        assert!(said.contains("the key is new") && said.contains("--ca"), "{said}");
    }
    assert_ne!(key_of(&bench, "gate.example/cert.pem"), old);
    assert_ne!(key_of(&bench, "elsewhere/cert.pem"), old);
    bench.fails(2, &["renew", "gate.example", "--new-key", "--same-key"]);
}

#[test]
fn a_revoked_servers_key_is_not_used_again() {
    let bench = Bench::plain();
    bench.ok(&["server", "--name", "gate.example"]);
    let old = key_of(&bench, "gate.example/cert.pem");
    bench.ok(&["server", "--name", "gate.example", "--out", "second"]);
    let serial = bench.certificates()[0]["serial"].as_str().unwrap().to_owned();
    bench.ok(&["revoke", &serial]);
    let (_, said) = bench.ok(&["renew", "gate.example"]);
    assert!(said.contains("the key is new"), "{said}");
    assert_ne!(key_of(&bench, "gate.example/cert.pem"), old);
}

#[test]
fn renewed_files_keep_their_readers() {
    let bench = Bench::plain();
    bench.ok(&["server", "--name", "gate.example", "--out", "tls"]);
    let group = nix::unistd::getegid().as_raw() + u32::from(geteuid().is_root());
    for (file, mode) in [("tls/server.pem", 0o640), ("tls/key.pem", 0o600)] {
        chown(bench.path(file), None, Some(group)).unwrap();
        std::fs::set_permissions(bench.path(file), PermissionsExt::from_mode(mode)).unwrap();
    }
    let before = bench.text("tls/server.pem");
    bench.ok(&["renew", "gate.example", "--out", "tls"]);
    assert_ne!(bench.text("tls/server.pem"), before);
    for (file, mode) in [("tls/server.pem", 0o640), ("tls/key.pem", 0o600), ("tls/cert.pem", 0o644)] {
        assert_eq!(bench.mode(file), mode, "{file}");
    }
    assert_eq!(std::fs::metadata(bench.path("tls/server.pem")).unwrap().gid(), group);
}

#[test]
fn what_root_makes_for_a_server_can_be_renewed_under_a_gateway_that_has_left_root() {
    let Some(gateway) = User::from_name("nobody").unwrap().filter(|_| geteuid().is_root()) else {
        return;
    };
    let bench = Bench::plain();
    bench.write("settings.toml", "user = \"nobody\"\n");
    let config = ["--config", "settings.toml"];
    bench.ok(&[&["server", "--name", "gate.example", "--out", "above/tls"], &config[..]].concat());
    let of = |name: &str| {
        let found = std::fs::metadata(bench.path(name)).unwrap();
        (found.uid(), found.gid(), found.mode() & 0o777)
    };
    let group = gateway.gid.as_raw();
    let expected = |mode| (0, group, mode);
    for _ in 0..2 {
        assert_eq!(of("above/tls"), expected(0o750));
        assert_eq!(of("above/tls/server.pem"), expected(0o640));
        assert_eq!(of("above/tls/key.pem"), (0, 0, 0o600));
        bench.ok(&[&["renew", "gate.example", "--out", "above/tls"], &config[..]].concat());
    }
    assert_eq!(of("above").2 & 0o005, 0o005, "the way to it is open");
    // A folder that was there is its owner's business, and people's keys are theirs alone.
    std::fs::create_dir(bench.path("there")).unwrap();
    std::fs::set_permissions(bench.path("there"), PermissionsExt::from_mode(0o700)).unwrap();
    bench.ok(&[&["server", "--name", "b.example", "--out", "there"], &config[..]].concat());
    assert_eq!(of("there"), (0, 0, 0o700));
    bench.ok(&[&["client", "bob"], &config[..]].concat());
    assert_eq!((of("bob"), of("bob/bob.pem")), ((0, 0, 0o700), (0, 0, 0o600)));
}

#[test]
fn nothing_but_the_same_names_certificate_is_replaced() {
    let bench = Bench::plain();
    bench.ok(&["client", "bob"]);
    bench.ok(&["client", "eve"]);
    let eve = bench.text("eve/key.pem");
    let said = bench.fails(1, &["renew", "bob", "--out", "eve"]);
    assert!(said.contains("eve/cert.pem is no certificate of this CA for bob"), "{said}");
    assert_eq!(bench.text("eve/key.pem"), eve);
    std::fs::remove_file(bench.path("eve/cert.pem")).unwrap();
    bench.fails(1, &["renew", "bob", "--out", "eve"]);
    assert_eq!(bench.text("eve/key.pem"), eve);
    assert_eq!(bench.certificates().len(), 2);
    // A folder that is new is as good as the old one, but for the key.
    bench.ok(&["renew", "bob", "--out", "new"]);
    let said = bench.fails(1, &["renew", "bob", "--out", "newer", "--same-key"]);
    assert!(said.contains("newer/key.pem is not there; write --new-key"), "{said}");
}

#[test]
fn what_was_revoked_comes_not_back_by_renewing() {
    let bench = Bench::plain();
    bench.ok(&["client", "bob"]);
    let serial = bench.certificates()[0]["serial"].as_str().unwrap().to_owned();
    bench.ok(&["client", "bob", "--out", "second"]);
    bench.ok(&["revoke", &serial]);
    assert!(bench.fails(1, &["renew", &serial]).contains("is revoked already"));
    // The other one of the name may be renewed, but not with the revoked one's key.
    let said = bench.fails(1, &["renew", "bob", "--same-key"]);
    assert!(said.contains("its key shall not be used again"), "{said}");
    bench.ok(&["renew", "bob"]);
    bench.ok(&["revoke", "bob"]);
    assert!(bench.fails(1, &["renew", "bob"]).contains("no certificate \"bob\""));
}

#[test]
fn an_old_pkcs12_file_is_renewed_too_or_warned_of() {
    let bench = Bench::plain();
    bench.ok(&["client", "bob", "--p12"]);
    let old = std::fs::read(bench.path("bob/bob.p12")).unwrap();
    let (_, said) = bench.ok(&["renew", "bob"]);
    assert!(said.contains("still holds the old certificate"), "{said}");
    assert_eq!(std::fs::read(bench.path("bob/bob.p12")).unwrap(), old);
    let (password, said) = bench.ok(&["renew", "bob", "--p12"]);
    assert!(!said.contains("old certificate"), "{said}");
    bench.write("p12pw", &password);
    bench.openssl("pkcs12 -in bob/bob.p12 -noenc -passin file:p12pw -clcerts -nokeys -out from-p12.pem");
    assert_eq!(key_of(&bench, "from-p12.pem"), key_of(&bench, "bob/cert.pem"));
}
