//! What the kernel knows of a daemon: its processes, its memory, and its open connections to the engine.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use super::process;

/// `root` and all its descendants.
pub(crate) fn family(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| Some((pid, parent(pid)?)))
        .collect();
    let mut family = vec![root];
    let mut next = 0;
    while let Some(&pid) = family.get(next) {
        family.extend(parents.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child));
        next += 1;
    }
    family
}

/// Resident memory of some processes in KiB, shared pages counted once per process.
pub(crate) fn resident_kib(pids: &[u32]) -> u64 {
    pids.iter().filter_map(|pid| status_field(*pid, "VmRSS:")).sum()
}

/// Effective user id of a process.
pub(crate) fn effective_uid(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find(|line| line.starts_with("Uid:"))?.split_whitespace().nth(2)?.parse().ok()
}

/// Inodes of the sockets that some processes hold.
pub(crate) fn socket_inodes(pids: &[u32]) -> HashSet<u64> {
    let folders = pids.iter().filter_map(|pid| std::fs::read_dir(format!("/proc/{pid}/fd")).ok());
    let links = folders.flatten().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect()
}

/// Connections that the processes have open to the engine's socket, by the inode of their own end.
///
/// Seen from the engine's side: only its end carries the path, and names its peer.
pub(crate) fn engine_connections(pids: &[u32], socket: &Path) -> HashSet<u64> {
    let ours = socket_inodes(pids);
    let paths: Vec<String> = [Some(socket.to_owned()), socket.canonicalize().ok()]
        .into_iter()
        .flatten()
        .map(|path| path.display().to_string())
        .collect();
    let mut command = Command::new("ss");
    command.args(["-x", "-H", "-n", "state", "connected"]);
    let listed = process::run(command).ok().stdout;
    let peers = listed.lines().filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let at = columns.iter().position(|column| paths.iter().any(|path| path == column))?;
        columns.last().filter(|_| at + 1 < columns.len())?.parse().ok()
    });
    peers.filter(|peer| ours.contains(peer)).collect()
}

fn parent(pid: u32) -> Option<u32> {
    status_field(pid, "PPid:").and_then(|parent| parent.try_into().ok())
}

fn status_field(pid: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find(|line| line.starts_with(field))?.split_whitespace().nth(1)?.parse().ok()
}

/// Inodes of the sockets that listen on `port` in the network namespace of a process.
pub(crate) fn listening_on(pid: u32, port: u16) -> HashSet<u64> {
    const LISTEN: &str = "0A";
    let tables = ["tcp", "tcp6"].map(|table| std::fs::read_to_string(format!("/proc/{pid}/net/{table}")));
    let suffix = format!(":{port:04X}");
    let mut inodes = HashSet::new();
    for line in tables.iter().flatten().flat_map(|table| table.lines()) {
        let columns: Vec<&str> = line.split_whitespace().collect();
        if let [_, local, _, LISTEN, _, _, _, _, _, inode, ..] = columns[..]
            && local.ends_with(&suffix)
        {
            inodes.extend(inode.parse::<u64>());
        }
    }
    inodes
}
