//! Where a new password comes from: a person, a pipe, or chance. Never from arguments or the environment, which other
//! users of the host, logs and children can see.

use std::io::{IsTerminal, Read, stdin};

use anyhow::Context;
use clap::Args;
use zeroize::Zeroizing;

use super::Failure;
use crate::cli::{report, secret, terminal};
use crate::domain::{Password, Username};
use crate::users::{PasswordHash, generate_password, hash_password};

/// Fewer characters are found by trying, whatever the hash costs.
const FEW: usize = 8;

#[derive(Args, Debug)]
#[group(multiple = false)]
pub(super) struct PasswordArgs {
    /// Read the password from standard input, one line
    #[arg(long)]
    password_stdin: bool,
    /// Make up a password and print it, once, on standard output
    #[arg(long)]
    generate: bool,
}

/// A new password.
pub(super) struct New {
    pub(super) hash: PasswordHash,
    /// The text, if nobody knows it yet.
    pub(super) generated: Option<Zeroizing<String>>,
}

impl PasswordArgs {
    /// Gets a password for `name` and hashes it.
    pub(super) fn get(&self, name: &Username) -> Result<New, Failure> {
        if self.generate {
            let text = generate_password()?;
            let hash = hash_password(&Password::parse(text.as_str().to_owned())?)?;
            return Ok(New { hash, generated: Some(text) });
        }
        let password = if self.password_stdin { from_stdin()? } else { from_person(name)? };
        for warning in weaknesses(&password, name) {
            report::complain(format_args!("warning: {warning}"));
        }
        Ok(New { hash: hash_password(&password)?, generated: None })
    }
}

fn from_person(name: &Username) -> Result<Password, Failure> {
    if !stdin().is_terminal() {
        let message = "there is no terminal to ask on; write --password-stdin or --generate";
        return Err(Failure::Usage(message.to_owned()));
    }
    let [first, second] =
        terminal::ask_hidden(&[format!("New password for {name}: "), "The same again: ".to_owned()])?;
    let password = Password::parse(first.as_str().to_owned()).context("nothing was changed")?;
    if *first != *second {
        return Err(anyhow::anyhow!("the two passwords differ; nothing was changed").into());
    }
    Ok(password)
}

fn from_stdin() -> Result<Password, Failure> {
    if stdin().is_terminal() {
        let message =
            "--password-stdin is for pipes, a terminal would show the password; leave it out to be asked";
        return Err(Failure::Usage(message.to_owned()));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(secret::MOST_BYTES));
    stdin()
        .lock()
        .take(secret::MOST_BYTES as u64)
        .read_to_end(&mut bytes)
        .context("cannot read standard input")?;
    Ok(secret::one_line(&bytes, "standard input")?)
}

fn weaknesses(password: &Password, name: &Username) -> Vec<String> {
    let text = password.expose();
    let mut found = Vec::new();
    let length = text.chars().count();
    if length < FEW {
        found.push(format!("the password is short ({length} of at least {FEW} characters)"));
    }
    if text.eq_ignore_ascii_case(name.as_str()) {
        found.push("the password is the user's name".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::weaknesses;
    use crate::domain::{Password, Username};

    #[test]
    fn a_weak_password_is_warned_of() {
        let warnings = |text: &str| {
            weaknesses(&Password::parse(text.into()).unwrap(), &Username::parse("bob.miller").unwrap())
        };
        assert_eq!(warnings("1234567"), ["the password is short (7 of at least 8 characters)"]);
        assert_eq!(warnings("jürgenxx").len(), 0);
        assert_eq!(warnings("Bob.Miller"), ["the password is the user's name"]);
    }
}
