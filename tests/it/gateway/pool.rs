//! Connections to the engine are used again, and nobody ever gets what was another's.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use super::engine::Call;
use super::process::{HOST, TestGateway};
use super::{PATIENCE, wire::Answer};

/// Makes sure that the pool holds a connection; gives its number.
fn warm(gateway: &TestGateway) -> usize {
    assert_eq!(gateway.ask(gateway.get("/warm")).status, 200);
    gateway.engine.heard("/warm").pop().unwrap().connection
}

/// Closes a used connection as soon as it carries another request; answers on a fresh one.
fn close_if_used(call: &mut Call) -> std::io::Result<()> {
    if call.served > 0 {
        return call.close();
    }
    call.body()?;
    call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfresh")
}

#[test]
fn gf14_requests_one_after_the_other_share_a_connection() {
    let gateway = TestGateway::single();
    let first = warm(&gateway);
    for _ in 0..5 {
        assert_eq!(warm(&gateway), first);
    }
}

#[test]
fn gf14_a_get_on_a_stale_connection_is_repeated_once_on_a_fresh_one() {
    let gateway = TestGateway::single();
    let stale = warm(&gateway);
    gateway.engine.on("/gf14", close_if_used);
    let mut wire = gateway.connect();
    assert_eq!(wire.ask(gateway.get("/gf14")).text(), "fresh");
    assert_eq!(wire.ask(gateway.get("/warm")).text(), "plain\n", "answered twice");
    let heard = gateway.engine.heard("/gf14");
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[0].connection, stale);
    assert_ne!(heard[1].connection, stale);
}

#[test]
fn gf14_a_get_that_no_connection_answers_ends_in_one_502() {
    let gateway = TestGateway::single();
    warm(&gateway);
    gateway.engine.on("/gf14-never", Call::close);
    let mut wire = gateway.connect();
    let answer = wire.ask(gateway.get("/gf14-never"));
    assert_eq!(answer.status, 502);
    answer.message();
    assert_eq!(gateway.engine.heard("/gf14-never").len(), 2, "once, and once more");
    // Fresh from the start: not repeated at all.
    warm(&gateway);
    gateway.engine.on("/gf14-fresh", Call::close);
    drain_pool(&gateway);
    assert_eq!(wire.ask(gateway.get("/gf14-fresh")).status, 502);
    assert_eq!(gateway.engine.heard("/gf14-fresh").len(), 1);
}

/// Has the engine close every connection that the pool holds.
fn drain_pool(gateway: &TestGateway) {
    gateway.engine.answer("/drain", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(gateway.ask(gateway.get("/drain")).status, 200);
}

#[test]
fn gf14_what_changes_something_is_never_sent_twice() {
    let gateway = TestGateway::single();
    for (path, method, body) in [
        ("/gf14-twice/post-body", "POST", "{\"Image\":\"x\"}"),
        ("/gf14-twice/post", "POST", ""),
        ("/gf14-twice/put-body", "PUT", "tar"),
        ("/gf14-twice/patch", "PATCH", ""),
    ] {
        let stale = warm(&gateway);
        gateway.engine.on(path, close_if_used);
        let request = gateway.head(method, path, &format!("Content-Length: {}\r\n", body.len())) + body;
        assert_eq!(gateway.ask(request).status, 502, "{path}");
        let heard = gateway.engine.heard(path);
        assert_eq!(heard.len(), 1, "{path} was sent again");
        assert_eq!(heard[0].connection, stale, "{path}: the test did not meet a used connection");
    }
}

#[test]
fn gf14_a_connection_that_the_engine_closed_while_idle_costs_nobody_a_request() {
    let gateway = TestGateway::single();
    let (sender, gone) = channel();
    let sender = Mutex::new(sender);
    gateway.engine.on("/gf14-idle", move |call| {
        call.body()?;
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        call.close()?;
        sender.lock().unwrap().send(()).unwrap();
        Ok(())
    });
    for _ in 0..10 {
        let request = gateway.head("POST", "/gf14-idle", "Content-Length: 2\r\n") + "{}";
        assert_eq!(gateway.ask(request).status, 200);
        gone.recv_timeout(PATIENCE).unwrap();
    }
}

#[test]
fn gf14_many_at_once_get_each_their_own() {
    let gateway = TestGateway::single();
    gateway.engine.on("/gf14-own", |call| {
        let target = call.head.split(' ').nth(1).unwrap().to_owned();
        let body = call.body()?;
        let mine = [target.as_bytes(), b" ", &body].concat();
        call.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", mine.len()).as_bytes())?;
        call.send(&mine)
    });
    gateway.token();
    std::thread::scope(|scope| {
        for client in 0..8 {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut wire = gateway.connect();
                for number in 0..40 {
                    let body = format!("{client}-{number}").repeat(1 + number * 50);
                    let target = format!("/gf14-own?{client}-{number}");
                    let length = format!("Content-Length: {}\r\n", body.len());
                    let answer = wire.ask(gateway.head("POST", &target, &length) + &body);
                    assert_eq!(answer.text(), format!("{target} {body}"));
                }
            });
        }
    });
}

#[test]
fn gf14_what_an_engine_says_unasked_reaches_nobody() {
    let gateway = TestGateway::single();
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for (path, answer) in [
        ("/gf14-unasked/two", format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood{evil}")),
        (
            "/gf14-unasked/chunked",
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n{evil}"),
        ),
        ("/gf14-unasked/longer", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodevil".to_owned()),
        ("/gf14-unasked/empty", format!("HTTP/1.1 204 No Content\r\n\r\n{evil}")),
    ] {
        gateway.engine.answer(path, answer);
        let mut wire = gateway.connect();
        let first = wire.ask(gateway.get(path));
        assert!(["good", ""].contains(&first.text().as_str()), "{path}: {}", first.text());
        for _ in 0..3 {
            assert_eq!(wire.ask(gateway.get("/warm")).text(), "plain\n", "{path}");
        }
    }
    // The same behind an answer that says that it has a body and has none.
    gateway
        .engine
        .answer("/gf14-unasked/head", format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{evil}"));
    let mut wire = gateway.connect();
    assert_eq!(wire.ask(gateway.head("HEAD", "/gf14-unasked/head", "")).status, 200);
    assert_eq!(wire.ask(gateway.get("/warm")).text(), "plain\n");
}

#[test]
fn gf14_a_connection_whose_answer_was_not_read_to_its_end_is_not_used_again() {
    let gateway = TestGateway::single();
    let (sender, closed) = channel();
    let sender = Mutex::new(sender);
    gateway.engine.on("/gf14-left", move |call| {
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegun")?;
        sender.lock().unwrap().send((call.connection, call.is_closed_soon())).unwrap();
        call.close()
    });
    let mut wire = gateway.connect();
    wire.send(gateway.get("/gf14-left"));
    wire.head();
    wire.reset();
    let (connection, is_closed) = closed.recv_timeout(PATIENCE * 2).unwrap();
    assert!(is_closed);
    assert_ne!(warm(&gateway), connection);
}

#[test]
fn gh4_an_engine_that_is_away_gets_502_and_nothing_has_to_be_restarted() {
    let gateway = TestGateway::single();
    // What was found holds for a second.
    let ready = |status: u16| {
        let begun = std::time::Instant::now();
        loop {
            let answer = gateway.ask(format!("GET /_doorward/readyz HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
            if answer.status == status {
                return answer;
            }
            assert!(begun.elapsed() < PATIENCE, "{}", answer.text());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    ready(200);
    let expect_502 = |answer: Answer| {
        assert_eq!(answer.status, 502);
        assert!(answer.message().contains("engine"), "{}", answer.text());
    };
    drain_pool(&gateway);
    gateway.engine.go_away();
    let mut wire = gateway.connect();
    expect_502(wire.ask(gateway.get("/gh4")));
    expect_502(wire.ask(gateway.head("POST", "/gh4", "Content-Length: 2\r\n") + "{}"));
    expect_502(wire.ask(gateway.upgrade("/gh4", "{}")));
    let answer = ready(503);
    assert!(answer.text().contains("\"engine\":\"unavailable\""), "{}", answer.text());
    gateway.engine.come_back();
    assert_eq!(wire.ask(gateway.get("/gh4")).status, 200);
    ready(200);
    let line = &gateway.lines_about("/gh4", 1)[0];
    assert_eq!(line["status"], 502);
    assert!(line["reason"].as_str().unwrap().contains("cannot connect"), "{line}");
}

#[test]
fn gh4_an_upload_to_an_engine_that_is_away_gets_to_read_its_502() {
    let gateway = TestGateway::single();
    drain_pool(&gateway);
    gateway.engine.go_away();
    for _ in 0..5 {
        let mut wire = gateway.connect();
        wire.send(gateway.head("POST", "/gh4-load", &format!("Content-Length: {}\r\n", 8 << 20)));
        for _ in 0..32 {
            if wire.try_send(&vec![b'u'; 256 * 1024]).is_err() {
                break;
            }
        }
        assert_eq!(wire.answer().status, 502);
    }
}

#[test]
fn gg1_an_engine_that_talks_nonsense_gets_502() {
    let gateway = TestGateway::single();
    for (number, nonsense) in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "",
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/gg1-nonsense/{number}");
        gateway.engine.on(&path, move |call| {
            call.send(nonsense.as_bytes())?;
            call.close()
        });
        let answer = gateway.ask(gateway.get(&path));
        assert_eq!(answer.status, 502, "{nonsense:?}");
        answer.message();
    }
}
