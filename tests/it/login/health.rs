//! What machines ask: alive, ready, and the command for images without curl.

use std::process::Command;

use serde_json::json;

use super::door::{BOB, Door, PROGRAM, Setup};
use super::wire::Request;

fn ready(door: &Door) -> Request {
    let _ = door;
    Request::get("/_doorward/readyz")
}

#[test]
fn healthz_and_readyz_need_no_login_and_tell_no_details() {
    let door = Door::shared();
    let alive = door.send(&Request::get("/_doorward/healthz"));
    assert_eq!((alive.status, alive.json()), (200, json!({ "status": "ok" })));
    let reply = door.send(&ready(&door));
    let parts = json!({ "status": "ok", "engine": "ok", "store": "ok", "login": "ok", "log": "ok" });
    assert_eq!((reply.status, reply.json()), (200, parts));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

#[test]
fn readyz_and_pages_answer_head_like_get() {
    let door = Door::shared();
    let page = door.send(&Request::get("/_doorward/login")).body;
    let style = page.split("href=\"").find(|rest| rest.contains(".css\"")).unwrap();
    let style = style.split('"').next().unwrap();
    for path in ["/_doorward/healthz", "/_doorward/readyz", "/_doorward/login", style] {
        let head = door.send(&Request::new("HEAD", path));
        let get = door.send(&Request::get(path));
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}: {head:?}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
    }
}

#[test]
fn gh4_gh2_an_engine_that_is_away_is_told_apart_from_a_gateway_that_is() {
    let door = Setup::usual().open();
    let command = |extra: &[&str]| {
        let output = Command::new(PROGRAM)
            .args(["healthcheck", "--url", &format!("https://localhost:{}", door.address.port())])
            .args(extra)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(command(&["--ready"]).0, Some(0));
    let (socket, aside) = (door.folder.path().join("engine.sock"), door.folder.path().join("aside.sock"));
    std::fs::rename(&socket, &aside).unwrap();
    let reply = door.await_status(503, &ready(&door));
    let body = reply.json();
    assert_eq!(
        (&body["engine"], &body["store"], &body["status"]),
        (&json!("unavailable"), &json!("ok"), &json!("unavailable"))
    );
    assert!(!reply.body.contains("engine.sock") && !reply.body.contains("os error"), "{reply:?}");
    assert_eq!(door.send(&Request::get("/_doorward/healthz")).status, 200);
    assert_eq!(command(&[]).0, Some(0));
    let (code, said) = command(&["--ready"]);
    assert!(code == Some(3) && said.contains("engine"), "{code:?} {said}");
    let request = Request::get("/new-connection").bearer(&door.token(BOB));
    door.await_status(502, &request).is_engine_error(502);
    std::fs::rename(&aside, &socket).unwrap();
    door.await_status(200, &ready(&door));
    assert_eq!(door.send(&request).status, 200);
    let (_, port) = (drop(door), "https://localhost:1");
    let gone = Command::new(PROGRAM).args(["healthcheck", "--url", port]).output().unwrap();
    assert_eq!(gone.status.code(), Some(1));
}

#[test]
fn a_body_that_never_ends_does_not_hold_a_connection_for_ever() {
    let door = Door::shared();
    let request = Request::post("/_doorward/api/v1/login")
        .header("Content-Length", "100")
        .header("Content-Type", "application/json");
    let open = door.open(&request);
    open.finish(false).is_engine_error(408);
}
