//! What would open the gate wide: refused at start, and by `doorward check`, with the option, file and line.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

use super::{Place, accepted, outcome, refused};

#[test]
fn i14_no_variable_opens_the_gate() {
    let place = Place::new();
    let second = "DOORWARD_NO_LOGIN_ON_ALL_ADDRESSES";
    for (variables, arguments) in [
        (&["DOORWARD_NO_LOGIN"][..], &[][..]),
        (&["DOORWARD_NO_LOGIN", second], &[]),
        (&["DOORWARD_NO_LOGIN"], &["--listen", "127.0.0.1:1"]),
        (&["DOORWARD_NO_LOGIN"], &["--no-login-on-all-addresses"]),
        (&[second], &["--no-login"]),
    ] {
        for command in ["check", "serve"] {
            let mut command = place.settings(command, arguments);
            command.envs(variables.iter().map(|name| (name, "true")));
            let (code, _, stderr) = outcome(&mut command);
            assert_eq!(code, Some(78), "{variables:?} {arguments:?}: {stderr}");
            assert!(stderr.contains("a variable alone does not open the gate"), "{stderr}");
            assert!(stderr.contains(&format!("({})", variables.last().unwrap())), "{stderr}");
        }
    }
    // One that says no opens nothing, and a word on the command line counts before it.
    let mut command = place.check(&["--no-login", "--listen", "127.0.0.1:1"]);
    accepted(command.env("DOORWARD_NO_LOGIN", "false"));
}

#[test]
fn i14_what_opens_the_gate_wide_is_named_with_file_and_line() {
    let place = Place::new();
    for (text, expected) in [
        (
            "no-login = true\n",
            "wide.toml:1: no-login: lets in everybody who reaches any address of this host",
        ),
        (
            "use-login = true\nassume-secure = true\nusers = 'users'\ntrusted-proxy = ['0.0.0.0/1', '128.0.0.0/1']\n",
            "wide.toml:4: trusted-proxy: holds more of the Internet",
        ),
        (
            "use-login = true\nassume-secure = true\nusers = 'users'\ntoken-lifetime = '3650d'\n",
            "wide.toml:4: token-lifetime: is longer than 366d",
        ),
    ] {
        place.write("wide.toml", text);
        for command in ["check", "serve"] {
            let (code, _, stderr) = outcome(&mut place.settings(command, &["--config", "wide.toml"]));
            assert_eq!(code, Some(78), "{stderr}");
            assert!(stderr.contains(expected), "{stderr}");
        }
    }
    place.write("wide.toml", "no-login = true\nno-login-on-all-addresses = true\n");
    accepted(&mut place.check(&["--config", "wide.toml"]));
}

/// Private keys and other secrets that an option names, and what is believed.
#[test]
fn i14_files_of_secrets_that_others_may_read_are_refused_by_check_and_at_start() {
    let place = Place::new();
    let both = place.certfile("both.pem");
    let text = std::fs::read_to_string(&both).unwrap();
    let at = text.find("-----BEGIN CERTIFICATE").unwrap();
    place.write("key.pem", &text[..at]);
    place.write("cert.pem", &text[at..]);
    place.write("eab.key", "c2VjcmV0");
    let engine = ["--engine", "https://127.0.0.1:1", "--engine-cert", "cert.pem", "--engine-key", "key.pem"];
    let engine = [&["--no-login", "--listen", "127.0.0.1:0"], &engine[..]].concat();
    let acme =
        ["--acme", "a.example", "--acme-eab-kid", "k", "--acme-eab-key", "eab.key", "--users", "users"];
    let acme = [&["--use-login"], &acme[..]].concat();
    let tls = ["--use-login", "--users", "users", "--certfile", "both.pem"];
    let ca = [&engine[..], &["--engine-ca", "cert.pem"]].concat();
    for (file, option, arguments, modes) in [
        ("key.pem", "--engine-key: ", &engine[..], &[0o644, 0o604, 0o620, 0o606][..]),
        ("eab.key", "--acme-eab-key: ", &acme, &[0o644, 0o660]),
        ("both.pem", "--certfile: ", &tls, &[0o644, 0o660]),
        ("users", "--users: ", &tls, &[0o644, 0o660]),
        ("cert.pem", "--engine-ca: ", &ca, &[0o666, 0o602]),
        ("cert.pem", "--engine-cert: ", &engine, &[0o666]),
    ] {
        let path = place.path(file);
        for mode in modes {
            set_permissions(&path, Permissions::from_mode(*mode)).unwrap();
            let stderr = refused(&mut place.check(arguments));
            assert!(stderr.contains(option) && stderr.contains("chmod "), "{file} {mode:o}: {stderr}");
            assert!(stderr.contains(file), "{file} {mode:o}: {stderr}");
            let (code, _, stderr) = outcome(&mut place.settings("serve", arguments));
            assert!(code != Some(0) && stderr.contains(file), "{file} {mode:o}: {code:?} {stderr}");
        }
        // Root's own, and the gateway's group may read it.
        set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let (_, _, stderr) = outcome(&mut place.check(arguments));
        assert!(!stderr.contains(option), "{file}: {stderr}");
    }
}

/// A public certificate is not a proof of who somebody is here.
#[test]
fn i14_a_bundle_of_public_cas_is_no_clients_ca_unless_only_the_mapping_file_counts() {
    let place = Place::new();
    let roots: Vec<String> = (0..9)
        .map(|at| {
            let mut parameters = rcgen::CertificateParams::default();
            parameters.distinguished_name.push(rcgen::DnType::CommonName, format!("Public {at}"));
            parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
        })
        .collect();
    let system = place.write("system.pem", &roots.concat());
    place.write("bundle.pem", &roots.concat());
    place.write("few.pem", &roots[..2].concat());
    place.write("map.toml", "others = 'refuse'\n");
    let check = |arguments: &[&str]| {
        let mut command = place.check(&[&["--autocert", "a"], arguments].concat());
        command.env("SSL_CERT_FILE", &system);
        command
    };
    let stderr = refused(&mut check(&["--client-ca", "bundle.pem"]));
    assert!(stderr.contains("--client-ca: bundle.pem: 9 CAs in it issue for everybody"), "{stderr}");
    accepted(&mut check(&["--client-ca", "bundle.pem", "--cert-map", "map.toml"]));
    let stderr = accepted(&mut check(&["--client-ca", "few.pem"]));
    assert!(stderr.contains("warning: --client-ca: this host trusts CN=Public 0"), "{stderr}");
}
