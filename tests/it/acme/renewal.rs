//! In time, and only then.

use std::time::Duration;

use super::{Bench, DAY, run};

#[test]
fn a_restart_uses_what_is_stored_and_orders_nothing() {
    run(async {
        let mut bench = Bench::new().await;
        bench.keeper.look().await;
        let first = bench.visit().await.unwrap();
        bench.restart();
        bench.keeper.look().await;
        let again = super::start(&bench.state, &bench.settings, &bench.clock).0;
        assert_eq!(again.fingerprint(), first);
        assert_eq!(bench.server.asked().orders, 1);
    });
}

#[test]
fn a_certificate_is_renewed_when_a_third_of_its_life_is_left() {
    run(async {
        let mut bench = Bench::new().await;
        bench.keeper.look().await;
        let first = bench.visit().await.unwrap();
        bench.clock.advance(59 * DAY);
        let wait = bench.keeper.look().await;
        assert!(wait <= Duration::from_secs(3600));
        assert_eq!(bench.server.asked().orders, 1);
        bench.clock.advance(2 * DAY);
        bench.keeper.look().await;
        assert_ne!(bench.material.fingerprint(), first);
        let asked = bench.server.asked();
        assert_eq!((asked.orders, asked.accounts, asked.issued), (2, 1, 2));
    });
}

#[test]
fn other_names_are_ordered_at_once_while_the_old_certificate_serves() {
    run(async {
        let mut bench = Bench::new().await;
        bench.keeper.look().await;
        let first = bench.visit().await.unwrap();
        bench.settings.domains.push("www.gate.example".to_owned());
        let restarted = super::start(&bench.state, &bench.settings, &bench.clock).0;
        assert_eq!(restarted.fingerprint(), first);
        bench.restart();
        bench.keeper.look().await;
        assert_ne!(bench.visit().await.unwrap(), first);
        assert_eq!(bench.material.names().len(), 2);
        // One name fewer is no reason for an order.
        bench.settings.domains.pop();
        bench.restart();
        bench.keeper.look().await;
        assert_eq!(bench.server.asked().orders, 2);
    });
}

#[test]
fn the_servers_window_moves_the_renewal_and_the_order_says_what_it_replaces() {
    run(async {
        let mut bench = Bench::new().await;
        bench.server.behave(|server| server.window = Some((-3600, -60)));
        bench.keeper.look().await;
        let first = bench.visit().await.unwrap();
        assert!(bench.server.asked().replaced.is_empty());
        // It has hardly begun to live, and the server wants it replaced: as after a mistake of the CA.
        bench.keeper.look().await;
        assert_ne!(bench.visit().await.unwrap(), first);
        let asked = bench.server.asked();
        assert_eq!((asked.orders, asked.replaced.len()), (2, 1));
    });
}

#[test]
fn a_certificate_that_would_be_due_at_once_is_not_ordered_again_and_again() {
    run(async {
        let mut bench = Bench::new().await;
        bench.server.behave(|server| server.life = 0);
        for _ in 0..5 {
            bench.clock.advance(3600);
            bench.keeper.look().await;
        }
        assert_eq!(bench.server.asked().orders, 1);
    });
}

#[test]
fn a_broken_file_is_replaced_and_a_placeholder_serves_meanwhile() {
    run(async {
        let mut bench = Bench::new().await;
        bench.keeper.look().await;
        std::fs::write(bench.certificate_file(), "-----BEGIN CERTIFICATE-----\nnonsense").unwrap();
        let restarted = super::start(&bench.state, &bench.settings, &bench.clock).0;
        assert_eq!(restarted.names(), [super::DOMAIN]);
        assert!(bench.material.reload().is_err());
        bench.restart();
        bench.keeper.look().await;
        assert_eq!(bench.visit().await.unwrap(), bench.material.fingerprint());
        assert_eq!(bench.server.asked().orders, 2);
    });
}
