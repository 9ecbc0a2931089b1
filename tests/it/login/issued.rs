//! Certificates that belong to a login: the client keeps its key, and what ends the token ends them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;
use rcgen::{CertificateParams, DnType, Issuer, KeyPair};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use serde_json::{Value, json};

use super::door::{BOB, Door, EVE, PROGRAM, Setup, write_users};
use super::people::{Person, Service, may_run, tool};
use super::wire::{AT_MOST, Open, Reply, Request, connect};

const CERTIFICATES: &str = "/_doorward/api/v1/certificates";
const TOKENS: &str = "/_doorward/api/v1/tokens";
const WHOAMI: &str = "/_doorward/api/v1/whoami";

/// A gateway that believes a CA of its own, with an administrator.
pub(super) fn setup() -> Setup {
    Setup::usual().prepared(make_ca).with(&["--client-ca", "own", "--admin-group", "ops"])
}

/// What `doorward ca init` does before the first start.
fn make_ca(folder: &Path) {
    let mut command = Command::new(PROGRAM);
    command.args(["ca", "init", "--no-passphrase", "--state"]).arg(folder.join("state"));
    if nix::unistd::geteuid().is_root() {
        command.env("DOORWARD_USER", super::door::account().name);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// A request for a certificate that asks for much more than it gets.
pub(super) fn request(key: &KeyPair) -> String {
    let mut parameters = CertificateParams::new(["evil.example".to_owned()]).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, "root");
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.serialize_request(key).unwrap().pem().unwrap()
}

fn ask(door: &Door, token: &str, csr: &str) -> Reply {
    let wish = json!({ "csr": csr, "name": "bob@laptop" });
    door.send(&Request::post(CERTIFICATES).bearer(token).json(&wish))
}

/// A certificate of a login, and how a client connects with it.
struct Issued {
    id: String,
    expires: String,
    tls: Arc<ClientConfig>,
}

impl Issued {
    fn by(door: &Door, token: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let reply = ask(door, token, &request(&key));
        assert_eq!(reply.status, 200, "{reply:?}");
        let said = reply.json();
        let word = |name: &str| said[name].as_str().unwrap().to_owned();
        let tls = client(door, &word("certificate"), &key);
        Self { id: word("id"), expires: word("expires"), tls }
    }

    fn send(&self, door: &Door, request: &Request) -> Reply {
        door.send_over(door.address, Some(&self.tls), request)
    }

    fn status(&self, door: &Door) -> u16 {
        self.send(door, &Request::get("/version")).status
    }

    /// A tunnel of the engine, up to its first word.
    fn open_tunnel(&self, door: &Door) -> Open {
        let request = Request::post("/tunnel").header("Connection", "Upgrade").header("Upgrade", "tcp");
        let bytes = request.bytes(&door.host(), false);
        let mut open = Open::start(connect(door.address, Some(&self.tls)), &bytes);
        assert_eq!(open.reply.status, 101, "{:?}", open.reply);
        open.await_text("begun\n");
        open
    }
}

/// A client that trusts the gateway and shows this.
fn client(door: &Door, chain: &str, key: &KeyPair) -> Arc<ClientConfig> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(chain.as_bytes()).map(|part| part.unwrap().into_owned()).collect();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    Arc::new(builder(door).with_client_auth_cert(chain, key).unwrap())
}

fn builder(door: &Door) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(door.state().join("autocert/cert.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
}

fn rows(door: &Door, token: &str, query: &str) -> Vec<Value> {
    let reply = door.send(&Request::get(&format!("{CERTIFICATES}{query}")).bearer(token));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json().as_array().unwrap().clone()
}

#[test]
fn a_certificate_of_a_login_is_its_user_for_as_long_as_it_and_may_use_the_engine_only() {
    let door = setup().open();
    let token = door.token(BOB);
    let me = |request: Request| door.send(&request).json();
    let login = me(Request::get(WHOAMI).bearer(&token));
    let issued = Issued::by(&door, &token);
    assert_eq!(login["expires"], issued.expires.as_str());
    let row = &rows(&door, &token, "")[0];
    assert_eq!((&row["last_used"], &row["token"]), (&Value::Null, &login["credential"]));
    let seen = issued.send(&door, &Request::get(WHOAMI)).json();
    assert_eq!((&seen["user"], &seen["door"]), (&json!("bob"), &json!("certificate")));
    assert_eq!((&seen["groups"], &seen["credential"]), (&login["groups"], &json!(issued.id)));
    assert_eq!(issued.status(&door), 200);
    let row = &rows(&door, &token, "")[0];
    assert_eq!((row["id"].as_str(), row["name"].as_str()), (Some(&*issued.id), Some("bob@laptop")));
    assert!(row["last_used"].is_string() && row["user"] == "bob", "{row}");
    let wish = json!({ "name": "x" });
    for request in [
        Request::get(TOKENS),
        Request::post(TOKENS).json(&wish),
        Request::get(CERTIFICATES),
        Request::new("DELETE", &format!("{TOKENS}?user=bob")),
    ] {
        issued.send(&door, &request).is_engine_error(403);
    }
    // Nor does it become a session, which could.
    let exchange = issued.send(&door, &Request::get("/_doorward/certificate").navigating());
    assert!(exchange.status != 303 && exchange.new_cookie().is_none(), "{exchange:?}");
    // It ends alone, too.
    assert_eq!(issued.send(&door, &Request::post("/_doorward/api/v1/logout")).status, 204);
    assert_eq!(issued.status(&door), 401);
    assert_eq!(door.passes(|request| request.bearer(&token)), 200);
}

#[test]
fn s7_what_ends_the_login_ends_its_certificates_and_their_streams_and_no_others() {
    let door = setup().open();
    let bob = door.token(BOB);
    let id = |token: &str| {
        let me = door.send(&Request::get(WHOAMI).bearer(token)).json();
        me["credential"].as_str().unwrap().to_owned()
    };
    let other = Issued::by(&door, &door.token(EVE));
    let mut untouched = other.open_tunnel(&door);
    type End<'a> = &'a dyn Fn(&str, &Issued) -> Request;
    let ends: [(End<'_>, u16); 5] = [
        (&|token, _| Request::post("/_doorward/api/v1/logout").bearer(token), 204),
        (&|token, _| Request::new("DELETE", &format!("{TOKENS}/{}", id(token))).bearer(&bob), 204),
        (&|_, issued| Request::new("DELETE", &format!("{CERTIFICATES}/{}", issued.id)).bearer(&bob), 204),
        (&|_, _| Request::new("DELETE", &format!("{CERTIFICATES}?user=lisa")).bearer(&bob), 200),
        (&|_, _| Request::new("DELETE", &format!("{TOKENS}?user=lisa")).bearer(&bob), 200),
    ];
    let lisa = ("lisa", "low horse");
    write_users(&door.folder.path().join("users.toml"), &[BOB, EVE, lisa]);
    for (at, (end, status)) in ends.into_iter().enumerate() {
        let token = door.token(lisa);
        let issued = Issued::by(&door, &token);
        let stream = issued.open_tunnel(&door);
        assert_eq!(door.send(&end(&token, &issued)).status, status, "{at}");
        stream.await_end();
        let refused = issued.send(&door, &Request::get("/version"));
        assert!(refused.status == 401 && refused.body.contains("revoked"), "{at}: {refused:?}");
    }
    untouched.write(b"still here\n");
    untouched.await_text("still here\n");
    assert_eq!(other.status(&door), 200);
}

#[test]
fn s7_a_login_that_this_process_has_not_seen_takes_its_certificates_along() {
    let mut door = setup().open();
    let token = door.token(BOB);
    let issued = Issued::by(&door, &token);
    let login_ca = std::fs::read(door.state().join("login-ca/ca.pem")).unwrap();
    door.restart(Signal::SIGKILL);
    assert_eq!(std::fs::read(door.state().join("login-ca/ca.pem")).unwrap(), login_ca);
    let stream = issued.open_tunnel(&door);
    let all = Request::new("DELETE", &format!("{TOKENS}?user=bob")).basic(BOB.0, BOB.1);
    assert_eq!(door.send(&all).json(), json!({ "revoked": 1 }));
    stream.await_end();
    assert_eq!(issued.status(&door), 401);
}

#[test]
fn k3_a_certificate_of_a_deleted_user_or_of_a_login_that_ran_out_lets_nobody_in() {
    let door = setup().with(&["--token-lifetime", "3s"]).open();
    let issued = Issued::by(&door, &door.token(EVE));
    let short = Issued::by(&door, &door.token(BOB));
    let streams = [issued.open_tunnel(&door), short.open_tunnel(&door)];
    write_users(&door.folder.path().join("users.toml"), &[BOB]);
    streams.into_iter().for_each(Open::await_end);
    assert_eq!((issued.status(&door), short.status(&door)), (401, 401));
}

/// Needs root, as `accounts.rs` does.
#[test]
fn b3_k3_a_lock_suspends_the_certificates_of_a_login_and_a_new_account_inherits_none() {
    if !may_run() {
        return;
    }
    let (person, service) = (Person::new("right horse"), Service::unix());
    let settings = ["--client-ca", "own", "--pam-service", &service.name, "--account-recheck", "1s"];
    let door = Setup::pam().prepared(make_ca).with(&settings).open();
    let issued = Issued::by(&door, &door.token((&person.name, "right horse")));
    let stream = issued.open_tunnel(&door);
    person.change("usermod", &["-L"]);
    stream.await_end();
    assert_eq!(issued.status(&door), 401);
    person.change("usermod", &["-U"]);
    let begun = std::time::Instant::now();
    while issued.status(&door) != 200 {
        assert!(begun.elapsed() < 4 * AT_MOST, "never restored");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let stream = issued.open_tunnel(&door);
    person.change("userdel", &["-f"]);
    stream.await_end();
    door.output.line_with("all sessions and tokens of the user have been removed");
    tool("useradd", &["-M", &person.name], "");
    tool("chpasswd", &["-c", "SHA512"], &format!("{}:right horse\n", person.name));
    let new = door.token((&person.name, "right horse"));
    assert_eq!(door.passes(|request| request.bearer(&new)), 200);
    let refused = issued.send(&door, &Request::get("/version"));
    assert!(refused.status == 401 && refused.body.contains("revoked"), "{refused:?}");
}

#[test]
fn only_the_token_of_a_login_gets_one_and_only_for_a_key_that_it_has() {
    let door = setup().open();
    let token = door.token(BOB);
    let (minted, _) = door.mint(&token, "ci");
    let csr = request(&KeyPair::generate().unwrap());
    ask(&door, &minted, &csr).is_engine_error(403);
    let wish = json!({ "csr": csr, "name": "x" });
    door.send(&Request::post(CERTIFICATES).basic(BOB.0, BOB.1).json(&wish)).is_engine_error(403);
    let cookie = door.cookie(BOB);
    let by_cookie = Request::post(CERTIFICATES).cookie(&cookie).header("Origin", &door.origin());
    door.send(&by_cookie.json(&wish)).is_engine_error(403);
    door.send(&Request::post(CERTIFICATES).json(&wish)).is_engine_error(401);
    let (head, rest) = csr.split_at(400);
    let forged = format!("{head}{}{}", if rest.starts_with('A') { 'B' } else { 'A' }, &rest[1..]);
    for broken in ["", "x", &forged, &csr[..300], &csr.repeat(40)] {
        ask(&door, &token, broken).is_engine_error(400);
    }
    for body in [
        json!({ "csr": csr }),
        json!({ "csr": csr, "name": "" }),
        json!({ "csr": csr, "name": "x", "user": "eve" }),
    ] {
        door.send(&Request::post(CERTIFICATES).bearer(&token).json(&body)).is_engine_error(400);
    }
    assert!(rows(&door, &token, "").is_empty());
}

#[test]
fn one_login_has_so_many_and_no_more() {
    let door = setup().open();
    let token = door.token(BOB);
    let csr = request(&KeyPair::generate().unwrap());
    for _ in 0..32 {
        assert_eq!(ask(&door, &token, &csr).status, 200);
    }
    ask(&door, &token, &csr).is_engine_error(409);
    let first = rows(&door, &token, "")[0]["id"].as_str().unwrap().to_owned();
    let path = format!("{CERTIFICATES}/{first}");
    assert_eq!(door.send(&Request::new("DELETE", &path).bearer(&token)).status, 204);
    assert_eq!(ask(&door, &token, &csr).status, 200);
}

#[test]
fn k4_others_neither_see_nor_end_them_but_administrators_do() {
    let door = setup().open();
    let (bob, eve) = (door.token(BOB), door.token(EVE));
    let (bobs, eves) = (Issued::by(&door, &bob), Issued::by(&door, &eve));
    assert_eq!(rows(&door, &eve, "").len(), 1);
    door.send(&Request::get(&format!("{CERTIFICATES}?all=true")).bearer(&eve)).is_engine_error(403);
    let path = format!("{CERTIFICATES}/{}", bobs.id);
    door.send(&Request::new("DELETE", &path).bearer(&eve)).is_engine_error(404);
    assert_eq!(bobs.status(&door), 200);
    assert_eq!(rows(&door, &bob, "?all=true").len(), 2);
    let path = format!("{CERTIFICATES}/{}", eves.id);
    assert_eq!(door.send(&Request::new("DELETE", &path).bearer(&bob)).status, 204);
    assert_eq!((eves.status(&door), bobs.status(&door)), (401, 200));
}

#[test]
fn whoever_steals_the_key_of_the_ca_for_logins_lets_nobody_in() {
    let door = setup().open();
    let issued = Issued::by(&door, &door.token(BOB));
    let folder = door.state().join("login-ca");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let ca_key = KeyPair::from_pem(&read("ca-key.pem")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("ca.pem"), ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "bob");
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    // The serial number of one that counts.
    let serial = data_encoding::HEXLOWER.decode(issued.id.as_bytes()).unwrap();
    parameters.serial_number = Some(serial.into());
    parameters.not_before = time::OffsetDateTime::now_utc() - time::Duration::HOUR;
    parameters.not_after = time::OffsetDateTime::now_utc() + time::Duration::HOUR;
    let forged = parameters.signed_by(&key, &issuer).unwrap();
    let tls = client(&door, &forged.pem(), &key);
    let refused = door.send_over(door.address, Some(&tls), &Request::get("/version"));
    assert!(refused.status == 401 && refused.body.contains("revoked"), "{refused:?}");
    assert_eq!(issued.status(&door), 200);
}

#[test]
fn where_a_certificate_is_demanded_that_of_a_login_passes_the_handshake_and_is_still_judged() {
    let ports = ["--client-cert-listen", "127.0.0.1:0", "--client-cert", "required"];
    let door = setup().with(&ports).open();
    let demanding: SocketAddr = door.next_address();
    let token = door.token(BOB);
    let issued = Issued::by(&door, &token);
    let status = || door.send_over(demanding, Some(&issued.tls), &Request::get("/version")).status;
    assert_eq!(status(), 200);
    assert_eq!(door.send(&Request::post("/_doorward/api/v1/logout").bearer(&token)).status, 204);
    assert_eq!(status(), 401);
}

/// Remembers which CAs it was told to have a certificate of, and shows none.
#[derive(Debug, Default)]
struct Hints(Mutex<Vec<Vec<u8>>>);

impl ResolvesClientCert for Hints {
    fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.0.lock().unwrap() = hints.iter().map(|hint| hint.to_vec()).collect();
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn clients_are_told_that_certificates_of_logins_count() {
    let door = setup().open();
    let hints = Arc::new(Hints::default());
    let tls =
        Arc::new(builder(&door).with_client_cert_resolver(Arc::clone(&hints) as Arc<dyn ResolvesClientCert>));
    assert_eq!(door.send_over(door.address, Some(&tls), &Request::get("/version")).status, 401);
    let told = hints.0.lock().unwrap().clone();
    let names = |needle: &[u8]| told.iter().any(|hint| hint.windows(needle.len()).any(|part| part == needle));
    assert!(names(b"Doorward login CA ") && names(b"Doorward CA "), "{told:?}");
}

#[test]
fn a_gateway_without_a_ca_of_its_own_says_so() {
    let door = Door::shared();
    let token = door.token(BOB);
    let said = ask(&door, &token, "x").is_engine_error(404);
    assert!(said.contains("--client-ca own"), "{said}");
    door.send(&Request::get(CERTIFICATES).bearer(&token)).is_engine_error(404);
    assert!(!door.state().join("login-ca").exists());
}

#[test]
fn the_answer_says_where_certificates_let_in() {
    let door = setup().open();
    let key = KeyPair::generate().unwrap();
    let here = ask(&door, &door.token(BOB), &request(&key)).json();
    assert!(here.get("url").is_none(), "{here}");
    let door = setup().with(&["--client-cert-listen", "127.0.0.1:0"]).open();
    let address = door.next_address();
    let there = ask(&door, &door.token(BOB), &request(&key)).json();
    assert_eq!(there["url"], format!("https://{address}"));
}

#[test]
fn w17_whose_login_has_ended_is_told_what_to_type() {
    let door = setup().open();
    let token = door.token(BOB);
    let issued = Issued::by(&door, &token);
    assert_eq!(issued.status(&door), 200);
    assert_eq!(door.send(&Request::post("/_doorward/api/v1/logout").bearer(&token)).status, 204);
    let reply = door.send_over(door.address, Some(&issued.tls), &Request::get("/version"));
    let text = reply.is_engine_error(401);
    assert!(text.contains(&format!("run: doorward login https://{}", door.host())), "{text}");
}
