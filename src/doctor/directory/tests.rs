//! Daemons that answer, hang up, keep silent, or are not there.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use super::super::finding::{Finding, Status};
use super::super::paths::Paths;
use super::examine;
use crate::pam::stack::Stack;

struct Place {
    folder: tempfile::TempDir,
    paths: Paths,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let paths = Paths {
            nslcd: (at("nslcd.conf"), at("nslcd")),
            sssd: at("sssd"),
            winbind: vec![at("winbind")],
            krb5: at("krb5.conf"),
            ..Paths::default()
        };
        Self { folder, paths }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The one finding about this module.
    fn about(&self, module: &str) -> Finding {
        std::fs::write(self.at("s"), format!("auth required {module}\n")).unwrap();
        let stack = Stack::read("s", &[self.folder.path().to_owned()]).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut findings = runtime.block_on(examine(&stack, &self.paths));
        assert_eq!(findings.len(), 1, "{findings:#?}");
        findings.remove(0)
    }
}

/// Takes one connection and one request, and answers with these bytes.
fn nslcd(listener: UnixListener, answer: &'static [u8]) {
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 27];
        stream.read_exact(&mut request).unwrap();
        assert!(request.ends_with(b"doorward-doctor"));
        stream.write_all(answer).unwrap();
    });
}

#[test]
fn an_nslcd_that_reaches_its_directory_is_fine() {
    let place = Place::new();
    nslcd(UnixListener::bind(place.at("nslcd")).unwrap(), &[0, 0, 0, 2, 0, 8, 0, 1, 0, 0, 0, 2]);
    assert_eq!(place.about("pam_ldap.so").status, Status::Ok);
}

#[test]
fn an_nslcd_without_its_directory_server_hangs_up() {
    let place = Place::new();
    nslcd(UnixListener::bind(place.at("nslcd")).unwrap(), &[0, 0, 0, 2, 0, 8, 0, 1]);
    let finding = place.about("pam_ldap.so");
    assert_eq!(finding.status, Status::Problem);
    assert!(finding.text.contains("cannot reach its directory server"), "{}", finding.text);
}

#[test]
fn an_nslcd_that_hangs_is_told_apart() {
    let place = Place::new();
    let _silent = UnixListener::bind(place.at("nslcd")).unwrap();
    assert!(place.about("pam_ldap.so").text.contains("gave no answer"));
}

#[test]
fn daemons_that_are_not_there_are_named_with_the_line_that_needs_them() {
    let place = Place::new();
    for (module, daemon) in [("pam_sss.so", "sssd"), ("pam_winbind.so", "winbind")] {
        let finding = place.about(module);
        assert_eq!(finding.status, Status::Problem);
        assert!(finding.text.contains(daemon) && finding.text.contains("/s:1"), "{}", finding.text);
        let _socket = UnixListener::bind(place.at(daemon)).unwrap();
        assert_eq!(place.about(module).status, Status::Ok, "{module}");
    }
    assert!(place.about("pam_ldap.so").text.contains("is not set up"));
    std::fs::write(place.at("nslcd.conf"), "").unwrap();
    assert!(place.about("pam_ldap.so").text.contains("nslcd cannot be reached"));
}

#[test]
fn kerberos_is_asked_at_its_kdc() {
    let place = Place::new();
    assert!(place.about("pam_krb5.so").text.contains("cannot be read"));
    std::fs::write(place.at("krb5.conf"), "[realms]\n").unwrap();
    assert!(place.about("pam_krb5.so").text.contains("no default_realm"));
    let settings = |kdc: &str| {
        let text = format!("[libdefaults]\ndefault_realm = X\n[realms]\nX = {{\n{kdc}}}\n");
        std::fs::write(place.at("krb5.conf"), text).unwrap();
    };
    settings("");
    assert_eq!(place.about("pam_krb5.so").status, Status::Unchecked);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    settings(&format!("kdc = {address}\n"));
    assert_eq!(place.about("pam_krb5.so").status, Status::Ok);
    drop(listener);
    let finding = place.about("pam_krb5.so");
    assert_eq!(finding.status, Status::Problem);
    assert!(finding.text.contains(&address.to_string()), "{}", finding.text);
}
