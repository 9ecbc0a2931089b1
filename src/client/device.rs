//! The login in a browser, which may be on another device (after RFC 8628): the gateway gives a code, the person types it
//! there and approves, and the token comes here.

use std::time::Duration;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

use super::conversation::{Granted, Step, granted};
use super::http::{Answer, ClientError, Gateway};
use super::secret::Secret;

const BEGIN: &str = "/_doorward/api/v1/device";
const POLL: &str = "/_doorward/api/v1/device/token";
/// Bounds of what the gateway may ask for, in seconds.
const INTERVAL: std::ops::RangeInclusive<u64> = 1..=60;
const LIFETIME: std::ops::RangeInclusive<u64> = 10..=1800;
/// Longest code that is shown.
const MOST_CODE: usize = 32;

/// A login that waits for a person in a browser.
pub struct DeviceLogin {
    device: Secret,
    /// What the person types there.
    pub code: String,
    /// Where: on the very gateway that was asked.
    pub url: Url,
    /// How often to ask.
    pub interval: Duration,
    /// How long it waits.
    pub lifetime: Duration,
}

/// What asking came to.
pub enum Polled {
    /// Approved.
    Granted(Granted),
    /// Nobody has said anything yet.
    Pending,
    /// Asked too often.
    TooFast,
}

#[derive(Serialize)]
struct Begin<'a> {
    name: &'a str,
}

#[derive(Deserialize)]
struct Begun {
    device: Secret,
    code: String,
    url: String,
    interval: u64,
    expires_in: u64,
}

#[derive(Serialize)]
struct Poll<'a> {
    device: &'a str,
}

impl DeviceLogin {
    /// Begins; `name` is what the token is called in lists.
    ///
    /// # Errors
    /// [`ClientError`] if the gateway does not do that.
    pub async fn begin(gateway: &Gateway, name: &str) -> Result<Self, ClientError> {
        let begun: Answer<Begun> = gateway.json(Method::POST, BEGIN, Some(&Begin { name })).await?;
        let begun = begun.content;
        let strange = |what: &str| ClientError::Strange(what.to_owned());
        let is_code = (4..=MOST_CODE).contains(&begun.code.len())
            && begun.code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_code {
            return Err(strange("the code that it gives cannot be typed"));
        }
        // A browser is sent nowhere but to who was asked. Behind a terminator the gateway may know another scheme.
        let url = Url::parse(&begun.url).map_err(|_| strange("the address that it gives is none"))?;
        let is_there = url.host_str()
            == Url::parse(&gateway.url.to_string()).ok().as_ref().and_then(Url::host_str)
            && ["https", "http"].contains(&url.scheme())
            && url.username().is_empty()
            && url.password().is_none();
        if !is_there {
            return Err(strange("the address that it gives is another host's"));
        }
        Ok(Self {
            device: begun.device,
            code: begun.code,
            url,
            interval: Duration::from_secs(begun.interval.clamp(*INTERVAL.start(), *INTERVAL.end())),
            lifetime: Duration::from_secs(begun.expires_in.clamp(*LIFETIME.start(), *LIFETIME.end())),
        })
    }

    /// Asks once.
    ///
    /// # Errors
    /// [`ClientError`]; a status of 400 to 410 means that it was denied, or took too long.
    pub async fn poll(&self, gateway: &Gateway) -> Result<Polled, ClientError> {
        match gateway.json::<Step>(Method::POST, POLL, Some(&Poll { device: self.device.expose() })).await {
            Ok(answer) if answer.status == StatusCode::ACCEPTED => Ok(Polled::Pending),
            Ok(answer) => granted(answer).map(Polled::Granted),
            Err(error) if error.is_status(429) => Ok(Polled::TooFast),
            Err(error) => Err(error),
        }
    }
}
