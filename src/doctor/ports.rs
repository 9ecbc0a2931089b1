//! Other services under the gateway's host name. A cookie belongs to a host name and not to a port (RFC 6265 section 8.5):
//! a browser sends the session cookie to each HTTPS service of the host that somebody's link leads it to.

use std::time::Duration;

use super::finding::Finding;
use super::public::{self, PublicUrl};

/// Ports on which web services usually answer.
const USUAL: [u16; 36] = [
    443, 2376, 3000, 3001, 4443, 5000, 5001, 5443, 5601, 5986, 6443, 7443, 8000, 8001, 8006, 8080, 8081,
    8088, 8100, 8123, 8143, 8200, 8443, 8444, 8843, 8888, 9000, 9001, 9090, 9091, 9200, 9443, 10000, 10443,
    19999, 32400,
];
/// Longest wait for one of them; all are tried at once.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Tries the usual ports of the public host, but for those of the gateway.
pub(super) async fn examine(url: &PublicUrl, own: &[u16]) -> Vec<Finding> {
    let id = "terminator.other-ports";
    let host = url.host();
    let others = USUAL.iter().copied().filter(|port| *port != url.port() && !own.contains(port));
    let tries = others.map(|port| async move {
        let answer = tokio::time::timeout(PATIENCE, public::speaks_tls(host, port)).await;
        answer.unwrap_or_default().then_some(port)
    });
    let found = futures_util::future::join_all(tries).await;
    let found: Vec<String> = found.into_iter().flatten().map(|port| port.to_string()).collect();
    if found.is_empty() {
        let text = format!(
            "no other service answers over TLS on {host}, on the {} ports that were tried",
            USUAL.len()
        );
        return vec![Finding::ok(id, text)];
    }
    let text = format!(
        "other services answer over TLS on {host} (port {}): browsers send them the gateway's session cookie too, because \
         cookies know no ports",
        found.join(", ")
    );
    let fix = "give the gateway a host name of its own; else trust these services as much as the gateway, or end stolen \
               sessions with --session-bind-network";
    vec![Finding::warning(id, text, fix)]
}
