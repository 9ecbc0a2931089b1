//! The gateway's own pages and API under `/_doorward/`: an actix-web application that is called in-process.
//!
//! Pages are for people, who may be sent a session cookie; the API is for programs, who get tokens.

mod account;
mod api;
mod app;
pub mod assets;
mod bridge;
mod caretaker;
mod certificate;
mod certificates;
mod context;
mod device;
mod device_answer;
mod device_api;
mod displaced;
mod doctor;
mod form;
mod health;
mod login;
mod logout;
mod moments;
mod readiness;
mod refusals;
mod sessions;
mod sheet;
mod tokens;
pub mod views;
mod welcome;

pub use app::{PagesState, build};
pub use bridge::{PageService, call};
pub use certificate::{CertificatePort, PATH as CERTIFICATE_PATH};
pub use context::PageContext;
pub use readiness::{Readiness, Report};
pub use refusals::{MOST_BODY_BYTES, error_page, link_page, message, too_many_failures};
