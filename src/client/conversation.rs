//! The login conversation, from the side of who is asked.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use http::Method;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use super::http::{Answer, ClientError, Gateway};
use super::secret::Secret;
use super::trust::Seen;
use crate::domain::{Message, Password, Prompt, UnixSeconds, Username};

const PATH: &str = "/_doorward/api/v1/login";
/// Most steps of one login. A stack asks for a password, a code and a new password twice; each may be wrong once.
const MOST_STEPS: usize = 32;
/// Most questions, and most messages, of one step.
const MOST_AT_ONCE: usize = 16;
/// Most characters of one text.
const MOST_TEXT: usize = 4096;

/// Who is asked.
pub trait Person {
    /// Shows what needs no answer. The texts are the server's: untrusted.
    fn tell(&mut self, messages: &[Message]);

    /// Answers a question, whose text is the server's too; `None` if there is no answer.
    ///
    /// # Errors
    /// If the person cannot be asked.
    fn answer(&mut self, prompt: &Prompt) -> io::Result<Option<Zeroizing<String>>>;
}

/// Why there was no login.
#[derive(Debug, Error)]
pub enum LoginError {
    /// The gateway said no, or could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It asks without end.
    #[error("the gateway asks and asks; gave up after {MOST_STEPS} steps")]
    Endless,
    /// A question was not answered, and the gateway was told so.
    #[error("there was no answer to one of the gateway's questions; nothing was changed")]
    GivenUp,
    /// The person cannot be asked.
    #[error("the answer cannot be read")]
    Unreadable(#[source] io::Error),
}

/// What a login gives.
pub struct Granted {
    /// The token.
    pub token: Secret,
    /// Who it is, as the gateway says.
    pub user: Username,
    /// When the token ends.
    pub expires: UnixSeconds,
    /// What there is to know, such as a password that will expire soon.
    pub messages: Vec<Message>,
    /// What the server showed; `None` without TLS.
    pub seen: Option<Seen>,
}

/// The conversation that is open at this moment, for whoever has to end it when the program is ended.
#[derive(Clone, Debug, Default)]
pub struct OpenConversation(Arc<Mutex<Option<String>>>);

impl OpenConversation {
    fn set(&self, id: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = id;
    }

    /// Tells the gateway that nobody will answer, so that no process waits there for the person.
    pub async fn cancel(&self, gateway: &Gateway) {
        let id = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(id) = id {
            let body = Sent { conversation: Some(&id), cancel: true, ..Sent::default() };
            // Nothing can be done about a failure: the conversation ends by itself in two minutes.
            let _ = gateway.json::<()>(Method::POST, PATH, Some(&body)).await;
        }
    }
}

/// What is sent in one step.
#[derive(Default, Serialize)]
struct Sent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<&'a [&'a str]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cancel: bool,
}

/// What comes back: questions, or the token.
#[derive(Deserialize)]
pub(super) struct Step {
    conversation: Option<String>,
    #[serde(default)]
    prompts: Vec<Prompt>,
    #[serde(default)]
    messages: Vec<Message>,
    token: Option<Secret>,
    user: Option<Username>,
    expires: Option<String>,
}

/// With what to log in.
pub struct Ask<'a> {
    /// The name that was typed.
    pub user: &'a Username,
    /// Answers the first hidden question that is for it; the gateway holds it until then.
    pub password: Option<&'a Password>,
    /// What the token is called in lists.
    pub name: &'a str,
}

/// Answers the gateway's questions until it gives a token.
///
/// # Errors
/// [`LoginError`]; what was open at the gateway was given up then.
pub async fn log_in(
    gateway: &Gateway,
    ask: &Ask<'_>,
    person: &mut impl Person,
    open: &OpenConversation,
) -> Result<Granted, LoginError> {
    let talked = talk(gateway, ask, person, open).await;
    if talked.is_err() {
        open.cancel(gateway).await;
    }
    talked
}

async fn talk(
    gateway: &Gateway,
    ask: &Ask<'_>,
    person: &mut impl Person,
    open: &OpenConversation,
) -> Result<Granted, LoginError> {
    let password = ask.password.map(Password::expose);
    let first = Sent { user: Some(ask.user.as_str()), password, name: Some(ask.name), ..Sent::default() };
    let mut answer = step(gateway, &first).await?;
    for _ in 0..MOST_STEPS {
        let said = &answer.content;
        let Some(id) = said.conversation.clone() else { return granted(answer).map_err(LoginError::from) };
        open.set(Some(id.clone()));
        person.tell(&said.messages);
        let mut answers = Vec::with_capacity(said.prompts.len());
        for prompt in &said.prompts {
            let typed = person.answer(prompt).map_err(LoginError::Unreadable)?;
            answers.push(typed.ok_or(LoginError::GivenUp)?);
        }
        let texts: Vec<&str> = answers.iter().map(|answer| answer.as_str()).collect();
        // From here on the id is spent, whatever becomes of the step.
        open.set(None);
        let next =
            Sent { conversation: Some(&id), answers: Some(&texts), name: Some(ask.name), ..Sent::default() };
        answer = step(gateway, &next).await?;
    }
    open.set(answer.content.conversation);
    Err(LoginError::Endless)
}

async fn step(gateway: &Gateway, sent: &Sent<'_>) -> Result<Answer<Step>, ClientError> {
    let mut answer: Answer<Step> = gateway.json_patiently(Method::POST, PATH, Some(sent)).await?;
    let said = &mut answer.content;
    if said.prompts.len() > MOST_AT_ONCE || said.messages.len() > MOST_AT_ONCE {
        return Err(ClientError::Strange(format!("it asks or says more than {MOST_AT_ONCE} things at once")));
    }
    let texts = said.prompts.iter_mut().map(|prompt| &mut prompt.text);
    for text in texts.chain(said.messages.iter_mut().map(|message| &mut message.text)) {
        if let Some((end, _)) = text.char_indices().nth(MOST_TEXT) {
            text.truncate(end);
        }
    }
    Ok(answer)
}

/// Reads the answer that ends a login.
pub(super) fn granted(answer: Answer<Step>) -> Result<Granted, ClientError> {
    let Step { token, user, expires, messages, .. } = answer.content;
    let expires = expires.and_then(|text| moment(&text));
    match (token, user, expires) {
        (Some(token), Some(user), Some(expires)) => {
            Ok(Granted { token, user, expires, messages, seen: answer.seen })
        }
        _ => Err(ClientError::Strange("the answer to the login holds no token".to_owned())),
    }
}

/// A time as the API writes it (RFC 3339).
pub(super) fn moment(text: &str) -> Option<UnixSeconds> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}
