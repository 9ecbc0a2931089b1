//! What every store must do. Each implementation passes exactly this suite.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use self::certificates::{
    a_certificate_comes_back_with_its_token_and_lists_are_newest_first, certificate,
    k3_a_certificate_is_deleted_only_by_its_owner,
    s7_a_certificate_counts_no_longer_than_its_token_however_that_ends,
};
use self::limits::{
    i13_a_certificate_of_a_login_counts_and_the_first_one_makes_room_for_itself,
    i13_a_login_beyond_the_limit_ends_what_was_used_least_recently_and_nobody_elses,
    i13_a_minted_token_beyond_the_limit_is_refused_and_ends_nothing,
    i13_logins_at_the_same_time_never_leave_more_than_the_limit, i13_what_is_over_takes_no_place,
};
use super::{
    BanKind, BanRecord, KeyHash, LastUses, LiveAt, MemoryStore, SessionRecord, SqliteStore, Store, TokenKind,
    TokenRecord,
};
use crate::domain::{ClientCertificate, Scope, Username};

mod certificates;
mod limits;

/// As of which everything below is alive.
const AT: LiveAt = LiveAt { now: 1000, idle_since: 0 };

/// Makes a test of each named function for each store.
macro_rules! suite {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&super::MemoryStore::new()).await;
            })+
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                let folder = tempfile::tempdir().unwrap();
                super::$test(&super::SqliteStore::open(&folder.path().join("store.db")).unwrap()).await;
            })+
        }
    };
}

suite![
    a_session_comes_back_as_it_was_put,
    a_token_comes_back_as_it_was_put,
    unknown_keys_are_none_and_delete_nothing,
    putting_again_replaces,
    a_session_that_was_deleted_is_not_replaced,
    replacing_keeps_birth_and_expiry_and_never_turns_last_seen_back,
    lists_hold_only_the_users_own_newest_first,
    lists_of_all_hold_everybodys_newest_first,
    s7_all_sessions_or_all_tokens_of_a_user_go_and_nothing_else,
    s7_a_session_is_deleted_by_key_or_by_its_owners_public_id,
    k3_a_token_is_deleted_only_by_its_owner,
    k3_a_user_who_is_gone_loses_everything_and_others_nothing,
    groups_are_written_into_all_that_a_user_has,
    touch_never_moves_a_time_backwards,
    touch_skips_what_is_unknown,
    purge_removes_the_expired_and_the_idle_only,
    b8_bans_come_back_as_they_were_put_the_last_to_end_first,
    a_ban_that_is_put_again_replaces_the_old_one,
    a_lifted_ban_is_gone_and_is_told_once,
    a_ban_that_is_put_after_its_lift_stays,
    purge_removes_forgiven_bans_only,
    a_certificate_comes_back_with_its_token_and_lists_are_newest_first,
    s7_a_certificate_counts_no_longer_than_its_token_however_that_ends,
    k3_a_certificate_is_deleted_only_by_its_owner,
    i13_a_login_beyond_the_limit_ends_what_was_used_least_recently_and_nobody_elses,
    i13_a_minted_token_beyond_the_limit_is_refused_and_ends_nothing,
    i13_a_certificate_of_a_login_counts_and_the_first_one_makes_room_for_itself,
    i13_what_is_over_takes_no_place,
    i13_logins_at_the_same_time_never_leave_more_than_the_limit,
    ping_answers,
];

async fn a_session_comes_back_as_it_was_put(store: &dyn Store) {
    let anonymous = SessionRecord { user: None, address: None, groups: Vec::new(), ..session(2, "bob") };
    for record in [session(1, "bob"), anonymous] {
        store.put_session(record.clone(), AT).await.unwrap();
        assert_eq!(store.session(record.key).await.unwrap(), Some(record));
    }
}

async fn a_token_comes_back_as_it_was_put(store: &dyn Store) {
    let login = TokenRecord { kind: TokenKind::Login, last_used: Some(7), address: None, ..token(2, "bob") };
    let narrow = TokenRecord { scope: Some(Scope::Read), ..token(3, "bob") };
    for record in [token(1, "bob"), login, narrow] {
        store.put_token(record.clone(), AT).await.unwrap();
        assert_eq!(store.token(record.key).await.unwrap(), Some(record));
    }
}

async fn unknown_keys_are_none_and_delete_nothing(store: &dyn Store) {
    assert_eq!(store.session(key(1)).await.unwrap(), None);
    assert_eq!(store.token(key(1)).await.unwrap(), None);
    assert!(!store.delete_session(key(1)).await.unwrap());
    assert!(!store.delete_session_by_id(&user("bob"), "x").await.unwrap());
    assert!(!store.delete_token(&user("bob"), "x").await.unwrap());
    assert_eq!(store.sessions_of(&user("bob")).await.unwrap(), []);
    assert_eq!(store.tokens_of(&user("bob")).await.unwrap(), []);
}

async fn putting_again_replaces(store: &dyn Store) {
    store.put_session(session(1, "bob"), AT).await.unwrap();
    store.put_token(token(1, "bob"), AT).await.unwrap();
    let (session, token) = (session(1, "eve"), token(1, "eve"));
    store.put_session(session.clone(), AT).await.unwrap();
    store.put_token(token.clone(), AT).await.unwrap();
    assert_eq!(store.sessions_of(&user("bob")).await.unwrap(), []);
    assert_eq!(store.tokens_of(&user("bob")).await.unwrap(), []);
    assert_eq!(store.sessions_of(&user("eve")).await.unwrap(), [session]);
    assert_eq!(store.tokens_of(&user("eve")).await.unwrap(), [token]);
}

async fn a_session_that_was_deleted_is_not_replaced(store: &dyn Store) {
    store.put_session(session(1, "bob"), AT).await.unwrap();
    store.delete_session(key(1)).await.unwrap();
    assert!(!store.replace_session(session(1, "bob")).await.unwrap());
    assert_eq!(store.session(key(1)).await.unwrap(), None);
}

async fn replacing_keeps_birth_and_expiry_and_never_turns_last_seen_back(store: &dyn Store) {
    let old = session(1, "bob");
    store.put_session(old.clone(), AT).await.unwrap();
    let state = HashMap::from([("b".to_owned(), "2".to_owned())]);
    let new = SessionRecord {
        id: "other".to_owned(),
        created: 1,
        last_seen: old.last_seen - 50,
        expires: old.expires + 50,
        groups: vec!["new".to_owned()],
        state,
        ..old.clone()
    };
    assert!(store.replace_session(new.clone()).await.unwrap());
    let expected = SessionRecord { groups: new.groups.clone(), state: new.state.clone(), ..old.clone() };
    assert_eq!(store.session(key(1)).await.unwrap(), Some(expected));
    let later = SessionRecord { last_seen: old.last_seen + 50, ..new };
    assert!(store.replace_session(later).await.unwrap());
    assert_eq!(store.session(key(1)).await.unwrap().unwrap().last_seen, old.last_seen + 50);
}

async fn lists_hold_only_the_users_own_newest_first(store: &dyn Store) {
    for number in [2, 3, 1] {
        let created = 1000 + i64::from(number);
        store.put_session(SessionRecord { created, ..session(number, "bob") }, AT).await.unwrap();
        store.put_token(TokenRecord { created, ..token(number, "bob") }, AT).await.unwrap();
    }
    store.put_session(session(4, "eve"), AT).await.unwrap();
    store.put_session(SessionRecord { user: None, ..session(5, "bob") }, AT).await.unwrap();
    store.put_token(token(4, "eve"), AT).await.unwrap();
    let sessions = store.sessions_of(&user("bob")).await.unwrap();
    let tokens = store.tokens_of(&user("bob")).await.unwrap();
    assert_eq!(sessions.iter().map(|record| record.created).collect::<Vec<_>>(), [1003, 1002, 1001]);
    assert_eq!(tokens.iter().map(|record| record.created).collect::<Vec<_>>(), [1003, 1002, 1001]);
}

async fn lists_of_all_hold_everybodys_newest_first(store: &dyn Store) {
    for (number, name) in [(1, "bob"), (3, "eve"), (2, "bob")] {
        let created = 1000 + i64::from(number);
        store.put_session(SessionRecord { created, ..session(number, name) }, AT).await.unwrap();
        store.put_token(TokenRecord { created, ..token(number, name) }, AT).await.unwrap();
    }
    store.put_session(SessionRecord { user: None, ..session(5, "bob") }, AT).await.unwrap();
    let sessions = store.all_sessions().await.unwrap();
    let tokens = store.all_tokens().await.unwrap();
    assert_eq!(sessions.iter().map(|record| record.created).collect::<Vec<_>>(), [1003, 1002, 1001]);
    assert_eq!(tokens.iter().map(|record| record.created).collect::<Vec<_>>(), [1003, 1002, 1001]);
}

async fn s7_all_sessions_or_all_tokens_of_a_user_go_and_nothing_else(store: &dyn Store) {
    for (number, name) in [(1, "bob"), (2, "bob"), (3, "eve")] {
        store.put_session(session(number, name), AT).await.unwrap();
        store.put_token(token(number, name), AT).await.unwrap();
    }
    assert_eq!(store.delete_sessions_of(&user("bob")).await.unwrap(), 2);
    assert_eq!(store.tokens_of(&user("bob")).await.unwrap().len(), 2);
    assert_eq!(store.all_sessions().await.unwrap(), [session(3, "eve")]);
    assert_eq!(store.delete_tokens_of(&user("bob")).await.unwrap(), 2);
    assert_eq!(store.all_tokens().await.unwrap(), [token(3, "eve")]);
    assert_eq!(store.delete_tokens_of(&user("bob")).await.unwrap(), 0);
}

async fn s7_a_session_is_deleted_by_key_or_by_its_owners_public_id(store: &dyn Store) {
    for number in [1, 2] {
        store.put_session(session(number, "bob"), AT).await.unwrap();
    }
    assert!(store.delete_session(key(1)).await.unwrap());
    assert_eq!(store.session(key(1)).await.unwrap(), None);
    assert!(!store.delete_session_by_id(&user("eve"), "id2").await.unwrap());
    assert!(store.session(key(2)).await.unwrap().is_some());
    assert!(store.delete_session_by_id(&user("bob"), "id2").await.unwrap());
    assert_eq!(store.session(key(2)).await.unwrap(), None);
}

async fn k3_a_token_is_deleted_only_by_its_owner(store: &dyn Store) {
    store.put_token(token(1, "bob"), AT).await.unwrap();
    assert!(!store.delete_token(&user("eve"), "id1").await.unwrap());
    assert!(store.token(key(1)).await.unwrap().is_some());
    assert!(store.delete_token(&user("bob"), "id1").await.unwrap());
    assert_eq!(store.token(key(1)).await.unwrap(), None);
}

async fn k3_a_user_who_is_gone_loses_everything_and_others_nothing(store: &dyn Store) {
    for (number, name) in [(1, "bob"), (2, "bob"), (3, "eve")] {
        store.put_session(session(number, name), AT).await.unwrap();
        store.put_token(token(number, name), AT).await.unwrap();
    }
    store.put_session(SessionRecord { user: None, ..session(4, "bob") }, AT).await.unwrap();
    assert_eq!(store.delete_user(&user("bob")).await.unwrap(), 4);
    assert!(store.sessions_of(&user("bob")).await.unwrap().is_empty());
    assert!(store.token(key(1)).await.unwrap().is_none() && store.token(key(2)).await.unwrap().is_none());
    assert_eq!(store.tokens_of(&user("eve")).await.unwrap(), [token(3, "eve")]);
    assert!(store.session(key(3)).await.unwrap().is_some() && store.session(key(4)).await.unwrap().is_some());
    assert_eq!(store.delete_user(&user("bob")).await.unwrap(), 0);
}

async fn groups_are_written_into_all_that_a_user_has(store: &dyn Store) {
    for name in ["bob", "eve"] {
        let number = u8::from(name == "bob");
        store.put_session(session(number, name), AT).await.unwrap();
        store.put_token(token(number, name), AT).await.unwrap();
    }
    let groups = vec!["new".to_owned(), "\"other\"".to_owned()];
    store.set_groups(&user("bob"), groups.clone()).await.unwrap();
    assert_eq!(store.session(key(1)).await.unwrap().unwrap().groups, groups);
    assert_eq!(store.token(key(1)).await.unwrap(), Some(TokenRecord { groups, ..token(1, "bob") }));
    assert_eq!(store.token(key(0)).await.unwrap(), Some(token(0, "eve")));
    store.set_groups(&user("bob"), Vec::new()).await.unwrap();
    assert!(store.session(key(1)).await.unwrap().unwrap().groups.is_empty());
}

async fn touch_never_moves_a_time_backwards(store: &dyn Store) {
    store.put_session(session(1, "bob"), AT).await.unwrap();
    store.put_token(token(1, "bob"), AT).await.unwrap();
    store.put_certificate(certificate(7, 1), AT).await.unwrap();
    for (touched, expected) in [(1500, 1500), (1400, 1500), (1600, 1600)] {
        let use_of = |number| vec![(key(number), touched)];
        let uses = LastUses { sessions: use_of(1), tokens: use_of(1), certificates: use_of(7) };
        store.touch(uses).await.unwrap();
        assert_eq!(store.session(key(1)).await.unwrap().unwrap().last_seen, expected);
        assert_eq!(store.token(key(1)).await.unwrap().unwrap().last_used, Some(expected));
        let (made, _) = store.certificate(key(7)).await.unwrap().unwrap();
        assert_eq!(made.last_used, Some(expected));
    }
}

async fn touch_skips_what_is_unknown(store: &dyn Store) {
    store.put_session(session(1, "bob"), AT).await.unwrap();
    let unknown = || vec![(key(9), 1500)];
    let sessions = vec![(key(9), 1500), (key(1), 1500)];
    store.touch(LastUses { sessions, tokens: unknown(), certificates: unknown() }).await.unwrap();
    assert_eq!(store.session(key(1)).await.unwrap().unwrap().last_seen, 1500);
    assert_eq!(store.session(key(9)).await.unwrap(), None);
    assert_eq!(store.token(key(9)).await.unwrap(), None);
}

async fn purge_removes_the_expired_and_the_idle_only(store: &dyn Store) {
    for (number, last_seen, expires) in [(1, 1500, 2000), (2, 1500, 2001), (3, 1499, 2001)] {
        store.put_session(SessionRecord { last_seen, expires, ..session(number, "bob") }, AT).await.unwrap();
        store.put_token(TokenRecord { expires, ..token(number, "bob") }, AT).await.unwrap();
    }
    store.purge(2000, 1500).await.unwrap();
    let left = |found: Vec<String>| {
        let mut found = found;
        found.sort();
        found
    };
    let sessions = store.sessions_of(&user("bob")).await.unwrap();
    let tokens = store.tokens_of(&user("bob")).await.unwrap();
    assert_eq!(left(sessions.into_iter().map(|record| record.id).collect()), ["id2"]);
    assert_eq!(left(tokens.into_iter().map(|record| record.id).collect()), ["id2", "id3"]);
}

async fn b8_bans_come_back_as_they_were_put_the_last_to_end_first(store: &dyn Store) {
    assert_eq!(store.bans().await.unwrap(), []);
    let bans = [
        ban(BanKind::User, "jürgen", 30),
        ban(BanKind::Address, "2001:db8::/64", 20),
        ban(BanKind::Device, "x", 10),
    ];
    store.put_bans(vec![bans[1].clone(), bans[2].clone(), bans[0].clone()]).await.unwrap();
    assert_eq!(store.bans().await.unwrap(), bans);
}

async fn a_ban_that_is_put_again_replaces_the_old_one(store: &dyn Store) {
    let new = BanRecord { strikes: 2, since: 30, is_provisional: true, ..ban(BanKind::User, "bob", 50) };
    store.put_bans(vec![ban(BanKind::User, "bob", 30), ban(BanKind::Device, "bob", 40)]).await.unwrap();
    store.put_bans(vec![new.clone()]).await.unwrap();
    assert_eq!(store.bans().await.unwrap(), [new, ban(BanKind::Device, "bob", 40)]);
}

async fn a_lifted_ban_is_gone_and_is_told_once(store: &dyn Store) {
    store.put_bans(vec![ban(BanKind::User, "bob", 30), ban(BanKind::User, "eve", 30)]).await.unwrap();
    assert_eq!(store.take_lifted().await.unwrap(), []);
    assert!(store.lift_ban(BanKind::User, "bob").await.unwrap());
    for (kind, subject) in [(BanKind::User, "bob"), (BanKind::Address, "eve"), (BanKind::User, "lou")] {
        assert!(!store.lift_ban(kind, subject).await.unwrap(), "{subject}");
    }
    assert_eq!(store.bans().await.unwrap(), [ban(BanKind::User, "eve", 30)]);
    assert_eq!(store.take_lifted().await.unwrap(), [(BanKind::User, "bob".to_owned())]);
    assert_eq!(store.take_lifted().await.unwrap(), []);
}

async fn a_ban_that_is_put_after_its_lift_stays(store: &dyn Store) {
    store.put_bans(vec![ban(BanKind::User, "bob", 30)]).await.unwrap();
    store.lift_ban(BanKind::User, "bob").await.unwrap();
    store.put_bans(vec![ban(BanKind::User, "bob", 40)]).await.unwrap();
    assert_eq!(store.take_lifted().await.unwrap(), []);
    assert_eq!(store.bans().await.unwrap(), [ban(BanKind::User, "bob", 40)]);
}

async fn purge_removes_forgiven_bans_only(store: &dyn Store) {
    let forgiven = BanRecord { forget: 2000, ..ban(BanKind::User, "bob", 30) };
    let kept = BanRecord { forget: 2001, ..ban(BanKind::User, "eve", 30) };
    store.put_bans(vec![forgiven, kept.clone()]).await.unwrap();
    store.purge(2000, 0).await.unwrap();
    assert_eq!(store.bans().await.unwrap(), [kept]);
}

async fn ping_answers(store: &dyn Store) {
    store.ping().await.unwrap();
}

fn ban(kind: BanKind, subject: &str, until: i64) -> BanRecord {
    BanRecord {
        kind,
        subject: subject.to_owned(),
        strikes: 1,
        since: until - 10,
        until,
        forget: until + 100,
        is_provisional: false,
    }
}

fn key(number: u8) -> KeyHash {
    [number; 32]
}

fn user(name: &str) -> Username {
    Username::parse(name).unwrap()
}

fn session(number: u8, name: &str) -> SessionRecord {
    SessionRecord {
        key: key(number),
        id: format!("id{number}"),
        user: Some(user(name)),
        groups: vec!["ops".to_owned(), "jürgens, \"quoted\"".to_owned()],
        address: Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        created: 1000,
        last_seen: 1100,
        expires: 3000,
        state: HashMap::from([("a".to_owned(), "\"1\"".to_owned())]),
    }
}

fn token(number: u8, name: &str) -> TokenRecord {
    TokenRecord {
        key: key(number),
        id: format!("id{number}"),
        name: "build server".to_owned(),
        kind: TokenKind::Minted,
        scope: None,
        user: user(name),
        groups: vec!["ops".to_owned()],
        address: Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        created: 1000,
        last_used: None,
        expires: 3000,
        certificate: ClientCertificate::new(vec![vec![number; 3].into(), vec![9].into()]),
    }
}
