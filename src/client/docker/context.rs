//! Contexts in Docker's store.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::name::ContextName;
use super::{DockerFault, DockerFolder, fault};
use crate::client::GatewayUrl;
use crate::client::store::make_private;
use crate::fs::Folder;
use crate::store::{Place, Readers};

const META: &str = "contexts/meta";
const TLS: &str = "contexts/tls";
/// The one endpoint of a context, as Docker calls it.
const ENDPOINT: &str = "docker";
const META_FILE: &str = "meta.json";

/// Whose a context is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Owner {
    /// Somebody else's.
    Foreign,
    /// Nobody's: there is none of that name.
    Free,
    /// Ours, for the gateway at this `HOST:PORT`.
    Ours(String),
}

/// What a context proves the gateway and its user by.
pub struct TlsFiles<'a> {
    /// CA certificates in PEM form.
    pub ca: &'a str,
    /// How the user proves who they are.
    pub proof: Proof<'a>,
}

/// A client certificate, or none.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// The one that the context has.
    Kept,
    /// A new one.
    New {
        /// Certificate and chain in PEM form.
        chain: &'a str,
        /// Its key in PEM form.
        key: &'a Zeroizing<String>,
    },
    /// None.
    Nothing,
}

/// A context's `meta.json`, as far as it matters here.
#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Metadata", default)]
    metadata: Option<Mark>,
}

#[derive(Deserialize)]
struct Mark {
    /// Docker keeps fields that it does not know.
    #[serde(rename = "Doorward", default)]
    doorward: Option<String>,
}

impl DockerFolder {
    /// Whose the context of this name is.
    ///
    /// # Errors
    /// [`DockerFault`] if that cannot be found out.
    pub fn owner(&self, name: &ContextName) -> Result<Owner, DockerFault> {
        let path = self.meta(name).join(META_FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Owner::Free),
            Err(error) => return Err(fault(&path, error)),
        };
        let mark = serde_json::from_slice::<Meta>(&text).ok().and_then(|meta| meta.metadata?.doorward);
        Ok(mark.map_or(Owner::Foreign, Owner::Ours))
    }

    /// A name for a gateway's context: the one that it has, or the first that is free.
    ///
    /// # Errors
    /// [`DockerFault::Foreign`] if others have taken them all.
    pub fn name_for(&self, url: &GatewayUrl) -> Result<ContextName, DockerFault> {
        let names = ContextName::for_gateway(url);
        for name in &names {
            if self.may_write(name, url)? {
                return Ok(name.clone());
            }
        }
        Err(names.into_iter().next().map_or(DockerFault::Homeless, DockerFault::Foreign))
    }

    fn may_write(&self, name: &ContextName, url: &GatewayUrl) -> Result<bool, DockerFault> {
        Ok(match self.owner(name)? {
            Owner::Free => true,
            Owner::Ours(of) => of == url.authority(),
            Owner::Foreign => false,
        })
    }

    /// Whether a gateway may have the context of this name.
    ///
    /// # Errors
    /// [`DockerFault::Foreign`] if it is another's.
    pub fn claim(&self, name: &ContextName, url: &GatewayUrl) -> Result<(), DockerFault> {
        if self.may_write(name, url)? { Ok(()) } else { Err(DockerFault::Foreign(name.clone())) }
    }

    /// Writes a gateway's context, in place of the one that it had under this name. Docker connects to `host` (`tcp://` or
    /// `unix://`), which may be another port of the gateway; without `tls` it says plain HTTP.
    ///
    /// # Errors
    /// [`DockerFault::Foreign`] if the name is another's.
    pub fn put_context(
        &self,
        name: &ContextName,
        url: &GatewayUrl,
        host: &str,
        description: &str,
        tls: Option<&TlsFiles<'_>>,
    ) -> Result<(), DockerFault> {
        self.claim(name, url)?;
        self.ensure_config()?;
        // The name comes last: it makes Docker see the rest.
        match tls {
            Some(files) => self.put_tls(name, files)?,
            None => remove_folder(&self.tls(name))?,
        }
        let meta = json!({
            "Name": name.as_str(),
            "Metadata": { "Description": description, "Doorward": url.authority() },
            "Endpoints": { ENDPOINT: {
                "Host": host,
                "SkipTLSVerify": false,
            } },
        });
        let folder = self.meta(name);
        Folder::make(&folder, 0o755, 0o755).map_err(|error| fault(&folder, error))?;
        put(&folder.join(META_FILE), meta.to_string().as_bytes(), Readers::Everybody)
    }

    fn put_tls(&self, name: &ContextName, files: &TlsFiles<'_>) -> Result<(), DockerFault> {
        let folder = self.tls(name).join(ENDPOINT);
        make_private(&folder).map_err(|error| fault(&folder, error))?;
        match files.proof {
            Proof::Kept => {}
            Proof::New { chain, key } => {
                put(&folder.join("key.pem"), key.as_bytes(), Readers::Owner)?;
                put(&folder.join("cert.pem"), chain.as_bytes(), Readers::Owner)?;
            }
            Proof::Nothing => {
                remove_file(&folder.join("cert.pem"))?;
                remove_file(&folder.join("key.pem"))?;
            }
        }
        put(&folder.join("ca.pem"), files.ca.as_bytes(), Readers::Owner)
    }

    /// The private key of a context; `None` if it has none, or no certificate for it.
    ///
    /// # Errors
    /// [`DockerFault`] if it cannot be read.
    pub fn key_of(&self, name: &ContextName) -> Result<Option<Zeroizing<String>>, DockerFault> {
        let folder = self.tls(name).join(ENDPOINT);
        let path = folder.join("key.pem");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(folder.join("cert.pem").exists().then(|| Zeroizing::new(text))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fault(&path, error)),
        }
    }

    /// The client certificate of a context, with its chain; `None` if it has none.
    ///
    /// # Errors
    /// [`DockerFault`] if it cannot be read.
    pub fn chain_of(&self, name: &ContextName) -> Result<Option<String>, DockerFault> {
        let path = self.tls(name).join(ENDPOINT).join("cert.pem");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fault(&path, error)),
        }
    }

    /// Removes a gateway's context with its keys, and Docker's choice of it. `false` if there was none of ours.
    ///
    /// # Errors
    /// [`DockerFault`] if a part of that cannot be done; the others were.
    pub fn remove_context(&self, name: &ContextName, url: &GatewayUrl) -> Result<bool, DockerFault> {
        if self.owner(name)? != Owner::Ours(url.authority()) {
            return Ok(false);
        }
        // Keys first: they are what must not stay, whatever state the rest is in.
        let keys = remove_folder(&self.tls(name));
        let choice = self.deselect(name);
        // It carries our mark: with it the next try finds the keys.
        keys?;
        remove_folder(&self.meta(name))?;
        choice.map(|()| true)
    }

    fn meta(&self, name: &ContextName) -> PathBuf {
        self.folder.join(META).join(name.folder())
    }

    fn tls(&self, name: &ContextName) -> PathBuf {
        self.folder.join(TLS).join(name.folder())
    }
}

fn put(path: &Path, content: &[u8], readers: Readers) -> Result<(), DockerFault> {
    Place::of(path).and_then(|place| place.put(content, readers)).map_err(|error| fault(path, error))
}

fn remove_file(path: &Path) -> Result<(), DockerFault> {
    match Place::of(path).and_then(|place| place.remove()) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(fault(path, error)),
        _ => Ok(()),
    }
}

fn remove_folder(path: &Path) -> Result<(), DockerFault> {
    // Inside the folder that was found, whatever becomes of the folders above it meanwhile.
    match Folder::of(path).and_then(|(folder, name)| fs::remove_dir_all(folder.path_to(&name))) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(fault(path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::{Owner, Proof, TlsFiles};
    use crate::client::GatewayUrl;
    use crate::client::docker::{ContextName, DockerFault, DockerFolder};

    const HOST: &str = "tcp://gate.example:8100";

    fn folder() -> (tempfile::TempDir, DockerFolder) {
        let folder = tempfile::tempdir().unwrap();
        let docker = DockerFolder::at(folder.path().join(".docker"));
        (folder, docker)
    }

    fn url(text: &str) -> GatewayUrl {
        GatewayUrl::parse(text).unwrap()
    }

    #[test]
    fn a_context_is_written_as_docker_reads_it() {
        let (_folder, docker) = folder();
        let (name, url) = (ContextName::parse("gate").unwrap(), url("gate.example"));
        let key = "KEY".to_owned().into();
        let files = TlsFiles { ca: "CA", proof: Proof::New { chain: "CERT", key: &key } };
        docker.put_context(&name, &url, HOST, "bob", Some(&files)).unwrap();
        let meta = docker.path().join("contexts/meta").join(name.folder()).join("meta.json");
        let meta: serde_json::Value = serde_json::from_slice(&fs::read(meta).unwrap()).unwrap();
        assert_eq!(meta["Name"], "gate");
        assert_eq!(meta["Endpoints"]["docker"]["Host"], "tcp://gate.example:8100");
        assert_eq!(meta["Endpoints"]["docker"]["SkipTLSVerify"], false);
        let tls = docker.path().join("contexts/tls").join(name.folder()).join("docker");
        for (file, content) in [("ca.pem", "CA"), ("cert.pem", "CERT"), ("key.pem", "KEY")] {
            assert_eq!(fs::read_to_string(tls.join(file)).unwrap(), content);
            assert_eq!(fs::metadata(tls.join(file)).unwrap().mode() & 0o777, 0o600, "{file}");
        }
        assert_eq!(fs::metadata(&tls).unwrap().mode() & 0o777, 0o700);
        assert_eq!(docker.key_of(&name).unwrap().unwrap().as_str(), "KEY");
        docker
            .put_context(&name, &url, HOST, "bob", Some(&TlsFiles { ca: "NEW", proof: Proof::Kept }))
            .unwrap();
        assert_eq!(fs::read_to_string(tls.join("ca.pem")).unwrap(), "NEW");
        assert_eq!(fs::read_to_string(tls.join("cert.pem")).unwrap(), "CERT");
        assert_eq!(docker.chain_of(&name).unwrap().as_deref(), Some("CERT"));
        // Without a certificate none may stay from before.
        docker
            .put_context(&name, &url, HOST, "bob", Some(&TlsFiles { ca: "CA", proof: Proof::Nothing }))
            .unwrap();
        assert!(
            !tls.join("key.pem").exists() && !tls.join("cert.pem").exists() && tls.join("ca.pem").exists()
        );
        assert!(docker.remove_context(&name, &url).unwrap() && !docker.remove_context(&name, &url).unwrap());
        assert!(!tls.exists() && docker.owner(&name).unwrap() == Owner::Free);
    }

    #[test]
    fn a_context_of_somebody_else_stays() {
        let (_folder, docker) = folder();
        let name = ContextName::parse("gate.example").unwrap();
        let meta = docker.path().join("contexts/meta").join(name.folder());
        fs::create_dir_all(&meta).unwrap();
        let url = url("gate.example");
        for text in
            [r#"{"Name":"gate.example","Metadata":{},"Endpoints":{}}"#, r#"{"Name":"gate.example"}"#, "junk"]
        {
            fs::write(meta.join("meta.json"), text).unwrap();
            assert_eq!(docker.owner(&name).unwrap(), Owner::Foreign);
            let put = docker.put_context(&name, &url, HOST, "bob", None);
            assert!(matches!(put, Err(DockerFault::Foreign(_))));
            assert!(!docker.remove_context(&name, &url).unwrap());
            assert_eq!(fs::read_to_string(meta.join("meta.json")).unwrap(), text);
            assert_eq!(docker.name_for(&url).unwrap().as_str(), "gate.example-8100");
        }
    }

    #[test]
    fn two_gateways_of_one_host_have_two_contexts() {
        let (_folder, docker) = folder();
        let (one, other) = (url("gate.example"), url("gate.example:9000"));
        let name = docker.name_for(&one).unwrap();
        docker.put_context(&name, &one, HOST, "bob", None).unwrap();
        assert_eq!(docker.name_for(&one).unwrap(), name);
        assert_eq!(docker.name_for(&other).unwrap().as_str(), "gate.example-9000");
        assert!(matches!(docker.put_context(&name, &other, HOST, "bob", None), Err(DockerFault::Foreign(_))));
    }
}
