//! Secrets as engines mount them into containers: root's, to be read by all, on a read-only memory file system, by links.

use std::process::{Command, Output};

use super::Place;

/// `doorward check` on files below `secrets/`, where a shell has mounted something first. Needs root.
fn check(place: &Place, mode: &str, options: &str) -> Option<Output> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let certificate = rcgen::generate_simple_self_signed(vec!["gate.example".to_owned()]).unwrap();
    let pem = certificate.cert.pem() + &certificate.signing_key.serialize_pem();
    std::fs::create_dir(place.path("secrets")).unwrap();
    place.write("server.pem", &pem);
    // As Kubernetes does: the name leads through a link to a folder with a date.
    let script = format!(
        "mount -t tmpfs -o mode=0755 none secrets && mkdir secrets/..1 && ln -s ..1 secrets/..data &&
        for name in server.pem users; do
            cp $name secrets/..1/$name && chmod {mode} secrets/..1/$name && ln -s ..data/$name secrets/$name || exit 9
        done; mount -o remount,{options} secrets && exec \"$@\""
    );
    let gateway =
        place.check(&["--certfile", "secrets/server.pem", "--users", "secrets/users", "--use-login"]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]);
    command.arg(gateway.get_program()).args(gateway.get_args());
    command.env("HOME", place.path("")).current_dir(place.path(""));
    Some(command.output().unwrap())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn w12_what_an_engine_mounts_may_be_read_by_all() {
    if let Some(output) = check(&Place::new(), "0444", "ro") {
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn w12_what_can_be_written_or_is_no_mounted_secret_is_as_before() {
    for (mode, options) in [("0444", "rw"), ("0666", "ro"), ("0644", "rw")] {
        if let Some(output) = check(&Place::new(), mode, options) {
            let said = said(&output);
            assert!(!output.status.success(), "{mode} {options}: {said}");
            assert!(said.contains("server.pem") && said.contains("users"), "both are named: {said}");
        }
    }
}
