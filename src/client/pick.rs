//! Which login is meant.

use thiserror::Error;

use super::address::GatewayUrl;
use super::login::Login;
use super::store::{LoginStore, StoreFault};

/// Why no login could be chosen.
#[derive(Debug, Error)]
pub enum PickError {
    /// More than one host is called so.
    #[error("{wanted} is one of several: {}; write the port too", hosts.join(", "))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// Which hosts it may be.
        hosts: Vec<String>,
    },
    /// Nobody is logged in anywhere.
    #[error("not logged in; run: doorward login https://HOST:PORT")]
    Nowhere,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// There is no login for this host.
    #[error("not logged in to {wanted}; run: doorward login {wanted}")]
    Unknown {
        /// What was asked for.
        wanted: String,
    },
}

impl LoginStore {
    /// The login that is meant by a host (with or without its port), an address or a docker context's name; the last one
    /// if nothing is said.
    ///
    /// # Errors
    /// [`PickError`] if there is none, or more than one.
    pub fn pick(&self, wanted: Option<&str>) -> Result<Login, PickError> {
        let all = self.all()?;
        match wanted {
            None => match (all.into_iter().next(), self.broken()?.pop()) {
                (Some(login), _) => Ok(login),
                (None, Some(fault)) => Err(fault.into()),
                (None, None) => Err(PickError::Nowhere),
            },
            Some(wanted) => {
                let chosen = choose(all, wanted);
                if let (Err(PickError::Unknown { .. }), Ok(url)) = (&chosen, GatewayUrl::parse(wanted)) {
                    // It may be there, and be of no use.
                    self.get(&url)?;
                }
                chosen
            }
        }
    }
}

fn choose(all: Vec<Login>, wanted: &str) -> Result<Login, PickError> {
    let exact = GatewayUrl::parse(wanted).ok();
    // Without a scheme an address means the default port: a host of that name on another one is meant just as well.
    let says_all = wanted.contains("://") || exact.as_ref().is_some_and(|url| url.authority() == wanted);
    let is_meant = |login: &Login| {
        let names_context = login.context.as_ref().is_some_and(|context| context.name == wanted);
        let is_host = exact.as_ref().is_some_and(|url| {
            url.host() == login.url.host() && (!says_all || url.authority() == login.url.authority())
        });
        names_context || is_host
    };
    let mut meant: Vec<Login> = all.into_iter().filter(is_meant).collect();
    // Who writes a password into an address does not want to read it again.
    let wanted = wanted.rsplit('@').next().unwrap_or_default().to_owned();
    if meant.len() > 1 {
        let hosts = meant.iter().map(|login| login.url.authority()).collect();
        return Err(PickError::Ambiguous { wanted, hosts });
    }
    meant.pop().ok_or(PickError::Unknown { wanted })
}

#[cfg(test)]
mod tests {
    use super::{PickError, choose};
    use crate::client::{ContextRecord, GatewayUrl, Login, Secret, ServerTrust};

    fn login(url: &str, context: &str) -> Login {
        Login {
            url: GatewayUrl::parse(url).unwrap(),
            user: "bob".to_owned(),
            token: Secret::parse("dwt_x".to_owned().into()).unwrap(),
            expires: 0,
            made: 0,
            trust: ServerTrust::System,
            context: Some(ContextRecord {
                name: context.to_owned(),
                folder: "/x".into(),
                certificate: None,
                http_headers: false,
                tunnel: None,
            }),
        }
    }

    #[test]
    fn a_login_is_meant_by_host_port_address_or_context() {
        let all = || vec![login("a.example", "work"), login("b.example:1", "b1"), login("b.example:2", "b2")];
        let chosen = |wanted: &str| choose(all(), wanted).map(|login| login.url.authority());
        for (wanted, host) in [
            ("a.example", "a.example:8100"),
            ("A.Example:8100", "a.example:8100"),
            ("https://a.example:8100", "a.example:8100"),
            ("work", "a.example:8100"),
            ("b.example:2", "b.example:2"),
            ("b1", "b.example:1"),
        ] {
            assert_eq!(chosen(wanted).unwrap(), host, "{wanted}");
        }
        assert!(matches!(chosen("b.example"), Err(PickError::Ambiguous { hosts, .. }) if hosts.len() == 2));
        for wanted in ["c.example", "b.example:3", "https://a.example", "", "a.example/x"] {
            assert!(matches!(chosen(wanted), Err(PickError::Unknown { .. })), "{wanted}");
        }
        let Err(error) = chosen("https://bob:secret@c.example") else { panic!("it was found") };
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
