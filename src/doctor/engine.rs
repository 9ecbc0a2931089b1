//! The engine: may the gateway open its socket, and does it answer?

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use http::HeaderMap;

use super::clock;
use super::finding::Finding;
use super::http::{self as client, Answer};
use super::identity::{Bits, Blocked, Identity, READ, WRITE, group_name, user_name};
use crate::config::EngineAddress;
use crate::domain::Clock;
use crate::proxy::{Connector, with_causes};

const CONNECT: Duration = Duration::from_secs(3);

/// Checks the socket for the gateway's user, then asks the engine as this one.
pub(super) async fn examine(
    engine: &EngineAddress,
    gateway: &Identity,
    is_given_its_group: bool,
    clock: &Clock,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let EngineAddress::Unix(path) = engine {
        findings.push(socket(path, gateway, is_given_its_group));
    }
    match ping(engine).await {
        Ok(answer) => findings.extend(answered(&answer, clock)),
        // What the mode keeps this user from is said already.
        Err(Failure::NotLet) => {
            let why = "the engine was not asked, because this user may not open its socket; run as root to check it";
            findings.push(Finding::unchecked("engine.answer", why));
        }
        Err(Failure::Other(text)) => findings.push(no_answer(engine, &text)),
    }
    findings
}

/// Whether the gateway's user may open the engine's socket. `is_given_its_group`: the launcher adds the socket's group.
fn socket(path: &Path, gateway: &Identity, is_given_its_group: bool) -> Finding {
    let (id, name) = ("engine.socket", path.display());
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Finding::unchecked(
                id,
                format!("{name} is hidden from this user; run as root to check it"),
            );
        }
        Err(error) => {
            let text = format!("the engine's socket {name} is not there ({error})");
            let fix = format!(
                "start the engine; in a container, mount its socket: -v {name}:{name}; or name another with --engine"
            );
            return Finding::problem(id, text, fix);
        }
    };
    if !metadata.file_type().is_socket() {
        let text = format!(
            "{name} is not a socket: a container engine makes a folder where the socket was not there at its start"
        );
        return Finding::problem(id, text, "remove it, start the engine, and start this container anew");
    }
    let bits = Bits::of(&metadata);
    let mut who = gateway.clone();
    let by_group = bits.mode & 0o020 != 0 && bits.mode & 0o002 == 0;
    if is_given_its_group && by_group {
        who.groups.push(bits.gid);
    }
    let group = group_name(bits.gid);
    match who.reaches(path, READ | WRITE) {
        Ok(()) if is_given_its_group && by_group && !gateway.is_in(bits.gid) => {
            let text = format!(
                "{} gets group {group} from the launcher and may open {name} (a unit of its own: SupplementaryGroups={group})",
                gateway.what
            );
            Finding::ok(id, text)
        }
        Ok(()) => Finding::ok(
            id,
            format!("{} may open {name} (group {group}, mode {:04o})", gateway.what, bits.mode),
        ),
        Err(blocked) => blocked_socket(path, gateway, bits, &blocked),
    }
}

fn blocked_socket(path: &Path, gateway: &Identity, bits: Bits, blocked: &Blocked) -> Finding {
    let (id, name, who, group) = ("engine.socket", path.display(), &gateway.what, group_name(bits.gid));
    let is_folder = matches!(blocked, Blocked::Mode(at, _) if !same_file(at, path));
    if is_folder {
        let text = format!("{who} cannot come to {name}: {blocked}");
        return Finding::problem(id, text, "chmod a+x the folder, or mount the socket elsewhere");
    }
    if bits.mode & 0o060 != 0o060 || bits.gid == 0 {
        let text = format!("{who} may not open {name}: {blocked}, so only its owner can");
        let fix = format!(
            "give the socket a group of its own (dockerd --group docker; podman: SocketGroup=) and mode 0660: chgrp docker {name}"
        );
        return Finding::problem(id, text, fix);
    }
    let (text, user) = (
        format!("{who} may not open {name}, which is for group {group} ({})", bits.gid),
        user_name(gateway.uid),
    );
    let fix = format!(
        "add the group: SupplementaryGroups={group} in the unit (systemctl edit doorward), --group-add {} for a container, \
         or usermod -aG {group} {user} and a new login",
        bits.gid
    );
    Finding::problem(id, text, fix)
}

fn same_file(one: &Path, other: &Path) -> bool {
    fs::canonicalize(other).is_ok_and(|other| other == one)
}

enum Failure {
    NotLet,
    Other(String),
}

async fn ping(engine: &EngineAddress) -> Result<Answer, Failure> {
    let connector = Connector::new(engine).map_err(|error| Failure::Other(with_causes(&error)))?;
    let stream = match tokio::time::timeout(CONNECT, connector.connect()).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(failure(&error)),
        Err(_) => return Err(Failure::Other(format!("no connection within {} s", CONNECT.as_secs()))),
    };
    let host = match engine {
        EngineAddress::Unix(_) => "localhost",
        EngineAddress::Http(authority) | EngineAddress::Https { authority, .. } => authority,
    };
    client::get(stream, host, "/_ping", HeaderMap::new()).await.map_err(Failure::Other)
}

fn failure(error: &(dyn std::error::Error + 'static)) -> Failure {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        {
            return Failure::NotLet;
        }
        cause = error.source();
    }
    Failure::Other(with_causes(error))
}

fn no_answer(engine: &EngineAddress, text: &str) -> Finding {
    let fix = match engine {
        EngineAddress::Unix(_) => "start the engine (systemctl start docker), or name another with --engine",
        EngineAddress::Http(_) => "start the engine, and check the address in --engine and the firewall",
        EngineAddress::Https { .. } => {
            "start the engine; check --engine, --engine-ca (who signed its certificate) and --engine-cert with its key"
        }
    };
    Finding::problem("engine.answer", format!("the engine does not answer: {text}"), fix)
}

fn answered(answer: &Answer, clock: &Clock) -> Vec<Finding> {
    let (id, status) = ("engine.answer", answer.status);
    let mut findings = vec![match (status, answer.header("api-version")) {
        (200, Some(version)) => {
            Finding::ok(id, format!("the engine answers and speaks API version {version}"))
        }
        (200, None) => Finding::ok(id, "the engine answers /_ping, and names no API version"),
        _ => Finding::warning(
            id,
            format!("the engine answers /_ping with status {status}: it is not a Docker engine, or not well"),
            "fine for another kind of backend; else look into the engine's log",
        ),
    }];
    let date = answer.date().map(|date| clock::compare("clock.engine", "the engine", date, clock.now()));
    findings.extend(date);
    findings
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::net::UnixListener;

    use super::super::finding::Status;
    use super::super::identity::Identity;
    use super::socket;

    const STRANGER: u32 = 4_000_000;

    fn stranger(groups: &[u32]) -> Identity {
        Identity {
            what: "user x".into(),
            uid: STRANGER,
            gid: STRANGER,
            groups: groups.to_vec(),
            capabilities: 0,
        }
    }

    #[test]
    fn the_group_that_is_missing_is_named_for_systemd_and_for_containers() {
        let folder = tempfile::tempdir().unwrap();
        set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let path = folder.path().join("engine.sock");
        let _engine = UnixListener::bind(&path).unwrap();
        set_permissions(&path, Permissions::from_mode(0o660)).unwrap();
        // Root's own group is never handed out, so as root the socket gets another.
        let _ = std::os::unix::fs::chown(&path, None, Some(4_000_001));
        let gid = std::fs::metadata(&path).unwrap().gid();
        let finding = socket(&path, &stranger(&[]), false);
        assert_eq!(finding.status, Status::Problem);
        let fix = finding.fix.unwrap();
        assert!(fix.contains("SupplementaryGroups=") && fix.contains(&format!("--group-add {gid}")), "{fix}");
        assert_eq!(socket(&path, &stranger(&[gid]), false).status, Status::Ok);
        assert_eq!(socket(&path, &stranger(&[]), true).status, Status::Ok, "the launcher gives the group");
    }

    #[test]
    fn a_socket_for_its_owner_alone_and_a_closed_folder_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let path = folder.path().join("engine.sock");
        let _engine = UnixListener::bind(&path).unwrap();
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let finding = socket(&path, &stranger(&[]), true);
        assert!(finding.text.contains("only its owner can"), "{}", finding.text);
        set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        let finding = socket(&path, &stranger(&[]), true);
        assert!(finding.text.contains("cannot come to"), "{}", finding.text);
    }

    #[test]
    fn what_is_not_there_or_no_socket_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let absent = socket(&folder.path().join("absent"), &stranger(&[]), false);
        assert!(absent.text.contains("is not there"), "{}", absent.text);
        assert!(socket(folder.path(), &stranger(&[]), false).text.contains("is not a socket"));
    }
}
