//! What this gateway believes of a request, for `doorward doctor` on the same host and for nobody else.
//!
//! The doctor sends a request with forged headers through the terminator and asks here what came of them. An address is
//! somebody's business, so the answer is given only for a proof that was put into the state folder ([`Nonce`]); to all
//! others this page does not exist.

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::pages::app::{PagesState, unknown_page};
use crate::pages::context::PageContext;
use crate::store::Nonce;

/// The header with the proof. Not in the path, which terminators write into their logs.
const PROOF: &str = "doorward-doctor";
/// Most values of `X-Forwarded-For` that are given back.
const MOST_VALUES: usize = 8;

/// Says from where, to which host and how this request came, and for whom it is taken.
pub(super) async fn echo(state: web::Data<PagesState>, context: PageContext) -> HttpResponse {
    let proof = context.header(PROOF).unwrap_or_default();
    if !Nonce::redeem(&state.folder, proof, &state.doors.clock) {
        return unknown_page(context).await;
    }
    let chain = context.headers.get_all("x-forwarded-for").iter().take(MOST_VALUES);
    let chain: Vec<_> = chain.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    let body = json!({
        "client": context.client,
        "is_forwarded": context.is_forwarded,
        "forwarded_for": chain.join(", "),
        "host": context.authority,
        "is_insecure": context.is_insecure,
        "user": context.identity.as_ref().map(|identity| identity.user().as_str()),
    });
    HttpResponse::Ok()
        .insert_header(("content-type", "application/json"))
        .insert_header(("cache-control", "no-store"))
        .body(format!("{body}\n"))
}
