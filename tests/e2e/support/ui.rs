//! An engine with pages: one page, its style sheet, and the script of a service worker.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

const PAGE: &str = include_str!("../browser/ui.html");
const STYLE: &str = "h1 { color: rgb(1, 2, 3) }";
/// Answers everything that the browser asks this origin for.
const WORKER: &str = "self.addEventListener('fetch', event => event.respondWith(new Response('taken over')))";
/// What it would like browsers to believe, beside its page.
const CLAIMS: &str =
    "Service-Worker-Allowed: /\r\nSet-Cookie: ui=1\r\nCache-Control: public, max-age=9999\r\n";

/// Starts it; its threads end with the test run.
pub(crate) fn engine() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("a port");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let user = head.lines().find_map(|line| line.strip_prefix("x-forwarded-user: ")).unwrap_or("nobody");
    let (status, kind, body) = match head.split(' ').nth(1)? {
        "/ui" => ("200 OK", "text/html", PAGE.replace("USER", user)),
        "/ui.css" => ("200 OK", "text/css", STYLE.to_owned()),
        "/sw.js" => ("200 OK", "text/javascript", WORKER.to_owned()),
        _ => ("404 Not Found", "text/plain", "nothing here".to_owned()),
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{CLAIMS}Connection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).ok()
}
