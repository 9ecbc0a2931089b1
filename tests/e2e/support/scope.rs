//! Names and labels of one test's containers and images, and their removal.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::cli::Cli;
use super::engine;
use super::gateway::scratch;

/// Label that every container of the suite carries; its value is `PID-N`.
const LABEL: &str = "doorward.e2e";

/// What every name of the suite begins with; `PID-N-…` follows.
const PREFIX: &str = "dwe2e-";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Owner of a test's containers, images and files: they go when it goes.
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
        format!("{PREFIX}{}-{what}", self.id)
    }

    /// A path for a file or folder of this scope.
    pub(crate) fn file(&self, what: &str) -> PathBuf {
        let folder = self.folder();
        fs::create_dir_all(&folder).expect("scratch folder");
        folder.join(what)
    }

    /// A file that only root can read, as secrets must be.
    pub(crate) fn secret(&self, what: &str, text: &str) -> PathBuf {
        let path = self.file(what);
        fs::write(&path, text).expect("scratch folder");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("scratch folder");
        path
    }

    fn folder(&self) -> PathBuf {
        scratch().join(format!("test-{}", self.id))
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
        let mut args = vec!["run", "-d", "--name", &name, "--label", &label, "--stop-timeout", "0"];
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
        remove_images(&docker, &format!("{PREFIX}{}-*", self.id));
        let _ = fs::remove_dir_all(self.folder());
    }
}

/// Removes what runs left behind whose process is gone.
pub(crate) fn sweep(docker: &Cli) {
    let format = format!("{{{{.Label \"{LABEL}\"}}}}");
    let containers = ["ps", "-a", "--filter", &format!("label={LABEL}"), "--format", &format];
    for id in docker.run(&containers).stdout.lines().filter(|id| is_over(id)) {
        remove_containers(docker, &format!("label={LABEL}={id}"));
    }
    for name in images(docker, &format!("{PREFIX}*")) {
        if name.strip_prefix(PREFIX).is_some_and(is_over) {
            docker.run(&["rmi", &name]);
        }
    }
}

/// Whether `PID-…` names a process that is gone.
fn is_over(id: &str) -> bool {
    let pid = id.split('-').next().unwrap_or_default();
    pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()
}

/// Never panics: it runs while a failed test unwinds. The same holds for [`remove_images`].
fn remove_containers(docker: &Cli, filter: &str) {
    let listed = docker.run(&["ps", "-aq", "--filter", filter]).stdout;
    if !listed.trim().is_empty() {
        docker.run(&["rm", "-f", "-v"].into_iter().chain(listed.split_whitespace()).collect::<Vec<_>>());
    }
}

/// By name, never by id: an id is shared with the image that it is a tag of.
fn remove_images(docker: &Cli, pattern: &str) {
    for name in images(docker, pattern) {
        docker.run(&["rmi", &name]);
    }
}

fn images(docker: &Cli, pattern: &str) -> Vec<String> {
    let filter = format!("reference={pattern}");
    let listed = docker.run(&["images", "--filter", &filter, "--format", "{{.Repository}}:{{.Tag}}"]).stdout;
    listed.lines().map(str::to_owned).collect()
}
