//! The images of `docker/*/`, built by the commands of their READMEs and logged into against real directories: slapd,
//! an MIT KDC and a Samba domain controller, each in a container.

mod active_directory;
mod codes;
mod kerberos;
mod ldap;

use std::process::Command;

use crate::browser::python;
use crate::support::derived::{ACTIVE_DIRECTORY, Derived, KERBEROS, LDAP, OTP};
use crate::support::image::{self, UP};
use crate::support::scope::Scope;
use crate::support::{engine, process, wait};

/// Has Chromium try a wrong password and then the right one.
fn browse(port: u16, user: &str, password: &str) {
    let mut command = Command::new(python());
    command.arg(engine::tree().join("tests/e2e/browser/directory.py"));
    command.arg(format!("https://localhost:{port}")).args([user, password]);
    command.arg(engine::tree().join("target/screenshots"));
    let result = process::run(command);
    assert_eq!(result.code, 0, "{}\n{}", result.stdout, result.stderr);
}

#[test]
fn gh6_every_entry_point_becomes_the_gateway_with_the_arguments_as_they_were_given() {
    let scope = Scope::new();
    let keytab = format!("{}:/run/secrets/krb5-keytab:ro", scope.secret("keytab", "x").display());
    let images: [(&Derived, &[&str]); 4] = [
        (&LDAP, &["-e", "LDAP_URI=ldap://127.0.0.1", "-e", "LDAP_BASE=dc=test"]),
        (&KERBEROS, &["-e", "KRB5_REALM=TEST.LAN", "-v", &keytab]),
        (&ACTIVE_DIRECTORY, &["-e", "AD_REALM=AD.TEST.LAN", "-e", "AD_DOMAIN=ADTEST"]),
        (&OTP, &["-e", "LDAP_URI=ldaps://127.0.0.1", "-e", "LDAP_BASE=dc=test"]),
    ];
    let odd =
        ["--state", "/var/lib/doorward/a b'\"$(id)*", "--assume-secure", "--use-login", "--listen", ":8100"];
    for (number, (derived, options)) in images.into_iter().enumerate() {
        let (name, label) = (scope.name(&format!("words-{number}")), scope.label());
        let mut args = vec!["run", "-d", "--name", &name, "--label", &label];
        args.extend(options);
        args.push(derived.image());
        args.extend(odd);
        engine::bare().run(&args).ok();
        let seen = wait::until("the gateway to be the first process", UP, || {
            assert_eq!(image::state(&name, "Running"), "true", "{:?}", engine::bare().run(&["logs", &name]));
            let words = engine::bare().run(&["exec", &name, "cat", "/proc/1/cmdline"]).stdout;
            words.starts_with("doorward\0").then_some(words)
        });
        let words: Vec<&str> = seen.trim_end_matches('\0').split('\0').collect();
        assert_eq!(words, [&["doorward", "serve"], &odd[..]].concat());
    }
}
