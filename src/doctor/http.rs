//! One GET request over a stream that is open already, bounded in time and size.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::domain::{UnixSeconds, sanitize};

const WHOLE: Duration = Duration::from_secs(4);
const MAX_BODY: usize = 64 * 1024;

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// When the other side thinks that it is (RFC 9110 section 6.6.1).
    pub(super) fn date(&self) -> Option<UnixSeconds> {
        parse_date(self.headers.get(header::DATE)?.to_str().ok()?)
    }

    /// A header for people to read: bounded, and nothing in it steers a terminal.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(self.headers.get(name)?.as_bytes()).into_owned();
        Some(harmless(&text))
    }
}

/// Bounded, without control characters: strangers may have written it.
pub(super) fn harmless(text: &str) -> String {
    let first: String = text.chars().take(200).collect();
    sanitize(&first, '?')
}

/// Asks for `path` at `host`, with these headers more.
///
/// # Errors
/// A sentence that says why there is no answer.
pub(super) async fn get<S>(stream: S, host: &str, path: &str, headers: HeaderMap) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let asked = tokio::time::timeout(WHOLE, exchange(stream, host, path, headers)).await;
    asked.unwrap_or_else(|_| Err(format!("no answer within {} s", WHOLE.as_secs())))
}

async fn exchange<S>(stream: S, host: &str, path: &str, headers: HeaderMap) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let failed = |error: hyper::Error| format!("no answer: {error}");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // Its error also reaches the request, which is the one that reports it.
    let driver = tokio::spawn(connection);
    let mut request =
        http::Request::get(path).body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    *request.headers_mut() = headers;
    request
        .headers_mut()
        .insert(header::HOST, HeaderValue::try_from(host).map_err(|error| error.to_string())?);
    request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("doorward-doctor"));
    let response = sender.send_request(request).await.map_err(failed)?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await;
    driver.abort();
    let body = body.map_err(|error| format!("half an answer: {error}"))?.to_bytes();
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`; the obsolete forms are not read.
fn parse_date(text: &str) -> Option<UnixSeconds> {
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(time.as_second())
}

#[cfg(test)]
mod tests {
    use super::{harmless, parse_date};

    #[test]
    fn the_date_of_an_answer_is_read() {
        assert_eq!(parse_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(parse_date("soon"), None);
    }

    #[test]
    fn a_header_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2J\r\nb"), "a?[2J??b");
        assert_eq!(harmless(&"x".repeat(5000)).len(), 200);
    }
}
