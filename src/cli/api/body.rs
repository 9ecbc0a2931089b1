//! What is sent: a text, a file or standard input, piece by piece.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc::channel;

/// One piece of a file.
const PIECE: usize = 64 * 1024;
/// Pieces that wait for the network.
const AHEAD: usize = 4;

/// The body of a request.
pub(super) type Body = BoxBody<Bytes, io::Error>;

/// Where it comes from.
#[derive(Clone, Debug)]
pub(super) enum Data {
    File(PathBuf),
    Input,
    Text(String),
}

impl FromStr for Data {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix('@') {
            Some(path) => Self::File(path.into()),
            None if text == "-" => Self::Input,
            None => Self::Text(text.to_owned()),
        })
    }
}

impl Data {
    /// Opens it.
    pub(super) fn open(&self) -> anyhow::Result<Body> {
        match self {
            Self::Text(text) => {
                Ok(Full::new(Bytes::from(text.clone())).map_err(|error| match error {}).boxed())
            }
            Self::Input => pieces(io::stdin()),
            Self::File(path) => {
                let name = path.display();
                pieces(File::open(path).with_context(|| format!("cannot read {name}"))?)
            }
        }
    }
}

/// No body.
pub(super) fn empty() -> Body {
    Empty::new().map_err(|error| match error {}).boxed()
}

/// Read by a thread of its own, no faster than the network takes it: it may be a large image, or never end.
fn pieces(mut source: impl Read + Send + 'static) -> anyhow::Result<Body> {
    let (sender, receiver) = channel::<io::Result<Bytes>>(AHEAD);
    std::thread::Builder::new().spawn(move || {
        let mut buffer = vec![0; PIECE];
        loop {
            let piece = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => Ok(Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_last = piece.is_err();
            if sender.blocking_send(piece).is_err() || is_last {
                break;
            }
        }
    })?;
    let frames = unfold(receiver, |mut receiver| async {
        let piece = receiver.recv().await?;
        Some((piece.map(Frame::data), receiver))
    });
    Ok(BodyExt::boxed(StreamBody::new(Box::pin(frames))))
}
