//! `doorward ca renew`.

use std::path::PathBuf;

use clap::{Args, value_parser};

use super::issue::hand_out;
use super::output::Output;
use super::pkcs12::Pkcs12Args;
use super::unlock::UnlockArgs;
use super::{Failure, Outcome, Place};
use crate::ca::{
    Algorithm, CLIENT_DAYS, CaError, CaFolder, Kind, LeafKey, MAX_CLIENT_DAYS, MAX_SERVER_DAYS, Reason,
    Record, SERVER_DAYS, Subject,
};
use crate::cli::report;
use crate::domain::{Clock, Username};

const EXAMPLES: &str = "\
Examples:
  doorward ca renew bob
      a new key and certificate into ./bob, beside which the old one counts until its end
  doorward ca renew bob --revoke-old --p12
      and the old one counts no more from now on
  doorward ca renew gate.example --out /etc/doorward/tls
      a server goes on with its key, which clients may have pinned; a running gateway takes the new
      server.pem by itself";

/// Make a new certificate in the place of one that ends
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Renew {
    /// Name or serial number; of several of one name, the newest
    #[arg(value_name = "NAME|SERIAL")]
    which: String,
    /// Life time in days [default: 90 for clients, 397 for servers]
    #[arg(long, value_name = "DAYS", value_parser = value_parser!(u32).range(1..=i64::from(MAX_CLIENT_DAYS)))]
    days: Option<u32>,
    /// Folder to renew [default: the name, in the working folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Keep the key that is in the folder [default for servers]
    #[arg(long, conflicts_with_all = ["rsa", "new_key"])]
    same_key: bool,
    /// Make a new key [default for clients]
    #[arg(long)]
    new_key: bool,
    /// Make a new key, and RSA, for old software
    #[arg(long)]
    rsa: bool,
    /// Revoke the old certificate at once, as superseded
    #[arg(long)]
    revoke_old: bool,
    #[command(flatten)]
    pkcs12: Pkcs12Args,
    #[command(flatten)]
    unlock: UnlockArgs,
}

impl Renew {
    pub(super) fn run(&self, place: &Place) -> Outcome {
        let folder = place.open()?;
        let (old, output, kept) = self.prepare(place, &folder)?;
        let subject = subject(&old)?;
        let is_new = kept.is_none();
        let authority = self.unlock.unlock(folder)?;
        let password = self.pkcs12.password()?;
        let key = match kept {
            Some(key) => key,
            None => LeafKey::generate(if self.rsa { Algorithm::Rsa } else { Algorithm::P256 })?,
        };
        let now = Clock::system().now();
        let issued = authority.issue(&subject, &key, self.days, now)?;
        hand_out(&authority, &output, &issued, &key, password.as_ref(), "renewed")?;
        if is_new && old.kind == Kind::Server {
            report::complain(format_args!(
                "warning: the key is new: logins that remember the old one (doorward login) are refused until they are \
                 made again; with --ca {} they need not remember any",
                output.path().join("ca.pem").display()
            ));
        }
        if output.has_pkcs12(&old.name) && !self.pkcs12.wanted() {
            report::complain(
                "warning: the PKCS#12 file in the folder still holds the old certificate; write --p12 to renew it too",
            );
        }
        if self.revoke_old {
            authority.revoke(&[old.serial.to_string()], Reason::Superseded, now)?;
            report::complain(format_args!("revoked the old one, {}", old.serial));
        }
        Ok(())
    }

    /// The certificate to renew, the folder for the new one and the key that stays: all that can be refused without the
    /// CA's key.
    fn prepare(
        &self,
        place: &Place,
        folder: &CaFolder,
    ) -> Result<(Record, Output, Option<LeafKey>), Failure> {
        let index = folder.index()?;
        let old = index.newest(&self.which).cloned().ok_or_else(|| CaError::Unknown(self.which.clone()))?;
        if old.revoked.is_some() {
            return Err(CaError::RevokedAlready(old.serial).into());
        }
        let (most, usual) = match old.kind {
            Kind::Client => (MAX_CLIENT_DAYS, CLIENT_DAYS),
            Kind::Server => (MAX_SERVER_DAYS, SERVER_DAYS),
        };
        if self.days.unwrap_or(usual) > most {
            return Err(Failure::Usage(format!("a server's certificate lives for at most {most} days")));
        }
        if old.kind == Kind::Server && self.pkcs12.wanted() {
            return Err(Failure::Usage("--p12 is for clients".to_owned()));
        }
        let output = place.output(self.out.as_deref(), &old.name, old.kind)?;
        let there = output.must_be_of(&old, &index)?;
        let is_revoked = there.is_some_and(|there| index.is_revoked(there));
        if self.same_key && is_revoked {
            let message = "the certificate in the folder is revoked, so its key shall not be used again; write --new-key";
            return Err(anyhow::anyhow!(message).into());
        }
        // People's keys are changed with each certificate; a server's is what clients know it by.
        let may_stay =
            old.kind == Kind::Server && !(self.new_key || self.rsa || is_revoked) && there.is_some();
        let key = if self.same_key || may_stay { Some(output.key()?) } else { None };
        Ok((old, output, key))
    }
}

fn subject(old: &Record) -> anyhow::Result<Subject> {
    Ok(match old.kind {
        Kind::Client => Subject::client(&Username::parse(&old.name)?)?,
        Kind::Server => Subject::server(&old.names)?,
    })
}
