//! The PAM broker: is it there, whom does it run as, and does it take part?

use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

use super::finding::Finding;
use super::identity::{Blocked, Identity, WRITE};
use super::writes::Mounts;
use crate::config::{PamSettings, Settings};
use crate::pam::PamClient;

/// Where the broker of these settings listens.
#[must_use]
pub fn socket_of(settings: &Settings, pam: &PamSettings) -> PathBuf {
    pam.socket.clone().unwrap_or_else(|| settings.runtime.join("pam.sock"))
}

/// Whom the broker runs as: the running one if it can be asked. Else, with a broker that `serve` starts, who runs this;
/// and with one that runs on its own, root, as its unit says.
pub(super) fn identity(settings: &Settings, pam: &PamSettings) -> Option<Identity> {
    if let Some(running) = running(settings, pam) {
        return Some(running);
    }
    let own = Identity::of_this_process()?;
    if own.uid != 0 && pam.socket.is_some() {
        let what = "the broker, taken to be root,".to_owned();
        return Some(Identity { what, uid: 0, gid: 0, groups: Vec::new(), capabilities: u64::MAX });
    }
    let what = if own.uid == 0 { "the broker, run by root," } else { "the broker, run by this user," };
    Some(Identity { what: what.to_owned(), ..own })
}

fn running(settings: &Settings, pam: &PamSettings) -> Option<Identity> {
    Identity::of_process("the running broker", process(settings, pam)?)
}

/// What the running broker sees mounted; `None` if none runs, or it cannot be looked at.
pub(super) fn mounts(settings: &Settings, pam: &PamSettings) -> Option<Mounts> {
    Mounts::of_process(process(settings, pam)?)
}

/// The kernel tells who made a socket listen: the broker, or the launcher, which runs as the same user.
fn process(settings: &Settings, pam: &PamSettings) -> Option<i32> {
    let stream = UnixStream::connect(socket_of(settings, pam)).ok()?;
    Some(getsockopt(&stream, PeerCredentials).ok()?.pid())
}

/// Asks the broker whether it is there.
pub(super) async fn examine(settings: &Settings, pam: &PamSettings, gateway: &Identity) -> Vec<Finding> {
    let id = "pam.broker";
    let socket = socket_of(settings, pam);
    let name = socket.display();
    let is_elsewhere = pam.socket.is_some();
    let mut findings = Vec::new();
    if is_elsewhere && let Err(blocked @ Blocked::Mode(..)) = gateway.reaches(&socket, WRITE) {
        let text = format!("{} may not open the broker's socket: {blocked}", gateway.what);
        findings.push(Finding::problem(
            id,
            text,
            "start the broker with --group and --allow-uid of the gateway's user",
        ));
    }
    findings.push(match tokio::net::UnixStream::connect(&socket).await {
        Ok(_) => match PamClient::new(socket.clone(), pam).ping().await {
            Ok(()) => Finding::ok(id, format!("the broker at {name} answers")),
            Err(error) => {
                let text =
                    format!("the broker at {name} takes connections and does not answer this user: {error}");
                Finding::problem(id, text, "see its log; if it refused this user, start it with --allow-uid")
            }
        },
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Finding::unchecked(
            id,
            format!("the broker's socket {name} is not open to this user; run as root to check it"),
        ),
        Err(error) if is_elsewhere => {
            let text = format!("the broker cannot be reached at {name}: {error}");
            Finding::problem(
                id,
                text,
                "systemctl start doorward-pam, or leave --pam-socket away so that serve starts one",
            )
        }
        Err(_) => Finding::ok(id, "no broker runs now; 'doorward serve' starts one"),
    });
    findings
}
