use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::timeout;

use super::until_stop;
use crate::gateway::GatewayBody;
use crate::gateway::open_request::tests::connection;
use crate::gateway::open_request::{Activity, IdleWatch};
use crate::gateway::timer::CoarseTimer;
use crate::gateway::worker::{LINES, http2_builder};
use crate::streams::Cut;

const AT_MOST: Duration = Duration::from_secs(10);

/// Serves HTTP/2 as the gateway does, with a clock that the test moves.
fn serve(timer: &CoarseTimer) -> (DuplexStream, JoinHandle<()>) {
    let (client, server) = duplex(64 * 1024);
    let timer = timer.clone();
    let serving = spawn_local(async move {
        let (connection, _membership) = connection(true);
        let activity = Activity::new(&connection, timer);
        let watch = IdleWatch::new(Rc::clone(&activity));
        let service = service_fn(move |request| {
            let open = activity.begin(&request);
            async move {
                let mut body = GatewayBody::from(Bytes::from_static(b"ok"));
                if let Some(mut open) = open {
                    open.answered(2);
                    body.hold(open);
                }
                Ok::<_, Infallible>(Response::new(body))
            }
        });
        let serving = http2_builder(LINES).serve_connection(TokioIo::new(server), service);
        let _ = until_stop(serving, Cut::new().guard(), watch, |serving| serving.graceful_shutdown()).await;
    });
    (client, serving)
}

#[tokio::test]
async fn i13_an_idle_http2_connection_is_told_goodbye_and_closed() {
    let timer = CoarseTimer::new();
    LocalSet::new()
        .run_until(async {
            let (client, serving) = serve(&timer);
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client))
                    .await
                    .unwrap();
            let client = spawn_local(connection);
            for since in [0, 59, 118] {
                timer.set(Duration::from_secs(since));
                let request = Request::get("https://gate.example/").body(Empty::<Bytes>::new()).unwrap();
                assert_eq!(sender.send_request(request).await.unwrap().status(), 200, "after {since} s");
            }
            timer.set(Duration::from_secs(179));
            timeout(AT_MOST, serving).await.expect("it ends").unwrap();
            timeout(AT_MOST, client).await.expect("and says so").unwrap().expect("in order");
        })
        .await;
}

#[tokio::test]
async fn i13_a_header_block_in_pieces_over_http2_has_a_minute() {
    let timer = CoarseTimer::new();
    LocalSet::new()
        .run_until(async {
            let (mut client, serving) = serve(&timer);
            client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
            client.write_all(b"\0\0\x05\x01\0\0\0\0\x01\x82\x87\x84\0\x09").await.unwrap();
            // Something is heard of it every 20 seconds, pings included: none of that is a request.
            for since in [20, 40, 59] {
                timer.set(Duration::from_secs(since));
                client.write_all(b"\0\0\x01\x09\0\0\0\0\x01a").await.unwrap();
                tokio::task::yield_now().await;
                assert!(!serving.is_finished(), "after {since} s");
            }
            timer.set(Duration::from_secs(61));
            // It never reads the goodbye, let alone answers it.
            for since in 62..1000 {
                timer.set(Duration::from_secs(since));
                tokio::task::yield_now().await;
            }
            assert!(serving.is_finished());
            let mut rest = Vec::new();
            timeout(AT_MOST, client.read_to_end(&mut rest)).await.expect("it is closed").unwrap();
        })
        .await;
}
