//! The PAM broker: is it there, whom does it run as, and does it take part?

use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

use super::finding::Finding;
use super::identity::{Blocked, Identity, WRITE};
use crate::config::{PamSettings, Settings};
use crate::pam::PamClient;

/// Where the broker of these settings listens.
#[must_use]
pub fn socket_of(settings: &Settings, pam: &PamSettings) -> PathBuf {
    pam.socket.clone().unwrap_or_else(|| settings.runtime.join("pam.sock"))
}

/// Whom the broker runs as: the running one if it can be asked, else who runs this, as `serve` would.
pub(super) fn identity(settings: &Settings, pam: &PamSettings) -> Option<Identity> {
    running(settings, pam).or_else(|| {
        let own = Identity::of_this_process()?;
        let what = if own.uid == 0 {
            "the broker, started as root".to_owned()
        } else {
            "the broker, started as this user".to_owned()
        };
        Some(Identity { what, ..own })
    })
}

/// The kernel tells who made a socket listen: the broker, or the launcher, which runs as the same user.
fn running(settings: &Settings, pam: &PamSettings) -> Option<Identity> {
    let stream = UnixStream::connect(socket_of(settings, pam)).ok()?;
    let peer = getsockopt(&stream, PeerCredentials).ok()?;
    Identity::of_process("the running broker", peer.pid())
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
