//! `doorward ca server` and `doorward ca client`: a key, its certificate, and the files that programs want.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, value_parser};

use super::output::{Files, Output, concatenated_name};
use super::pkcs12::{Pkcs12Args, Pkcs12Password};
use super::unlock::UnlockArgs;
use super::{Outcome, Place};
use crate::ca::{
    Algorithm, Authority, Bundle, CLIENT_DAYS, CaError, Issued, Kind, LeafKey, MAX_CLIENT_DAYS,
    MAX_SERVER_DAYS, SERVER_DAYS, Subject, pkcs12,
};
use crate::cli::report;
use crate::config::certificate_name;
use crate::domain::{Clock, InvalidUsername, Username};

const SERVER_EXAMPLES: &str = "\
Examples:
  doorward ca server --name gate.example --ip 192.0.2.10 --ip 127.0.0.1
      into ./gate.example
  doorward ca server --name engine.example --out /etc/docker/tls
      dockerd --tlsverify --tlscacert=/etc/docker/tls/ca.pem --tlscert=/etc/docker/tls/cert.pem
              --tlskey=/etc/docker/tls/key.pem -H 0.0.0.0:2376

The folder gets ca.pem, cert.pem, key.pem and server.pem (certificate, CA, key) for --certfile.";

const CLIENT_EXAMPLES: &str = "\
Examples:
  doorward ca client bob
      into ./bob; then: DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=$PWD/bob docker -H tcp://gate.example:2376 ps
  doorward ca client bob --days 30 --p12
      and bob.p12 for browsers; standard output is its password and nothing else
  doorward ca client bob --out /media/stick/bob --p12 --p12-ask

The folder gets ca.pem, cert.pem, key.pem, and all in one: bob.pem. The name is the certificate's
common name, by which the gateway and policies know its owner.";

/// Make a server's key and certificate
#[derive(Args, Debug)]
#[command(after_help = SERVER_EXAMPLES)]
#[command(group = ArgGroup::new("who").multiple(true).required(true))]
pub(super) struct Server {
    /// Name that clients use; may be repeated, and begin with *. for one label
    #[arg(long, value_name = "HOST", value_parser = host, group = "who", value_delimiter = ',')]
    name: Vec<String>,
    /// Address that clients use; may be repeated
    #[arg(long, value_name = "ADDR", group = "who", value_delimiter = ',')]
    ip: Vec<IpAddr>,
    /// Life time in days
    #[arg(long, value_name = "DAYS", default_value_t = SERVER_DAYS,
          value_parser = value_parser!(u32).range(1..=i64::from(MAX_SERVER_DAYS)))]
    days: u32,
    #[command(flatten)]
    common: IssueArgs,
}

/// Make a person's or machine's key and certificate
#[derive(Args, Debug)]
#[command(after_help = CLIENT_EXAMPLES)]
pub(super) struct Client {
    /// Whom it shall stand for
    #[arg(value_name = "NAME", value_parser = user)]
    name: Username,
    /// Life time in days
    #[arg(long, value_name = "DAYS", default_value_t = CLIENT_DAYS,
          value_parser = value_parser!(u32).range(1..=i64::from(MAX_CLIENT_DAYS)))]
    days: u32,
    #[command(flatten)]
    pkcs12: Pkcs12Args,
    #[command(flatten)]
    common: IssueArgs,
}

#[derive(Args, Debug)]
struct IssueArgs {
    /// Folder to write to [default: the name, in the working folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Make an RSA key, for old software
    #[arg(long)]
    rsa: bool,
    #[command(flatten)]
    unlock: UnlockArgs,
}

impl Server {
    pub(super) fn run(&self, place: &Place) -> Outcome {
        let addresses = self.ip.iter().map(IpAddr::to_string);
        let names: Vec<String> = self.name.iter().cloned().chain(addresses).collect();
        self.common.run(place, &Subject::server(&names)?, self.days, None)
    }
}

impl Client {
    pub(super) fn run(&self, place: &Place) -> Outcome {
        self.common.run(place, &Subject::client(&self.name)?, self.days, Some(&self.pkcs12))
    }
}

impl IssueArgs {
    fn run(&self, place: &Place, subject: &Subject, days: u32, pkcs12: Option<&Pkcs12Args>) -> Outcome {
        // What can be refused without the key is, before anybody has to type its passphrase.
        let folder = place.open()?;
        let output = place.output(self.out.as_deref(), subject.name(), subject.kind())?;
        output.must_have_no_key(subject.name(), subject.kind())?;
        let authority = self.unlock.unlock(folder)?;
        let password = pkcs12.map(Pkcs12Args::password).transpose()?.flatten();
        let key = LeafKey::generate(if self.rsa { Algorithm::Rsa } else { Algorithm::P256 })?;
        let issued = authority.issue(subject, &key, Some(days), Clock::system().now())?;
        hand_out(&authority, &output, &issued, &key, password.as_ref(), "made")
    }
}

/// Writes a certificate and says so. With a made-up password, standard output is for that alone.
pub(super) fn hand_out(
    authority: &Authority,
    output: &Output,
    issued: &Issued,
    key: &LeafKey,
    password: Option<&Pkcs12Password>,
    done: &str,
) -> Outcome {
    let record = &issued.record;
    // What it is for is lost without its key; that it was issued is not.
    let lost = |error: anyhow::Error| {
        error.context(format!(
            "the certificate was issued and could not be written; undo it with: doorward ca revoke {}",
            record.serial
        ))
    };
    let folder = authority.folder();
    let in_one = password.map(|with| pkcs12(folder, issued, key, &with.password)).transpose();
    let pkcs12 = in_one.map_err(|error: CaError| lost(error.into()))?;
    let bundle = Bundle::new(folder, issued, key);
    let files = Files { bundle: &bundle, kind: record.kind, name: &record.name, pkcs12 };
    let names = output.write(&files).map_err(lost)?;
    let until = day(record.expires);
    let text = format!(
        "{done} a certificate for {}, valid until {until}, number {}, in {}: {}",
        record.name,
        record.serial,
        output.path().display(),
        names.join(", ")
    );
    match password.and_then(|password| password.generated.as_ref()) {
        Some(password) => {
            report::complain(format_args!("{text}; the password of the PKCS#12 file is shown this once:"));
            report::say_or_fail(password.as_str()).map_err(|error| {
                anyhow::anyhow!("{text}, but the password could not be printed ({error}); renew it")
            })?;
        }
        None => report::say(text),
    }
    if issued.shortened {
        report::complain(format_args!("warning: it ends with the CA, sooner than asked for, on {until}"));
    }
    if record.kind == Kind::Server {
        let file = output.path().join(concatenated_name(&record.name, record.kind));
        report::complain(format_args!("use it with: doorward serve --certfile {}", file.display()));
    }
    Ok(())
}

/// A day, for people.
pub(super) fn day(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%Y-%m-%d").to_string()
}

fn user(text: &str) -> Result<Username, InvalidUsername> {
    Username::parse(text)
}

fn host(text: &str) -> Result<String, String> {
    match certificate_name(text)?.as_str() {
        "*" => Err("'*' is every name there is; write the names that clients use".to_owned()),
        name => Ok(name.to_owned()),
    }
}
