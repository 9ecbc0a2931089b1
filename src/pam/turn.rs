//! Whose turn it is: the order of frames, the same machine on both sides of the socket. Pure.

use thiserror::Error;

use super::frames::{FromWorker, Phase, Start, ToWorker, VERSION};

/// Most `Groups` frames before `Done`: with 8 KiB each, far beyond any directory's limit.
const MAX_GROUP_FRAMES: u32 = 64;

/// A frame that the protocol does not allow at this point.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a frame came out of order")]
pub struct OutOfOrder;

/// Where a conversation stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Turn {
    at: At,
    /// Number of the last prompt.
    prompts: u32,
    /// A change of password is offered once at most.
    offered: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum At {
    /// A prompt is open.
    Asked,
    /// The gateway speaks first.
    #[default]
    First,
    /// Groups are being listed; only success may follow. Holds the number of frames so far.
    Listing(u32),
    /// `NeedChange` is open.
    Offered,
    Over,
    Pinged,
    /// PAM computes.
    Worker,
}

impl Turn {
    /// A connection on which nothing was said.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing more may be said.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.at == At::Over
    }

    /// The number of the open prompt.
    #[must_use]
    pub fn open_prompt(self) -> Option<u32> {
        (self.at == At::Asked).then_some(self.prompts)
    }

    /// The next state after the gateway said `frame`.
    ///
    /// # Errors
    /// [`OutOfOrder`] if it may not say this now; the connection must then be closed.
    pub fn gateway_says(self, frame: &ToWorker) -> Result<Self, OutOfOrder> {
        let at = match (self.at, frame) {
            (At::First, ToWorker::Start(Start { v: VERSION, .. })) => At::Worker,
            (At::First, ToWorker::Ping { v: VERSION }) => At::Pinged,
            (At::Asked, ToWorker::Answer { n, .. }) if *n == self.prompts => At::Worker,
            (At::Offered, ToWorker::ChangeExpired) => At::Worker,
            (At::Asked | At::Offered, ToWorker::Cancel) => At::Over,
            _ => return Err(OutOfOrder),
        };
        Ok(Self { at, ..self })
    }

    /// The next state after the worker said `frame`.
    ///
    /// # Errors
    /// [`OutOfOrder`] if it may not say this now; the connection must then be closed.
    pub fn worker_says(self, frame: &FromWorker) -> Result<Self, OutOfOrder> {
        let next = |at| Ok(Self { at, ..self });
        match (self.at, frame) {
            (At::Worker, FromWorker::Prompt { n, .. }) if Some(*n) == self.prompts.checked_add(1) => {
                Ok(Self { at: At::Asked, prompts: *n, ..self })
            }
            (At::Worker, FromWorker::NeedChange { .. }) if !self.offered => {
                Ok(Self { at: At::Offered, offered: true, ..self })
            }
            (At::Worker, FromWorker::Groups { .. }) => next(At::Listing(1)),
            (At::Listing(so_far), FromWorker::Groups { .. }) if so_far < MAX_GROUP_FRAMES => {
                next(At::Listing(so_far + 1))
            }
            (At::Listing(_), FromWorker::Done(done)) if done.phase == Phase::Ok => next(At::Over),
            (At::Worker, FromWorker::Done(_)) | (At::Pinged, FromWorker::Pong) => next(At::Over),
            (At::Worker | At::Pinged | At::First, FromWorker::Busy { .. }) => next(At::Over),
            _ => Err(OutOfOrder),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::super::frames::{Done, FromWorker, Mode, Phase, Start, Style, ToWorker, VERSION};
    use super::{OutOfOrder, Turn};

    fn start(v: u8) -> ToWorker {
        ToWorker::Start(Start {
            v,
            service: "doorward".into(),
            user: None,
            rhost: IpAddr::V4(Ipv4Addr::LOCALHOST),
            tty: "https".into(),
            mode: Mode::Login,
            deadline_ms: 1,
            trace: [0; 16],
        })
    }

    fn prompt(n: u32) -> FromWorker {
        FromWorker::Prompt { n, style: Style::Secret, text: String::new(), before: Vec::new() }
    }

    fn answer(n: u32) -> ToWorker {
        ToWorker::Answer { n, value: None }
    }

    fn done(phase: Phase) -> FromWorker {
        FromWorker::Done(Done {
            phase,
            code: 0,
            delay_us: 0,
            messages: Vec::new(),
            user: None,
            uid: None,
            gid: None,
            env: Vec::new(),
        })
    }

    fn started() -> Turn {
        Turn::new().gateway_says(&start(VERSION)).unwrap()
    }

    #[test]
    fn a_login_with_an_expired_password_runs_through() {
        let turn = started().worker_says(&prompt(1)).unwrap();
        assert_eq!(turn.open_prompt(), Some(1));
        let turn = turn.gateway_says(&answer(1)).unwrap();
        let turn = turn.worker_says(&FromWorker::NeedChange { messages: Vec::new() }).unwrap();
        let turn = turn.gateway_says(&ToWorker::ChangeExpired).unwrap();
        let turn = turn.worker_says(&prompt(2)).unwrap().gateway_says(&answer(2)).unwrap();
        let turn = turn.worker_says(&FromWorker::Groups { names: Vec::new() }).unwrap();
        assert!(turn.worker_says(&done(Phase::Ok)).unwrap().is_over());
    }

    #[test]
    fn the_gateway_cannot_speak_out_of_turn() {
        assert_eq!(Turn::new().gateway_says(&answer(0)), Err(OutOfOrder));
        assert_eq!(Turn::new().gateway_says(&start(VERSION + 1)), Err(OutOfOrder));
        assert_eq!(started().gateway_says(&start(VERSION)), Err(OutOfOrder));
        assert_eq!(started().gateway_says(&ToWorker::ChangeExpired), Err(OutOfOrder));
        let asked = started().worker_says(&prompt(1)).unwrap();
        assert_eq!(asked.gateway_says(&answer(2)), Err(OutOfOrder));
        assert_eq!(asked.gateway_says(&ToWorker::ChangeExpired), Err(OutOfOrder));
        assert!(asked.gateway_says(&ToWorker::Cancel).unwrap().is_over());
    }

    #[test]
    fn the_worker_cannot_speak_out_of_turn() {
        assert_eq!(Turn::new().worker_says(&prompt(1)), Err(OutOfOrder));
        assert_eq!(Turn::new().worker_says(&done(Phase::Ok)), Err(OutOfOrder));
        assert_eq!(started().worker_says(&FromWorker::Pong), Err(OutOfOrder));
        assert_eq!(started().worker_says(&prompt(2)), Err(OutOfOrder));
        let asked = started().worker_says(&prompt(1)).unwrap();
        assert_eq!(asked.worker_says(&done(Phase::Ok)), Err(OutOfOrder));
    }

    #[test]
    fn nothing_but_success_follows_the_groups() {
        let listing = started().worker_says(&FromWorker::Groups { names: Vec::new() }).unwrap();
        assert_eq!(listing.worker_says(&done(Phase::Acct)), Err(OutOfOrder));
        assert_eq!(listing.worker_says(&prompt(1)), Err(OutOfOrder));
    }

    #[test]
    fn groups_cannot_be_listed_for_ever() {
        let mut turn = started();
        let mut frames = 0;
        while let Ok(next) = turn.worker_says(&FromWorker::Groups { names: Vec::new() }) {
            turn = next;
            frames += 1;
        }
        assert_eq!(frames, super::MAX_GROUP_FRAMES);
    }

    #[test]
    fn nothing_follows_the_end() {
        let over = started().worker_says(&done(Phase::Auth)).unwrap();
        for frame in [done(Phase::Ok), prompt(1), FromWorker::Busy { retry_ms: 1 }] {
            assert_eq!(over.worker_says(&frame), Err(OutOfOrder));
        }
    }
}
