//! A child's two connections: to the gateway, which talks, and to the broker, which permits computing.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::unistd::alarm;
use thiserror::Error;
use zeroize::Zeroizing;

use super::control::{self, Report, Verdict};
use super::frames::{self, FrameError, FromWorker, HEADER, ToWorker};
use super::turn::{OutOfOrder, Turn};

/// When a gateway that was told `Busy` should try again.
pub(super) const RETRY_MS: u32 = 2000;

/// Why a transaction ends without a result.
#[derive(Debug, Error)]
pub(super) enum Lost {
    #[error("the gateway closed the connection")]
    Gone,
    #[error("bad frame: {0}")]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Order(#[from] OutOfOrder),
    #[error("cancelled")]
    Cancelled,
    #[error("over the limit of logins")]
    Busy,
    #[error("too many prompts")]
    Prompts,
    #[error("cannot talk: {0}")]
    Io(#[from] io::Error),
}

/// See the module.
pub(super) struct Link {
    gateway: UnixStream,
    broker: OwnedFd,
    turn: Turn,
    compute_seconds: u32,
}

impl Link {
    pub(super) fn new(gateway: OwnedFd, broker: OwnedFd, compute_seconds: u32) -> Self {
        Self { gateway: UnixStream::from(gateway), broker, turn: Turn::new(), compute_seconds }
    }

    /// Sends a frame to the gateway; never raises SIGPIPE.
    pub(super) fn say(&mut self, frame: &FromWorker) -> Result<(), Lost> {
        self.turn = self.turn.worker_says(frame)?;
        let bytes = frames::encode(frame)?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match send(self.gateway.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(Lost::Gone),
                Err(error) => return Err(Lost::Io(error.into())),
            }
        }
        Ok(())
    }

    /// Waits for a frame of the gateway. The broker ends a wait that lasts too long.
    pub(super) fn hear(&mut self) -> Result<ToWorker, Lost> {
        let mut header = [0; HEADER];
        self.read(&mut header)?;
        let mut body = Zeroizing::new(vec![0; frames::body_length(header)?]);
        self.read(&mut body)?;
        let frame = frames::decode(&body)?;
        self.turn = self.turn.gateway_says(&frame)?;
        Ok(frame)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<(), Lost> {
        self.gateway.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Lost::Gone,
            _ => Lost::Io(error),
        })
    }

    /// Waits for the gateway while the broker counts the time as a person's, not as PAM's.
    pub(super) fn hear_person(&mut self) -> Result<ToWorker, Lost> {
        alarm::cancel();
        self.report(&Report::Waiting)?;
        let heard = self.hear();
        // PAM runs on even to learn of a failure, so the right to compute is needed in either case.
        let permitted = self.permission(&Report::Want);
        let frame = heard?;
        permitted?;
        Ok(frame)
    }

    /// Asks the broker whether PAM may run, and waits for its turn; arms the alarm. A gateway that hangs up meanwhile
    /// ends the wait.
    pub(super) fn permission(&mut self, request: &Report) -> Result<(), Lost> {
        self.report(request)?;
        self.wait_for_verdict()?;
        match control::listen(self.broker.as_fd(), MsgFlags::empty())? {
            Verdict::Go => {
                alarm::set(self.compute_seconds);
                Ok(())
            }
            Verdict::Busy => {
                self.say(&FromWorker::Busy { retry_ms: RETRY_MS })?;
                Err(Lost::Busy)
            }
        }
    }

    fn wait_for_verdict(&self) -> Result<(), Lost> {
        loop {
            let mut fds = [
                PollFd::new(self.broker.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.gateway.as_fd(), PollFlags::empty()),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                polled => polled.map_err(io::Error::from)?,
            };
            let [broker, gateway] = fds.map(|fd| fd.any().unwrap_or(true));
            if gateway {
                return Err(Lost::Gone);
            }
            if broker {
                return Ok(());
            }
        }
    }

    /// Tells the broker something that needs no answer.
    pub(super) fn report(&self, report: &Report) -> Result<(), Lost> {
        Ok(control::tell(self.broker.as_fd(), report)?)
    }
}
