//! The gateway as a swarm service with its certificate in a secret.

use std::path::Path;

use crate::support::engine;
use crate::support::gateway::{self, PASSWORD};
use crate::support::http::{self, Target};
use crate::support::image::{self, UP};
use crate::support::scope::Scope;
use crate::support::{tls, wait};

#[test]
fn gh3_ga3_w17_a_service_takes_its_certificate_from_a_secret_and_keeps_users_and_logins_over_an_update() {
    let _swarm = Swarm::join();
    let scope = Scope::new();
    let pem = tls::certificate_with_key(&scope);
    let (service, port) = (Service::create(&scope, &pem), gateway::free_port());
    service.add_user("bob");
    service.run(port);
    let task = wait::until("a task of the service", UP, || service.task());
    image::await_ready(&task, &Target::Unverified(port));
    let target = Target::Port(port, Some(pem));
    // Only the certificate in the secret is trusted here.
    let ready = http::send(&target, "/_doorward/healthz", &[]).expect("the certificate of the secret");
    assert_eq!(ready.status, 200, "{ready:?}");
    let token = http::login(&target, "bob", PASSWORD).expect("bob logs in");
    let passes = || {
        let header = format!("Authorization: Bearer {token}");
        http::send(&target, "/version", &["-H", &header]).map(|answer| answer.status)
    };
    assert_eq!(passes(), Some(200));
    // An update replaces the container; the port is free before the next one takes it.
    engine::bare().run(&["service", "update", "--force", "--detach", "--quiet", &service.name]).ok();
    let next =
        wait::until("another task of the service", UP, || service.task().filter(|other| *other != task));
    image::await_ready(&next, &target);
    assert_eq!(passes(), Some(200), "w17: a login from before the update");
    http::login(&target, "bob", PASSWORD).expect("w17: bob is known after the update");
}

/// Where the service's users are.
const USERS: &str = "/etc/doorward/users/users.toml";

/// Membership in a swarm; one that was there before is left alone.
struct Swarm {
    ours: bool,
}

impl Swarm {
    fn join() -> Self {
        let docker = engine::bare();
        let state = docker.run(&["info", "--format", "{{.Swarm.LocalNodeState}}"]).ok();
        let ours = state.text() == "inactive";
        if ours {
            let address = ["--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377"];
            docker.run(&[&["swarm", "init"], address.as_slice()].concat()).ok();
        }
        Self { ours }
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        if self.ours {
            engine::bare().run(&["swarm", "leave", "--force"]);
        }
    }
}

/// A service and its secret.
struct Service {
    name: String,
    secret: String,
    label: String,
}

impl Service {
    fn create(scope: &Scope, pem: &Path) -> Self {
        let (name, secret) = (scope.name("service"), scope.name("secret"));
        engine::bare().run(&["secret", "create", &secret, &pem.display().to_string()]).ok();
        Self { name, secret, label: scope.label() }
    }

    /// As docker/README.md says, before there is a service.
    fn add_user(&self, name: &str) {
        let volume = format!("{}-users:/etc/doorward/users", self.name);
        let args = ["run", "--rm", "-i", "-v", &volume, "--label", &self.label, "--entrypoint", "doorward"];
        let users = ["users", "--users", USERS, "add", name, "--password-stdin"];
        let typed = format!("{PASSWORD}\n");
        engine::bare()
            .run_with_input(&[&args[..], &[image::built()], &users].concat(), typed.as_bytes())
            .ok();
    }

    fn run(&self, port: u16) {
        let volume =
            |kind: &str, path: &str| format!("type=volume,source={}-{kind},destination={path}", self.name);
        let (state, users) = (volume("state", "/var/lib/doorward"), volume("users", "/etc/doorward/users"));
        let secret_source = format!("source={},mode=0400", self.secret);
        let mount =
            format!("type=bind,source={},destination=/var/run/docker.sock", engine::socket().display());
        let publish = format!("mode=host,target=8100,published={port}");
        let args = [
            "service",
            "create",
            "--name",
            &self.name,
            "--constraint",
            "node.role == manager",
            "--mount",
            &mount,
            "--mount",
            &state,
            "--mount",
            &users,
            "--update-order",
            "stop-first",
        ];
        let secret = ["--publish", &publish, "--secret", &secret_source, "--container-label", &self.label];
        // No virtual address and no registry: the tests' kernel and network have neither.
        let local = ["--endpoint-mode", "dnsrr", "--no-resolve-image", "--detach", image::built()];
        let options = ["--certfile", ".", "--use-login", "--client-ca", "own", "--users", USERS];
        engine::bare().run(&[&args[..], &secret, &local, &options].concat()).ok();
    }

    /// The running container of the service.
    fn task(&self) -> Option<String> {
        let filter = format!("label=com.docker.swarm.service.name={}", self.name);
        let listed =
            engine::bare().run(&["ps", "-q", "--filter", &filter, "--filter", "status=running"]).ok();
        listed.stdout.lines().next().map(str::to_owned)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let docker = engine::bare();
        docker.run(&["service", "rm", &self.name]);
        docker.run(&["secret", "rm", &self.secret]);
        for kind in ["state", "users"] {
            let volume = format!("{}-{kind}", self.name);
            // It is in use until the last task has gone.
            wait::until("the volume to be free", UP, || {
                (docker.run(&["volume", "rm", "--force", &volume]).code == 0).then_some(())
            });
        }
    }
}
