//! The one place that reads the wall clock, so that expiry can be tested without waiting.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Instant, UNIX_EPOCH};

/// Seconds since the Unix epoch.
pub type UnixSeconds = i64;
/// Milliseconds since the Unix epoch.
pub type UnixMillis = i64;

/// The wall clock, or a hand-moved one in tests.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Hands>>);

/// A manual clock's hands, in milliseconds.
#[derive(Debug)]
struct Hands {
    wall: AtomicI64,
    steady: AtomicI64,
}

impl Clock {
    /// The machine's own clock.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands at `start` seconds until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual(start: UnixSeconds) -> Self {
        Self(Some(Arc::new(Hands { wall: AtomicI64::new(start * 1000), steady: AtomicI64::new(0) })))
    }

    /// Lets time pass on a manual clock; does nothing to the system's.
    pub fn advance(&self, seconds: i64) {
        if let Some(hands) = &self.0 {
            hands.steady.fetch_add(seconds * 1000, Ordering::SeqCst);
        }
        self.set_forward(seconds);
    }

    /// Sets a manual clock forward, or with a negative number back, without any time passing: what an administrator or
    /// a time server does to a wall clock.
    pub fn set_forward(&self, seconds: i64) {
        if let Some(hands) = &self.0 {
            hands.wall.fetch_add(seconds * 1000, Ordering::SeqCst);
        }
    }

    /// Milliseconds since some moment of this process. Never set forward or back: for lengths of time, not for dates.
    #[must_use]
    pub fn steady_millis(&self) -> i64 {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        match &self.0 {
            Some(hands) => hands.steady.load(Ordering::SeqCst),
            None => i64::try_from(START.elapsed().as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// Seconds since the epoch.
    #[must_use]
    pub fn now(&self) -> UnixSeconds {
        self.now_millis().div_euclid(1000)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one reader of the wall clock")]
    pub fn now_millis(&self) -> UnixMillis {
        match &self.0 {
            Some(hands) => hands.wall.load(Ordering::SeqCst),
            None => std::time::SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        }
    }
}
