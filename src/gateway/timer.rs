//! A clock for deadlines that are far away and nearly always kept: it looks at the time once a second.
//!
//! hyper arms a deadline before each request head and disarms it when the head is there. With an exact timer that is
//! an entry in and out of the runtime's wheel, and several looks at the clock, on every request of a minute's bound.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use slab::Slab;

/// How late a deadline may be noticed.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// One event loop's coarse clock. Only that loop uses it: its lock is never waited for, and is there because hyper wants
/// timers that could move.
#[derive(Clone, Debug)]
pub(super) struct CoarseTimer(Arc<Wheel>);

#[derive(Debug)]
struct Wheel {
    origin: Instant,
    /// Milliseconds since `origin`, as of the last tick.
    now: AtomicU64,
    armed: Mutex<Slab<Armed>>,
}

#[derive(Debug)]
struct Armed {
    deadline: Instant,
    waker: Waker,
}

impl CoarseTimer {
    pub(super) fn new() -> Self {
        Self(Arc::new(Wheel { origin: Instant::now(), now: AtomicU64::new(0), armed: Mutex::default() }))
    }

    /// Looks at the time, and wakes whoever waited for it. To be called once every [`TICK`].
    pub(super) fn tick(&self) {
        self.set(self.0.origin.elapsed());
    }

    /// As [`Timer::sleep_until`], without a box.
    pub(super) fn coarse_sleep(&self, deadline: Instant) -> CoarseSleep {
        CoarseSleep { wheel: Arc::clone(&self.0), deadline, place: None }
    }

    pub(super) fn set(&self, since: Duration) {
        self.0.now.store(u64::try_from(since.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let now = self.0.now();
        let due = |armed: &Armed| armed.deadline <= now;
        let due: Vec<Waker> = self
            .0
            .lock()
            .iter()
            .filter(|(_, armed)| due(armed))
            .map(|(_, armed)| armed.waker.clone())
            .collect();
        // Without the lock: who is woken may come by here at once.
        due.iter().for_each(Waker::wake_by_ref);
    }
}

impl Wheel {
    fn now(&self) -> Instant {
        self.origin + Duration::from_millis(self.now.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Armed>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timer for CoarseTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(self.coarse_sleep(deadline))
    }

    fn now(&self) -> Instant {
        self.0.now()
    }
}

/// A deadline by a [`CoarseTimer`].
#[derive(Debug)]
pub(super) struct CoarseSleep {
    wheel: Arc<Wheel>,
    deadline: Instant,
    place: Option<usize>,
}

impl Sleep for CoarseSleep {}

impl Future for CoarseSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.wheel.now() >= self.deadline {
            return Poll::Ready(());
        }
        let place = self.place;
        let mut armed = self.wheel.lock();
        match place.and_then(|place| armed.get_mut(place)) {
            Some(armed) => armed.waker.clone_from(cx.waker()),
            None => {
                let place = armed.insert(Armed { deadline: self.deadline, waker: cx.waker().clone() });
                drop(armed);
                self.place = Some(place);
            }
        }
        Poll::Pending
    }
}

impl Drop for CoarseSleep {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.wheel.lock().try_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};
    use std::time::Duration;

    use bytes::Bytes;
    use http::Response;
    use http_body_util::Empty;
    use hyper::rt::Timer;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::AsyncWriteExt;

    use super::CoarseTimer;
    use crate::gateway::worker::http1_builder;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn f8_a_head_that_trickles_in_is_cut_at_its_deadline_and_not_before() {
        let timer = CoarseTimer::new();
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
        let service = service_fn(async |_| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
        let serving = http1_builder(timer.clone()).serve_connection(TokioIo::new(server), service);
        let mut serving = std::pin::pin!(serving);
        for (since, is_over) in [(0, false), (59, false), (61, true)] {
            timer.set(Duration::from_secs(since));
            let polled = std::future::poll_fn(|cx| Poll::Ready(serving.as_mut().poll(cx))).await;
            assert_eq!(polled.is_ready(), is_over, "after {since} s: {polled:?}");
        }
    }

    #[test]
    fn f8_a_deadline_that_has_passed_is_noticed_at_the_next_tick_and_one_that_was_dropped_is_forgotten() {
        let timer = CoarseTimer::new();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let mut near = timer.sleep(Duration::from_millis(1));
        let mut far = timer.sleep(Duration::from_secs(3600));
        let mut gone = timer.sleep(Duration::from_millis(1));
        for sleep in [&mut near, &mut far, &mut gone] {
            assert_eq!(sleep.as_mut().poll(&mut cx), Poll::Pending);
            assert_eq!(sleep.as_mut().poll(&mut cx), Poll::Pending, "asked twice, armed once");
        }
        drop(gone);
        assert_eq!(timer.0.lock().len(), 2);
        while timer.now() == timer.0.origin {
            timer.tick();
        }
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert_eq!(near.as_mut().poll(&mut cx), Poll::Ready(()));
        assert_eq!(far.as_mut().poll(&mut cx), Poll::Pending);
        drop((near, far));
        assert!(timer.0.lock().is_empty());
    }
}
