//! How a peer that vanished is noticed, on both sides of the gateway.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// As the docker CLI sets it on its own end.
const IDLE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_secs(10);
const PROBES: u32 = 5;

/// Switches TCP keep-alive on: a silent stream may last for ever, a dead peer no longer than 80 seconds.
///
/// # Errors
/// The socket's own error.
pub fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let settings = TcpKeepalive::new().with_time(IDLE).with_interval(INTERVAL).with_retries(PROBES);
    SockRef::from(stream).set_tcp_keepalive(&settings)
}
