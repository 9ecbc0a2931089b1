//! Plain HTTP requests to the gateway or the engine, by curl: the suite needs no client library of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::process;

/// Where a request goes.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// The engine's socket.
    Socket(PathBuf),
    /// A port on loopback; with the only CA to trust when it speaks TLS.
    Port(u16, Option<PathBuf>),
    /// The same by the name `localhost`, for servers that go by it; with the only CA to trust.
    Named(u16, PathBuf),
    /// A port on loopback that speaks TLS with a certificate not known yet. Never for a password.
    Unverified(u16),
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and headers.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// Values of a header, in order.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The text of an error in the engine's own shape.
    pub(crate) fn message(&self) -> String {
        assert_eq!(self.header("content-type"), ["application/json"], "{self:?}");
        self.json()["message"].as_str().unwrap_or_else(|| panic!("no message in {self:?}")).to_owned()
    }
}

/// Sends a request. `options` are curl's own; `None` when nobody answers.
pub(crate) fn send(target: &Target, path: &str, options: &[&str]) -> Option<Answer> {
    let mut command = Command::new("curl");
    command.args(["-sS", "-i", "--noproxy", "*", "--max-time", "60"]).args(options);
    match target {
        Target::Socket(socket) => {
            command.arg("--unix-socket").arg(socket).arg(format!("http://localhost{path}"));
        }
        Target::Port(port, None) => {
            command.arg(format!("http://127.0.0.1:{port}{path}"));
        }
        Target::Named(port, ca) => {
            command.arg("--cacert").arg(ca).arg(format!("https://localhost:{port}{path}"));
        }
        Target::Unverified(port) => {
            command.arg("--insecure").arg(format!("https://127.0.0.1:{port}{path}"));
        }
        Target::Port(port, Some(ca)) => {
            command.arg("--cacert").arg(ca).arg(format!("https://127.0.0.1:{port}{path}"));
        }
    }
    let finished = process::run(command);
    (finished.code == 0).then(|| parse(&finished.stdout))
}

/// Signs in as a browser does: with the form of the sign-in page, and the cookie that belongs to it.
pub(crate) fn submit_login(target: &Target, user: &str, password: &str) -> Answer {
    let by_browser = ["-H", "Sec-Fetch-Site: same-origin", "-H", "Accept: text/html"];
    let page = send(target, "/_doorward/login", &by_browser).expect("the sign-in page");
    let secret =
        page.body.split("name=\"csrf_token\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let secret = format!("csrf_token={}", secret.unwrap_or_else(|| panic!("no form in {page:?}")));
    let cookie = page
        .header("set-cookie")
        .first()
        .and_then(|set| set.split(';').next())
        .unwrap_or_default()
        .to_owned();
    let (user, password) = (format!("user={user}"), format!("password={password}"));
    let mut options = by_browser.to_vec();
    options.extend(["-b", &cookie]);
    [&user, &password, &secret].iter().for_each(|field| options.extend(["--data-urlencode", field.as_str()]));
    send(target, "/_doorward/login", &options).expect("an answer")
}

/// Logs in and returns the token.
pub(crate) fn login(target: &Target, user: &str, password: &str) -> Result<String, Answer> {
    let body = serde_json::json!({ "user": user, "password": password }).to_string();
    let options = ["-H", "Content-Type: application/json", "--data-raw", &body];
    let answer = send(target, "/_doorward/api/v1/login", &options).expect("the gateway answers");
    match answer.json()["token"].as_str() {
        Some(token) if answer.status == 200 => Ok(token.to_owned()),
        _ => Err(answer),
    }
}

/// Writes a docker configuration that carries `token`.
pub(crate) fn write_docker_config(folder: &Path, token: &str) {
    std::fs::create_dir_all(folder).expect("scratch folder");
    let config = serde_json::json!({ "HttpHeaders": { "Authorization": format!("Bearer {token}") } });
    std::fs::write(folder.join("config.json"), config.to_string()).expect("scratch folder");
}

fn parse(raw: &str) -> Answer {
    let mut rest = raw;
    loop {
        let (head, body) = rest.split_once("\r\n\r\n").unwrap_or((rest, ""));
        let status =
            head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        // `100 Continue` comes before the answer.
        if status != 100 {
            return Answer { status, head: head.to_owned(), body: body.to_owned() };
        }
        rest = body;
    }
}
