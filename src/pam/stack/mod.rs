//! A PAM service as libpam puts it together: `include`, `substack` and Debian's `@include` followed. Compiled into the
//! gateway, for its doctor, and into the broker, which refuses a service that lets people in without a proof.

mod control;
mod lines;
mod proof;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use self::control::{Action, Control};
use self::lines::{Line, lines};

pub use self::proof::{lines_without_proof, places_without_proof};

/// `PAM_SUBSTACK_MAX_LEVEL`.
const MOST_LEVELS: usize = 16;
/// Most bytes of one file: it may be no file at all.
const MOST_BYTES: u64 = 1024 * 1024;
/// Most files read for one service: two lines that include each other's files double at each level.
const MOST_FILES: usize = 200;

/// What a line is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// Who is it?
    Auth,
    /// May they come in now?
    Account,
    /// A new password.
    Password,
    /// What a shell needs; never called by Doorward.
    Session,
}

impl Stage {
    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
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
pub struct Entry {
    /// What the line is for.
    pub stage: Stage,
    /// As written, without brackets around it.
    pub control: String,
    /// As written: a name, or a path from `/`.
    pub module: String,
    /// Without brackets around them.
    pub arguments: Vec<String>,
    /// `-` in front: a module that is missing does not matter.
    pub is_silent: bool,
    /// `FILE:LINE`.
    pub place: String,
}

impl Entry {
    /// The module's file name without its folder.
    #[must_use]
    pub fn name(&self) -> &str {
        self.module.rsplit('/').next().unwrap_or(&self.module)
    }

    /// Whether this code of the module becomes the stack's, unless a line before has failed already (pam.d(5)).
    #[must_use]
    pub fn passes_on(&self, code: &str) -> bool {
        let action = Control::parse(&self.control).and_then(|control| control.action(code));
        matches!(action, Some(Action::Bad | Action::Die | Action::Ok | Action::Done))
    }

    /// The value of an argument `name=value`.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
    }
}

/// A line that libpam turns into "always fails".
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The stage that fails; all if it is not known.
    pub stage: Option<Stage>,
    /// `FILE:LINE`.
    pub place: String,
    /// What is wrong.
    pub text: String,
}

/// One line as libpam works on it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Step {
    stage: Stage,
    /// How many substacks it lies in.
    level: usize,
    control: Control,
    what: What,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    /// The entry with this number.
    Module(usize),
    /// A substack begins behind it.
    Substack,
    /// Nothing that could be called.
    Nothing,
}

/// A whole service.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stack {
    /// All modules, in their order.
    pub entries: Vec<Entry>,
    /// Lines that are none.
    pub faults: Vec<Fault>,
    /// Every file that was read, the service's own first.
    pub files: Vec<PathBuf>,
    steps: Vec<Step>,
    /// Whether there is more than was read.
    is_cut: bool,
}

impl Stack {
    /// Reads a service; `folders` are looked through in their order.
    ///
    /// # Errors
    /// The service's own file is missing or cannot be read. What is wrong further down becomes a [`Fault`].
    pub fn read(service: &str, folders: &[PathBuf]) -> io::Result<Self> {
        let (path, text) = open(service, folders)?;
        let mut reader = Reader { folders, stack: Self::default() };
        reader.file(&path, &text, Depth::default(), None);
        Ok(reader.stack)
    }

    /// The modules of one stage.
    pub fn of(&self, stage: Stage) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.stage == stage)
    }

    /// Whether libpam finds a line for this stage; if not, it takes those of the service `other`.
    #[must_use]
    pub fn has(&self, stage: Stage) -> bool {
        self.of(stage).next().is_some() || self.faults.iter().any(|fault| fault.stage == Some(stage))
    }
}

struct Reader<'a> {
    folders: &'a [PathBuf],
    stack: Stack,
}

/// How deep a line lies.
#[derive(Clone, Copy, Default)]
struct Depth {
    files: usize,
    substacks: usize,
}

impl Reader<'_> {
    /// Takes the lines of one file, all or those of one stage.
    fn file(&mut self, path: &Path, text: &str, depth: Depth, only: Option<Stage>) {
        self.stack.files.push(path.to_owned());
        self.stack.is_cut |= u64::try_from(text.len()).is_ok_and(|length| length >= MOST_BYTES);
        for line in lines(text) {
            let place = format!("{}:{}", path.display(), line.number);
            self.line(&line, &place, depth, only);
        }
    }

    fn line(&mut self, line: &Line, place: &str, depth: Depth, only: Option<Stage>) {
        let mut words = line.words.iter().map(|word| bare(word));
        let first = words.next().unwrap_or_default();
        if first.eq_ignore_ascii_case("@include") {
            let stages =
                only.map_or_else(|| vec![Stage::Auth, Stage::Account, Stage::Password], |only| vec![only]);
            return self.include(words.next(), place, depth, (only, &stages));
        }
        let (is_silent, type_word) = first.strip_prefix('-').map_or((false, first), |word| (true, word));
        let parsed = Stage::parse(type_word);
        // libpam takes what it does not know for an auth line that always fails.
        let stage = parsed.or(only).unwrap_or(Stage::Auth);
        if only.is_some_and(|only| only != stage) {
            return;
        }
        let Some(control) = words.next() else {
            return self.fails(stage, place, depth, Control::BAD, "the line ends after its first word");
        };
        let is_substack = control.eq_ignore_ascii_case("substack");
        if is_substack || control.eq_ignore_ascii_case("include") {
            let mut below = depth;
            if is_substack {
                self.step(stage, depth, Control::BAD, What::Substack);
                below.substacks += 1;
            }
            return self.include(words.next(), place, below, (Some(stage), &[stage]));
        }
        let Some(actions) = Control::parse(control) else {
            return self.fails(
                stage,
                place,
                depth,
                Control::BAD,
                &format!("'{control}' is not a control word"),
            );
        };
        if parsed.is_none() {
            let text = format!("'{type_word}' is none of auth, account, password and session");
            return self.fails(stage, place, depth, actions, &text);
        }
        let Some(module) = words.next() else {
            return self.fails(stage, place, depth, actions, "names no module");
        };
        self.step(stage, depth, actions, What::Module(self.stack.entries.len()));
        self.stack.entries.push(Entry {
            stage,
            control: control.to_owned(),
            module: module.to_owned(),
            arguments: words.map(str::to_owned).collect(),
            is_silent,
            place: place.to_owned(),
        });
    }

    /// Takes in another file: all of it or the lines of one stage. `stages`: those that fail if it cannot be read.
    fn include(
        &mut self,
        name: Option<&str>,
        place: &str,
        depth: Depth,
        (only, stages): (Option<Stage>, &[Stage]),
    ) {
        let problem = match name {
            None => "includes no file".to_owned(),
            Some(name) if self.stack.files.len() >= MOST_FILES => {
                self.stack.is_cut = true;
                format!("includes {name}, too deep: do files include each other?")
            }
            Some(name) if depth.files + 1 >= MOST_LEVELS => {
                format!("includes {name}, too deep: do files include each other?")
            }
            Some(name) => match open(name, self.folders) {
                Ok((path, text)) => {
                    return self.file(&path, &text, Depth { files: depth.files + 1, ..depth }, only);
                }
                Err(error) => format!("includes {name}, which cannot be read ({error})"),
            },
        };
        for stage in stages {
            self.step(*stage, depth, Control::BAD, What::Nothing);
        }
        // One line is enough: every level above would say the same.
        let is_said = |fault: &Fault| fault.text.contains("too deep") && problem.contains("too deep");
        if !self.stack.faults.iter().any(is_said) {
            self.fault(only, place, problem);
        }
    }

    fn step(&mut self, stage: Stage, depth: Depth, control: Control, what: What) {
        self.stack.steps.push(Step { stage, level: depth.substacks, control, what });
    }

    fn fails(&mut self, stage: Stage, place: &str, depth: Depth, control: Control, text: &str) {
        self.step(stage, depth, control, What::Nothing);
        self.fault(Some(stage), place, text.to_owned());
    }

    fn fault(&mut self, stage: Option<Stage>, place: &str, text: String) {
        self.stack.faults.push(Fault { stage, place: place.to_owned(), text });
    }
}

/// Without the brackets that hold a word together.
fn bare(word: &str) -> &str {
    word.strip_prefix('[').map_or(word, |rest| rest.strip_suffix(']').unwrap_or(rest))
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
///
/// # Errors
/// Those of open(2) and read(2).
pub fn read(path: &Path) -> io::Result<String> {
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
