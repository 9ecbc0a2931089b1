//! Revocation lists in PEM form, with their lines, so that none is overlooked.
//!
//! PEM readers skip what they do not know (RFC 7468 section 2). A list that is skipped is a revocation that does not
//! count. So what looks like a list and cannot be read is an error here, and so is whatever might hold one.

use rustls::pki_types::pem::{PemObject, SectionKind};

/// A list, and the line that it begins in, counted from 1.
pub(super) struct Block {
    pub(super) line: usize,
    pub(super) der: Vec<u8>,
}

/// The line, and what is wrong there.
pub(super) type Wrong = (usize, String);

const BEGIN: &str = "BEGIN X509 CRL-----";
/// Files that hold a CA's certificate and its list are common.
const CERTIFICATE: &str = "BEGIN CERTIFICATE-----";

/// All lists of a file. Text and certificates may stand among them.
pub(super) fn blocks(bytes: &[u8]) -> Result<Vec<Block>, Wrong> {
    let begins = begins(bytes)?;
    let mut found = Vec::new();
    for block in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        let line = begins.get(found.len()).copied().unwrap_or(1);
        let (kind, der) = block.map_err(|error| (line, format!("the PEM block is broken ({error})")))?;
        if kind == SectionKind::Crl {
            found.push(Block { line, der });
        }
    }
    if found.len() != begins.len() {
        let text = format!(
            "'-----{BEGIN}' stands {} times in the file, but {} lists can be read; each begins and ends with a line of its \
             own",
            begins.len(),
            found.len()
        );
        return Err((begins.first().copied().unwrap_or(1), text));
    }
    Ok(found)
}

/// The lines in which lists begin, in whatever spelling.
fn begins(bytes: &[u8]) -> Result<Vec<usize>, Wrong> {
    let mut begins = Vec::new();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = at + 1;
        if line.iter().any(|byte| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\x0c')) {
            return Err((
                number,
                "is no text; keep lists in PEM and in DER form in files of their own".to_owned(),
            ));
        }
        let text = String::from_utf8_lossy(line).to_ascii_uppercase();
        let ours = text.matches(BEGIN).count();
        let others = text.matches("BEGIN ").count() - ours - text.matches(CERTIFICATE).count();
        if others > 0 && text.contains("-----") {
            return Err((number, format!("begins something else than '-----{BEGIN}'")));
        }
        begins.extend(std::iter::repeat_n(number, ours));
    }
    Ok(begins)
}
