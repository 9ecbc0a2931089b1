//! The way to the first certificate, by each challenge.

use std::os::unix::fs::PermissionsExt;

use super::verify::challenge_handshake;
use super::{Bench, DOMAIN, binding, run};

#[test]
fn a_certificate_is_got_by_tls_alpn_01_and_served_at_once() {
    run(async {
        let mut bench = Bench::new().await;
        let placeholder = bench.visit().await.unwrap_err();
        assert!(placeholder.contains("UnknownIssuer"), "{placeholder}");
        bench.keeper.look().await;
        assert_eq!(bench.visit().await.unwrap(), bench.material.fingerprint());
        let asked = bench.server.asked();
        assert_eq!((asked.accounts, asked.orders, asked.issued), (1, 1, 1));
        assert_eq!(asked.verified, ["tls-alpn-01"]);
    });
}

#[test]
fn a_certificate_is_got_by_http_01_where_its_port_is_given() {
    run(async {
        let mut bench =
            Bench::with(|settings| settings.http_listen = Some("127.0.0.1:80".parse().unwrap())).await;
        bench.keeper.look().await;
        bench.visit().await.unwrap();
        assert_eq!(bench.server.asked().verified, ["http-01"]);
    });
}

#[test]
fn several_names_are_verified_one_by_one_and_stand_in_one_certificate() {
    run(async {
        let names = [DOMAIN, "www.gate.example", "docker.gate.example"];
        let mut bench = Bench::with(|settings| settings.domains = names.map(str::to_owned).to_vec()).await;
        bench.keeper.look().await;
        bench.visit().await.unwrap();
        let mut got = bench.material.names();
        got.sort();
        assert_eq!(got, ["docker.gate.example", DOMAIN, "www.gate.example"]);
        assert_eq!(bench.server.asked().verified.len(), 3);
    });
}

#[test]
fn stale_nonces_are_tried_again() {
    run(async {
        let mut bench = Bench::new().await;
        bench.server.behave(|server| server.stale_nonces = 2);
        bench.keeper.look().await;
        bench.visit().await.unwrap();
        assert_eq!(bench.server.asked().orders, 1);
    });
}

#[test]
fn an_account_is_bound_to_the_one_at_the_ca() {
    run(async {
        let key: &[u8] = b"a key of the CA, 32 bytes long..";
        let text = data_encoding::BASE64URL_NOPAD.encode(key);
        let folder = tempfile::tempdir().unwrap();
        let mut bench =
            Bench::with(|settings| settings.binding = Some(binding(folder.path(), "kid-1", &text))).await;
        bench.server.behave(|server| server.binding = Some(("kid-1", key)));
        bench.keeper.look().await;
        bench.visit().await.unwrap();

        let mut unbound = Bench::new().await;
        unbound.server.behave(|server| server.binding = Some(("kid-1", key)));
        unbound.keeper.look().await;
        assert_eq!(unbound.server.asked().accounts, 0);
        assert!(unbound.visit().await.is_err());
    });
}

#[test]
fn the_mail_address_goes_to_the_server_also_when_it_changes() {
    run(async {
        let mut bench = Bench::with(|settings| settings.email = Some("ops@gate.example".to_owned())).await;
        bench.keeper.look().await;
        assert_eq!(bench.server.asked().contacts, ["mailto:ops@gate.example"]);
        bench.settings.email = Some("sre@gate.example".to_owned());
        bench.restart();
        bench.clock.advance(89 * super::DAY);
        bench.keeper.look().await;
        assert_eq!(bench.server.asked().contacts, ["mailto:ops@gate.example", "mailto:sre@gate.example"]);
        assert_eq!(bench.server.asked().accounts, 1);
    });
}

#[test]
fn keys_are_readable_for_the_owner_alone() {
    run(async {
        let mut bench = Bench::new().await;
        bench.keeper.look().await;
        let folder = bench.certificate_file().parent().unwrap().to_owned();
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(folder.parent().unwrap()), 0o700);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
        names.sort();
        assert_eq!(names, ["account.json", "certificate.pem"]);
    });
}

#[test]
fn a_challenge_handshake_is_refused_unless_one_is_pending_for_this_very_name() {
    run(async {
        let bench = Bench::new().await;
        let port = bench.ports.tls;
        let refused = challenge_handshake(port, DOMAIN).await.unwrap_err();
        assert!(refused.contains("NoApplicationProtocol"), "{refused}");

        let challenges = bench.material.challenges().unwrap();
        let answer = doorward::acme::challenge_certificate(DOMAIN, [7; 32]).unwrap();
        let pending = challenges.put_certificate(DOMAIN, answer);
        let (_, protocol) = challenge_handshake(port, DOMAIN).await.unwrap();
        assert_eq!(protocol.as_deref(), Some(&b"acme-tls/1"[..]));
        assert!(challenge_handshake(port, "other.example").await.is_err());
        // Everybody else is served as always meanwhile.
        let placeholder = bench.visit().await.unwrap_err();
        assert!(placeholder.contains("UnknownIssuer"), "{placeholder}");

        drop(pending);
        assert!(challenge_handshake(port, DOMAIN).await.unwrap_err().contains("NoApplicationProtocol"));
    });
}
