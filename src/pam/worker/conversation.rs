//! What libpam calls when a module wants to say or ask something.
//!
//! A panic in here would abort the child, and an early `Ok` would let somebody in: every failure is remembered in
//! [`Conversation::lost`], and the transaction never succeeds after one.

use std::ffi::{CStr, CString, c_int};

use pam_client::{ConversationHandler, ErrorCode};

use super::frames::{FromWorker, Style, ToWorker, Tone};
use super::link::{Link, Lost};
use super::name_rule::check_name;
use super::text::{Notes, clean};

/// Most prompts of one transaction: a module that asks for ever ends here.
const MAX_PROMPTS: u32 = 32;

/// The state of a conversation, kept by libpam between the calls.
pub(super) struct Conversation {
    pub(super) link: Link,
    pub(super) notes: Notes,
    pub(super) lost: Option<Lost>,
    /// Longest delay that a module asked for after a failure, in microseconds.
    pub(super) delay_us: u32,
    prompts: u32,
    /// The next visible answer becomes the user's name.
    asks_name: bool,
}

impl Conversation {
    pub(super) fn new(link: Link, asks_name: bool) -> Self {
        Self { link, notes: Notes::default(), lost: None, delay_us: 0, prompts: 0, asks_name }
    }

    /// libpam calls this on success too, with the delay it would have made.
    pub(super) fn on_delay(&mut self, status: c_int, microseconds: u32) {
        if status != 0 {
            self.delay_us = self.delay_us.max(microseconds);
        }
    }

    /// Remembers why the conversation ended; the first reason counts.
    pub(super) fn lose(&mut self, lost: Lost) {
        self.lost.get_or_insert(lost);
    }

    fn ask(&mut self, style: Style, text: &CStr) -> Result<CString, ErrorCode> {
        if self.lost.is_some() {
            return Err(ErrorCode::CONV_ERR);
        }
        self.exchange(style, text).map_err(|lost| {
            self.lose(lost);
            ErrorCode::CONV_ERR
        })
    }

    fn exchange(&mut self, style: Style, text: &CStr) -> Result<CString, Lost> {
        self.prompts += 1;
        if self.prompts > MAX_PROMPTS {
            return Err(Lost::Prompts);
        }
        let before = self.notes.take();
        self.link.say(&FromWorker::Prompt {
            n: self.prompts,
            style,
            text: clean(text.to_bytes()),
            before,
        })?;
        match self.link.hear_person()? {
            ToWorker::Answer { value: Some(answer), .. } => {
                let is_name = style == Style::Echo && std::mem::take(&mut self.asks_name);
                if is_name && check_name(answer.expose()).is_err() {
                    return Err(Lost::Frame(super::frames::FrameError::Malformed));
                }
                CString::new(answer.expose()).map_err(|_| Lost::Frame(super::frames::FrameError::Malformed))
            }
            _ => Err(Lost::Cancelled),
        }
    }
}

impl ConversationHandler for Conversation {
    fn prompt_echo_on(&mut self, prompt: &CStr) -> Result<CString, ErrorCode> {
        self.ask(Style::Echo, prompt)
    }

    fn prompt_echo_off(&mut self, prompt: &CStr) -> Result<CString, ErrorCode> {
        self.ask(Style::Secret, prompt)
    }

    fn radio_prompt(&mut self, prompt: &CStr) -> Result<bool, ErrorCode> {
        self.ask(Style::Radio, prompt).map(|answer| answer.to_bytes().eq_ignore_ascii_case(b"yes"))
    }

    fn text_info(&mut self, text: &CStr) {
        self.notes.push(Tone::Info, text.to_bytes());
    }

    fn error_msg(&mut self, text: &CStr) {
        self.notes.push(Tone::Error, text.to_bytes());
    }
}
