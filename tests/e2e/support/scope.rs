//! Names and labels of one test's containers and images, and their removal.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use super::cli::Cli;
use super::engine;

/// Label that every container of the suite carries; its value is `PID-N`.
const LABEL: &str = "doorward.e2e";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Owner of a test's containers and images: they go when it goes.
pub(crate) struct Scope {
    id: String,
}

impl Scope {
    pub(crate) fn new() -> Self {
        let id = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { id }
    }

    /// A name for a container or image of this scope.
    pub(crate) fn name(&self, what: &str) -> String {
        format!("dwe2e-{}-{what}", self.id)
    }

    /// `LABEL=VALUE`, for `--label`.
    pub(crate) fn label(&self) -> String {
        format!("{LABEL}={}", self.id)
    }

    /// `label=LABEL=VALUE`, for `--filter`.
    pub(crate) fn filter(&self) -> String {
        format!("label={}", self.label())
    }

    /// `text` without what differs from scope to scope.
    pub(crate) fn neutral(&self, text: &str) -> String {
        text.replace(&self.id, "SCOPE")
    }

    /// Starts a container of the test image behind the gateway's back and returns its name.
    pub(crate) fn container(&self, what: &str, options: &[&str], command: &[&str]) -> String {
        let (name, label) = (self.name(what), self.label());
        let mut args = vec![
            "run",
            "-d",
            "--name",
            &name,
            "--label",
            &label,
            "--stop-timeout",
            "0",
        ];
        args.extend(options);
        args.push(engine::IMAGE);
        args.extend(command);
        engine::bare().run(&args).ok();
        name
    }

    /// A container that does nothing until it is killed, to exec into.
    pub(crate) fn idle(&self) -> String {
        self.container("idle", &["--init"], &["sleep", "100000"])
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let docker = engine::bare();
        remove_containers(&docker, &self.filter());
        remove_images(&docker, &format!("dwe2e-{}-*", self.id));
    }
}

/// Removes what a run left behind whose process is gone.
pub(crate) fn sweep(docker: &Cli) {
    let format = format!("{{{{.Label \"{LABEL}\"}}}}");
    let listed = docker
        .run(&[
            "ps",
            "-a",
            "--filter",
            &format!("label={LABEL}"),
            "--format",
            &format,
        ])
        .ok();
    for id in listed.stdout.lines() {
        let pid = id.split('-').next().unwrap_or_default();
        if !Path::new("/proc").join(pid).exists() {
            remove_containers(docker, &format!("label={LABEL}={id}"));
            remove_images(docker, &format!("dwe2e-{id}-*"));
        }
    }
}

fn remove_containers(docker: &Cli, filter: &str) {
    remove(docker, &["ps", "-aq", "--filter", filter], &["rm", "-f", "-v"]);
}

fn remove_images(docker: &Cli, name: &str) {
    let filter = format!("reference={name}");
    remove(docker, &["images", "-q", "--filter", &filter], &["rmi", "-f"]);
}

/// Never panics: it runs while a failed test unwinds.
fn remove(docker: &Cli, list: &[&str], removal: &[&str]) {
    let listed = docker.run(list).stdout;
    if !listed.trim().is_empty() {
        docker.run(
            &removal
                .iter()
                .copied()
                .chain(listed.split_whitespace())
                .collect::<Vec<_>>(),
        );
    }
}
