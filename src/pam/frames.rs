//! The wire between the gateway and the PAM broker: `u32` length (little endian), then postcard.
//!
//! One connection is one transaction. Anything out of order or oversized ends it.
//! Pure: no I/O here. Both binaries compile this file, and only the broker links libpam.

use std::fmt;
use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// Version of this protocol, in the first frame of every connection.
pub const VERSION: u8 = 1;
/// Most bytes of one frame's body. Checked before anything is allocated.
pub const MAX_FRAME: usize = 16 * 1024;
/// Bytes of the length in front of every frame.
pub const HEADER: usize = 4;

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum FrameError {
    /// The body is no frame of this protocol.
    #[error("the frame cannot be decoded")]
    Malformed,
    /// Longer than [`MAX_FRAME`], or without a body.
    #[error("the frame's length is out of bounds")]
    Size,
}

/// An answer to a prompt: wiped when dropped, never printed.
#[derive(Deserialize, Serialize)]
pub struct Secret(String);

impl Secret {
    /// Takes ownership of the answer.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The answer, for the one place that hands it to libpam.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What the transaction is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Mode {
    /// `pam_acct_mgmt` and a check that the account is not locked, for credentials other than a password.
    AccountOnly,
    /// Authentication, account check, then a new password whether or not the old one has expired.
    ChangePassword,
    /// Authentication, account check, and a change of the password if it has expired.
    Login,
}

/// How far a transaction came.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Phase {
    /// `pam_acct_mgmt`.
    Acct,
    /// `pam_authenticate`.
    Auth,
    /// `pam_chauthtok`.
    Chauthtok,
    /// Through. The only success there is.
    Ok,
    /// `pam_start`, or the request was refused before it.
    Start,
}

/// How an answer is typed, as `domain::PromptStyle` (which the broker does not have).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Style {
    /// Visible.
    Echo,
    /// Yes or no.
    Radio,
    /// Hidden.
    Secret,
}

/// How a text is meant.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Tone {
    /// `PAM_ERROR_MSG`.
    Error,
    /// `PAM_TEXT_INFO`.
    Info,
}

/// A text of a module that needs no answer: bounded, without control characters other than line feeds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Note {
    /// How it is meant.
    pub tone: Tone,
    /// What it says.
    pub text: String,
}

/// The first frame of a transaction.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Start {
    /// [`VERSION`].
    pub v: u8,
    /// File under `/etc/pam.d`; the broker has a list of those it serves.
    pub service: String,
    /// `PAM_USER`; a stack asks for the name when absent.
    pub user: Option<String>,
    /// `PAM_RHOST`: where the person really is.
    pub rhost: IpAddr,
    /// `PAM_TTY`. With neither RHOST nor TTY set, pam_access lets everybody in.
    pub tty: String,
    /// What to do.
    pub mode: Mode,
    /// Longest whole transaction in milliseconds; the broker's own limit holds too.
    pub deadline_ms: u32,
    /// Ties the broker's log line to the gateway's.
    pub trace: [u8; 16],
}

/// What the gateway sends.
#[derive(Debug, Deserialize, Serialize)]
pub enum ToWorker {
    /// Answers [`FromWorker::Prompt`] of the same `n`; `None`: the person gave up.
    Answer {
        /// Number of the prompt.
        n: u32,
        /// The answer.
        value: Option<Secret>,
    },
    /// Ends a conversation that waits for the gateway.
    Cancel,
    /// Answers [`FromWorker::NeedChange`]: go on with `pam_chauthtok`.
    ChangeExpired,
    /// Instead of `Start`: is anybody there?
    Ping {
        /// [`VERSION`].
        v: u8,
    },
    /// Begins a transaction.
    Start(Start),
}

/// How a transaction ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Done {
    /// [`Phase::Ok`], or where it failed.
    pub phase: Phase,
    /// Linux-PAM's return code, 0 exactly with [`Phase::Ok`].
    pub code: i32,
    /// Delay that modules asked for, in microseconds. The broker does not sleep it.
    pub delay_us: u32,
    /// Texts since the last prompt.
    pub messages: Vec<Note>,
    /// `PAM_USER` after the account phase. With a refusal, what the modules have made of the name, if that is another.
    pub user: Option<String>,
    /// The user's id; absent when the name service does not know the user. Besides success, it is told with a refusal
    /// of [`Mode::AccountOnly`], where it tells who is shut out from who is gone.
    pub uid: Option<u32>,
    /// The user's primary group.
    pub gid: Option<u32>,
    /// Environment set by modules, as far as the broker's options let it through.
    pub env: Vec<(String, String)>,
}

/// What the broker's child sends.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum FromWorker {
    /// Over a limit; nothing was tried.
    Busy {
        /// When to try again, in milliseconds.
        retry_ms: u32,
    },
    /// The end.
    Done(Done),
    /// Some of the user's groups; comes only before a `Done` of [`Phase::Ok`].
    Groups {
        /// Names; the number where a group has no name.
        names: Vec<String>,
    },
    /// The password has expired: `ChangeExpired` or `Cancel`?
    NeedChange {
        /// Texts since the last prompt.
        messages: Vec<Note>,
    },
    /// Answers `Ping`.
    Pong,
    /// A question.
    Prompt {
        /// 1 for the first prompt, then counting up.
        n: u32,
        /// How the answer is typed.
        style: Style,
        /// What is asked.
        text: String,
        /// Texts since the last prompt.
        before: Vec<Note>,
    },
}

/// The length of the body that follows `header`.
///
/// # Errors
/// [`FrameError::Size`] unless it is 1 to [`MAX_FRAME`].
pub fn body_length(header: [u8; HEADER]) -> Result<usize, FrameError> {
    match usize::try_from(u32::from_le_bytes(header)) {
        Ok(length) if (1..=MAX_FRAME).contains(&length) => Ok(length),
        _ => Err(FrameError::Size),
    }
}

/// Header and body of a frame, in memory that is wiped: frames may hold answers.
///
/// # Errors
/// [`FrameError::Size`] if it does not fit into [`MAX_FRAME`].
pub fn encode<T: Serialize>(frame: &T) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    // Allocated once: growing would leave copies of an answer behind.
    let mut bytes = Zeroizing::new(vec![0; HEADER + MAX_FRAME]);
    let (header, body) = bytes.split_at_mut_checked(HEADER).ok_or(FrameError::Size)?;
    let length = postcard::to_slice(frame, body).map_err(|_| FrameError::Size)?.len();
    header.copy_from_slice(&u32::try_from(length).map_err(|_| FrameError::Size)?.to_le_bytes());
    bytes.truncate(HEADER + length);
    Ok(bytes)
}

/// Reads a frame's body; bytes left over are an error.
///
/// # Errors
/// [`FrameError`] if it is too long or not a frame.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    if body.len() > MAX_FRAME {
        return Err(FrameError::Size);
    }
    match postcard::take_from_bytes(body) {
        Ok((frame, [])) => Ok(frame),
        _ => Err(FrameError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{FromWorker, HEADER, MAX_FRAME, Secret, ToWorker, body_length, decode, encode};

    #[test]
    fn a_frame_survives_the_wire() {
        let frame = FromWorker::Groups { names: vec!["wheel".into(), "jürgen".into()] };
        let bytes = encode(&frame).unwrap();
        let length = body_length(bytes[..HEADER].try_into().unwrap()).unwrap();
        assert_eq!(length, bytes.len() - HEADER);
        assert_eq!(decode::<FromWorker>(&bytes[HEADER..]).unwrap(), frame);
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_it_is_allocated() {
        assert!(body_length(u32::MAX.to_le_bytes()).is_err());
        assert!(body_length((MAX_FRAME as u32 + 1).to_le_bytes()).is_err());
        assert!(body_length([0; 4]).is_err());
        assert_eq!(body_length((MAX_FRAME as u32).to_le_bytes()).unwrap(), MAX_FRAME);
    }

    #[test]
    fn a_frame_too_long_to_send_is_an_error_not_a_cut() {
        let frame = FromWorker::Groups { names: vec!["x".repeat(MAX_FRAME)] };
        assert!(encode(&frame).is_err());
    }

    #[test]
    fn bytes_after_a_frame_are_refused() {
        let mut bytes = encode(&FromWorker::Pong).unwrap().to_vec();
        bytes.push(0);
        assert!(decode::<FromWorker>(&bytes[HEADER..]).is_err());
    }

    #[test]
    fn a13_debug_does_not_print_an_answer() {
        let frame = ToWorker::Answer { n: 1, value: Some(Secret::new("hunter2".into())) };
        assert!(!format!("{frame:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = decode::<ToWorker>(&bytes);
            let _ = decode::<FromWorker>(&bytes);
        }

        #[test]
        fn whatever_decodes_encodes_to_the_same_meaning(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(frame) = decode::<FromWorker>(&bytes) {
                let again = encode(&frame).unwrap();
                prop_assert_eq!(decode::<FromWorker>(&again[HEADER..]).unwrap(), frame);
            }
        }
    }
}
