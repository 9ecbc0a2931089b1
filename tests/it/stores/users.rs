//! The embedded user file.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, lchown, symlink};
use std::path::Path;

use doorward::domain::Password;
use doorward::users::{
    Changed, Draft, IfMissing, PasswordHash, UserFile, Users, UsersError, Verdict, change, hash_password,
};
use nix::unistd::{getegid, geteuid};
use tempfile::tempdir;

use super::{chmod, contains, mode, user};

#[test]
fn a_user_file_that_is_open_to_others_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("users.toml");
    fs::write(&path, "").unwrap();
    for bad in [0o644, 0o660, 0o602, 0o604] {
        chmod(&path, bad);
        let error = UserFile::load(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
    }
    for good in [0o600, 0o400, 0o640] {
        chmod(&path, good);
        UserFile::load(&path).unwrap();
    }
    assert!(matches!(UserFile::load(&folder.path().join("none")), Err(UsersError::Read { .. })));
}

#[test]
fn a_user_file_is_written_whole_and_private_and_read_back() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("users.toml");
    let names = ["bob", r"DOM\user", "user@REALM", "first.last", "jürgen's"];
    let hash = hash("secret");
    let changed = edit(&path, |users| {
        names.iter().try_for_each(|name| users.add(&user(name), &hash, &["ops".into()]))?;
        users.set_disabled(&user("bob"), true)
    });
    assert!(changed.created);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file may stay");
    assert!(!contains(folder.path(), b"secret"));
    let read = UserFile::load(&path).unwrap();
    assert!(read.users().eq(changed.file.users()));
    assert_eq!(read.users().filter(|user| user.disabled).count(), 1);
    assert_eq!(read.users().count(), names.len());
    assert_eq!(
        read.verify(&user(r"DOM\user"), &password("secret")),
        Verdict::Ok { groups: vec!["ops".into()] }
    );
}

#[test]
fn a_change_keeps_the_owner_and_that_the_gateways_group_may_read() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("users.toml");
    let look = || {
        let metadata = fs::metadata(&path).unwrap();
        (metadata.mode() & 0o777, metadata.uid(), metadata.gid())
    };
    for mode in [0o600, 0o640, 0o440] {
        fs::write(&path, "").unwrap();
        chmod(&path, mode);
        if geteuid().is_root() {
            chown(&path, Some(12345), Some(54321)).unwrap();
        }
        let (_, owner, group) = look();
        edit(&path, |users| users.add(&user("bob"), &hash("x"), &[]));
        assert_eq!(look(), (mode | 0o600, owner, group));
        fs::remove_file(&path).unwrap();
    }
    edit_or(&path, IfMissing::Create(Some(getegid().as_raw())), |_| Ok(())).unwrap();
    assert_eq!(look(), (0o640, geteuid().as_raw(), getegid().as_raw()));
}

#[test]
fn a_change_that_is_refused_or_meets_a_broken_file_writes_nothing() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("users.toml");
    let missing = change(&path, IfMissing::Refuse, |_| Ok(())).unwrap_err();
    assert!(matches!(missing, UsersError::Read { .. }), "{missing}");
    let twice = |users: &mut Draft| {
        users.add(&user("a"), &hash("x"), &[]).and(users.add(&user("a"), &hash("x"), &[]))
    };
    assert!(matches!(edit_or(&path, IfMissing::Create(None), twice), Err(UsersError::Exists(_))));
    assert!(!path.exists());

    for broken in ["[users.bob]\n\npassword = 1\n", "[users.bob]\ngroup = 1\n", "[users.\n"] {
        fs::write(&path, broken).unwrap();
        chmod(&path, 0o600);
        let error = edit_or(&path, IfMissing::Create(None), |_| Ok(())).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}:", path.display())), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), broken);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file may stay");
}

#[test]
fn changes_are_made_and_refused_by_name() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("users.toml");
    let (bob, eve) = (user("bob"), user("eve"));
    let groups = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let changed = edit(&path, |users| users.add(&bob, &hash("one"), &groups(&["ops", "ops"])));
    assert_eq!(changed.file.verify(&bob, &password("one")), Verdict::Ok { groups: groups(&["ops"]) });
    let changed = edit(&path, |users| {
        users.set_groups(&bob, &groups(&["dev", "ops"]))?;
        users.set_password(&bob, &hash("two"))
    });
    assert_eq!(changed.file.verify(&bob, &password("one")), Verdict::Refused);
    assert_eq!(changed.file.verify(&bob, &password("two")), Verdict::Ok { groups: groups(&["ops", "dev"]) });
    let changed = edit(&path, |users| users.set_disabled(&bob, true));
    assert_eq!(changed.file.verify(&bob, &password("two")), Verdict::Refused);
    let refusals: [Edit<'_>; 4] = [
        &|users| users.remove(&eve),
        &|users| users.set_password(&eve, &hash("x")),
        &|users| users.set_disabled(&eve, false),
        &|users| users.set_groups(&eve, &[]),
    ];
    for refusal in refusals {
        let error = edit_or(&path, IfMissing::Refuse, refusal).unwrap_err();
        assert_eq!(error.to_string(), "there is no user eve");
    }
    for bad in ["a,b", "", "x\ny", "-g"] {
        let error = edit_or(&path, IfMissing::Refuse, |users| users.set_groups(&bob, &groups(&[bad])));
        assert!(matches!(error, Err(UsersError::Group(_))), "{bad:?}");
    }
    assert_eq!(edit(&path, |users| users.remove(&bob)).file.users().count(), 0);
}

#[test]
fn two_changes_at_the_same_time_lose_nothing() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("users.toml");
    let hash = hash("x");
    std::thread::scope(|scope| {
        for number in 0..16 {
            let (path, hash) = (&path, &hash);
            scope.spawn(move || edit(path, |users| users.add(&user(&format!("user{number}")), hash, &[])));
        }
    });
    assert_eq!(UserFile::load(&path).unwrap().users().count(), 16);
}

#[test]
fn comments_survive_and_those_that_go_with_an_entry_are_told() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("users.toml");
    let hash = hash("x");
    let entry = |name: &str| format!("[users.{name}]\npassword = \"{}\" # mine\n", hash.as_str());
    let text = format!("# The lab.\n\n# the chief\n{}\n# {}\n{}", entry("bob"), hash.as_str(), entry("eve"));
    fs::write(&path, &text).unwrap();
    chmod(&path, 0o600);
    let changed = edit(&path, |users| users.set_disabled(&user("eve"), true));
    assert!(changed.lost_comments.is_empty() && !changed.created);
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{text}disabled = true\n"));
    assert_eq!(edit(&path, |users| users.remove(&user("bob"))).lost_comments, ["# the chief"]);
    assert!(fs::read_to_string(&path).unwrap().starts_with("# The lab.\n"));
    // A hash that was commented out is not shown to whoever looks over a shoulder.
    assert!(edit(&path, |users| users.remove(&user("eve"))).lost_comments.is_empty());
}

#[test]
fn a_symbolic_link_stays_and_the_file_behind_it_is_changed() {
    let folder = tempdir().unwrap();
    let (path, real) = (folder.path().join("users.toml"), folder.path().join("real.toml"));
    symlink("real.toml", &path).unwrap();
    let dangling = edit_or(&path, IfMissing::Create(None), |_| Ok(())).unwrap_err();
    assert!(matches!(dangling, UsersError::Read { .. }), "{dangling}");
    fs::write(&real, "").unwrap();
    chmod(&real, 0o640);
    let changed = edit(&path, |users| users.add(&user("bob"), &hash("x"), &[]));
    assert_eq!(changed.path, fs::canonicalize(&real).unwrap());
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert_eq!((mode(&real), UserFile::load(&real).unwrap().users().count()), (0o640, 1));
    if geteuid().is_root() {
        lchown(&path, Some(12345), None).unwrap();
        let error = edit_or(&path, IfMissing::Refuse, |users| users.remove(&user("bob"))).unwrap_err();
        assert!(matches!(error, UsersError::Link { owner: 12345, .. }), "{error}");
        assert_eq!(UserFile::load(&real).unwrap().users().count(), 1);
        // Whose file it is may link to it.
        chown(&real, Some(12345), None).unwrap();
        edit(&path, |users| users.remove(&user("bob")));
        assert_eq!(fs::metadata(&real).unwrap().uid(), 12345);
    }
}

#[test]
fn neither_a_pipe_nor_a_folder_is_taken_for_a_user_file_or_waited_for() {
    let folder = tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    for path in [pipe.as_path(), folder.path()] {
        assert!(matches!(UserFile::load(path), Err(UsersError::Read { .. })));
        assert!(matches!(change(path, IfMissing::Refuse, |_| Ok(())), Err(UsersError::Read { .. })));
    }
}

#[test]
fn k3_changes_of_the_user_file_count_at_once() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("users.toml");
    let bob = user("bob");
    edit(&path, |users| users.add(&bob, &hash("one"), &[]));
    let users = Users::open(&path).unwrap();
    let accepts = |text: &str| users.verify(&bob, &password(text)) != Verdict::Refused;
    assert!(accepts("one"));

    edit(&path, |users| users.set_password(&bob, &hash("two")));
    assert!(!accepts("one") && accepts("two"));

    // In place, same size, same instant: as an editor does it.
    edit(&path, |users| users.set_disabled(&bob, true));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("disabled = true", "disabled = false")).unwrap();
    assert!(users.is_active(&bob) && accepts("two"));
    fs::write(&path, text.replace("disabled = true", "disabled = true ")).unwrap();
    assert!(!users.is_active(&bob) && !accepts("two"));

    edit(&path, |users| users.remove(&bob));
    assert_eq!(users.current().users().count(), 0);
}

#[test]
fn a_broken_user_file_leaves_the_last_good_one_in_use() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("users.toml");
    let (bob, eve) = (user("bob"), user("eve"));
    edit(&path, |users| users.add(&bob, &hash("one"), &[]));
    let users = Users::open(&path).unwrap();

    fs::write(&path, "[users.bob").unwrap();
    assert!(users.is_active(&bob));
    fs::remove_file(&path).unwrap();
    assert!(users.is_active(&bob));
    edit(&path, |_| Ok(()));
    assert!(!users.is_active(&bob), "the next good one counts again");
    edit(&path, |users| users.add(&eve, &hash("one"), &[]));
    chmod(&path, 0o666);
    assert!(!users.is_active(&eve), "a file that anyone could have written is not read");
    assert!(Users::open(&path).is_err(), "at start a broken file is refused");
}

type Edit<'a> = &'a dyn Fn(&mut Draft) -> Result<(), UsersError>;

fn edit(path: &Path, change: impl FnMut(&mut Draft) -> Result<(), UsersError>) -> Changed {
    edit_or(path, IfMissing::Create(None), change).unwrap()
}

fn edit_or(
    path: &Path,
    if_missing: IfMissing,
    edit: impl FnMut(&mut Draft) -> Result<(), UsersError>,
) -> Result<Changed, UsersError> {
    change(path, if_missing, edit)
}

fn hash(text: &str) -> PasswordHash {
    hash_password(&password(text)).unwrap()
}

fn password(text: &str) -> Password {
    Password::parse(text.to_owned()).unwrap()
}
