//! The gateway's side of the broker's socket: one connection is one conversation.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::event::{self, PamEvent};
use super::frames::{
    self, FrameError, FromWorker, HEADER, MAX_FRAME, Mode, Secret, Start, Style, ToWorker, VERSION,
};
use super::turn::{OutOfOrder, Turn};
use crate::config::PamSettings;
use crate::domain::{Password, Username};

/// A unix socket on the same machine answers at once or not at all.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// What scheduling, the broker's own second of grace and a loaded machine may add to its deadlines.
const SLACK: Duration = Duration::from_secs(3);
/// `PAM_MAX_RESP_SIZE` without the terminating NUL.
const MAX_ANSWER: usize = 511;
/// `PAM_TTY` of every transaction: what pam_access and pam_time rules can name.
const TTY: &str = "https";

/// Why the broker could not be asked, or an answer was not sent.
#[derive(Debug, Error)]
pub enum PamError {
    /// Connecting or writing took too long: the broker hangs.
    #[error("the PAM broker does not answer")]
    Deadline,
    /// An answer that libpam cannot take: over 511 bytes, with a NUL, or empty where a password was asked.
    #[error("the answer is not one that PAM can take")]
    InvalidAnswer,
    /// Nothing waits for this.
    #[error(transparent)]
    OutOfOrder(#[from] OutOfOrder),
    /// The broker broke the protocol.
    #[error("the PAM broker sent a bad frame: {0}")]
    Protocol(#[from] FrameError),
    /// A module computed for as long as one may, and the broker ended it.
    #[error("a PAM module took longer than {} s, see --pam-compute-timeout", .0.as_secs_f64())]
    TookLong(Duration),
    /// The broker is not there, does not let this process in, or its child died.
    #[error("the PAM broker cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
}

/// Opens conversations with the PAM broker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PamClient {
    socket: PathBuf,
    service: String,
    /// Longest wait for what the stack says next.
    patience: Duration,
    compute_deadline: Duration,
    login_deadline: Duration,
    /// Whether texts before the first question are shown.
    greeting: bool,
}

/// A transaction to begin.
#[derive(Clone, Debug)]
pub struct PamRequest {
    /// Who wants in; without a name, the stack asks for it.
    pub user: Option<Username>,
    /// Where the person really is.
    pub rhost: IpAddr,
    /// Ties the broker's log line to the gateway's.
    pub trace: [u8; 16],
    /// What to do.
    pub mode: Mode,
}

/// One open transaction. Dropping it ends the transaction and frees the broker's child.
///
/// May wait for a person between two calls; it may move to another thread, but the runtime on which it was started
/// must stay alive.
#[derive(Debug)]
pub struct PamConversation {
    stream: UnixStream,
    turn: Turn,
    patience: Duration,
    compute_deadline: Duration,
    /// Bytes of frames that are not complete. Kept here so that a `next` that was dropped loses none.
    inbox: Vec<u8>,
    groups: Vec<String>,
    greeting: bool,
    /// Style of the open prompt.
    style: Option<Style>,
    secrets_asked: u32,
}

impl PamClient {
    /// A client of the broker that listens on `socket`.
    #[must_use]
    pub fn new(socket: PathBuf, settings: &PamSettings) -> Self {
        // A child may stand in the broker's queue for one compute deadline and then compute for another.
        let patience = settings.compute_deadline.saturating_mul(2).saturating_add(SLACK);
        Self {
            socket,
            service: settings.service.clone(),
            patience,
            compute_deadline: settings.compute_deadline,
            login_deadline: settings.login_deadline,
            greeting: settings.greeting,
        }
    }

    /// A client of the same broker for the account checks of people who have logged in.
    #[must_use]
    pub fn for_accounts(socket: PathBuf, settings: &PamSettings) -> Self {
        Self { service: settings.account_service.clone(), ..Self::new(socket, settings) }
    }

    /// Does the broker accept connections and fork?
    ///
    /// # Errors
    /// [`PamError`] if not. A broker that is busy is alive.
    pub async fn ping(&self) -> Result<(), PamError> {
        let mut conversation = self.connect().await?;
        conversation.say(&ToWorker::Ping { v: VERSION }).await?;
        match timeout(CONNECT_DEADLINE, conversation.hear()).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(PamError::Deadline),
        }
    }

    /// Begins a transaction; [`PamConversation::next`] then tells what the stack says.
    ///
    /// # Errors
    /// [`PamError`] if the broker cannot be asked; treat it as [`PamEvent::Unavailable`].
    pub async fn start(&self, request: PamRequest) -> Result<PamConversation, PamError> {
        let start = ToWorker::Start(Start {
            v: VERSION,
            service: self.service.clone(),
            user: request.user.map(String::from),
            rhost: request.rhost.to_canonical(),
            tty: TTY.to_owned(),
            mode: request.mode,
            deadline_ms: u32::try_from(self.login_deadline.as_millis()).unwrap_or(u32::MAX),
            trace: request.trace,
        });
        let mut conversation = self.connect().await?;
        conversation.say(&start).await?;
        Ok(conversation)
    }

    async fn connect(&self) -> Result<PamConversation, PamError> {
        let stream = timeout(CONNECT_DEADLINE, UnixStream::connect(&self.socket))
            .await
            .map_err(|_| PamError::Deadline)??;
        Ok(PamConversation {
            stream,
            turn: Turn::new(),
            patience: self.patience,
            compute_deadline: self.compute_deadline,
            inbox: Vec::new(),
            groups: Vec::new(),
            greeting: self.greeting,
            style: None,
            secrets_asked: 0,
        })
    }
}

impl PamConversation {
    /// Waits for what the stack says next: at most twice the compute deadline (queue and work) and some slack.
    ///
    /// Every failure of the broker or its child becomes [`PamEvent::Unavailable`]. A call that was dropped may be
    /// made again.
    pub async fn next(&mut self) -> PamEvent {
        if self.turn.is_over() {
            return PamEvent::unavailable(&"the conversation is over");
        }
        let begun = Instant::now();
        match timeout(self.patience, self.next_event()).await {
            Ok(Ok(event)) => event,
            // The broker ends such a child, and its log line says the same. Whoever waits for a push sees it here first.
            Ok(Err(PamError::Unreachable(_))) if begun.elapsed() >= self.compute_deadline => {
                PamEvent::unavailable(&PamError::TookLong(self.compute_deadline))
            }
            Ok(Err(error)) => PamEvent::unavailable(&error),
            Err(_) => PamEvent::unavailable(&PamError::Deadline),
        }
    }

    /// Answers the open prompt with a password; `None` tells the stack that the person gave up.
    ///
    /// # Errors
    /// [`PamError::OutOfOrder`] without an open prompt.
    pub async fn answer(&mut self, value: Option<&Password>) -> Result<(), PamError> {
        self.reply(value.map(Password::expose)).await
    }

    /// Answers the open prompt with any text, as an `Echo` or `Radio` prompt may need; it may be empty, except where
    /// the first password is asked. A radio prompt takes `yes`; anything else is no.
    ///
    /// # Errors
    /// [`PamError::InvalidAnswer`] if the text cannot be one, [`PamError::OutOfOrder`] without an open prompt.
    pub async fn answer_text(&mut self, value: &str) -> Result<(), PamError> {
        // Modules with `nullok` would let an account without a password in.
        let is_password = self.style == Some(Style::Secret) && self.secrets_asked <= 1;
        if (value.is_empty() && is_password) || value.len() > MAX_ANSWER || value.contains('\0') {
            return Err(PamError::InvalidAnswer);
        }
        self.reply(Some(value)).await
    }

    /// Whether the broker ended the conversation while a question was open. Only an answer makes the stack go on, so that
    /// whatever comes before one is the end.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let read = self.stream.try_read(&mut [0; 1]);
        !self.inbox.is_empty() || !matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// After [`PamEvent::NeedChange`]: lets the stack ask for the new password.
    ///
    /// # Errors
    /// [`PamError::OutOfOrder`] if no change was offered.
    pub async fn change_expired(&mut self) -> Result<(), PamError> {
        self.say(&ToWorker::ChangeExpired).await
    }

    async fn reply(&mut self, value: Option<&str>) -> Result<(), PamError> {
        let n = self.turn.open_prompt().ok_or(OutOfOrder)?;
        self.style = None;
        self.say(&ToWorker::Answer { n, value: value.map(|text| Secret::new(text.to_owned())) }).await
    }

    async fn next_event(&mut self) -> Result<PamEvent, PamError> {
        loop {
            return Ok(match self.hear().await? {
                FromWorker::Groups { names } => {
                    self.groups.extend(names);
                    continue;
                }
                FromWorker::Prompt { n, style, text, mut before } => {
                    // Nothing was proven yet, and "the account is locked" (pam_faillock) is about accounts that exist.
                    if n == 1 && !self.greeting {
                        before.clear();
                    }
                    self.style = Some(style);
                    self.secrets_asked += u32::from(style == Style::Secret);
                    PamEvent::Ask { prompt: event::prompt(style, text), before: event::messages(before) }
                }
                FromWorker::NeedChange { messages } => {
                    PamEvent::NeedChange { messages: event::messages(messages) }
                }
                FromWorker::Done(done) => PamEvent::of_done(done, std::mem::take(&mut self.groups)),
                FromWorker::Busy { retry_ms } => {
                    PamEvent::Busy { retry_after: Duration::from_millis(u64::from(retry_ms)) }
                }
                FromWorker::Pong => PamEvent::unavailable(&OutOfOrder),
            });
        }
    }

    async fn say(&mut self, frame: &ToWorker) -> Result<(), PamError> {
        self.turn = self.turn.gateway_says(frame)?;
        let bytes = frames::encode(frame)?;
        match timeout(CONNECT_DEADLINE, self.stream.write_all(&bytes)).await {
            // A broker over its limit says `Busy` and closes without reading; `next` will find that.
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Ok(written) => Ok(written?),
            Err(_) => Err(PamError::Deadline),
        }
    }

    async fn hear(&mut self) -> Result<FromWorker, PamError> {
        loop {
            if let Some(frame) = self.take_frame()? {
                self.turn = self.turn.worker_says(&frame)?;
                return Ok(frame);
            }
            let mut chunk = [0; 4096];
            let read = self.stream.read(&mut chunk).await?;
            if read == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.inbox.extend_from_slice(chunk.get(..read).unwrap_or_default());
        }
    }

    /// The first frame of the inbox, if it is complete. Never holds more than one frame and what came with it.
    fn take_frame(&mut self) -> Result<Option<FromWorker>, FrameError> {
        let Some(header) = self.inbox.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let end = HEADER + frames::body_length(*header)?;
        debug_assert!(end <= HEADER + MAX_FRAME, "body_length bounds it");
        let Some(body) = self.inbox.get(HEADER..end) else {
            return Ok(None);
        };
        let frame = frames::decode(body)?;
        self.inbox.drain(..end);
        Ok(Some(frame))
    }
}
