//! Our own certificate authority: certificates for servers and people, and what has become of them.
//!
//! ```text
//! DIR/ca.pem        the CA's certificate; public
//! DIR/ca-key.pem    its key, 0600, encrypted at rest if there is a passphrase
//! DIR/index         one line a certificate that was issued: for whom, until when, revoked or not
//! DIR/crl.pem       the revocation list, signed; made from the index
//! ```
//!
//! The index is the truth, and the revocation list follows it: a revocation counts from the moment when the index has
//! its place, and a crash before the list is written is put right by the next command that has the key.
//!
//! [`CaFolder`] reads without the key, [`Authority`] signs. Both may be used while a gateway runs: changes are made under
//! a lock on the folder, each file is replaced as a whole.

mod authority;
mod bundle;
mod error;
mod folder;
mod index;
mod key;
mod login;
mod profile;
mod request;
mod revocations;
mod serial;

pub use authority::{Authority, Issued, NewCa, Revoked};
pub use bundle::{Bundle, pkcs12};
pub use error::CaError;
pub use folder::{CA_FOLDER, CA_KEY, CaFolder};
pub use index::{Index, Kind, Reason, Record, Revocation, State};
pub use key::{Algorithm, LeafKey};
pub use login::{LOGIN_CA_FOLDER, LoginCa};
pub use profile::{
    CA_DAYS, CLIENT_DAYS, CRL_DAYS, MAX_CA_DAYS, MAX_CLIENT_DAYS, MAX_CRL_DAYS, MAX_SERVER_DAYS, SERVER_DAYS,
    Subject,
};
pub(crate) use profile::{alternative_name, moment};
pub use request::PublicKeyRequest;
pub use revocations::Revocations;
pub use serial::Serial;
