//! Live streams and the cut: whoever loses an identity loses every open stream of it, within moments.
//!
//! Each credential owns one [`Cut`]; each tunnel and each streaming response holds a [`Guard`] of it. No list of
//! streams is kept: a stream waits on the cut itself, so ten thousand of them cost ten thousand wakers and no scan.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use slab::Slab;

/// The end of a credential, as seen by the streams that live on it.
#[derive(Clone, Debug, Default)]
pub struct Cut(Arc<State>);

#[derive(Debug, Default)]
struct State {
    fallen: AtomicBool,
    /// Who waits. Only streams that do wait are in it: most answers are over before they would.
    waiting: Mutex<Slab<Waker>>,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Slab<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cut {
    /// A cut that has not fallen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends every stream that holds a guard, and every one that will ask.
    pub fn fall(&self) {
        // Before the lock: a stream that comes to wait after it must see this.
        self.0.fallen.store(true, Ordering::SeqCst);
        for (_, waker) in self.0.lock().iter() {
            waker.wake_by_ref();
        }
    }

    /// Whether it has fallen. One atomic load: asked on every request.
    #[must_use]
    pub fn has_fallen(&self) -> bool {
        self.0.fallen.load(Ordering::SeqCst)
    }

    /// How many streams wait under it.
    #[must_use]
    pub fn waiting_streams(&self) -> usize {
        self.0.lock().len()
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
}
