//! The whole gateway as a process, between a client that sends any bytes and an engine that answers any.
//!
//! Not here: silence of fifteen minutes (GF7) and bodies of gigabytes (GF9) take too long; the slow request head of F8
//! has a deadline of a minute. `f9_…` and `f8_…` look at what can be seen at once. Real clients and a real engine are
//! in `tests/e2e`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod acme;
mod answers;
mod engine;
mod errors;
mod forwarding;
mod frames;
mod framing;
mod headers;
mod hijacks;
mod http2;
mod life;
mod logs;
mod names;
mod passed_on;
mod paths;
mod pool;
mod process;
mod secured;
mod sizes;
mod streaming;
mod tls_quality;
mod tunnels;
mod unauthenticated;
mod unreadable;
mod wire;

use std::io;
use std::time::Duration;

/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    position(haystack, needle).is_some()
}

/// All values of a header, in order.
fn header_values(head: &str, name: &str) -> Vec<String> {
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    lines
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
        .collect()
}

fn content_length(head: &str) -> Option<usize> {
    header_values(head, "content-length").first()?.parse().ok()
}

/// Takes a chunked body off the front of `buffer`; `fill` appends what comes next.
fn chunked_body<T>(
    buffer: &mut Vec<u8>,
    mut fill: impl FnMut(&mut Vec<u8>) -> io::Result<T>,
) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = loop {
            match position(buffer, b"\r\n") {
                Some(line) => break line,
                None => fill_or_end(buffer, &mut fill)?,
            }
        };
        let size = String::from_utf8_lossy(&buffer[..line]).into_owned();
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default(), 16)
            .map_err(|_| io::Error::other(format!("no chunk size: {size:?}")))?;
        let whole = line + 2 + size + 2;
        while buffer.len() < whole {
            fill_or_end(buffer, &mut fill)?;
        }
        body.extend_from_slice(&buffer[line + 2..line + 2 + size]);
        buffer.drain(..whole);
        if size == 0 {
            return Ok(body);
        }
    }
}

fn fill_or_end<T>(
    buffer: &mut Vec<u8>,
    fill: &mut impl FnMut(&mut Vec<u8>) -> io::Result<T>,
) -> io::Result<()> {
    let before = buffer.len();
    fill(buffer)?;
    if buffer.len() == before { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}
