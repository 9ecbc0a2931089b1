//! `doorward doctor --login USER`: one conversation as any login has it, told phase by phase. It ends where a login would
//! get its session, and makes none.
//!
//! It opens no way round the throttle. The broker lets in root and the gateway's user only, and the modules count each
//! try as they count all others.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use serde::Serialize;

use super::{exit, report};
use crate::cli::answers::Answers;
use crate::cli::shown::shown;
use crate::config::{LoginMode, PamSettings, Settings};
use crate::doctor::socket_of;
use crate::domain::{Message, Password, PromptStyle, Username};
use crate::pam::{Mode, Outage, PamClient, PamCode, PamConversation, PamEvent, PamRequest, Phase};
use crate::startup::TemporaryBroker;
use crate::users::{UserFile, Verdict};

/// What came of it; `--json` prints it as it is.
#[derive(Debug, Serialize)]
struct Told {
    user: String,
    /// Who was asked.
    by: String,
    verdict: Outcome,
    phases: Vec<Answered>,
    messages: Vec<Message>,
    /// What the modules asked for; a login pays it.
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u128>,
    /// Who it is in the end.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    person: Option<Person>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Accepted,
    GivenUp,
    PasswordExpired,
    Refused,
    Unavailable,
}

/// What one phase said.
#[derive(Debug, Serialize)]
struct Answered {
    phase: &'static str,
    code: String,
}

#[derive(Debug, Serialize)]
struct Person {
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
    groups: Vec<String>,
}

/// Runs the login and tells of it.
pub(super) fn run(settings: &Settings, user: &str, from_stdin: bool, as_json: bool) -> u8 {
    let answers = if from_stdin { Answers::Lines } else { Answers::Terminal };
    let told = Username::parse(user).map_err(|error| format!("--login: {error}")).and_then(|user| {
        match &settings.login {
            LoginMode::NoLogin => {
                Err("--no-login asks nobody who they are, so there is no login to try".to_owned())
            }
            LoginMode::Certificates => {
                Err("without --use-login there are no passwords: only certificates of --client-ca let in"
                    .to_owned())
            }
            LoginMode::Users(path) => by_file(path, &user, answers),
            LoginMode::Pam(pam) => by_pam(settings, pam, user, answers),
        }
    });
    match told {
        Ok(told) => {
            if as_json {
                report::say_json(&serde_json::to_string(&told).unwrap_or_default());
            } else {
                report::say(told.text().trim_end());
            }
            if told.verdict == Outcome::Accepted { exit::OK } else { exit::PROBLEMS }
        }
        Err(message) => {
            report::complain(format_args!("error: {message}"));
            exit::FAILURE
        }
    }
}

fn by_file(path: &Path, user: &Username, answers: Answers) -> Result<Told, String> {
    let file = UserFile::load(path).map_err(|error| format!("{:#}", anyhow::Error::new(error)))?;
    let prompt = crate::domain::Prompt { style: PromptStyle::Secret, text: "Password: ".to_owned() };
    let mut told = Told::about(user, format!("user file {}", path.display()));
    let typed = answers.take(&prompt).map_err(|error| no_answer(&error))?;
    let Some(password) = typed.and_then(|typed| Password::parse(typed.to_string()).ok()) else {
        told.verdict = Outcome::GivenUp;
        return Ok(told);
    };
    let verdict = file.verify(user, &password);
    let word = if matches!(verdict, Verdict::Ok { .. }) { "SUCCESS" } else { "REFUSED" };
    told.phases.push(Answered { phase: "password", code: word.to_owned() });
    match verdict {
        Verdict::Ok { groups } => {
            told.verdict = Outcome::Accepted;
            told.person = Some(Person { user: user.to_string(), uid: None, gid: None, groups });
        }
        Verdict::Refused => {
            told.verdict = Outcome::Refused;
            let why = match file.users().find(|entry| entry.name == user) {
                None => "the file has no such user",
                Some(entry) if entry.disabled => "the user is disabled in the file",
                Some(_) => "the password is wrong",
            };
            told.hint = Some(why.to_owned());
        }
    }
    Ok(told)
}

fn by_pam(settings: &Settings, pam: &PamSettings, user: Username, answers: Answers) -> Result<Told, String> {
    let broker = Broker::find(settings, pam)?;
    let told = Told::about(&user, format!("PAM service {}, {}", pam.service, broker.what()));
    // Who runs the doctor may read what strangers may not.
    let client = PamClient::new(broker.socket(), &PamSettings { greeting: true, ..pam.clone() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(converse(&client, &broker, user, answers, told))
}

/// The running broker, or one for this login alone.
enum Broker {
    Running(PathBuf),
    Temporary(TemporaryBroker),
}

impl Broker {
    fn find(settings: &Settings, pam: &PamSettings) -> Result<Self, String> {
        let socket = socket_of(settings, pam);
        let Err(error) = UnixStream::connect(&socket) else { return Ok(Self::Running(socket)) };
        // An ordinary user's broker would know no password but the user's own, and say what is true for nobody else.
        if geteuid().is_root() && pam.socket.is_none() {
            return TemporaryBroker::start(settings, pam)
                .map(Self::Temporary)
                .map_err(|error| format!("{error:#}"));
        }
        let hint =
            if pam.socket.is_some() { "systemctl start doorward-pam, or run as root" } else { "run as root" };
        Err(format!("the broker cannot be reached at {}: {error}; {hint}", socket.display()))
    }

    fn socket(&self) -> PathBuf {
        match self {
            Self::Running(socket) => socket.clone(),
            Self::Temporary(broker) => broker.socket(),
        }
    }

    fn what(&self) -> String {
        match self {
            Self::Running(socket) => format!("the running broker at {}", socket.display()),
            Self::Temporary(_) => "a broker started for this".to_owned(),
        }
    }
}

async fn converse(
    client: &PamClient,
    broker: &Broker,
    user: Username,
    answers: Answers,
    mut told: Told,
) -> Result<Told, String> {
    let mut trace = [0; 16];
    aws_lc_rs::rand::fill(&mut trace).map_err(|_| "this machine gives no random bytes".to_owned())?;
    let rhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let request = PamRequest { user: Some(user), rhost, trace, mode: Mode::Login };
    let mut conversation = client.start(request).await.map_err(|error| error.to_string())?;
    if let Broker::Temporary(broker) = broker {
        broker.hide();
    }
    loop {
        match conversation.next().await {
            PamEvent::Ask { prompt, before } => {
                answers.tell(&before);
                told.messages.extend(before);
                let typed = answers.take(&prompt).map_err(|error| no_answer(&error))?;
                if !reply(&mut conversation, typed, prompt.style).await? {
                    told.verdict = Outcome::GivenUp;
                    told.hint = Some(format!("there was no answer to '{}'", shown(prompt.text.trim())));
                    return Ok(told);
                }
            }
            end => {
                told.end(end);
                return Ok(told);
            }
        }
    }
}

/// `false` if there is no answer that PAM can take.
async fn reply(
    conversation: &mut PamConversation,
    typed: Option<zeroize::Zeroizing<String>>,
    style: PromptStyle,
) -> Result<bool, String> {
    let Some(typed) = typed else { return Ok(false) };
    let sent = match style {
        PromptStyle::Secret => match Password::parse(typed.to_string()) {
            Ok(password) => conversation.answer(Some(&password)).await,
            Err(_) => return Ok(false),
        },
        PromptStyle::Echo | PromptStyle::Radio => conversation.answer_text(&typed).await,
    };
    sent.map(|()| true).map_err(|error| error.to_string())
}

fn no_answer(error: &std::io::Error) -> String {
    format!("the answer cannot be read ({error}); without a terminal use --password-stdin")
}

impl Told {
    fn about(user: &Username, by: String) -> Self {
        Self {
            user: user.to_string(),
            by,
            verdict: Outcome::Unavailable,
            phases: Vec::new(),
            messages: Vec::new(),
            delay_ms: None,
            person: None,
            hint: None,
        }
    }

    fn said(&mut self, phase: &'static str, code: PamCode) {
        self.phases.push(Answered { phase, code: code.name().to_owned() });
    }

    /// The last event. What it does not say follows from the order: the account is asked only after the password.
    fn end(&mut self, event: PamEvent) {
        match event {
            PamEvent::Done(success) => {
                self.said("authenticate", PamCode::SUCCESS);
                self.said("account", PamCode::SUCCESS);
                self.verdict = Outcome::Accepted;
                self.messages.extend(success.messages);
                let user = success.user.to_string();
                self.person =
                    Some(Person { user, uid: success.uid, gid: success.gid, groups: success.groups });
            }
            PamEvent::NeedChange { messages } => {
                self.said("authenticate", PamCode::SUCCESS);
                self.said("account", PamCode::NEW_AUTHTOK_REQD);
                self.verdict = Outcome::PasswordExpired;
                self.messages.extend(messages);
                self.hint = Some(
                    "the password is right and has expired; a login would now ask for a new one".to_owned(),
                );
            }
            PamEvent::Refused { phase, code, delay, messages, .. } => {
                if phase == Phase::Acct {
                    self.said("authenticate", PamCode::SUCCESS);
                }
                self.said(name_of(phase), code);
                self.verdict = Outcome::Refused;
                self.delay_ms = Some(delay.as_millis());
                self.messages.extend(messages);
                self.hint = hint(phase, code).map(str::to_owned);
            }
            PamEvent::Busy { retry_after } => {
                self.hint = Some(format!(
                    "too many logins are in progress; try again in {} ms",
                    retry_after.as_millis()
                ));
            }
            PamEvent::Unavailable(outage) => {
                if let Some((phase, code)) = outage.code {
                    self.said(name_of(phase), code);
                }
                self.hint = Some(unavailable_hint(&outage));
            }
            PamEvent::Ask { .. } => {}
        }
    }

    fn text(&self) -> String {
        let mut lines = vec![format!("login of {} by {}", self.user, self.by)];
        let mut line =
            |name: &str, text: &str| lines.push(format!("  {name:<13} {}", shown(text).replace('\n', " ")));
        for answered in &self.phases {
            line(answered.phase, &answered.code);
        }
        for message in &self.messages {
            line("said", &message.text);
        }
        if let Some(delay) = self.delay_ms {
            line("delay", &format!("{delay} ms, asked for by the modules"));
        }
        if let Some(person) = &self.person {
            let number = |id: Option<u32>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
            line(
                "user",
                &format!("{} (uid {}, gid {})", person.user, number(person.uid), number(person.gid)),
            );
            line("groups", &person.groups.join(", "));
        }
        let verdict = match self.verdict {
            Outcome::Accepted => "ok: a login would be let in; no session was made",
            Outcome::GivenUp => "given up: nothing was decided",
            Outcome::PasswordExpired => "not yet: the password has to be changed",
            Outcome::Refused => "refused",
            Outcome::Unavailable => "unavailable: a login would get 503",
        };
        let hint = self.hint.as_ref().map(|hint| format!(": {}", shown(hint))).unwrap_or_default();
        lines.push(format!("{verdict}{hint}"));
        lines.join("\n")
    }
}

/// A wrong password that comes out as an outage is a fault of the stack, and only who typed it can tell.
fn unavailable_hint(outage: &Outage) -> String {
    let reason = &outage.reason;
    match outage.code {
        Some((Phase::Auth, code)) => format!(
            "{reason}; if the password was wrong, this stack reports refusals as an outage: people are told to try \
             again later, and their failures ban for a short time only. After 'auth [success=1 default=ignore] MODULE', the \
             lines 'auth requisite pam_deny.so' and 'auth required pam_permit.so' turn it into AUTH_ERR. If the password \
             was right, {code} is in the broker's log"
        ),
        _ => format!("{reason}; 'doorward doctor' without --login may tell why"),
    }
}

const fn name_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Start => "start",
        Phase::Auth => "authenticate",
        Phase::Acct => "account",
        Phase::Chauthtok => "new password",
        Phase::Ok => "end",
    }
}

/// What a code mostly means.
fn hint(phase: Phase, code: PamCode) -> Option<&'static str> {
    Some(match (phase, code.name()) {
        (Phase::Auth, "USER_UNKNOWN") => "PAM does not know this user",
        (Phase::Auth, "AUTH_ERR") => {
            "the password is wrong, or the account is locked, or a module keeps the user out (pam_faillock)"
        }
        (Phase::Auth, "MAXTRIES") => "a module counted too many tries",
        (Phase::Auth, "PERM_DENIED") => "a module of the auth stage keeps this user out",
        (Phase::Acct, "ACCT_EXPIRED") => "the account has expired (chage -E -1 USER)",
        (Phase::Acct, "AUTHTOK_EXPIRED") => {
            "the password expired too long ago to be changed (chage -I -1 USER)"
        }
        (Phase::Acct, "PERM_DENIED") => {
            "a rule keeps this user out (pam_access, pam_time, a group), or the account is locked"
        }
        (Phase::Acct, _) => "a module of the account stage keeps this user out (pam_nologin, pam_listfile)",
        (Phase::Start, _) => "the broker does not serve this service, or PAM cannot be started",
        _ => return None,
    })
}
