//! `doorward ca revoke` and `doorward ca crl`.

use clap::{Args, value_parser};

use super::unlock::UnlockArgs;
use super::{Outcome, Place};
use crate::ca::{MAX_CRL_DAYS, Reason, Record, Revocation};
use crate::cli::{report, terminal};
use crate::domain::Clock;

const REVOKE_EXAMPLES: &str = "\
Examples:
  doorward ca revoke bob
      every certificate of bob's that still counts
  doorward ca revoke 5f0c…  --reason key-compromise
      one, by the number that `doorward ca list` shows
  doorward ca revoke bob eve --yes
  doorward ca revoke bob --no-crl
      the passphrase is not at hand: for a gateway that uses this CA's index it counts all the same

Index and revocation list change at once. It cannot be taken back: make a new certificate instead. On a
terminal you are asked first.";

const CRL_EXAMPLES: &str = "\
Examples:
  doorward ca crl
      before the list ends; commands that issue or revoke do it by themselves once half its time is over
  doorward ca crl --days 30
      for 30 days, and so from now on

The list is crl.pem in the CA's folder; for others than this gateway, such as nginx (ssl_crl), copy it.";

/// Revoke certificates, for good
#[derive(Args, Debug)]
#[command(after_help = REVOKE_EXAMPLES)]
pub(super) struct Revoke {
    /// Names or serial numbers
    #[arg(value_name = "NAME|SERIAL", required = true)]
    which: Vec<String>,
    /// Why
    #[arg(long, value_enum, default_value_t)]
    reason: Reason,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Change the index only, which needs no passphrase; make the list later with: doorward ca crl
    #[arg(long, conflicts_with = "passphrase_file")]
    no_crl: bool,
    #[command(flatten)]
    unlock: UnlockArgs,
}

/// Make a new revocation list
#[derive(Args, Debug)]
#[command(after_help = CRL_EXAMPLES)]
pub(super) struct Crl {
    /// Days until the next one [default: as the last one, at first 180]
    #[arg(long, value_name = "DAYS", value_parser = value_parser!(u32).range(1..=i64::from(MAX_CRL_DAYS)))]
    days: Option<u32>,
    #[command(flatten)]
    unlock: UnlockArgs,
}

impl Revoke {
    pub(super) fn run(&self, place: &Place) -> Outcome {
        let folder = place.open()?;
        let now = Clock::system().now();
        let index = folder.index()?;
        let mut found = Vec::new();
        for which in unique(&self.which) {
            index.to_revoke(which, now)?;
            let named = |record: &&Record| format!("{} ({})", record.name, record.serial);
            found.extend(index.find(which, now).iter().map(named));
        }
        let question = format!("Revoke {} for good?", found.join(", "));
        if !self.yes && terminal::has_person() && !terminal::confirm(&question) {
            return Err(anyhow::anyhow!("nothing was changed").into());
        }
        let which = unique(&self.which);
        let (records, note) = if self.no_crl {
            let records = folder.revoke_in_index(&which, Revocation { at: now, reason: self.reason })?;
            (
                records,
                "warning: crl.pem does not name them yet; run as soon as you can: doorward ca crl".to_owned(),
            )
        } else {
            let authority = self.unlock.unlock(folder)?;
            let done = authority.revoke(&which, self.reason, now)?;
            let path = authority.folder().crl_path();
            (done.records, format!("revocation list {} is {}", done.crl_number, path.display()))
        };
        for record in &records {
            report::say(format_args!("revoked {} ({})", record.name, record.serial));
        }
        report::complain(note);
        Ok(())
    }
}

impl Crl {
    pub(super) fn run(&self, place: &Place) -> Outcome {
        let authority = self.unlock.unlock(place.open()?)?;
        let number = authority.renew_crl(self.days, Clock::system().now())?;
        let folder = authority.folder();
        let until = super::issue::day(folder.index()?.crl_expires());
        report::say(format_args!(
            "made revocation list {number}, valid until {until}: {}",
            folder.crl_path().display()
        ));
        Ok(())
    }
}

fn unique(names: &[String]) -> Vec<&str> {
    let mut unique: Vec<&str> = names.iter().map(String::as_str).collect();
    unique.sort_unstable();
    unique.dedup();
    unique
}
