//! Cookies know no ports: gateways on one host name share a browser's cookies, and whatever else listens there sees them.

use nix::sys::signal::Signal;

use super::door::{BOB, Door, EVE, Setup};
use super::wire::{Reply, Request};

fn login(door: &Door, who: (&str, &str), cookies: &str) -> Reply {
    let form = [("user", who.0), ("password", who.1)];
    door.send(&Request::post("/_doorward/login").by_our_page().form(&form).cookie(cookies))
}

fn user(door: &Door, cookies: &str) -> Option<String> {
    let reply = door.send(&Request::get("/_doorward/api/v1/whoami").cookie(cookies));
    (reply.status == 200).then(|| reply.json()["user"].as_str().unwrap().to_owned())
}

#[test]
fn i16_gateways_on_one_host_name_neither_overwrite_nor_see_each_others_cookies() {
    let (mut one, two) = (Setup::usual().open(), Setup::usual().open());
    let first = login(&one, BOB, "a=b");
    let mine = first.new_cookie().unwrap();
    let second = login(&two, EVE, &mine);
    let theirs = second.new_cookie().unwrap();
    let names = [&first, &second].map(|reply| -> Vec<String> {
        let sets = reply.all("set-cookie").into_iter();
        sets.map(|set| set.split('=').next().unwrap().to_owned()).collect()
    });
    assert!(names[0].iter().all(|name| !names[1].contains(name)), "{names:?}");
    // The browser sends both to both, in either order.
    for both in [format!("{mine}; {theirs}"), format!("{theirs}; {mine}")] {
        assert_eq!(user(&one, &both).as_deref(), Some("bob"));
        assert_eq!(user(&two, &both).as_deref(), Some("eve"));
        let more = format!("{both}; {}-device=x; c=d", two.cookie_name());
        let seen = one.send(&Request::get("/i16").cookie(&more)).body;
        assert!(seen.contains("c=d") && !seen.to_ascii_lowercase().contains("__host-doorward"), "{seen}");
    }
    assert_eq!(user(&one, &theirs), None, "a cookie of the other is none here");
    // Signing out of one is not signing out of the other.
    let both = format!("{mine}; {theirs}");
    let out = two.send(&Request::post("/_doorward/logout").by_our_page().cookie(&both));
    let removed = out.header("set-cookie").unwrap().to_owned();
    assert!(removed.starts_with(theirs.split('=').next().unwrap()), "{removed}");
    assert_eq!(user(&one, &both).as_deref(), Some("bob"));
    one.restart(Signal::SIGTERM);
    assert_eq!(user(&one, &mine).as_deref(), Some("bob"), "the name is the same after a restart");
}

#[test]
fn i16_a_cookie_of_before_names_carried_an_identifier_is_ignored_and_removed_at_the_next_login() {
    let door = Door::shared();
    let cookie = door.cookie(BOB);
    let value = cookie.split_once('=').unwrap().1;
    let former = format!("__Host-doorward={value}; __Host-doorward-device=x");
    assert_eq!(user(&door, &former), None);
    assert_eq!(user(&door, &format!("{former}; {cookie}")).as_deref(), Some("bob"));
    let reply = login(&door, BOB, &former);
    for name in ["__Host-doorward", "__Host-doorward-device"] {
        let sets = reply.all("set-cookie");
        let set = sets.iter().find(|set| set.starts_with(&format!("{name}=;"))).unwrap();
        assert!(set.contains("Max-Age=0") && set.contains("Path=/") && set.contains("Secure"), "{set}");
    }
    let removed = |reply: &Reply| reply.all("set-cookie").iter().any(|set| set.contains("Max-Age=0"));
    assert!(!removed(&login(&door, BOB, &cookie)), "nothing else is removed");
}

/// A session and a token of bob's at a gateway that is behind a terminator, which says where a client is.
fn behind(arguments: &[&str]) -> Door {
    Setup::behind_terminator().with(&["--trusted-proxy", "127.0.0.1"]).with(arguments).open()
}

fn from(address: &str, request: Request) -> Request {
    request.header("X-Forwarded-For", address).header("X-Forwarded-Proto", "https")
}

fn cookie_from(door: &Door, address: &str) -> String {
    let form = [("user", BOB.0), ("password", BOB.1)];
    door.send(&from(address, Request::post("/_doorward/login").by_our_page().form(&form)))
        .new_cookie()
        .unwrap()
}

fn status(door: &Door, address: &str, path: &str, cookie: &str) -> u16 {
    door.send(&from(address, Request::get(path).cookie(cookie))).status
}

#[test]
fn i16_a_bound_session_ends_everywhere_when_it_shows_up_in_another_network() {
    let mut door = behind(&["--session-bind-network"]);
    for (home, neighbour, elsewhere) in [
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("2001:db8:1:2::7", "2001:db8:1:2:ffff::1", "2001:db8:1:3::7"),
        ("::ffff:192.0.2.7", "192.0.2.7", "2001:db8:1:2::7"),
    ] {
        // By the engine, by a page, by the API, by another proxy's question: whichever a thief tries first.
        for path in ["/version", "/_doorward/account", "/_doorward/api/v1/whoami", "/_doorward/auth"] {
            let cookie = cookie_from(&door, home);
            let stays = [home, neighbour, home].map(|address| status(&door, address, "/version", &cookie));
            assert_eq!(stays, [200; 3], "{home}");
            let held = door.open_stream("/silent", |request| from(home, request.cookie(&cookie)));
            let taken = status(&door, elsewhere, path, &cookie);
            assert!(matches!(taken, 303 | 401), "{path}: {taken}");
            held.await_end();
            assert_eq!(status(&door, home, "/version", &cookie), 401, "{path}: it ended at home too");
        }
    }
    door.output.line_with("it showed up in another network than it began in");
    // After a restart nothing is remembered but what the store holds.
    let cookie = cookie_from(&door, "192.0.2.7");
    door.restart(Signal::SIGTERM);
    assert_eq!(status(&door, "192.0.2.7", "/version", &cookie), 200);
    assert_eq!(status(&door, "198.51.100.1", "/version", &cookie), 401);
    assert_eq!(status(&door, "192.0.2.7", "/version", &cookie), 401);
    // What no browser keeps is bound to no network.
    let bearer =
        |address: &str, token: &str| door.send(&from(address, Request::get("/version").bearer(token))).status;
    let login = Request::post("/_doorward/api/v1/login");
    let login = login.json(&serde_json::json!({ "user": BOB.0, "password": BOB.1 }));
    let token = door.send(&from("192.0.2.7", login)).json()["token"].as_str().unwrap().to_owned();
    assert_eq!([bearer("192.0.2.7", &token), bearer("198.51.100.1", &token)], [200, 200]);
}

#[test]
fn i16_a_session_roams_unless_it_is_bound() {
    let door = behind(&[]);
    let cookie = cookie_from(&door, "192.0.2.7");
    for address in ["192.0.2.7", "198.51.100.1", "2001:db8::1"] {
        assert_eq!(status(&door, address, "/version", &cookie), 200, "{address}");
    }
}
