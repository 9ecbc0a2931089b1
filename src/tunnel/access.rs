//! The login that a request is made with: the one that stands in the credentials store now.

use std::cell::{Cell, RefCell};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::rc::Rc;

use http::Method;
use tokio::sync::{Mutex, Notify};

use super::End;
use crate::client::{GatewayUrl, Login, LoginStore, StoreFault};
use crate::domain::Clock;

/// Where the gateway says who is asking.
const WHOAMI: &str = "/_doorward/api/v1/whoami";

/// Watches one entry of the store.
pub(super) struct Access {
    store: LoginStore,
    path: PathBuf,
    kept: RefCell<Kept>,
    clock: Clock,
    ended: Cell<Option<End>>,
    told: Notify,
    asking: Mutex<()>,
}

struct Kept {
    stamp: Option<Stamp>,
    login: Rc<Login>,
}

/// What changes when an entry is written: entries are replaced by a rename.
#[derive(Eq, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl Access {
    pub(super) fn new(store: LoginStore, login: Login) -> Self {
        let path = store.path_of(&login.url);
        Self {
            store,
            path,
            kept: RefCell::new(Kept { stamp: None, login: Rc::new(login) }),
            clock: Clock::system(),
            ended: Cell::new(None),
            told: Notify::new(),
            asking: Mutex::new(()),
        }
    }

    /// The login as it stands in the store now; `None` once there is none.
    ///
    /// # Errors
    /// [`StoreFault`] if the entry must not be believed, or cannot be read.
    pub(super) fn login(&self) -> Result<Option<Rc<Login>>, StoreFault> {
        let stamp = self.stamp();
        {
            let kept = self.kept.borrow();
            if stamp.is_some() && kept.stamp == stamp {
                return Ok(Some(Rc::clone(&kept.login)));
            }
        }
        let url = self.kept.borrow().login.url.clone();
        let Some(login) = self.store.get(&url)? else { return Ok(None) };
        let mut kept = self.kept.borrow_mut();
        // A file that was replaced meanwhile has another stamp, and is read again next time.
        kept.stamp = stamp;
        if !is_same(&kept.login, &login) {
            kept.login = Rc::new(login);
        }
        Ok(Some(Rc::clone(&kept.login)))
    }

    /// Ends the tunnel if there is no login any more, or it has ended.
    pub(super) fn look(&self) {
        match self.login() {
            Ok(Some(login)) if login.has_ended(self.clock.now()) => self.end(End::LoginEnded),
            Ok(None) => self.end(End::LoggedOut),
            // Whoever asks for something is told.
            Ok(Some(_)) | Err(_) => {}
        }
    }

    /// Asks the gateway whether the login still holds there, without anybody waiting for it.
    pub(super) fn ask(self: &Rc<Self>) {
        // A question that is not answered yet is as good as another one.
        if self.asking.try_lock().is_err() {
            return;
        }
        let Ok(Some(login)) = self.login() else { return };
        let access = Rc::clone(self);
        tokio::task::spawn_local(async move { access.doubt(&login).await });
    }

    /// The gateway has answered 401 to this login, or may have ended it. The engine answers so too, for a registry's
    /// password: so the gateway is asked who this is, and only its own no ends the tunnel.
    pub(super) async fn doubt(&self, login: &Login) {
        let _one_at_a_time = self.asking.lock().await;
        if self.ended().is_some() {
            return;
        }
        let asked = login.gateway().json::<serde_json::Value>(Method::GET, WHOAMI, None::<&()>).await;
        if asked.is_err_and(|error| error.is_status(401)) {
            match self.login() {
                Ok(Some(now)) if now.token.expose() != login.token.expose() => {}
                Ok(None) => self.end(End::LoggedOut),
                _ => self.end(End::LoginEnded),
            }
        }
    }

    /// Why the tunnel is about to end, once it is.
    pub(super) fn ended(&self) -> Option<End> {
        self.ended.get()
    }

    /// The gateway that this is the login to.
    pub(super) fn url(&self) -> GatewayUrl {
        self.kept.borrow().login.url.clone()
    }

    fn end(&self, end: End) {
        if self.ended.get().is_none() {
            self.ended.set(Some(end));
            self.told.notify_one();
        }
    }

    /// Waits for the login's end.
    pub(super) async fn end_of_login(&self) -> End {
        loop {
            if let Some(end) = self.ended() {
                return end;
            }
            self.told.notified().await;
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        let metadata = std::fs::symlink_metadata(&self.path).ok()?;
        Some(Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// Whether connections that were made with one may be used with the other.
fn is_same(one: &Login, other: &Login) -> bool {
    one.token.expose() == other.token.expose() && one.trust == other.trust && one.expires == other.expires
}
