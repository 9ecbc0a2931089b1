//! The gateway process: event loops, upkeep, signals, and an orderly end.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use actix_server::{Server, ServerBuilder};
use anyhow::Context;
use nix::unistd::geteuid;
use tokio::net::{TcpStream, UnixStream};

use crate::acme;
use crate::audit::Sink;
use crate::config::{LoginMode, PamSettings, Settings, TlsMode};
use crate::domain::{Clock, Username};
use crate::gateway::{Gateway, Hsts, Mode, Stop, Worker};
use crate::identity::{
    Accounts, Authenticator, BasicDoor, CertificateDoor, Conversations, Credential, Devices, Limits,
    Registry, Shared,
};
use crate::listener::tls::{ClientAuth, TlsMaterial};
use crate::listener::{AllowFrom, ServerNames, Socket, TrustedProxies, UnauthenticatedBudget};
use crate::pages::{PagesState, Readiness};
use crate::pam::PamClient;
use crate::proxy::Connector;
use crate::session::CookieKey;
use crate::startup::acme::Renewal;
use crate::startup::certificates::{certificate_port, login_ca};
use crate::startup::descriptors::connections_of_each;
use crate::startup::launcher::socket_path;
use crate::startup::listeners::{Bound, Listening};
use crate::startup::upkeep::{Signals, end_on_signal, flush, heed_certificates, upkeep};
use crate::store::{DATABASE, SqliteStore, StateFolder, Store};
use crate::throttle::Throttle;
use crate::trust::ClientTrust;
use crate::users::Users;

/// What a refusal costs in time where no setting says otherwise.
const FAILURE_DELAY: Duration = Duration::from_secs(2);
/// Longer than any process runs.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A gateway that is built and bound but does not run yet.
pub struct Application {
    gateway: Arc<Gateway>,
    sockets: Vec<Listening>,
    workers: usize,
    drain: Duration,
    grace: Duration,
    limits: crate::config::SessionLimits,
    renewal: Option<Renewal>,
}

/// Builds the gateway and runs it until a signal ends it.
pub(super) fn run(
    settings: &Settings,
    sockets: Vec<Listening>,
    early_tls: Option<Arc<TlsMaterial>>,
    acme: Option<acme::Prepared>,
) -> anyhow::Result<()> {
    let mut application = Application::build(settings, sockets, early_tls)?;
    application.renewal = Renewal::new(settings, acme);
    super::block_on(application.run())
}

impl Application {
    /// Opens store, keys, certificate and log.
    ///
    /// # Errors
    /// What is missing or wrong, naming the option or file.
    pub(super) fn build(
        settings: &Settings,
        sockets: Vec<Listening>,
        early_tls: Option<Arc<TlsMaterial>>,
    ) -> anyhow::Result<Self> {
        let clock = Clock::system();
        StateFolder::open_or_make(&settings.state, geteuid().as_raw()).context("--state")?;
        let tls = match early_tls {
            Some(tls) => Some(tls),
            None => TlsMaterial::load(&settings.tls, &settings.state, &clock)?.map(Arc::new),
        };
        let connector = Connector::new(&settings.engine)?;
        let log = Sink::open(&settings.log, settings.log_format, clock.clone())?;
        // Before the doors, which believe it.
        let login_ca = login_ca(settings, &clock)?.map(Arc::new);
        let doors = Arc::new(doors(settings, &clock)?);
        if let (Some(tls), Some(door), Some(asked)) = (&tls, &doors.certificates, &settings.client_certs) {
            tls.ask_clients(ClientAuth { trust: Arc::clone(door.trust()), is_required: asked.required })?;
        }
        let pages = Arc::new(PagesState {
            engine_ui: settings.engine_ui,
            doors: Arc::clone(&doors),
            engine: {
                let connector = connector.clone();
                Box::new(move || {
                    let connector = connector.clone();
                    Box::pin(async move {
                        connector.connect().await.map(drop).map_err(|error| crate::proxy::with_causes(&error))
                    })
                })
            },
            readiness: Readiness::new(clock.clone()),
            limits: settings.sessions,
            token_lifetime: settings.token_lifetime,
            certificate: certificate_facts(tls.as_ref(), &settings.tls),
            log_is_well: {
                let log = log.clone();
                Box::new(move || log.is_well())
            },
            login_ca,
            admin_groups: settings.admin_groups.clone(),
            devices: Devices::new(settings.clients(), clock.clone()),
            has_login: settings.login != LoginMode::NoLogin,
            folder: settings.state.clone(),
            has_passwords: settings.login != LoginMode::Certificates,
            certificate_port: certificate_port(settings, &sockets),
        });
        let gateway = Gateway {
            doors,
            pages,
            tls,
            mode: match settings.tls {
                TlsMode::AssumeSecure => Mode::Assumed,
                TlsMode::Acme(_) | TlsMode::Autocert(_) | TlsMode::Certfile(_) => Mode::Tls,
                TlsMode::Plain => Mode::Plain,
            },
            hsts: Hsts::new(settings.hsts),
            trusted: TrustedProxies::new(
                settings.trusted_proxies.clone(),
                settings.client_certs.as_ref().and_then(|certs| certs.header),
            ),
            allowed: AllowFrom::new(settings.allow_from.clone()),
            server_names: (settings.login == LoginMode::NoLogin)
                .then(|| ServerNames::new(settings.server_names.clone())),
            budget: UnauthenticatedBudget::new(settings.unauthenticated_memory),
            connector,
            log,
            log_required: settings.log_required,
            engine_ui: settings.engine_ui,
            stop: Stop::default(),
        };
        Ok(Self {
            gateway: Arc::new(gateway),
            sockets,
            workers: settings.workers,
            drain: settings.drain,
            grace: settings.grace,
            limits: settings.sessions,
            renewal: None,
        })
    }

    /// The certificate in use, if the gateway speaks TLS.
    pub(super) fn tls(&self) -> Option<&Arc<TlsMaterial>> {
        self.gateway.tls.as_ref()
    }

    /// The addresses bound, as URLs that a person can open.
    pub(super) fn addresses(&self) -> Vec<String> {
        let scheme = if self.gateway.mode == Mode::Tls { "https" } else { "http" };
        self.sockets
            .iter()
            .map(|socket| match &socket.bound {
                Bound::Tcp(listener) => listener
                    .local_addr()
                    .map_or_else(|_| scheme.to_owned(), |address| format!("{scheme}://{address}")),
                Bound::Unix(_, path) => format!("unix:{}", path.display()),
            })
            .collect()
    }

    /// Runs until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// If the event loops cannot be started.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        self.gateway.doors.throttle.restore(&self.gateway.doors.store.bans().await?);
        let addresses = self.addresses();
        let Self { gateway, sockets, workers, drain, grace, limits, renewal } = self;
        // Before anybody is told that we listen: a signal that comes sooner would end the process in disorder.
        let signals = Signals::new()?;
        let watch = gateway.tls.as_ref().map(TlsMaterial::watch).transpose()?;
        let certificates = tokio::task::spawn_local(heed_certificates(Arc::clone(&gateway)));
        // In debug builds as in others, a connection that outlives the grace is dropped by the firm stop, so that the
        // server's own limit is only a backstop.
        let mut builder = Server::build()
            .workers(workers)
            .disable_signals()
            .max_concurrent_connections(connections_of_each(workers))
            .shutdown_timeout(grace.as_secs() + 2);
        for (index, socket) in sockets.into_iter().enumerate() {
            builder = listen(builder, &format!("door{index}"), socket, &gateway)?;
        }
        let server = builder.run();
        let handle = server.handle();
        let upkeep = tokio::task::spawn_local(upkeep(Arc::clone(&gateway), limits));
        for address in &addresses {
            tracing::info!(%address, "listening");
        }
        let renewing = match (renewal, &gateway.tls) {
            (Some(renewal), Some(tls)) => renewal.start(tls, gateway.doors.clock.clone())?,
            _ => Vec::new(),
        };
        let ending =
            tokio::task::spawn_local(end_on_signal(Arc::clone(&gateway), signals, handle, drain, grace));
        server.await.context("the event loops ended")?;
        ending.abort();
        upkeep.abort();
        certificates.abort();
        renewing.iter().for_each(tokio::task::JoinHandle::abort);
        flush(&gateway).await;
        drop(watch);
        gateway.log.close();
        tracing::info!("ended");
        Ok(())
    }
}

fn listen(
    builder: ServerBuilder,
    name: &str,
    door: Listening,
    gateway: &Arc<Gateway>,
) -> anyhow::Result<ServerBuilder> {
    let gateway = Arc::clone(gateway);
    let asks = door.asks;
    let bound = match door.bound {
        Bound::Tcp(listener) => builder.listen(name, listener, move || {
            let gateway = Arc::clone(&gateway);
            actix_service::fn_factory(move || {
                let gateway = Arc::clone(&gateway);
                async move {
                    let worker = worker_of_this_thread(gateway).await?;
                    Ok::<_, ()>(actix_service::fn_service(move |stream: TcpStream| {
                        let worker = Rc::clone(&worker);
                        async move {
                            worker.serve(Socket::Tcp(stream), asks).await;
                            Ok::<_, ()>(())
                        }
                    }))
                }
            })
        }),
        Bound::Unix(listener, _) => builder.listen_uds(name, listener, move || {
            let gateway = Arc::clone(&gateway);
            actix_service::fn_factory(move || {
                let gateway = Arc::clone(&gateway);
                async move {
                    let worker = worker_of_this_thread(gateway).await?;
                    Ok::<_, ()>(actix_service::fn_service(move |stream: UnixStream| {
                        let worker = Rc::clone(&worker);
                        async move {
                            worker.serve(Socket::Unix(stream), asks).await;
                            Ok::<_, ()>(())
                        }
                    }))
                }
            })
        }),
    };
    bound.with_context(|| format!("cannot serve {name}"))
}

/// All listeners of a thread share its pool, caches and pages.
async fn worker_of_this_thread(gateway: Arc<Gateway>) -> Result<Rc<Worker>, ()> {
    thread_local! {
        // Weak: the services own it, and it must go before the thread's runtime does.
        static WORKER: RefCell<Weak<Worker>> = const { RefCell::new(Weak::new()) };
    }
    if let Some(worker) = WORKER.with_borrow(Weak::upgrade) {
        return Ok(worker);
    }
    let worker = Worker::new(gateway).await.map_err(|error| {
        tracing::error!(error = format!("{error:#}"), "cannot start an event loop");
    })?;
    WORKER.set(Rc::downgrade(&worker));
    Ok(worker)
}

fn doors(settings: &Settings, clock: &Clock) -> anyhow::Result<Shared> {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&settings.state.join(DATABASE))?);
    let registry = Arc::new(Registry::default());
    let accounts = accounts(settings, &registry, &store);
    let certificates = certificates(settings, accounts.as_ref(), clock)?;
    // Where nobody is asked about again, only whoever comes by certificate is asked about: they have proven no password.
    let accounts = accounts.filter(|_| has_rechecks(settings));
    let (authenticator, limits) = authenticator(settings)?;
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let clients = settings.clients();
    let throttle = Arc::new(Throttle::new(settings.throttle.as_ref(), clients.clone(), clock.clone()));
    let conversations =
        Conversations::new(authenticator, Arc::clone(&throttle), &limits, &clients, clock.clone())
            .telling(accounts.clone());
    let basic = BasicDoor::new(seconds(settings.basic_cache), seconds(settings.sessions.absolute))
        .ok()
        .context("this machine gives no random bytes")?;
    Ok(Shared {
        store,
        registry,
        basic: Arc::new(basic),
        conversations: Arc::new(conversations),
        accounts,
        certificates,
        throttle,
        cookie_key: cookie_key(&settings.state)?,
        idle_seconds: seconds(settings.sessions.idle),
        session_bind_network: settings.session_bind_network,
        clock: clock.clone(),
        everybody: if settings.login == LoginMode::NoLogin { Some(everybody(clock)?) } else { None },
    })
}

fn accounts(settings: &Settings, registry: &Arc<Registry>, store: &Arc<dyn Store>) -> Option<Arc<Accounts>> {
    let LoginMode::Pam(pam) = &settings.login else { return None };
    if !has_rechecks(settings) && settings.client_certs.is_none() {
        return None;
    }
    let mut pam = pam.clone();
    if !has_rechecks(settings) {
        pam.account_recheck = NEVER;
    }
    let client = PamClient::for_accounts(broker_socket(settings, &pam), &pam);
    Some(Arc::new(Accounts::new(client, &pam, Arc::clone(registry), Arc::clone(store))))
}

fn has_rechecks(settings: &Settings) -> bool {
    matches!(&settings.login, LoginMode::Pam(pam) if !pam.account_recheck.is_zero())
}

fn certificates(
    settings: &Settings,
    accounts: Option<&Arc<Accounts>>,
    clock: &Clock,
) -> anyhow::Result<Option<CertificateDoor>> {
    let Some(asked) = &settings.client_certs else { return Ok(None) };
    let trust = ClientTrust::open(asked, &settings.state).map_err(|error| {
        let option = error.option();
        anyhow::Error::new(error).context(format!("--{option}"))
    })?;
    for warning in trust.warnings() {
        tracing::warn!(target: "doorward::startup", "{warning}");
    }
    Ok(Some(CertificateDoor::new(Arc::new(trust), accounts.cloned(), clock.now())))
}

fn broker_socket(settings: &Settings, pam: &PamSettings) -> PathBuf {
    pam.socket.clone().unwrap_or_else(|| socket_path(&settings.runtime))
}

fn cookie_key(state: &Path) -> anyhow::Result<CookieKey> {
    Ok(CookieKey::load_or_create(&state.join("session.key"))?)
}

fn everybody(clock: &Clock) -> anyhow::Result<Arc<Credential>> {
    Ok(Arc::new(Credential::for_everybody(Username::parse("anonymous")?, clock.now())))
}

fn authenticator(settings: &Settings) -> anyhow::Result<(Authenticator, Limits)> {
    let default = Limits {
        max_logins: 128,
        prompt_deadline: Duration::from_secs(120),
        login_deadline: Duration::from_secs(300),
        failure_delay: FAILURE_DELAY,
    };
    Ok(match &settings.login {
        LoginMode::Certificates | LoginMode::NoLogin => (Authenticator::Off, default),
        LoginMode::Users(path) => (Authenticator::Users(Arc::new(Users::open(path)?)), default),
        LoginMode::Pam(pam) => {
            let limits = Limits {
                max_logins: pam.max_logins,
                prompt_deadline: pam.prompt_deadline,
                login_deadline: pam.login_deadline,
                failure_delay: pam.failure_delay,
            };
            (Authenticator::Pam(PamClient::new(broker_socket(settings, pam), pam)), limits)
        }
    })
}

/// A certificate that people cannot check by their browser's own means is shown by its fingerprint.
fn certificate_facts(
    tls: Option<&Arc<TlsMaterial>>,
    mode: &TlsMode,
) -> Box<dyn Fn() -> Option<(String, String)> + Send + Sync> {
    match (tls, mode) {
        (Some(tls), TlsMode::Autocert(_)) => {
            let tls = Arc::clone(tls);
            Box::new(move || Some((tls.fingerprint(), tls.source())))
        }
        _ => Box::new(|| None),
    }
}
