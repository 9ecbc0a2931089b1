//! `auth`: what another proxy asks before it lets a request through.

use super::door::{BOB, Door, EVE};
use super::wire::{Reply, Request};

fn ask(door: &Door, credential: impl Fn(Request) -> Request, pairs: &[(&str, &str)]) -> Reply {
    door.send(&credential(Request::get("/_doorward/auth").headers(pairs)))
}

#[test]
fn nobody_is_let_through_without_a_credential_and_no_page_is_offered() {
    let door = Door::shared();
    let reply = door.send(&Request::get("/_doorward/auth").navigating());
    reply.is_engine_error(401);
    assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"doorward\""));
    let forged = ask(&door, |r| r, &[("X-Forwarded-User", "bob"), ("Remote-User", "bob")]);
    assert_eq!(forged.status, 401);
    assert_eq!(ask(&door, |r| r.bearer("dwt_x"), &[]).status, 401);
}

#[test]
fn every_door_is_answered_with_name_and_groups() {
    let door = Door::shared();
    let (cookie, token) = (door.cookie(BOB), door.token(BOB));
    let forged = [("X-Forwarded-User", "root"), ("X-Forwarded-Groups", "wheel")];
    for reply in [
        ask(&door, |r| r.cookie(&cookie), &forged),
        ask(&door, |r| r.bearer(&token), &forged),
        ask(&door, |r| r.basic(BOB.0, BOB.1), &forged),
    ] {
        assert_eq!(reply.status, 204, "{reply:?}");
        assert_eq!(reply.header("x-forwarded-user"), Some("bob"));
        assert_eq!(reply.header("x-forwarded-groups"), Some("ops,dev team"));
        assert_eq!(reply.body, "");
    }
    let eve = ask(&door, |r| r.basic(EVE.0, EVE.1), &forged);
    assert_eq!((eve.header("x-forwarded-user"), eve.header("x-forwarded-groups")), (Some("eve"), Some("")));
}

#[test]
fn gb5_the_other_proxys_request_needs_the_same_proof_of_origin() {
    let door = Door::shared();
    let (cookie, token, origin) = (door.cookie(BOB), door.token(BOB), door.origin());
    let evil = ("Origin", "https://evil.example");
    let refused: &[&[(&str, &str)]] = &[
        &[("X-Forwarded-Method", "POST")],
        &[("X-Original-Method", "DELETE"), evil],
        &[("X-Forwarded-Method", "POST"), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")],
        &[("X-Forwarded-Method", "GET"), ("Upgrade", "websocket"), evil],
        // Proxies drop `Upgrade`, as it belongs to the hop; these stay.
        &[("X-Forwarded-Method", "GET"), ("Sec-WebSocket-Key", "eA=="), evil],
        &[("X-Forwarded-Method", "GET"), ("Sec-Fetch-Mode", "websocket"), ("Sec-Fetch-Site", "same-site")],
        // Without a method: a form that a sibling site posts names its origin, a link does not.
        &[evil],
        &[("Origin", "null"), ("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "navigate")],
        &[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors")],
        &[("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "no-cors")],
        &[("X-Forwarded-Method", "not a method")],
    ];
    for pairs in refused {
        assert_eq!(ask(&door, |r| r.cookie(&cookie), pairs).status, 403, "{pairs:?}");
        assert_eq!(ask(&door, |r| r.bearer(&token), pairs).status, 204, "{pairs:?}");
    }
    let ours = ("Origin", origin.as_str());
    let passed: &[&[(&str, &str)]] = &[
        &[],
        &[("X-Forwarded-Method", "GET")],
        &[("X-Forwarded-Method", "GET"), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")],
        &[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")],
        &[("X-Forwarded-Method", "POST"), ours],
        &[("X-Forwarded-Method", "POST"), ("Sec-Fetch-Site", "same-origin")],
        &[("X-Forwarded-Method", "GET"), ("Sec-WebSocket-Key", "eA=="), ours],
        &[ours],
    ];
    for pairs in passed {
        assert_eq!(ask(&door, |r| r.cookie(&cookie), pairs).status, 204, "{pairs:?}");
    }
}
