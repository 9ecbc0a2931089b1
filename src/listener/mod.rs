//! Stage 1: accept, secure, and say where a connection comes from.

mod address;
mod allow;
mod budget;
mod chunks;
mod connection;
mod forwarded;
mod forwarded_cert;
mod framing;
mod head_gate;
mod head_log;
mod io;
mod metered;
mod server_names;
pub mod tls;

pub use address::{Forwarded, Proto, TrustedProxies, Unreadable, is_relayed_unbelieved};
pub use allow::AllowFrom;
pub use budget::{Membership, RequestShare, Share, UnauthenticatedBudget};
pub use connection::{Accepted, Connection, HANDSHAKE_DEADLINE, accept, address_text};
pub use forwarded_cert::Malformed;
pub use framing::BadHead;
pub use head_log::{CertificateJudge, HeadLog};
pub use io::{ClientIo, Socket, only_piece};
pub use metered::Metered;
pub use server_names::ServerNames;
