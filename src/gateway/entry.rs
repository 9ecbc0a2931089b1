//! What is known of a request while it is under way, and its line in the log when it is over.

use std::borrow::Cow;
use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method};
use tokio::time::Instant;

use crate::audit::{Line, Sink, clean, clean_path, rfc3339, who};
use crate::domain::{ClientCertificate, UnixMillis};
use crate::identity::Identity;
use crate::listener::Forwarded;
use crate::policy::FetchMetadata;

/// What is known of a request before anybody is identified.
pub(super) struct Facts {
    pub(super) id: RequestId,
    pub(super) begun: Instant,
    /// The same on the wall clock.
    pub(super) time: UnixMillis,
    pub(super) client: IpAddr,
    pub(super) client_text: HeaderValue,
    pub(super) forwarded: Forwarded,
    pub(super) authority: Option<HeaderValue>,
    /// What the browser says of the request, if one made it.
    pub(super) fetch: FetchMetadata,
    /// It is shown pages, and not errors for programs.
    pub(super) for_browser: bool,
    pub(super) method: Method,
    /// What the client showed; judged or not.
    pub(super) certificate: Option<Arc<ClientCertificate>>,
}

/// What the log needs beside the facts.
#[derive(Default)]
pub(super) struct Noted {
    pub(super) identity: Option<Identity>,
    /// As it came, until it has been read.
    pub(super) path: Option<PathAndQuery>,
    pub(super) reason: Option<Cow<'static, str>>,
}

/// Writes the line when the request is over, in whatever way.
pub(super) struct Entry<'a> {
    pub(super) log: &'a Sink,
    pub(super) facts: &'a Facts,
    pub(super) noted: Noted,
    pub(super) status: u16,
    pub(super) bytes: Option<u64>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if !self.log.is_on() {
            return;
        }
        let identity = self.noted.identity.as_ref();
        let lasted = self.facts.begun.elapsed();
        self.log.request(&Line {
            time: rfc3339(self.facts.time.saturating_add(whole_millis(lasted))),
            who: identity.map(|identity| identity.log_words(log_words)),
            event: "request",
            id: std::str::from_utf8(&self.facts.id.digits()).unwrap_or_default(),
            user: identity.and_then(shown_user),
            door: identity.map(|identity| identity.door().as_str()),
            credential: identity.map(Identity::credential_id),
            certificate: self.facts.certificate.as_ref().map(|shown| shown.fingerprint()),
            address: self.facts.client_text.to_str().unwrap_or_default(),
            method: clean(self.facts.method.as_str()),
            path: clean_path(self.noted.path.as_ref().map_or("", PathAndQuery::path)),
            status: self.status,
            bytes: self.bytes,
            duration_ms: (lasted.as_secs_f64() * 1e6).round() / 1e3,
            reason: self.noted.reason.as_deref(),
        });
    }
}

fn log_words(identity: &Identity) -> Box<str> {
    who(shown_user(identity), identity.door().as_str(), identity.credential_id())
}

pub(super) fn shown_user(identity: &Identity) -> Option<&str> {
    (identity.door() != crate::domain::Door::None).then(|| identity.user().as_str())
}

pub(super) fn millis(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn whole_millis(lasted: Duration) -> UnixMillis {
    UnixMillis::try_from(lasted.as_millis()).unwrap_or(UnixMillis::MAX)
}

/// Ids for requests: a random start for each thread, then counted. They are labels, not secrets.
pub(super) struct RequestIds(Cell<u64>);

impl RequestIds {
    pub(super) fn new() -> Self {
        let mut bytes = [0_u8; 8];
        let _ = aws_lc_rs::rand::fill(&mut bytes);
        Self(Cell::new(u64::from_le_bytes(bytes)))
    }

    pub(super) fn next(&self) -> RequestId {
        let id = self.0.get().wrapping_add(1);
        self.0.set(id);
        RequestId(id)
    }
}

/// One request's id; put into words only where it is shown.
#[derive(Clone, Copy)]
pub(super) struct RequestId(u64);

impl RequestId {
    pub(super) fn text(self) -> String {
        String::from_utf8_lossy(&self.digits()).into_owned()
    }

    /// In hexadecimal. All half bytes are spread out at once: this is written for each request.
    fn digits(self) -> [u8; 16] {
        let mut spread = u128::from(self.0);
        spread = (spread | spread << 32) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
        spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
        spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
        spread = (spread | spread << 4) & (EACH * 0x0f);
        let letters = ((spread + EACH * 6) >> 4) & EACH;
        (spread + EACH * u128::from(b'0') + letters * u128::from(b'a' - b'0' - 10)).to_be_bytes()
    }
}

/// One in each byte.
const EACH: u128 = u128::from_ne_bytes([1; 16]);

#[cfg(test)]
mod tests {
    use super::RequestId;

    #[test]
    fn an_id_is_written_in_hexadecimal() {
        for id in [0, 1, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX, 0x9a9a_a9a9_0f0f_f0f0] {
            assert_eq!(RequestId(id).text(), format!("{id:016x}"));
        }
    }
}
