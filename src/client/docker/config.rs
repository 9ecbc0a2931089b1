//! Docker's `config.json`: which context is used by default, and headers for each request. Whatever else stands there stays.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::name::ContextName;
use super::{DockerFault, DockerFolder, fault};
use crate::client::Secret;
use crate::client::store::make_private;
use crate::store::{Place, Readers, create_private};

const CURRENT: &str = "currentContext";
const HEADERS: &str = "HttpHeaders";
const AUTHORIZATION: &str = "Authorization";

/// Whether a token's header stands in `config.json`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HeaderPlace {
    /// None of any kind.
    Free,
    /// This very token.
    Ours,
    /// Another value.
    Taken,
}

impl DockerFolder {
    /// Makes a context the one that `docker` uses unless it is told otherwise.
    ///
    /// # Errors
    /// [`DockerFault`] if `config.json` cannot be changed.
    pub fn select(&self, name: &ContextName) -> Result<(), DockerFault> {
        self.edit(|config| {
            config.insert(CURRENT.to_owned(), name.as_str().into());
            true
        })
    }

    /// Makes an empty `config.json` where there is none: docker-compose 1 and the Python library look for contexts beside
    /// it, and nowhere if it is missing.
    pub(super) fn ensure_config(&self) -> Result<(), DockerFault> {
        make_private(&self.folder).map_err(|error| fault(&self.folder, error))?;
        let path = self.config_path();
        create_private(&path, b"{}").map(|_| ()).map_err(|error| fault(&path, error))
    }

    /// Whether `docker` uses this context unless it is told otherwise.
    #[must_use]
    pub fn is_selected(&self, name: &ContextName) -> bool {
        let current =
            self.read().ok().and_then(|(config, _)| config.get(CURRENT)?.as_str().map(str::to_owned));
        current.as_deref() == Some(name.as_str())
    }

    /// Lets `docker` use no context, if it was this one.
    ///
    /// # Errors
    /// [`DockerFault`] if `config.json` cannot be changed.
    pub fn deselect(&self, name: &ContextName) -> Result<(), DockerFault> {
        self.edit(|config| {
            let was_it = config.get(CURRENT).and_then(Value::as_str) == Some(name.as_str());
            was_it && config.remove(CURRENT).is_some()
        })
    }

    /// Has `docker` send the token with each request. To each engine: `config.json` knows no difference.
    ///
    /// # Errors
    /// [`DockerFault::HeaderTaken`] if there is another value than `old`'s.
    pub fn put_header(&self, token: &Secret, old: Option<&Secret>) -> Result<(), DockerFault> {
        let place = self.header(token)?;
        let replaces = old.map(|old| self.header(old)).transpose()? == Some(HeaderPlace::Ours);
        if place == HeaderPlace::Taken && !replaces {
            return Err(DockerFault::HeaderTaken { path: self.config_path() });
        }
        self.edit(|config| {
            let headers = config.entry(HEADERS).or_insert_with(|| Value::Object(Map::new()));
            let Some(headers) = headers.as_object_mut() else { return false };
            headers.insert(AUTHORIZATION.to_owned(), format!("Bearer {}", token.expose()).into());
            true
        })
    }

    /// Takes the token out again, if it still stands there.
    ///
    /// # Errors
    /// [`DockerFault`] if `config.json` cannot be changed.
    pub fn remove_header(&self, token: &Secret) -> Result<(), DockerFault> {
        if self.header(token)? != HeaderPlace::Ours {
            return Ok(());
        }
        self.edit(|config| {
            let Some(headers) = config.get_mut(HEADERS).and_then(Value::as_object_mut) else { return false };
            headers.remove(AUTHORIZATION);
            if headers.is_empty() {
                config.remove(HEADERS);
            }
            true
        })
    }

    fn header(&self, token: &Secret) -> Result<HeaderPlace, DockerFault> {
        let (config, path) = self.read()?;
        let Some(headers) = config.get(HEADERS) else { return Ok(HeaderPlace::Free) };
        let headers = headers.as_object().ok_or(DockerFault::Broken { path })?;
        // Header names have no case; Docker passes them on as they are.
        let mut values = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(AUTHORIZATION));
        Ok(match values.next() {
            None => HeaderPlace::Free,
            Some((_, value)) if value.as_str() == Some(&*format!("Bearer {}", token.expose())) => {
                HeaderPlace::Ours
            }
            Some(_) => HeaderPlace::Taken,
        })
    }

    fn config_path(&self) -> PathBuf {
        self.folder.join("config.json")
    }

    /// The settings, and the file that they are in: the one that a link leads to, as people keep theirs elsewhere.
    fn read(&self) -> Result<(Map<String, Value>, PathBuf), DockerFault> {
        let path = self.config_path();
        let path = match Place::behind(&path) {
            Ok((_, real)) => real,
            Err(error) if error.kind() == ErrorKind::NotFound => path,
            Err(error) => return Err(fault(&path, error)),
        };
        let text = match fs::read(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Map::new(), path)),
            Err(error) => return Err(fault(&path, error)),
        };
        match serde_json::from_slice(&text) {
            Ok(Value::Object(config)) => Ok((config, path)),
            _ if text.trim_ascii().is_empty() => Ok((Map::new(), path)),
            _ => Err(DockerFault::Broken { path }),
        }
    }

    /// Changes the settings, if `change` says that it did.
    fn edit(&self, change: impl FnOnce(&mut Map<String, Value>) -> bool) -> Result<(), DockerFault> {
        let (mut config, path) = self.read()?;
        if !change(&mut config) {
            return Ok(());
        }
        make_private(&self.folder).map_err(|error| fault(&self.folder, error))?;
        let mut text = Zeroizing::new(Vec::new());
        // As Docker writes it.
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut writer = serde_json::Serializer::with_formatter(&mut *text, formatter);
        config.serialize(&mut writer).map_err(|_| DockerFault::Broken { path: path.clone() })?;
        // It may hold passwords of registries, and now perhaps a token.
        let put = Place::of(&path).and_then(|place| place.put(&text, Readers::Owner));
        put.map_err(|error| fault(&path, error))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use serde_json::{Value, json};

    use crate::client::Secret;
    use crate::client::docker::{ContextName, DockerFault, DockerFolder};

    fn folder(config: Option<&str>) -> (tempfile::TempDir, DockerFolder) {
        let folder = tempfile::tempdir().unwrap();
        if let Some(config) = config {
            fs::write(folder.path().join("config.json"), config).unwrap();
        }
        let docker = DockerFolder::at(folder.path().to_owned());
        (folder, docker)
    }

    fn config(docker: &DockerFolder) -> Value {
        serde_json::from_slice(&fs::read(docker.config_path()).unwrap()).unwrap()
    }

    fn secret(text: &str) -> Secret {
        Secret::parse(text.to_owned().into()).unwrap()
    }

    #[test]
    fn other_keys_of_the_config_stay() {
        let (_folder, docker) =
            folder(Some(r#"{"auths":{"r.example":{"auth":"eA=="}},"currentContext":"mine"}"#));
        let (name, other) = (ContextName::parse("gate").unwrap(), ContextName::parse("other").unwrap());
        docker.deselect(&name).unwrap();
        assert_eq!(config(&docker)["currentContext"], "mine");
        docker.select(&name).unwrap();
        assert!(docker.is_selected(&name) && !docker.is_selected(&other));
        assert_eq!(fs::metadata(docker.config_path()).unwrap().mode() & 0o777, 0o600);
        docker.deselect(&name).unwrap();
        assert_eq!(config(&docker), json!({ "auths": { "r.example": { "auth": "eA==" } } }));
    }

    #[test]
    fn a_config_that_is_not_understood_is_left_as_it_is() {
        let name = ContextName::parse("gate").unwrap();
        for text in ["{", "[]", "{\"a\":1} x"] {
            let (_folder, docker) = folder(Some(text));
            assert!(matches!(docker.select(&name), Err(DockerFault::Broken { .. })));
            assert_eq!(fs::read_to_string(docker.config_path()).unwrap(), text);
        }
        for text in [None, Some(""), Some("\n")] {
            let (_folder, docker) = folder(text);
            docker.select(&name).unwrap();
            assert_eq!(config(&docker), json!({ "currentContext": "gate" }));
        }
    }

    #[test]
    fn a_config_that_is_a_link_stays_one() {
        let (folder, docker) = folder(None);
        let elsewhere = folder.path().join("dotfiles.json");
        fs::write(&elsewhere, "{}").unwrap();
        symlink(&elsewhere, docker.config_path()).unwrap();
        docker.select(&ContextName::parse("gate").unwrap()).unwrap();
        assert!(docker.config_path().is_symlink());
        assert!(fs::read_to_string(elsewhere).unwrap().contains("gate"));
    }

    #[test]
    fn a_header_of_somebody_else_stays() {
        let (_folder, docker) = folder(Some(r#"{"HttpHeaders":{"X-Mine":"1"}}"#));
        let (old, new) = (secret("dwt_old"), secret("dwt_new"));
        docker.put_header(&old, None).unwrap();
        assert_eq!(
            config(&docker)["HttpHeaders"],
            json!({ "Authorization": "Bearer dwt_old", "X-Mine": "1" })
        );
        assert!(matches!(docker.put_header(&new, None), Err(DockerFault::HeaderTaken { .. })));
        docker.put_header(&new, Some(&old)).unwrap();
        docker.remove_header(&old).unwrap();
        assert_eq!(config(&docker)["HttpHeaders"]["Authorization"], "Bearer dwt_new");
        docker.remove_header(&new).unwrap();
        assert_eq!(config(&docker), json!({ "HttpHeaders": { "X-Mine": "1" } }));
        let (_folder, docker) = folder(Some(r#"{"HttpHeaders":{"authorization":"Basic x"}}"#));
        assert!(matches!(docker.put_header(&new, None), Err(DockerFault::HeaderTaken { .. })));
    }
}
