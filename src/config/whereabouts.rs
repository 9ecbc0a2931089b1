//! Where a gateway with these settings can be found, for a health check that need not know the rest.

use std::path::PathBuf;

use super::address;
use super::check::Checker;
use super::checked::ListenAddress;
use super::environment::Environment;
use super::gather::Gathered;
use super::places;
use super::problem::Problem;

/// How to find the gateway.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Whereabouts {
    /// Where it listens.
    pub listen: Vec<ListenAddress>,
    /// Whether it speaks TLS itself, if the settings tell: options typed to `serve` are not known here.
    pub tls: Option<bool>,
    /// Its self-signed certificate.
    pub certificate: Option<PathBuf>,
}

impl Gathered {
    /// The state folder alone, for commands that look into it.
    ///
    /// # Errors
    /// Problems of the file and of this one setting.
    pub fn state_folder(self, environment: &Environment) -> Result<PathBuf, Vec<Problem>> {
        let raw = &self.raw.clone();
        let mut checker = Checker::new(raw, environment);
        let (state, _) = places::folders(&mut checker);
        let problems = self.placed(checker.into_problems());
        if problems.is_empty() { Ok(state) } else { Err(problems) }
    }

    /// Looks only at what a client needs; who may come in is not its business.
    ///
    /// # Errors
    /// Problems of the file and of the listen addresses.
    pub fn whereabouts(self, environment: &Environment) -> Result<Whereabouts, Vec<Problem>> {
        let raw = &self.raw.clone();
        // Without a home the state folder is unknown, which only costs the comparison of certificates.
        let mut unheard = Checker::new(raw, environment);
        let (state, _) = places::folders(&mut unheard);
        let mut checker = Checker::new(raw, environment);
        let listen = address::listen(&mut checker);
        let secured = !raw.autocert.is_empty() || raw.certfile.is_some() || !raw.acme.is_empty();
        let tls = match (secured, raw.assume_secure == Some(true)) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        };
        let certificate = (!raw.autocert.is_empty()).then(|| state.join("autocert").join("cert.pem"));
        let problems = self.placed(checker.into_problems());
        if problems.is_empty() { Ok(Whereabouts { listen, tls, certificate }) } else { Err(problems) }
    }
}
