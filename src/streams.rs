//! Live streams and the cut: whoever loses an identity loses every open stream of it, within moments.
//!
//! Each credential owns one [`Cut`]; each tunnel and each streaming response holds a [`Guard`] of it. No list of
//! streams is kept: a stream waits on the cut itself, so ten thousand of them cost ten thousand wakers and no scan.
//!
//! Requests of one credential run on several threads. Each thread works with a [`Cut::branch`] of its own: it falls with
//! the credential's cut, but what a request counts and locks there is not handed from one core's cache to another's.

mod framed;
mod shared_io;
mod splice;
mod takeover;
mod upload;
mod upstream_io;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use slab::Slab;

pub use framed::Framed;
pub use shared_io::{Answering, Input, Peer, SharedIo};
pub use splice::{Direction, hung_up};
pub use takeover::{Exit, Raw, Serving, Takeover};
pub use upload::{BoxError, Upload, drain};
pub use upstream_io::{Insertion, OutputEnd, UpstreamIo};

/// Where a gateway is asked for a [`Framed`] connection within a connection.
pub const STREAM_PATH: &str = "/_doorward/stream";
/// What it is called in `Upgrade`.
pub const STREAM_PROTOCOL: &str = "doorward-stream";

/// The end of a credential, as seen by the streams that live on it.
#[derive(Clone, Debug, Default)]
pub struct Cut(Arc<State>);

#[derive(Debug, Default)]
struct State {
    fallen: AtomicBool,
    /// Who waits. Only streams that do wait are in it: most answers are over before they would.
    waiting: Mutex<Slab<Waker>>,
    /// What falls with it.
    branches: Mutex<Vec<Weak<Self>>>,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Slab<Waker>> {
        lock(&self.waiting)
    }

    fn fall(&self) {
        // Before the locks: whoever comes to wait or to branch off after this must see it.
        self.fallen.store(true, Ordering::SeqCst);
        for (_, waker) in self.lock().iter() {
            waker.wake_by_ref();
        }
        for branch in lock(&self.branches).iter().filter_map(Weak::upgrade) {
            branch.fall();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cut {
    /// A cut that has not fallen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends every stream that holds a guard, and every one that will ask.
    pub fn fall(&self) {
        self.0.fall();
    }

    /// A cut that falls with this one; it can also fall alone.
    #[must_use]
    pub fn branch(&self) -> Self {
        let branch = Self::new();
        let mut branches = lock(&self.0.branches);
        branches.retain(|branch| branch.strong_count() > 0);
        branches.push(Arc::downgrade(&branch.0));
        drop(branches);
        // It may have fallen before the branch was on the list.
        if self.has_fallen() {
            branch.fall();
        }
        branch
    }

    /// Whether it has fallen. One atomic load: asked on every request.
    #[must_use]
    pub fn has_fallen(&self) -> bool {
        self.0.fallen.load(Ordering::SeqCst)
    }

    /// How many streams wait under it and its branches.
    #[must_use]
    pub fn waiting_streams(&self) -> usize {
        let branches: Vec<_> = lock(&self.0.branches).iter().filter_map(Weak::upgrade).collect();
        self.0.lock().len() + branches.iter().map(|branch| branch.lock().len()).sum::<usize>()
    }

    /// Registers one stream.
    #[must_use]
    pub fn guard(&self) -> Guard {
        Guard { cut: self.clone(), place: None }
    }
}

/// One open stream under a [`Cut`].
#[derive(Debug)]
pub struct Guard {
    cut: Cut,
    /// Where we wait, and by which waker.
    place: Option<(usize, Waker)>,
}

impl Guard {
    /// Ready once the cut has fallen; else remembers the waker.
    pub fn poll_fallen(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.cut.has_fallen() {
            return Poll::Ready(());
        }
        match &mut self.place {
            // Waiting already: nothing to do, and no lock to take. A connection comes by here on every request.
            Some((_, waker)) if waker.will_wake(cx.waker()) => return Poll::Pending,
            Some((place, waker)) => {
                waker.clone_from(cx.waker());
                if let Some(waiting) = self.cut.0.lock().get_mut(*place) {
                    waiting.clone_from(waker);
                }
            }
            None => {
                let place = self.cut.0.lock().insert(cx.waker().clone());
                self.place = Some((place, cx.waker().clone()));
            }
        }
        // It may have fallen between the first look and the lock.
        if self.cut.has_fallen() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether the cut has fallen.
    #[must_use]
    pub fn has_fallen(&self) -> bool {
        self.cut.has_fallen()
    }

    /// Waits for the cut.
    pub async fn fallen(&mut self) {
        std::future::poll_fn(|cx| self.poll_fallen(cx)).await;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some((place, _)) = self.place.take() {
            self.cut.0.lock().try_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cut;

    #[tokio::test]
    async fn s7_every_guard_wakes_when_the_cut_falls() {
        let cut = Cut::new();
        let waits: Vec<_> = (0..100)
            .map(|_| {
                let mut guard = cut.guard();
                tokio::spawn(async move { guard.fallen().await })
            })
            .collect();
        while cut.waiting_streams() < 100 {
            tokio::task::yield_now().await;
        }
        cut.fall();
        for wait in waits {
            wait.await.unwrap();
        }
        assert_eq!(cut.waiting_streams(), 0);
        cut.guard().fallen().await;
    }

    #[tokio::test]
    async fn s7_a_branch_falls_with_its_cut_and_never_the_other_way() {
        let cut = Cut::new();
        let (early, other) = (cut.branch(), cut.branch());
        let mut guard = early.guard();
        let wait = tokio::spawn(async move { guard.fallen().await });
        while cut.waiting_streams() < 1 {
            tokio::task::yield_now().await;
        }
        other.fall();
        assert!(!cut.has_fallen() && !early.has_fallen());
        cut.fall();
        wait.await.unwrap();
        assert!(early.has_fallen() && cut.branch().has_fallen());
    }

    #[test]
    fn branches_that_are_gone_are_forgotten() {
        let cut = Cut::new();
        for _ in 0..100 {
            drop(cut.branch());
        }
        let _kept = cut.branch();
        assert_eq!(super::lock(&cut.0.branches).len(), 1);
    }
}
