//! The engine that the demonstration brings along: a few answers in the Docker Engine's shape, and a page that shows
//! what an engine gets to know of its visitors.

use std::convert::Infallible;
use std::os::unix::net::UnixListener;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;

use crate::pages::views::{SampleEnginePage, Template};

/// Serves on a thread of its own until the process ends.
pub(super) fn start(listener: UnixListener) -> anyhow::Result<()> {
    listener.set_nonblocking(true).context("the sample engine's socket")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("sample-engine".to_owned())
        .spawn(move || {
            let served = runtime.block_on(serve(listener));
            if let Err(error) = served {
                tracing::error!(%error, "the sample engine ended");
            }
        })
        .context("cannot start the sample engine")?;
    Ok(())
}

async fn serve(listener: UnixListener) -> std::io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request)) });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    // As Docker does: a version in front changes nothing here.
    let path = path.strip_prefix("/v1.41").unwrap_or(path);
    match path {
        "/" => page(request),
        "/_ping" => respond(StatusCode::OK, "text/plain; charset=utf-8", "OK".to_owned()),
        "/version" => as_json(
            StatusCode::OK,
            &json!({
                "Platform": { "Name": "Doorward sample engine" },
                "Version": env!("CARGO_PKG_VERSION"), "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux",
            }),
        ),
        "/info" => as_json(StatusCode::OK, &json!({ "Name": "sample", "Containers": 0, "Images": 0 })),
        "/containers/json" | "/images/json" => as_json(StatusCode::OK, &json!([])),
        _ => as_json(StatusCode::NOT_FOUND, &json!({ "message": "page not found" })),
    }
}

fn page(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let identity: Vec<(String, String)> = request
        .headers()
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-forwarded-"))
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let text = SampleEnginePage { identity: &identity }.render().unwrap_or_default();
    respond(StatusCode::OK, "text/html; charset=utf-8", text)
}

fn as_json(status: StatusCode, value: &serde_json::Value) -> Response<Full<Bytes>> {
    respond(status, "application/json", format!("{value}\n"))
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert("api-version", HeaderValue::from_static("1.41"));
    headers.insert(header::SERVER, HeaderValue::from_static("doorward-sample"));
    response
}
