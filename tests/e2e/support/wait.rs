//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Time between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);

/// Asks `probe` until it has an answer.
///
/// # Panics
/// When there is none after `bound`; `what` says what was waited for.
pub(crate) fn until<T>(what: &str, bound: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(start.elapsed() < bound, "waited {bound:?} in vain for: {what}");
        std::thread::sleep(LOOK);
    }
}

/// [`until`] for a plain yes or no.
pub(crate) fn until_true(what: &str, bound: Duration, mut probe: impl FnMut() -> bool) {
    until(what, bound, || probe().then_some(()));
}
