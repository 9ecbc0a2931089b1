//! An HTTP/1.1 client that sends exactly what it is told: headers twice, odd names, nothing added but what must be.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

/// Longest wait for something that must happen; only failing tests wait this long.
pub(super) const AT_MOST: Duration = Duration::from_secs(20);

/// Both kinds of connection.
pub(super) trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// Connects, over TLS if there is a configuration for it.
pub(super) fn connect(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Box<dyn Stream> {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(AT_MOST)).unwrap();
    socket.set_nodelay(true).unwrap();
    match tls {
        Some(config) => {
            let name = ServerName::from(address.ip());
            let client = ClientConnection::new(Arc::clone(config), name).unwrap();
            Box::new(StreamOwned::new(client, socket))
        }
        None => Box::new(socket),
    }
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub(super) struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// A form of one of our own pages, whose secret is to be filled in.
    is_of_page: bool,
}

impl Request {
    pub(super) fn new(method: &str, target: &str) -> Self {
        let (method, target) = (method.to_owned(), target.to_owned());
        Self { method, target, headers: Vec::new(), body: Vec::new(), is_of_page: false }
    }

    pub(super) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub(super) fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// Adds a header, also if there is one of that name. `Host` replaces the usual one.
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn headers(self, pairs: &[(&str, &str)]) -> Self {
        pairs.iter().fold(self, |request, (name, value)| request.header(name, value))
    }

    pub(super) fn cookie(self, cookie: &str) -> Self {
        self.header("Cookie", cookie)
    }

    pub(super) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub(super) fn basic(self, user: &str, password: &str) -> Self {
        let pair = data_encoding::BASE64.encode(format!("{user}:{password}").as_bytes());
        self.header("Authorization", &format!("Basic {pair}"))
    }

    /// What browsers send when a person goes to a page.
    pub(super) fn navigating(self) -> Self {
        self.headers(&[
            ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
            ("Sec-Fetch-Mode", "navigate"),
            ("Sec-Fetch-Dest", "document"),
        ])
    }

    /// A form that one of our own pages sent: what the browser adds, and the page's secret, which [`super::door::Door`]
    /// gets from that page.
    pub(super) fn by_our_page(self) -> Self {
        Self { is_of_page: self.method == "POST", ..self.by_our_origin() }
    }

    /// The same by a page of the engine, which shares our origin and knows no secret.
    pub(super) fn by_our_origin(self) -> Self {
        self.navigating().header("Sec-Fetch-Site", "same-origin")
    }

    /// The page that a form of ours stands on, asked for by the same browser; `None` if the form has its secret or needs
    /// none.
    pub(super) fn page(&self) -> Option<Self> {
        let target = match self.target.as_str() {
            "/_doorward/account/revoke" => "/_doorward/account",
            other => other,
        };
        let own = ["/_doorward/login", "/_doorward/logout", "/_doorward/account", "/_doorward/device"];
        let has_secret = self.text().contains("csrf_token=");
        (self.is_of_page && own.contains(&target) && !has_secret).then(|| {
            let is_of_body = |name: &str| name.to_ascii_lowercase().starts_with("content-");
            let mut page = self.clone();
            page.headers.retain(|(name, _)| !is_of_body(name));
            Self { method: "GET".into(), target: target.into(), body: Vec::new(), is_of_page: false, ..page }
        })
    }

    /// The login cookie that it carries.
    pub(super) fn login_cookie(&self) -> Option<String> {
        let cookies =
            self.headers.iter().filter(|(name, _)| name == "Cookie").map(|(_, value)| value.as_str());
        cookies
            .flat_map(|cookies| cookies.split("; "))
            .find(|pair| is_own_cookie(pair, "-login"))
            .map(str::to_owned)
    }

    /// The form with what its page gave: the secret, and the cookie that belongs to it.
    pub(super) fn of_page(mut self, page: &Reply) -> Self {
        let form = format!("action=\"{}\"", self.target);
        let secret =
            page.body.split(&form).nth(1).and_then(|rest| rest.split("name=\"csrf_token\" value=\"").nth(1));
        let Some(secret) = secret.and_then(|rest| rest.split('"').next()) else { return self };
        let field =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("csrf_token", secret).finish();
        let text = self.text();
        let has_login =
            self.headers.iter().any(|(name, value)| name == "Cookie" && value.contains("-login="));
        if let Some(cookie) = page.login_cookie().filter(|_| !has_login) {
            self = self.cookie(&cookie);
        }
        let has_type = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        self.body = if text.is_empty() { field } else { format!("{text}&{field}") }.into_bytes();
        if has_type { self } else { self.header("Content-Type", "application/x-www-form-urlencoded") }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn body(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("Content-Type", kind)
    }

    pub(super) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(super) fn fields(self, fields: &[(&str, String)]) -> Self {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.form(&fields)
    }

    pub(super) fn form(self, fields: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.body("application/x-www-form-urlencoded", body)
    }

    /// The bytes, for a host that is named by the request or else is this.
    pub(super) fn bytes(&self, host: &str, closes: bool) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let has = |name: &str| self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !has("host") {
            head.push_str(&format!("Host: {host}\r\n"));
        }
        if closes && !has("connection") {
            head.push_str("Connection: close\r\n");
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !has("content-length") && (!self.body.is_empty() || self.method == "POST") {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    /// The login cookie that the browser sent with the form.
    pub(super) sent_login_cookie: Option<String>,
}

impl Reply {
    /// A header's only value; two of it fail the test.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() <= 1, "{name} is there twice: {values:?}");
        values.first().copied()
    }

    /// All values of a header.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The body, read as JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The `name=value` of the session cookie that it sets.
    pub(super) fn new_cookie(&self) -> Option<String> {
        self.set_pair("")
    }

    /// The same for the cookie that makes a browser known.
    pub(super) fn new_device(&self) -> Option<String> {
        self.set_pair("-device")
    }

    fn set_pair(&self, kind: &str) -> Option<String> {
        let pair = self.set_cookie(kind)?.split(';').next().unwrap_or_default();
        (!pair.ends_with('=')).then(|| pair.to_owned())
    }

    /// The whole `Set-Cookie` of the gateway's cookie of a kind: `""` for the session, `"-device"`, `"-login"`.
    pub(super) fn set_cookie(&self, kind: &str) -> Option<&str> {
        self.all("set-cookie").into_iter().find(|set| is_own_cookie(set, kind))
    }

    /// The `name=value` of the cookie that ties a login under way to its browser.
    pub(super) fn login_cookie(&self) -> Option<String> {
        let set = self.set_cookie("-login").and_then(|set| set.split(';').next()).map(str::to_owned);
        set.or_else(|| self.sent_login_cookie.clone())
    }

    /// The body with nothing in it that differs from page to page.
    pub(super) fn body_without_secrets(&self) -> String {
        let mut pieces = self.body.split("name=\"csrf_token\" value=\"");
        let first = pieces.next().unwrap_or_default().to_owned();
        pieces.fold(first, |body, piece| body + "SECRET\"" + piece.split_once('"').unwrap_or_default().1)
    }

    /// Fails the test unless this is an error as the engine writes them.
    pub(super) fn is_engine_error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let body = self.json();
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{self:?}");
        body["message"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

/// Whether a cookie's name is the gateway's: the prefix, eight hex digits that differ by gateway, and the kind.
pub(super) fn is_own_cookie(text: &str, kind: &str) -> bool {
    let name = text.split('=').next().unwrap_or_default();
    let rest = name.strip_prefix("__Host-doorward-").and_then(|rest| rest.strip_suffix(kind));
    rest.is_some_and(|id| id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A connection on which an answer's head was read.
pub(super) struct Open {
    pub(super) reply: Reply,
    stream: Box<dyn Stream>,
    rest: Vec<u8>,
}

impl Open {
    /// Sends a request and reads the head of the answer.
    pub(super) fn start(stream: Box<dyn Stream>, bytes: &[u8]) -> Self {
        Self::try_start(stream, bytes).unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// The same, where the connection may end before there is an answer.
    pub(super) fn try_start(mut stream: Box<dyn Stream>, bytes: &[u8]) -> Result<Self, String> {
        // A peer that refuses may close before it has read all.
        let _ = stream.write_all(bytes).and_then(|()| stream.flush());
        let mut read = Vec::new();
        let end = loop {
            if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk) {
                Ok(length @ 1..) => read.extend_from_slice(&chunk[..length]),
                other => {
                    return Err(format!("no answer: {other:?} after {:?}", String::from_utf8_lossy(&read)));
                }
            }
        };
        let rest = read.split_off(end + 4);
        let text = String::from_utf8_lossy(&read).into_owned();
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default();
        let headers = lines
            .map(|line| line.split_once(':').unwrap_or((line, "")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let reply =
            Reply { status: status.parse().unwrap(), headers, body: String::new(), sent_login_cookie: None };
        Ok(Self { reply, stream, rest })
    }

    /// Waits until these bytes have come; gives all that came.
    pub(super) fn await_text(&mut self, wanted: &str) -> String {
        while !self.rest.windows(wanted.len()).any(|window| window == wanted.as_bytes()) {
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(length @ 1..) => self.rest.extend_from_slice(&chunk[..length]),
                other => panic!("{other:?} before {wanted:?}"),
            }
        }
        String::from_utf8_lossy(&std::mem::take(&mut self.rest)).into_owned()
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).unwrap();
    }

    /// Waits for the end of the connection, in whatever way; fails the test if it does not come.
    pub(super) fn await_end(mut self) {
        loop {
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(1..) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) =>
                {
                    panic!("the stream was not cut")
                }
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Reads the answer to its end.
    pub(super) fn finish(mut self, is_head: bool) -> Reply {
        let length = self.reply.header("content-length").map(|text| text.parse().unwrap());
        let has_no_body = is_head || matches!(self.reply.status, 204 | 304);
        match length {
            _ if has_no_body => {}
            Some(length) => self.read_up_to(length),
            // Servers need not say goodbye within TLS before they close.
            None => drop(self.stream.read_to_end(&mut self.rest)),
        }
        let is_chunked = self.reply.header("transfer-encoding") == Some("chunked");
        let body = if is_chunked { unchunk(&self.rest) } else { self.rest };
        if let Some(length) = length.filter(|_| !has_no_body) {
            assert_eq!(length, body.len(), "{:?}", self.reply);
        }
        self.reply.body = String::from_utf8_lossy(&body).into_owned();
        self.reply
    }

    fn read_up_to(&mut self, length: usize) {
        while self.rest.len() < length {
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(read @ 1..) => self.rest.extend_from_slice(&chunk[..read]),
                _ => return,
            }
        }
    }
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(&String::from_utf8_lossy(&bytes[..end]), 16).unwrap_or(0);
        if size == 0 || bytes.len() < end + 2 + size {
            break;
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = bytes.get(end + 4 + size..).unwrap_or_default();
    }
    body
}
