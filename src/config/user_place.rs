//! Where the user file is and who reads it, for the command that changes it.

use std::path::PathBuf;

use super::check::Checker;
use super::environment::Environment;
use super::gather::Gathered;
use super::places;
use super::problem::Problem;

/// The user file of a gateway with these settings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UserPlace {
    /// `users`, if it is set.
    pub file: Option<PathBuf>,
    /// The user that the gateway runs as when it is started as root; must be able to read the file.
    pub account: String,
}

impl Gathered {
    /// Looks only at `users` and `user`.
    ///
    /// # Errors
    /// Problems of the settings file and of the two.
    pub fn user_place(self, environment: &Environment) -> Result<UserPlace, Vec<Problem>> {
        let raw = &self.raw.clone();
        let mut checker = Checker::new(raw, environment);
        let file = checker.path("users", raw.users.as_ref());
        let account = places::user(&mut checker);
        let problems = self.placed(checker.into_problems());
        if problems.is_empty() { Ok(UserPlace { file, account }) } else { Err(problems) }
    }
}
