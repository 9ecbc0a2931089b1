//! The container image, run by the lines that the README gives.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::cli::Cli;
use crate::support::gateway::{self, PASSWORD};
use crate::support::http::{self, Target};
use crate::support::image::{self, UP};
use crate::support::scope::Scope;
use crate::support::{engine, sockets, tls, wait};

/// The port of the gateway inside.
const INSIDE: u16 = 8100;

#[test]
fn gb7_the_documented_lines_give_a_gateway_whose_new_user_logs_in_at_once() {
    let scope = Scope::new();
    let (name, port) = run(&scope, &[], &["--autocert", "*", "--use-login"]);
    image::await_ready(&name, &Target::Unverified(port));
    let certificate = certificate_of(&scope, &name);
    let target = Target::Port(port, Some(certificate.clone()));

    let refused = http::login(&target, "bob", PASSWORD);
    assert_eq!(refused.expect_err("a new container has no user").status, 401);
    engine::bare().run(&["exec", &name, "useradd", "bob"]).ok();
    let typed = image::dialogue(
        &[("password:", PASSWORD), ("password:", PASSWORD)],
        &["exec", "-ti", &name, "passwd", "bob"],
    );
    assert_eq!(typed.code, 0, "{typed:?}");
    let token = http::login(&target, "bob", PASSWORD).expect("bob logs in");

    let config = scope.file("docker");
    http::write_docker_config(&config, &token);
    let docker = Cli::at(port, Some(&certificate)).with_config(&config);
    let result = docker.run(&["run", "--rm", "--label", &scope.label(), engine::IMAGE, "echo", "hi"]);
    assert_eq!((result.code, result.stdout.as_str()), (0, "hi\n"), "{result:?}");

    assert_privileges(&name);
    wait::until_true("the container to be healthy", UP, || image::state(&name, "Health.Status") == "healthy");
    engine::bare().run(&["stop", "--time", "15", &name]).ok();
    assert_eq!(image::state(&name, "ExitCode"), "0", "{:?}", engine::bare().run(&["logs", &name]));
}

#[test]
fn ga3_a_mounted_certificate_is_found_by_a_dot() {
    let scope = Scope::new();
    let pem = tls::certificate_with_key(&scope);
    fs::set_permissions(&pem, Permissions::from_mode(0o600)).expect("a private key of one's own");
    let mount = format!("{}:/etc/doorward/server.pem:ro", pem.display());
    let (name, port) = run(&scope, &["-v", &mount], &["--certfile", ".", "--use-login"]);
    image::await_ready(&name, &Target::Unverified(port));
    let answer = http::send(&Target::Port(port, Some(pem)), "/_doorward/healthz", &[])
        .expect("the mounted certificate");
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn ga1_login_without_a_secure_mode_does_not_start() {
    let scope = Scope::new();
    let mount = image::socket_mount();
    let result = engine::bare().run(&[
        "run",
        "--rm",
        "--label",
        &scope.label(),
        "-v",
        &mount,
        image::built(),
        "--use-login",
    ]);
    assert!(result.code != 0, "{result:?}");
    for option in ["--autocert", "--certfile", "--assume-secure"] {
        assert!(
            result.stderr.contains(option.trim_start_matches('-')),
            "{option} is not named in {result:?}"
        );
    }
}

#[test]
fn the_doctor_knows_a_container_that_is_well_from_one_that_is_not() {
    let scope = Scope::new();
    let settings = ["--autocert", "gate.example", "--use-login"];
    let (name, port) = run(&scope, &[], &settings);
    image::await_ready(&name, &Target::Unverified(port));
    let words = [&["exec", &name, "doorward", "doctor", "--name", "gate.example"], &settings[..]].concat();
    let well = engine::bare().run(&words).ok();
    for line in [
        "the broker at /run/doorward/pam.sock answers",
        "the running broker can read /etc/shadow",
        "0 problems",
    ] {
        assert!(well.stdout.contains(line), "{line} not in {well:?}");
    }
    engine::bare().run(&["exec", &name, "chmod", "0000", "/etc/shadow"]).ok();
    engine::bare().run(&["exec", &name, "sh", "-c", "sed -i /account/d /etc/pam.d/doorward"]).ok();
    let ill = engine::bare().run(&words);
    assert_eq!(ill.code, 4, "{ill:?}");
    assert!(ill.stdout.contains("/etc/pam.d/doorward has no account line"), "{ill:?}");

    // As an ordinary user, without the engine's group, and without the capability that opens a shadow file of mode 0000.
    let (mount, label) = (image::socket_mount(), scope.label());
    let plain = |user: &str, group: &[&str], command: &str| {
        let start =
            ["run", "--rm", "--label", &label, "-v", &mount, "--user", user, "--cap-drop", "DAC_OVERRIDE"];
        let end = ["--entrypoint", "sh", image::built(), "-c", command];
        engine::bare().run(&[&start[..], group, &end[..]].concat())
    };
    let doctor = "doorward doctor --autocert a --use-login --state /tmp/s --runtime-dir /tmp/r";
    let outside = plain("65534", &[], doctor);
    assert_eq!(outside.code, 4, "{outside:?}");
    // Of the two groups that are missing, the engine's.
    let fix = outside.stdout.split("doorward), --group-add ").nth(1).and_then(|rest| rest.split(' ').next());
    let group = fix.unwrap_or_else(|| panic!("no group is named in {outside:?}")).to_owned();
    assert!(outside.stdout.contains("not in that group, so pam_unix"), "{outside:?}");
    let inside = plain("65534", &["--group-add", &group], doctor);
    assert!(inside.stdout.contains("this user may open /var/run/docker.sock"), "{inside:?}");
    let shut = plain("0", &[], &format!("chmod 0000 /etc/shadow; {doctor}"));
    assert!(
        shut.stdout.contains("mode 0000") && shut.stdout.contains("--cap-add DAC_READ_SEARCH"),
        "{shut:?}"
    );
}

#[test]
fn w12_a_container_that_lacks_capabilities_names_them_and_stops_all_the_same() {
    let scope = Scope::new();
    let settings = ["--autocert", "gate.example", "--use-login"];
    let (name, port) = run(&scope, &["--cap-drop", "KILL"], &settings);
    image::await_ready(&name, &Target::Unverified(port));
    let log = engine::bare().run(&["logs", &name]).ok();
    assert!(log.stderr.contains("root lacks CAP_KILL here"), "{log:?}");
    assert!(!log.stderr.contains("CAP_CHOWN"), "{log:?}");
    // Docker kills what has not ended by then, and its status would be 137.
    engine::bare().run(&["stop", "--time", "60", &name]).ok();
    let state = engine::bare().run(&["inspect", "-f", "{{.State.ExitCode}}", &name]).ok();
    assert_eq!(state.stdout.trim(), "0", "{state:?}");

    let (mount, label) = (image::socket_mount(), scope.label());
    let start = ["run", "--rm", "--label", &label, "-v", &mount, "--cap-drop", "SETUID", image::built()];
    let refused = engine::bare().run(&[&start[..], &settings].concat());
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.stderr.contains("root lacks CAP_SETUID here"), "{refused:?}");
    assert!(refused.stderr.contains("--cap-add SETUID"), "{refused:?}");
}

/// `docker run` as documented, on a free port of the host.
fn run(scope: &Scope, options: &[&str], arguments: &[&str]) -> (String, u16) {
    let (name, port, mount) = (scope.name("gateway"), gateway::free_port(), image::socket_mount());
    let (publish, label) = (format!("{port}:{INSIDE}"), scope.label());
    let mut args = vec!["run", "-d", "-p", &publish, "--name", &name, "--label", &label, "-v", &mount];
    args.extend(options);
    args.push(image::built());
    args.extend(arguments);
    engine::bare().run(&args).ok();
    (name, port)
}

/// Fetches the certificate that the gateway made, as a careful operator would: out of the container, not off the wire.
fn certificate_of(scope: &Scope, container: &str) -> PathBuf {
    let file = scope.file("cert.pem");
    let inside = format!("{container}:/var/lib/doorward/autocert/cert.pem");
    engine::bare().run(&["cp", &inside, &file.display().to_string()]).ok();
    file
}

/// D3: whoever holds the port is not root, and whoever is root has no network socket.
fn assert_privileges(container: &str) {
    let processes = image::processes(container);
    let holders: Vec<u32> = processes
        .iter()
        .copied()
        .filter(|pid| !sockets::listening_on(*pid, INSIDE).is_disjoint(&sockets::socket_inodes(&[*pid])))
        .collect();
    assert!(!holders.is_empty(), "nobody of {processes:?} holds the port");
    for pid in holders {
        assert_ne!(sockets::effective_uid(pid), Some(0), "process {pid} faces the network as root");
    }
}
