//! On a port of its own, a certificate is exchanged for an ordinary session.

use super::super::door::{BOB, EVE};
use super::super::wire::Request;
use super::{Bench, Setup};

#[test]
fn c7_only_the_certificate_port_asks_and_its_session_works_and_ends_on_the_main_one() {
    let bench = Bench::usual(&["--client-cert-listen", "127.0.0.1:0"]);
    let (address, client) = (bench.door.next_address(), bench.client(&bench.authority.client("bob")));
    // The client would show it here too, if it were asked.
    assert_eq!(
        bench.door.send_over(bench.door.address, Some(&client), &Request::get("/version")).status,
        401
    );
    let login = bench.door.send(&Request::get("/_doorward/login?next=/containers/json").navigating());
    let link = format!("https://{address}/_doorward/certificate?next=%2Fcontainers%2Fjson&#38;back=");
    assert!(login.body.contains(&link), "{} not in {}", link, login.body);
    let target = format!("/_doorward/certificate?next=/containers/json&back={}", bench.door.origin());
    let reply = bench.door.send_over(address, Some(&client), &Request::get(&target).navigating());
    let back = format!("{}/containers/json", bench.door.origin());
    assert_eq!((reply.status, reply.header("location")), (303, Some(back.as_str())), "{reply:?}");
    let cookie = reply.new_cookie().unwrap();
    let account = bench.door.send(&Request::get("/_doorward/account").navigating().cookie(&cookie));
    assert!(account.body.contains("CN=bob") && account.body.contains("Certificate ends"), "{}", account.body);
    let out = Request::post("/_doorward/logout").by_our_page().form(&[]).cookie(&cookie);
    assert_eq!(bench.door.send(&out).status, 303);
    assert_eq!(bench.door.send(&Request::get("/version").cookie(&cookie)).status, 401);
}

#[test]
fn i1_a_browser_comes_back_from_the_certificate_port_and_other_sites_lead_nowhere() {
    let bench = Bench::usual(&["--client-cert-listen", "127.0.0.1:0"]);
    let (address, client) = (bench.door.next_address(), bench.client(&bench.authority.client("bob")));
    let target = format!("/_doorward/certificate?next=/version&back={}", bench.door.origin());
    let reply = bench.door.send_over(address, Some(&client), &Request::get(&target).navigating());
    let window = |cookie: &str, site: &str| {
        let request = Request::get("/version").navigating().header("Sec-Fetch-Site", site);
        bench.door.send(&request.cookie(cookie)).status
    };
    // The redirect crossed from one port of the host to another.
    let by_certificate = reply.new_cookie().unwrap();
    assert_eq!(window(&by_certificate, "same-site"), 200);
    assert_eq!(window(&by_certificate, "cross-site"), 403);
    let frame = Request::get("/version").cookie(&by_certificate).headers(&[
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "iframe"),
    ]);
    assert_eq!(bench.door.send(&frame).status, 403);
    assert_eq!(window(&bench.door.cookie(BOB), "same-site"), 403, "no certificate, no way back");
}

#[test]
fn c7_the_exchange_takes_the_certificate_and_nothing_else() {
    let bench = Bench::usual(&["--client-cert-listen", "127.0.0.1:0"]);
    let (address, client) = (bench.door.next_address(), bench.client(&bench.authority.client("bob")));
    let plain = bench.door.tls();
    let exchange = Request::get("/_doorward/certificate").navigating();
    for (what, request) in [
        ("nothing", exchange.clone()),
        ("a cookie", exchange.clone().cookie(&bench.door.cookie(BOB))),
        ("a token", exchange.clone().bearer(&bench.door.token(BOB))),
    ] {
        let reply = bench.door.send_over(address, Some(&plain), &request);
        assert_eq!(reply.status, 401, "{what}");
        assert!(reply.new_cookie().is_none() && reply.body.contains("No certificate"), "{what}: {reply:?}");
    }
    // A link on another site ends no session.
    let eve = bench.door.cookie(EVE);
    let foreign = exchange.clone().cookie(&eve).header("Sec-Fetch-Site", "cross-site");
    assert_eq!(bench.door.send_over(address, Some(&client), &foreign).status, 403);
    assert_eq!(bench.door.send(&Request::get("/version").cookie(&eve)).status, 200);
    // Another person's session in the browser is replaced, and ends, when they come from our own page.
    let reply = bench.door.send_over(address, Some(&client), &exchange.clone().cookie(&eve));
    assert_eq!(reply.status, 303, "{reply:?}");
    assert_eq!(bench.door.send(&Request::get("/version").cookie(&eve)).status, 401);
    // Not for scripts, and not with a way to somewhere else.
    let by_script = Request::get("/_doorward/certificate").header("Sec-Fetch-Dest", "empty");
    assert_eq!(bench.door.send_over(address, Some(&client), &by_script).status, 403);
    let astray =
        Request::get("/_doorward/certificate?back=https://evil.example&next=//evil.example").navigating();
    let reply = bench.door.send_over(address, Some(&client), &astray);
    assert_eq!(reply.header("location"), Some("/_doorward/account"));
    let wrong = bench.client(&super::Authority::root("Test CA").client("bob"));
    let reply = bench.door.send_over(address, Some(&wrong), &exchange);
    assert!(reply.status == 401 && reply.body.contains("No CA that is trusted here issued it"), "{reply:?}");
}

#[test]
fn c4_a_session_of_one_port_is_not_resumed_on_the_other() {
    let bench = Bench::usual(&["--client-cert-listen", "127.0.0.1:0"]);
    let (address, client) = (bench.door.next_address(), bench.client(&bench.authority.client("bob")));
    let version = Request::get("/version");
    for _ in 0..3 {
        // One client, and one store of tickets for both: the port is not part of a ticket's name.
        assert_eq!(bench.door.send_over(address, Some(&client), &version).status, 200);
        assert_eq!(bench.door.send_over(bench.door.address, Some(&client), &version).status, 401);
    }
}

#[test]
fn gd1_without_passwords_the_login_page_offers_the_certificate_alone() {
    let bench = Bench::of(Setup::usual().without_passwords(), &[]);
    let page = bench.door.send(&Request::get("/_doorward/login").navigating());
    assert!(
        page.body.contains("Sign in with a certificate") && !page.body.contains("password"),
        "{}",
        page.body
    );
    let reply = bench.door.submit(&[("user", "bob"), ("password", "x")]);
    assert_eq!(reply.status, 404, "{reply:?}");
    let reply = bench.door.api_login(&serde_json::json!({ "user": "bob", "password": "x" }));
    assert_eq!(reply.status, 404, "{reply:?}");
    assert_eq!(bench.door.send(&Request::get("/_doorward/readyz")).status, 200);
    let shown = bench.authority.client("anybody");
    assert_eq!(bench.whoami(&shown).unwrap(), ("anybody".to_owned(), "certificate".to_owned()));
}
