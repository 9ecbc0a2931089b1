//! Reads `doorward.toml`, and says of each wrong line what is wrong with it.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table};

use super::problem::Problem;
use super::raw::RawSettings;

/// Read when `--config` is not given, if it exists.
pub const DEFAULT_FILE: &str = "/etc/doorward/doorward.toml";

/// Far more than every option at full length.
const MAX_BYTES: u64 = 1024 * 1024;

/// A settings file's keys, each checked to be known and of a fitting type.
#[derive(Debug, Default)]
pub(super) struct FileSettings {
    /// The values.
    pub(super) table: Table,
    /// The line of each key, counted from 1.
    pub(super) lines: BTreeMap<String, usize>,
}

impl FileSettings {
    /// Reads the file and keeps what is right in it; `known` are the keys there are. Every problem is pushed.
    pub(super) fn read(path: &Path, known: &[String], problems: &mut Vec<Problem>) -> Self {
        match read_text(path) {
            Ok(text) => Self::parse(path, &text, known, problems),
            Err(message) => {
                problems.push(Problem::new("config", message));
                Self::default()
            }
        }
    }

    fn parse(path: &Path, text: &str, known: &[String], problems: &mut Vec<Problem>) -> Self {
        let (parsed, errors) = DeTable::parse_recoverable(text);
        let problem =
            |error: &toml::de::Error| Problem::in_file(path, line_of(text, error.span()), error.message());
        problems.extend(errors.iter().map(problem));
        let mut settings = Self::default();
        for (key, value) in parsed.into_inner() {
            let line = line_of(text, Some(key.span()));
            let key = key.into_inner().into_owned();
            match checked_value(&key, value, known) {
                Ok(value) => {
                    settings.lines.insert(key.clone(), line);
                    settings.table.insert(key, value);
                }
                Err(message) => problems.push(Problem::in_file(path, line, message)),
            }
        }
        settings
    }
}

/// Whoever may write the file may open the door, so one that everybody may write is refused.
fn read_text(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let mut file = std::fs::File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err(format!("{} is not a file", path.display()));
    }
    if metadata.mode() & 0o002 != 0 {
        let path = path.display();
        return Err(format!("{path} may be written by everybody; run: chmod o-w {path}"));
    }
    if metadata.len() > MAX_BYTES {
        return Err(format!("{} is longer than a settings file can be (1 MiB)", path.display()));
    }
    let mut text = String::new();
    file.by_ref().take(MAX_BYTES).read_to_string(&mut text).map_err(cannot)?;
    Ok(text)
}

/// Tries the one key alone, so that a wrong type is reported for this line and does not hide the next.
fn checked_value(key: &str, value: Spanned<DeValue<'_>>, known: &[String]) -> Result<toml::Value, String> {
    if !known.iter().any(|name| name == key) {
        return Err(unknown_key(key, known));
    }
    let wrong = |error: toml::de::Error| format!("{key}: {}", error.message());
    let value = toml::Value::deserialize(toml::de::ValueDeserializer::from(value)).map_err(wrong)?;
    let alone = Table::from_iter([(key.to_owned(), value.clone())]);
    RawSettings::deserialize(alone).map_err(wrong)?;
    Ok(value)
}

fn unknown_key(key: &str, known: &[String]) -> String {
    let dashed = key.replace('_', "-");
    let near = known.iter().find(|name| **name == dashed || name.starts_with(key) || key.starts_with(*name));
    match near {
        Some(name) => format!("unknown key '{key}'; did you mean '{name}'?"),
        None => format!("unknown key '{key}'; 'doorward serve --help' lists the options, which are the keys"),
    }
}

/// The line of a place in a text, counted from 1.
pub(crate) fn line_of(text: &str, span: Option<std::ops::Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start).min(text.len());
    1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::FileSettings;

    fn parse(text: &str) -> (FileSettings, Vec<String>) {
        let known = ["workers", "listen", "use-login", "users"].map(str::to_owned);
        let mut problems = Vec::new();
        let file = FileSettings::parse(Path::new("d.toml"), text, &known, &mut problems);
        (file, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn keys_keep_their_lines() {
        let file = parse("# x\nworkers = 4\n\nuse-login = true\n").0;
        assert_eq!(file.lines["workers"], 2);
        assert_eq!(file.lines["use-login"], 4);
        assert_eq!(file.table["use-login"].as_bool(), Some(true));
    }

    #[test]
    fn l4_all_unknown_keys_and_wrong_types_are_reported_at_once() {
        let problems = parse("use_login = true\nworkers = [1]\nuse-login = 'yes'\n\nspeed = 9\n").1;
        assert_eq!(problems.len(), 4, "{problems:#?}");
        let said = |line: &str, words: &str| {
            assert!(
                problems.iter().any(|p| p.starts_with(line) && p.contains(words)),
                "{line} {problems:#?}"
            );
        };
        said("d.toml:1: ", "did you mean 'use-login'");
        said("d.toml:2: ", "workers");
        said("d.toml:3: ", "use-login");
        said("d.toml:5: ", "'speed'");
    }

    #[test]
    fn a_syntax_error_and_a_double_key_name_their_line() {
        assert!(parse("workers = 1\nlisten = = 3\n").1[0].starts_with("d.toml:2: "));
        assert!(parse("workers = 1\n\nworkers = 2\n").1[0].starts_with("d.toml:3: "));
    }
}
