//! Other services under the gateway's host name, which get its cookies.

use std::net::TcpListener;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};

use super::doctor::{check, doctor, report};
use super::door::Setup;

/// A service that speaks TLS on a port that such services usually have; nothing if all of these are taken.
fn service() -> Option<u16> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let config = Arc::new(config);
    let usual = [10443, 9443, 8843, 8444, 7443, 5443, 4443];
    let socket = usual.into_iter().find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())?;
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in socket.incoming().flatten() {
            let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            // Whoever it is goes away after the handshake, or does not even wait for its end.
            let _ = tls.complete_io(&mut stream);
        }
    });
    Some(port)
}

#[test]
fn i16_the_doctor_names_other_services_of_the_public_host_name() {
    let door = Setup::usual().open();
    let Some(port) = service() else {
        println!("skipped: every port of the list is taken on this machine");
        return;
    };
    let url = format!("https://{}", door.address);
    let users = door.folder.path().join("users.toml").display().to_string();
    let words = ["--autocert", "127.0.0.1,localhost", "--users", &users, "--public-url", &url];
    let report = report(&mut doctor(&door, &words));
    let found = check(&report, "terminator.other-ports");
    assert!(found.starts_with("warning: other services answer over TLS on 127.0.0.1 (port "), "{found}");
    assert!(found.contains(&port.to_string()), "{found}");
    // The gateway itself is no other service.
    assert!(!found.contains(&door.address.port().to_string()), "{found}");
    let fix = report["checks"].as_array().unwrap().iter().find(|it| it["id"] == "terminator.other-ports");
    assert!(fix.unwrap()["fix"].as_str().unwrap().contains("a host name of its own"), "{report:#}");
}
