//! Certificates that belong to tokens.

use std::net::{IpAddr, Ipv6Addr};

use super::{AT, key, token, user};
use crate::store::{Admission, CertificateRecord, Store, TokenRecord};

pub(super) async fn a_certificate_comes_back_with_its_token_and_lists_are_newest_first(store: &dyn Store) {
    let refused = store.put_certificate(certificate(7, 1), AT).await.unwrap();
    assert_eq!(refused, Admission::Orphaned, "there is no such token");
    assert_eq!(store.certificate(key(7)).await.unwrap(), None);
    store.put_token(token(1, "bob"), AT).await.unwrap();
    store.put_token(token(2, "eve"), AT).await.unwrap();
    let made = [(7, 1), (9, 1), (8, 2)].map(|(number, token)| CertificateRecord {
        created: 1000 + i64::from(number),
        ..certificate(number, token)
    });
    for record in &made {
        assert_eq!(store.put_certificate(record.clone(), AT).await.unwrap(), Admission::Kept(Vec::new()));
    }
    let pair = |number: usize, of: TokenRecord| (made[number].clone(), of);
    let bob = token(1, "bob");
    assert_eq!(store.certificate(key(7)).await.unwrap(), Some(pair(0, bob.clone())));
    assert_eq!(
        store.certificates_of(&user("bob")).await.unwrap(),
        [pair(1, bob.clone()), pair(0, bob.clone())]
    );
    assert_eq!(
        store.all_certificates().await.unwrap(),
        [pair(1, bob.clone()), pair(2, token(2, "eve")), pair(0, bob)]
    );
}

pub(super) async fn s7_a_certificate_counts_no_longer_than_its_token_however_that_ends(store: &dyn Store) {
    for (number, name) in [(1, "bob"), (2, "bob"), (3, "eve"), (4, "lou")] {
        let expires = if number == 4 { 2000 } else { 3000 };
        store.put_token(TokenRecord { expires, ..token(number, name) }, AT).await.unwrap();
        store.put_certificate(certificate(10 + number, number), AT).await.unwrap();
    }
    store.put_certificate(CertificateRecord { expires: 2000, ..certificate(20, 3) }, AT).await.unwrap();
    assert!(store.delete_token(&user("bob"), "id1").await.unwrap());
    assert_eq!(store.certificate(key(11)).await.unwrap(), None);
    assert_eq!(store.certificates_of(&user("bob")).await.unwrap().len(), 1);
    store.delete_tokens_of(&user("bob")).await.unwrap();
    assert_eq!(store.certificate(key(12)).await.unwrap(), None);
    store.purge(2000, 0).await.unwrap();
    let left = store.all_certificates().await.unwrap();
    assert_eq!(left.iter().map(|(made, _)| made.key).collect::<Vec<_>>(), [key(13)]);
    store.delete_user(&user("eve")).await.unwrap();
    assert!(store.all_certificates().await.unwrap().is_empty());
    // A token of the same key, should there ever be one, revives nothing that was purged.
    store.purge(2000, 0).await.unwrap();
    store.put_token(token(3, "eve"), AT).await.unwrap();
    assert_eq!(store.certificate(key(13)).await.unwrap(), None);
}

pub(super) async fn k3_a_certificate_is_deleted_only_by_its_owner(store: &dyn Store) {
    store.put_token(token(1, "bob"), AT).await.unwrap();
    for number in [7, 8, 9] {
        store.put_certificate(certificate(number, 1), AT).await.unwrap();
    }
    assert!(!store.delete_certificate(&user("eve"), "serial7").await.unwrap());
    assert_eq!(store.delete_certificates_of(&user("eve")).await.unwrap(), 0);
    assert!(store.delete_certificate(&user("bob"), "serial7").await.unwrap());
    assert_eq!(store.certificate(key(7)).await.unwrap(), None);
    assert_eq!(store.delete_certificates_of(&user("bob")).await.unwrap(), 2);
    assert!(store.token(key(1)).await.unwrap().is_some());
}

pub(super) fn certificate(number: u8, token: u8) -> CertificateRecord {
    CertificateRecord {
        key: key(number),
        id: format!("serial{number}"),
        name: "laptop".to_owned(),
        token: key(token),
        address: Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        created: 1000,
        last_used: None,
        expires: 3000,
    }
}
