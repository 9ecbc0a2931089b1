//! Puts command line, environment and settings file together.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use serde::Deserialize;
use toml::Table;

use super::checked::Settings;
use super::environment::Environment;
use super::file::FileSettings;
use super::problem::{Origin, Problem};
use super::raw::RawSettings;

/// What all our variables begin with.
const PREFIX: &str = "DOORWARD_";
/// Variables that are read elsewhere and are no settings.
const OTHER_VARIABLES: [&str; 1] = ["DOORWARD_LOG_LEVEL"];

/// Settings from all three places, and where each came from.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// The values.
    pub raw: RawSettings,
    origins: BTreeMap<String, Origin>,
    problems: Vec<Problem>,
}

impl Gathered {
    /// Checks the values; see [`Settings::check`].
    ///
    /// # Errors
    /// Every problem at once, those of the settings file first, each with where its value was given.
    pub fn check(self, environment: &Environment) -> Result<Settings, Vec<Problem>> {
        let opened = self.opened_by_environment();
        match Settings::check(self.raw.clone(), environment) {
            Ok(settings) if self.problems.is_empty() && opened.is_empty() => Ok(settings),
            Ok(_) => Err(self.placed(opened)),
            Err(found) => Err(self.placed(found.into_iter().chain(opened).collect())),
        }
    }

    /// Variables are inherited, and set by whoever starts a container. None of them lets in everybody.
    fn opened_by_environment(&self) -> Vec<Problem> {
        let words = [
            ("no-login", self.raw.no_login),
            ("no-login-on-all-addresses", self.raw.no_login_on_all_addresses),
        ];
        let is_by_variable = |option: &str| matches!(self.origins.get(option), Some(Origin::Environment(_)));
        let opened = words.into_iter().filter(|(option, said)| *said == Some(true) && is_by_variable(option));
        let problem = |(option, _): (&str, Option<bool>)| {
            let message = format!(
                "a variable alone does not open the gate; write --{option} on the command line, or {option} = true in the \
                 settings file"
            );
            Problem::new(option, message)
        };
        opened.map(problem).collect()
    }

    /// The problems of the file, then those found in the values, with where each value was given.
    pub(super) fn placed(self, found: Vec<Problem>) -> Vec<Problem> {
        let mut problems = self.problems;
        // After a line that could not be used, an option that seems missing is no news.
        let after_file = !problems.is_empty();
        for problem in found {
            let origin = problem.option().and_then(|option| self.origins.get(option)).cloned();
            if origin.is_some() || !after_file {
                problems.push(problem.from_origin(origin));
            }
        }
        problems
    }
}

/// Takes the command line's value before the environment's before the file's. An option on the command line *and* in
/// the file is a problem, as in dockerd: which of the two was meant cannot be known.
///
/// # Errors
/// If `matches` are not of a command that has all of [`RawSettings`].
pub fn gather(matches: &ArgMatches, default_file: &Path) -> Result<Gathered, Vec<Problem>> {
    let given = RawSettings::from_arg_matches(matches).map_err(|error| vec![internal(&error)])?;
    let mut table = Table::try_from(&given).map_err(|error| vec![internal(&error)])?;
    let mut origins = sources(matches);
    // A switch that nobody gave is 'false' to clap; it must not count as a value.
    table.retain(|key, _| origins.contains_key(key));

    let mut problems = Vec::new();
    if let Some(path) = settings_file(&given, default_file) {
        let file = FileSettings::read(&path, &known_keys(), &mut problems);
        add_file(&mut table, &mut origins, file, &path, &mut problems);
    }
    let raw = RawSettings::deserialize(table).map_err(|error| vec![internal(&error)])?;
    Ok(Gathered { raw, origins, problems })
}

/// The settings of environment and file alone, for a command that takes none of them as options.
///
/// # Errors
/// As [`gather`], and a variable that cannot be read.
pub fn gather_without_arguments(file: Option<&OsStr>, default_file: &Path) -> Result<Gathered, Vec<Problem>> {
    let arguments = file.map(|file| vec![OsString::from("--config"), file.to_owned()]);
    let matches = definitions()
        .no_binary_name(true)
        .try_get_matches_from(arguments.unwrap_or_default())
        .map_err(|error| vec![internal(&error)])?;
    gather(&matches, default_file)
}

/// Variables that look like settings and are none, a warning each. No error: Kubernetes and container links set variables
/// of a service's name in whatever runs beside it.
#[must_use]
pub fn unknown_variables(names: impl IntoIterator<Item = OsString>) -> Vec<String> {
    let known: Vec<String> = definitions()
        .get_arguments()
        .filter_map(|arg| Some(arg.get_env()?.to_string_lossy().into_owned()))
        .chain(OTHER_VARIABLES.map(str::to_owned))
        .collect();
    let is_strange = |name: &String| {
        name.strip_prefix(PREFIX).is_some_and(|rest| {
            !known.contains(name) && !rest.starts_with("PORT") && !rest.starts_with("SERVICE_")
        })
    };
    let mut strange: Vec<String> =
        names.into_iter().filter_map(|name| name.into_string().ok()).filter(is_strange).collect();
    strange.sort();
    strange
        .iter()
        .map(|name| format!("{name} is set and is not a setting; see doorward serve --help"))
        .collect()
}

fn settings_file(given: &RawSettings, default_file: &Path) -> Option<PathBuf> {
    // One in a folder that may not be entered is there, for all that is known: reading it says what is wrong.
    let default = || default_file.try_exists().unwrap_or(true).then(|| default_file.to_owned());
    let given = given.config.as_ref().filter(|path| !path.is_empty());
    given.map(PathBuf::from).or_else(default)
}

fn add_file(
    table: &mut Table,
    origins: &mut BTreeMap<String, Origin>,
    file: FileSettings,
    path: &Path,
    problems: &mut Vec<Problem>,
) {
    for (key, value) in file.table {
        let line = file.lines.get(&key).copied().unwrap_or_default();
        match origins.get(&key) {
            Some(Origin::CommandLine) => {
                let message = format!(
                    "'{key}' is set here and also on the command line (--{key}); remove one of the two"
                );
                problems.push(Problem::in_file(path, line, message));
            }
            Some(_) => {}
            None => {
                origins.insert(key.clone(), Origin::File(path.to_owned(), line));
                table.insert(key, value);
            }
        }
    }
}

/// The keys that were given, by hand or by a variable. An empty variable counts as not set: compose files write
/// `DOORWARD_USERS=${USERS:-}`.
fn sources(matches: &ArgMatches) -> BTreeMap<String, Origin> {
    let origin = |arg: &clap::Arg| match matches.value_source(arg.get_id().as_str())? {
        ValueSource::CommandLine => Some(Origin::CommandLine),
        ValueSource::EnvVariable => {
            let empty = matches.get_raw(arg.get_id().as_str())?.all(OsStr::is_empty);
            let name = arg.get_env()?.to_string_lossy().into_owned();
            (!empty).then_some(Origin::Environment(name))
        }
        _ => None,
    };
    let with_key = |arg: &clap::Arg| Some((key_of(arg), origin(arg)?));
    definitions().get_arguments().filter_map(with_key).collect()
}

fn known_keys() -> Vec<String> {
    definitions().get_arguments().map(key_of).filter(|key| key != "config").collect()
}

fn key_of(arg: &clap::Arg) -> String {
    arg.get_id().as_str().replace('_', "-")
}

fn definitions() -> Command {
    RawSettings::augment_args(Command::new("doorward"))
}

fn internal(error: &dyn std::fmt::Display) -> Problem {
    Problem::new("config", error.to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn l4_a_variable_that_is_no_setting_is_named_and_those_of_orchestrators_are_not() {
        let names = [
            "DOORWARD_SESION_IDLE",
            "DOORWARD_SESSION_IDLE",
            "DOORWARD_LOG_LEVEL",
            "DOORWARD_PORT",
            "DOORWARD_PORT_8100_TCP_ADDR",
            "DOORWARD_SERVICE_HOST",
            "PATH",
        ];
        let warnings = super::unknown_variables(names.map(Into::into));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with("DOORWARD_SESION_IDLE "), "{warnings:?}");
    }

    use std::path::Path;

    use clap::ArgMatches;

    use super::{definitions, gather};

    fn matches(arguments: &[&str]) -> ArgMatches {
        definitions().no_binary_name(true).try_get_matches_from(arguments).unwrap()
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn the_file_fills_in_what_the_command_line_leaves_out() {
        let file = file("workers = 3\nno-login = true\nlisten = [':1', ':2']\n");
        let path = file.path().to_str().unwrap();
        let gathered =
            gather(&matches(&["--config", path, "--grace", "3s"]), Path::new("/nonexistent")).unwrap();
        assert_eq!(gathered.raw.workers, Some("3".into()));
        assert_eq!(gathered.raw.grace, Some("3s".into()));
        assert_eq!(gathered.raw.no_login, Some(true));
        assert_eq!(gathered.raw.use_login, None);
        assert_eq!(gathered.raw.listen.len(), 2);
    }

    #[test]
    fn the_default_file_is_read_only_if_it_exists() {
        assert!(gather(&matches(&[]), Path::new("/nonexistent")).is_ok());
        let file = file("workers = 3\n");
        assert_eq!(gather(&matches(&[]), file.path()).unwrap().raw.workers, Some("3".into()));
        let problems = gather(&matches(&["--config", "/nonexistent"]), file.path()).unwrap().problems;
        assert!(problems[0].to_string().starts_with("--config: cannot read /nonexistent"), "{problems:?}");
    }

    #[test]
    fn an_option_on_the_command_line_and_in_the_file_is_refused() {
        let file = file("# x\nuse-login = true\nworkers = 2\nengine = 'http://x:1'\n");
        let matches = matches(&["--use-login", "--workers", "2"]);
        let problems = gather(&matches, file.path()).unwrap().problems;
        assert_eq!(problems.len(), 2, "{problems:?}");
        let first = problems.iter().map(ToString::to_string).find(|p| p.contains(":2: ")).unwrap();
        assert!(
            first.contains("'use-login' is set here and also on the command line (--use-login)"),
            "{first}"
        );
    }

    #[test]
    fn l4_problems_of_the_file_and_of_values_are_reported_together() {
        let file = file("wrokers = 2\nsession-idle = 'soon'\n");
        let gathered = gather(&matches(&["--grace", "x"]), file.path()).unwrap();
        let said = gathered.check(&crate::config::Environment::default()).unwrap_err();
        let said: Vec<String> = said.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 3, "{said:#?}");
        assert!(said[0].contains(":1: unknown key 'wrokers'"), "{said:#?}");
        assert!(said[1].contains(":2: session-idle: 'soon' is not a length of time"), "{said:#?}");
        assert!(said[2].starts_with("--grace: 'x' is not"), "{said:#?}");
    }

    #[test]
    fn a_settings_file_that_everybody_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let file = file("workers = 3\n");
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o666)).unwrap();
        let problems = gather(&matches(&[]), file.path()).unwrap().problems;
        assert!(problems[0].to_string().contains("chmod o-w"), "{problems:?}");
    }
}
