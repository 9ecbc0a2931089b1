//! What a server refuses, or gets wrong, costs nobody the certificate in use, and is not asked again at once.

use std::time::Duration;

use super::{Bench, DAY, run};

const MINUTE: i64 = 60;

/// A bench with a certificate, at a time when it should be renewed.
async fn due() -> (Bench, String) {
    let mut bench = Bench::new().await;
    bench.keeper.look().await;
    let first = bench.visit().await.unwrap();
    // The machine's clock, which clients look at, does not move: the certificate stays good for them.
    bench.clock.advance(61 * DAY);
    (bench, first)
}

#[test]
fn a_server_that_fails_keeps_the_old_certificate_in_use_and_is_left_alone_for_a_while() {
    run(async {
        let (mut bench, first) = due().await;
        bench.server.behave(|server| server.refuse = Some((403, "unauthorized")));
        let wait = bench.keeper.look().await;
        assert!(wait >= Duration::from_secs(600), "{wait:?}");
        assert_eq!(bench.visit().await.unwrap(), first);
        for _ in 0..20 {
            bench.keeper.look().await;
        }
        assert_eq!(bench.server.asked().orders, 2);

        bench.server.behave(|server| server.refuse = None);
        bench.clock.advance(15 * MINUTE);
        bench.keeper.look().await;
        // Clients look at the true clock, for which it is not valid yet.
        assert_ne!(bench.material.fingerprint(), first);
        assert_eq!(bench.server.asked().accounts, 1);
    });
}

#[test]
fn a_failure_is_remembered_over_restarts() {
    run(async {
        let (mut bench, _) = due().await;
        bench.server.behave(|server| server.refuse = Some((403, "unauthorized")));
        bench.keeper.look().await;
        for _ in 0..20 {
            bench.restart();
            bench.keeper.look().await;
        }
        assert_eq!(bench.server.asked().orders, 2);
        bench.clock.advance(11 * MINUTE);
        bench.restart();
        bench.keeper.look().await;
        assert_eq!(bench.server.asked().orders, 3);
    });
}

#[test]
fn a_rate_limit_is_heeded_for_an_hour_at_least() {
    run(async {
        let (mut bench, _) = due().await;
        bench.server.behave(|server| server.refuse = Some((429, "rateLimited")));
        bench.keeper.look().await;
        bench.clock.advance(59 * MINUTE);
        bench.keeper.look().await;
        assert_eq!(bench.server.asked().orders, 2);
        bench.clock.advance(20 * MINUTE);
        bench.keeper.look().await;
        assert_eq!(bench.server.asked().orders, 3);
    });
}

#[test]
fn a_server_that_stumbles_is_asked_again_soon() {
    run(async {
        let mut bench = Bench::new().await;
        bench.server.behave(|server| server.refuse = Some((500, "serverInternal")));
        let wait = bench.keeper.look().await;
        assert!(wait <= Duration::from_secs(20), "{wait:?}");
        bench.server.behave(|server| server.refuse = None);
        bench.clock.advance(20);
        bench.keeper.look().await;
        bench.visit().await.unwrap();
    });
}

#[test]
fn a_certificate_for_another_name_is_not_taken() {
    run(async {
        let (mut bench, first) = due().await;
        let before = std::fs::read(bench.certificate_file()).unwrap();
        bench.server.behave(|server| server.other_name = Some("evil.example"));
        bench.keeper.look().await;
        assert_eq!(bench.server.asked().issued, 2);
        assert_eq!(std::fs::read(bench.certificate_file()).unwrap(), before);
        assert_eq!(bench.visit().await.unwrap(), first);
    });
}

#[test]
fn a_chain_with_anything_but_certificates_is_not_taken() {
    run(async {
        let (mut bench, first) = due().await;
        let before = std::fs::read(bench.certificate_file()).unwrap();
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let broken =
            "-----BEGIN CERTIFICATE-----\nbm8gY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n".to_owned();
        for (issued, behind) in [key, broken].into_iter().enumerate() {
            bench.server.behave(|server| server.behind = behind);
            bench.keeper.look().await;
            assert_eq!(bench.server.asked().issued, issued + 2);
            assert!(bench.complaint().contains("cannot be used"), "{}", bench.complaint());
            bench.clock.advance(DAY);
        }
        assert_eq!(std::fs::read(bench.certificate_file()).unwrap(), before);
        assert_eq!(bench.visit().await.unwrap(), first);
    });
}

#[test]
fn a_domain_that_leads_elsewhere_gets_no_certificate_and_the_other_challenge_has_its_turn() {
    run(async {
        // The server finds nothing on port 80: nothing answers the path.
        let mut bench =
            Bench::with(|settings| settings.http_listen = Some("127.0.0.1:80".parse().unwrap())).await;
        bench.server.behave(|server| server.kinds = &["dns-01"]);
        bench.keeper.look().await;
        assert_eq!(bench.server.asked().issued, 0);
        assert!(bench.visit().await.is_err());
        bench.server.behave(|server| server.kinds = &["http-01", "tls-alpn-01"]);
        bench.clock.advance(15 * MINUTE);
        bench.keeper.look().await;
        assert_eq!(bench.server.asked().verified, ["tls-alpn-01"]);
    });
}

#[test]
fn a_domain_that_cannot_be_verified_is_named_with_the_reason() {
    run(async {
        let mut bench =
            Bench::with(|settings| settings.domains = vec!["gate.example".into(), "127.0.0.1".into()]).await;
        // Its verification takes names, and no addresses.
        let wait = bench.keeper.look().await;
        assert!(wait >= Duration::from_secs(600), "{wait:?}");
        assert_eq!(bench.server.asked().issued, 0);
        let text = bench.complaint();
        assert!(text.contains("could not verify 127.0.0.1 by tls-alpn-01"), "{text}");
    });
}

#[test]
fn an_account_that_the_server_lost_is_made_anew() {
    run(async {
        let (mut bench, first) = due().await;
        bench.server.forget_accounts();
        bench.keeper.look().await;
        assert_eq!(bench.visit().await.unwrap(), first);
        bench.clock.advance(15 * MINUTE);
        bench.keeper.look().await;
        // Clients look at the true clock, for which it is not valid yet.
        assert_ne!(bench.material.fingerprint(), first);
        assert_eq!(bench.server.asked().accounts, 2);
    });
}

#[test]
fn a_directory_that_cannot_be_trusted_gets_no_word() {
    run(async {
        let mut bench = Bench::with(|settings| settings.ca = None).await;
        bench.keeper.look().await;
        assert_eq!(bench.server.asked(), super::server::Asked::default());
        let text = bench.complaint();
        assert!(
            text.contains("the ACME server cannot be asked") || text.contains("no CA certificates"),
            "{text}"
        );
    });
}
