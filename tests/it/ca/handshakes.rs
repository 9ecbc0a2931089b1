//! Real handshakes with the issued files.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Bench, outcome};

/// `openssl s_server` that asks for a client certificate and checks it against the revocation list.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(bench: &Bench, folder: &str) -> Self {
        let arguments = format!(
            "s_server -accept 127.0.0.1:0 -cert {folder}/cert.pem -key {folder}/key.pem -CAfile ca/ca.pem \
             -CRL ca/crl.pem -crl_check -Verify 1 -verify_return_error -www"
        );
        let mut child = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(bench.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|line| {
                line.unwrap().strip_prefix("ACCEPT 127.0.0.1:").map(|port| port.parse().unwrap())
            })
            .expect("openssl says where it listens");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// curl's exit code and what it got.
fn curl(bench: &Bench, port: u16, arguments: &[&str]) -> (Option<i32>, String, String) {
    let url = format!("https://gate.example:{port}/");
    let resolve = format!("gate.example:{port}:127.0.0.1");
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--noproxy", "*", "--resolve", &resolve, &url]);
    outcome(command.args(arguments).current_dir(bench.path("")))
}

#[test]
fn c1_c2_a_server_lets_in_whom_the_ca_knows_until_they_are_revoked() {
    for rsa in [&[][..], &["--rsa"][..]] {
        let bench = Bench::empty();
        bench.ok(&[&["init", "--no-passphrase"], rsa].concat());
        bench.ok(&[&["server", "--name", "gate.example"], rsa].concat());
        bench.ok(&[&["client", "bob"], rsa].concat());
        bench.ok(&[&["client", "eve"], rsa].concat());
        let files = ["--cacert", "bob/ca.pem", "--cert", "bob/cert.pem", "--key", "bob/key.pem"];
        let server = Server::start(&bench, "gate.example");
        let (code, page, error) = curl(&bench, server.port, &files);
        assert_eq!(code, Some(0), "{error}");
        assert!(page.replace(' ', "").contains("Subject:CN=bob"), "{page}");
        // All in one file is as good.
        let (code, _, error) =
            curl(&bench, server.port, &["--cacert", "bob/ca.pem", "--cert", "bob/bob.pem"]);
        assert_eq!(code, Some(0), "{error}");
        let (code, ..) = curl(&bench, server.port, &["--cacert", "bob/ca.pem"]);
        assert_ne!(code, Some(0), "without a certificate");
        let own = ["--cacert", "bob/ca.pem", "--cert", "gate.example/server.pem"];
        assert_ne!(curl(&bench, server.port, &own).0, Some(0), "a server's certificate is no client's");
        bench.ok(&["revoke", "bob"]);
        let server = Server::start(&bench, "gate.example");
        assert_ne!(curl(&bench, server.port, &files).0, Some(0), "revoked");
        let eve = ["--cacert", "eve/ca.pem", "--cert", "eve/eve.pem"];
        assert_eq!(curl(&bench, server.port, &eve).0, Some(0), "not revoked");
    }
}

#[test]
fn openssl_s_client_verifies_the_server_by_name_and_address() {
    let bench = Bench::plain();
    bench.ok(&["server", "--name", "gate.example", "--ip", "127.0.0.1"]);
    bench.ok(&["client", "bob"]);
    let server = Server::start(&bench, "gate.example");
    let dial = |check: &str| {
        bench.try_openssl(&format!(
            "s_client -connect 127.0.0.1:{} -CAfile bob/ca.pem -cert bob/cert.pem -key bob/key.pem \
             -verify_return_error {check}",
            server.port
        ))
    };
    for check in ["-verify_hostname gate.example", "-verify_ip 127.0.0.1"] {
        let (good, said) = dial(check);
        assert!(good && said.contains("Verification: OK"), "{said}");
    }
    assert!(!dial("-verify_hostname evil.example").0);
}

#[test]
fn ga3_the_gateway_serves_with_the_servers_file() {
    let bench = Bench::plain();
    bench.ok(&["server", "--name", "gate.example"]);
    bench.ok(&["client", "bob"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    let [state, runtime] = ["state", "run"].map(|name| bench.path(name).display().to_string());
    command.env_clear().env("HOME", bench.path("")).current_dir(bench.path(""));
    command.args(["serve", "--certfile", "gate.example/server.pem", "--no-login"]);
    command.args(["--engine", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    command.args(["--state", &state, "--runtime-dir", &runtime, "--user", "nobody"]);
    // As root, the gateway becomes nobody, who has to get through to the state folder.
    let enter = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bench.path(""), enter).unwrap();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut seen = String::new();
    let port = lines.by_ref().find_map(|line| {
        seen += &line;
        let at = line.find("127.0.0.1:")? + "127.0.0.1:".len();
        let digits: String = line[at..].chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u16>().ok().filter(|port| *port > 1)
    });
    let port = port.unwrap_or_else(|| panic!("no port in {seen}"));
    let rest = std::thread::spawn(move || lines.for_each(drop));
    let (code, _, error) =
        curl(&bench, port, &["--cacert", "bob/ca.pem", "--cert", "bob/bob.pem", "--output", "/dev/null"]);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    child.wait().unwrap();
    rest.join().unwrap();
    assert_eq!(code, Some(0), "{error}");
}
