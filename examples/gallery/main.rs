//! A tool for looking at Doorward's own pages without running it.
//!
//! `cargo run --example gallery -- OUTDIR` writes every page, in every state that matters for its look, to `OUTDIR`,
//! with an `index.html` that leads to them. Open that file in a browser; look at a narrow window, at dark colours, and
//! at the print preview too.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use doorward::domain::Level;
use doorward::pages::{assets, views};

mod samples;

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        return fail("usage: gallery OUTDIR");
    };
    match write_all(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{}: {error}", folder.display())),
    }
}

fn write_all(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder.join("static"))?;
    for path in [assets::stylesheet_path(), assets::icon_path()] {
        let asset = assets::find(path).ok_or(io::ErrorKind::NotFound)?;
        fs::write(folder.join(relative(path)), asset.bytes)?;
    }
    let mut index = String::from("<!doctype html><meta charset=\"utf-8\"><title>Gallery</title><ul>");
    for (name, html) in samples::pages().map_err(io::Error::other)? {
        fs::write(folder.join(format!("{name}.html")), relative(&html))?;
        index.push_str(&format!("<li><a href=\"{name}.html\">{name}</a>"));
    }
    fs::write(folder.join("index.html"), index)
}

/// Opened from a folder, the pages find their stylesheet beside them.
fn relative(text: &str) -> String {
    text.replace(assets::PREFIX, "static/")
}

#[expect(clippy::print_stderr, reason = "a command-line tool for developers")]
fn fail(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}
