//! A large stream in both directions at once, with the gateway's memory flat.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::cli::{Cli, Way, client_ways, gateway_ways};
use crate::support::gateway::Gateway;
use crate::support::process::{self, DEADLINE};
use crate::support::scope::Scope;
use crate::support::{engine, sockets, tunnel};

/// How much the gateway may grow while the stream runs: its buffers, never the stream.
const GROWTH_KIB: u64 = 64 * 1024;

#[test]
fn gf3_a_gibibyte_there_and_back_is_unchanged_and_memory_stays_flat() {
    let size = std::env::var("DOORWARD_E2E_BULK_MIB").unwrap_or_else(|_| "1024".to_owned());
    let mib: u64 = size.parse().expect("DOORWARD_E2E_BULK_MIB is a number of MiB");
    let scope = Scope::new();
    let name = scope.idle();
    let (warm_up, bulk) = (noise(&scope, "warm-up", 16), noise(&scope, "bulk", mib));
    let (warm_sum, sum) = (sum_of(&warm_up), sum_of(&bulk));
    assert_eq!(there_and_back(&engine::bare(), &name, &warm_up), warm_sum);
    for way in gateway_ways() {
        let gateway = Gateway::start(way, &engine::url());
        let docker = Cli::through(&gateway);
        assert_eq!(there_and_back(&docker, &name, &warm_up), warm_sum, "{way:?}");
        let before = sockets::resident_kib(&gateway.processes());
        let (result, highest) = watching(&|| gateway.processes(), || there_and_back(&docker, &name, &bulk));
        assert_eq!(result, sum, "{way:?}");
        assert!(before > 0 && highest < before + GROWTH_KIB, "{way:?}: {before} KiB grew to {highest} KiB");
    }
    if client_ways().contains(&Way::Tunnel) {
        let tunnel = tunnel::shared();
        let docker = Cli::local(tunnel);
        assert_eq!(there_and_back(&docker, &name, &warm_up), warm_sum, "tunnel");
        let before = sockets::resident_kib(&tunnel.processes());
        let (result, highest) = watching(&|| tunnel.processes(), || there_and_back(&docker, &name, &bulk));
        assert_eq!(result, sum, "tunnel");
        assert!(before > 0 && highest < before + GROWTH_KIB, "tunnel: {before} KiB grew to {highest} KiB");
    }
}

/// Sends a file through `cat` in a container and returns the sum of what comes back.
fn there_and_back(docker: &Cli, container: &str, file: &Path) -> String {
    let mut command = docker.command(&["exec", "-i", container, "cat"]);
    command.stdin(File::open(file).expect("the file")).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the docker client");
    let output = child.stdout.take().expect("a pipe");
    let sum = Command::new("sha256sum").stdin(output).output().expect("sha256sum");
    assert_eq!(process::wait(&mut child, DEADLINE), Some(0), "{docker}");
    String::from_utf8_lossy(&sum.stdout).split_whitespace().next().expect("a sum").to_owned()
}

/// Does `work` and returns the most memory that these processes held meanwhile.
fn watching<T>(processes: &(impl Fn() -> Vec<u32> + Sync), work: impl FnOnce() -> T) -> (T, u64) {
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let watcher = threads.spawn(|| {
            let mut highest = 0;
            while !done.load(Ordering::Relaxed) {
                highest = highest.max(sockets::resident_kib(&processes()));
                std::thread::sleep(Duration::from_millis(100));
            }
            highest
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        (result, watcher.join().expect("the watcher"))
    })
}

/// A file that does not compress.
fn noise(scope: &Scope, what: &str, mib: u64) -> PathBuf {
    let file = scope.file(what);
    let script = "openssl enc -aes-128-ctr -nosalt -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c \"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", &format!("{}", mib << 20)]);
    let status = command.stdout(File::create(&file).expect("scratch folder")).status().expect("sh");
    assert!(status.success());
    file
}

fn sum_of(file: &Path) -> String {
    let mut command = Command::new("sha256sum");
    command.arg(file);
    process::run(command).ok().text().split_whitespace().next().expect("a sum").to_owned()
}
