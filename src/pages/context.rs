//! What the gateway knows of a request for one of its own pages.

use std::future::{Ready, ready};
use std::net::IpAddr;

use actix_web::dev::Payload;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest};
use http::HeaderMap;

use crate::identity::{Identity, Origin, Shared};

/// Put into every request by the bridge; handlers take it as an argument.
#[derive(Clone, Debug)]
pub struct PageContext {
    /// Where the client is.
    pub client: IpAddr,
    /// Whether a trusted terminator said where that is.
    pub is_forwarded: bool,
    /// The host and port that the client asked for.
    pub authority: Option<String>,
    /// Who asks, if they proved it.
    pub identity: Option<Identity>,
    /// What is wrong with the certificate that was shown, if that is why nobody was proven.
    pub refused: Option<&'static str>,
    /// A trusted terminator said that the client came without TLS.
    pub is_insecure: bool,
    /// The gateway is about to end.
    pub is_stopping: bool,
    /// The request's id.
    pub request_id: String,
    /// The headers, as the data plane sees them.
    pub headers: HeaderMap,
    /// The method, as the data plane sees it.
    pub method: http::Method,
}

impl PageContext {
    /// Where an attempt to log in comes from.
    #[must_use]
    pub fn origin(&self, doors: &Shared) -> Origin {
        Origin::of(&self.headers, self.client, self.identity.as_ref(), &doors.cookie_key, doors.clock.now())
    }

    /// The host for people to read.
    #[must_use]
    pub fn host(&self) -> &str {
        self.authority.as_deref().unwrap_or("this host")
    }

    /// A header as text; `None` also for one that is none. Not for what must be refused if it cannot be read.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether the body says that it is JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.header("content-type")
            .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json"))
    }

    /// Whether a script on some page made this request, be it our engine's own: such a script must not read or change
    /// what belongs to the person (CVE-2024-39315). `Sec-Fetch-Dest` cannot be set by scripts.
    #[must_use]
    pub fn is_by_script(&self) -> bool {
        self.headers.get_all("sec-fetch-dest").iter().any(|dest| dest != "document")
    }

    /// Whether another site caused this request, or the browser says of its origin what cannot be understood.
    #[must_use]
    pub fn is_cross_site(&self) -> bool {
        let ours =
            |site: &http::HeaderValue| ["same-origin", "same-site", "none"].iter().any(|word| site == word);
        !self.headers.get_all("sec-fetch-site").iter().all(ours)
    }
}

impl FromRequest for PageContext {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let found = request.extensions().get::<Self>().cloned();
        ready(found.ok_or_else(|| actix_web::error::ErrorInternalServerError("")))
    }
}
