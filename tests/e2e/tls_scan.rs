//! testssl.sh (Debian package `testssl.sh`) looks at the gateway's TLS.

use std::fs;
use std::process::Command;

use crate::support::gateway::free_port;
use crate::support::lone::{Folder, Lone};
use crate::support::process;

/// What a self-signed certificate brings, and nothing else does.
const OF_SELF_SIGNING: &[&str] = &["cert_chain_of_trust", "cert_revocation"];

#[test]
fn a_scan_finds_nothing_worse_than_low_but_what_self_signing_brings() {
    let scratch = Folder::new("tls-scan");
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let _gateway =
        Lone::start(&scratch.file("gateway"), &["--autocert", "localhost,127.0.0.1", "--listen", &listen]);
    let findings = scan(&scratch, &format!("https://127.0.0.1:{port}/_doorward/login"));
    // It has really looked.
    for (id, severity) in [
        ("heartbleed", "OK"),
        ("secure_renego", "OK"),
        ("secure_client_renego", "OK"),
        ("SSLv3", "OK"),
        ("TLS1_3", "OK"),
        ("cipher_order", "OK"),
    ] {
        let found = findings.iter().find(|finding| finding["id"] == id);
        assert_eq!(found.map(|finding| &finding["severity"]), Some(&severity.into()), "{id}: {findings:#?}");
    }
    let bad: Vec<_> = findings
        .iter()
        .filter(|finding| {
            ["MEDIUM", "HIGH", "CRITICAL", "FATAL"].iter().any(|bad| finding["severity"] == *bad)
        })
        .filter(|finding| !OF_SELF_SIGNING.iter().any(|id| finding["id"] == *id))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

fn scan(scratch: &Folder, url: &str) -> Vec<serde_json::Value> {
    let file = scratch.file("findings.json");
    let mut command = Command::new("testssl");
    command.args(["--quiet", "--color", "0", "--warnings", "batch", "--jsonfile"]).arg(&file);
    // Protocols, ciphers, forward secrecy, order, server defaults, headers, vulnerabilities. Left out: what other clients
    // would agree on.
    command.args(["-p", "-s", "-f", "-P", "-S", "-h", "-U", url]);
    let result = process::run(command);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{error}: {result:?}"));
    serde_json::from_str(&text).expect("a list of findings")
}
