//! Stage 1: accept, secure, and say where a connection comes from.

mod address;
mod allow;
mod connection;
mod forwarded_cert;
mod framing;
mod io;
pub mod tls;

pub use address::{Forwarded, TrustedProxies, is_relayed_unbelieved};
pub use allow::AllowFrom;
pub use connection::{Accepted, Connection, HANDSHAKE_DEADLINE, accept, address_text};
pub use forwarded_cert::Malformed;
pub use framing::{AmbiguousFraming, check_framing};
pub use io::{ClientIo, HeadLog, Socket, only_piece};
