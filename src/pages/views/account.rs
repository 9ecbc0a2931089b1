//! What a user sees about himself.

use askama::Template;

use super::assets;

/// A point in time, already put into words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Moment {
    /// For people: `today at 14:05`, `in 7 hours`.
    pub text: String,
    /// For machines: RFC 3339 in UTC.
    pub iso: String,
}

impl Moment {
    /// The day, in UTC: `2027-02-22`. For what is too far off to be counted in days.
    #[must_use]
    pub fn day(&self) -> &str {
        self.iso.split('T').next().unwrap_or_default()
    }
}

/// A token of the user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenRow {
    /// Its public id; the field `id` when it is revoked, with `kind` = `token`.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// How it came to be: `login`, `minted`.
    pub kind: String,
    /// When it was made.
    pub created: Moment,
    /// When it was last used, if ever.
    pub last_used: Option<Moment>,
    /// When it ends.
    pub expires: Moment,
}

/// A browser session of the user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionRow {
    /// Its public id; the field `id` when it is ended, with `kind` = `session`.
    pub id: String,
    /// When it began.
    pub created: Moment,
    /// When it was last used.
    pub last_seen: Moment,
    /// Client address at login; empty when unknown.
    pub address: String,
    /// Whether this very page was asked for with it.
    pub current: bool,
}

/// A certificate of the user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientCertificateView {
    /// Its holder's name (RFC 4514).
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Its serial number.
    pub serial: String,
    /// When it ends.
    pub expires: Moment,
}

/// Commands to be copied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CliBlock {
    /// What they are for.
    pub title: String,
    /// The commands, one a line.
    pub text: String,
}

/// The account page.
#[derive(Debug, Template)]
#[template(path = "account.html")]
pub struct AccountPage<'a> {
    /// The host, as the browser named it.
    pub host: &'a str,
    /// The secret of the form that signs out; its field `csrf_token`.
    pub logout_token: String,
    /// The secret of the other forms; their field `csrf_token`.
    pub csrf_token: String,
    /// Whether the engine has pages to open.
    pub engine_ui: bool,
    /// Who is signed in.
    pub user: &'a str,
    /// The user's groups.
    pub groups: &'a [String],
    /// How: `password, in this browser`.
    pub door_text: &'a str,
    /// Public id of the credential, as it stands in the log.
    pub credential_id: &'a str,
    /// Since when.
    pub since: Moment,
    /// Until when.
    pub expires: Moment,
    /// How long it may be idle: `30 minutes`; empty when that does not matter.
    pub idle_text: &'a str,
    /// The client certificate that this login hangs on.
    pub client_certificate: Option<ClientCertificateView>,
    /// SHA-256 of the server's certificate, to compare with what the command line shows.
    pub certificate_fingerprint: Option<&'a str>,
    /// The user's tokens, newest first.
    pub tokens: Vec<TokenRow>,
    /// The user's sessions, newest first.
    pub sessions: Vec<SessionRow>,
    /// How to use the engine from the command line.
    pub cli_lines: Vec<CliBlock>,
    /// How the engine is: `Docker Engine 29.1 answers`.
    pub engine_text: &'a str,
    /// Whether the engine answers.
    pub engine_ok: bool,
}

impl AccountPage<'_> {
    /// The letter on the user's door.
    fn initial(&self) -> String {
        self.user.chars().next().map(|c| c.to_uppercase().collect()).unwrap_or_default()
    }
}
