//! `doorward api`: one request to a gateway, with the login built in.

mod body;

use std::io::{IsTerminal, Write, stdout};

use bytes::Bytes;
use clap::Args;
use http::{HeaderName, HeaderValue, Method, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use self::body::Data;
use super::exit;
use super::failure::{Failure, Outcome, conclude};
use super::remote::{self, HostArgs};
use super::shown::shown_in_line;
use crate::domain::escape_json;

const EXAMPLES: &str = "\
Examples:
  doorward api GET /info
  doorward api GET '/events?since=0'
      streams until Ctrl-C
  doorward api POST /containers/prune
  doorward api POST /images/load --data @image.tar --type application/x-tar
  doorward api POST /_doorward/api/v1/tokens --data '{\"name\":\"ci\",\"expires_in\":3600}' --json
  echo '{\"Image\":\"busybox\"}' | doorward api POST /containers/create --data - -i

The answer goes to standard output as it comes. Redirects are not followed.

Exit codes: 0 for statuses below 400, 1 for others or no answer, 5 not logged in, 6 it is not the gateway
that was logged in to.";

/// Send one request to a gateway, with the login built in
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Api {
    #[command(flatten)]
    host: HostArgs,
    /// GET, POST, PUT, DELETE, …
    #[arg(value_name = "METHOD", value_parser = method)]
    method: Method,
    /// Path and query, beginning with /
    #[arg(value_name = "PATH", value_parser = path)]
    path: String,
    /// What to send: a text, @FILE, or - for standard input
    #[arg(long, short, value_name = "DATA")]
    data: Option<Data>,
    /// Content-Type of what is sent
    #[arg(long = "type", value_name = "TYPE", default_value = "application/json", requires = "data")]
    content_type: HeaderValue,
    /// Ask for JSON, and print it with line breaks
    #[arg(long)]
    json: bool,
    /// Print the status and the headers of the answer before it
    #[arg(long, short)]
    include: bool,
}

fn method(text: &str) -> Result<Method, String> {
    let method =
        Method::from_bytes(text.to_ascii_uppercase().as_bytes()).map_err(|_| "no such method".to_owned())?;
    if method == Method::CONNECT { Err("CONNECT is no request to a gateway".to_owned()) } else { Ok(method) }
}

fn path(text: &str) -> Result<String, String> {
    let fits = text.starts_with('/') && text.parse::<http::uri::PathAndQuery>().is_ok();
    fits.then(|| text.to_owned()).ok_or_else(|| "write a path that begins with /, percent-encoded".to_owned())
}

impl Api {
    /// Sends the request, prints the answer, and gives the exit code.
    pub(super) fn run(&self) -> u8 {
        let mut status = exit::OK;
        let done = self.ask().map(|is_good| {
            if !is_good {
                status = exit::FAILURE;
            }
        });
        match done {
            Ok(()) => status,
            Err(failure) => conclude(Err(failure)),
        }
    }

    fn ask(&self) -> Result<bool, Failure> {
        let login = self.host.login()?;
        let body = self.data.as_ref().map(Data::open).transpose()?;
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        if body.is_some() {
            headers.push((http::header::CONTENT_TYPE, self.content_type.clone()));
        }
        if self.json {
            headers.push((http::header::ACCEPT, HeaderValue::from_static("application/json")));
        }
        remote::wait_for(async {
            let body = body.unwrap_or_else(body::empty);
            let (response, _) = login.gateway().send(self.method.clone(), &self.path, headers, body).await?;
            let status = response.status();
            if self.include {
                head(&response)?;
            }
            let printed =
                if self.json { indented(response).await } else { streamed(response.into_body()).await };
            printed?;
            Ok::<_, Failure>(status.as_u16() < 400)
        })?
    }
}

fn head(response: &Response<Incoming>) -> Outcome {
    let mut text = format!("{:?} {}\n", response.version(), response.status());
    for (name, value) in response.headers() {
        text += &format!("{name}: {}\n", shown_in_line(&String::from_utf8_lossy(value.as_bytes())));
    }
    text.push('\n');
    write(text.as_bytes())
}

/// JSON with line breaks, once all of it is there.
async fn indented(response: Response<Incoming>) -> Outcome {
    let body = response.into_body().collect().await?.to_bytes();
    match serde_json::from_slice::<serde_json::Value>(&body) {
        Ok(value) => write(escape_json(&format!("{value:#}\n")).as_bytes()),
        Err(_) => write(&harmless(&body)),
    }
}

async fn streamed(mut body: Incoming) -> Outcome {
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame?.into_data() {
            write(&harmless(&bytes))?;
        }
    }
    Ok(())
}

/// What goes to a terminal must not steer it. A file or a pipe gets the bytes as they are.
fn harmless(bytes: &Bytes) -> Bytes {
    if !stdout().is_terminal() {
        return bytes.clone();
    }
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let lines: Vec<String> = text.split('\t').map(super::shown::shown).collect();
    lines.join("\t").into()
}

fn write(bytes: &[u8]) -> Outcome {
    let mut out = stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush())?;
    Ok(())
}
