use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderValue, Request};

use super::{Activity, IdleWatch};
use crate::gateway::timer::CoarseTimer;
use crate::listener::{Connection, HeadLog, Membership, UnauthenticatedBudget};

/// A connection as the listener makes it, and its place in a budget.
pub(in crate::gateway) fn connection(is_http2: bool) -> (Connection, Membership) {
    let membership = UnauthenticatedBudget::new(1 << 20).enter().unwrap();
    let connection = Connection {
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        peer_text: HeaderValue::from_static("127.0.0.1"),
        is_tls: true,
        is_http2,
        is_inner: false,
        certificate: None,
        head_log: HeadLog::default(),
        exit: crate::streams::Exit::default(),
        share: Some(std::sync::Arc::clone(membership.share())),
    };
    (connection, membership)
}

async fn is_idle(watch: &mut IdleWatch) -> bool {
    poll_fn(|cx| Poll::Ready(watch.poll_idle(cx).is_ready())).await
}

#[tokio::test]
async fn i13_a_connection_without_a_request_for_a_minute_is_idle() {
    for is_http2 in [true, false] {
        let (timer, (connection, _membership)) = (CoarseTimer::new(), connection(is_http2));
        let mut watch = IdleWatch::new(Activity::new(&connection, timer.clone()));
        for (since, expected) in [(0, false), (59, false), (61, true)] {
            timer.set(Duration::from_secs(since));
            assert_eq!(is_idle(&mut watch).await, expected, "after {since} s");
        }
    }
}

#[tokio::test]
async fn i13_over_http2_an_authenticated_client_may_leave_a_stream_open_and_a_stranger_may_not() {
    for is_authenticated in [true, false] {
        let (timer, (connection, membership)) = (CoarseTimer::new(), connection(true));
        let activity = Activity::new(&connection, timer.clone());
        let mut watch = IdleWatch::new(Rc::clone(&activity));
        let mut open = activity.begin(&Request::new(())).unwrap();
        timer.set(Duration::from_secs(50));
        let other = activity.begin(&Request::new(()));
        if is_authenticated {
            membership.share().authenticate();
        }
        timer.set(Duration::from_secs(120));
        assert!(!is_idle(&mut watch).await, "both are being looked at");
        drop(other);
        open.answered(10);
        timer.set(Duration::from_secs(170));
        assert!(!is_idle(&mut watch).await);
        timer.set(Duration::from_secs(1000));
        assert_eq!(is_idle(&mut watch).await, !is_authenticated, "the answer was not taken");
        drop(open);
        timer.set(Duration::from_secs(1300));
        assert!(!is_idle(&mut watch).await || !is_authenticated);
        timer.set(Duration::from_secs(1311));
        assert!(is_idle(&mut watch).await);
    }
}

#[tokio::test]
async fn i13_on_http1_nobody_watches_a_connection_that_has_authenticated() {
    let (timer, (connection, membership)) = (CoarseTimer::new(), connection(false));
    let activity = Activity::new(&connection, timer.clone());
    let mut watch = IdleWatch::new(Rc::clone(&activity));
    membership.share().authenticate();
    assert!(activity.begin(&Request::new(())).is_none());
    timer.set(Duration::from_secs(1000));
    assert!(!is_idle(&mut watch).await && watch.sleep.is_none());
}

/// What the unit that carries an answer does: the share is given back with the body and not before.
#[tokio::test]
async fn i13_an_answer_that_is_not_taken_is_charged() {
    let budget = UnauthenticatedBudget::new(1 << 20);
    let membership = budget.enter().unwrap();
    let (mut connection, _other) = connection(true);
    connection.share = Some(std::sync::Arc::clone(membership.share()));
    let activity = Activity::new(&connection, CoarseTimer::new());
    let before = budget.spent();
    let mut open = activity.begin(&Request::new(())).unwrap();
    open.answered(100_000);
    let mut body = crate::gateway::GatewayBody::from(bytes::Bytes::from(vec![0; 100_000]));
    body.hold(open);
    assert!(budget.spent() >= before + 100_000);
    drop(body);
    assert_eq!(budget.spent(), before);
}
