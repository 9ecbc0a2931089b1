//! The library under the command: times, crashes, several at once, and what a gateway asks.

use std::path::Path;
use std::sync::Barrier;

use doorward::ca::{
    Algorithm, Authority, CaError, CaFolder, LeafKey, NewCa, PublicKeyRequest, Reason, Revocations, State,
    Subject,
};
use rcgen::{CertificateParams, DnType, KeyPair};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Bench, password, user};

const DAY: i64 = 24 * 3600;
const NOW: i64 = 1_800_000_000;

fn make(path: &Path) -> Authority {
    let new = NewCa { name: None, days: None, algorithm: Algorithm::P256, group: None };
    Authority::create(path, &new, None, NOW).unwrap()
}

fn client(authority: &Authority, name: &str, now: i64) -> doorward::ca::Issued {
    let key = LeafKey::generate(Algorithm::P256).unwrap();
    authority.issue(&Subject::client(&user(name)).unwrap(), &key, None, now).unwrap()
}

fn open(path: &Path) -> Authority {
    Authority::unlock(CaFolder::open(path).unwrap(), None).unwrap()
}

#[test]
fn of_many_commands_at_once_none_is_lost() {
    const EACH: usize = 8;
    let bench = Bench::plain();
    let path = bench.path("ca");
    let start = Barrier::new(4);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (path, start) = (&path, &start);
            scope.spawn(move || {
                let authority = open(path);
                start.wait();
                for at in 0..EACH {
                    let issued = client(&authority, &format!("user-{thread}-{at}"), NOW);
                    if at % 2 == 0 {
                        authority
                            .revoke(&[issued.record.serial.to_string()], Reason::default(), NOW)
                            .unwrap();
                    }
                }
            });
        }
    });
    let folder = CaFolder::open(&path).unwrap();
    let index = folder.index().unwrap();
    assert_eq!(index.records().len(), 4 * EACH);
    let revoked = index.records().iter().filter(|one| one.state(NOW) == State::Revoked).count();
    assert_eq!(revoked, 2 * EACH);
    let list = bench.openssl("crl -in ca/crl.pem -noout -text");
    assert_eq!(list.matches("Serial Number").count(), 2 * EACH);
    assert_eq!(folder.crl_number_on_disk(), Some(index.crl_number()));
}

#[test]
fn processes_wait_for_each_other() {
    let bench = Bench::plain();
    let children: Vec<_> = (0..6)
        .map(|at| {
            bench.ca(&["client", &format!("user-{at}")]).stdout(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(bench.certificates().len(), 6);
}

#[test]
fn a_crash_between_index_and_list_is_put_right_by_the_next_command() {
    let bench = Bench::plain();
    bench.ok(&["client", "bob"]);
    let stale = bench.text("ca/crl.pem");
    bench.ok(&["revoke", "bob"]);
    // As if the power had failed after the index and before the list.
    std::fs::write(bench.path("ca/crl.pem"), &stale).unwrap();
    assert_eq!(bench.listed()["crl"]["current"], false);
    let (_, said) = bench.ok(&["list"]);
    assert!(said.contains("crl.pem does not show the last change; run: doorward ca crl"), "{said}");
    // A gateway that asks the index knows already.
    let folder = CaFolder::open(&bench.path("ca")).unwrap();
    let serial = folder.index().unwrap().records()[0].serial;
    assert!(!Revocations::load(&folder).unwrap().allows(serial.as_bytes()));
    bench.ok(&["client", "eve"]);
    assert_eq!(bench.listed()["crl"]["current"], true);
    bench.openssl_refuses("verify -crl_check -CAfile ca/ca.pem -CRLfile ca/crl.pem bob/cert.pem");
    std::fs::remove_file(bench.path("ca/crl.pem")).unwrap();
    bench.ok(&["crl"]);
    bench.openssl("crl -in ca/crl.pem -noout -CAfile ca/ca.pem");
}

#[test]
fn without_the_passphrase_a_certificate_can_still_be_revoked_in_the_index() {
    let bench = Bench::new();
    bench.ok(&["client", "bob", "--passphrase-file", "pp"]);
    bench.fails(2, &["revoke", "bob"]);
    let (said, warned) = bench.ok(&["revoke", "bob", "--no-crl", "--reason", "key-compromise"]);
    assert!(said.starts_with("revoked bob (") && warned.contains("doorward ca crl"), "{said}{warned}");
    let folder = CaFolder::open(&bench.path("ca")).unwrap();
    let serial = folder.index().unwrap().records()[0].serial;
    assert!(!Revocations::load(&folder).unwrap().allows(serial.as_bytes()));
    assert_eq!(bench.listed()["crl"]["current"], false);
    // The next command with the passphrase brings it into the list.
    bench.ok(&["client", "eve", "--passphrase-file", "pp"]);
    assert_eq!(bench.listed()["crl"]["current"], true);
    bench.openssl_refuses("verify -crl_check -CAfile ca/ca.pem -CRLfile ca/crl.pem bob/cert.pem");
}

#[test]
fn a_broken_index_stops_everything() {
    let bench = Bench::plain();
    bench.ok(&["client", "bob"]);
    let index = bench.text("ca/index");
    std::fs::write(bench.path("ca/index"), &index[..index.len() - 9]).unwrap();
    for command in [&["list"][..], &["revoke", "bob"], &["crl"], &["client", "eve"]] {
        let said = bench.fails(1, command);
        assert!(said.contains("ca/index:2: "), "{said}");
    }
    assert!(Revocations::load(&CaFolder::open(&bench.path("ca")).unwrap()).is_err());
}

#[test]
fn a_revocation_list_is_made_anew_once_half_of_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let authority = make(&folder.path().join("ca"));
    let number = || authority.folder().crl_number_on_disk().unwrap();
    client(&authority, "bob", NOW + 89 * DAY);
    assert_eq!(number(), 1);
    client(&authority, "bob", NOW + 91 * DAY);
    assert_eq!(number(), 2);
    assert_eq!(authority.folder().index().unwrap().crl_expires(), NOW + (91 + 180) * DAY);
}

#[test]
fn nothing_outlives_the_ca() {
    let folder = tempfile::tempdir().unwrap();
    let authority = make(&folder.path().join("ca"));
    let end = authority.folder().expires();
    assert_eq!(end, NOW + 3650 * DAY);
    let late = client(&authority, "bob", end - DAY);
    assert!(late.shortened && late.record.expires == end);
    let key = LeafKey::generate(Algorithm::P256).unwrap();
    let bob = Subject::client(&user("bob")).unwrap();
    assert!(matches!(authority.issue(&bob, &key, None, end), Err(CaError::Expired(_))));
}

#[test]
fn of_a_request_only_the_key_counts() {
    let folder = tempfile::tempdir().unwrap();
    let authority = make(&folder.path().join("ca"));
    let key = KeyPair::generate().unwrap();
    let mut wishes = CertificateParams::new(["evil.example".to_owned()]).unwrap();
    wishes.distinguished_name.push(DnType::CommonName, "root");
    wishes.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = wishes.serialize_request(&key).unwrap().pem().unwrap();
    let request = PublicKeyRequest::from_pem(&pem).unwrap();
    let bob = Subject::client(&user("bob")).unwrap();
    let issued = authority.issue_for(&bob, &request, NOW + 3600, NOW).unwrap();
    let (_, certificate) = X509Certificate::from_der(&issued.der).unwrap();
    assert_eq!(certificate.subject().to_string(), "CN=bob");
    assert!(!certificate.is_ca() && certificate.subject_alternative_name().unwrap().is_none());
    assert_eq!(certificate.validity().not_after.timestamp(), NOW + 3600);
    assert_eq!(certificate.public_key().raw, rcgen::PublicKeyData::subject_public_key_info(&key));
    assert!(authority.folder().index().unwrap().records()[0].serial == issued.record.serial);
    for expires in [NOW, NOW - 1, NOW + 826 * DAY] {
        assert!(matches!(authority.issue_for(&bob, &request, expires, NOW), Err(CaError::Request(_))));
    }
}

#[test]
fn weak_and_foreign_requests_are_refused() {
    let bench = Bench::empty();
    let request = |key: &str| {
        bench.openssl(&format!("genpkey {key} -out k.pem"));
        bench.openssl("req -new -key k.pem -subj /CN=x -out k.csr");
        PublicKeyRequest::from_pem(&bench.text("k.csr")).map(drop).map_err(|error| error.to_string())
    };
    for good in [
        "-algorithm RSA -pkeyopt rsa_keygen_bits:2048",
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-384",
        "-algorithm ED25519",
    ] {
        assert_eq!(request(good), Ok(()), "{good}");
    }
    assert!(request("-algorithm RSA -pkeyopt rsa_keygen_bits:1024").is_err());
    assert!(request("-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1").is_err());
}

#[test]
fn only_what_was_issued_here_and_not_revoked_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let authority = make(&folder.path().join("ca"));
    let [one, two] = ["bob", "eve"].map(|name| client(&authority, name, NOW).record.serial);
    authority.revoke(&["bob"], Reason::KeyCompromise, NOW).unwrap();
    let known = Revocations::load(authority.folder()).unwrap();
    assert!(!known.allows(one.as_bytes()) && known.allows(two.as_bytes()));
    assert!(!known.allows(&[1; 16]) && !known.allows(&[]) && !known.allows(&two.as_bytes()[1..]));
}

#[test]
fn a_thousand_certificates_and_one_revoked_are_told_apart() {
    let bench = Bench::plain();
    let authority = open(&bench.path("ca"));
    let first = client(&authority, "bob", NOW).record;
    // Records alone: signing is not the point here.
    let line = bench.text("ca/index").lines().last().unwrap().to_owned();
    let mut index = bench.text("ca/index");
    for at in 0..999_u32 {
        let serial = format!("{:08x}{}", 0x4000_0000 + at, &first.serial.to_string()[8..]);
        index += &line.replace(&first.serial.to_string(), &serial).replace("bob", &format!("user-{at}"));
        index.push('\n');
    }
    std::fs::write(bench.path("ca/index"), index).unwrap();
    authority.revoke(&["user-500"], Reason::default(), NOW).unwrap();
    let records = authority.folder().index().unwrap().records().to_vec();
    assert_eq!(records.len(), 1000);
    let known = Revocations::load(authority.folder()).unwrap();
    for record in records {
        assert_eq!(known.allows(record.serial.as_bytes()), record.name != "user-500");
    }
}

#[test]
fn an_encrypted_ca_is_unlocked_with_its_passphrase_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca");
    let new = NewCa { name: Some("x".into()), days: None, algorithm: Algorithm::P256, group: None };
    Authority::create(&path, &new, Some(&password("one horse")), NOW).unwrap();
    let unlock = |text: Option<&str>| {
        let passphrase = text.map(password);
        Authority::unlock(CaFolder::open(&path).unwrap(), passphrase.as_ref()).map(drop)
    };
    assert!(CaFolder::open(&path).unwrap().is_encrypted().unwrap());
    assert!(unlock(Some("one horse")).is_ok());
    assert!(matches!(unlock(Some("two horses")), Err(CaError::PassphraseWrong)));
    assert!(matches!(unlock(None), Err(CaError::PassphraseNeeded)));
}
