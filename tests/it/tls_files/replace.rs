//! Certificates that change on disk while the gateway runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward::domain::Clock;
use doorward::listener::tls::{Reload, TlsMaterial, fingerprint_of};

use super::{Bench, DAY, handshake};

#[tokio::test]
async fn c10_a_replaced_file_serves_the_next_handshake_and_a_broken_one_keeps_the_old() {
    let bench = Bench::new();
    bench.self_signed("a", "-algorithm ED25519");
    bench.self_signed("b", "-algorithm ED25519");
    let path = bench.join(&["a.crt", "a.key"]);
    let material = bench.load(&path).unwrap();
    assert_eq!(material.reload().unwrap(), Reload::Unchanged);

    let new = bench.write("new.pem", &(bench.text("b.crt") + &bench.text("b.key")));
    std::fs::rename(new, &path).unwrap();
    assert_eq!(material.reload().unwrap(), Reload::Replaced);
    let done = handshake(&material, bench.der("b.crt"), rustls::ALL_VERSIONS, &[]).await.unwrap();
    assert_eq!(done.chain, [fingerprint_of(&bench.der("b.crt"))]);

    for broken in [bench.text("a.crt"), bench.text("a.crt") + &bench.text("b.key"), "nonsense".to_owned()] {
        bench.write("server.pem", &broken);
        assert!(material.reload().is_err());
        assert_eq!(material.fingerprint(), fingerprint_of(&bench.der("b.crt")));
    }
    std::fs::remove_file(&path).unwrap();
    assert!(material.reload().is_err());
    handshake(&material, bench.der("b.crt"), rustls::ALL_VERSIONS, &[]).await.unwrap();
}

#[test]
fn c10_a_certificate_that_expires_in_use_is_not_an_error_of_each_reload() {
    let bench = Bench::new();
    bench.self_signed("a", "-algorithm ED25519");
    let path = bench.join(&["a.crt", "a.key"]);
    let clock = Clock::manual(Clock::system().now());
    let material = bench.load_at(&path, &clock).unwrap();
    clock.advance(31 * DAY);
    assert_eq!(material.reload().unwrap(), Reload::Unchanged);
}

/// Waits for the watcher; fails only if nothing happens for very long.
fn eventually(what: &str, met: impl Fn() -> bool) {
    let start = Instant::now();
    while !met() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::yield_now();
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn ga6_the_watch_sees_writes_renames_and_swapped_links() {
    let bench = Bench::new();
    for name in ["a", "b", "c"] {
        bench.self_signed(name, "-algorithm ED25519");
    }
    let is = |material: &TlsMaterial, name: &str| material.fingerprint() == fingerprint_of(&bench.der(name));
    let pair = |name: &str| bench.text(&format!("{name}.crt")) + &bench.text(&format!("{name}.key"));

    // As Kubernetes mounts secrets: the file is a link through a link to a folder, and that link is swapped.
    for (folder, name) in [("one", "a"), ("two", "b")] {
        std::fs::create_dir(bench.path(folder)).unwrap();
        bench.write(&format!("{folder}/tls.pem"), &pair(name));
    }
    std::fs::create_dir(bench.path("mount")).unwrap();
    std::os::unix::fs::symlink("../one", bench.path("mount/data")).unwrap();
    std::os::unix::fs::symlink("data/tls.pem", bench.path("mount/tls.pem")).unwrap();
    let material = Arc::new(bench.load(&bench.path("mount/tls.pem")).unwrap());
    let watch = material.watch().unwrap();
    assert!(is(&material, "a.crt"));
    std::os::unix::fs::symlink("../two", bench.path("mount/data.new")).unwrap();
    std::fs::rename(bench.path("mount/data.new"), bench.path("mount/data")).unwrap();
    eventually("the swapped link is seen", || is(&material, "b.crt"));

    let new = bench.write("mount/new", &pair("c"));
    std::fs::rename(new, bench.path("mount/tls.pem")).unwrap();
    eventually("the renamed file is seen", || is(&material, "c.crt"));

    bench.write("mount/tls.pem", "nonsense");
    bench.write("mount/tls.pem", &pair("a"));
    eventually("the rewritten file is seen", || is(&material, "a.crt"));
    drop(watch);
    assert_eq!(Arc::strong_count(&material), 1, "the watch went on after it was dropped");
}
