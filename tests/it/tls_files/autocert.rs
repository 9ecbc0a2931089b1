//! The self-signed certificate over restarts and years.

use std::os::unix::fs::PermissionsExt;

use doorward::domain::Clock;
use doorward::listener::tls::{FileProblem, Reload};

use super::{Bench, DAY, handshake, problem};

#[tokio::test]
async fn c11_the_self_signed_certificate_is_for_the_names_and_for_not_too_long() {
    let bench = Bench::new();
    let now = Clock::system().now();
    let material =
        bench.autocert(&["localhost", "*.example.org", "10.0.0.1", "::1"], &Clock::system()).unwrap();
    assert_eq!(material.names(), ["localhost", "*.example.org", "10.0.0.1", "::1"]);
    assert!(material.not_after() > now + 390 * DAY && material.not_after() <= now + 397 * DAY);
    let mode = |name: &str| std::fs::metadata(bench.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode("autocert"), mode("autocert/key.pem"), mode("autocert/cert.pem")),
        (0o700, 0o600, 0o644)
    );
    let root = bench.der("autocert/cert.pem");
    let (_, parsed) = x509_parser::parse_x509_certificate(&root).unwrap();
    assert!(!parsed.is_ca());
    assert!(parsed.extended_key_usage().unwrap().unwrap().value.server_auth);
    let lifetime = parsed.validity().not_after.timestamp() - parsed.validity().not_before.timestamp();
    assert!(lifetime <= 397 * DAY, "{lifetime}");
    let done = handshake(&material, root.clone(), rustls::ALL_VERSIONS, &["h2"]).await.unwrap();
    assert_eq!(done.chain, [material.fingerprint()]);
    bench.openssl("verify -CAfile autocert/cert.pem -verify_hostname a.example.org autocert/cert.pem");
    bench.openssl("verify -CAfile autocert/cert.pem -verify_ip 10.0.0.1 autocert/cert.pem");
}

#[test]
fn ga2_a_restart_keeps_the_fingerprint_and_new_names_keep_the_key() {
    let bench = Bench::new();
    let clock = Clock::system();
    let first = bench.autocert(&["a", "b"], &clock).unwrap();
    let key = bench.text("autocert/key.pem");
    assert_eq!(bench.autocert(&["b", "a"], &clock).unwrap().fingerprint(), first.fingerprint());
    let other = bench.autocert(&["a", "c"], &clock).unwrap();
    assert_ne!(other.fingerprint(), first.fingerprint());
    assert_eq!(bench.text("autocert/key.pem"), key);
    let star = bench.autocert(&["*"], &clock).unwrap();
    assert!(star.names().contains(&"localhost".to_owned()));
    assert_eq!(bench.autocert(&["*"], &clock).unwrap().fingerprint(), star.fingerprint());
    let left = std::fs::read_dir(bench.path("autocert")).unwrap().count();
    assert_eq!(left, 2, "temporary files were left behind");
}

#[test]
fn c11_the_self_signed_certificate_is_renewed_a_month_before_it_ends_with_the_same_key() {
    let bench = Bench::new();
    let clock = Clock::manual(Clock::system().now());
    let material = bench.autocert(&["a"], &clock).unwrap();
    let (first, ends, key) = (material.fingerprint(), material.not_after(), bench.text("autocert/key.pem"));
    let serial = |bench: &Bench| {
        let der = bench.der("autocert/cert.pem");
        x509_parser::parse_x509_certificate(&der).unwrap().1.raw_serial_as_string()
    };
    let first_serial = serial(&bench);
    clock.advance(ends - 31 * DAY - clock.now());
    assert_eq!(material.reload().unwrap(), Reload::Unchanged);
    clock.advance(DAY);
    assert_eq!(material.reload().unwrap(), Reload::Replaced);
    assert_ne!(material.fingerprint(), first);
    assert_ne!(serial(&bench), first_serial);
    assert!(material.not_after() > ends);
    assert_eq!(bench.text("autocert/key.pem"), key);
    assert_eq!(bench.autocert(&["a"], &clock).unwrap().fingerprint(), material.fingerprint());
}

#[test]
fn ga2_a_broken_kept_certificate_is_made_anew_and_a_broken_key_is_refused() {
    let bench = Bench::new();
    let clock = Clock::system();
    let key = {
        bench.autocert(&["a"], &clock).unwrap();
        bench.text("autocert/key.pem")
    };
    bench.write("autocert/cert.pem", "half a certifi");
    bench.autocert(&["a"], &clock).unwrap();
    assert_eq!(bench.text("autocert/key.pem"), key);
    bench.write("autocert/key.pem", "half a ke");
    let error = bench.autocert(&["a"], &clock).unwrap_err().to_string();
    assert!(error.contains("key.pem"), "{error}");
    assert_eq!(bench.text("autocert/key.pem"), "half a ke");
    bench.write("autocert/key.pem", &key);
    let readable = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(bench.path("autocert/key.pem"), readable).unwrap();
    assert!(matches!(problem(bench.autocert(&["a"], &clock)), FileProblem::OpenToOthers { .. }));
}
