//! PEM files as people make them (RFC 7468, and RFC 1421 for encrypted keys of the old form), read whole or not at all.
//!
//! A reader that passes over what it does not understand serves half a chain, or misses a revocation list, and nobody
//! learns why. So text between blocks is skipped, as RFC 7468 section 2 asks for, and so are `EC PARAMETERS` and
//! `DH PARAMETERS`, which openssl writes in front of keys; everything else that begins or ends a block must be in order.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
/// What editors of another system put in front of a text (U+FEFF in UTF-8).
const BYTE_ORDER_MARK: char = '\u{feff}';
/// Labels of blocks that say nothing which the key or the certificate does not say itself.
const SKIPPED: [&str; 2] = ["EC PARAMETERS", "DH PARAMETERS"];
/// A certificate; the older label is OpenSSL's (RFC 7468 section 5.1).
pub const CERTIFICATE: [&str; 2] = ["CERTIFICATE", "X509 CERTIFICATE"];
/// A revocation list (RFC 7468 section 6).
pub const REVOCATION_LIST: [&str; 1] = ["X509 CRL"];
/// A private key in PKCS#8, PKCS#1 or SEC1 form.
pub const PRIVATE_KEY: [&str; 3] = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
/// PKCS#8's own encrypted form (RFC 7468 section 11).
const ENCRYPTED_KEY: &str = "ENCRYPTED PRIVATE KEY";

/// One block.
#[derive(Clone)]
pub struct PemBlock {
    /// What stands between `BEGIN` and the dashes.
    pub label: String,
    /// Its content.
    pub der: Vec<u8>,
    /// The line that it begins at, counted from 1.
    pub line: usize,
}

impl PemBlock {
    /// The private key that it is, if it is one.
    #[must_use]
    pub fn private_key(&self) -> Option<PrivateKeyDer<'static>> {
        let der = self.der.clone();
        match self.label.as_str() {
            "PRIVATE KEY" => Some(PrivateKeyDer::Pkcs8(der.into())),
            "RSA PRIVATE KEY" => Some(PrivateKeyDer::Pkcs1(der.into())),
            "EC PRIVATE KEY" => Some(PrivateKeyDer::Sec1(der.into())),
            _ => None,
        }
    }
}

/// The certificates of a file that holds nothing else.
///
/// # Errors
/// As [`pem_blocks`].
pub fn pem_certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    Ok(pem_blocks(bytes, &CERTIFICATE)?.into_iter().map(|block| CertificateDer::from(block.der)).collect())
}

/// Why a file is refused. It never quotes the file, which may hold a key.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum PemError {
    /// Another encoding than ASCII or UTF-8.
    #[error(
        "it is not ASCII or UTF-8 text; save it as UTF-8 (in DER form: openssl x509 -inform DER -in FILE)"
    )]
    NotText,
    /// `-----BEGIN` or `-----END` that does not end with five dashes, or begins with other than five.
    #[error("line {0}: this is no whole '-----BEGIN …-----' or '-----END …-----' line")]
    Boundary(usize),
    /// A block that another one begins in, or the file ends in.
    #[error("the block that begins at line {0} has no '-----END …-----' line")]
    NoEnd(usize),
    /// An end without a begin, or with another label.
    #[error("line {0}: this '-----END …-----' ends no block that began")]
    StrayEnd(usize),
    /// The content.
    #[error("the block that begins at line {0} is not base64")]
    Base64(usize),
    /// A key that needs a password.
    #[error("the private key at line {0} is encrypted, and nobody is there to type its password")]
    Encrypted(usize),
    /// A block of another kind.
    #[error("line {line}: a block '{label}' is not understood here; take it out of the file")]
    Label {
        /// Where it begins.
        line: usize,
        /// What it says it is; letters, digits, spaces and signs of ASCII.
        label: String,
    },
}

impl PemError {
    /// The line that it is about, counted from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        match self {
            Self::NotText => 1,
            Self::Boundary(line)
            | Self::NoEnd(line)
            | Self::StrayEnd(line)
            | Self::Base64(line)
            | Self::Encrypted(line)
            | Self::Label { line, .. } => *line,
        }
    }
}

/// All blocks of a file, all of which must have one of these labels, or say nothing.
///
/// # Errors
/// [`PemError`] for whatever begins or ends a block and is not in order.
pub fn pem_blocks(bytes: &[u8], labels: &[&str]) -> Result<Vec<PemBlock>, PemError> {
    let mut blocks = Reader::default().read(bytes)?;
    blocks.retain(|block| !SKIPPED.contains(&block.label.as_str()));
    for block in &blocks {
        if labels.contains(&block.label.as_str()) {
            continue;
        }
        if block.label == ENCRYPTED_KEY {
            return Err(PemError::Encrypted(block.line));
        }
        return Err(PemError::Label { line: block.line, label: block.label.clone() });
    }
    Ok(blocks)
}

/// A block under way.
struct Open {
    label: String,
    line: usize,
    text: String,
    is_encrypted: bool,
    in_headers: bool,
}

#[derive(Default)]
struct Reader {
    blocks: Vec<PemBlock>,
    open: Option<Open>,
}

impl Reader {
    fn read(mut self, bytes: &[u8]) -> Result<Vec<PemBlock>, PemError> {
        // Text around the blocks may be in any encoding that keeps ASCII apart; UTF-16 does not.
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) || bytes.contains(&0) {
            return Err(PemError::NotText);
        }
        let text = String::from_utf8_lossy(bytes);
        let lines =
            text.split('\n').flat_map(|line| line.trim_end_matches('\r').split('\r').map(Some).chain([None]));
        let mut number = 1;
        for line in lines {
            match line {
                Some(line) => self.line(line, number)?,
                None => number += 1,
            }
        }
        match self.open {
            Some(open) => Err(PemError::NoEnd(open.line)),
            None => Ok(self.blocks),
        }
    }

    /// One line, or what is left of it: files that lack their last line's end are often joined with the next.
    fn line(&mut self, line: &str, number: usize) -> Result<(), PemError> {
        let mut rest = line.trim_matches(|c: char| c.is_whitespace() || c == BYTE_ORDER_MARK);
        loop {
            let Some(at) = rest.find("----") else {
                self.content(rest);
                return Ok(());
            };
            let (before, boundary) = rest.split_at(at);
            if !is_boundary(boundary) {
                // A ruler of dashes between the blocks, or something that was never base64.
                self.content(rest);
                return Ok(());
            }
            if self.open.is_some() {
                self.content(before);
            } else if before.ends_with('-') {
                return Err(PemError::Boundary(number));
            }
            rest = self.boundary(boundary, number)?.trim_start_matches(BYTE_ORDER_MARK);
        }
    }

    /// Begins or ends a block; gives what stands behind it in its line.
    fn boundary<'a>(&mut self, text: &'a str, number: usize) -> Result<&'a str, PemError> {
        let (is_begin, inner) = match (text.strip_prefix(BEGIN), text.strip_prefix(END)) {
            (Some(inner), _) => (true, inner),
            (None, Some(inner)) => (false, inner),
            (None, None) => return Err(PemError::Boundary(number)),
        };
        let (label, rest) = inner.split_once(DASHES).ok_or(PemError::Boundary(number))?;
        let is_label = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'.' | b'_' | b'/' | b'#');
        if label.is_empty() || label.len() > 64 || !label.bytes().all(is_label) {
            return Err(PemError::Boundary(number));
        }
        // Of "-----END X----------BEGIN Y-----" the next five dashes are the next boundary's; a sixth is a mistake.
        if rest.starts_with('-') && !rest.starts_with(BEGIN) {
            return Err(PemError::Boundary(number));
        }
        if is_begin {
            self.begin(label, number)?
        } else {
            self.end(label, number)?
        }
        Ok(rest)
    }

    fn begin(&mut self, label: &str, line: usize) -> Result<(), PemError> {
        if let Some(open) = &self.open {
            return Err(PemError::NoEnd(open.line));
        }
        let label = label.to_owned();
        self.open = Some(Open { label, line, text: String::new(), is_encrypted: false, in_headers: true });
        Ok(())
    }

    fn end(&mut self, label: &str, number: usize) -> Result<(), PemError> {
        let open = self.open.take().filter(|open| open.label == label).ok_or(PemError::StrayEnd(number))?;
        if open.is_encrypted {
            return Err(PemError::Encrypted(open.line));
        }
        let der = STANDARD.decode(open.text.as_bytes()).map_err(|_| PemError::Base64(open.line))?;
        if der.is_empty() {
            return Err(PemError::Base64(open.line));
        }
        self.blocks.push(PemBlock { label: open.label, der, line: open.line });
        Ok(())
    }

    fn content(&mut self, text: &str) {
        let Some(open) = &mut self.open else { return };
        let text = text.trim();
        // RFC 1421 section 4.6: "Name: value" in front of the content of old forms.
        if open.in_headers && text.contains(": ") {
            open.is_encrypted |= text.starts_with("Proc-Type:") && text.contains("ENCRYPTED");
            return;
        }
        open.in_headers &= text.is_empty();
        open.text.extend(text.chars().filter(|c| !c.is_whitespace()));
    }
}

/// Whether this was meant to begin or end a block, however many dashes it has.
fn is_boundary(text: &str) -> bool {
    let word = text.trim_start_matches('-');
    word.starts_with("BEGIN") || word.starts_with("END")
}

#[cfg(test)]
mod tests {
    use super::{CERTIFICATE, PRIVATE_KEY, PemError, pem_blocks};

    fn labels() -> Vec<&'static str> {
        [&CERTIFICATE[..], &PRIVATE_KEY[..]].concat()
    }

    /// Label, content and line of each block.
    fn read(text: &str) -> Result<Vec<(String, String, usize)>, PemError> {
        let blocks = pem_blocks(text.as_bytes(), &labels())?;
        Ok(blocks
            .into_iter()
            .map(|block| (block.label, String::from_utf8(block.der).unwrap(), block.line))
            .collect())
    }

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nb25l\n-----END CERTIFICATE-----";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\na2V5\n-----END PRIVATE KEY-----";

    #[test]
    fn w10_files_as_people_make_them_are_read_whole() {
        let both = |first: usize, second: usize| {
            vec![
                ("CERTIFICATE".to_owned(), "one".to_owned(), first),
                ("PRIVATE KEY".to_owned(), "key".to_owned(), second),
            ]
        };
        for (text, found) in [
            (format!("{ONE}\n{KEY}\n"), both(1, 4)),
            (format!("{ONE}{KEY}"), both(1, 3)),
            (format!("{ONE}\r\n{KEY}\r\n").replace('\n', "\r\n").replace("\r\r", "\r"), both(1, 4)),
            (format!("\u{feff}{ONE}\n\u{feff}{KEY}"), both(1, 4)),
            (format!("{ONE}\u{feff}{KEY}"), both(1, 3)),
            (
                format!("subject=CN = Jürgen\n---\n{ONE}\n\nBag Attributes: x\n{KEY}\nthe end ----\n"),
                both(3, 8),
            ),
            (
                format!("{ONE}\n-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\n{KEY}"),
                both(1, 7),
            ),
            (format!("{}\n  {KEY}  ", ONE.replace("b25l", "b2\n 5l ")), both(1, 5)),
            (ONE.replace("b25l\n", "b25l") + "\n" + KEY, both(1, 3)),
        ] {
            assert_eq!(read(&text), Ok(found), "{text:?}");
        }
        let latin = [b"CN=J\xfcrgen\n", ONE.as_bytes()].concat();
        assert_eq!(pem_blocks(&latin, &labels()).map(|blocks| blocks.len()), Ok(1));
        assert_eq!(read("no block at all"), Ok(Vec::new()));
    }

    #[test]
    fn w10_what_is_not_in_order_is_refused_with_its_line_and_never_in_part() {
        let other = "-----BEGIN CERTIFICATE REQUEST-----\nb25l\n-----END CERTIFICATE REQUEST-----";
        let label = PemError::Label { line: 4, label: "CERTIFICATE REQUEST".to_owned() };
        for (text, why) in [
            (format!("{ONE}\n{other}"), label),
            (format!("{ONE}\n----BEGIN PRIVATE KEY-----\na2V5\n"), PemError::Boundary(4)),
            (format!("{ONE}\n------BEGIN PRIVATE KEY-----\na2V5\n"), PemError::Boundary(4)),
            (format!("{ONE}\n-----BEGIN PRIVATE KEY----\na2V5\n{ONE}"), PemError::Boundary(4)),
            (format!("{ONE}\n-----BEGINPRIVATE KEY-----\na2V5"), PemError::Boundary(4)),
            (format!("{ONE}\n-----BEGIN PRIVATE KEY-----\na2V5\n{ONE}"), PemError::NoEnd(4)),
            (format!("{ONE}\n-----BEGIN PRIVATE KEY-----\na2V5\n"), PemError::NoEnd(4)),
            (format!("{ONE}\n-----END CERTIFICATE-----"), PemError::StrayEnd(4)),
            (ONE.replace("END CERTIFICATE", "END X509 CRL"), PemError::StrayEnd(3)),
            (ONE.replace("b25l", "b25l!"), PemError::Base64(1)),
            (ONE.replace("b25l", "b25"), PemError::Base64(1)),
            (ONE.replace("b25l", ""), PemError::Base64(1)),
            (KEY.replace("a2V5", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\na2V5"), PemError::Encrypted(1)),
            (KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"), PemError::Encrypted(1)),
        ] {
            assert_eq!(read(&text), Err(why), "{text:?}");
        }
        let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(ONE.bytes().flat_map(|b| [b, 0])).collect();
        assert_eq!(pem_blocks(&wide, &labels()).err(), Some(PemError::NotText));
    }

    proptest::proptest! {
        #[test]
        fn w10_no_bytes_make_the_reader_panic(text in "(-----BEGIN |-----END |CERTIFICATE|-----|----|\n|\r|b25l| |: |\u{feff}|.){0,24}") {
            let _ = read(&text);
        }
    }
}
