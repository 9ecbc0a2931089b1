//! HTTP-01 (RFC 8555 section 8.3): a small server on port 80 that knows the tokens of the order under way and nothing
//! else. It never sees a login and has no way to the engine.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::challenges::Challenges;
use crate::domain::add_security_headers;

const PATH: &str = "/.well-known/acme-challenge/";
/// Connections at once. A server verifies from a handful of places.
const MOST: usize = 64;
/// Longest that one connection lives: strangers hold none.
const LIFE: Duration = Duration::from_secs(10);
const MAX_HEAD: usize = 8 * 1024;
/// After an accept that failed (no descriptors left), before the next.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers until it is dropped. Runs on the caller's event loop.
pub async fn respond(listener: TcpListener, challenges: Arc<Challenges>) {
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        // The place is taken first, so that whoever comes on top waits in the kernel.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let challenges = Arc::clone(&challenges);
                tokio::task::spawn_local(async move {
                    let _ = tokio::time::timeout(LIFE, serve(stream, challenges)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept on --acme-http-listen");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, challenges: Arc<Challenges>) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let answer = answer(request.method(), request.uri().path(), &challenges);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).keep_alive(false).max_buf_size(MAX_HEAD);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection on --acme-http-listen ended");
    }
}

fn answer(method: &Method, path: &str, challenges: &Challenges) -> Response<Full<Bytes>> {
    let token = path.strip_prefix(PATH).filter(|_| matches!(*method, Method::GET | Method::HEAD));
    let (status, text) = match token.and_then(|token| challenges.text(token)) {
        Some(text) => (StatusCode::OK, text),
        None => (StatusCode::NOT_FOUND, "Only challenges of an ACME server are answered here.\n".to_owned()),
    };
    let kind = if status == StatusCode::OK { "application/octet-stream" } else { "text/plain" };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    add_security_headers(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{Method, StatusCode};

    use super::super::challenges::Challenges;
    use super::answer;

    #[test]
    fn only_the_token_of_an_order_under_way_is_answered() {
        let challenges = Arc::new(Challenges::default());
        let pending = challenges.put_text("tok", "tok.thumb".to_owned());
        let status = |method, path| answer(&method, path, &challenges).status();
        let good = "/.well-known/acme-challenge/tok";
        assert_eq!(status(Method::GET, good), StatusCode::OK);
        for path in [
            "/",
            "/.well-known/acme-challenge/",
            "/.well-known/acme-challenge/tok/",
            "/version",
            "/_doorward/login",
        ] {
            assert_eq!(status(Method::GET, path), StatusCode::NOT_FOUND, "{path}");
        }
        assert_eq!(status(Method::POST, good), StatusCode::NOT_FOUND);
        drop(pending);
        assert_eq!(status(Method::GET, good), StatusCode::NOT_FOUND);
    }
}
