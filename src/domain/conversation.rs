//! What a login asks and says, whoever asks it (a PAM stack or the embedded user file).

use serde::{Deserialize, Serialize};

/// How the answer to a prompt is typed (`pam_conv(3)`).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptStyle {
    /// `PAM_PROMPT_ECHO_ON`: visible while typing.
    Echo,
    /// `PAM_RADIO_TYPE`: yes or no.
    Radio,
    /// `PAM_PROMPT_ECHO_OFF`: hidden while typing.
    Secret,
}

/// One question of a login conversation. The text comes from a PAM module: untrusted, bounded, shown escaped.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Prompt {
    /// How the answer is typed.
    pub style: PromptStyle,
    /// What the module asks, for example `Password: `.
    pub text: String,
}

/// How a message is meant (`PAM_TEXT_INFO`, `PAM_ERROR_MSG`).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something went wrong.
    Error,
    /// For information.
    Info,
}

/// A text that needs no answer. Untrusted and bounded, as [`Prompt::text`] is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Message {
    /// How it is meant.
    pub level: Level,
    /// What it says.
    pub text: String,
}
