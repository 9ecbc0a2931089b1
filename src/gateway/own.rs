//! A request for one of our own pages, or our API.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};

use crate::gateway::body::GatewayBody;
use crate::gateway::entry::{Facts, Noted};
use crate::gateway::refuse::{error, throttled};
use crate::gateway::request::unavailable;
use crate::gateway::worker::Worker;
use crate::identity::Outcome;
use crate::pages::{self, MOST_BODY_BYTES, PageContext};
use crate::policy::Target;
use crate::proxy::Incoming;

/// Longest wait for the body of a request to one of our own pages. Strangers may send these: one that trickles in must
/// not hold a connection for ever.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

impl Worker {
    /// Our own pages and API.
    pub(super) async fn own(
        &self,
        facts: &Facts,
        target: &Target,
        incoming: &mut Incoming,
        outcome: Outcome,
        noted: &mut Noted,
    ) -> Response<GatewayBody> {
        let Incoming { parts, body, exit, .. } = incoming;
        let wants_body = !(parts.method == Method::GET || parts.method == Method::HEAD);
        let body = if let Some(body) = body.take().filter(|_| wants_body) {
            let read = Limited::new(body, MOST_BODY_BYTES).collect();
            match tokio::time::timeout(BODY_DEADLINE, read).await {
                Ok(Ok(body)) => {
                    exit.input.is_whole();
                    body.to_bytes()
                }
                Ok(Err(_)) => {
                    noted.reason = Some(Cow::Borrowed("body too large or broken off"));
                    return refuse_body(facts, StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
                }
                Err(_) => {
                    noted.reason = Some(Cow::Borrowed("body too slow"));
                    return refuse_body(facts, StatusCode::REQUEST_TIMEOUT, "the body came too slowly");
                }
            }
        } else {
            Bytes::new()
        };
        // "Nobody" would be a wrong answer where it could not be found out; what needs no identity goes on.
        if matches!(outcome, Outcome::Unavailable) && !needs_nobody(target.path()) {
            noted.reason = Some(Cow::Borrowed("the login cannot be checked"));
            return unavailable(facts);
        }
        if let Outcome::Throttled(wait) = outcome
            && !needs_nobody(target.path())
        {
            noted.reason = Some(Cow::Borrowed("too many failures"));
            return throttled(wait, facts);
        }
        if let Outcome::Failed(reason) = &outcome {
            noted.reason = Some(Cow::Borrowed(reason.as_str()));
        }
        let refused = match &outcome {
            Outcome::Failed(reason) if target.path() == pages::CERTIFICATE_PATH => Some(reason.as_str()),
            _ => None,
        };
        let identity = match outcome {
            Outcome::Authenticated(identity) => Some(identity),
            _ => None,
        };
        let context = PageContext {
            client: facts.client,
            is_forwarded: facts.forwarded.client.is_some(),
            authority: facts.authority.as_ref().and_then(|value| value.to_str().ok()).map(str::to_owned),
            identity,
            refused,
            is_insecure: self.is_insecure(facts),
            is_stopping: self.gateway.stop.drain.has_fallen(),
            request_id: facts.id.text(),
            headers: std::mem::take(&mut parts.headers),
            method: parts.method.clone(),
        };
        let is_head = context.method == Method::HEAD;
        let uri = Uri::from(target.forwarded().clone());
        let names = self.gateway.doors.cookie_key.names();
        let mut response = pages::call(&self.pages, &uri, context, body, names).await;
        if response.status() == StatusCode::UNAUTHORIZED
            && let Some(version) = self.pool.api_version()
        {
            response.headers_mut().insert("api-version", version);
        }
        if is_head {
            let length = HeaderValue::from(response.body().len());
            response.headers_mut().insert(header::CONTENT_LENGTH, length);
            *response.body_mut() = Bytes::new();
        }
        response.map(GatewayBody::from)
    }
}

/// What is left of the body is not read, so that nothing can follow it on this connection.
fn refuse_body(facts: &Facts, status: StatusCode, text: &str) -> Response<GatewayBody> {
    let mut refusal = error(status, text, &facts.id.text(), facts.for_browser);
    refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    refusal
}

/// Whether one of our own paths is there for people who have not come in.
fn needs_nobody(path: &str) -> bool {
    let own = path.strip_prefix("/_doorward/").unwrap_or_default();
    matches!(own, "login" | "api/v1/login" | "api/v1/openapi.json" | "healthz" | "readyz")
        || matches!(own, "api/v1/device" | "api/v1/device/token")
        || own.starts_with("static/")
}
