//! Files and folders that a less trusted user could exchange while root works on them.
//!
//! A path is walked component by component, each opened inside the one before it, and what was opened is what counts from
//! then on ([`Folder`]). A symbolic link is followed only where it gives its maker nothing: the kernel's own rule
//! (`protected_symlinks`, proc(5)) covers folders like `/tmp` alone, and a gateway that was broken into owns its state
//! folder. Owner and mode are set on open files, never by path. Compiled into the gateway and into the broker.

mod folder;
mod named;
mod socket;
mod walk;

pub use folder::{Folder, open_to_read};
pub use named::{SECRETS, is_mounted_secret, is_open_to_others, read_believed, read_secret};
pub use socket::{bind, remove_socket};
pub use walk::RefusedLink;
