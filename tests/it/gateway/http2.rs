//! The same rules over HTTP/2, where lengths and hosts travel differently.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::process::{HOST, TestGateway};

type Sender = SendRequest<Full<Bytes>>;

/// Runs a client on a loop of its own.
fn run<T>(client: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(client)
}

async fn connect(gateway: &TestGateway) -> Sender {
    let mut config = (*gateway.trust()).clone();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let socket = TcpStream::connect(gateway.address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) =
        Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(
    gateway: &TestGateway,
    method: &str,
    path: &str,
    more: &[(&str, &str)],
    body: &[u8],
) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("https://{HOST}{path}"))
        .header("authorization", format!("Bearer {}", gateway.token()));
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    request.body(Full::new(Bytes::copy_from_slice(body))).unwrap()
}

async fn ask(sender: &mut Sender, request: Request<Full<Bytes>>) -> (StatusCode, HeaderMap, Bytes) {
    let response: Response<Incoming> = sender.send_request(request).await.expect("an answer");
    let (head, body) = response.into_parts();
    (head.status, head.headers, body.collect().await.expect("a whole body").to_bytes())
}

#[test]
fn f3_a_request_over_http2_reaches_the_engine_in_http1_with_one_framing_header_and_our_headers() {
    let gateway = TestGateway::tls();
    gateway.token();
    run(async {
        let mut sender = connect(gateway).await;
        let forged =
            [("x-forwarded-user", "root"), ("remote_user", "root"), ("x-forwarded-host", "evil.example")];
        let (status, headers, body) =
            ask(&mut sender, request(gateway, "POST", "/h2/framing?a=1", &forged, b"hello")).await;
        assert_eq!((status, &body[..]), (StatusCode::OK, &b"plain\n"[..]));
        assert!(
            !headers.contains_key("connection") && !headers.contains_key("transfer-encoding"),
            "{headers:?}"
        );
    });
    let heard = gateway.engine.only("/h2/framing");
    assert!(heard.head.starts_with("POST /h2/framing?a=1 HTTP/1.1\r\n"), "{}", heard.head);
    assert_eq!(heard.values("host"), [HOST]);
    assert_eq!(heard.values("x-forwarded-user"), ["bob"]);
    assert_eq!(heard.values("x-forwarded-host"), [HOST]);
    assert_eq!(
        heard.values("content-length").len() + heard.values("transfer-encoding").len(),
        1,
        "{}",
        heard.head
    );
    assert!(heard.values("authorization").is_empty() && !heard.head.contains("root"), "{}", heard.head);
}

#[test]
fn i1_i10_an_answer_over_http2_passes_the_same_filter() {
    let gateway = TestGateway::tls();
    gateway.token();
    gateway.engine.answer(
        "/h2/i10",
        "HTTP/1.1 200 OK\r\nSet-Cookie: =__Host-doorward=x\r\nSet-Cookie: ui=1\r\nClear-Site-Data: \"*\"\r\n\
         Service-Worker-Allowed: /\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie, X-Sum\r\n\r\n\
         2\r\nhi\r\n0\r\nSet-Cookie: __Host-doorward=x\r\nX-Sum: 1\r\n\r\n",
    );
    run(async {
        let mut sender = connect(gateway).await;
        let response = sender.send_request(request(gateway, "GET", "/h2/i10", &[], b"")).await.unwrap();
        let headers = response.headers().clone();
        assert_eq!(headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["ui=1"]);
        assert!(!headers.contains_key("clear-site-data") && !headers.contains_key("service-worker-allowed"));
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["content-type"], "application/octet-stream");
        let body = response.into_body().collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        assert!(!trailers.contains_key("set-cookie"), "{trailers:?}");
        assert_eq!(body.to_bytes(), "hi");
        let worker = request(gateway, "GET", "/h2/sw", &[("service-worker", "script")], b"");
        assert_eq!(ask(&mut sender, worker).await.0, 403);
    });
    assert!(gateway.engine.heard("/h2/sw").is_empty());
}

#[test]
fn p5_host_and_authority_must_agree_over_http2() {
    let gateway = TestGateway::tls();
    gateway.token();
    run(async {
        let mut sender = connect(gateway).await;
        for (host, expected) in [
            (HOST, 200),
            ("GATE.example:8100", 200),
            ("evil.example", 400),
            ("gate.example", 400),
            ("a b", 400),
        ] {
            let (status, _, _) =
                ask(&mut sender, request(gateway, "GET", "/h2/p5", &[("host", host)], b"")).await;
            assert_eq!(status, expected, "{host}");
        }
        let (status, _, _) =
            ask(&mut sender, request(gateway, "GET", "/h2/p5", &[("host", HOST), ("host", HOST)], b"")).await;
        assert_eq!(status, 400, "two hosts");
        let mut odd = request(gateway, "GET", "/h2/p5", &[], b"");
        *odd.uri_mut() = format!("https://root@{HOST}/h2/p5").parse().unwrap();
        assert_eq!(ask(&mut sender, odd).await.0, 400, "a user in :authority");
    });
    let heard = gateway.engine.heard("/h2/p5");
    assert_eq!(heard.len(), 2);
    assert!(heard.iter().all(|heard| heard.values("host").len() == 1), "{heard:?}");
}

#[test]
fn p1_ambiguous_targets_and_p4_connect_are_refused_over_http2() {
    let gateway = TestGateway::tls();
    gateway.token();
    run(async {
        let mut sender = connect(gateway).await;
        for path in
            ["//h2bad", "/h2bad/../x", "/h2bad/%2e%2e/x", "/h2bad%2fb", "/h2bad/a%2f%2e%2e", "/h2bad/a%00"]
        {
            let (status, _, body) = ask(&mut sender, request(gateway, "GET", path, &[], b"")).await;
            assert_eq!(status, 400, "{path}");
            assert!(body.starts_with(b"{\"message\":"), "{body:?}");
        }
        let mut connect = request(gateway, "CONNECT", "/", &[], b"");
        *connect.uri_mut() = "h2bad.example:22".parse().unwrap();
        match sender.send_request(connect).await {
            Ok(response) => assert!(matches!(response.status().as_u16(), 400 | 405), "{response:?}"),
            Err(error) => assert!(!error.is_timeout(), "{error}"),
        }
    });
    assert!(!gateway.engine.has_received("h2bad"));
}

#[test]
fn i3_what_cannot_be_read_is_refused_over_http2_too() {
    let options = ["--autocert", "localhost,127.0.0.1", "--trusted-proxy", "127.0.0.1/32"];
    let gateway = TestGateway::start(&options);
    let gateway = &gateway;
    gateway.token();
    run(async {
        let mut sender = connect(gateway).await;
        for (name, value) in [
            ("x-forwarded-for", &b"\xff"[..]),
            ("x-forwarded-for", b"203.0.113.9, unknown"),
            ("x-forwarded-proto", b"\xff"),
            ("x-forwarded-host", b"a b"),
            ("forwarded", b"for=203.0.113.9"),
        ] {
            let mut request = request(gateway, "GET", "/h2/i3", &[], b"");
            request.headers_mut().append(name, http::HeaderValue::from_bytes(value).unwrap());
            assert_eq!(ask(&mut sender, request).await.0, 400, "{name} {value:?}");
        }
        let mut cookie = Request::get(format!("https://{HOST}/h2/i3")).body(Full::default()).unwrap();
        let value = [gateway.cookie().as_bytes(), b"\xff"].concat();
        cookie.headers_mut().append("cookie", http::HeaderValue::from_bytes(&value).unwrap());
        assert_eq!(ask(&mut sender, cookie).await.0, 401);
        let good = [("x-forwarded-for", "junk, 203.0.113.9"), ("cookie", "a=b")];
        let mut good = request(gateway, "GET", "/h2/i3", &good, b"");
        good.headers_mut().append("cookie", http::HeaderValue::from_bytes(b"caf\xe9=1").unwrap());
        assert_eq!(ask(&mut sender, good).await.0, 200);
    });
    assert_eq!(gateway.engine.only("/h2/i3").values("x-forwarded-for"), ["203.0.113.9"]);
}

#[test]
fn gg1_refusals_over_http2_have_the_engines_shape() {
    let gateway = TestGateway::tls();
    run(async {
        let mut sender = connect(gateway).await;
        for method in [Method::GET, Method::HEAD, Method::POST] {
            let bare = Request::builder().method(&method).uri(format!("https://{HOST}/h2-stranger"));
            let (status, headers, body) = ask(&mut sender, bare.body(Full::new(Bytes::new())).unwrap()).await;
            assert_eq!(
                (status.as_u16(), headers["content-type"].to_str().unwrap()),
                (401, "application/json")
            );
            assert_eq!(body.is_empty(), method == Method::HEAD, "{method}: {body:?}");
        }
    });
    assert!(!gateway.engine.has_received("h2-stranger"));
}

#[test]
fn s12_a_session_cookie_in_pieces_is_found_and_removed_over_http2() {
    let gateway = TestGateway::tls();
    let cookie = gateway.cookie();
    run(async {
        let mut sender = connect(gateway).await;
        // Browsers send each cookie in a header of its own (RFC 9113 section 8.2.3).
        let mut crumbs = Request::builder().uri(format!("https://{HOST}/h2/crumbs"));
        for crumb in ["theme=dark", cookie, "lang=de"] {
            crumbs = crumbs.header("cookie", crumb);
        }
        let (status, _, _) = ask(&mut sender, crumbs.body(Full::new(Bytes::new())).unwrap()).await;
        assert_eq!(status, 200);
    });
    let heard = gateway.engine.only("/h2/crumbs");
    assert_eq!(heard.values("cookie").join("; "), "theme=dark; lang=de");
    assert_eq!(heard.values("cookie").len(), 1, "HTTP/1.1 knows one Cookie header: {}", heard.head);
}

#[test]
fn gf14_many_streams_of_one_connection_get_each_their_own() {
    let gateway = TestGateway::tls();
    gateway.token();
    gateway.engine.on("/h2/own", |call| {
        let target = call.head.split(' ').nth(1).unwrap().to_owned();
        let body = call.body()?;
        let mine = [target.as_bytes(), b" ", &body].concat();
        call.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", mine.len()).as_bytes())?;
        call.send(&mine)
    });
    run(async {
        let sender = connect(gateway).await;
        let mut asked = tokio::task::JoinSet::new();
        for number in 0..100 {
            let mut sender = sender.clone();
            let path = format!("/h2/own?{number}");
            let body = format!("{number}").repeat(number * 100);
            let request = request(gateway, "POST", &path, &[], body.as_bytes());
            asked.spawn(async move {
                let (status, _, got) = ask(&mut sender, request).await;
                assert_eq!((status.as_u16(), got), (200, Bytes::from(format!("{path} {body}"))));
            });
        }
        while let Some(done) = asked.join_next().await {
            done.unwrap();
        }
    });
}

#[test]
fn gf8_a_stream_that_is_reset_frees_the_engine_and_leaves_the_connection() {
    let gateway = TestGateway::tls();
    gateway.token();
    let (sent, closed) = std::sync::mpsc::channel();
    let sent = std::sync::Mutex::new(sent);
    gateway.engine.on("/h2/reset", move |call| {
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")?;
        sent.lock().unwrap().send(call.is_closed_soon()).unwrap();
        call.close()
    });
    run(async {
        let mut sender = connect(gateway).await;
        let response = sender.send_request(request(gateway, "GET", "/h2/reset", &[], b"")).await.unwrap();
        drop(response);
        assert_eq!(ask(&mut sender, request(gateway, "GET", "/h2/after", &[], b"")).await.0, 200);
    });
    assert!(closed.recv_timeout(super::PATIENCE * 2).unwrap(), "the engine's connection stays");
}
