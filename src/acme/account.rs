//! The account at the ACME server. Its key is made once and kept; losing it only means a new account.

use instant_acme::{Account, AccountCredentials, Error, ExternalAccountKey, NewAccount};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::client::Client;
use super::error::AcmeError;
use super::folder::{Folder, read, remove, write};
use crate::config::AcmeSettings;

/// What `account.json` holds.
#[derive(Deserialize, Serialize)]
struct Stored {
    /// The account's address and its private key, as the library writes them.
    credentials: AccountCredentials,
    /// The address that the server was told.
    email: Option<String>,
}

/// The kept account, or a new one.
pub(super) async fn open(
    settings: &AcmeSettings,
    folder: &Folder,
    client: &Client,
    binding: Option<&ExternalAccountKey>,
) -> Result<Account, AcmeError> {
    match load(folder)? {
        Some(stored) => restore(settings, folder, client, stored).await,
        None => create(settings, folder, client, binding).await,
    }
}

/// The kept account, if there is one.
pub(super) async fn kept(folder: &Folder, client: &Client) -> Result<Option<Account>, AcmeError> {
    let Some(stored) = load(folder)? else { return Ok(None) };
    let builder = Account::builder_with_http(Box::new(client.clone()));
    builder.from_credentials(stored.credentials).await.map(Some).map_err(AcmeError::Server)
}

/// Forgets an account that the server does not know any more, so that the next attempt makes another.
pub(super) fn forget(folder: &Folder) -> Result<(), AcmeError> {
    tracing::warn!(
        "the ACME server does not know the kept account any more; the next attempt makes a new one"
    );
    remove(&folder.account())
}

async fn restore(
    settings: &AcmeSettings,
    folder: &Folder,
    client: &Client,
    stored: Stored,
) -> Result<Account, AcmeError> {
    let told = stored.email;
    let Some(account) = kept(folder, client).await? else {
        return Err(AcmeError::Account(Error::Str("the account's file is gone")));
    };
    if told != settings.email {
        let contact = contact(settings);
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        account.update_contacts(&contact).await.map_err(AcmeError::Account)?;
        store(folder, &Stored { credentials: stored.credentials, email: settings.email.clone() })?;
    }
    Ok(account)
}

async fn create(
    settings: &AcmeSettings,
    folder: &Folder,
    client: &Client,
    binding: Option<&ExternalAccountKey>,
) -> Result<Account, AcmeError> {
    let contact = contact(settings);
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let builder = Account::builder_with_http(Box::new(client.clone()));
    let made = builder.create(&new, settings.directory.to_string(), binding).await;
    let (account, credentials) = made.map_err(|error| match error {
        error @ Error::Api(_) => AcmeError::Account(error),
        error => AcmeError::Server(error),
    })?;
    store(folder, &Stored { credentials, email: settings.email.clone() })?;
    tracing::info!(directory = %settings.directory, account = account.id(), "an ACME account was made");
    Ok(account)
}

fn contact(settings: &AcmeSettings) -> Option<String> {
    settings.email.as_ref().map(|email| format!("mailto:{email}"))
}

fn load(folder: &Folder) -> Result<Option<Stored>, AcmeError> {
    let path = folder.account();
    let Some(bytes) = read(&path)?.map(Zeroizing::new) else { return Ok(None) };
    // The error could quote the key.
    let stored = serde_json::from_slice(&bytes).map_err(|_| AcmeError::Kept {
        path,
        source: std::io::Error::other(
            "it is not the file of an account; remove it, and a new account is made",
        ),
    })?;
    Ok(Some(stored))
}

fn store(folder: &Folder, stored: &Stored) -> Result<(), AcmeError> {
    let path = folder.account();
    let bytes = serde_json::to_vec(stored).map(Zeroizing::new);
    let bytes = bytes.map_err(|error| AcmeError::Kept { path: path.clone(), source: error.into() })?;
    write(&path, &bytes)
}
