//! The embedded user file.

use std::fs;

use doorward::domain::Password;
use doorward::users::{UserFile, Users, UsersError, Verdict};
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
    let mut file = UserFile::empty(&path).unwrap();
    let names = ["bob", r"DOM\user", "user@REALM", "first.last", "jürgen's"];
    for name in names {
        file.add(user(name), &password("secret"), vec!["ops".into()]).unwrap();
    }
    file.set_disabled(&user("bob"), true).unwrap();
    file.save().unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file may stay");
    assert!(!contains(folder.path(), b"secret"));
    let read = UserFile::load(&path).unwrap();
    assert!(read.users().eq(file.users()));
    assert_eq!(read.users().count(), names.len());
    assert_eq!(
        read.verify(&user(r"DOM\user"), &password("secret")),
        Verdict::Ok { groups: vec!["ops".into()] }
    );
}

#[test]
fn saving_keeps_that_the_gateways_group_may_read() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("users.toml");
    fs::write(&path, "").unwrap();
    chmod(&path, 0o640);
    UserFile::load(&path).unwrap().save().unwrap();
    assert_eq!(mode(&path), 0o640);
}

#[test]
fn k3_changes_of_the_user_file_count_at_once() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("users.toml");
    let mut file = UserFile::empty(&path).unwrap();
    file.add(user("bob"), &password("one"), vec![]).unwrap();
    file.save().unwrap();
    let users = Users::open(&path).unwrap();
    let accepts = |text: &str| users.verify(&user("bob"), &password(text)) != Verdict::Refused;
    assert!(accepts("one"));

    file.set_password(&user("bob"), &password("two")).unwrap();
    file.save().unwrap();
    assert!(!accepts("one") && accepts("two"));

    // In place, same size, same instant: as an editor does it.
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("disabled = false", "disabled = true ")).unwrap();
    assert!(!users.is_active(&user("bob")) && !accepts("two"));

    file.remove(&user("bob")).unwrap();
    file.save().unwrap();
    assert_eq!(users.current().users().count(), 0);
}

#[test]
fn a_broken_user_file_leaves_the_last_good_one_in_use() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("users.toml");
    let mut file = UserFile::empty(&path).unwrap();
    file.add(user("bob"), &password("one"), vec![]).unwrap();
    file.save().unwrap();
    let users = Users::open(&path).unwrap();

    fs::write(&path, "[users.bob").unwrap();
    assert!(users.is_active(&user("bob")));
    fs::remove_file(&path).unwrap();
    assert!(users.is_active(&user("bob")));
    file.remove(&user("bob")).unwrap();
    file.save().unwrap();
    assert!(!users.is_active(&user("bob")), "the next good one counts again");
    file.add(user("eve"), &password("one"), vec![]).unwrap();
    file.save().unwrap();
    chmod(&path, 0o666);
    assert!(!users.is_active(&user("eve")), "a file that anyone could have written is not read");
    assert!(Users::open(&path).is_err(), "at start a broken file is refused");
}

fn password(text: &str) -> Password {
    Password::parse(text.to_owned()).unwrap()
}
