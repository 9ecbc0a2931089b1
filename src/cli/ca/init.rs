//! `doorward ca init`.

use std::path::Path;

use clap::{Args, value_parser};
use nix::unistd::{User, geteuid};

use super::unlock::NewPassphraseArgs;
use super::{Outcome, Place};
use crate::ca::{Algorithm, Authority, CA_DAYS, CaError, CaFolder, MAX_CA_DAYS, NewCa};
use crate::cli::report;
use crate::domain::Clock;
use crate::store::StateFolder;

const EXAMPLES: &str = "\
Examples:
  doorward ca init
      in the state folder; asks for a passphrase, twice and without showing it
  doorward ca init --dir /root/ca --name 'Example Lab CA' --passphrase-file <(pass show lab-ca)
  doorward ca init --no-passphrase
      for a lab, or a disk that is encrypted itself

The key is P-256, or RSA with 3072 bits, PKCS#8 in ca-key.pem, encrypted by AES-256 under a key that
scrypt makes of the passphrase. A lost passphrase cannot be had back: issue everything anew then.";

/// Make a CA
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Init {
    /// The CA's name, as people see it in their browser [default: Doorward CA and random digits]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Life time in days
    #[arg(long, value_name = "DAYS", default_value_t = CA_DAYS,
          value_parser = value_parser!(u32).range(1..=i64::from(MAX_CA_DAYS)))]
    days: u32,
    /// Make an RSA key, for old software
    #[arg(long)]
    rsa: bool,
    #[command(flatten)]
    passphrase: NewPassphraseArgs,
}

impl Init {
    pub(super) fn run(&self, place: &Place) -> Outcome {
        // Nobody shall type a passphrase twice to learn that there is a CA.
        match CaFolder::open(&place.folder) {
            Err(CaError::Missing(_)) => {}
            Ok(_) => return Err(CaError::Exists(place.folder.clone()).into()),
            Err(error) => return Err(error.into()),
        }
        let passphrase = self.passphrase.get(place)?;
        let account = place.gateway_account();
        if let Some(state) = &place.state {
            make_state_folder(state, account.as_ref())?;
        }
        let new = NewCa {
            name: self.name.clone(),
            days: Some(self.days),
            algorithm: if self.rsa { Algorithm::Rsa } else { Algorithm::P256 },
            group: account.map(|account| account.gid.as_raw()),
        };
        let authority = Authority::create(&place.folder, &new, passphrase.as_ref(), Clock::system().now())?;
        let folder = authority.folder();
        report::say(format_args!("made {:?} in {}", folder.name(), folder.path().display()));
        report::complain("next: doorward ca server --name HOST, and doorward ca client NAME");
        Ok(())
    }
}

/// A state folder that root makes before the gateway's first start is the gateway's all the same. One that is there must be
/// in order: who may write in it could exchange the CA.
fn make_state_folder(path: &Path, account: Option<&User>) -> anyhow::Result<()> {
    let user = account.map_or_else(|| geteuid().as_raw(), |account| account.uid.as_raw());
    let state = StateFolder::open_or_make(path, user)?;
    if let (true, Some(account)) = (state.folder().is_new(), account) {
        state.hand_over(account.uid.as_raw(), account.gid.as_raw())?;
    }
    Ok(())
}
