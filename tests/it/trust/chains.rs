//! What a CA may do, and whom it may name.

use doorward::config::{CertField, ClientCertSettings};
use doorward::trust::{ClientTrust, Refusal};

use super::made::{CA, CLIENT, House, said};

/// A root, and a CA in between with these extensions, and bob below it.
fn below(extensions: &str) -> House {
    let house = House::new();
    house.root("ca", "CA", CA);
    house.issue("ca", "mid", "Mid", "1a", extensions);
    house.issue("mid", "bob", "bob", "0a", &format!("{CLIENT}subjectAltName=DNS:bob.lab.example\n"));
    house
}

fn open(settings: &ClientCertSettings, house: &House) -> ClientTrust {
    ClientTrust::open(settings, &house.path("")).map_err(said).unwrap()
}

#[test]
fn i19_what_may_not_issue_certificates_is_no_ca_in_between() {
    for (what, extensions, expected) in [
        ("a CA", CA, Ok(())),
        ("a CA that says nothing of its key", "basicConstraints=critical,CA:TRUE\n", Ok(())),
        ("a CA for clients", &format!("{CA}extendedKeyUsage=clientAuth\n"), Ok(())),
        ("signs lists only", "basicConstraints=critical,CA:TRUE\nkeyUsage=cRLSign\n", Err(Refusal::NotACa)),
        (
            "signs messages only",
            "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature,keyAgreement\n",
            Err(Refusal::NotACa),
        ),
        ("no CA", "basicConstraints=critical,CA:FALSE\nkeyUsage=keyCertSign\n", Err(Refusal::NotACa)),
        ("says nothing", "keyUsage=keyCertSign\n", Err(Refusal::NotACa)),
        ("version 1", "", Err(Refusal::Malformed)),
        ("for servers", &format!("{CA}extendedKeyUsage=serverAuth\n"), Err(Refusal::Usage)),
        ("for mail", &format!("{CA}extendedKeyUsage=emailProtection,codeSigning\n"), Err(Refusal::Usage)),
        (
            "with an unknown critical extension",
            &format!("{CA}1.2.3.4=critical,DER:05:00\n"),
            Err(Refusal::Critical),
        ),
    ] {
        let house = below(extensions);
        let trust = house.trust(&["ca.pem"], &[]).unwrap();
        let outcome = house.user(&trust, &["bob", "mid"]).map(|_| ());
        assert_eq!(outcome, expected, "{what}");
        assert!(house.is_taken_by_openssl(&["ca.pem"], &[], &["bob", "mid"]) || outcome.is_err(), "{what}");
        // The same where a handshake demands a good certificate.
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        assert_eq!(trust.verify(&house.chain(&["bob", "mid"]), now), expected, "{what}");
    }
}

#[test]
fn w11_critical_policies_and_unusual_signatures_have_a_reason_of_their_own() {
    let policies = "certificatePolicies=critical,1.2.3.4\n";
    let house = House::new();
    house.root("ca", "CA", CA);
    house.issue("ca", "bob", "bob", "0a", &format!("{CLIENT}{policies}"));
    let trust = house.trust(&["ca.pem"], &[]).unwrap();
    let refused = house.user(&trust, &["bob"]).unwrap_err();
    assert_eq!(refused, Refusal::Critical);
    assert!(refused.as_str().contains("certificate policies"), "{}", refused.as_str());
    let mid = below(&format!("{CA}{policies}"));
    let trust = mid.trust(&["ca.pem"], &[]).unwrap();
    assert_eq!(mid.user(&trust, &["bob", "mid"]), Err(Refusal::Critical));

    house.write(
        "rsa.cnf",
        format!("[req]\ndistinguished_name=dn\nprompt=no\nx509_extensions=ca\n[dn]\nCN=RSA\n[ca]\n{CA}"),
    );
    let (is_made, said) = house.try_openssl(
        "req -x509 -newkey rsa:2048 -nodes -keyout rsa.key -out rsa.pem -days 30 -config rsa.cnf",
    );
    assert!(is_made, "{said}");
    let trust = house.trust(&["rsa.pem"], &[]).unwrap();
    for (options, expected) in [
        ("-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32", Ok("bob".to_owned())),
        ("-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:20", Err(Refusal::Signature)),
        (
            "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -sigopt rsa_mgf1_md:sha1",
            Err(Refusal::Signature),
        ),
        ("-sha1", Err(Refusal::Signature)),
    ] {
        house.write("ext", CLIENT);
        let (is_made, said) = house.try_openssl(&format!(
            "x509 -req -in bob.csr -CA rsa.pem -CAkey rsa.key -set_serial 0x0b -days 30 -extfile ext {options} -out bob.pem"
        ));
        assert!(is_made, "{said}");
        house.write("req.cnf", "[req]\ndistinguished_name=dn\n[dn]\n");
        assert_eq!(house.user(&trust, &["bob"]), expected, "{options}");
    }
    assert!(Refusal::Signature.as_str().contains("RSA-PSS"));
}

#[test]
fn i19_the_length_that_a_ca_allows_below_itself_counts_for_the_trusted_one_too() {
    let limited = |length: u8| CA.replace("CA:TRUE", &format!("CA:TRUE,pathlen:{length}"));
    let house = House::new();
    for length in 0..=2 {
        house.root("ca", "CA", &limited(length));
        house.issue("ca", "one", "One", "1a", CA);
        house.issue("one", "two", "Two", "1a", CA);
        house.issue("two", "bob", "bob", "0a", CLIENT);
        let trust = house.trust(&["ca.pem"], &[]).unwrap();
        let outcome = house.user(&trust, &["bob", "two", "one"]).map(|_| ());
        assert_eq!(outcome, if length < 2 { Err(Refusal::Depth) } else { Ok(()) }, "{length}");
        assert_eq!(house.is_taken_by_openssl(&["ca.pem"], &[], &["bob", "two", "one"]), outcome.is_ok());
    }
    house.root("ca", "CA", CA);
    house.issue("ca", "one", "One", "1a", &limited(0));
    house.issue("one", "two", "Two", "1a", CA);
    house.issue("two", "bob", "bob", "0a", CLIENT);
    let trust = house.trust(&["ca.pem"], &[]).unwrap();
    assert_eq!(house.user(&trust, &["bob", "two", "one"]), Err(Refusal::Depth));
}

#[test]
fn i19_a_file_of_cas_that_names_what_is_none_is_refused_at_start() {
    let house = House::new();
    for (what, extensions, expected) in [
        ("version 1", "", "is not a CA's"),
        ("without basic constraints", "keyUsage=keyCertSign\n", "is not a CA's"),
        ("no CA", "basicConstraints=CA:FALSE\n", "is not a CA's"),
        ("signs lists only", "basicConstraints=critical,CA:TRUE\nkeyUsage=cRLSign\n", "without keyCertSign"),
        ("for servers", &format!("{CA}extendedKeyUsage=serverAuth\n"), "without clientAuth"),
    ] {
        house.root("ca", "CA", extensions);
        let error = house.trust(&["ca.pem"], &[]).unwrap_err();
        assert!(error.starts_with("--client-ca ") && error.contains(expected), "{what}: {error}");
    }
    for extensions in [&format!("{CA}extendedKeyUsage=anyExtendedKeyUsage\n"), "basicConstraints=CA:TRUE\n"] {
        house.root("ca", "CA", extensions);
        assert!(house.trust(&["ca.pem"], &[]).is_ok(), "{extensions}");
    }
}

#[test]
fn i19_a_clients_key_that_may_not_sign_is_no_clients() {
    let house = House::new();
    house.root("ca", "CA", CA);
    let trust = house.trust(&["ca.pem"], &[]).unwrap();
    for (usage, expected) in [
        ("digitalSignature", Ok("bob".to_owned())),
        ("keyAgreement", Ok("bob".to_owned())),
        ("digitalSignature,keyEncipherment", Ok("bob".to_owned())),
        ("keyEncipherment", Err(Refusal::Usage)),
        ("nonRepudiation", Err(Refusal::Usage)),
    ] {
        house.issue("ca", "bob", "bob", "0a", &format!("{CLIENT}keyUsage=critical,{usage}\n"));
        let outcome = house.user(&trust, &["bob"]);
        assert_eq!(outcome, expected, "{usage}");
        assert_eq!(house.is_taken_by_openssl(&["ca.pem"], &[], &["bob"]), outcome.is_ok(), "{usage}");
    }
}

/// Name constraints of a CA that may issue for `.lab.example` only must not let it name anybody.
#[test]
fn i19_name_constraints_bind_whatever_names_the_user_or_the_chain_is_refused() {
    let dns = format!("{CA}nameConstraints=critical,permitted;DNS:lab.example\n");
    let lax = format!("{CA}nameConstraints=permitted;DNS:lab.example\n");
    let excluded = format!("{CA}nameConstraints=critical,excluded;DNS:prod.example\n");
    let mail = format!("{CA}nameConstraints=critical,permitted;email:lab.example\n");
    let ip = format!("{CA}nameConstraints=critical,permitted;IP:10.0.0.0/255.0.0.0\n");
    let names = "subjectAltName=DNS:bob.lab.example,URI:acct:bob,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:bob\n";
    for (what, extensions, open_to) in [
        ("none", CA, &["cn", "dns", "uri", "upn"][..]),
        ("of DNS names", &dns, &["dns"]),
        ("not critical", &lax, &["dns"]),
        ("that exclude", &excluded, &["dns"]),
        ("of mail addresses", &mail, &[]),
        ("of addresses", &ip, &[]),
    ] {
        let house = House::new();
        house.root("ca", "CA", CA);
        house.root("bound", "Bound", extensions);
        house.issue("ca", "mid", "Mid", "1a", extensions);
        house.issue("mid", "bob", "bob", "0a", &format!("{CLIENT}{names}"));
        house.issue("bound", "amy", "bob", "0a", &format!("{CLIENT}{names}"));
        for (name, field) in [
            ("cn", CertField::CommonName),
            ("dns", CertField::Dns),
            ("uri", CertField::Uri),
            ("upn", CertField::Upn),
        ] {
            for (ca, chain) in [("ca.pem", &["bob", "mid"][..]), ("bound.pem", &["amy"])] {
                let settings = ClientCertSettings { user_field: field, ..house.settings(&[ca], &[]) };
                let trust = open(&settings, &house);
                let outcome = house.user(&trust, chain);
                let is_open = open_to.contains(&name);
                assert_eq!(outcome.is_ok(), is_open, "{what}, {name}, {ca}: {outcome:?}");
                assert!(is_open || outcome == Err(Refusal::Constrained), "{what}, {name}, {ca}: {outcome:?}");
                let warned = trust.warnings().join("\n");
                assert_eq!(warned.contains("name constraints"), ca == "bound.pem" && !is_open, "{warned}");
            }
        }
    }
}

#[test]
fn i19_a_dns_name_outside_the_constraints_is_refused_as_such() {
    let house = House::new();
    house.root("ca", "CA", CA);
    house.issue(
        "ca",
        "mid",
        "Mid",
        "1a",
        &format!("{CA}nameConstraints=critical,permitted;DNS:lab.example\n"),
    );
    house.issue("mid", "root", "root", "0a", &format!("{CLIENT}subjectAltName=DNS:root.prod.example\n"));
    let settings = ClientCertSettings { user_field: CertField::Dns, ..house.settings(&["ca.pem"], &[]) };
    assert_eq!(house.user(&open(&settings, &house), &["root", "mid"]), Err(Refusal::Constrained));
    assert!(!house.is_taken_by_openssl(&["ca.pem"], &[], &["root", "mid"]));
}

#[test]
fn i19_an_entry_of_the_mapping_file_counts_below_name_constraints_only_by_what_they_bind_or_by_the_key() {
    let house = below(&format!("{CA}nameConstraints=critical,permitted;DNS:lab.example\n"));
    let key = doorward::trust::CertificateFacts::of(house.chain(&["bob"]).leaf()).unwrap().public_key;
    let key = data_encoding::HEXLOWER.encode(&key);
    for (entry, is_open) in [
        ("subject = 'CN=bob'".to_owned(), false),
        ("issuer = 'CN=Mid'\nserial = '0a'".to_owned(), false),
        ("san = 'dns:bob.lab.example'".to_owned(), true),
        ("subject = 'CN=bob'\nsan = 'dns:bob.lab.example'".to_owned(), true),
        (format!("spki-sha256 = '{key}'"), true),
    ] {
        house.write("map.toml", format!("others = 'refuse'\n[[certificate]]\n{entry}\nuser = 'deploy'\n"));
        let settings =
            ClientCertSettings { map: Some(house.path("map.toml")), ..house.settings(&["ca.pem"], &[]) };
        let outcome = house.user(&open(&settings, &house), &["bob", "mid"]);
        let expected = if is_open { Ok("deploy".to_owned()) } else { Err(Refusal::Constrained) };
        assert_eq!(outcome, expected, "{entry}");
    }
}
