//! Makes a docker context for a login, or makes it anew.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use zeroize::Zeroizing;

use super::ContextArgs;
use super::tell::{Lacks, tell, tell_of_tunnel};
use crate::ca::{Algorithm, LeafKey};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::remote;
use crate::client::{
    CertificateRecord, ClientCertificate, ClientError, ClientProof, ContextName, ContextRecord, DockerFolder,
    Login, LoginStore, Proof, Secret, Seen, TlsFiles, connect, get_certificate, is_issued, is_let_in,
    revoke_certificate,
};
use crate::domain::UnixSeconds;
use crate::tunnel::default_path;

/// A certificate that ends so much earlier than the login lasts as long as the login: clocks differ.
const NEARLY: UnixSeconds = 120;

const NOT_MADE: &str = "the docker context was not made";

/// What is known about a login whose context is made.
pub(in crate::cli) struct Making<'a> {
    pub(in crate::cli) store: &'a LoginStore,
    pub(in crate::cli) args: &'a ContextArgs,
    /// What a certificate is called in lists.
    pub(in crate::cli) name: &'a str,
    /// What the server showed in this command.
    pub(in crate::cli) seen: Option<Seen>,
    /// The token in whose place this login's has come: the login is new.
    pub(in crate::cli) old_token: Option<&'a Secret>,
    pub(in crate::cli) is_new: bool,
    /// The socket of the tunnel that is being opened for it.
    pub(in crate::cli) socket: Option<PathBuf>,
}

/// By what docker proves who it speaks for.
enum Has {
    Kept(ContextRecord),
    New(Zeroizing<String>, ClientCertificate),
    Nothing(Lacks),
}

impl Has {
    fn certificate(&self) -> Option<&CertificateRecord> {
        match self {
            Self::Kept(record) => record.certificate.as_ref(),
            Self::New(_, certificate) => Some(&certificate.record),
            Self::Nothing(_) => None,
        }
    }
}

impl Making<'_> {
    /// Makes the context as the command line says, and says what docker can do with it.
    pub(in crate::cli) fn make(&self, login: &mut Login) -> Outcome {
        if self.args.no_context {
            return Ok(());
        }
        let docker = DockerFolder::of_this_user()?;
        let context = self.choose_name(&docker, login)?;
        let before = login.context.take();
        let moved = |old: &&ContextRecord| old.name != context.as_str() || old.folder != docker.path();
        if let Some(old) = before.as_ref().filter(moved) {
            forget(login, self.old_token.unwrap_or(&login.token), old)?;
        }
        let kept = before.as_ref().filter(|old| !moved(old));
        if let Some(socket) = self.tunnel(login, kept) {
            return self.make_for_tunnel(&docker, &context, login, before.as_ref(), socket);
        }
        let has = self.proof(&docker, &context, login, kept)?;
        self.write(&docker, &context, login, &has)?;

        let certificate = has.certificate().cloned();
        let wants_header = self.args.http_headers || before.is_some_and(|old| old.http_headers);
        let http_headers = wants_header && certificate.is_none();
        let (name, folder) = (context.as_str().to_owned(), docker.path().to_owned());
        let record = ContextRecord { name, folder, certificate, http_headers, tunnel: None };
        self.keep(&docker, &context, login, &record)?;
        let lacks = if let Has::Nothing(lacks) = has { lacks } else { Lacks::Issue };
        tell(&record, &lacks, docker.is_selected(&context));
        Ok(())
    }

    /// The tunnel's socket, if the context is to lead there. A context that is renewed leads where it led.
    fn tunnel(&self, login: &Login, kept: Option<&ContextRecord>) -> Option<PathBuf> {
        let known = kept.and_then(|record| record.tunnel.clone());
        match (&self.socket, self.args.tunnel) {
            (Some(socket), _) => Some(socket.clone()),
            (None, true) => Some(known.unwrap_or_else(|| default_path(&login.url))),
            (None, false) => known.filter(|_| !self.is_new),
        }
    }

    /// Neither certificate nor token stands in it: the tunnel has the login.
    fn make_for_tunnel(
        &self,
        docker: &DockerFolder,
        context: &ContextName,
        login: &mut Login,
        before: Option<&ContextRecord>,
        socket: PathBuf,
    ) -> Outcome {
        let description = describe(login);
        let host = format!("unix://{}", socket.display());
        docker.put_context(context, &login.url, &host, &description, None).context(NOT_MADE)?;
        if let Some(unused) = before.and_then(|record| record.certificate.as_ref()) {
            give_up(login, unused);
        }
        let (name, folder) = (context.as_str().to_owned(), docker.path().to_owned());
        let record =
            ContextRecord { name, folder, certificate: None, http_headers: false, tunnel: Some(socket) };
        self.keep(docker, context, login, &record)?;
        tell_of_tunnel(&record, &login.url, self.socket.is_some(), docker.is_selected(context));
        Ok(())
    }

    /// Notes the context that was written with its login, and has docker use it as the command line says.
    fn keep(
        &self,
        docker: &DockerFolder,
        context: &ContextName,
        login: &mut Login,
        record: &ContextRecord,
    ) -> Outcome {
        login.context = Some(record.clone());
        if !self.store.update(login)? {
            docker.remove_context(context, &login.url)?;
            return Err(anyhow!("the login was ended meanwhile").into());
        }
        self.header(docker, login, record.http_headers)?;
        if self.args.default {
            docker.select(context)?;
        }
        Ok(())
    }

    /// The name that is asked for, the one that it has, or one of the host's that is free.
    fn choose_name(&self, docker: &DockerFolder, login: &Login) -> Result<ContextName, Failure> {
        let has = login.context.as_ref().filter(|context| context.folder == docker.path());
        let has = has.and_then(|context| ContextName::parse(&context.name));
        let Some(name) = self.args.context.clone().or(has) else { return Ok(docker.name_for(&login.url)?) };
        docker.claim(&name, &login.url)?;
        Ok(name)
    }

    /// The certificate that there is if it is as good as a new one; else a new one, if the gateway issues any, and lets it
    /// in. Without TLS there is no use for one.
    fn proof(
        &self,
        docker: &DockerFolder,
        context: &ContextName,
        login: &Login,
        kept: Option<&ContextRecord>,
    ) -> Result<Has, Failure> {
        if !login.url.is_secure() {
            return Ok(Has::Nothing(Lacks::Tls));
        }
        let key = docker.key_of(context)?.as_deref().and_then(|pem| LeafKey::from_pem(pem));
        let certificate = kept.and_then(|record| record.certificate.as_ref());
        // A new login gets a new key.
        let key = key.filter(|_| !self.is_new);
        if let (Some(key), Some(record), Some(has)) = (&key, kept, certificate)
            && has.expires + NEARLY >= login.expires
            && remote::wait_for(is_issued(&login.gateway(), &has.id))??
            && let Some(chain) = docker.chain_of(context)?
            && matches!(try_out(login, has, &chain, key)?, Ok(true))
        {
            return Ok(Has::Kept(record.clone()));
        }
        let key = match key {
            Some(key) => key,
            None => LeafKey::generate(Algorithm::P256)?,
        };
        let issued = remote::wait_for(get_certificate(&login.gateway(), &key, self.name))??;
        let Some(certificate) = issued else { return Ok(Has::Nothing(Lacks::Issue)) };
        let record = &certificate.record;
        let error = match try_out(login, record, &certificate.chain, &key)? {
            Ok(true) => return Ok(Has::New(key.to_pem(), certificate)),
            Ok(false) => None,
            Err(error) => Some(error),
        };
        give_up(login, record);
        let at = record.url.as_ref().unwrap_or(&login.url).clone();
        Ok(Has::Nothing(Lacks::Way { at, error }))
    }

    fn write(&self, docker: &DockerFolder, context: &ContextName, login: &mut Login, has: &Has) -> Outcome {
        let description = describe(login);
        let endpoint = has.certificate().and_then(|certificate| certificate.url.clone());
        let ca = if login.url.is_secure() {
            let seen = match (&self.seen, &endpoint) {
                (Some(seen), None) => Some(seen.clone()),
                _ => {
                    let url = endpoint.as_ref().unwrap_or(&login.url);
                    remote::wait_for(connect(url, &login.trust))??.seen
                }
            };
            login.trust.refresh(seen.as_ref());
            // Docker would take a context without TLS files to mean plain HTTP.
            let ca = seen.and_then(|seen| login.trust.anchors(&seen));
            Some(ca.context("the gateway showed no certificate")?)
        } else {
            None
        };
        let proof = match has {
            Has::Kept(_) => Proof::Kept,
            Has::New(key, certificate) => Proof::New { chain: &certificate.chain, key },
            Has::Nothing(_) => Proof::Nothing,
        };
        let files = ca.as_ref().map(|ca| TlsFiles { ca, proof });
        Ok(docker
            .put_context(
                context,
                &login.url,
                &format!("tcp://{}", endpoint.as_ref().unwrap_or(&login.url).authority()),
                &description,
                files.as_ref(),
            )
            .context(NOT_MADE)?)
    }

    fn header(&self, docker: &DockerFolder, login: &Login, wanted: bool) -> Outcome {
        if wanted {
            docker.put_header(&login.token, self.old_token)?;
        } else if let Some(old) = self.old_token {
            docker.remove_header(old)?;
        }
        Ok(())
    }
}

fn describe(login: &Login) -> String {
    format!("{} at {}, by doorward login", login.user, login.url.authority())
}

/// Ends a certificate that nobody will use. It ends with the login if this does not reach the gateway.
fn give_up(login: &Login, certificate: &CertificateRecord) {
    let gateway = login.gateway();
    let _ = remote::wait_for(async {
        tokio::time::timeout(remote::LAST_WORD, revoke_certificate(&gateway, &certificate.id)).await
    });
}

/// Whether a certificate lets in, or why not. Nothing that the gateway says of it is believed before it was tried.
fn try_out(
    login: &Login,
    certificate: &CertificateRecord,
    chain: &str,
    key: &LeafKey,
) -> Result<Result<bool, ClientError>, Failure> {
    let Some(proof) = ClientProof::from_pem(chain, &key.to_pem()) else { return Ok(Ok(false)) };
    remote::wait_for(is_let_in(login, certificate, proof))
}

/// Removes what was made for docker with this token: all that can be, whatever becomes of a part.
pub(in crate::cli) fn forget(login: &Login, token: &Secret, context: &ContextRecord) -> Outcome {
    let docker = DockerFolder::at(context.folder.clone());
    let name = ContextName::parse(&context.name);
    let removed = name.map_or(Ok(true), |name| docker.remove_context(&name, &login.url));
    let header = docker.remove_header(token);
    // Both say the same of a file that cannot be understood.
    if let (Err(error), true) = (&header, context.http_headers) {
        let said =
            "docker's configuration may still hold the login's token: take HttpHeaders.Authorization out";
        return Err(anyhow!("{error}").context(said).into());
    }
    removed?;
    header?;
    Ok(())
}
