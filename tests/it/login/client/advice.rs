//! What a developer reads when something is not as it should be, and what there is to type next.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use super::super::door::{BOB, Door, PROGRAM, Setup};
use super::Home;
use super::server::{Server, granted};

#[test]
fn k5_the_command_that_forgets_a_changed_key_works_as_it_is_printed() {
    let (home, server) = (Home::new(), Server::start(|_| granted()));
    server.log_in(&home, "secret horse\n", &["--no-context"]).expect(0);
    server.change_key();
    let said = home.run(&["whoami"]).expect(6).err;
    let line = said.lines().last().unwrap().trim().to_owned();
    let folder = std::path::Path::new(PROGRAM).parent().unwrap();
    let mut shell = std::process::Command::new("/bin/sh");
    shell.env_clear().env("HOME", home.path("")).env("PATH", folder).args(["-c", &line]);
    // The old key is forgotten, and nobody is there who could say that the new one is right.
    let said = Home::end(shell, "").expect(6).err;
    assert!(said.contains("on this machine only") && said.contains("--fingerprint"), "{said}");
    assert!(!said.contains("HAS CHANGED"), "{said}");
    home.is_empty();
}

#[test]
fn a_ca_that_did_not_sign_the_gateways_certificate_is_named_by_its_option() {
    let (home, door) = (Home::new(), Door::shared());
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap().cert.pem();
    let ca = home.place.write("other.pem", &other).display().to_string();
    let url = door.origin();
    let said = home.run_with("x\n", &["login", "--user", "bob", "--password-stdin", "--ca", &ca, &url]);
    let said = said.expect(6).err;
    assert!(said.contains("--ca FILE") && !said.contains("UnknownIssuer"), "{said}");
    home.is_empty();
}

#[test]
fn a_port_that_demands_a_certificate_says_where_to_log_in_instead() {
    let home = Home::new();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
    let ca = home.place.write("ca.pem", &ca).display().to_string();
    // The gateway, which has left root, reads it there.
    for (name, mode) in [("", 0o755), ("ca.pem", 0o644)] {
        std::fs::set_permissions(home.path(name), Permissions::from_mode(mode)).unwrap();
    }
    let door = Setup::usual().with(&["--client-ca", &ca, "--client-cert", "required"]).open();
    let said = home.log_in(&door, BOB, &[]).expect(1).err;
    assert!(said.contains("demands a client certificate") && said.contains("--client-cert-listen"), "{said}");
    home.is_empty();
}

#[test]
fn a_gateway_that_does_not_run_is_asked_after_by_address_and_port() {
    let home = Home::new();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("https://{address}");
    let said = home.run_with("x\n", &["login", "--user", "bob", "--password-stdin", &url]).expect(1).err;
    assert!(said.contains(&url) && said.contains("is the gateway running"), "{said}");
}

#[test]
fn folders_that_cannot_be_written_are_named_by_the_variables_that_move_them() {
    let (home, door) = (Home::new(), Door::shared());
    home.log_in(&door, BOB, &["--no-context"]).expect(0);
    let url = door.origin();
    for (variable, more) in [("DOCKER_CONFIG", &[][..]), ("DOORWARD_CONFIG_HOME", &["--ca", "ca.pem"][..])] {
        let ca = std::fs::read(door.state().join("autocert/cert.pem")).unwrap();
        home.place.write("ca.pem", &String::from_utf8(ca).unwrap());
        let arguments = [&["login", "--user", "bob", "--password-stdin", &url], more].concat();
        let mut command = home.command(&arguments);
        // Nobody makes a folder there, not even root.
        command.env(variable, "/sys/doorward");
        let said = Home::end(command, &format!("{}\n", BOB.1)).expect(1).err;
        assert!(said.contains(&format!("set {variable} to a folder")), "{said}");
    }
}
