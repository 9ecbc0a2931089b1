//! Requests to a gateway. Each has a connection of its own; redirects are not followed, answers are bounded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::address::GatewayUrl;
use super::connect::{ConnectError, Connected, connect_showing};
use super::secret::Secret;
use super::trust::{ClientProof, Seen, ServerTrust};

/// Most of an answer that is kept in memory.
const MOST_BODY: usize = 1024 * 1024;
/// Most bytes of an answer's head.
const MOST_HEAD: usize = 64 * 1024;
/// For a whole request and its answer.
const USUAL: Duration = Duration::from_secs(30);
/// PAM modules take their time: a second factor on a telephone, a slow directory.
const PATIENT: Duration = Duration::from_secs(180);
/// Most characters of a server's sentence that are shown.
const MOST_MESSAGE: usize = 2000;

/// A gateway to talk to: where it is, how it proves itself, and as whom to speak.
#[derive(Clone)]
pub struct Gateway {
    /// Where it is.
    pub url: GatewayUrl,
    /// How it proves itself.
    pub trust: ServerTrust,
    /// As whom.
    pub token: Option<Secret>,
    /// The certificate that is shown to whoever asks for one.
    pub proof: Option<Arc<ClientProof>>,
}

/// Why a request came to nothing.
#[derive(Debug, Error)]
pub enum ClientError {
    /// There was no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke, or what came is not HTTP.
    #[error("the gateway's answer broke off")]
    Broken(#[source] hyper::Error),
    /// It took too long.
    #[error("the gateway did not answer within {0} s")]
    Slow(u64),
    /// More than is good.
    #[error("the answer is larger than {} KiB; is this a Doorward gateway?", MOST_BODY / 1024)]
    TooLarge,
    /// Not what a gateway says.
    #[error("{0}; is this a Doorward gateway?")]
    Strange(String),
    /// The gateway says no. The sentence is its own: untrusted, to be shown escaped.
    #[error("{message}")]
    Refused {
        /// Who says it.
        url: Box<GatewayUrl>,
        /// What it is in HTTP.
        status: StatusCode,
        /// What it says.
        message: String,
        /// Seconds after which it may be asked again.
        retry_after: Option<u64>,
    },
}

impl ClientError {
    /// Whether the gateway refused with this status.
    #[must_use]
    pub fn is_status(&self, wanted: u16) -> bool {
        matches!(self, Self::Refused { status, .. } if status.as_u16() == wanted)
    }
}

/// An answer that was understood.
#[derive(Debug)]
pub struct Answer<T> {
    /// A status below 300.
    pub status: StatusCode,
    /// What it says.
    pub content: T,
    /// What the server showed; `None` without TLS.
    pub seen: Option<Seen>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl Gateway {
    /// Asks for JSON, with JSON if there is a `body`. An empty answer is read as `null`.
    ///
    /// # Errors
    /// [`ClientError`], also for statuses of 300 and above.
    pub async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer<T>, ClientError> {
        self.json_within(USUAL, method, path, body).await
    }

    /// As [`Gateway::json`], for a step of a login, which may wait for a person or a slow directory.
    ///
    /// # Errors
    /// [`ClientError`], also for statuses of 300 and above.
    pub async fn json_patiently<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer<T>, ClientError> {
        self.json_within(PATIENT, method, path, body).await
    }

    async fn json_within<T: DeserializeOwned>(
        &self,
        most: Duration,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer<T>, ClientError> {
        let text = body.map(serde_json::to_vec).transpose();
        let text =
            text.map_err(|error| ClientError::Strange(format!("the request cannot be written: {error}")))?;
        let asked = tokio::time::timeout(most, async {
            let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let headers = text.is_some().then_some(json).into_iter().collect();
            let body = Full::new(Bytes::from(text.unwrap_or_default()));
            let (response, seen) = self.send(method, path, headers, body).await?;
            understand(&self.url, response, seen).await
        });
        asked.await.unwrap_or(Err(ClientError::Slow(most.as_secs())))
    }

    /// Sends a request and gives the answer as it comes, whatever its status, with an unread body. The connection lasts
    /// as long as the body.
    ///
    /// # Errors
    /// [`ClientError`] if there is no answer.
    pub async fn send<B>(
        &self,
        method: Method,
        path: &str,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: B,
    ) -> Result<(Response<Incoming>, Option<Seen>), ClientError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path
            .parse()
            .map_err(|_| ClientError::Strange("the path cannot be written as HTTP".to_owned()))?;
        *request.headers_mut() = self.headers(headers)?;
        let Connected { stream, seen } =
            connect_showing(&self.url, &self.trust, self.proof.as_deref()).await?;
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(MOST_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(ClientError::Broken)?;
        // Its error also reaches the request or the body, which report it.
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(ClientError::Broken)?;
        Ok((response, seen))
    }

    fn headers(&self, given: Vec<(HeaderName, HeaderValue)>) -> Result<HeaderMap, ClientError> {
        let mut headers = HeaderMap::from_iter(given);
        let host = HeaderValue::try_from(self.url.authority());
        let host = host.map_err(|_| ClientError::Strange("the host cannot be written as HTTP".to_owned()))?;
        headers.insert(HOST, host);
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("doorward/", env!("CARGO_PKG_VERSION"))));
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, bearer(token));
        }
        Ok(headers)
    }
}

/// The `Authorization` of a token, marked so that it is logged nowhere.
#[must_use]
pub fn bearer(token: &Secret) -> HeaderValue {
    // A `Secret` holds nothing that a header cannot.
    let value = HeaderValue::try_from(format!("Bearer {}", token.expose()));
    let mut value = value.unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
    value.set_sensitive(true);
    value
}

async fn understand<T: DeserializeOwned>(
    url: &GatewayUrl,
    response: Response<Incoming>,
    seen: Option<Seen>,
) -> Result<Answer<T>, ClientError> {
    let status = response.status();
    if status.is_redirection() {
        let text = format!("the answer leads elsewhere ({status}), where doorward does not follow");
        return Err(ClientError::Strange(text));
    }
    let is_json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = read(response.into_body()).await?;
    if !status.is_success() {
        let refusal = serde_json::from_slice::<Refusal>(&body).ok().filter(|_| is_json);
        let Some(Refusal { message }) = refusal else {
            return Err(ClientError::Strange(format!("the answer is {status}, without a word why")));
        };
        let message = message.chars().take(MOST_MESSAGE).collect();
        return Err(ClientError::Refused { url: Box::new(url.clone()), status, message, retry_after });
    }
    let text: &[u8] = if body.is_empty() { b"null" } else { &body };
    // The parser's own words may quote what came, and that may be a token.
    let content = serde_json::from_slice(text).ok().filter(|_| is_json || body.is_empty());
    let content = content.ok_or_else(|| ClientError::Strange("the answer is not understood".to_owned()))?;
    Ok(Answer { status, content, seen })
}

async fn read(body: Incoming) -> Result<Bytes, ClientError> {
    match Limited::new(body, MOST_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ClientError::TooLarge),
        Err(error) => Err(match error.downcast::<hyper::Error>() {
            Ok(error) => ClientError::Broken(*error),
            Err(_) => ClientError::Strange("the answer cannot be read".to_owned()),
        }),
    }
}
