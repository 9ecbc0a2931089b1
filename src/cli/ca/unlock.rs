//! The passphrase of the CA's key: from a person or a file. Never from arguments or the environment, which other users of
//! the host, logs and children can see.

use std::io::{IsTerminal, stdin};
use std::path::PathBuf;

use clap::Args;

use super::{Failure, Place};
use crate::ca::{Authority, CA_KEY, CaFolder};
use crate::cli::{report, secret, terminal};
use crate::domain::Password;

/// Who has the file can try as fast as scrypt lets them, for ever: more than a password that is tried over the network.
const FEW: usize = 12;

#[derive(Args, Debug)]
pub(super) struct UnlockArgs {
    /// Read the passphrase of the CA's key from this file, one line
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[group(multiple = false)]
pub(super) struct NewPassphraseArgs {
    /// Read the passphrase for the CA's key from this file, one line
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Do not encrypt the CA's key: whoever can read the file, or a backup of it, can let everybody in
    #[arg(long)]
    no_passphrase: bool,
}

impl UnlockArgs {
    /// The CA with its key. Asks only if the key is encrypted.
    pub(super) fn unlock(&self, folder: CaFolder) -> Result<Authority, Failure> {
        let passphrase = if folder.is_encrypted()? { Some(self.passphrase(&folder)?) } else { None };
        Ok(Authority::unlock(folder, passphrase.as_ref())?)
    }

    fn passphrase(&self, folder: &CaFolder) -> Result<Password, Failure> {
        if let Some(file) = &self.passphrase_file {
            return Ok(secret::from_file(file)?);
        }
        if !stdin().is_terminal() {
            let message =
                "the CA's key is encrypted and there is no terminal to ask on; write --passphrase-file FILE";
            return Err(Failure::Usage(message.to_owned()));
        }
        let [answer] = terminal::ask_hidden(&[format!("Passphrase of {}: ", folder.name())])?;
        Ok(Password::parse(answer.as_str().to_owned())?)
    }
}

impl NewPassphraseArgs {
    /// `None` if the key shall not be encrypted.
    pub(super) fn get(&self, place: &Place) -> Result<Option<Password>, Failure> {
        if self.no_passphrase {
            report::complain(format_args!(
                "warning: the CA's key is not encrypted; keep {} and its backups to yourself",
                place.folder.join(CA_KEY).display()
            ));
            return Ok(None);
        }
        let passphrase = match &self.passphrase_file {
            Some(file) => secret::from_file(file)?,
            None => from_person()?,
        };
        let length = passphrase.expose().chars().count();
        if length < FEW {
            report::complain(format_args!(
                "warning: the passphrase is short ({length} of at least {FEW} characters); a thief of the file \
                 can try as often as they like"
            ));
        }
        Ok(Some(passphrase))
    }
}

fn from_person() -> Result<Password, Failure> {
    if !stdin().is_terminal() {
        let message = "there is no terminal to ask for a passphrase on; write --passphrase-file FILE or \
                       --no-passphrase";
        return Err(Failure::Usage(message.to_owned()));
    }
    let questions = ["Passphrase for the CA's key: ".to_owned(), "The same again: ".to_owned()];
    let [first, second] = terminal::ask_hidden(&questions)?;
    if first.is_empty() {
        return Err(anyhow::anyhow!("the passphrase is empty; write --no-passphrase for none").into());
    }
    if *first != *second {
        return Err(anyhow::anyhow!("the two passphrases differ; nothing was changed").into());
    }
    Ok(Password::parse(first.as_str().to_owned())?)
}
