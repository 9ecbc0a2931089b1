//! Stage 4: carries a permitted request to the engine and the answer back, unchanged but for the headers that belong
//! to the hop.

mod body;
mod connect;
mod forward;
pub mod headers;
mod hijack;
mod pool;
mod tunnel;

pub use body::EngineBody;
pub use connect::{Connector, EngineError, EngineStream, with_causes};
pub use forward::{ForwardError, Forwarded, Incoming, Origin, forward};
pub use pool::{Pool, SWEEP, learn_api_version};
pub use tunnel::TunnelReport;
