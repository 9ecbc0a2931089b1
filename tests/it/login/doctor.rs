//! `doorward doctor` beside a running gateway: what terminators make of forged headers, and logins told phase by phase.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::door::{Door, PROGRAM, Setup};
use super::keeper;
use super::people::{Person, Service, hostile, may_run};
use super::wire::{AT_MOST, Request};

/// nginx as a TLS terminator, ended on drop.
struct Terminator {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Terminator {
    /// `headers`: lines of its `location`.
    fn start(gateway: SocketAddr, headers: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let at = folder.path().display();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n\
             access_log off;\nclient_body_temp_path {at}/a;\nproxy_temp_path {at}/b;\nfastcgi_temp_path {at}/c;\n\
             uwsgi_temp_path {at}/d;\nscgi_temp_path {at}/e;\n\
             server {{ listen {address} ssl;\nssl_certificate cert.pem;\nssl_certificate_key key.pem;\n\
             location / {{ proxy_pass http://{gateway};\nproxy_http_version 1.1;\nproxy_set_header Host $http_host;\n\
             {headers} }} }} }}\n"
        );
        fs::write(folder.path().join("nginx.conf"), text).unwrap();
        let mut command = keeper::tied("nginx");
        command
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(folder.path().join("nginx.conf"))
            .args(["-e", "stderr"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let child = keeper::spawn(command);
        let mut terminator = Self { child, address, _folder: folder };
        terminator.await_listening();
        terminator
    }

    fn await_listening(&mut self) {
        let begun = std::time::Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(self.child.try_wait().unwrap().is_none(), "nginx ended; is nginx-light installed?");
            assert!(begun.elapsed() < AT_MOST, "nginx does not listen");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What docs/operations.md tells to write.
const GOOD: &str = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
    proxy_set_header X-Forwarded-Host $http_host;\nproxy_set_header X-Forwarded-Proto $scheme;\n";

/// The doctor with the settings of this gateway and these words more.
pub(super) fn doctor(door: &Door, words: &[&str]) -> Command {
    let folder = door.folder.path();
    let mut command = Command::new(PROGRAM);
    command.args(["doctor", "--json", "--use-login"]);
    command.arg("--engine").arg(format!("unix://{}", folder.join("engine.sock").display()));
    command.arg("--state").arg(door.state()).arg("--runtime-dir").arg(folder.join("run"));
    command.args(["--listen", &door.host()]);
    if nix::unistd::geteuid().is_root() {
        command.args(["--user", &super::door::account().name]);
    }
    command.args(words);
    command
}

pub(super) fn report(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut report: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?} {said}"));
    report["exit"] = output.status.code().into();
    report
}

/// `status: text` of one check.
pub(super) fn check(report: &Value, id: &str) -> String {
    let all = report["checks"].as_array().unwrap();
    let found = all.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id} in {report:#}"));
    format!("{}: {}", found["status"].as_str().unwrap(), found["text"].as_str().unwrap())
}

fn users(door: &Door) -> String {
    door.folder.path().join("users.toml").display().to_string()
}

fn through(door: &Door, url: &str, trusted: &str) -> Value {
    let words = ["--assume-secure", "--trusted-proxy", trusted, "--users", &users(door), "--public-url", url];
    report(&mut doctor(door, &words))
}

#[test]
fn h1_a_terminator_that_adds_the_address_passes_the_spoof_probe() {
    let door = Setup::behind_terminator().with(&["--trusted-proxy", "127.0.0.1"]).open();
    let terminator = Terminator::start(door.address, GOOD);
    let report = through(&door, &terminator.url(), "127.0.0.1");
    assert_eq!(report["summary"]["problem"], 0, "{report:#}");
    assert!(check(&report, "terminator.forged-address").starts_with("ok: "), "{report:#}");
    assert!(check(&report, "terminator.client-address").starts_with("ok: "), "{report:#}");
    assert!(check(&report, "terminator.headers").starts_with("ok: "), "{report:#}");
    assert!(check(&report, "tls.public").starts_with("ok: "), "{report:#}");
    assert!(check(&report, "listen.address").contains("a Doorward gateway answers"), "{report:#}");
    assert!(check(&report, "clock.public").starts_with("ok: "), "{report:#}");
    let left = fs::read_dir(door.state()).unwrap().flatten();
    assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().starts_with("doctor-")));
}

#[test]
fn h1_a_terminator_that_passes_forged_headers_on_fails_the_spoof_probe() {
    let door = Setup::behind_terminator().with(&["--trusted-proxy", "127.0.0.1"]).open();
    let terminator = Terminator::start(door.address, "");
    let report = through(&door, &terminator.url(), "127.0.0.1");
    assert_eq!(report["exit"], 4);
    let forged = check(&report, "terminator.forged-address");
    assert!(forged.starts_with("problem: the terminator passes on X-Forwarded-For"), "{report:#}");
    assert!(
        check(&report, "terminator.headers")
            .starts_with("warning: the terminator passes on X-Forwarded-Host"),
        "{report:#}"
    );
    assert!(check(&report, "terminator.client-address").starts_with("warning: "), "{report:#}");
}

#[test]
fn a_terminator_that_nobody_trusts_is_named_with_what_to_write() {
    let door = Setup::behind_terminator().open();
    let terminator = Terminator::start(door.address, GOOD);
    let words = ["--assume-secure", "--users", &users(&door), "--public-url", &terminator.url()];
    let report = report(&mut doctor(&door, &words));
    assert!(
        check(&report, "terminator.client-address").contains("does not believe the terminator at 127.0.0.1"),
        "{report:#}"
    );
    assert!(report.to_string().contains("--trusted-proxy 127.0.0.1"), "{report:#}");
}

#[test]
fn a_gateway_with_tls_of_its_own_is_probed_too() {
    for (trusted, start) in [
        (&[][..], "ok: a forged"),
        (&["--trusted-proxy", "0.0.0.0/0", "--trust-all-proxies"], "problem: a client that connects"),
    ] {
        let door = Setup::usual().with(trusted).open();
        let url = format!("https://{}", door.address);
        let users = users(&door);
        let words =
            [&["--autocert", "127.0.0.1,localhost", "--users", &users, "--public-url", &url], trusted]
                .concat();
        let report = report(&mut doctor(&door, &words));
        assert!(check(&report, "terminator.forged-address").starts_with(start), "{report:#}");
        assert!(check(&report, "tls.public").starts_with("ok: "), "{report:#}");
    }
}

#[test]
fn a_public_url_that_leads_elsewhere_is_said() {
    let (door, other) = (Setup::behind_terminator().open(), Setup::behind_terminator().open());
    let terminator = Terminator::start(other.address, GOOD);
    let report = through(&door, &terminator.url(), "127.0.0.1");
    let said = check(&report, "terminator.forged-address");
    assert!(said.starts_with("unchecked: ") && said.contains("does not know"), "{report:#}");
    let gone = through(&door, "https://127.0.0.1:1", "127.0.0.1");
    assert!(check(&gone, "terminator.reachable").starts_with("problem: "), "{gone:#}");
}

#[test]
fn h1_strangers_do_not_see_the_echo_and_a_proof_is_good_once() {
    let door = Door::shared();
    let nothing = door.send(&Request::get("/_doorward/no-such-page"));
    let without = door.send(&Request::get("/_doorward/doctor"));
    let wrong = door.send(&Request::get("/_doorward/doctor").header("Doorward-Doctor", &"a".repeat(64)));
    for reply in [&without, &wrong] {
        assert_eq!((reply.status, &reply.body), (nothing.status, &nothing.body));
    }
    let nonce = doorward::store::Nonce::issue(&door.state()).unwrap();
    let ask = || {
        door.send(
            &Request::get("/_doorward/doctor")
                .header("Doorward-Doctor", nonce.text())
                .header("X-Forwarded-User", "root"),
        )
    };
    let first = ask();
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!((first.json()["client"].as_str(), first.json()["user"].as_str()), (Some("127.0.0.1"), None));
    assert_eq!(ask().status, nothing.status);
}

/// One login by the doctor, with the answers on standard input.
fn login(command: &mut Command, person: &str, answers: &str) -> Value {
    command.args(["--login", person, "--password-stdin", "--autocert", "127.0.0.1"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Whoever is refused before the first question reads nothing.
    let _ = child.stdin.take().unwrap().write_all(answers.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut told: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?} {said}"));
    told["exit"] = output.status.code().into();
    told
}

fn phases(told: &Value) -> Vec<String> {
    let all = told["phases"].as_array().unwrap().iter();
    all.map(|phase| format!("{} {}", phase["phase"].as_str().unwrap(), phase["code"].as_str().unwrap()))
        .collect()
}

#[test]
fn a_login_is_told_phase_by_phase_by_the_running_broker() {
    if !may_run() {
        return;
    }
    let service = Service::unix();
    let (bob, old, gone) =
        (Person::new("right horse"), Person::new("right horse"), Person::new("right horse"));
    old.change("chage", &["-d", "0"]);
    gone.change("chage", &["-E", "0"]);
    let door = service.open(&[]);
    let of = |person: &Person, answers: &str| {
        login(&mut doctor(&door, &["--pam-service", &service.name]), &person.name, answers)
    };

    let told = of(&bob, "right horse\n");
    assert_eq!((told["verdict"].as_str(), told["exit"].as_i64()), (Some("accepted"), Some(0)), "{told:#}");
    assert_eq!(phases(&told), ["authenticate SUCCESS", "account SUCCESS"]);
    assert!(told["by"].as_str().unwrap().contains("running broker"), "{told:#}");
    assert_eq!(told["as"]["user"], bob.name.as_str());
    assert!(
        told["as"]["uid"].as_u64().unwrap() > 0 && told["as"]["groups"].to_string().contains("\"users\""),
        "{told:#}"
    );

    let told = of(&bob, "wrong horse\n");
    assert_eq!((told["verdict"].as_str(), told["exit"].as_i64()), (Some("refused"), Some(4)), "{told:#}");
    assert_eq!(phases(&told), ["authenticate AUTH_ERR"]);
    assert!(told["delay_ms"].as_u64().unwrap() > 0, "{told:#}");

    let told = of(&old, "right horse\n");
    assert_eq!(told["verdict"], "password-expired", "{told:#}");
    assert_eq!(phases(&told), ["authenticate SUCCESS", "account NEW_AUTHTOK_REQD"]);
    assert!(told["messages"].to_string().contains("change your password"), "{told:#}");

    let told = of(&gone, "right horse\n");
    assert_eq!(phases(&told), ["authenticate SUCCESS", "account ACCT_EXPIRED"]);
    assert_eq!(of(&bob, "")["verdict"], "given-up");
    // Nothing of this is a login of the gateway's.
    assert!(!door.log().contains(&bob.name), "{}", door.log());
}

#[test]
fn without_a_broker_root_starts_one_for_the_login_and_leaves_nothing() {
    if !may_run() {
        return;
    }
    let service =
        Service::new(&format!("auth required {} two\naccount required pam_permit.so\n", hostile().display()));
    let bob = Person::new("right horse");
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(PROGRAM);
    command.args([
        "doctor",
        "--json",
        "--use-login",
        "--user",
        &super::door::account().name,
        "--pam-service",
        &service.name,
    ]);
    command
        .arg("--state")
        .arg(folder.path().join("state"))
        .arg("--runtime-dir")
        .arg(folder.path().join("run"));
    let told = login(&mut command, &bob.name, "nonsense\nnonsense\n");
    assert!(told["by"].as_str().unwrap().contains("started for this"), "{told:#}");
    assert_eq!(told["verdict"], "refused", "{told:#}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "the login made a folder");
    let left = fs::read_dir("/tmp")
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("doorward-doctor-"));
    assert_eq!(left.count(), 0);
}

#[test]
fn who_may_not_open_the_brokers_socket_learns_nothing() {
    if !may_run() {
        return;
    }
    let service = Service::unix();
    let bob = Person::new("right horse");
    let door = service.open(&[]);
    let mut own = doctor(&door, &["--pam-service", &service.name]);
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--", PROGRAM]);
    command.args(own.args(["--login", &bob.name, "--password-stdin", "--autocert", "a"]).get_args());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("Permission denied") && said.contains("run as root"), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_login_by_the_user_file_says_why_not() {
    let door = Door::shared();
    let of =
        |person: &str, answers: &str| login(&mut doctor(&door, &["--users", &users(&door)]), person, answers);
    let told = of("bob", &format!("{}\n", super::door::BOB.1));
    assert_eq!(
        (told["verdict"].as_str(), told["as"]["groups"].to_string().contains("ops")),
        (Some("accepted"), true),
        "{told:#}"
    );
    for (person, password, hint) in [
        ("bob", "wrong", "password is wrong"),
        ("nobody-here", "x", "no such user"),
        ("lou", "locked horse", "disabled"),
    ] {
        let told = of(person, &format!("{password}\n"));
        assert_eq!(told["verdict"], "refused");
        assert!(told["hint"].as_str().unwrap().contains(hint), "{told:#}");
    }
}

#[test]
fn the_example_for_nginx_in_the_guide_is_the_one_that_passes() {
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap();
    for line in GOOD.lines() {
        assert!(guide.contains(line.trim()), "docs/operations.md does not tell to write {line}");
    }
}
