//! The body of any answer: the engine's, streamed, or one of our own, whole.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::gateway::open_request::OpenRequest;
use crate::proxy::EngineBody;
use crate::streams::BoxError;

/// What is answered with.
pub struct GatewayBody {
    content: Content,
    /// What is over when the answer was taken.
    open: Option<Box<OpenRequest>>,
}

enum Content {
    Engine(Box<EngineBody>),
    /// `None` once it is sent.
    Own(Option<Bytes>),
}

impl GatewayBody {
    /// Whether it is one of our own.
    pub(super) const fn is_own(&self) -> bool {
        matches!(self.content, Content::Own(_))
    }

    /// Bytes of our own that wait to be taken.
    pub(super) fn own_bytes(&self) -> usize {
        match &self.content {
            Content::Engine(_) => 0,
            Content::Own(bytes) => bytes.as_ref().map_or(0, Bytes::len),
        }
    }

    /// Ends `open` when the body was taken or is dropped.
    pub(super) fn hold(&mut self, open: OpenRequest) {
        self.open = Some(Box::new(open));
    }
}

impl From<Bytes> for GatewayBody {
    fn from(bytes: Bytes) -> Self {
        Self { content: Content::Own((!bytes.is_empty()).then_some(bytes)), open: None }
    }
}

impl From<EngineBody> for GatewayBody {
    fn from(body: EngineBody) -> Self {
        Self { content: Content::Engine(Box::new(body)), open: None }
    }
}

impl Body for GatewayBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.content {
            Content::Engine(body) => Pin::new(&mut **body).poll_frame(cx),
            Content::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Engine(body) => body.is_end_stream(),
            Content::Own(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Engine(body) => body.size_hint(),
            Content::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}
