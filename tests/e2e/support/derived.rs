//! The images of `docker/*/`, derived from the one under test, and the directory servers that they ask.
//!
//! Each image is built at most once in a run, and only by the tests that need it.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use serde_json::{Value, json};

use super::http::{self, Answer, Target};
use super::image::{self, UP};
use super::scope::Scope;
use super::{engine, gateway, wait};

/// The image with slapd, a KDC and a domain controller.
const SERVERS: &str = "dwe2e-directories:latest";

/// A folder of `docker/`, and the image that it makes.
pub(crate) struct Derived {
    folder: &'static str,
    /// The image it derives from; `None` is the plain one.
    base: Option<&'static Self>,
    name: &'static str,
    built: OnceLock<()>,
}

pub(crate) static LDAP: Derived = Derived::new("ldap", "dwe2e-ldap:latest", None);
pub(crate) static KERBEROS: Derived = Derived::new("kerberos", "dwe2e-kerberos:latest", None);
pub(crate) static ACTIVE_DIRECTORY: Derived = Derived::new("active-directory", "dwe2e-ad:latest", None);
/// On top of LDAP: what holds there holds on the plain image too, and one build shows that images can be stacked.
pub(crate) static OTP: Derived = Derived::new("otp", "dwe2e-otp:latest", Some(&LDAP));

impl Derived {
    const fn new(folder: &'static str, name: &'static str, base: Option<&'static Self>) -> Self {
        Self { folder, base, name, built: OnceLock::new() }
    }

    /// Builds the image by the command of its README, once, and returns its name.
    pub(crate) fn image(&self) -> &'static str {
        self.built.get_or_init(|| {
            let base = format!("BASE={}", self.base.map_or_else(image::built, Self::image));
            let folder = engine::tree().join("docker").join(self.folder).display().to_string();
            build(self.name, &["--build-arg", &base, &folder]);
        });
        self.name
    }
}

fn build(name: &str, arguments: &[&str]) {
    let begun = Instant::now();
    let command = [&["build", "--tag", name], arguments].concat();
    image::replace(name, || engine::bare().run(&command).ok());
    println!("built {name} in {} s", begun.elapsed().as_secs());
}

/// A container with a directory, gone with its scope.
pub(crate) struct Server {
    pub(crate) container: String,
    pub(crate) address: String,
}

impl Server {
    /// Runs one of the scripts of the servers' image.
    pub(crate) fn start(scope: &Scope, what: &str, options: &[&str], command: &[&str]) -> Self {
        static BUILT: OnceLock<()> = OnceLock::new();
        BUILT.get_or_init(|| {
            engine::need_debian();
            build(SERVERS, &[&engine::tree().join("tests/e2e/directories/servers").display().to_string()]);
        });
        let (container, label) = (scope.name(what), scope.label());
        let mut args = vec!["run", "-d", "--name", &container, "--label", &label];
        args.extend(options);
        args.push(SERVERS);
        args.extend(command);
        let docker = engine::bare();
        docker.run(&args).ok();
        let inspect = ["inspect", "--format", "{{.NetworkSettings.IPAddress}}", &container];
        let address = docker.run(&inspect).ok().text().to_owned();
        Self { container, address }
    }

    /// Runs a command inside, which must succeed.
    pub(crate) fn run(&self, command: &[&str]) -> String {
        engine::bare().run(&[&["exec", &self.container], command].concat()).ok().stdout
    }

    /// Feeds a command inside, which must succeed.
    pub(crate) fn feed(&self, command: &[&str], input: &str) {
        let args = [&["exec", "-i", &self.container], command].concat();
        engine::bare().run_with_input(&args, input.as_bytes()).ok();
    }

    /// Waits until a command inside succeeds.
    pub(crate) fn await_command(&self, command: &[&str]) {
        let docker = engine::bare();
        wait::until_true(&format!("{command:?} in {}", self.container), UP, || {
            let logs = || docker.run(&["logs", &self.container]);
            assert_eq!(image::state(&self.container, "Running"), "true", "{:?}", logs());
            docker.run(&[&["exec", &self.container], command].concat()).code == 0
        });
    }

    /// Copies a file out.
    pub(crate) fn fetch(&self, scope: &Scope, path: &str) -> PathBuf {
        let file = scope.file(&format!("{}-{}", self.container, path.rsplit('/').next().unwrap_or(path)));
        let from = format!("{}:{path}", self.container);
        engine::bare().run(&["cp", &from, &file.display().to_string()]).ok();
        file
    }

    /// Stops all of it in its tracks, as a cut cable would: connections are neither refused nor answered.
    ///
    /// Not ended: its address would be free for the server of another test.
    pub(crate) fn pause(&self) {
        engine::bare().run(&["pause", &self.container]).ok();
    }

    /// Goes on after [`Self::pause`].
    pub(crate) fn unpause(&self) {
        engine::bare().run(&["unpause", &self.container]).ok();
    }

    /// Ends one program: connections are refused.
    pub(crate) fn end(&self, program: &str) {
        self.run(&["pkill", "-KILL", "-x", program]);
    }
}

/// A gateway in a container of a derived image.
pub(crate) struct Front {
    pub(crate) container: String,
    pub(crate) target: Target,
}

impl Front {
    /// Starts it with `options` of `docker run` and `arguments` of the gateway, and waits until it is ready.
    ///
    /// It speaks plain HTTP: the way of the password to the gateway is not what these tests are about.
    pub(crate) fn start(scope: &Scope, image: &str, options: &[&str], arguments: &[&str]) -> Self {
        let front = Self::run(scope, image, options, &[&["--assume-secure"], arguments].concat());
        image::await_ready(&front.container, &front.target);
        front
    }

    /// The same over TLS, which browsers need; gives its port as well.
    pub(crate) fn start_for_browsers(scope: &Scope, image: &str, options: &[&str]) -> (Self, u16) {
        let front = Self::run(scope, image, options, &["--autocert", "localhost"]);
        wait::until_true(&format!("{} to be ready", front.container), UP, || {
            let check = ["exec", &front.container, "doorward", "healthcheck", "--ready"];
            engine::bare().run(&check).code == 0
        });
        let Target::Port(port, _) = front.target else { unreachable!("it listens on a port") };
        (front, port)
    }

    fn run(scope: &Scope, image: &str, options: &[&str], arguments: &[&str]) -> Self {
        let port = gateway::free_port();
        let (container, label) = (scope.name(&format!("front-{port}")), scope.label());
        let (publish, mount) = (format!("127.0.0.1:{port}:8100"), image::socket_mount());
        let mut args =
            vec!["run", "-d", "--name", &container, "--label", &label, "-p", &publish, "-v", &mount];
        args.extend(options);
        args.extend([image, "--use-login", "--log-format", "text"]);
        args.extend(["--login-failure-delay", "100ms", "--no-throttle", "--pam-compute-timeout", "8s"]);
        args.extend(arguments);
        engine::bare().run(&args).ok();
        Self { container, target: Target::Port(port, None) }
    }

    /// Logs in by the API.
    pub(crate) fn log_in(&self, user: &str, password: &str) -> Result<String, Answer> {
        http::login(&self.target, user, password)
    }

    /// The user and the groups that a login ends with, as the engine or another proxy is told.
    pub(crate) fn identity(&self, user: &str, password: &str) -> (String, Vec<String>) {
        let token = self
            .log_in(user, password)
            .unwrap_or_else(|answer| panic!("{user}: {answer:?}\n{}", self.output()));
        let bearer = format!("Authorization: Bearer {token}");
        let answer =
            http::send(&self.target, "/_doorward/auth", &["-H", &bearer]).expect("the gateway answers");
        let groups = answer.header("x-forwarded-groups").concat();
        let mut groups: Vec<String> = groups.split(',').map(str::to_owned).collect();
        groups.sort();
        (answer.header("x-forwarded-user").concat(), groups)
    }

    /// The status that a login is refused with.
    pub(crate) fn refusal(&self, user: &str, password: &str) -> u16 {
        match self.log_in(user, password) {
            Ok(_) => panic!("{user} was let in\n{}", self.output()),
            Err(answer) => answer.status,
        }
    }

    /// Begins a login that asks a question.
    pub(crate) fn begin(&self, user: &str, password: &str) -> Value {
        let answer = self.step(&json!({ "user": user, "password": password }));
        assert_eq!(answer.status, 200, "{answer:?}\n{}", self.output());
        answer.json()
    }

    /// Answers the question of `step`.
    pub(crate) fn answer(&self, step: &Value, text: &str) -> Answer {
        self.step(&json!({ "conversation": step["conversation"], "answers": [text] }))
    }

    fn step(&self, body: &Value) -> Answer {
        let (kind, body) = ("Content-Type: application/json", body.to_string());
        http::send(&self.target, "/_doorward/api/v1/login", &["-H", kind, "--data-raw", &body])
            .expect("the gateway answers")
    }

    /// How PAM ended the last login, for example `phase=Acct code=PERM_DENIED`.
    pub(crate) fn last_outcome(&self) -> String {
        let output = self.output();
        let line = output.lines().rfind(|line| line.contains("doorward-pam: trace=")).unwrap_or_default();
        let begin = line.find(" phase=").or_else(|| line.find(" killed")).unwrap_or(0);
        line[begin..].split(" ms=").next().unwrap_or_default().trim().to_owned()
    }

    /// Runs a shell command inside as root.
    pub(crate) fn shell(&self, script: &str) -> String {
        engine::bare().run(&["exec", &self.container, "sh", "-c", script]).ok().stdout
    }

    /// What it has written so far.
    pub(crate) fn output(&self) -> String {
        let logs = engine::bare().run(&["logs", &self.container]);
        logs.stdout + &logs.stderr
    }
}
