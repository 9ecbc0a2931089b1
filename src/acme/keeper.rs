//! Keeps the certificate fresh: looks, orders when it is time, waits when it failed.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{CertificateIdentifier, ChallengeType, ExternalAccountKey};

use super::account;
use super::attempts::Attempts;
use super::challenges::Challenges;
use super::client::Client;
use super::error::AcmeError;
use super::folder::{self, Folder};
use super::kept::Kept;
use super::order::{self, Wish};
use super::prepared::Prepared;
use super::schedule::{self, Failure, Window};
use crate::config::AcmeSettings;
use crate::domain::{Clock, UnixSeconds};

/// Longest that one attempt may take in all.
const WHOLE: Duration = Duration::from_secs(600);
/// How often a server is asked for its window at most and at least.
const MOST_OFTEN: UnixSeconds = 6 * 3600;
const LEAST_OFTEN: UnixSeconds = 24 * 3600;

/// What to do with a certificate that was got: take it into use.
pub type Install = Box<dyn Fn() -> Result<(), String>>;

/// The one that keeps it fresh.
pub struct Keeper {
    settings: AcmeSettings,
    folder: Folder,
    roots: Vec<rustls::pki_types::CertificateDer<'static>>,
    binding: Option<ExternalAccountKey>,
    challenges: Arc<Challenges>,
    clock: Clock,
    install: Install,
    /// Whether HTTP-01 can be answered.
    has_http: bool,
    has_tried: bool,
    advice: Advice,
}

/// What the server last said about when to renew.
#[derive(Default)]
struct Advice {
    window: Option<Window>,
    /// When to ask again.
    next: UnixSeconds,
    /// Which certificate it was said of.
    of: Vec<u8>,
}

impl Keeper {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(
        settings: AcmeSettings,
        folder: Folder,
        prepared: Prepared,
        challenges: Arc<Challenges>,
        clock: Clock,
        install: Install,
    ) -> Self {
        Self {
            has_http: settings.http_listen.is_some(),
            settings,
            folder,
            roots: prepared.roots,
            binding: prepared.binding,
            challenges,
            clock,
            install,
            has_tried: false,
            advice: Advice::default(),
        }
    }

    /// Looks after the certificate until it is dropped.
    pub async fn run(mut self) {
        loop {
            let wait = self.look().await;
            tokio::time::sleep(wait).await;
        }
    }

    /// Does what is due, and says when to look again. What happens is logged.
    pub async fn look(&mut self) -> Duration {
        let now = self.clock.now();
        let kept = Kept::load(&self.folder).unwrap_or_else(|error| {
            tracing::warn!(error = error.in_full(), "the kept certificate cannot be used; ordering another");
            None
        });
        let kept = kept.filter(|kept| kept.is_for(&self.settings.domains));
        if let Some(kept) = &kept {
            let due = schedule::due(kept, self.window(kept, now).await);
            if now < due {
                return schedule::sleep_until(due, now);
            }
        }
        let attempts = Attempts::load(&self.folder, &self.settings.domains);
        let from = attempts.not_before(!self.has_tried, now);
        if now < from {
            return schedule::sleep_until(from, now);
        }
        self.has_tried = true;
        match self.attempt(kept.as_ref(), attempts.failures).await {
            Ok(()) => self.succeeded(attempts),
            Err(error) => self.failed(attempts, &error),
        }
    }

    async fn attempt(&self, kept: Option<&Kept>, failures: u32) -> Result<(), AcmeError> {
        let pem = tokio::time::timeout(WHOLE, self.order(kept, failures))
            .await
            .unwrap_or(Err(AcmeError::Slow(WHOLE.as_secs())))?;
        folder::write(&self.folder.certificate(), pem.as_bytes())
    }

    async fn order(
        &self,
        kept: Option<&Kept>,
        failures: u32,
    ) -> Result<zeroize::Zeroizing<String>, AcmeError> {
        let client = Client::new(&self.roots)?;
        let account = account::open(&self.settings, &self.folder, &client, self.binding.as_ref()).await?;
        let kinds = self.kinds(failures);
        let replaces = self.advice.window.and(kept).and_then(name_of);
        let wish = Wish { domains: &self.settings.domains, kinds: &kinds, replaces };
        order::obtain(&account, &wish, &self.challenges, self.clock.now()).await
    }

    /// Whoever opens port 80 for it wants it used; after a failure the other kind has its turn.
    fn kinds(&self, failures: u32) -> Vec<ChallengeType> {
        let mut kinds = vec![ChallengeType::TlsAlpn01];
        if self.has_http {
            kinds.insert(0, ChallengeType::Http01);
        }
        if failures % 2 == 1 {
            kinds.reverse();
        }
        kinds
    }

    fn succeeded(&self, mut attempts: Attempts) -> Duration {
        let now = self.clock.now();
        if let Err(error) = Attempts::forget(&self.folder) {
            tracing::warn!(error = error.in_full(), "cannot forget the failures of before");
        }
        match (self.install)() {
            Ok(()) => tracing::info!(domains = self.domains(), "the ACME server gave a certificate"),
            Err(error) => {
                tracing::error!(error, "the certificate that the ACME server gave cannot be taken into use");
            }
        }
        let due = Kept::load(&self.folder)
            .ok()
            .flatten()
            .map_or(UnixSeconds::MAX, |kept| schedule::due(&kept, None));
        if now < due {
            return schedule::sleep_until(due, now);
        }
        // Ordering again at once, and again, would use up what the server grants.
        let reason = "the new certificate would have to be renewed already; is the clock right?";
        tracing::error!("{reason}");
        let next = now + schedule::pause(Failure::Limited, attempts.failures.saturating_add(4), lot());
        if let Err(error) = attempts.note(&self.folder, now, next, reason.to_owned()) {
            tracing::error!(error = error.in_full(), "cannot note that it is due already");
        }
        schedule::sleep_until(next, now)
    }

    fn failed(&self, mut attempts: Attempts, error: &AcmeError) -> Duration {
        let failure = error.failure();
        if error.refusal() == Some("accountDoesNotExist")
            && let Err(error) = account::forget(&self.folder)
        {
            tracing::error!(error = error.in_full(), "cannot forget the account");
        }
        let now = self.clock.now();
        let reason = error.in_full();
        let next = now + schedule::pause(failure, attempts.failures.saturating_add(1), lot());
        tracing::error!(
            domains = self.domains(),
            error = reason,
            next = date(next),
            "no certificate from the ACME server; the one in use stays"
        );
        if let Err(error) = attempts.note(&self.folder, now, next, reason) {
            tracing::error!(error = error.in_full(), "cannot note that it failed");
        }
        schedule::sleep_until(next, now)
    }

    /// When the server would have the certificate renewed (RFC 9773); `None` if it does not say.
    async fn window(&mut self, kept: &Kept, now: UnixSeconds) -> Option<Window> {
        if self.advice.of != kept.leaf.as_ref() {
            self.advice = Advice { of: kept.leaf.to_vec(), ..Advice::default() };
        }
        if now >= self.advice.next {
            self.advice.next = now + LEAST_OFTEN;
            match self.ask_for_window(kept).await {
                Ok(Some((window, again))) => {
                    self.advice.window = Some(window);
                    self.advice.next = now + again.clamp(MOST_OFTEN, LEAST_OFTEN);
                }
                Ok(None) => self.advice.window = None,
                Err(error) => {
                    tracing::debug!(error = error.in_full(), "the ACME server says nothing about renewals");
                }
            }
        }
        self.advice.window
    }

    async fn ask_for_window(&self, kept: &Kept) -> Result<Option<(Window, UnixSeconds)>, AcmeError> {
        let Some(name) = name_of(kept) else { return Ok(None) };
        let Some(account) = account::kept(&self.folder, &Client::new(&self.roots)?).await? else {
            return Ok(None);
        };
        match account.renewal_info(&name).await {
            Ok((info, again)) => {
                let window = info.suggested_window;
                let window =
                    Window { start: window.start.unix_timestamp(), end: window.end.unix_timestamp() };
                Ok(Some((window, UnixSeconds::try_from(again.as_secs()).unwrap_or(LEAST_OFTEN))))
            }
            Err(instant_acme::Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(AcmeError::Server(error)),
        }
    }

    fn domains(&self) -> String {
        self.settings.domains.join(",")
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// `None` if the certificate does not name its issuer's key (RFC 9773 section 4.1).
fn name_of(kept: &Kept) -> Option<CertificateIdentifier<'static>> {
    CertificateIdentifier::try_from(&kept.leaf).ok().map(CertificateIdentifier::into_owned)
}

/// From 0 to 1, another each time.
fn lot() -> f64 {
    let mut bytes = [0_u8; 4];
    // Without random numbers nothing is spread, and nothing else happens.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

fn date(seconds: UnixSeconds) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| format!("second {seconds}"), |time| time.to_string())
}
