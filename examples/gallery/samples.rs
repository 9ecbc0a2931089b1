//! Every page in the states that matter for its look. Shared with the unit tests, which hold all of these to the
//! pages' promises (no script, labels, unique ids).

use super::Level;
use super::views::{
    AccountPage, CliBlock, DeviceDonePage, DevicePage, DeviceQuestionPage, ErrorPage, ForeignLinkPage,
    LoginPage, LogoutPage, MessageView, Moment, PromptKind, PromptView, RenderError, SampleEnginePage,
    SessionRow, Step, Template, TokenRow, WelcomePage,
};

const HOST: &str = "docker-01.example.net:8100";
const LONG_HOST: &str =
    "a-build-host-with-a-remarkably-long-name.region-7.customers.infrastructure.example.net:8100";
/// As long as a real one.
const TOKEN: &str = "c2VjcmV0IG9mIGEgcGFnZSwgYXMgbG9uZyBhcyBhIHJlYWwgb25lIHdvdWxkIGJl";
const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)> '&amp; style=\"x\"";

/// File stem and HTML of every sample.
pub(crate) fn pages() -> Result<Vec<(String, String)>, RenderError> {
    let mut all = login_pages()?;
    for status in [400, 401, 403, 404, 429, 500, 502, 503] {
        all.push((format!("error-{status}"), ErrorPage::standard(status, "01JD3Y8W2K7Q").render()?));
    }
    let hostile = [(HOSTILE.to_owned(), HOSTILE.to_owned())];
    let rest = [
        ("error-hostile", hostile_error().render()?),
        (
            "foreign-link",
            ForeignLinkPage { path: "/containers/json?all=1", request_id: "01JD3Y8W2K7Q" }.render()?,
        ),
        ("foreign-link-hostile", ForeignLinkPage { path: HOSTILE, request_id: HOSTILE }.render()?),
        ("account", account(&groups()).render()?),
        ("account-bare", bare_account().render()?),
        ("account-hostile", hostile_account(&[HOSTILE.to_owned()]).render()?),
        ("sample-engine", SampleEnginePage { identity: &identity() }.render()?),
        ("sample-engine-nobody", SampleEnginePage { identity: &[] }.render()?),
        ("sample-engine-hostile", SampleEnginePage { identity: &hostile }.render()?),
    ];
    all.extend(rest.map(|(name, html)| (name.to_owned(), html)));
    all.extend(device_pages()?);
    Ok(all)
}

fn device_pages() -> Result<Vec<(String, String)>, RenderError> {
    let code = DevicePage { host: HOST, user: "bob", csrf_token: TOKEN, error: None };
    let wrong = DevicePage { error: Some("No program waits with this code."), ..code };
    let code_field = field(0, "One-time code", PromptKind::Secret, "one-time-code");
    let hostile = DevicePage { host: HOSTILE, user: HOSTILE, error: Some(HOSTILE), ..code };
    let all = [
        ("device", code.render()?),
        ("device-wrong", wrong.render()?),
        ("device-hostile", hostile.render()?),
        ("device-question", question(HOST, "bob@laptop", "198.51.100.23").render()?),
        ("device-question-hostile", question(HOSTILE, HOSTILE, HOSTILE).render()?),
        ("device-question-password", again(None, Vec::new()).render()?),
        ("device-question-code", again(Some("c0ffee"), vec![code_field]).render()?),
        ("device-approved", DeviceDonePage { host: HOST, approved: true }.render()?),
        ("device-denied", DeviceDonePage { host: HOST, approved: false }.render()?),
    ];
    Ok(all.map(|(name, html)| (name.to_owned(), html)).into())
}

/// The question where the engine has pages: whoever says yes shows once more who they are.
fn again<'a>(conversation: Option<&'a str>, prompts: Vec<PromptView>) -> DeviceQuestionPage<'a> {
    DeviceQuestionPage {
        asks_password: true,
        conversation,
        prompts,
        error: conversation.is_none().then_some("Wrong password."),
        ..question(HOST, "bob@laptop", "198.51.100.23")
    }
}

fn question<'a>(host: &'a str, name: &'a str, address: &str) -> DeviceQuestionPage<'a> {
    DeviceQuestionPage {
        host,
        user: "bob",
        csrf_token: TOKEN.to_owned(),
        request: "lVYgS3tQ5Yw2",
        code: "BCDF-GHJK",
        name,
        address: address.to_owned(),
        asked: at("just now", "2026-11-22T03:04:05Z"),
        lifetime: "12 h".to_owned(),
        asks_password: false,
        conversation: None,
        prompts: Vec::new(),
        messages: Vec::new(),
        error: None,
    }
}

fn login_pages() -> Result<Vec<(String, String)>, RenderError> {
    let busy = "Login is not available right now. Try again in a moment.";
    let news = "Maintenance on Sunday, 02:00 to 04:00 UTC.\nBuilds will be stopped.";
    let code = field(0, "Verification code", PromptKind::Secret, "one-time-code");
    let all = [
        ("login", start().render()?),
        ("login-long-host", LoginPage { host: LONG_HOST, ..start() }.render()?),
        ("login-signed-out", LoginPage { signed_out: true, ..start() }.render()?),
        ("login-name-first", LoginPage { asks_password: false, ..start() }.render()?),
        ("login-wrong", wrong().render()?),
        ("login-busy", LoginPage { error: Some(busy), ..start() }.render()?),
        ("login-code", more(vec![code]).render()?),
        ("login-new-password", new_password().render()?),
        ("login-radio", radio().render()?),
        ("login-read-only", LoginPage { messages: vec![info(news)], ..more(Vec::new()) }.render()?),
        ("login-hostile", hostile_login().render()?),
        ("login-account-expired", refused().render()?),
        ("welcome", welcome(news).render()?),
        (
            "welcome-hostile",
            WelcomePage { host: HOSTILE, user: HOSTILE, return_to: HOSTILE, ..welcome(HOSTILE) }.render()?,
        ),
        ("logout", LogoutPage { host: HOST, user: "bob", csrf_token: TOKEN.to_owned() }.render()?),
    ];
    Ok(all.map(|(name, html)| (name.to_owned(), html)).into())
}

fn start<'a>() -> LoginPage<'a> {
    LoginPage {
        host: HOST,
        return_to: "/containers?all=1&x=%2F",
        csrf_token: TOKEN.to_owned(),
        user: None,
        conversation: None,
        prompts: Vec::new(),
        messages: Vec::new(),
        error: None,
        step: Step::Start,
        signed_out: false,
        has_passwords: true,
        asks_password: true,
        certificate_link: None,
    }
}

fn wrong<'a>() -> LoginPage<'a> {
    LoginPage { error: Some("Wrong user name or password."), user: Some("bob"), ..start() }
}

/// The password was right, and still.
fn refused<'a>() -> LoginPage<'a> {
    let text = "Your account has expired; please contact your system administrator.".to_owned();
    LoginPage {
        error: Some("You are not signed in, and this is why:"),
        messages: vec![MessageView { level: Level::Error, text }],
        ..wrong()
    }
}

fn welcome<'a>(news: &str) -> WelcomePage<'a> {
    let messages = vec![info("Warning: your password will expire in 5 days."), info(news)];
    WelcomePage { host: HOST, user: "bob", return_to: "/containers?all=1", messages }
}

fn more<'a>(prompts: Vec<PromptView>) -> LoginPage<'a> {
    LoginPage { user: Some("bob"), conversation: Some("c0ffee"), prompts, step: Step::Continue, ..start() }
}

fn field(index: usize, label: &str, kind: PromptKind, autocomplete: &'static str) -> PromptView {
    PromptView {
        name: format!("answer{index}"),
        label: label.to_owned(),
        kind,
        autocomplete,
        autofocus: index == 0,
    }
}

fn info(text: &str) -> MessageView {
    MessageView { level: Level::Info, text: text.to_owned() }
}

fn new_password<'a>() -> LoginPage<'a> {
    LoginPage {
        messages: vec![
            info("You are required to change your password immediately (password expired)."),
            MessageView {
                level: Level::Error,
                text: "BAD PASSWORD: The password is shorter than 8 characters".to_owned(),
            },
        ],
        ..more(vec![
            field(0, "New password", PromptKind::Secret, "new-password"),
            field(1, "Retype new password", PromptKind::Secret, "new-password"),
        ])
    }
}

fn radio<'a>() -> LoginPage<'a> {
    more(vec![
        field(0, "Send a push to your phone?", PromptKind::Radio, "off"),
        field(1, "Name of this device", PromptKind::Echo, "off"),
    ])
}

fn hostile_login<'a>() -> LoginPage<'a> {
    LoginPage {
        host: HOSTILE,
        return_to: HOSTILE,
        user: Some(HOSTILE),
        conversation: Some(HOSTILE),
        messages: vec![info(HOSTILE), MessageView { level: Level::Error, text: HOSTILE.to_owned() }],
        error: Some(HOSTILE),
        ..more(vec![
            field(0, HOSTILE, PromptKind::Secret, "off"),
            field(1, HOSTILE, PromptKind::Radio, "off"),
        ])
    }
}

fn hostile_error<'a>() -> ErrorPage<'a> {
    let action = Some(("/\"><script>", HOSTILE));
    ErrorPage { status: 400, title: HOSTILE, text: HOSTILE, request_id: HOSTILE, action }
}

fn at(text: &str, iso: &str) -> Moment {
    Moment { text: text.to_owned(), iso: iso.to_owned() }
}

fn groups() -> Vec<String> {
    ["docker", "builders", "on-call"].map(str::to_owned).to_vec()
}

fn identity() -> Vec<(String, String)> {
    [
        ("X-Forwarded-User", "bob"),
        ("X-Forwarded-Groups", "docker,builders,on-call"),
        ("X-Forwarded-For", "192.0.2.17"),
        ("X-Forwarded-Proto", "https"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// The account page of somebody who uses everything.
pub(crate) fn account(groups: &[String]) -> AccountPage<'_> {
    AccountPage {
        host: HOST,
        engine_ui: true,
        logout_token: TOKEN.to_owned(),
        csrf_token: TOKEN.to_owned(),
        user: "bob",
        groups,
        door_text: "password, in this browser",
        credential_id: "session 9f31c27a04de",
        since: at("today at 09:12", "2026-11-21T09:12:44Z"),
        expires: at("today at 21:12", "2026-11-21T21:12:44Z"),
        idle_text: "30 minutes",
        client_certificate: None,
        certificate_fingerprint: Some("5E:0B:8C:77:1A:D2:43:9E:F0:36:C8:11:6B:A4:5D:92:E7:0F:28:BC:63:D9:14:87:AE:3C:50:F6:71:0D:9B:E2"),
        tokens: vec![
            token("9a4be1c05d73", "bob@laptop", "login", Some(at("2 minutes ago", "2026-11-21T11:40:00Z"))),
            token("51e0f7d2bb86", "ci-runner-07", "minted", None),
        ],
        sessions: vec![session("9f31c27a04de", "192.0.2.17", true), session("07d5a8e3c119", "2001:db8:85a3:8d3:1319:8a2e:370:7348", false)],
        cli_lines: vec![
            CliBlock { title: "Sign in once".to_owned(), text: "doorward login https://docker-01.example.net:8100".to_owned() },
            CliBlock { title: "Then use the stock docker CLI".to_owned(), text: "doorward context docker-01.example.net\ndocker context use docker-01.example.net\ndocker run --rm -ti --name a-first-try --volume \"$PWD:/work\" alpine sh".to_owned() },
        ],
        engine_text: "Docker Engine 29.1.2 answers.",
        engine_ok: true,
    }
}

fn bare_account<'a>() -> AccountPage<'a> {
    AccountPage {
        engine_ui: false,
        user: "CORP\\maximiliane.von-und-zu-habichtsburg@region-7.example.net",
        groups: &[],
        door_text: "token",
        idle_text: "",
        certificate_fingerprint: None,
        tokens: Vec::new(),
        sessions: Vec::new(),
        cli_lines: Vec::new(),
        engine_text: "The engine does not answer.",
        engine_ok: false,
        host: LONG_HOST,
        ..account(&[])
    }
}

fn hostile_account(groups: &[String]) -> AccountPage<'_> {
    AccountPage {
        host: HOSTILE,
        user: HOSTILE,
        door_text: HOSTILE,
        credential_id: HOSTILE,
        since: at(HOSTILE, HOSTILE),
        idle_text: HOSTILE,
        certificate_fingerprint: Some(HOSTILE),
        tokens: vec![token(HOSTILE, HOSTILE, HOSTILE, Some(at(HOSTILE, HOSTILE)))],
        sessions: vec![session(HOSTILE, HOSTILE, true), session(HOSTILE, HOSTILE, false)],
        cli_lines: vec![CliBlock { title: HOSTILE.to_owned(), text: HOSTILE.to_owned() }],
        engine_text: HOSTILE,
        ..account(groups)
    }
}

fn token(id: &str, name: &str, kind: &str, last_used: Option<Moment>) -> TokenRow {
    TokenRow {
        id: id.to_owned(),
        name: name.to_owned(),
        kind: kind.to_owned(),
        created: at("3 days ago", "2026-11-18T08:00:00Z"),
        last_used,
        expires: at("in 27 days", "2026-12-18T08:00:00Z"),
    }
}

fn session(id: &str, address: &str, current: bool) -> SessionRow {
    SessionRow {
        id: id.to_owned(),
        created: at("today at 09:12", "2026-11-21T09:12:44Z"),
        last_seen: at("just now", "2026-11-21T11:42:10Z"),
        address: address.to_owned(),
        current,
    }
}
