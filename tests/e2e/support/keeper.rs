//! Starting daemons that end with the test binary, even when it is killed.
//!
//! Fixtures shared by all tests live in statics, and statics are not dropped. So a daemon is started under
//! `setpriv --pdeathsig`, which has the kernel signal it when its parent is gone. "Parent" is the *thread* that forked,
//! and test threads are short-lived: one thread, alive as long as the process, does all the forking.

use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel, sync_channel};

type Job = Box<dyn FnOnce() + Send>;

static KEEPER: OnceLock<Sender<Job>> = OnceLock::new();

/// `program` as a command that gets SIGTERM when this process ends.
pub(crate) fn tied(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--", program]);
    command
}

/// Spawns a command made with [`tied`] from the thread that lives as long as the process.
pub(crate) fn spawn(mut command: Command) -> Child {
    let keeper = KEEPER.get_or_init(|| {
        let (send, receive) = channel::<Job>();
        std::thread::spawn(move || receive.into_iter().for_each(|job| job()));
        send
    });
    let (answer, child) = sync_channel(1);
    let shown = format!("{command:?}");
    keeper
        .send(Box::new(move || {
            let _ = answer.send(command.spawn());
        }))
        .expect("the keeper thread lives");
    child
        .recv()
        .expect("the keeper thread answers")
        .unwrap_or_else(|error| panic!("cannot start {shown}: {error}"))
}
