//! How much one person may have.

use futures_util::future::join_all;

use super::certificates::certificate;
use super::{AT, session, token, user};
use crate::domain::Door;
use crate::store::{
    Admission, Ended, KeyHash, LiveAt, MAX_CERTIFICATES_PER_TOKEN, MAX_PER_USER, SessionRecord, Store,
    TokenKind, TokenRecord,
};

/// A key for each number; those of the other tests are for small ones only.
fn wide(number: usize) -> KeyHash {
    let mut key = [0xee; 32];
    key[..8].copy_from_slice(&number.to_le_bytes());
    key
}

fn login(number: usize, name: &str, used: i64) -> TokenRecord {
    TokenRecord {
        key: wide(number),
        id: format!("t{number}"),
        kind: TokenKind::Login,
        last_used: Some(used),
        certificate: None,
        ..token(0, name)
    }
}

fn visit(number: usize, name: &str, used: i64) -> SessionRecord {
    SessionRecord { key: wide(number), id: format!("s{number}"), last_seen: used, ..session(0, name) }
}

async fn count(store: &dyn Store, name: &str) -> usize {
    let user = user(name);
    store.sessions_of(&user).await.unwrap().len()
        + store.tokens_of(&user).await.unwrap().len()
        + store.certificates_of(&user).await.unwrap().len()
}

fn ids(ended: &[Ended]) -> Vec<&str> {
    ended.iter().map(|one| one.id.as_str()).collect()
}

/// Half sessions, half tokens, used one after the other from 2000 on; the first one was used last.
async fn fill(store: &dyn Store, name: &str) {
    for number in 0..MAX_PER_USER {
        let used = if number == 0 { 9000 } else { 2000 + i64::try_from(number).unwrap() };
        let ended = if number % 2 == 0 {
            store.put_session(visit(number, name, used), AT).await.unwrap()
        } else {
            let Admission::Kept(ended) = store.put_token(login(number, name, used), AT).await.unwrap() else {
                panic!("refused")
            };
            ended
        };
        assert_eq!(ended, []);
    }
}

pub(super) async fn i13_a_login_beyond_the_limit_ends_what_was_used_least_recently_and_nobody_elses(
    store: &dyn Store,
) {
    store.put_token(login(9000, "eve", 1), AT).await.unwrap();
    store.put_session(SessionRecord { user: None, ..visit(9001, "bob", 1) }, AT).await.unwrap();
    fill(store, "bob").await;
    // Replacing what is there takes no further place.
    let again = store.put_session(visit(2, "bob", 2002), AT).await.unwrap();
    assert_eq!(again, []);
    let Admission::Kept(ended) = store.put_token(login(1000, "bob", 9999), AT).await.unwrap() else {
        panic!("refused")
    };
    let name = Some("build server".to_owned());
    let first = Ended { door: Door::Token, key: wide(1), id: "t1".to_owned(), name, used: 2001 };
    assert_eq!(ended, [first]);
    assert_eq!(store.token(wide(1)).await.unwrap(), None);
    let ended = store.put_session(visit(1001, "bob", 9999), AT).await.unwrap();
    assert_eq!((ids(&ended), ended[0].door), (vec!["s2"], Door::Session));
    assert_eq!(store.session(wide(2)).await.unwrap(), None);
    let ended = store.make_room(&user("bob"), AT).await.unwrap();
    assert_eq!(ids(&ended), ["t3"]);
    assert_eq!(store.make_room(&user("bob"), AT).await.unwrap(), []);
    assert_eq!(count(store, "bob").await, MAX_PER_USER - 1);
    // The last use counts, not the age.
    assert!(store.session(wide(0)).await.unwrap().is_some());
    assert_eq!(count(store, "eve").await, 1);
    assert!(store.session(wide(9001)).await.unwrap().is_some());
}

pub(super) async fn i13_a_minted_token_beyond_the_limit_is_refused_and_ends_nothing(store: &dyn Store) {
    let minted = |number, name| TokenRecord { kind: TokenKind::Minted, ..login(number, name, 9999) };
    store.put_token(minted(999, "bob"), AT).await.unwrap();
    assert!(store.delete_token(&user("bob"), "t999").await.unwrap());
    fill(store, "bob").await;
    assert_eq!(store.put_token(minted(1000, "bob"), AT).await.unwrap(), Admission::Full);
    assert_eq!(store.token(wide(1000)).await.unwrap(), None);
    assert_eq!(count(store, "bob").await, MAX_PER_USER);
    assert_eq!(store.put_token(minted(1001, "eve"), AT).await.unwrap(), Admission::Kept(Vec::new()));
    assert!(store.delete_token(&user("bob"), "t1").await.unwrap());
    assert_eq!(store.put_token(minted(1000, "bob"), AT).await.unwrap(), Admission::Kept(Vec::new()));
    assert_eq!(count(store, "bob").await, MAX_PER_USER);
}

pub(super) async fn i13_a_certificate_of_a_login_counts_and_the_first_one_makes_room_for_itself(
    store: &dyn Store,
) {
    let of = |number: usize, token: usize| crate::store::CertificateRecord {
        key: wide(5000 + number),
        id: format!("c{number}"),
        token: wide(token),
        created: 3000,
        ..certificate(0, 0)
    };
    let kept = |ids: &[&str], admission: Admission| match admission {
        Admission::Kept(ended) => assert_eq!(self::ids(&ended), ids),
        other => panic!("{other:?}"),
    };
    fill(store, "bob").await;
    // The token that asks does not end for its own certificate, though it was used least recently.
    kept(&["s2"], store.put_certificate(of(1, 1), AT).await.unwrap());
    assert_eq!(store.put_certificate(of(2, 1), AT).await.unwrap(), Admission::Full);
    // A certificate's use is its token's.
    kept(&["t3"], store.put_token(login(1000, "bob", 9999), AT).await.unwrap());
    assert_eq!(count(store, "bob").await, MAX_PER_USER);
    assert!(store.delete_sessions_of(&user("bob")).await.unwrap() > MAX_CERTIFICATES_PER_TOKEN);
    for number in 3..=MAX_CERTIFICATES_PER_TOKEN + 1 {
        kept(&[], store.put_certificate(of(number, 1), AT).await.unwrap());
    }
    assert_eq!(store.put_certificate(of(99, 1), AT).await.unwrap(), Admission::TokenFull);
    // With a token all of its certificates make room.
    for number in 0..MAX_PER_USER - count(store, "bob").await {
        kept(&[], store.put_token(login(2000 + number, "bob", 9999), AT).await.unwrap());
    }
    let others: Vec<_> = store.tokens_of(&user("bob")).await.unwrap();
    for other in others.into_iter().filter(|other| other.key != wide(1)) {
        store.put_token(TokenRecord { last_used: Some(9999), ..other }, AT).await.unwrap();
    }
    kept(&["t1"], store.put_token(login(3000, "bob", 9999), AT).await.unwrap());
    assert_eq!(count(store, "bob").await, MAX_PER_USER - MAX_CERTIFICATES_PER_TOKEN);
}

pub(super) async fn i13_what_is_over_takes_no_place(store: &dyn Store) {
    fill(store, "bob").await;
    let late = LiveAt { now: 1000, idle_since: 2002 + 1 };
    let minted = TokenRecord { kind: TokenKind::Minted, ..login(1000, "bob", 9999) };
    assert_eq!(
        store.put_token(minted, late).await.unwrap(),
        Admission::Kept(Vec::new()),
        "one session was idle for too long"
    );
    let later = LiveAt { now: 3000, idle_since: 0 };
    let ended = store.put_session(visit(1001, "bob", 9999), later).await.unwrap();
    assert_eq!(ended, [], "all others have expired");
}

pub(super) async fn i13_logins_at_the_same_time_never_leave_more_than_the_limit(store: &dyn Store) {
    fill(store, "bob").await;
    let more = 40;
    let tokens = (0..more).map(|number| store.put_token(login(1000 + number, "bob", 9999), AT));
    let sessions = (0..more).map(|number| store.put_session(visit(2000 + number, "bob", 9999), AT));
    let (tokens, sessions) = tokio::join!(join_all(tokens), join_all(sessions));
    let mut ended: Vec<Ended> = tokens
        .into_iter()
        .flat_map(|kept| match kept.unwrap() {
            Admission::Kept(ended) => ended,
            other => panic!("{other:?}"),
        })
        .chain(sessions.into_iter().flat_map(Result::unwrap))
        .collect();
    assert_eq!(count(store, "bob").await, MAX_PER_USER);
    ended.sort_by(|a, b| a.id.cmp(&b.id));
    ended.dedup_by(|a, b| a.id == b.id);
    assert_eq!(ended.len(), 2 * more, "each login ended another one");
    assert!(ended.iter().all(|one| one.used < 9000), "and none that was new");
}
