//! What is kept of a login.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::address::GatewayUrl;
use super::http::Gateway;
use super::secret::Secret;
use super::trust::ServerTrust;
use crate::domain::UnixSeconds;

/// One host's entry in the credentials store. No `Debug`: it holds the token.
#[derive(Clone, Deserialize, Serialize)]
pub struct Login {
    /// Where the gateway is.
    pub url: GatewayUrl,
    /// Who is logged in there, as the gateway says.
    pub user: String,
    /// The login's token.
    pub token: Secret,
    /// When the token ends.
    pub expires: UnixSeconds,
    /// When the login was made: the last one counts where none is named.
    pub made: UnixSeconds,
    /// How the server proves itself.
    pub trust: ServerTrust,
    /// The docker context that belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<ContextRecord>,
}

/// A docker context that was made for a login.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ContextRecord {
    /// Its name.
    pub name: String,
    /// Docker's configuration folder that it is in.
    pub folder: PathBuf,
    /// The client certificate in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateRecord>,
    /// Whether the token was written into Docker's `config.json`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub http_headers: bool,
    /// The socket of `doorward tunnel` that it leads to, in place of the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<PathBuf>,
}

/// A client certificate that the gateway has issued.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CertificateRecord {
    /// Its serial number in hexadecimal.
    pub id: String,
    /// When it ends.
    pub expires: UnixSeconds,
    /// Where it lets in, if that is not the address that was logged in to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<GatewayUrl>,
}

impl Login {
    /// The gateway, spoken to as who is logged in.
    #[must_use]
    pub fn gateway(&self) -> Gateway {
        let (url, trust) = (self.url.clone(), self.trust.clone());
        Gateway { url, trust, token: Some(self.token.clone()), proof: None }
    }

    /// Whether the login has ended by itself.
    #[must_use]
    pub const fn has_ended(&self, now: UnixSeconds) -> bool {
        self.expires <= now
    }
}
