//! Browser sessions: a random key in an encrypted cookie, everything else in the store.
//!
//! The pages write through actix-session ([`middleware`]); the data plane only reads ([`read`]). Both use one key file.
//! Beside it a [`Device`] remembers where somebody has logged in before.

mod actix_store;
mod cookie;
mod cookie_key;
mod device;
mod expiry;
mod key_text;
mod login_cookie;
mod names;
mod page_secret;

pub use actix_store::{
    ADDRESS, CERTIFICATE, GROUPS, OnEnded, StoreAdapter, USER, certificate_of, middleware,
};
pub use cookie::{
    CookieOutcome, RawCookie, drop_doubtful, former_names, is_canonical, open, raw_value, read, strip,
};
pub use cookie_key::{CookieKey, CookieKeyError};
pub use device::Device;
pub use expiry::is_live;
pub use key_text::{SessionKeyText, hash};
pub use login_cookie::LoginKey;
pub use names::{COOKIE_PREFIX, CookieNames};
pub use page_secret::{PageForm, PageSecrets};
