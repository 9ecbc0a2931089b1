//! Login by client certificate: real handshakes with certificates of every kind.

mod accounts;
mod authority;
mod exchange;
mod matrix;
mod revocation;
mod who;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use serde_json::Value;
use tempfile::TempDir;

use super::door::{Door, Setup};
use super::wire::{Open, Reply, Request, connect};
use authority::{Authority, Shown, folder};

/// A door that asks for certificates of one CA, and that CA.
struct Bench {
    door: Door,
    authority: Authority,
    folder: TempDir,
}

impl Bench {
    /// With a user file, so that passwords and tokens let in beside certificates.
    fn usual(arguments: &[&str]) -> Self {
        Self::of(Setup::usual(), arguments)
    }

    fn of(setup: Setup, arguments: &[&str]) -> Self {
        let (folder, authority) = (folder(), Authority::root("Test CA"));
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let ca = folder.path().join("ca.pem").display().to_string();
        let door = setup.with(&["--client-ca", &ca]).with(arguments).open();
        Self { door, authority, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How a client connects that shows this.
    fn client(&self, shown: &Shown) -> Arc<ClientConfig> {
        shown.client(&self.door.state().join("autocert/cert.pem"))
    }

    fn send(&self, shown: &Shown, request: &Request) -> Reply {
        self.door.send_over(self.door.address, Some(&self.client(shown)), request)
    }

    /// User and door as the gateway sees who shows this.
    fn whoami(&self, shown: &Shown) -> Result<(String, String), Reply> {
        self.whoami_by(shown, |request| request)
    }

    fn whoami_by(&self, shown: &Shown, also: impl Fn(Request) -> Request) -> Result<(String, String), Reply> {
        let reply = self.send(shown, &also(Request::get("/_doorward/api/v1/whoami")));
        if reply.status != 200 {
            return Err(reply);
        }
        let said = reply.json();
        let word = |key: &str| said[key].as_str().unwrap().to_owned();
        Ok((word("user"), word("door")))
    }

    /// Waits until who shows this is answered so.
    fn await_status(&self, shown: &Shown, wanted: u16) -> Reply {
        let begun = std::time::Instant::now();
        loop {
            let reply = self.send(shown, &Request::get("/version"));
            if reply.status == wanted {
                return reply;
            }
            assert!(begun.elapsed() < super::wire::AT_MOST, "never {wanted}, last {reply:?}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// A stream of the engine under this certificate, up to its first word.
    fn open_stream(&self, client: &Arc<ClientConfig>) -> Open {
        let request = Request::get("/silent").bytes(&self.door.host(), false);
        let mut open = Open::start(connect(self.door.address, Some(client)), &request);
        assert_eq!(open.reply.status, 200, "{:?}", open.reply);
        open.await_text("begun\n");
        open
    }

    /// The last line of the request log for a path.
    fn logged(&self, path: &str) -> Value {
        let log = self.door.await_log(&format!("\"path\":\"{path}\""));
        let line = log.lines().rfind(|line| line.contains(&format!("\"path\":\"{path}\""))).unwrap();
        serde_json::from_str(line).unwrap()
    }
}
