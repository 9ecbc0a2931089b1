//! Passwords and passphrases from files and pipes.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use zeroize::Zeroizing;

use crate::domain::Password;
use crate::fs::is_mounted_secret;

/// More than a password can have, so that a longer line is seen to be one.
pub(super) const MOST_BYTES: usize = 4096;

/// The one line of a file: a private one, a secret that a container was given, or a pipe.
pub(super) fn from_file(path: &Path) -> anyhow::Result<Password> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
    let metadata = file.metadata().with_context(|| format!("cannot read {name}"))?;
    let is_mounted = || metadata.mode() & 0o022 == 0 && is_mounted_secret(&file);
    if metadata.is_file() && metadata.mode() & 0o077 != 0 && !is_mounted() {
        anyhow::bail!("{name} is open to others; run: chmod 600 {name}");
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST_BYTES));
    file.take(MOST_BYTES as u64).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
    one_line(&bytes, &name.to_string())
}

/// The end of the line is no part of the password, whether it is there or not.
pub(super) fn one_line(bytes: &[u8], from: &str) -> anyhow::Result<Password> {
    let text =
        std::str::from_utf8(bytes).ok().with_context(|| format!("the password in {from} is not UTF-8"))?;
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if line.contains(['\n', '\r']) {
        anyhow::bail!("{from} has more than one line; the password is one");
    }
    Ok(Password::parse(line.to_owned())?)
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_password_from_a_pipe_is_one_line_with_or_without_its_end() {
        for bytes in ["a b ", "a b \n", "a b \r\n"] {
            assert_eq!(one_line(bytes.as_bytes(), "x").unwrap().expose(), "a b ", "{bytes:?}");
        }
        for bytes in ["", "\n", "a\nb", "a\n\n", "a\rb\n", "a\0b"] {
            assert!(one_line(bytes.as_bytes(), "x").is_err(), "{bytes:?}");
        }
        assert!(one_line(b"a\xff", "x").is_err() && one_line("x".repeat(512).as_bytes(), "x").is_err());
        assert!(one_line(format!("{}\n", "x".repeat(511)).as_bytes(), "x").is_ok());
    }
}
