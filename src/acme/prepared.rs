//! What has to be had before root is left: port 80, and files that only root can read.

use std::net::TcpListener;
use std::path::Path;

use data_encoding::{BASE64URL_NOPAD, Specification};
use instant_acme::ExternalAccountKey;
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::error::AcmeError;
use crate::config::{AcmeBinding, AcmeSettings};
use crate::domain::pem::pem_certificates;
use crate::fs::{read_believed, read_secret};

/// Opened and read in advance.
pub struct Prepared {
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) binding: Option<ExternalAccountKey>,
    /// The socket for HTTP-01.
    pub listener: Option<TcpListener>,
}

impl Prepared {
    /// Reads the files of these settings; `listener` is the bound socket of `--acme-http-listen`.
    ///
    /// # Errors
    /// [`AcmeError::File`] names the option and the file.
    pub fn read(settings: &AcmeSettings, listener: Option<TcpListener>) -> Result<Self, AcmeError> {
        Ok(Self {
            roots: settings.ca.as_deref().map_or_else(|| Ok(Vec::new()), roots)?,
            binding: settings.binding.as_ref().map(binding).transpose()?,
            listener,
        })
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("listener", &self.listener).finish_non_exhaustive()
    }
}

fn roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, AcmeError> {
    let failed = |text: String| AcmeError::File { option: "--acme-ca", path: path.to_owned(), text };
    let bytes = read_believed(path).map_err(|error| failed(error.to_string()))?;
    let found = pem_certificates(&bytes).map_err(|error| failed(error.to_string()))?;
    if found.is_empty() { Err(failed("there is no certificate in it".to_owned())) } else { Ok(found) }
}

fn binding(binding: &AcmeBinding) -> Result<ExternalAccountKey, AcmeError> {
    let path = &binding.key_file;
    let failed = |text: String| AcmeError::File { option: "--acme-eab-key", path: path.clone(), text };
    let bytes = read_secret(path).map_err(|error| failed(error.to_string()))?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let key = decode(text.trim()).filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| failed("it does not hold one key in base64url".to_owned()))?;
    Ok(ExternalAccountKey::new(binding.kid.clone(), &key))
}

/// base64url (RFC 4648 section 5); what pads it is left out or not. The usual alphabet is taken too: some CAs print it.
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.trim_end_matches('=');
    let plain: Zeroizing<String> = Zeroizing::new(text.replace('+', "-").replace('/', "_"));
    // Bits behind the last whole byte: some generators leave them set.
    let mut lenient: Specification = BASE64URL_NOPAD.specification();
    lenient.check_trailing_bits = false;
    lenient.encoding().ok()?.decode(plain.as_bytes()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn keys_are_read_as_cas_print_them() {
        for text in ["-_8", "+/8", "-_8="] {
            assert_eq!(decode(text).unwrap().as_slice(), [0xfb, 0xff], "{text}");
        }
        assert!(decode("not a key").is_none());
    }
}
