//! CAs, certificates and revocation lists, made by the `openssl` command.

use std::path::{Path, PathBuf};
use std::process::Command;

use doorward::config::{ClientCa, ClientCertSettings};
use doorward::domain::ClientCertificate;
use doorward::trust::{ClientTrust, Refusal, TrustError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

/// What a CA is: its extensions.
pub(super) const CA: &str =
    "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n";
/// What a client's certificate is.
pub(super) const CLIENT: &str = "extendedKeyUsage=clientAuth\n";

/// A folder of such files. `x` stands for `x.pem` and `x.key`.
pub(super) struct House {
    folder: TempDir,
}

/// How a revocation list is.
#[derive(Clone)]
pub(super) struct List<'a> {
    pub(super) number: &'a str,
    /// Begins so long ago.
    pub(super) age: Duration,
    /// Ends in so long.
    pub(super) life: Duration,
    /// Serial numbers in hex, each with a reason or nothing.
    pub(super) revoked: &'a [(&'a str, &'a str)],
    /// More extensions, and sections that they name.
    pub(super) more: &'a str,
}

/// A list in good order that revokes nothing.
pub(super) const GOOD: List<'static> =
    List { number: "01", age: Duration::hours(1), life: Duration::hours(1), revoked: &[], more: "" };

impl House {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// A file, replaced as a whole.
    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path("part"), content).unwrap();
        std::fs::rename(self.path("part"), self.path(name)).unwrap();
    }

    /// Whether openssl does it, and what it says.
    pub(super) fn try_openssl(&self, arguments: &str) -> (bool, String) {
        let words = arguments.split_whitespace();
        let done = Command::new("openssl").args(words).current_dir(self.folder.path()).output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    fn openssl(&self, arguments: &str) {
        let (is_done, said) = self.try_openssl(arguments);
        assert!(is_done, "openssl {arguments}: {said}");
    }

    fn request(&self, file: &str, name: &str) {
        self.write("req.cnf", "[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=overridden\n");
        self.openssl(&format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {file}.key -out {file}.csr -subj /CN={name} \
             -config req.cnf"
        ));
    }

    /// A CA that signs itself.
    pub(super) fn root(&self, file: &str, name: &str, extensions: &str) {
        self.request(file, name);
        self.write("ext", extensions);
        let more = if extensions.is_empty() { "" } else { "-extfile ext" };
        self.openssl(&format!(
            "x509 -req -in {file}.csr -signkey {file}.key -days 30 {more} -out {file}.pem"
        ));
    }

    /// A certificate of `issuer`: a CA's or a client's.
    pub(super) fn issue(&self, issuer: &str, file: &str, name: &str, serial: &str, extensions: &str) {
        self.request(file, name);
        self.write("ext", extensions);
        let more = if extensions.is_empty() { "" } else { "-extfile ext" };
        self.openssl(&format!(
            "x509 -req -in {file}.csr -CA {issuer}.pem -CAkey {issuer}.key -set_serial 0x{serial} -days 30 {more} -out {file}.pem"
        ));
    }

    /// A revocation list of `issuer`.
    pub(super) fn list(&self, issuer: &str, file: &str, list: &List<'_>) {
        let now = OffsetDateTime::now_utc();
        let index = list.revoked.iter().map(|(serial, reason)| {
            let comma = if reason.is_empty() { "" } else { "," };
            format!("R\t351231235959Z\t250101000000Z{comma}{reason}\t{serial}\tunknown\t/CN=x\n")
        });
        self.write("index.txt", index.collect::<String>());
        self.write("number", list.number);
        let number = if list.number.is_empty() { "" } else { "crlnumber=number\n" };
        let extensions = if list.number.is_empty() { "" } else { "crl_extensions=ext\n" };
        self.write(
            "ca.cnf",
            format!(
                "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\ndefault_md=sha256\n{number}{extensions}[ext]\n\
                 authorityKeyIdentifier=keyid\n{}\n",
                list.more
            ),
        );
        let (from, to) = (stamp(now - list.age), stamp(now + list.life));
        self.openssl(&format!(
            "ca -config ca.cnf -gencrl -keyfile {issuer}.key -cert {issuer}.pem -crl_lastupdate {from} -crl_nextupdate {to} \
             -out {file}"
        ));
    }

    /// These files, one after the other.
    pub(super) fn join(&self, files: &[&str], into: &str) {
        let all: Vec<u8> = files.iter().flat_map(|file| std::fs::read(self.path(file)).unwrap()).collect();
        self.write(into, all);
    }

    pub(super) fn settings(&self, authorities: &[&str], lists: &[&str]) -> ClientCertSettings {
        let authorities = authorities.iter().map(|file| ClientCa::File(self.path(file))).collect();
        let crls = lists.iter().map(|file| self.path(file)).collect();
        ClientCertSettings { crls, ..ClientCertSettings::of(authorities) }
    }

    /// The files in use, or what is wrong with them.
    pub(super) fn trust(&self, authorities: &[&str], lists: &[&str]) -> Result<ClientTrust, String> {
        ClientTrust::open(&self.settings(authorities, lists), self.folder.path()).map_err(said)
    }

    /// A client's chain: its certificate and the CAs in between.
    pub(super) fn chain(&self, files: &[&str]) -> ClientCertificate {
        let read = |file: &&str| CertificateDer::from_pem_file(self.path(&format!("{file}.pem"))).unwrap();
        ClientCertificate::new(files.iter().map(read).collect()).unwrap()
    }

    /// Who shows this chain.
    pub(super) fn user(&self, trust: &ClientTrust, chain: &[&str]) -> Result<String, Refusal> {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        trust.identify(&self.chain(chain), now).map(|person| person.user.as_str().to_owned())
    }

    /// Whether openssl takes this chain, as nginx asks it (`ssl_verify_client`, `ssl_crl`).
    pub(super) fn is_taken_by_openssl(&self, authorities: &[&str], lists: &[&str], chain: &[&str]) -> bool {
        self.join(authorities, "openssl-cas");
        let between: Vec<String> = chain.iter().skip(1).map(|file| format!("{file}.pem")).collect();
        let between: Vec<&str> = between.iter().map(String::as_str).collect();
        self.join(&between, "openssl-between");
        let mut command = "verify -purpose sslclient -CAfile openssl-cas -no-CApath -no-CAstore".to_owned();
        if !between.is_empty() {
            command.push_str(" -untrusted openssl-between");
        }
        if !lists.is_empty() {
            self.join(lists, "openssl-lists");
            command.push_str(" -CRLfile openssl-lists -crl_check -crl_check_all");
        }
        self.try_openssl(&format!("{command} {}.pem", chain[0])).0
    }
}

/// An error as an operator reads it.
pub(super) fn said(error: TrustError) -> String {
    format!("--{} {:#}", error.option(), anyhow::Error::new(error))
}

/// `YYYYMMDDHHMMSSZ`.
fn stamp(at: OffsetDateTime) -> String {
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// The folder as text, for messages.
pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}
