//! What is kept in files: the session database here, the cookie key and the user file in the modules below.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use doorward::domain::Username;
use doorward::session::SessionKeyText;
use doorward::store::{LastUses, LiveAt, SessionRecord, SqliteStore, Store, TokenKind};
use doorward::token::{TokenRequest, issue};
use tempfile::tempdir;

mod cookie_key;
mod users;

const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);
/// As of which everything below is alive.
const AT: LiveAt = LiveAt { now: 0, idle_since: 0 };
/// Tells the copy of this test binary that is to be killed which file to write.
const VICTIM: &str = "DOORWARD_TEST_VICTIM_STORE";

#[tokio::test]
async fn s10_only_hashes_of_keys_and_tokens_are_in_the_files() {
    let folder = tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.db")).unwrap();
    let key = SessionKeyText::generate().unwrap();
    let request = TokenRequest {
        name: "laptop".into(),
        user: user("bob"),
        groups: vec![],
        address: None,
        certificate: None,
        lifetime: None,
        scope: None,
    };
    let (token, record) = issue(TokenKind::Login, request, DAY, 0).unwrap();
    store.put_session(SessionRecord { key: key.hash(), ..session(1) }, AT).await.unwrap();
    store.put_token(record, AT).await.unwrap();

    let holds = |needle: &[u8]| contains(folder.path(), needle);
    assert!(holds(&key.hash()) && holds(&token.hash()) && holds(b"laptop"), "the search itself must work");
    let secret = token.expose();
    assert!(
        !holds(key.expose().as_bytes()) && !holds(secret.as_bytes()) && !holds(&secret.as_bytes()[4..24])
    );
    let raw_key = data_encoding::BASE64URL_NOPAD.decode(key.expose().as_bytes()).unwrap();
    let raw_token = data_encoding::BASE32_DNSSEC.decode(&secret.as_bytes()[4..]).unwrap();
    assert!(!holds(&raw_key) && !holds(&raw_token[..32]));
}

#[tokio::test]
async fn s14_sessions_live_on_over_a_restart() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).unwrap();
    store.put_session(session(1), AT).await.unwrap();
    store.touch(LastUses { sessions: vec![([1; 32], 1500)], ..LastUses::default() }).await.unwrap();
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    let expected = SessionRecord { last_seen: 1500, ..session(1) };
    assert_eq!(store.session([1; 32]).await.unwrap(), Some(expected));
}

/// Writes until it is killed, telling what was acknowledged.
#[tokio::test]
#[ignore = "the other half of the next test, which starts it"]
async fn victim_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(VICTIM) else {
        return;
    };
    let store = SqliteStore::open(Path::new(&path)).unwrap();
    for number in 0_u32.. {
        let mut record = session(0);
        record.key[..4].copy_from_slice(&number.to_be_bytes());
        store.put_session(record, AT).await.unwrap();
        eprintln!("acknowledged {number}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["stores::victim_writes_until_it_is_killed", "--exact", "--ignored", "--nocapture"])
        .env(VICTIM, &path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "acknowledged 100"), "the victim must get so far");
    victim.kill().unwrap();
    victim.wait().unwrap();
    // What it still said before it died.
    let last = lines
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("acknowledged ").and_then(|number| number.parse().ok()))
        .last()
        .unwrap_or(100);

    let store = SqliteStore::open(&path).unwrap();
    for number in 0..=last {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&u32::to_be_bytes(number));
        assert!(store.session(key).await.unwrap().is_some(), "{number} of {last} is lost");
    }
}

#[tokio::test]
async fn the_database_and_its_side_files_are_private() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("store.db");
    fs::write(&path, "").unwrap();
    chmod(&path, 0o644);
    let store = SqliteStore::open(&path).unwrap();
    store.put_session(session(1), AT).await.unwrap();
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), mode(&entry.path()))
        })
        .collect();
    names.sort();
    let expected = ["store.db", "store.db-shm", "store.db-wal"].map(|name| (name.to_owned(), 0o600));
    assert_eq!(names, expected);
}

#[test]
fn a_database_that_cannot_be_trusted_is_refused_by_name() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("store.db");
    let refusal = |path: &Path| {
        let error = SqliteStore::open(path).err().expect("must be refused").to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        error
    };

    fs::write(
        &path,
        b"this is no database, but long enough to have a header of a hundred bytes, or rather more".repeat(2),
    )
    .unwrap();
    chmod(&path, 0o600);
    assert!(refusal(&path).contains("damaged"));

    let writable = folder.path().join("writable.db");
    drop(SqliteStore::open(&writable).unwrap());
    chmod(&writable, 0o660);
    assert!(refusal(&writable).contains("others may write"));

    let newer = folder.path().join("newer.db");
    drop(SqliteStore::open(&newer).unwrap());
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(refusal(&newer).contains("newer"));

    let foreign = folder.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    chmod(&foreign, 0o600);
    assert!(refusal(&foreign).contains("another program"));

    refusal(&folder.path().join("no/such/folder.db"));
}

#[tokio::test]
async fn a_damaged_page_is_found_at_start() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).unwrap();
    for number in 0..100 {
        store.put_session(session(number), AT).await.unwrap();
    }
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let error = SqliteStore::open(&path).err().expect("must be refused").to_string();
    assert!(error.contains("damaged") && error.contains("store.db"), "{error}");
}

#[tokio::test]
async fn a_row_that_was_tampered_with_is_an_error_and_no_session() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).unwrap();
    store.put_session(session(1), AT).await.unwrap();
    rusqlite::Connection::open(&path).unwrap().execute("UPDATE sessions SET user = 'a:b'", []).unwrap();
    let error = store.session([1; 32]).await.unwrap_err().to_string();
    assert!(error.contains("store.db"), "{error}");
}

#[test]
fn many_single_threaded_runtimes_share_one_store() {
    let folder = tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.path().join("store.db")).unwrap());
    std::thread::scope(|scope| {
        for worker in 0..4_u8 {
            let store = Arc::clone(&store);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    let puts = (0..50).map(|number| store.put_session(session(worker * 50 + number), AT));
                    for result in futures_util::future::join_all(puts).await {
                        result.unwrap();
                    }
                });
            });
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(store.sessions_of(&user("bob"))).unwrap().len(), 200);
}

#[tokio::test]
async fn two_processes_may_have_the_file_open() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("store.db");
    let (one, other) = (SqliteStore::open(&path).unwrap(), SqliteStore::open(&path).unwrap());
    for number in 0..20 {
        let store = if number % 2 == 0 { &one } else { &other };
        store.put_session(session(number), AT).await.unwrap();
    }
    assert_eq!(one.sessions_of(&user("bob")).await.unwrap().len(), 20);
    assert!(one.delete_session([1; 32]).await.unwrap());
    assert_eq!(other.session([1; 32]).await.unwrap(), None);
}

fn contains(folder: &Path, needle: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let content = fs::read(entry.unwrap().path()).unwrap();
        content.windows(needle.len()).any(|window| window == needle)
    })
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn session(number: u8) -> SessionRecord {
    SessionRecord {
        key: [number; 32],
        id: format!("id{number}"),
        user: Some(user("bob")),
        groups: vec!["ops".into()],
        address: None,
        created: 1000,
        last_seen: 1000,
        expires: 9000,
        state: HashMap::from([("a".into(), "1".into())]),
    }
}

fn user(name: &str) -> Username {
    Username::parse(name).unwrap()
}
