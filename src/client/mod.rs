//! The other side of the gateway: what `doorward login` and its companions do on a developer's machine.
//!
//! ```text
//! GatewayUrl ─ServerTrust─► connect ─► Gateway (requests) ─► conversation ─► Login ─► LoginStore
//! ```
//!
//! Nothing here belongs to the way of a request through a gateway. What a server says is not believed before it has
//! proven who it is, and is bounded afterwards: it may be hostile, and it talks to a person's terminal.

mod address;
mod certificate;
mod connect;
mod conversation;
mod device;
mod docker;
mod http;
mod login;
mod pick;
mod secret;
mod store;
mod trust;

pub use address::{AddressError, GatewayUrl};
pub use certificate::{
    CertificateError, ClientCertificate, get_certificate, is_issued, is_let_in, revoke_certificate,
};
pub use connect::{ConnectError, Connected, connect, probe};
pub use conversation::{Ask, Granted, LoginError, OpenConversation, Person, log_in};
pub use device::{DeviceLogin, Polled};
pub use docker::{ContextName, DockerFault, DockerFolder, HeaderPlace, Owner, Proof, TlsFiles};
pub use http::{Answer, ClientError, Gateway, bearer};
pub use login::{CertificateRecord, ContextRecord, Login};
pub use pick::PickError;
pub use secret::Secret;
pub use store::{LoginStore, StoreFault};
pub use trust::{ClientProof, Fingerprint, Seen, ServerTrust};
