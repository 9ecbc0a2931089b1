//! Live streams and the cut: whoever loses an identity loses every open stream of it, within moments.
//!
//! Each credential owns one [`Cut`]; each tunnel and each streaming response holds a [`Guard`] of it. No list of
//! streams is kept: a stream waits on the cut itself, so ten thousand of them cost ten thousand wakers and no scan.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The end of a credential, as seen by the streams that live on it.
#[derive(Clone, Debug, Default)]
pub struct Cut(Arc<State>);

#[derive(Debug, Default)]
struct State {
    fallen: AtomicBool,
    open: AtomicUsize,
    token: CancellationToken,
}

impl Cut {
    /// A cut that has not fallen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends every stream that holds a guard, and every one that will ask.
    pub fn fall(&self) {
        self.0.fallen.store(true, Ordering::Release);
        self.0.token.cancel();
    }

    /// Whether it has fallen. One atomic load: asked on every request.
    #[must_use]
    pub fn has_fallen(&self) -> bool {
        self.0.fallen.load(Ordering::Acquire)
    }

    /// How many streams are open under it.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Registers one stream.
    #[must_use]
    pub fn guard(&self) -> Guard {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Guard { cut: self.clone(), waiting: None }
    }
}

/// One open stream under a [`Cut`].
#[derive(Debug)]
pub struct Guard {
    cut: Cut,
    /// Made on the first wait only: most answers are over before they would ever wait.
    waiting: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Guard {
    /// Ready once the cut has fallen; else remembers the waker.
    pub fn poll_fallen(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.cut.has_fallen() {
            return Poll::Ready(());
        }
        let token = &self.cut.0.token;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(token.clone().cancelled_owned()));
        waiting.as_mut().poll(cx)
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
        self.cut.0.open.fetch_sub(1, Ordering::Relaxed);
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
        tokio::task::yield_now().await;
        assert_eq!(cut.open_streams(), 100);
        cut.fall();
        for wait in waits {
            wait.await.unwrap();
        }
        assert_eq!(cut.open_streams(), 0);
        cut.guard().fallen().await;
    }
}
