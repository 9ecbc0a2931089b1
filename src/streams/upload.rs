//! A client's body on its way on. Nothing is collected: one frame at a time, as fast as the other side takes it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::shared_io::Input;

/// Any failure of a body; it ends the connection, and its text is only for the log.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A client's body on its way on.
///
/// If the engine answers and closes before it has read all, the rest is read and dropped: closing on a client that still
/// sends would reset its connection, and it would see "broken pipe" in place of the engine's words.
#[derive(Debug)]
pub struct Upload(Option<Pending>);

#[derive(Debug)]
struct Pending {
    body: Incoming,
    input: Arc<Input>,
}

impl Upload {
    /// Carries the client's body; `input` hears when it has been read to its end.
    #[must_use]
    pub const fn new(body: Incoming, input: Arc<Input>) -> Self {
        Self(Some(Pending { body, input }))
    }

    /// No body.
    #[must_use]
    pub const fn empty() -> Self {
        Self(None)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(upload) = self.0.take()
            && !upload.body.is_end_stream()
        {
            drain(upload.body);
        }
    }
}

/// Longest that an upload which nobody wants is read on, so that its sender gets to read why.
const DRAIN: Duration = Duration::from_secs(30);

/// Reads an unwanted upload on for a while.
pub fn drain(mut body: Incoming) {
    tokio::task::spawn_local(async move {
        let drained = async { while let Some(Ok(_)) = body.frame().await {} };
        let _ = tokio::time::timeout(DRAIN, drained).await;
    });
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(Pending { body, input }) = &mut self.0 else { return Poll::Ready(None) };
        loop {
            let polled = std::task::ready!(Pin::new(&mut *body).poll_frame(cx));
            if body.is_end_stream() {
                input.is_whole();
            }
            match polled {
                // Trailers come after the headers were judged, and some engines merge the two: they end here.
                Some(Ok(frame)) if !frame.is_data() => {}
                Some(Err(error)) => {
                    // Broken off: there is nothing left to read.
                    self.0 = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
                other => return Poll::Ready(other.map(|result| result.map_err(Into::into))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|upload| upload.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |upload| upload.body.size_hint())
    }
}
