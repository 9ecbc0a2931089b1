//! Whether the gateway can do its work, found out at most once a second however many ask.
//!
//! Anybody may ask, and an answer costs a connection to the engine and a child of the broker, which is root. So one check
//! runs at a time in the whole process, everybody waits for that one, and its result holds for a second. It runs in a
//! task of its own: a client that leaves neither ends it nor makes room for a second one.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::domain::Clock;

/// How long a result holds, in milliseconds.
const HOLDS_MILLIS: i64 = 1000;

/// What was found. The details are in the server's log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Report {
    /// The engine takes connections.
    pub engine: bool,
    /// The store answers.
    pub store: bool,
    /// Passwords can be checked.
    pub login: bool,
}

impl Report {
    /// Nothing is known to work.
    const NOTHING: Self = Self { engine: false, store: false, login: false };
}

/// The last report, and the check that is under way. Shared by all event loops.
#[derive(Debug)]
pub struct Readiness {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// With the time at which it was complete.
    last: Option<(i64, Report)>,
    running: Option<watch::Receiver<Option<Report>>>,
}

impl Readiness {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// The report of the last second, or of the check that is under way, or of a new one: `check`.
    pub async fn report<F>(&self, check: impl FnOnce() -> F) -> Report
    where
        F: Future<Output = Report> + 'static,
    {
        let mut running = {
            let mut state = lock(&self.state);
            match state.last {
                Some((at, report)) if self.clock.steady_millis() - at < HOLDS_MILLIS => return report,
                _ => {}
            }
            // A check whose event loop has ended is not running.
            match state.running.clone().filter(|running| running.has_changed().is_ok()) {
                Some(running) => running,
                None => self.begin(&mut state, check()),
            }
        };
        // Without an answer its event loop has ended, and so is ending what asks.
        running.wait_for(Option::is_some).await.ok().and_then(|report| *report).unwrap_or(Report::NOTHING)
    }

    fn begin(
        &self,
        state: &mut State,
        check: impl Future<Output = Report> + 'static,
    ) -> watch::Receiver<Option<Report>> {
        let (done, running) = watch::channel(None);
        state.running = Some(running.clone());
        let (shared, clock) = (Arc::clone(&self.state), self.clock.clone());
        tokio::task::spawn_local(async move {
            let report = check.await;
            *lock(&shared) = State { last: Some((clock.steady_millis(), report)), running: None };
            done.send_replace(Some(report));
        });
        running
    }
}

/// Each change is one assignment, so a panic elsewhere leaves nothing half done.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::rc::Rc;
    use std::task::Poll;

    use futures_util::future::join_all;
    use tokio::sync::oneshot;
    use tokio::task::LocalSet;

    use super::{Readiness, Report};
    use crate::domain::Clock;

    /// Polls once.
    async fn is_pending(future: &mut (impl Future<Output = Report> + Unpin)) -> bool {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await
    }

    const GOOD: Report = Report { engine: true, store: true, login: true };

    #[tokio::test]
    async fn i13_one_check_answers_all_who_ask_within_a_second_and_goes_on_without_its_client() {
        let clock = Clock::manual(0);
        let (readiness, checks) = (Readiness::new(clock.clone()), Rc::new(Cell::new(0)));
        let check = || {
            let checks = Rc::clone(&checks);
            move || async move {
                checks.set(checks.get() + 1);
                tokio::task::yield_now().await;
                GOOD
            }
        };
        LocalSet::new()
            .run_until(async {
                let (open, opened) = oneshot::channel();
                let slow = || async {
                    let _ = opened.await;
                    Report { engine: false, ..GOOD }
                };
                let mut first = Box::pin(readiness.report(slow));
                assert!(is_pending(&mut first).await);
                drop(first);
                let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(readiness.report(check()))).collect();
                for waits in &mut waiting {
                    assert!(is_pending(waits).await);
                }
                open.send(()).unwrap();
                assert!(join_all(waiting).await.iter().all(|report| !report.engine));
                assert_eq!(checks.get(), 0, "all had the report of the one whose client had left");
                assert!(!readiness.report(check()).await.engine);
                clock.advance(1);
                let reports = join_all((0..100).map(|_| readiness.report(check()))).await;
                assert!(reports.iter().all(|report| *report == GOOD));
                assert_eq!(checks.get(), 1);
            })
            .await;
    }
}
