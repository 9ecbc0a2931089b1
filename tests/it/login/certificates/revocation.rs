//! A certificate that ends, in whatever way, ends everywhere.

use std::sync::Arc;
use std::time::Instant;

use doorward::ca::{Algorithm, Authority as OwnCa, CaFolder, LeafKey, NewCa, Reason, Subject};
use doorward::domain::Username;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};
use time::Duration;

use super::super::door::{BOB, account};
use super::super::wire::{AT_MOST, Open, Request};
use super::authority::{Authority, Shown, folder};
use super::{Bench, Setup};

/// A connection, and whether its session was resumed.
fn connect(
    bench: &Bench,
    config: &Arc<ClientConfig>,
) -> (Box<dyn super::super::wire::Stream>, HandshakeKind) {
    let mut socket = std::net::TcpStream::connect(bench.door.address).unwrap();
    socket.set_read_timeout(Some(AT_MOST)).unwrap();
    let name = ServerName::from(bench.door.address.ip());
    let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
    while client.is_handshaking() {
        client.complete_io(&mut socket).unwrap();
    }
    let kind = client.handshake_kind().unwrap();
    (Box::new(StreamOwned::new(client, socket)), kind)
}

fn status(bench: &Bench, config: &Arc<ClientConfig>) -> (u16, HandshakeKind) {
    let (stream, kind) = connect(bench, config);
    let request = Request::get("/version").bytes(&bench.door.host(), true);
    (Open::start(stream, &request).finish(false).status, kind)
}

fn revoke_4711(bench: &Bench) {
    let part = bench.path("part");
    std::fs::write(&part, bench.authority.crl(&[4711], Duration::days(1))).unwrap();
    std::fs::rename(part, bench.path("crl.pem")).unwrap();
}

fn with_list(until: Duration, arguments: &[&str]) -> (Bench, Shown) {
    let (folder, authority) = (folder(), Authority::root("Test CA"));
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("ca.pem"), authority.pem()).unwrap();
    std::fs::write(path("crl.pem"), authority.crl(&[], until)).unwrap();
    let door = Setup::usual()
        .with(&["--client-ca", &path("ca.pem"), "--client-crl", &path("crl.pem")])
        .with(arguments)
        .open();
    let shown = authority.odd(|parameters| {
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "bob");
        parameters.serial_number = Some(4711_u64.into());
    });
    (Bench { door, authority, folder }, shown)
}

#[test]
fn c2_a_revoked_certificate_is_refused_on_new_resumed_and_open_connections_and_its_streams_are_cut() {
    let (bench, shown) = with_list(Duration::days(1), &[]);
    let other = bench.authority.client("eve");
    let (first, others) = (bench.client(&shown), bench.client(&other));
    assert_eq!(status(&bench, &first), (200, HandshakeKind::Full));
    assert_eq!(status(&bench, &first), (200, HandshakeKind::Resumed));
    let mut open = connect(&bench, &first).0;
    let request = Request::get("/version").bytes(&bench.door.host(), false);
    let (stream, kept) = (bench.open_stream(&first), bench.open_stream(&others));
    let begun = Instant::now();
    revoke_4711(&bench);
    stream.await_end();
    assert!(begun.elapsed() < AT_MOST);
    // From here on every request is refused, on whatever connection.
    assert_eq!(
        Open::start(std::mem::replace(&mut open, connect(&bench, &others).0), &request).reply.status,
        401
    );
    let (refused, kind) = status(&bench, &first);
    assert_eq!((refused, kind), (401, HandshakeKind::Resumed), "the ticket is from before");
    assert_eq!(status(&bench, &bench.client(&shown)), (401, HandshakeKind::Full));
    assert_eq!(status(&bench, &others).0, 200, "nobody else is touched");
    drop(kept);
}

#[test]
fn c2_a_request_on_an_open_http2_connection_is_refused_after_the_revocation() {
    let (bench, shown) = with_list(Duration::days(1), &[]);
    let mut config = (*bench.client(&shown)).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let client = reqwest::Client::builder().use_preconfigured_tls(config).build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = format!("https://{}/version", bench.door.address);
    let ask = || async { client.get(&url).send().await.unwrap() };
    let first = runtime.block_on(ask());
    assert_eq!((first.version(), first.status().as_u16()), (http::Version::HTTP_2, 200));
    revoke_4711(&bench);
    bench.await_status(&shown, 401);
    assert_eq!(runtime.block_on(ask()).status().as_u16(), 401);
}

#[test]
fn c2_what_was_got_by_a_certificate_ends_with_it_after_a_restart_too() {
    let (mut bench, shown) = with_list(Duration::days(1), &["--client-cert-listen", "127.0.0.1:0"]);
    let address = bench.door.next_address();
    let request = Request::get("/_doorward/certificate").navigating();
    let reply = bench.door.send_over(address, Some(&bench.client(&shown)), &request);
    let cookie = reply.new_cookie().unwrap_or_else(|| panic!("{reply:?}"));
    let mint = Request::post("/_doorward/api/v1/tokens").json(&serde_json::json!({ "name": "ci" }));
    let reply = bench.door.send_over(address, Some(&bench.client(&shown)), &mint);
    let token = reply.json()["token"].as_str().unwrap().to_owned();
    let by_password = bench.door.token(BOB);
    let all = |bench: &Bench| {
        let ask = |also: &dyn Fn(Request) -> Request| bench.door.send(&also(Request::get("/version"))).status;
        [
            ask(&|request| request.cookie(&cookie)),
            ask(&|request| request.bearer(&token)),
            ask(&|request| request.bearer(&by_password)),
        ]
    };
    assert_eq!(all(&bench), [200, 200, 200]);
    let stream = bench.door.open_stream("/silent", |request| request.cookie(&cookie));
    let tunnel = bench.door.open_stream("/tunnel", |request| request.bearer(&token));
    revoke_4711(&bench);
    stream.await_end();
    tunnel.await_end();
    assert_eq!(all(&bench), [401, 401, 200], "what a password opened stays");
    bench.door.restart(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(all(&bench), [401, 401, 200], "nothing of it was in memory only");
    // A list without it: it was a mistake, or the number was another's.
    std::fs::write(bench.path("crl.pem"), bench.authority.crl(&[], Duration::days(1))).unwrap();
    bench.door.await_status(200, &Request::get("/version").cookie(&cookie));
}

#[test]
fn c3_a_revocation_list_that_is_over_lets_nobody_in_unless_that_was_asked_for() {
    let (bench, shown) = with_list(Duration::seconds(-1), &[]);
    let said = bench.send(&shown, &Request::get("/version")).is_engine_error(401);
    assert!(said.contains("out of date"), "{said}");
    // A new list is taken without a restart.
    std::fs::write(bench.path("crl.pem"), bench.authority.crl(&[], Duration::days(1))).unwrap();
    bench.await_status(&shown, 200);
    // One that cannot be read leaves the last in use.
    std::fs::write(bench.path("crl.pem"), "junk").unwrap();
    bench.door.output.line_with("what was read before stays in use");
    assert_eq!(bench.send(&shown, &Request::get("/version")).status, 200);
    let (bench, shown) = with_list(Duration::seconds(-1), &["--client-crl-expired", "accept"]);
    assert_eq!(bench.send(&shown, &Request::get("/version")).status, 200);
    revoke_4711(&bench);
    bench.await_status(&shown, 401);
}

#[test]
fn i5_two_lists_of_one_ca_count_together_wherever_they_stand() {
    let (bench, shown) = with_list(Duration::days(1), &[]);
    let other = bench.authority.client("eve");
    let (old, new) =
        (bench.authority.crl(&[], Duration::days(1)), bench.authority.crl(&[4711], Duration::days(1)));
    let over = bench.authority.crl(&[], Duration::seconds(-1));
    let replace = |text: String| {
        std::fs::write(bench.path("part"), text).unwrap();
        std::fs::rename(bench.path("part"), bench.path("crl.pem")).unwrap();
    };
    let stream = bench.open_stream(&bench.client(&shown));
    // Appended by hand while the gateway runs.
    let mut file = std::fs::OpenOptions::new().append(true).open(bench.path("crl.pem")).unwrap();
    std::io::Write::write_all(&mut file, new.as_bytes()).unwrap();
    stream.await_end();
    bench.await_status(&shown, 401);
    assert_eq!(bench.send(&other, &Request::get("/version")).status, 200, "nobody else is touched");
    replace(format!("{over}{old}"));
    bench.await_status(&shown, 200);
    assert_eq!(
        bench.send(&other, &Request::get("/version")).status,
        200,
        "one that is over shuts nobody out"
    );
    for both in [format!("{old}{new}"), format!("{new}{old}"), format!("{over}{new}{old}")] {
        replace(both);
        bench.await_status(&shown, 401);
        assert_eq!(bench.send(&other, &Request::get("/version")).status, 200);
        replace(old.clone());
        bench.await_status(&shown, 200);
    }
}

#[test]
fn i5_the_holders_of_a_cas_new_key_are_judged_by_its_own_list() {
    let (folder, old, new) = (folder(), Authority::root("Test CA"), Authority::root("Test CA"));
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("ca.pem"), format!("{}{}", old.pem(), new.pem())).unwrap();
    std::fs::write(path("old.crl"), old.crl(&[], Duration::days(1))).unwrap();
    std::fs::write(path("new.crl"), new.crl(&[], Duration::days(1))).unwrap();
    let lists = format!("{},{}", path("old.crl"), path("new.crl"));
    let door = Setup::usual().with(&["--client-ca", &path("ca.pem"), "--client-crl", &lists]).open();
    let bench = Bench { door, authority: old, folder };
    let (first, second) = (bench.authority.client("bob"), new.client("eve"));
    assert_eq!(bench.whoami(&first).unwrap().0, "bob");
    assert_eq!(bench.whoami(&second).unwrap().0, "eve");
    // The list of the old key says nothing about the new one's certificates.
    std::fs::write(bench.path("new.crl"), new.crl(&[], Duration::seconds(-1))).unwrap();
    let said = bench.await_status(&second, 401).is_engine_error(401);
    assert!(said.contains("out of date"), "{said}");
    assert_eq!(bench.whoami(&first).unwrap().0, "bob");
}

#[test]
fn c3_a_list_that_runs_out_while_the_gateway_runs_cuts_what_is_open() {
    let (bench, shown) = with_list(Duration::seconds(3), &[]);
    let stream = bench.open_stream(&bench.client(&shown));
    stream.await_end();
    assert_eq!(bench.send(&shown, &Request::get("/version")).status, 401);
}

#[test]
fn c3_a_ca_that_is_taken_out_is_no_longer_believed_by_anybody_who_was_let_in_before() {
    let bench = Bench::usual(&[]);
    let (shown, next) = (bench.authority.client("bob"), Authority::root("Next CA"));
    let client = bench.client(&shown);
    assert_eq!(status(&bench, &client).0, 200);
    let stream = bench.open_stream(&client);
    std::fs::write(bench.path("ca.pem"), format!("{}{}", next.pem(), bench.authority.pem())).unwrap();
    bench.await_status(&next.client("bob"), 200);
    assert_eq!(status(&bench, &client).0, 200, "both are believed while one takes the other's place");
    std::fs::write(bench.path("ca.pem"), next.pem()).unwrap();
    stream.await_end();
    assert_eq!(status(&bench, &client), (401, HandshakeKind::Resumed));
}

/// Our own CA where `doorward ca init` puts it.
fn own_ca(folder: &std::path::Path) {
    let state = folder.join("state");
    std::fs::create_dir(&state).unwrap();
    let account = nix::unistd::geteuid().is_root().then(account);
    if let Some(account) = &account {
        let (user, group) = (Some(account.uid.as_raw()), Some(account.gid.as_raw()));
        std::os::unix::fs::chown(&state, user, group).unwrap();
    }
    let new = NewCa {
        name: None,
        days: None,
        algorithm: Algorithm::P256,
        group: account.map(|it| it.gid.as_raw()),
    };
    OwnCa::create(&state.join("ca"), &new, None, now()).unwrap();
}

fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

#[test]
fn c2_our_own_ca_needs_no_other_setting_and_its_revocation_counts_at_once() {
    let setup = Setup::usual().prepared(own_ca).with(&["--client-ca", "own"]);
    let (door, folder) = (setup.open(), folder());
    let bench = Bench { door, authority: Authority::root("Test CA"), folder };
    let own = OwnCa::unlock(CaFolder::open(&bench.door.state().join("ca")).unwrap(), None).unwrap();
    let issue = |name: &str| {
        let key = LeafKey::generate(Algorithm::P256).unwrap();
        let subject = Subject::client(&Username::parse(name).unwrap()).unwrap();
        let issued = own.issue(&subject, &key, None, now()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.to_pem().as_bytes()).unwrap();
        Shown { chain: vec![CertificateDer::from(issued.der)], key }
    };
    let (bob, eve) = (issue("bob"), issue("eve"));
    // Issued while the gateway runs.
    bench.await_status(&bob, 200);
    bench.await_status(&eve, 200);
    assert_eq!(bench.whoami(&eve).unwrap(), ("eve".to_owned(), "certificate".to_owned()));
    let (client, others) = (bench.client(&bob), bench.client(&eve));
    let (stream, kept) = (bench.open_stream(&client), bench.open_stream(&others));
    own.revoke(&["bob"], Reason::KeyCompromise, now()).unwrap();
    stream.await_end();
    let said = bench.send(&bob, &Request::get("/version")).is_engine_error(401);
    assert!(said.contains("it was revoked"), "{said}");
    assert_eq!(status(&bench, &others).0, 200);
    drop(kept);
    // An index that cannot be read any more tells nothing of what was revoked: nobody of this CA comes in.
    std::fs::write(bench.door.state().join("ca/index"), "junk\n").unwrap();
    bench.await_status(&eve, 401);
}
