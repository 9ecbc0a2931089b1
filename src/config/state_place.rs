//! Where the state folder is and whose it is, for commands that work on a part of it.

use std::path::PathBuf;

use super::check::Checker;
use super::environment::Environment;
use super::gather::Gathered;
use super::places;
use super::problem::Problem;

/// The state folder of a gateway with these settings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StatePlace {
    /// `state`.
    pub state: PathBuf,
    /// The user that the gateway runs as when it is started as root.
    pub account: String,
}

impl Gathered {
    /// Looks only at `state` and `user`; a `state` that is given here counts before the environment and the file.
    ///
    /// # Errors
    /// Problems of the settings file and of the two.
    pub fn state_place(
        self,
        state: Option<String>,
        environment: &Environment,
    ) -> Result<StatePlace, Vec<Problem>> {
        let mut raw = self.raw.clone();
        raw.state = state.map(Into::into).or(raw.state);
        let mut checker = Checker::new(&raw, environment);
        let (state, _) = places::folders(&mut checker);
        let account = places::user(&mut checker);
        let problems = self.placed(checker.into_problems());
        if problems.is_empty() { Ok(StatePlace { state, account }) } else { Err(problems) }
    }
}
