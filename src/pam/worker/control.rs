//! What a child and the broker tell each other, over a socket pair that keeps message borders.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::frames::{Mode, Phase};

/// More than the longest message: names are bounded before they get here.
const MAX_MESSAGE: usize = 2048;

/// What the first frame said.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Hello {
    pub(super) service: String,
    pub(super) user: Option<String>,
    pub(super) rhost: IpAddr,
    pub(super) mode: Mode,
    pub(super) deadline_ms: u32,
    pub(super) trace: [u8; 16],
}

/// How a transaction ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Outcome {
    pub(super) phase: Phase,
    pub(super) code: i32,
    /// `PAM_USER` in the end.
    pub(super) user: Option<String>,
    /// Why there is no result to tell the gateway, if so.
    pub(super) lost: Option<String>,
}

/// From the child.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Report {
    /// The first frame came; may PAM run?
    Hello(Hello),
    /// It is over. The child still runs modules' clean-up.
    Outcome(Outcome),
    /// A person is being waited for.
    Waiting,
    /// The person answered; may PAM go on?
    Want,
}

/// From the broker, once for each `Hello` and `Want`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Verdict {
    Busy,
    Go,
}

/// The broker's end and the child's end.
pub(super) fn pair() -> nix::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
}

/// Sends one message; never raises SIGPIPE.
pub(super) fn tell<T: Serialize>(fd: BorrowedFd<'_>, message: &T) -> io::Result<()> {
    let mut buffer = [0; MAX_MESSAGE];
    let bytes = postcard::to_slice(message, &mut buffer).map_err(io::Error::other)?;
    loop {
        match send(fd.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Err(Errno::EINTR) => {}
            sent => return sent.map(drop).map_err(io::Error::from),
        }
    }
}

/// Receives one message. With `MSG_DONTWAIT`, `WouldBlock` says that there is none; `UnexpectedEof`, that the other
/// end is gone.
pub(super) fn listen<T: DeserializeOwned>(fd: BorrowedFd<'_>, flags: MsgFlags) -> io::Result<T> {
    let mut buffer = [0; MAX_MESSAGE];
    let length = loop {
        match recv(fd.as_raw_fd(), &mut buffer, flags) {
            // Linux reports once that the other end closed with a message unread, before the messages that it sent.
            Err(Errno::EINTR | Errno::ECONNRESET) => {}
            received => break received?,
        }
    };
    match buffer.get(..length) {
        None | Some([]) => Err(io::ErrorKind::UnexpectedEof.into()),
        Some(bytes) => postcard::from_bytes(bytes).map_err(io::Error::other),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::fd::AsFd;

    use nix::sys::socket::MsgFlags;

    use super::{Report, Verdict, listen, pair, tell};

    #[test]
    fn the_last_report_of_a_child_that_left_a_verdict_unread_is_not_lost() {
        let (broker, child) = pair().unwrap();
        tell(broker.as_fd(), &Verdict::Go).unwrap();
        tell(child.as_fd(), &Report::Waiting).unwrap();
        drop(child);
        let report = listen::<Report>(broker.as_fd(), MsgFlags::MSG_DONTWAIT);
        assert!(matches!(report, Ok(Report::Waiting)), "{report:?}");
        let end = listen::<Report>(broker.as_fd(), MsgFlags::MSG_DONTWAIT).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn without_a_message_the_broker_does_not_wait() {
        let (broker, _child) = pair().unwrap();
        let none = listen::<Report>(broker.as_fd(), MsgFlags::MSG_DONTWAIT).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
    }
}
