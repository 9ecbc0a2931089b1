//! Can `pam_unix` see passwords? By the shadow file itself, or through its helper.

use std::fs;
use std::path::Path;

use super::finding::Finding;
use super::identity::{Bits, Blocked, Identity, READ, group_name};
use super::paths::Paths;
use crate::pam::stack::{Stack, Stage};

const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;

/// Checks shadow file and helper, if the stack uses `pam_unix` at all.
pub(super) fn examine(stack: &Stack, paths: &Paths, broker: &Identity) -> Vec<Finding> {
    let uses = |stage| stack.of(stage).any(|entry| entry.name() == "pam_unix.so");
    if !uses(Stage::Auth) && !uses(Stage::Account) {
        return Vec::new();
    }
    let shadow = readable(&paths.shadow, broker);
    let is_readable = shadow.fix.is_none();
    vec![shadow, helper(paths, broker, is_readable)]
}

fn readable(shadow: &Path, broker: &Identity) -> Finding {
    let (id, path, who) = ("pam.shadow", shadow.display(), &broker.what);
    let (text, fix) = match broker.reaches(shadow, READ) {
        Ok(()) => return Finding::ok(id, format!("{who} can read {path}")),
        Err(Blocked::Unseen(_, error)) => (
            format!("{path} cannot be looked at ({error}), so pam_unix knows no password"),
            "run: pwconv".to_owned(),
        ),
        Err(Blocked::Mode(at, bits)) if at == shadow || bits.mode & 0o777 == 0 => mode(shadow, broker, bits),
        Err(blocked) => (
            format!("{who} cannot come to {path}: {blocked}"),
            format!("chmod a+x {}", shadow.parent().unwrap_or(shadow).display()),
        ),
    };
    Finding::problem(id, text, fix)
}

fn mode(shadow: &Path, broker: &Identity, bits: Bits) -> (String, String) {
    let (path, who, group) = (shadow.display(), &broker.what, group_name(bits.gid));
    let why = format!("{who} cannot read {path} (mode {:04o}, group {group})", bits.mode);
    if broker.uid == 0 {
        // Only without its capabilities is root kept out by a mode.
        let fix = format!(
            "give the broker CAP_DAC_READ_SEARCH (AmbientCapabilities= or CapabilityBoundingSet= of its unit, \
             --cap-add DAC_READ_SEARCH), or: chmod 0640 {path}"
        );
        return (format!("{why} and lacks the capability to read it all the same"), fix);
    }
    if bits.mode & 0o040 == 0 {
        let fix = format!(
            "chown root:shadow {path} && chmod 0640 {path}, and the broker in group shadow; or --users FILE"
        );
        return (format!("{why}, which its group cannot read either"), fix);
    }
    let fix = format!(
        "start doorward as root, or give the broker the group (SupplementaryGroups={group}, --group-add {}), \
         or use --users FILE",
        bits.gid
    );
    (format!("{why} and is not in that group, so pam_unix can check no password but this user's own"), fix)
}

/// `unix_chkpwd` reads the shadow file for those who cannot; it must be set-user-id root or set-group-id of its group.
fn helper(paths: &Paths, broker: &Identity, shadow_is_readable: bool) -> Finding {
    let id = "pam.helper";
    let found = paths.unix_chkpwd.iter().find_map(|path| Some((path, Bits::of(&fs::metadata(path).ok()?))));
    let shadow_group = fs::metadata(&paths.shadow).ok().map(|metadata| Bits::of(&metadata).gid);
    let (text, fix) = match found {
        None => {
            ("unix_chkpwd is missing".to_owned(), "apt-get install --reinstall libpam-modules-bin".to_owned())
        }
        Some((path, bits)) => {
            let by_user = bits.uid == 0 && bits.mode & SET_USER != 0;
            let by_group = Some(bits.gid) == shadow_group && bits.mode & SET_GROUP != 0;
            if by_user || by_group {
                return Finding::ok(id, format!("{} may read the shadow file", path.display()));
            }
            let path = path.display();
            (
                format!("{path} is neither set-user-id root nor set-group-id of the shadow file's group"),
                format!("chgrp shadow {path} && chmod 2755 {path}"),
            )
        }
    };
    if shadow_is_readable {
        let text = format!("{text}; {} reads the shadow file itself and does not need it", broker.what);
        return Finding::ok(id, text);
    }
    Finding::problem(id, format!("{text}, and {} cannot read the shadow file itself", broker.what), fix)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::super::finding::Status;
    use super::super::identity::Identity;
    use super::super::paths::Paths;
    use super::examine;
    use crate::pam::stack::Stack;

    struct Place {
        folder: tempfile::TempDir,
        paths: Paths,
        stack: Stack,
    }

    impl Place {
        fn new(shadow_mode: u32, helper_mode: u32) -> Self {
            let folder = tempfile::tempdir().unwrap();
            set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
            for (name, mode) in [("shadow", shadow_mode), ("unix_chkpwd", helper_mode)] {
                std::fs::write(folder.path().join(name), "").unwrap();
                set_permissions(folder.path().join(name), Permissions::from_mode(mode)).unwrap();
            }
            std::fs::write(folder.path().join("service"), "auth required pam_unix.so\n").unwrap();
            let paths = Paths {
                shadow: folder.path().join("shadow"),
                unix_chkpwd: vec![folder.path().join("unix_chkpwd")],
                ..Paths::default()
            };
            let stack = Stack::read("service", &[folder.path().to_owned()]).unwrap();
            Self { folder, paths, stack }
        }

        fn says(&self, uid: u32, in_group: bool, capabilities: u64) -> Vec<(Status, String)> {
            let owner = std::fs::metadata(&self.paths.shadow).unwrap();
            let groups = if in_group { vec![owner.gid()] } else { Vec::new() };
            let uid = if uid == 0 { owner.uid() } else { uid };
            let who = Identity { what: "the broker".into(), uid, gid: 4_000_000, groups, capabilities };
            let found = examine(&self.stack, &self.paths, &who);
            found
                .iter()
                .map(|f| (f.status, format!("{} | {}", f.text, f.fix.as_deref().unwrap_or_default())))
                .collect()
        }
    }

    const OVERRIDE: u64 = 1 << 1;
    const STRANGER: u32 = 4_000_000;

    #[test]
    fn a_mode_of_0000_is_open_only_to_a_capability() {
        let place = Place::new(0o000, 0o755);
        assert_eq!(place.says(0, false, OVERRIDE)[0].0, Status::Ok);
        let refused = place.says(0, false, 0);
        assert_eq!(refused[0].0, Status::Problem);
        assert!(refused[0].1.contains("mode 0000"), "{refused:?}");
    }

    #[test]
    fn outside_of_the_group_the_fix_names_the_group() {
        let place = Place::new(0o640, 0o755);
        assert_eq!(place.says(STRANGER, true, 0)[0].0, Status::Ok);
        let refused = place.says(STRANGER, false, 0);
        assert_eq!(refused[0].0, Status::Problem);
        assert!(
            refused[0].1.contains("not in that group") && refused[0].1.contains("--group-add"),
            "{refused:?}"
        );
    }

    #[test]
    fn the_helper_matters_only_to_those_who_cannot_read_the_file() {
        let place = Place::new(0o640, 0o755);
        assert_eq!(place.says(STRANGER, true, 0)[1].0, Status::Ok);
        let needs = place.says(STRANGER, false, 0);
        assert_eq!(needs[1].0, Status::Problem);
        assert!(needs[1].1.contains("chmod 2755"), "{needs:?}");
        let set = Place::new(0o640, 0o2755);
        assert_eq!(set.says(STRANGER, false, 0)[1].0, Status::Ok);
        std::fs::remove_file(place.folder.path().join("unix_chkpwd")).unwrap();
        assert!(place.says(STRANGER, false, 0)[1].1.contains("unix_chkpwd is missing"));
    }

    #[test]
    fn a_stack_without_pam_unix_needs_neither() {
        let mut place = Place::new(0o000, 0o755);
        place.stack.entries.clear();
        assert!(place.says(STRANGER, false, 0).is_empty());
    }
}
