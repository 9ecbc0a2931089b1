//! Whom a program runs as, and what that lets it do. Computed from mode bits and not tried out, because the doctor is
//! often somebody else. Access control lists are not seen; they show as the group's bits.

use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bits of `access(2)`.
pub(super) const READ: u32 = 4;
pub(super) const WRITE: u32 = 2;
pub(super) const ENTER: u32 = 1;

/// Bits of `CapEff` (capabilities(7)).
pub(super) const CHOWN: u64 = 1;
pub(super) const DAC_OVERRIDE: u64 = 1 << 1;
const DAC_READ_SEARCH: u64 = 1 << 2;
pub(super) const FOWNER: u64 = 1 << 3;
pub(super) const SETGID: u64 = 1 << 6;
pub(super) const SETUID: u64 = 1 << 7;

/// A user, their groups, and the two capabilities that open files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Identity {
    /// For people: "the running broker", "user doorward".
    pub(super) what: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Supplementary groups.
    pub(super) groups: Vec<u32>,
    /// `CapEff`.
    pub(super) capabilities: u64,
}

/// Owner, group and mode of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Bits {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

/// What keeps somebody from a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Blocked {
    /// The mode of this file, or of a folder above the one that was meant.
    Mode(PathBuf, Bits),
    /// It cannot be looked at: absent, or hidden from the doctor too.
    Unseen(PathBuf, String),
}

impl Identity {
    /// Reads `/proc/PID/status` (proc(5)); `None` if it is not one.
    pub(super) fn of_status(what: &str, status: &str) -> Option<Self> {
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        // Real, effective, saved, file system: the last is the one that opens files.
        let fourth = |name: &str| line(name)?.split_whitespace().nth(3)?.parse().ok();
        Some(Self {
            what: what.to_owned(),
            uid: fourth("Uid")?,
            gid: fourth("Gid")?,
            groups: line("Groups")?.split_whitespace().filter_map(|id| id.parse().ok()).collect(),
            capabilities: u64::from_str_radix(line("CapEff")?.trim(), 16).ok()?,
        })
    }

    /// Whom this process runs as.
    pub(super) fn of_this_process() -> Option<Self> {
        Self::of_status("this user", &fs::read_to_string("/proc/self/status").ok()?)
    }

    /// Whom another process runs as; hidden where `/proc` is mounted with `hidepid`.
    pub(super) fn of_process(what: &str, pid: i32) -> Option<Self> {
        Self::of_status(what, &fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
    }

    /// Whom the one process of this name and user runs as; `None` if there are several, since any of them may be meant.
    pub(super) fn of_the_one(what: &str, program: &str, uid: u32) -> Option<Self> {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut found = processes.filter_map(|entry| {
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            let name = status.lines().next()?.strip_prefix("Name:")?.trim();
            Self::of_status(what, &status).filter(|identity| name == program && identity.uid == uid)
        });
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// Whether one of the groups is this one.
    pub(super) fn is_in(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }

    /// Whether the mode lets this identity do it (path_resolution(7)): owner, else group, else others; then capabilities.
    pub(super) fn is_let(&self, bits: Bits, wanted: u32, is_folder: bool) -> bool {
        let shift = match bits {
            Bits { uid, .. } if uid == self.uid => 6,
            Bits { gid, .. } if self.is_in(gid) => 3,
            _ => 0,
        };
        let by_mode = (bits.mode >> shift) & wanted == wanted;
        let overrides = self.capabilities & DAC_OVERRIDE != 0;
        let only_reads = wanted & WRITE == 0 && (is_folder || wanted == READ);
        by_mode || overrides || (only_reads && self.reads_everything())
    }

    /// Whether files open for reading whatever their mode.
    pub(super) fn reads_everything(&self) -> bool {
        self.capabilities & (DAC_OVERRIDE | DAC_READ_SEARCH) != 0
    }

    /// Whether this identity comes to a file, through all folders above it, and may then do what is wanted.
    pub(super) fn reaches(&self, path: &Path, wanted: u32) -> Result<(), Blocked> {
        let unseen = |error: std::io::Error| Blocked::Unseen(path.to_owned(), error.to_string());
        // Through links, as the kernel goes.
        let real = fs::canonicalize(path).map_err(unseen)?;
        let mut steps: Vec<&Path> = real.ancestors().skip(1).collect();
        steps.reverse();
        for folder in steps {
            let bits = Bits::of(&fs::metadata(folder).map_err(unseen)?);
            if !self.is_let(bits, ENTER, true) {
                return Err(Blocked::Mode(folder.to_owned(), bits));
            }
        }
        let found = fs::metadata(&real).map_err(unseen)?;
        let bits = Bits::of(&found);
        if self.is_let(bits, wanted, found.is_dir()) { Ok(()) } else { Err(Blocked::Mode(real, bits)) }
    }
}

impl Bits {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { uid: metadata.uid(), gid: metadata.gid(), mode: metadata.mode() & 0o7777 }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(path, bits) => {
                let (owner, group) = (user_name(bits.uid), group_name(bits.gid));
                write!(f, "{} belongs to {owner}:{group} with mode {:04o}", path.display(), bits.mode)
            }
            Self::Unseen(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

/// The name of a group in `/etc/group`, else its number. The name service is not asked: a dead directory would hold it.
pub(super) fn group_name(gid: u32) -> String {
    name_in(&fs::read_to_string("/etc/group").unwrap_or_default(), gid)
}

/// The name of a user in `/etc/passwd`, else the number.
pub(super) fn user_name(uid: u32) -> String {
    name_in(&fs::read_to_string("/etc/passwd").unwrap_or_default(), uid)
}

fn name_in(table: &str, id: u32) -> String {
    let number = id.to_string();
    let named = table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    named.unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{Bits, Blocked, ENTER, Identity, READ, WRITE, name_in};

    fn somebody(uid: u32, groups: &[u32], capabilities: u64) -> Identity {
        Identity { what: "x".into(), uid, gid: uid, groups: groups.to_vec(), capabilities }
    }

    #[test]
    fn a_status_of_proc_is_read() {
        let status =
            "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \nCapEff:\t0000000000000006\n";
        let found = Identity::of_status("x", status).unwrap();
        assert_eq!((found.uid, found.gid, found.groups.as_slice()), (4, 8, &[9, 10][..]));
        assert!(found.reads_everything());
        assert!(Identity::of_status("x", "Name:\tx\n").is_none());
        assert!(Identity::of_this_process().is_some());
    }

    #[test]
    fn a_process_is_found_by_its_name_and_user_if_it_is_the_only_one() {
        let name = format!("dw{}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(&name);
        std::fs::copy("/bin/sleep", &program).unwrap();
        let start = || std::process::Command::new(&program).arg("60").spawn().unwrap();
        let uid = nix::unistd::geteuid().as_raw();
        let looked = || Identity::of_the_one("x", &name, uid);
        assert_eq!(looked(), None);
        let mut one = start();
        // The name is that of the parent until the program is there.
        while looked().is_none() {
            assert!(one.try_wait().unwrap().is_none());
            std::thread::yield_now();
        }
        assert_eq!(Identity::of_the_one("x", &name, uid + 1), None);
        let mut other = start();
        while looked().is_some() {
            assert!(other.try_wait().unwrap().is_none());
            std::thread::yield_now();
        }
        for child in [&mut one, &mut other] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn the_first_class_that_fits_decides_as_in_the_kernel() {
        let file = |mode| Bits { uid: 1, gid: 50, mode };
        assert!(somebody(1, &[], 0).is_let(file(0o400), READ, false));
        assert!(
            !somebody(1, &[50], 0).is_let(file(0o040), READ, false),
            "the owner's bits count for the owner"
        );
        assert!(somebody(2, &[50], 0).is_let(file(0o060), READ | WRITE, false));
        assert!(!somebody(2, &[50], 0).is_let(file(0o606), READ, false));
        assert!(somebody(2, &[], 0).is_let(file(0o004), READ, false));
        assert!(!somebody(2, &[], 0).is_let(file(0o004), WRITE, false));
    }

    #[test]
    fn root_without_capabilities_is_an_ordinary_user() {
        let nothing = Bits { uid: 0, gid: 42, mode: 0 };
        assert!(!somebody(0, &[], 0).is_let(nothing, READ, false));
        assert!(somebody(0, &[], 1 << 1).is_let(nothing, READ | WRITE, false));
        assert!(somebody(0, &[], 1 << 2).is_let(nothing, READ, false));
        assert!(somebody(0, &[], 1 << 2).is_let(nothing, ENTER, true));
        assert!(!somebody(0, &[], 1 << 2).is_let(nothing, WRITE, false));
    }

    #[test]
    fn a_closed_folder_on_the_way_is_named() {
        let place = tempfile::tempdir().unwrap();
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let folder = place.path().join("closed");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("file"), "").unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = somebody(4_000_000, &[], 0);
        let blocked = stranger.reaches(&folder.join("file"), READ).unwrap_err();
        assert!(matches!(&blocked, Blocked::Mode(path, _) if path.ends_with("closed")), "{blocked}");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(folder.join("file"), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(stranger.reaches(&folder.join("file"), READ), Ok(()));
        assert!(matches!(stranger.reaches(&folder.join("absent"), READ), Err(Blocked::Unseen(..))));
    }

    #[test]
    fn names_come_from_the_local_table() {
        let table = "root:x:0:\ndocker:x:105:bob\n";
        assert_eq!(name_in(table, 105), "docker");
        assert_eq!(name_in(table, 7), "7");
    }
}
