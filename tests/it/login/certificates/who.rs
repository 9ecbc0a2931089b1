//! Who the holder of a certificate is: one field, or the mapping file.

use rcgen::{CertificateParams, DnType, SanType};
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use super::super::wire::Request;
use super::{Bench, Setup, Shown};

/// Several names in one certificate, each of somebody else.
fn many_names(parameters: &mut CertificateParams) {
    parameters.distinguished_name.push(DnType::CommonName, "bob");
    parameters.subject_alt_names = vec![
        SanType::DnsName("eve".try_into().unwrap()),
        SanType::Rfc822Name("bob@example.net".try_into().unwrap()),
        SanType::URI("acct:ci@example.net".try_into().unwrap()),
        SanType::OtherName((
            vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3],
            rcgen::OtherNameValue::Utf8String("bob@CORP".into()),
        )),
    ];
}

/// The user that a certificate stands for at a gateway without accounts; the status if it stands for nobody.
fn user(bench: &Bench, shown: &Shown) -> Result<String, u16> {
    bench.whoami(shown).map(|(user, _)| user).map_err(|reply| reply.status)
}

#[test]
fn c5_gd2_one_configured_field_decides_and_the_others_are_ignored() {
    for (field, expected) in [
        ("cn", "bob"),
        ("san-dns", "eve"),
        ("san-email", "bob@example.net"),
        ("san-uri", "ci@example.net"),
        ("upn", "bob@CORP"),
    ] {
        let bench = Bench::of(Setup::usual().without_passwords(), &["--cert-user", field]);
        assert_eq!(user(&bench, &bench.authority.odd(many_names)), Ok(expected.to_owned()), "{field}");
        let bare = bench.authority.odd(|parameters| {
            parameters.distinguished_name.push(DnType::OrganizationName, "bob");
        });
        assert_eq!(user(&bench, &bare), Err(401), "{field}: the field is not there");
    }
}

#[test]
fn c5_a_field_that_is_there_twice_with_two_values_is_refused() {
    // rcgen keeps one common name only, so openssl makes this one.
    let bench = Bench::of(Setup::usual().without_passwords(), &["--cert-user", "san-dns"]);
    let twice = |names: [&str; 2]| {
        bench.authority.odd(|parameters| {
            parameters.subject_alt_names =
                names.map(|name| SanType::DnsName(name.try_into().unwrap())).to_vec();
        })
    };
    assert_eq!(user(&bench, &twice(["bob", "eve"])), Err(401));
    assert_eq!(user(&bench, &twice(["bob", "bob"])), Ok("bob".to_owned()));
    let folder = super::folder();
    let run = |text: &str| {
        let done =
            std::process::Command::new("openssl").args(text.split(' ')).current_dir(folder.path()).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{text}: {}", String::from_utf8_lossy(&done.stderr));
    };
    run(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 1 -subj /CN=Other",
    );
    run(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out csr.pem -subj /CN=bob/CN=eve",
    );
    std::fs::write(folder.path().join("ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    run("x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile ext -out cert.pem");
    let shown = Shown {
        chain: vec![PemObject::from_pem_file(folder.path().join("cert.pem")).unwrap()],
        key: PemObject::from_pem_file(folder.path().join("key.pem")).unwrap(),
    };
    let ca = folder.path().join("ca.pem").display().to_string();
    let bench = Bench::of(Setup::usual().without_passwords(), &["--client-ca", &ca]);
    let said = bench.send(&shown, &Request::get("/version")).is_engine_error(401);
    assert!(said.contains("is there twice"), "{said}");
}

#[test]
fn gd2_the_mapping_file_says_who_machines_are_and_is_followed_when_it_changes() {
    let folder = super::folder();
    let map = folder.path().join("map.toml");
    std::fs::write(&map, "").unwrap();
    let bench = Bench::usual(&["--cert-map", &map.display().to_string()]);
    let deploy = bench.authority.odd(|parameters| {
        parameters.distinguished_name.push(DnType::OrganizationName, "Example, Inc");
        parameters.distinguished_name.push(DnType::CommonName, "deploy");
    });
    let write = |text: &str| {
        let part = folder.path().join("part");
        std::fs::write(&part, text).unwrap();
        std::fs::rename(part, &map).unwrap();
    };
    assert_eq!(user(&bench, &deploy), Err(401), "there is no such user");
    let entry =
        "[[certificate]]\nsubject = 'CN=deploy,O=Example\\, Inc'\nissuer = 'CN=Test CA'\nuser = 'robot'\n";
    write(entry);
    bench.door.output.line_with("client certificates are believed");
    assert_eq!(user(&bench, &deploy), Err(401), "still no such user");
    write(&format!("{entry}groups = ['ci']\nmachine = true\n"));
    bench.await_status(&deploy, 200);
    let reply = bench.send(&deploy, &Request::get("/_doorward/api/v1/whoami")).json();
    assert_eq!((&reply["user"], &reply["groups"]), (&json!("robot"), &json!(["ci"])));
    assert_eq!(user(&bench, &bench.authority.client("bob")), Ok("bob".to_owned()), "others go by the field");
    let stream = bench.open_stream(&bench.client(&deploy));
    write("others = 'refuse'\n");
    stream.await_end();
    bench.await_status(&deploy, 401);
    let said = bench.send(&bench.authority.client("bob"), &Request::get("/version")).is_engine_error(401);
    assert!(said.contains("does not know it"), "{said}");
}

#[test]
fn gd2_entries_that_contradict_each_other_let_nobody_in() {
    let folder = super::folder();
    let map = folder.path().join("map.toml");
    let entries = "[[certificate]]\nsubject = 'CN=deploy'\nuser = 'bob'\nmachine = true\n\
                   [[certificate]]\nsan = 'dns:ci.example'\nuser = 'eve'\nmachine = true\n";
    std::fs::write(&map, entries).unwrap();
    let bench = Bench::usual(&["--cert-map", &map.display().to_string()]);
    let both = bench.authority.odd(|parameters| {
        parameters.distinguished_name.push(DnType::CommonName, "deploy");
        parameters.subject_alt_names = vec![SanType::DnsName("CI.example".try_into().unwrap())];
    });
    let said = bench.send(&both, &Request::get("/version")).is_engine_error(401);
    assert!(said.contains("contradict"), "{said}");
    assert_eq!(user(&bench, &bench.authority.client("deploy")), Ok("bob".to_owned()));
}
