//! A PAM service as libpam puts it together: `include`, `substack` and Debian's `@include` followed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::lines::{Line, lines};

/// `PAM_SUBSTACK_MAX_LEVEL`.
const MOST_LEVELS: usize = 16;
/// Most bytes of one file: it may be no file at all.
const MOST_BYTES: u64 = 1024 * 1024;
/// Most files read for one service: two lines that include each other's files double at each level.
const MOST_FILES: usize = 200;

/// What a line is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    Auth,
    Account,
    Password,
    Session,
}

impl Stage {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Account => "account",
            Self::Password => "password",
            Self::Session => "session",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        let all = [Self::Auth, Self::Account, Self::Password, Self::Session];
        all.into_iter().find(|stage| stage.word().eq_ignore_ascii_case(word))
    }
}

/// One module in its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) stage: Stage,
    /// As written: one word, or pairs in brackets.
    pub(super) control: String,
    /// As written: a name, or a path from `/`.
    pub(super) module: String,
    pub(super) arguments: Vec<String>,
    /// `-` in front: a module that is missing does not matter.
    pub(super) is_silent: bool,
    /// `FILE:LINE`.
    pub(super) place: String,
}

impl Entry {
    /// The module's file name without its folder.
    pub(super) fn name(&self) -> &str {
        self.module.rsplit('/').next().unwrap_or(&self.module)
    }

    /// Whether this code of the module becomes the stack's, unless a line before has failed already (pam.d(5)).
    pub(super) fn passes_on(&self, code: &str) -> bool {
        let Some(pairs) = self.control.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
            return ["required", "requisite"].iter().any(|word| word.eq_ignore_ascii_case(&self.control));
        };
        let action = |wanted: &str| {
            let mut pairs = pairs.split_whitespace().filter_map(|pair| pair.split_once('='));
            pairs.find(|(value, _)| value.eq_ignore_ascii_case(wanted)).map(|(_, action)| action)
        };
        // What is not named is ignored, as libpam has it.
        let action = action(code).or_else(|| action("default")).unwrap_or("ignore");
        ["bad", "die", "ok", "done"].iter().any(|word| word.eq_ignore_ascii_case(action))
    }

    /// The value of an argument `name=value`.
    pub(super) fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
    }
}

/// A line that libpam turns into "always fails".
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fault {
    pub(super) stage: Option<Stage>,
    /// `FILE:LINE`.
    pub(super) place: String,
    pub(super) text: String,
}

/// A whole service.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Stack {
    pub(super) entries: Vec<Entry>,
    pub(super) faults: Vec<Fault>,
    /// Every file that was read, the service's own first.
    pub(super) files: Vec<PathBuf>,
}

impl Stack {
    /// Reads a service; `folders` are looked through in their order.
    ///
    /// # Errors
    /// The service's own file is missing or cannot be read. What is wrong further down becomes a [`Fault`].
    pub(super) fn read(service: &str, folders: &[PathBuf]) -> io::Result<Self> {
        let (path, text) = open(service, folders)?;
        let mut reader = Reader { folders, stack: Self::default() };
        reader.file(&path, &text, None, 0);
        Ok(reader.stack)
    }

    /// The modules of one stage.
    pub(super) fn of(&self, stage: Stage) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.stage == stage)
    }

    /// Whether libpam finds a line for this stage; if not, it takes those of the service `other`.
    pub(super) fn has(&self, stage: Stage) -> bool {
        self.of(stage).next().is_some() || self.faults.iter().any(|fault| fault.stage == Some(stage))
    }
}

struct Reader<'a> {
    folders: &'a [PathBuf],
    stack: Stack,
}

impl Reader<'_> {
    /// Takes the lines of one file, all or those of one stage.
    fn file(&mut self, path: &Path, text: &str, only: Option<Stage>, level: usize) {
        self.stack.files.push(path.to_owned());
        for line in lines(text) {
            let place = format!("{}:{}", path.display(), line.number);
            self.line(&line, &place, only, level);
        }
    }

    fn line(&mut self, line: &Line, place: &str, only: Option<Stage>, level: usize) {
        let mut words = line.words.iter().map(String::as_str);
        let first = words.next().unwrap_or_default();
        if first == "@include" {
            return self.include(words.next(), place, only, level);
        }
        let (is_silent, type_word) = first.strip_prefix('-').map_or((false, first), |word| (true, word));
        let Some(stage) = Stage::parse(type_word) else {
            // libpam takes it for an auth line that always fails.
            let text = format!("'{type_word}' is none of auth, account, password and session");
            return self.fault(only.or(Some(Stage::Auth)), place, text);
        };
        if only.is_some_and(|only| only != stage) {
            return;
        }
        let Some(control) = words.next() else {
            return self.fault(Some(stage), place, "the line ends after its first word".to_owned());
        };
        if ["include", "substack"].iter().any(|word| control.eq_ignore_ascii_case(word)) {
            return self.include(words.next(), place, Some(stage), level);
        }
        if !is_control(control) {
            return self.fault(Some(stage), place, format!("'{control}' is not a control word"));
        }
        match words.next() {
            Some(module) => self.stack.entries.push(Entry {
                stage,
                control: control.to_owned(),
                module: module.to_owned(),
                arguments: words
                    .map(|word| word.trim_start_matches('[').trim_end_matches(']').to_owned())
                    .collect(),
                is_silent,
                place: place.to_owned(),
            }),
            None => self.fault(Some(stage), place, "names no module".to_owned()),
        }
    }

    fn include(&mut self, name: Option<&str>, place: &str, only: Option<Stage>, level: usize) {
        let Some(name) = name else {
            return self.fault(only, place, "includes no file".to_owned());
        };
        if level + 1 >= MOST_LEVELS || self.stack.files.len() >= MOST_FILES {
            // One line is enough: every level above would say the same.
            if !self.stack.faults.iter().any(|fault| fault.text.contains("too deep")) {
                self.fault(only, place, format!("includes {name}, too deep: do files include each other?"));
            }
            return;
        }
        match open(name, self.folders) {
            Ok((path, text)) => self.file(&path, &text, only, level + 1),
            Err(error) => self.fault(only, place, format!("includes {name}, which cannot be read ({error})")),
        }
    }

    fn fault(&mut self, stage: Option<Stage>, place: &str, text: String) {
        self.stack.faults.push(Fault { stage, place: place.to_owned(), text });
    }
}

/// A known word, or pairs in brackets.
fn is_control(word: &str) -> bool {
    let known = ["required", "requisite", "optional", "sufficient"];
    let inside = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
    known.iter().any(|known| known.eq_ignore_ascii_case(word))
        || inside.is_some_and(|pairs| pairs.split_whitespace().all(|pair| pair.contains('=')))
}

/// The first file of this name that can be opened, as `_pam_open_config_file` looks for it.
fn open(name: &str, folders: &[PathBuf]) -> io::Result<(PathBuf, String)> {
    let mut first_error = None;
    let paths = folders.iter().map(|folder| folder.join(name));
    // A name from '/' replaces the folder, so each of them gives the same.
    for path in paths {
        match read(&path) {
            Ok(text) => return Ok((path, text)),
            Err(error) => drop(first_error.get_or_insert(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| io::Error::from(io::ErrorKind::NotFound)))
}

/// Not more than is sensible, and as text whatever it holds.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Stack, Stage};

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn with(files: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in files {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
            Self(folder)
        }

        fn read(&self, service: &str) -> Stack {
            Stack::read(service, &[PathBuf::from("/nonexistent"), self.0.path().to_owned()]).unwrap()
        }
    }

    fn modules(stack: &Stack, stage: Stage) -> Vec<&str> {
        stack.of(stage).map(|entry| entry.module.as_str()).collect()
    }

    #[test]
    fn include_and_substack_take_lines_of_one_stage_and_at_include_takes_all() {
        let common = "auth required a.so\naccount required b.so\n";
        let folder = Folder::with(&[
            ("common", common),
            ("one", "account include common\n"),
            ("two", "AUTH substack common\n"),
            ("three", "@include common\n"),
            ("four", "account include three\n"),
        ]);
        let both = |service: &str| {
            let stack = folder.read(service);
            (modules(&stack, Stage::Auth).len(), modules(&stack, Stage::Account).len())
        };
        assert_eq!([both("one"), both("two"), both("three"), both("four")], [(0, 1), (1, 0), (1, 1), (0, 1)]);
        assert!(!folder.read("two").has(Stage::Account));
    }

    #[test]
    fn a_dash_brackets_and_arguments_are_understood() {
        let folder = Folder::with(&[(
            "s",
            "-auth [success=ok default=die] pam_x.so file=/a debug\nauth required /lib/pam_y.so [usersfile=/b c]\n",
        )]);
        let stack = folder.read("s");
        assert_eq!(stack.faults, []);
        let [first, second] = stack.entries.as_slice() else { panic!("{stack:?}") };
        assert!(first.is_silent && !second.is_silent);
        assert_eq!((first.name(), first.argument("file")), ("pam_x.so", Some("/a")));
        assert_eq!((second.name(), second.argument("usersfile")), ("pam_y.so", Some("/b c")));
        assert!(second.place.ends_with("/s:2"), "{}", second.place);
    }

    #[test]
    fn lines_that_libpam_cannot_use_are_named_and_count_for_their_stage() {
        let folder = Folder::with(&[(
            "s",
            "account include absent\nauth wanted pam_x.so\nauth required\nlogin required x.so\nauth\npassword [ok] x\n",
        )]);
        let stack = folder.read("s");
        let texts: Vec<&str> = stack.faults.iter().map(|fault| fault.text.as_str()).collect();
        assert_eq!(texts.len(), 6, "{texts:#?}");
        assert!(texts[0].contains("includes absent"), "{texts:#?}");
        assert!(texts[1].contains("'wanted' is not a control word"), "{texts:#?}");
        assert!(texts[3].contains("'login' is none of"), "{texts:#?}");
        assert!(
            stack.has(Stage::Account),
            "an include that fails is a line that always fails, not a missing one"
        );
        assert!(!stack.has(Stage::Session));
    }

    #[test]
    fn files_that_include_each_other_end() {
        let folder = Folder::with(&[("a", "@include b\n@include b\n"), ("b", "@include a\n@include a\n")]);
        let stack = folder.read("a");
        assert_eq!(stack.faults.len(), 1, "{:?}", stack.faults);
    }

    #[test]
    fn a_service_without_a_file_is_an_error() {
        assert!(Stack::read("absent", &[PathBuf::from("/nonexistent")]).is_err());
    }
}
