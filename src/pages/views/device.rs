//! Letting a program in.

use askama::Template;

use super::{MessageView, Moment, PromptKind, PromptView, assets};

/// Asks for the code; posted to `/_doorward/device` as `code`, which is never filled in.
#[derive(Clone, Copy, Debug, Template)]
#[template(path = "device.html")]
pub struct DevicePage<'a> {
    /// The host, as the browser named it.
    pub host: &'a str,
    /// Who is signed in.
    pub user: &'a str,
    /// The page's secret; the field `csrf_token`.
    pub csrf_token: &'a str,
    /// Why the last code was no good.
    pub error: Option<&'a str>,
}

/// Shows what asked; posted to `/_doorward/device/answer` with `choice` = `approve` or `deny`.
#[derive(Debug, Template)]
#[template(path = "device_question.html")]
pub struct DeviceQuestionPage<'a> {
    /// The host, as the browser named it.
    pub host: &'a str,
    /// Who is signed in.
    pub user: &'a str,
    /// The page's secret; the field `csrf_token`.
    pub csrf_token: String,
    /// Names what is answered; the field `request`.
    pub request: &'a str,
    /// The code, to be compared.
    pub code: &'a str,
    /// What the program calls itself.
    pub name: &'a str,
    /// Where it is.
    pub address: String,
    /// When it asked.
    pub asked: Moment,
    /// How long it would be let in.
    pub lifetime: String,
    /// Whether a yes needs the password: the field `password`.
    pub asks_password: bool,
    /// Which check of who is there is gone on with; the field `conversation`.
    pub conversation: Option<&'a str>,
    /// What is asked then.
    pub prompts: Vec<PromptView>,
    /// What the server says.
    pub messages: Vec<MessageView>,
    /// Why the last answer did not count.
    pub error: Option<&'a str>,
}

/// Says what came of it.
#[derive(Debug, Template)]
#[template(path = "device_done.html")]
pub struct DeviceDonePage<'a> {
    /// The host, as the browser named it.
    pub host: &'a str,
    /// Whether the program was let in.
    pub approved: bool,
}
