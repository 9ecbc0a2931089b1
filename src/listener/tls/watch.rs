//! Looks after the certificate while the gateway runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::unistd::{Group, getegid};
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::error::TlsError;
use super::{Reload, TlsMaterial};
use crate::domain::UnixSeconds;

/// The file is looked at this often even without an event: network file systems and files that are mounted one by one
/// into a container send none. It is a read of a few kilobytes.
const LOOK: Duration = Duration::from_secs(60);
/// A file that is being written is left alone until it has been quiet for so long.
const QUIET: Duration = Duration::from_millis(200);
/// A file that is written to without end is looked at all the same.
const MOST_POSTPONED: usize = 10;
const DAY: UnixSeconds = 24 * 3600;
/// An operator's own certificate that ends this soon is worth a daily line in the log.
const ENDS_SOON: UnixSeconds = 14 * DAY;

/// Keeps watching until it is dropped.
#[derive(Debug)]
pub struct Watch {
    signals: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
    watcher: Option<RecommendedWatcher>,
}

enum Signal {
    Changed,
    Stop,
}

impl Watch {
    pub(super) fn start(material: Arc<TlsMaterial>) -> Result<Self, TlsError> {
        let (signals, received) = channel();
        let file = material.watched_file();
        // Found out now, and not when the one in use has ended: the first time it was read by root.
        if let Some(warning) = not_readable_again(&file) {
            tracing::warn!("{warning}");
        }
        let watcher = watch_folders(&file, signals.clone());
        let thread = std::thread::Builder::new()
            .name("tls-watch".to_owned())
            .spawn(move || keep_watch(&material, &received))
            .map_err(TlsError::Watch)?;
        Ok(Self { signals, thread: Some(thread), watcher })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.watcher.take());
        // An error says that the thread has ended already.
        let _ = self.signals.send(Signal::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What to say if a renewed file could not be read.
fn not_readable_again(file: &Path) -> Option<String> {
    let error = std::fs::File::open(file).err()?;
    let (folder, file) = (file.parent().unwrap_or(Path::new("/")).display(), file.display());
    let group = getegid();
    let group = Group::from_gid(group).ok().flatten().map_or_else(|| group.to_string(), |group| group.name);
    Some(format!(
        "a renewed TLS certificate will not be taken: {file} cannot be read by the gateway's user ({error}); run: chgrp \
         {group} {folder} {file} && chmod 750 {folder} && chmod 640 {file}; from a closed folder such as /root move it, to \
         /etc/doorward/tls for example"
    ))
}

/// Watches folders and not the file: a rename, and the swapped symbolic link of a mounted secret, put another file in
/// its place. Without inotify the regular look remains.
fn watch_folders(file: &Path, signals: Sender<Signal>) -> Option<RecommendedWatcher> {
    let on_event = move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| is_change(&event)) {
            let _ = signals.send(Signal::Changed);
        }
    };
    let watched = notify::recommended_watcher(on_event).and_then(|mut watcher| {
        for folder in folders_of(file) {
            watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    });
    watched
        .inspect_err(|error| {
            tracing::warn!(%error, file = %file.display(), every = ?LOOK, "changes of the certificate are only polled for");
        })
        .ok()
}

/// Where the file is said to be, and where it is.
fn folders_of(file: &Path) -> Vec<PathBuf> {
    let real = std::fs::canonicalize(file).ok();
    let mut folders: Vec<PathBuf> = [Some(file), real.as_deref()]
        .into_iter()
        .flatten()
        .filter_map(Path::parent)
        .map(Path::to_owned)
        .collect();
    folders.dedup();
    folders
}

/// Reading the file sends events too; heeding them would be a loop.
fn is_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

fn keep_watch(material: &TlsMaterial, signals: &Receiver<Signal>) {
    let mut last_error = String::new();
    let mut warned = UnixSeconds::MIN;
    loop {
        match signals.recv_timeout(LOOK) {
            Ok(Signal::Changed) if wait_until_quiet(signals) => {}
            Err(RecvTimeoutError::Timeout) => {}
            Ok(_) | Err(RecvTimeoutError::Disconnected) => return,
        }
        reload(material, &mut last_error);
        warn_before_end(material, &mut warned);
    }
}

/// `false` if it is time to stop.
fn wait_until_quiet(signals: &Receiver<Signal>) -> bool {
    for _ in 0..MOST_POSTPONED {
        match signals.recv_timeout(QUIET) {
            Ok(Signal::Changed) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

/// Logs each error once, not at every look.
fn reload(material: &TlsMaterial, last_error: &mut String) {
    match material.reload() {
        Ok(Reload::Replaced | Reload::Unchanged) => last_error.clear(),
        Err(error) => {
            let text = error.to_string();
            if *last_error != text {
                tracing::error!(error = text, "the new TLS certificate cannot be used; the one in use stays");
                *last_error = text;
            }
        }
    }
}

fn warn_before_end(material: &TlsMaterial, warned: &mut UnixSeconds) {
    let now = material.clock.now();
    let left = material.not_after() - now;
    if left < ENDS_SOON.min(material.renewal_head_start()) && now.saturating_sub(*warned) >= DAY {
        *warned = now;
        let not_after = super::error::date(material.not_after());
        tracing::warn!(
            source = material.source(),
            not_after,
            days = left / DAY,
            "the TLS certificate ends soon"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::not_readable_again;

    #[test]
    fn a_file_that_cannot_be_read_again_is_told_with_the_fix() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server.pem");
        let said = not_readable_again(&file).unwrap();
        let fix = format!("chmod 750 {} && chmod 640 {}", folder.path().display(), file.display());
        assert!(said.contains("will not be taken") && said.contains(&fix), "{said}");
        std::fs::write(&file, "").unwrap();
        assert_eq!(not_readable_again(&file), None);
    }
}
