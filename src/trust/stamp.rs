//! Whether files changed. Looked at by their inodes, several times a second: no event is missed, be it on a network file
//! system, in a mounted secret, or where a rename put another file in the place.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// How a set of files was at one look.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Stamps(Vec<Option<Stamp>>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Not the time of the content, which can be set: whatever touches the file moves this one.
    changed: (i64, i64),
}

impl Stamps {
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let stamp = |file: &PathBuf| {
            let found = std::fs::metadata(file).ok()?;
            Some(Stamp {
                device: found.dev(),
                inode: found.ino(),
                size: found.size(),
                changed: (found.ctime(), found.ctime_nsec()),
            })
        };
        Self(files.iter().map(stamp).collect())
    }
}
