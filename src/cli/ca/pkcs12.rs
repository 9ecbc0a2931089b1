//! The PKCS#12 file for browsers, and its password.

use std::io::{IsTerminal, stdin};
use std::path::PathBuf;

use clap::Args;
use zeroize::Zeroizing;

use super::Failure;
use crate::cli::{secret, terminal};
use crate::domain::Password;
use crate::users::generate_password;

#[derive(Args, Debug)]
pub(super) struct Pkcs12Args {
    /// Write a PKCS#12 file for browsers too; its password is made up and printed, once, on standard output
    #[arg(long)]
    p12: bool,
    /// Read the password for the PKCS#12 file from this file, one line
    #[arg(long, value_name = "FILE", requires = "p12", conflicts_with = "p12_ask")]
    p12_password_file: Option<PathBuf>,
    /// Ask for the password of the PKCS#12 file
    #[arg(long, requires = "p12")]
    p12_ask: bool,
}

/// The password of a PKCS#12 file.
pub(super) struct Pkcs12Password {
    pub(super) password: Password,
    /// The text, if nobody knows it yet.
    pub(super) generated: Option<Zeroizing<String>>,
}

impl Pkcs12Args {
    /// Whether there shall be such a file.
    pub(super) fn wanted(&self) -> bool {
        self.p12
    }

    /// `None` if there shall be no such file.
    pub(super) fn password(&self) -> Result<Option<Pkcs12Password>, Failure> {
        if !self.p12 {
            return Ok(None);
        }
        let known = |password| Ok(Some(Pkcs12Password { password, generated: None }));
        if let Some(file) = &self.p12_password_file {
            return known(secret::from_file(file)?);
        }
        if self.p12_ask {
            return known(from_person()?);
        }
        let text = generate_password()?;
        let password = Password::parse(text.as_str().to_owned())?;
        Ok(Some(Pkcs12Password { password, generated: Some(text) }))
    }
}

fn from_person() -> Result<Password, Failure> {
    if !stdin().is_terminal() {
        let message =
            "there is no terminal to ask on; write --p12-password-file FILE, or leave out --p12-ask";
        return Err(Failure::Usage(message.to_owned()));
    }
    let questions = ["Password for the PKCS#12 file: ".to_owned(), "The same again: ".to_owned()];
    let [first, second] = terminal::ask_hidden(&questions)?;
    if *first != *second {
        return Err(anyhow::anyhow!("the two passwords differ; nothing was changed").into());
    }
    Ok(Password::parse(first.as_str().to_owned())?)
}
