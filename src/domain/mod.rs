//! Plain types with no I/O. Every stage may import these; they import nothing of ours.

pub mod authority;
mod certificate;
mod clock;
mod conversation;
mod door;
mod foreign_text;
pub mod hijack;
pub mod hop;
mod keepalive;
mod name_rule;
mod network;
pub mod pem;
mod question;
mod return_to;
mod scope;
mod secret;
mod security_headers;
mod span;
mod username;

pub use certificate::ClientCertificate;
pub use clock::{Clock, UnixMillis, UnixSeconds};
pub use conversation::{Level, Message, Prompt, PromptStyle};
pub use door::Door;
pub use foreign_text::{escape_json, is_unsafe, sanitize};
pub use keepalive::keep_alive;
pub use name_rule::{InvalidUsername, check_name};
pub use network::{CLIENT_PREFIX, Client, Clients, network_of, site_of};
pub use question::Asked;
pub use return_to::ReturnTo;
pub use scope::Scope;
pub use secret::{InvalidPassword, Password};
pub use security_headers::{add_security_headers, security_header_lines};
pub use span::span;
pub use username::Username;
