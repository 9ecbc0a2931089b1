//! What is written down, and what never is.

use super::process::{HOST, PASSWORD, TestGateway, USER};

/// One line a piece, each JSON, none too long, nothing in it that a terminal would obey.
fn expect_clean(text: &str) {
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for line in whole.split('\n').filter(|line| line.parse::<u32>().is_err()) {
        assert!(line.len() < 4096, "a line of {} bytes: {}", line.len(), &line[..200]);
        assert!(!line.chars().any(char::is_control), "{line:?}");
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn l1_hostile_paths_are_one_escaped_and_bounded_line_each() {
    let gateway = TestGateway::start(&["--assume-secure"]);
    let long = format!("/l1/{}", "x".repeat(60_000));
    let targets = [
        "/l1/a%0d%0a{\"user\":\"root\"}",
        "/l1/%1b[2J%1b]0;x%07",
        "/l1/\u{202e}rtl",
        "/l1/%e2%80%ae",
        "/l1/\x1b[2J",
        "/l1/a\rb",
        &long,
    ];
    for target in targets {
        gateway.connect().ask(gateway.get(target));
    }
    for bytes in [1 << 20, 300_000] {
        let mut wire = gateway.connect();
        let _ = wire.try_send(gateway.get(&format!("/l1-huge/{}", "y".repeat(bytes))).as_bytes());
        let (answer, _) = wire.read_to_end();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
            "{:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    let lines = gateway.lines(4, |line| line["path"].as_str().is_some_and(|path| path.starts_with("/l1/")));
    assert!(lines.iter().all(|line| line["path"].as_str().unwrap().len() < 600), "{lines:?}");
    gateway.ask(gateway.get("/l1-end"));
    gateway.lines_about("/l1-end", 1);
    for text in [gateway.log.text(), gateway.said.text()] {
        expect_clean(&text);
        assert!(!text.contains(&"y".repeat(1000)));
    }
}

#[test]
fn l1_hostile_user_names_are_one_escaped_and_bounded_line_each() {
    let gateway = TestGateway::start(&["--assume-secure"]);
    let names = [
        "bob\\r\\n{\\\"user\\\":\\\"root\\\"}".to_owned(),
        "\\u001b[2Jroot".to_owned(),
        "\\u202eroot".to_owned(),
        "root\\u0000".to_owned(),
        "l1-long".repeat(8_000),
        "l1-huge".repeat(150_000),
    ];
    std::thread::scope(|scope| {
        for name in &names {
            let gateway = &gateway;
            scope.spawn(move || {
                let body = format!("{{\"user\":\"{name}\",\"password\":\"wrong-l1\"}}");
                let mut wire = gateway.connect();
                let _ = wire.try_send(
                    format!(
                        "POST /_doorward/api/v1/login HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n\
                         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    )
                    .as_bytes(),
                );
                let (answer, _) = wire.read_to_end();
                assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{:?}", String::from_utf8_lossy(&answer));
            });
        }
    });
    gateway.lines(names.len(), |line| line["path"] == "/_doorward/api/v1/login");
    for text in [gateway.log.text(), gateway.said.text()] {
        expect_clean(&text);
        assert!(!text.contains(&"l1-long".repeat(100)) && !text.contains("l1-huge"));
    }
}

#[test]
fn l2_no_secret_is_written_at_any_level() {
    let folder = super::process::new_folder();
    let options = ["--autocert", "localhost,127.0.0.1", "--workers", "1"];
    let gateway = TestGateway::start_in(folder, &options, &[("DOORWARD_LOG_LEVEL", "trace")]);
    let basic = data_encoding::BASE64.encode(format!("{USER}:{PASSWORD}").as_bytes());
    let cookie = gateway.cookie().to_owned();
    gateway.engine.answer(
        "/l2",
        "HTTP/1.1 200 OK\r\nSet-Cookie: engine=engine-secret\r\nX-Registry-Auth: answer-secret\r\nContent-Length: 11\r\n\r\nbody-answer",
    );
    let common = "X-Registry-Auth: registry-secret\r\nX-Registry-Config: config-secret\r\nProxy-Authorization: Basic proxy-secret\r\n";
    let body = "Content-Length: 11\r\n\r\nbody-secret";
    let line = format!("POST /l2?token=query-secret HTTP/1.1\r\nHost: {HOST}\r\n{common}");
    let mut wire = gateway.connect();
    for credential in [
        format!("Authorization: Bearer {}\r\n", gateway.token()),
        format!("Authorization: Basic {basic}\r\n"),
        format!("Cookie: other=other-secret; {cookie}\r\nOrigin: https://{HOST}\r\n"),
    ] {
        assert_eq!(wire.ask(format!("{line}{credential}{body}")).status, 200);
    }
    for credential in [
        "Authorization: Bearer dwt_wrong-token\r\n",
        "Authorization: Negotiate wrong-scheme\r\n",
        "Authorization: Basic d3Jvbmc6d3JvbmctYmFzaWM=\r\n",
        "Cookie: __Host-doorward=wrong-cookie\r\n",
    ] {
        assert_eq!(wire.ask(format!("{line}{credential}{body}")).status, 401);
    }
    for broken in [
        "{\"user\":\"bob\",\"password\":\"broken-secret\"",
        "{\"user\":\"bob\",\"password\":\"unknown-secret\",\"x\":1}",
    ] {
        let answer = wire.ask(format!(
            "POST /_doorward/api/v1/login HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{broken}",
            broken.len()
        ));
        assert_eq!(answer.status, 400);
        assert!(!answer.text().contains("-secret"), "{}", answer.text());
    }
    // A request that cannot be read at all is quoted by some servers.
    gateway.ask(format!(
        "POST /l2 HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer unread-secret\r\nX Y: z\r\n\r\n"
    ));
    gateway.lines_about("/l2", 7);
    gateway.said.wait_for_text("a request could not be read");
    let value = cookie.split_once('=').unwrap().1;
    let secrets = [
        PASSWORD,
        gateway.token(),
        value,
        &basic,
        "registry-secret",
        "config-secret",
        "proxy-secret",
        "query-secret",
        "body-secret",
        "other-secret",
        "engine-secret",
        "answer-secret",
        "body-answer",
        "wrong-token",
        "wrong-scheme",
        "wrong-basic",
        "d3Jvbmc6d3JvbmctYmFzaWM",
        "wrong-cookie",
        "broken-secret",
        "unknown-secret",
        "unread-secret",
    ];
    for text in [gateway.log.text(), gateway.said.text()] {
        for secret in secrets {
            let found = text.lines().find(|line| line.contains(secret));
            assert!(found.is_none(), "{secret} is written: {}", found.unwrap());
        }
    }
    assert!(gateway.said.text().contains("\"TRACE\""), "the test must look at the most that there is");
}

#[test]
fn gi1_each_request_has_one_line_that_says_who_by_what_and_from_where() {
    let gateway = TestGateway::tls();
    let mut wire = gateway.connect();
    wire.ask(gateway.get("/gi1-line?secret=query"));
    wire.ask(format!("GET /gi1-line HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\n\r\n", gateway.cookie()));
    wire.ask(format!("GET /gi1-line HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    wire.ask(gateway.get("/gi1-end"));
    gateway.lines_about("/gi1-end", 1);
    let lines = gateway.lines_about("/gi1-line", 3);
    assert_eq!(lines.len(), 3);
    for (line, (user, door, status)) in lines.iter().zip([
        (Some("bob"), Some("token"), 200),
        (Some("bob"), Some("session"), 200),
        (None, None, 401),
    ]) {
        assert_eq!((line["user"].as_str(), line["door"].as_str()), (user, door), "{line}");
        assert_eq!(
            (&line["status"], &line["method"], &line["address"]),
            (&status.into(), &"GET".into(), &"127.0.0.1".into())
        );
        assert_eq!(line["credential"].is_string(), user.is_some(), "{line}");
    }
    let ids: std::collections::HashSet<_> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn l3_nobody_changes_anything_while_the_log_cannot_be_written() {
    let change = |gateway: &TestGateway| {
        gateway.ask(gateway.head("POST", "/l3/create", "Content-Length: 0\r\n")).status
    };
    for (failure, status) in [("refuse", 503), ("go-on", 200)] {
        let gateway =
            TestGateway::start(&["--assume-secure", "--log", "/dev/full", "--log-failure", failure]);
        assert_eq!(gateway.ask(gateway.get("/l3/json")).status, 200);
        gateway.said.wait_for_text("cannot write the request log");
        assert_eq!(change(&gateway), status, "{failure}");
        assert_eq!(gateway.ask(gateway.upgrade("/l3/start", "")).status, status, "{failure}");
        assert_eq!(gateway.ask(gateway.get("/l3/json")).status, 200, "looking on is allowed");
        assert_eq!(gateway.ask(gateway.get("/_doorward/readyz")).status, 503);
    }
}

#[test]
fn i11_the_line_tells_the_route_whatever_stands_around_it() {
    let gateway = TestGateway::start(&["--assume-secure"]);
    gateway.token();
    gateway.lines_about("/_doorward/api/v1/login", 1);
    let name = "n".repeat(20_000);
    let many = "n/".repeat(8_000);
    let query = "q".repeat(20_000);
    for (target, start, end) in [
        (format!("/v1.41/i11/{name}/exec"), "/v1.41/i11/nnn", "nnn/exec"),
        (format!("/i11/{many}push"), "/i11/n/", "/n/push"),
        (format!("/i11/{name}/checkpoints/{name}"), "/i11/nnn", "nnn"),
        (format!("/i11/create?{query}"), "/i11/create", "/i11/create"),
        (format!("/i11/%61{}/kill", "%20".repeat(5_000)), "/i11/a%20", "/kill"),
    ] {
        let before = gateway.log.text().len();
        gateway.ask(gateway.head("POST", &target, "Content-Length: 0\r\n"));
        let line = gateway.log.wait_for("its line", |text| {
            let line = text[before..].lines().next().filter(|_| text[before..].ends_with('\n'))?;
            Some(serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON"))
        });
        let path = line["path"].as_str().unwrap();
        assert!(path.starts_with(start) && path.ends_with(end) && path.len() <= 512, "{path}");
        assert_eq!(line["status"], 200, "{line}");
        if target.contains("checkpoints") {
            assert!(path.contains("/checkpoints/"), "{path}");
        }
    }
}

#[test]
fn i11_a_version_that_could_hide_what_follows_is_refused() {
    let gateway = TestGateway::assumed();
    let zeros = format!("/v{}1.41/i11bad", "0".repeat(600));
    let dots = format!("/v1.{}41/i11bad", ".".repeat(600));
    let tag = format!("/v1.41-{}/i11bad", "a".repeat(600));
    for target in
        [&zeros, &dots, &tag, "/v01.41/i11bad", "/v.1/i11bad", "/%761.0041/i11bad", "/v1.2.3.4/i11bad"]
    {
        let answer = gateway.ask(gateway.get(target));
        assert_eq!(answer.status, 400, "{target}");
        assert!(answer.message().contains("version"), "{}", answer.text());
    }
    assert!(!gateway.engine.has_received("i11bad"));
    for target in [
        "/v1.41/i11good",
        "/v1.54/i11good",
        "/v9/i11good",
        "/v5.2.0/libpod/i11good",
        "/v5.0.0-rc1/libpod/i11good",
    ] {
        assert_eq!(gateway.ask(gateway.get(target)).status, 200, "{target}");
    }
}
