//! Files that cannot be used say why, and what the mapping file fits.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

use super::{CertificateFacts, ClientTrust, Refusal, TrustError};
use crate::config::{CertField, ClientCa, ClientCertSettings};
use crate::domain::ClientCertificate;

fn settings(folder: &Path) -> ClientCertSettings {
    ClientCertSettings::of(vec![ClientCa::File(folder.join("ca.pem"))])
}

fn authority() -> (String, Issuer<'static, KeyPair>) {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "CA");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = parameters.self_signed(&key).unwrap().pem();
    (pem, Issuer::new(parameters, key))
}

fn client(
    issuer: &Issuer<'static, KeyPair>,
    change: impl FnOnce(&mut CertificateParams),
) -> ClientCertificate {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut parameters);
    let der = parameters.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone();
    ClientCertificate::new(vec![der]).unwrap()
}

/// A folder with a CA in `ca.pem`.
fn folder() -> (TempDir, Issuer<'static, KeyPair>) {
    let folder = tempfile::tempdir().unwrap();
    let (pem, issuer) = authority();
    std::fs::write(folder.path().join("ca.pem"), pem).unwrap();
    (folder, issuer)
}

fn said(error: TrustError) -> String {
    format!("--{} {:#}", error.option(), anyhow::Error::new(error))
}

#[test]
fn a_file_of_cas_that_cannot_be_used_is_named_with_what_is_wrong() {
    let (folder, issuer) = folder();
    let path = folder.path().join("ca.pem");
    let leaf = client(&issuer, |parameters| parameters.distinguished_name.push(DnType::CommonName, "bob"));
    let pem = data_encoding::BASE64.encode(leaf.leaf());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n");
    for (text, expected) in [
        (String::new(), "there is no certificate in it"),
        (
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_owned(),
            "begins at line 1 is not base64",
        ),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(), "no X.509 certificate"),
        (format!("{}{pem}", authority().0), "certificate 2 (CN=bob) is not a CA's"),
    ] {
        std::fs::write(&path, text).unwrap();
        let said = said(ClientTrust::open(&settings(folder.path()), folder.path()).unwrap_err());
        assert!(
            said.starts_with("--client-ca ") && said.contains("ca.pem: ") && said.contains(expected),
            "{said}"
        );
    }
    std::fs::write(&path, authority().0).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let error = ClientTrust::open(&settings(folder.path()), folder.path()).unwrap_err();
    assert!(said(error).contains("chmod o-w"));
}

#[test]
fn w10_a_bundle_of_cas_is_read_whole_as_people_make_it_or_refused_with_the_line() {
    let made = || authority().0.trim_end().to_owned();
    let (one, two) = (made(), made());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let open = |text: String| {
        std::fs::write(&path, text).unwrap();
        ClientTrust::open(&settings(folder.path()), folder.path()).map(|trust| trust.subjects().len())
    };
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----";
    for text in [
        format!("{one}{two}"),
        format!("\u{feff}{one}\r\n# the second\r\n{two}"),
        format!("subject=CN = one\n{one}\n{parameters}\n{two}\n"),
        format!("{}\n{two}", one.replace("CERTIFICATE", "X509 CERTIFICATE")),
    ] {
        assert_eq!(open(text.clone()).unwrap(), 2, "{text}");
    }
    for (text, line) in [
        (format!("{one}\n{}", two.replace("CERTIFICATE", "TRUSTED CERTIFICATE")), true),
        (format!("{one}\n{}", two.replace("CERTIFICATE", "X509 CRL")), true),
        (format!("{one}\n{}", two.replace("-----BEGIN CERTIFICATE-----", "----BEGIN CERTIFICATE----")), true),
        (format!("{one}\n{}", two.replace("-----END CERTIFICATE-----", "")), true),
    ] {
        let error = said(open(text.clone()).unwrap_err());
        assert_eq!(error.contains("line "), line, "{error}");
    }
}

#[test]
fn a_revocation_list_that_cannot_be_used_is_named_with_what_is_wrong() {
    let (folder, _) = folder();
    let path = folder.path().join("crl");
    let settings = ClientCertSettings { crls: vec![path.clone()], ..settings(folder.path()) };
    for (bytes, expected) in [
        (&b""[..], "there is no revocation list in it"),
        (b"\x30\x03\x02\x01\x01", "cannot be used"),
        (b"-----BEGIN X509 CRL-----\nMAMCAQE=\n-----END X509 CRL-----\n", "cannot be used"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let said = said(ClientTrust::open(&settings, folder.path()).unwrap_err());
        assert!(said.starts_with("--client-crl ") && said.contains(expected), "{said}");
    }
}

#[test]
fn a_mapping_file_that_cannot_be_used_is_named_with_the_line() {
    let (folder, _) = folder();
    let path = folder.path().join("map.toml");
    let settings = ClientCertSettings { map: Some(path.clone()), ..settings(folder.path()) };
    let entry = |text: &str| format!("# who\n[[certificate]]\n{text}\n");
    for (text, expected) in [
        ("others = 'maybe'\n".to_owned(), "map.toml:1: unknown variant `maybe`"),
        (entry("subject = 'CN=x'"), "map.toml:2: missing field `user`"),
        (entry("subject = 'CN=x'\nuser = 'x'\nuid = 1"), "map.toml:5: unknown field `uid`"),
        (entry("user = 'x'"), "map.toml:2: says of no certificate which one it is"),
        (entry("serial = '01'\nuser = 'x'"), "map.toml:2: a serial number is one of its CA's only"),
        (entry("serial = 'xyz'\nissuer = 'CN=CA'\nuser = 'x'"), "serial: 'xyz' is not a hexadecimal number"),
        (entry("san = 'bob'\nuser = 'x'"), "san: 'bob' does not begin with dns:"),
        (entry("spki-sha256 = 'ab'\nuser = 'x'"), "spki-sha256: is not 64 hex digits"),
        (entry("subject = 'CN=x'\nuser = '-x'"), "user: the user name starts with '-'"),
    ] {
        std::fs::write(&path, &text).unwrap();
        let said = said(ClientTrust::open(&settings, folder.path()).unwrap_err());
        assert!(said.starts_with("--cert-map ") && said.contains(expected), "{text}: {said}");
    }
    std::fs::write(&path, b"\n\xff").unwrap();
    assert!(
        said(ClientTrust::open(&settings, folder.path()).unwrap_err()).contains("map.toml:2: is not UTF-8")
    );
}

#[test]
fn an_entry_fits_only_if_all_that_it_names_does() {
    let (folder, issuer) = folder();
    let path = folder.path().join("map.toml");
    let settings = ClientCertSettings { map: Some(path.clone()), ..settings(folder.path()) };
    let shown = client(&issuer, |parameters| {
        parameters.distinguished_name.push(DnType::CommonName, "a, \"b\"");
        parameters.serial_number = Some(vec![0xab, 1].into());
        parameters.subject_alt_names = vec![SanType::IpAddress("192.0.2.7".parse().unwrap())];
    });
    let facts = CertificateFacts::of(shown.leaf()).unwrap();
    assert_eq!((facts.subject.as_str(), facts.issuer.as_str()), ("CN=a\\, \\\"b\\\"", "CN=CA"));
    let pin = data_encoding::HEXUPPER.encode(&facts.public_key);
    for (entry, fits) in [
        ("subject = 'CN=a\\, \\\"b\\\"'".to_owned(), true),
        ("subject = 'CN=a, \"b\"'".to_owned(), false),
        ("issuer = 'CN=CA'\nserial = 'AB:01'".to_owned(), true),
        ("issuer = 'CN=CA'\nserial = '00ab01'".to_owned(), true),
        ("issuer = 'CN=Other'\nserial = 'AB:01'".to_owned(), false),
        ("san = 'ip:192.0.2.7'".to_owned(), true),
        ("san = 'dns:192.0.2.7'".to_owned(), false),
        (format!("spki-sha256 = '{pin}'"), true),
        (format!("spki-sha256 = '{pin}'\nsan = 'ip:192.0.2.8'"), false),
    ] {
        std::fs::write(&path, format!("others = 'refuse'\n[[certificate]]\n{entry}\nuser = 'robot'\n"))
            .unwrap();
        let trust = ClientTrust::open(&settings, folder.path()).unwrap();
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let person = trust.identify(&shown, now).map(|person| person.user.as_str().to_owned());
        assert_eq!(person, if fits { Ok("robot".to_owned()) } else { Err(Refusal::NotMapped) }, "{entry}");
    }
}

#[test]
fn a_change_is_noticed_once_and_one_that_cannot_be_read_leaves_what_was() {
    let (folder, issuer) = folder();
    let trust = ClientTrust::open(&settings(folder.path()), folder.path()).unwrap();
    let shown = client(&issuer, |parameters| parameters.distinguished_name.push(DnType::CommonName, "bob"));
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    assert!(!trust.refresh() && trust.identify(&shown, now).is_ok());
    std::fs::write(folder.path().join("ca.pem"), "junk").unwrap();
    assert!(!trust.refresh() && trust.identify(&shown, now).is_ok());
    std::fs::write(folder.path().join("ca.pem"), authority().0).unwrap();
    assert!(trust.refresh() && !trust.refresh());
    assert_eq!(trust.identify(&shown, now), Err(Refusal::UnknownCa));
}

#[test]
fn a_chain_with_many_cas_of_one_name_is_refused_before_its_paths_are_walked() {
    let (folder, issuer) = folder();
    let trust = ClientTrust::open(&settings(folder.path()), folder.path()).unwrap();
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let leaf = client(&issuer, |parameters| parameters.distinguished_name.push(DnType::CommonName, "bob"));
    let same = |count: usize| -> Vec<_> {
        let made = (0..count).map(|_| authority().0);
        made.map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).collect()
    };
    let with = |between: Vec<CertificateDer<'static>>| {
        ClientCertificate::new([vec![leaf.leaf().clone()], between].concat()).unwrap()
    };
    // An old and a new one of a name are in order, and of no use here.
    assert!(trust.identify(&with(same(2)), now).is_ok());
    assert_eq!(trust.identify(&with(same(3)), now), Err(Refusal::Depth));
    let stranger =
        client(&authority().1, |parameters| parameters.distinguished_name.push(DnType::CommonName, "x"));
    let maze = ClientCertificate::new([vec![stranger.leaf().clone()], same(12)].concat()).unwrap();
    assert_eq!(trust.verify(&maze, now), Err(Refusal::Depth));
}

#[test]
fn i21_what_our_own_ca_revoked_stays_revoked_where_a_file_names_the_ca_too_and_the_index_is_gone() {
    use crate::ca::{Authority, CaFolder, NewCa, Reason, Subject};
    use crate::domain::Username;

    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("ca");
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let new = NewCa { name: None, days: None, algorithm: crate::ca::Algorithm::P256, group: None };
    let ca = Authority::create(&own, &new, None, now).unwrap();
    let issue = |name: &str| {
        let key = crate::ca::LeafKey::generate(crate::ca::Algorithm::P256).unwrap();
        let subject = Subject::client(&Username::parse(name).unwrap()).unwrap();
        let issued = ca.issue(&subject, &key, None, now).unwrap();
        ClientCertificate::new(vec![CertificateDer::from(issued.der)]).unwrap()
    };
    let (bob, eve) = (issue("bob"), issue("eve"));
    ca.revoke(&["bob"], Reason::KeyCompromise, now).unwrap();
    // The very CA in a file as well.
    std::fs::copy(CaFolder::files_of_trust(&own)[0].clone(), folder.path().join("ca.pem")).unwrap();
    let authorities = vec![ClientCa::Own, ClientCa::File(folder.path().join("ca.pem"))];
    let trust =
        ClientTrust::open(&ClientCertSettings { authorities, ..settings(folder.path()) }, folder.path())
            .unwrap();
    let status = |shown: &ClientCertificate| trust.identify(shown, now).map(drop);
    assert_eq!([status(&bob), status(&eve)], [Err(Refusal::Revoked), Ok(())]);
    std::fs::write(own.join("index"), "junk\n").unwrap();
    assert!(trust.refresh());
    assert_eq!([status(&bob), status(&eve)], [Err(Refusal::Revoked); 2]);
    std::fs::rename(&own, folder.path().join("elsewhere")).unwrap();
    assert!(trust.refresh());
    assert_eq!([status(&bob), status(&eve)], [Err(Refusal::Revoked); 2]);
    std::fs::write(
        folder.path().join("ca.pem"),
        format!("{}# again\n", std::fs::read_to_string(folder.path().join("ca.pem")).unwrap()),
    )
    .unwrap();
    assert!(trust.refresh());
    assert_eq!([status(&bob), status(&eve)], [Err(Refusal::Revoked); 2]);
}

#[test]
fn i21_a_start_is_refused_where_our_own_ca_has_lost_its_certificate_and_a_file_may_name_it() {
    use crate::ca::{Authority, NewCa};

    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("ca");
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let new = NewCa { name: None, days: None, algorithm: crate::ca::Algorithm::P256, group: None };
    Authority::create(&own, &new, None, now).unwrap();
    std::fs::rename(own.join("ca.pem"), folder.path().join("ca.pem")).unwrap();
    let open = |authorities: &[ClientCa]| {
        let settings = ClientCertSettings { authorities: authorities.to_vec(), ..settings(folder.path()) };
        ClientTrust::open(&settings, folder.path()).map(drop)
    };
    let file = ClientCa::File(folder.path().join("ca.pem"));
    let refused = open(&[ClientCa::Own, file.clone()]).unwrap_err();
    assert!(format!("{refused}").contains("without its ca.pem"), "{refused}");
    // Alone, it lets nobody in who could have been revoked; and without it, nothing was to be known of it.
    assert!(open(&[ClientCa::Own]).is_ok() && open(std::slice::from_ref(&file)).is_ok());
    for part in ["index", "crl.pem", "ca-key.pem"] {
        assert!(open(&[ClientCa::Own, file.clone()]).is_err(), "{part}");
        std::fs::remove_file(own.join(part)).unwrap();
    }
    assert!(open(&[ClientCa::Own, file]).is_ok());
}

#[test]
fn a_ca_of_our_own_may_come_later_and_lets_nobody_in_before() {
    use crate::ca::{Authority, NewCa, Subject};
    use crate::domain::Username;

    let folder = tempfile::tempdir().unwrap();
    let own = ClientCertSettings { authorities: vec![ClientCa::Own], ..settings(folder.path()) };
    let trust = ClientTrust::open(&own, folder.path()).unwrap();
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let new = NewCa { name: None, days: None, algorithm: crate::ca::Algorithm::P256, group: None };
    let ca = Authority::create(&folder.path().join("ca"), &new, None, now).unwrap();
    let key = crate::ca::LeafKey::generate(crate::ca::Algorithm::P256).unwrap();
    let bob = Subject::client(&Username::parse("bob").unwrap()).unwrap();
    let issued = ca.issue(&bob, &key, None, now).unwrap();
    let shown = ClientCertificate::new(vec![CertificateDer::from(issued.der)]).unwrap();
    assert_eq!(trust.identify(&shown, now), Err(Refusal::UnknownCa));
    assert!(trust.refresh());
    assert_eq!(trust.identify(&shown, now).unwrap().user.as_str(), "bob");
}

/// A certificate of somebody with these alternative names, of which one is no text once `broken` is in it.
fn with_broken_name(issuer: &Issuer<'static, KeyPair>, names: Vec<SanType>) -> CertificateFacts {
    let made = client(issuer, |parameters| parameters.subject_alt_names = names);
    let mut der = made.leaf().to_vec();
    let at = der.windows(6).position(|part| part == b"broken").expect("the name to break");
    der[at] = 0xff;
    CertificateFacts::of(&der.into()).unwrap()
}

#[test]
fn i3_a_second_name_that_is_no_text_does_not_leave_the_first_one_alone() {
    let (_folder, issuer) = folder();
    let text = |text: &str| text.try_into().unwrap();
    for (good, broken, by) in [
        (SanType::Rfc822Name(text("bob@x")), SanType::Rfc822Name(text("broken@x")), CertField::Email),
        (SanType::DnsName(text("bob")), SanType::DnsName(text("broken")), CertField::Dns),
        (SanType::URI(text("bob")), SanType::URI(text("broken")), CertField::Uri),
    ] {
        let facts = with_broken_name(&issuer, vec![good, broken]);
        assert_eq!(facts.alternatives.len(), 2, "{facts:?}");
        assert!(super::field::user(&facts, by).is_err(), "{by:?}");
    }
}
