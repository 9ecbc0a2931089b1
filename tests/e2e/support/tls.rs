//! Certificates of the operator's own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::process;
use super::scope::Scope;

/// A self-signed certificate for loopback with its key in one PEM file, key first.
pub(crate) fn certificate_with_key(scope: &Scope) -> PathBuf {
    let part = |name: &str| scope.file(name);
    let (key, certificate, both) = (part("key.pem"), part("certificate.pem"), part("server.pem"));
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "30",
    ]);
    command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    command.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    process::run(command).ok();
    let text = [key, certificate].map(|file| fs::read_to_string(file).expect("openssl wrote it")).concat();
    fs::write(&both, text).expect("scratch folder");
    both
}
