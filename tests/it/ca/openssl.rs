//! What openssl makes of the files.

use super::{Bench, PASSPHRASE, lasts, outcome};

#[test]
fn gd1_openssl_takes_each_certificate_for_its_purpose_and_for_no_other() {
    for rsa in [&[][..], &["--rsa"][..]] {
        let bench = Bench::empty();
        bench.ok(&[&["init", "--passphrase-file", "pp"], rsa].concat());
        let key = ["--passphrase-file", "pp"];
        bench
            .ok(&[&["server", "--name", "gate.example,*.gate.example", "--ip", "::1"], &key[..], rsa]
                .concat());
        bench.ok(&[&["client", "jürgen@REALM", "--out", "client"], &key[..], rsa].concat());
        let verify = "verify -x509_strict -CAfile ca/ca.pem -purpose";
        bench.openssl(&format!("{verify} sslserver -verify_hostname a.gate.example gate.example/cert.pem"));
        bench.openssl(&format!("{verify} sslserver -verify_ip ::1 gate.example/cert.pem"));
        bench.openssl(&format!("{verify} sslclient client/cert.pem"));
        bench.openssl_refuses(&format!(
            "{verify} sslserver -verify_hostname evil.example gate.example/cert.pem"
        ));
        bench.openssl_refuses(&format!("{verify} sslclient gate.example/cert.pem"));
        bench.openssl_refuses(&format!("{verify} sslserver client/cert.pem"));
        let subject =
            bench.openssl("x509 -in client/cert.pem -noout -subject -nameopt utf8,sname,sep_comma_plus");
        assert_eq!(subject.trim(), "subject=CN=jürgen@REALM");
        let kind = if rsa.is_empty() { "NIST CURVE: P-256" } else { "Public-Key: (3072 bit)" };
        for file in ["ca/ca.pem", "client/cert.pem", "gate.example/cert.pem"] {
            let text = bench.openssl(&format!("x509 -in {file} -noout -text"));
            assert!(text.contains(kind) && text.contains("Subject Key Identifier"), "{text}");
        }
    }
}

#[test]
fn the_ca_says_what_it_may_sign() {
    let bench = Bench::new();
    let text = bench.openssl("x509 -in ca/ca.pem -noout -text");
    for said in [
        "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0",
        "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign",
        "Issuer: CN = Test CA",
        "Subject: CN = Test CA",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
    bench.ok(&["client", "bob", "--passphrase-file", "pp"]);
    let text = bench.openssl("x509 -in bob/cert.pem -noout -text");
    for said in [
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Extended Key Usage: \n                TLS Web Client Authentication\n",
        "X509v3 Authority Key Identifier",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
    // A client cannot make further certificates with its key.
    bench.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out evil.key");
    bench.openssl("req -new -key evil.key -subj /CN=root -out evil.csr");
    bench.openssl("x509 -req -in evil.csr -CA bob/cert.pem -CAkey bob/key.pem -days 1 -out evil.pem");
    bench.openssl_refuses("verify -CAfile ca/ca.pem -untrusted bob/cert.pem -purpose sslclient evil.pem");
}

#[test]
fn life_times_are_as_asked_for_and_never_beyond_the_cas() {
    let bench = Bench::empty();
    bench.ok(&["init", "--days", "100", "--no-passphrase"]);
    let (_, warned) = bench.ok(&["server", "--name", "a"]);
    assert!(warned.contains("warning: it ends with the CA, sooner than asked for"), "{warned}");
    bench.ok(&["client", "bob"]);
    bench.ok(&["client", "eve", "--days", "2"]);
    let counts = |file: &str, days: u32| {
        bench.try_openssl(&format!("x509 -in {file} -noout -checkend {}", days * 86_400)).0
    };
    for (file, days) in [("ca/ca.pem", 100), ("a/cert.pem", 100), ("bob/cert.pem", 90), ("eve/cert.pem", 2)] {
        assert!(counts(file, days - 1) && !counts(file, days + 1), "{file}");
    }
    for days in ["0", "826", "x"] {
        bench.fails(2, &["client", "amy", "--days", days]);
    }
    bench.fails(2, &["server", "--name", "b", "--days", "398"]);
    assert!(!bench.path("amy").exists() && !bench.path("b").exists());
}

#[test]
fn the_ca_key_is_encrypted_at_rest_and_openssl_opens_it_with_the_passphrase() {
    let bench = Bench::new();
    assert!(bench.text("ca/ca-key.pem").starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let form = bench.openssl("asn1parse -in ca/ca-key.pem");
    assert!(form.contains(":PBES2") && form.contains(":scrypt") && form.contains(":aes-256-cbc"), "{form}");
    bench.openssl("pkey -in ca/ca-key.pem -passin file:pp -pubout -out key.pub");
    bench.openssl("x509 -in ca/ca.pem -noout -pubkey -out ca.pub");
    assert_eq!(bench.text("key.pub"), bench.text("ca.pub"));
    bench.openssl_refuses("pkey -in ca/ca-key.pem -passin pass:wrong -noout");
}

#[test]
fn gd3_a_pkcs12_file_opens_with_its_password_and_with_no_other() {
    let bench = Bench::plain();
    let (printed, said) = bench.ok(&["client", "bob", "--p12"]);
    assert_eq!(printed.trim().len(), 23, "standard output is the password alone");
    assert!(said.contains("shown this once") && !said.contains(printed.trim()), "{said}");
    bench.write("p12pw", &printed);
    let show = "pkcs12 -info -in bob/bob.p12 -noenc -passin";
    let shown = bench.openssl(&format!("{show} file:p12pw"));
    for said in [
        "PBES2, PBKDF2, AES-256-CBC",
        "MAC: sha256",
        "subject=CN = bob",
        "subject=CN = Test CA",
        "friendlyName: bob",
    ] {
        assert!(shown.contains(said), "{said} in {shown}");
    }
    assert!(shown.contains("BEGIN PRIVATE KEY"), "{shown}");
    for wrong in ["pass:wrong", "pass:"] {
        bench.openssl_refuses(&format!("{show} {wrong}"));
    }
    // The key in it is the one of key.pem.
    bench.openssl("pkcs12 -in bob/bob.p12 -nocerts -noenc -passin file:p12pw -out from-p12.pem");
    bench.openssl("pkey -in from-p12.pem -pubout -out one.pub");
    bench.openssl("pkey -in bob/key.pem -pubout -out other.pub");
    assert_eq!(bench.text("one.pub"), bench.text("other.pub"));
    // A password of one's own.
    bench.write("mine", "größer als nichts\n");
    let (printed, _) = bench.ok(&["client", "eve", "--p12", "--p12-password-file", "mine"]);
    assert!(printed.starts_with("made a certificate for eve"), "{printed}");
    bench.openssl("pkcs12 -info -in eve/eve.p12 -noenc -passin file:mine");
}

#[test]
fn c2_a_revoked_certificate_is_in_the_list_at_once_and_openssl_refuses_it() {
    let bench = Bench::new();
    let key = ["--passphrase-file", "pp"];
    for name in ["bob", "eve"] {
        bench.ok(&[&["client", name], &key[..]].concat());
    }
    let check = "verify -x509_strict -crl_check -CAfile ca/ca.pem -CRLfile ca/crl.pem";
    bench.openssl(&format!("{check} bob/cert.pem"));
    bench.ok(&[&["revoke", "bob", "--reason", "key-compromise"], &key[..]].concat());
    let said = bench.openssl_refuses(&format!("{check} bob/cert.pem"));
    assert!(said.contains("certificate revoked"), "{said}");
    bench.openssl(&format!("{check} eve/cert.pem"));
    let list = bench.openssl("crl -in ca/crl.pem -noout -text -CAfile ca/ca.pem");
    let serial = bench.certificates()[0]["serial"].as_str().unwrap().to_uppercase();
    for said in
        ["verify OK", "Key Compromise", &format!("Serial Number: {serial}"), "Authority Key Identifier"]
    {
        assert!(list.contains(said), "{said} in {list}");
    }
    assert_eq!(list.matches("Serial Number").count(), 1);
}

#[test]
fn the_number_of_the_revocation_list_only_grows() {
    let bench = Bench::plain();
    let number = || {
        let shown = bench.openssl("crl -in ca/crl.pem -noout -crlnumber");
        u64::from_str_radix(shown.trim().strip_prefix("crlNumber=0x").unwrap(), 16).unwrap()
    };
    let first = number();
    bench.ok(&["client", "bob"]);
    bench.ok(&["revoke", "bob"]);
    assert_eq!(number(), first + 1);
    let (said, _) = bench.ok(&["crl", "--days", "7"]);
    assert!(said.starts_with(&format!("made revocation list {}, valid until ", first + 2)), "{said}");
    assert_eq!(number(), first + 2);
    lasts(7, &bench.listed()["crl"]);
    // The days stay until others are given, and what was revoked stays revoked.
    bench.ok(&["crl"]);
    lasts(7, &bench.listed()["crl"]);
    assert!(bench.openssl("crl -in ca/crl.pem -noout -text").contains("Serial Number"));
}

#[test]
fn a_concatenated_file_holds_certificate_ca_and_key_in_this_order() {
    let bench = Bench::plain();
    bench.ok(&["client", "bob"]);
    let [leaf, ca, key] = ["bob/cert.pem", "bob/ca.pem", "bob/key.pem"].map(|name| bench.text(name));
    assert_eq!(bench.text("bob/bob.pem"), format!("{leaf}{ca}{key}"));
    assert_eq!(ca, bench.text("ca/ca.pem"));
    assert!(!bench.text("bob/bob.pem").contains(PASSPHRASE));
}

/// NSS is what Firefox and, on Linux, Chromium keep certificates in.
#[test]
fn gd3_nss_imports_the_pkcs12_file_and_takes_the_certificate_for_a_clients() {
    let bench = Bench::plain();
    bench.ok(&["client", "bob", "--p12", "--p12-password-file", "pp"]);
    std::fs::create_dir(bench.path("nss")).unwrap();
    let run = |program: &str, arguments: &str| {
        let mut command = std::process::Command::new(program);
        command.args(["-d", "sql:nss"]).args(arguments.split(' ')).current_dir(bench.path(""));
        outcome(&mut command)
    };
    let good = |program: &str, arguments: &str| {
        let (code, stdout, stderr) = run(program, arguments);
        assert_eq!(code, Some(0), "{program} {arguments}: {stdout}{stderr}");
        stdout
    };
    good("certutil", "-N --empty-password");
    good("pk12util", "-i bob/bob.p12 -w pp");
    good("certutil", "-A -n test-ca -t T,, -i ca/ca.pem");
    let listed = good("certutil", "-L");
    // "u": its private key is there too.
    assert!(listed.lines().any(|line| line.contains("bob") && line.contains("u,u,u")), "{listed}");
    good("certutil", "-V -e -u C -n CN=bob");
    assert_ne!(run("certutil", "-V -e -u V -n CN=bob").0, Some(0), "it is no server's");
}
