//! The login that a request is made with: the one that stands in the credentials store now.

use std::cell::{Cell, RefCell};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::rc::Rc;

use http::Method;
use tokio::sync::mpsc::UnboundedSender;

use super::End;
use crate::client::{Login, LoginStore, StoreFault};
use crate::domain::Clock;

/// Where the gateway says who is asking.
const WHOAMI: &str = "/_doorward/api/v1/whoami";

/// Watches one entry of the store.
pub(super) struct Access {
    store: LoginStore,
    path: PathBuf,
    kept: RefCell<Kept>,
    clock: Clock,
    ended: UnboundedSender<End>,
    is_asking: Cell<bool>,
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
    pub(super) fn new(store: LoginStore, login: Login, ended: UnboundedSender<End>) -> Self {
        let path = store.path_of(&login.url);
        Self {
            store,
            path,
            kept: RefCell::new(Kept { stamp: None, login: Rc::new(login) }),
            clock: Clock::system(),
            ended,
            is_asking: Cell::new(false),
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

    /// The gateway has answered 401 to this login. The engine does so too, for a registry's password: so the gateway is
    /// asked who this is, and only its own no ends the tunnel.
    pub(super) fn doubt(self: &Rc<Self>, login: Rc<Login>) {
        if self.is_asking.replace(true) {
            return;
        }
        let access = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let asked = login.gateway().json::<serde_json::Value>(Method::GET, WHOAMI, None::<&()>).await;
            access.is_asking.set(false);
            if asked.is_err_and(|error| error.is_status(401)) {
                match access.login() {
                    Ok(Some(now)) if now.token.expose() != login.token.expose() => {}
                    Ok(None) => access.end(End::LoggedOut),
                    _ => access.end(End::LoginEnded),
                }
            }
        });
    }

    fn end(&self, end: End) {
        // Nobody listens any more: it has ended already.
        let _ = self.ended.send(end);
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
