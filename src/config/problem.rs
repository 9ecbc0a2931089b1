//! What is wrong with a setting, said so that the operator knows which one and what to write instead.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value was given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// An option on the command line.
    CommandLine,
    /// The named environment variable.
    Environment(String),
    /// A line, counted from 1, of a settings file.
    File(PathBuf, usize),
}

/// One thing that keeps the gateway from starting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    option: Option<String>,
    message: String,
    origin: Option<Origin>,
}

impl Problem {
    /// A problem with the option `--option`; `option` is also its key in `doorward.toml`.
    #[must_use]
    pub fn new(option: &str, message: impl Into<String>) -> Self {
        Self { option: Some(option.to_owned()), message: message.into(), origin: None }
    }

    /// A problem with a line of a settings file that belongs to no known option.
    #[must_use]
    pub fn in_file(path: &Path, line: usize, message: impl Into<String>) -> Self {
        Self { option: None, message: message.into(), origin: Some(Origin::File(path.to_owned(), line)) }
    }

    /// The option's name without dashes, if the problem belongs to one.
    #[must_use]
    pub fn option(&self) -> Option<&str> {
        self.option.as_deref()
    }

    /// What is wrong and what to do.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same problem, saying where the value came from.
    #[must_use]
    pub fn from_origin(self, origin: Option<Origin>) -> Self {
        Self { origin: self.origin.or(origin), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.option, &self.origin) {
            (None, Some(Origin::File(path, line))) => {
                write!(f, "{}:{line}: {}", path.display(), self.message)
            }
            (None, _) => f.write_str(&self.message),
            (Some(option), Some(Origin::File(path, line))) => {
                write!(f, "{}:{line}: {option}: {}", path.display(), self.message)
            }
            (Some(option), Some(Origin::Environment(name))) => {
                write!(f, "--{option} ({name}): {}", self.message)
            }
            (Some(option), Some(Origin::CommandLine) | None) => write!(f, "--{option}: {}", self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Origin, Problem};

    #[test]
    fn a_problem_names_its_option_and_where_it_was_set() {
        let problem = Problem::new("workers", "is not a number");
        assert_eq!(problem.to_string(), "--workers: is not a number");
        let from = |origin| problem.clone().from_origin(Some(origin)).to_string();
        assert_eq!(
            from(Origin::Environment("DOORWARD_WORKERS".into())),
            "--workers (DOORWARD_WORKERS): is not a number"
        );
        assert_eq!(from(Origin::File("/d.toml".into(), 3)), "/d.toml:3: workers: is not a number");
        assert_eq!(Problem::in_file(Path::new("/d.toml"), 4, "what").to_string(), "/d.toml:4: what");
    }
}
