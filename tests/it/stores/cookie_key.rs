//! The key that encrypts session cookies.

use std::fs;

use doorward::session::{CookieKey, CookieKeyError};
use tempfile::tempdir;

use super::{chmod, mode};

#[test]
fn s14_the_cookie_key_is_made_once_and_private() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("session.key");
    let first = CookieKey::load_or_create(&path).unwrap();
    let second = CookieKey::load_or_create(&path).unwrap();
    assert_eq!(first.actix().master(), second.actix().master());
    assert_eq!((mode(&path), fs::read(&path).unwrap().len()), (0o600, 64));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file may stay");
}

#[test]
fn processes_that_start_together_use_one_cookie_key() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("session.key");
    let keys: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| CookieKey::load_or_create(&path).unwrap().actix().master().to_vec()))
            .collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
}

#[test]
fn a_cookie_key_that_is_cut_or_open_to_others_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("session.key");
    for size in [0, 63, 65] {
        fs::write(&path, vec![1; size]).unwrap();
        chmod(&path, 0o600);
        assert!(
            matches!(CookieKey::load_or_create(&path).err(), Some(CookieKeyError::Size { .. })),
            "{size}"
        );
    }
    fs::write(&path, [1; 64]).unwrap();
    chmod(&path, 0o640);
    let error = CookieKey::load_or_create(&path).err().unwrap().to_string();
    assert!(error.contains("chmod 600") && error.contains("session.key"), "{error}");
}
