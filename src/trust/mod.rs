//! Whose client certificates count, and who their holders are. No key is here and no socket: a certificate comes in, a
//! person or a refusal goes out.
//!
//! ```text
//! --client-ca, --client-crl, own CAs ─► Loaded ─┐  chain, dates, usage, depth, names, revocation
//!                                               ├──────────────► Person
//! --cert-user, --cert-map ─────────► NameRules ─┘  which field, which entry
//! ```
//!
//! All files are read again when they change. What is loaded is swapped as a whole; whoever holds something that was got by
//! a certificate asks again when [`ClientTrust::generation`] has moved.

mod authority;
mod chain;
mod constraints;
mod error;
mod field;
mod list;
mod load;
mod map;
mod public;
mod refusal;
mod revocation;
mod rules;
mod signed;
mod stamp;
mod subject;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::ca::{CA_FOLDER, LOGIN_CA_FOLDER};
use crate::config::{ClientCa, ClientCertSettings};
use crate::domain::{ClientCertificate, UnixSeconds};

pub use error::TrustError;
pub use refusal::Refusal;
pub use rules::Person;
pub use subject::CertificateFacts;

use load::Loaded;
use stamp::Stamps;

/// The CAs, their revocation lists, and the rules for names, as the files say now.
pub struct ClientTrust {
    settings: ClientCertSettings,
    /// Folders of CAs of our own; each one's index says which of its certificates count.
    own: Vec<PathBuf>,
    /// Folder of the CA for logins.
    login: Option<PathBuf>,
    current: ArcSwap<Loaded>,
    generation: AtomicU64,
    stamps: Mutex<Stamps>,
}

impl ClientTrust {
    /// Reads all files; a CA of our own is found under the `state` folder.
    ///
    /// # Errors
    /// [`TrustError`] names the option, the file and what is wrong with it.
    pub fn open(settings: &ClientCertSettings, state: &Path) -> Result<Self, TrustError> {
        let own = if settings.authorities.contains(&ClientCa::Own) {
            vec![state.join(CA_FOLDER)]
        } else {
            Vec::new()
        };
        let login = state.join(LOGIN_CA_FOLDER);
        let login = (!own.is_empty() && login.exists()).then_some(login);
        // Looked at before they are read: what changes in between is then read again, not missed.
        let stamps = Stamps::of(&load::files(settings, &own));
        let loaded = Loaded::read(settings, &own, login.as_deref())?;
        if let Some(foreign) = loaded.foreign_lists().into_iter().next() {
            return Err(foreign);
        }
        loaded.announce();
        Ok(Self {
            settings: settings.clone(),
            own,
            login,
            current: ArcSwap::from_pointee(loaded),
            generation: AtomicU64::new(0),
            stamps: Mutex::new(stamps),
        })
    }

    /// Who holds this certificate, as of `now`. Costs one or more signature checks: to be asked when a certificate is
    /// new, or when the [`ClientTrust::generation`] has moved.
    ///
    /// # Errors
    /// [`Refusal`] says why it lets nobody in.
    pub fn identify(&self, certificate: &ClientCertificate, now: UnixSeconds) -> Result<Person, Refusal> {
        let loaded = self.current.load();
        let facts = CertificateFacts::of(certificate.leaf())?;
        let verified = chain::verify(&loaded, &self.settings, certificate, &facts, now)?;
        loaded.rules.person(&facts, self.settings.user_field, verified)
    }

    /// Whether the chain is good, whoever its holder is: what a handshake that demands a certificate asks.
    ///
    /// # Errors
    /// [`Refusal`] says why not.
    pub fn verify(&self, certificate: &ClientCertificate, now: UnixSeconds) -> Result<(), Refusal> {
        let (loaded, facts) = (self.current.load(), CertificateFacts::of(certificate.leaf())?);
        if chain::is_of_login(&loaded, certificate, &facts, now)? {
            return Ok(());
        }
        chain::verify(&loaded, &self.settings, certificate, &facts, now).map(drop)
    }

    /// Whether this is a certificate of the CA for logins. It names its user and counts as long as the store says so;
    /// neither field nor mapping file is asked about it.
    ///
    /// # Errors
    /// [`Refusal`] if it is one of them and no good, whatever the store says.
    pub fn is_of_login(&self, certificate: &ClientCertificate, now: UnixSeconds) -> Result<bool, Refusal> {
        let facts = CertificateFacts::of(certificate.leaf())?;
        chain::is_of_login(&self.current.load(), certificate, &facts, now)
    }

    /// Counts changes of what is loaded.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Names of the CAs (DER), which browsers choose a certificate by (RFC 8446 section 4.2.4).
    #[must_use]
    pub fn subjects(&self) -> Vec<Vec<u8>> {
        self.current.load().subjects()
    }

    /// When something else may count than now, though no file changes: a revocation list begins or is over then.
    #[must_use]
    pub fn next_change(&self, now: UnixSeconds) -> Option<UnixSeconds> {
        self.current.load().next_change(now)
    }

    /// What is allowed and probably not what was meant, one sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.current.load().warnings(self.settings.user_field)
    }

    /// Reads the files again if one of them changed; `true` if anything else counts now. Blocking, and cheap if nothing
    /// changed: a look at each file's inode.
    ///
    /// A file that cannot be used leaves what was loaded in use, and is logged. The index of a CA of our own is the
    /// exception: without it, nobody knows what was revoked, so that none of that CA's certificates counts.
    pub fn refresh(&self) -> bool {
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = Stamps::of(&load::files(&self.settings, &self.own));
        if *stamps == seen {
            return false;
        }
        *stamps = seen;
        self.reload()
    }

    /// Reads the files again; `true` if anything else counts now.
    fn reload(&self) -> bool {
        let mut loaded = match Loaded::read(&self.settings, &self.own, self.login.as_deref()) {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::error!(
                    target: "doorward::trust",
                    option = error.option(), error = format!("{:#}", anyhow::Error::new(error)),
                    "files of the certificate door cannot be used; what was read before stays in use"
                );
                let Some(closed) = self.current.load().with_own_of_now(&self.own) else { return false };
                closed
            }
        };
        loaded.keep_closed(&self.current.load());
        for foreign in loaded.foreign_lists() {
            tracing::error!(
                target: "doorward::trust",
                option = foreign.option(), error = format!("{:#}", anyhow::Error::new(foreign)),
                "a revocation list counts for nothing"
            );
        }
        loaded.announce();
        self.current.store(Arc::new(loaded));
        self.generation.fetch_add(1, Ordering::AcqRel);
        true
    }
}

impl std::fmt::Debug for ClientTrust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTrust").field("settings", &self.settings).finish_non_exhaustive()
    }
}
