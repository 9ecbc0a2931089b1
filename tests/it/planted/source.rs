//! That new code keeps to it.

use std::fs;
use std::path::{Path, PathBuf};

/// Calls that change what a path leads to, links included. By open files and folders (`src/fs`) there are none such.
const BY_PATH: [&str; 12] = [
    " chown(",
    "fs::chown(",
    "lchown(",
    "fs::set_permissions(",
    "File::create(",
    "fs::write(",
    "create_dir(",
    "create_dir_all(",
    "DirBuilder::new(",
    "fs::rename(",
    "fs::copy(",
    "UnixListener::bind(",
];

/// Where one stands all the same, and why it cannot be led elsewhere.
const EXCEPTIONS: [(&str, &str, &str); 5] = [
    ("src/fs/folder.rs", "fs::set_permissions(", "through a descriptor in /proc, not by a path"),
    (
        "src/tunnel/socket.rs",
        "fs::set_permissions(",
        "a developer's own, in a folder that nobody else may write",
    ),
    ("src/listener/tls/files.rs", "fs::rename(", "by the gateway's user, in its own state folder"),
    ("src/startup/temporary.rs", "UnixListener::bind(", "in a folder of mkdtemp(3)"),
    ("src/pam/worker/control.rs", "UnixListener::bind(", "abstract"),
];

#[test]
fn i4_nothing_is_made_or_changed_by_a_path_that_somebody_could_have_exchanged() {
    let mut found = Vec::new();
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap();
        if name.contains("/tests") || name.ends_with("acceptance.rs") {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for (number, line) in
            code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            for call in BY_PATH.iter().filter(|call| line.contains(*call)) {
                if !EXCEPTIONS.iter().any(|(file, of, _)| *file == name && of == call) {
                    found.push(format!("{name}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "do it through src/fs, or say here why not:\n{}", found.join("\n"));
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
