//! Keeps the walls of the house: who may use whom, how long a file may be, what must not stand in
//! the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Room, and the rooms it may use besides `units` and `error` (DESIGN: "Who may use whom").
const WALLS: &[(&str, &[&str])] = &[
    ("features", &[]),
    ("dialogue", &[]),
    ("kernels", &[]),
    ("stream", &["dialogue"]),
    ("model", &["kernels", "features"]),
    ("sources", &["stream", "features"]),
    ("sinks", &["stream"]),
    ("session", &["stream", "model", "dialogue"]),
    ("tui", &["stream", "dialogue"]),
    ("eval", &["stream", "dialogue"]),
    ("synth", &["dialogue", "stream"]),
    ("train", &["model", "dialogue", "features"]),
    ("quant", &["model"]),
];

/// Rooms that anyone may use.
const EVERYONE: &[&str] = &["units", "error"];
/// Lines of a file without its tests.
const LINES_MAX: usize = 600;
/// Words that a finished piece of work does not have.
const FORBIDDEN: &[&str] = &[
    "todo!(",
    "unimplemented!(",
    "dbg!(",
    "allow(dead_code",
    "allow(unused",
];
/// File names that say nothing about what is in them.
const EMPTY_NAMES: &[&str] = &[
    "utils", "util", "helpers", "helper", "common", "misc", "manager",
];
/// Outside of `cli`, nobody reads the clock or the environment, or prints.
const CLI_ONLY: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "std::env::",
    "println!(",
    "eprintln!(",
    "anyhow::",
];
/// Rooms whose work is with the outside: processes to wait for, a terminal to draw on.
const CLOCK_ALLOWED: &[&str] = &["cli", "tui"];

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn source() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    rust_files(&root)
        .into_iter()
        .map(|p| {
            (
                p.strip_prefix(&root)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned(),
                fs::read_to_string(&p).unwrap(),
            )
        })
        .collect()
}

/// The text in front of the tests: they may use more than the room itself.
fn without_tests(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod tests {")
        .map_or(text, |at| &text[..at])
}

fn is_test_file(name: &str) -> bool {
    name.ends_with("/tests.rs") || name.contains("/tests/") || name.ends_with("fake.rs")
}

fn room_of(name: &str) -> &str {
    name.split(['/', '.']).next().unwrap_or(name)
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let mut broken = Vec::new();
    for (name, text) in source() {
        let room = room_of(&name);
        let Some((_, allowed)) = WALLS.iter().find(|(r, _)| *r == room) else {
            continue;
        };
        if is_test_file(&name) {
            continue;
        }
        for line in without_tests(&text)
            .lines()
            .filter(|l| !l.trim_start().starts_with("//"))
        {
            for used in line.match_indices("crate::").map(|(at, _)| &line[at + 7..]) {
                let used: String = used
                    .chars()
                    .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                    .collect();
                let free = used == room || used.is_empty() || EVERYONE.contains(&used.as_str());
                if !free && !allowed.contains(&used.as_str()) {
                    broken.push(format!("{name}: uses crate::{used}"));
                }
            }
        }
    }
    assert!(
        broken.is_empty(),
        "walls are broken:\n{}",
        broken.join("\n")
    );
}

#[test]
fn every_room_has_a_wall_or_is_the_command_line() {
    let known: BTreeSet<&str> = WALLS
        .iter()
        .map(|(r, _)| *r)
        .chain(EVERYONE.iter().copied())
        .chain(["cli", "lib", "main"])
        .collect();
    for (name, _) in source() {
        assert!(
            known.contains(room_of(&name)),
            "{name}: no wall is stated for this room"
        );
    }
}

#[test]
fn files_are_short_begin_with_their_purpose_and_have_telling_names() {
    let mut broken = Vec::new();
    for (name, text) in source() {
        let lines = without_tests(&text).lines().count();
        if lines > LINES_MAX && !is_test_file(&name) {
            broken.push(format!("{name}: {lines} lines, at most {LINES_MAX}"));
        }
        if !text.starts_with("//! ") {
            broken.push(format!(
                "{name}: the first line does not say what the file is for"
            ));
        }
        let stem = Path::new(&name)
            .file_stem()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        if EMPTY_NAMES.contains(&stem.as_str()) || stem.ends_with("_v2") || stem.ends_with("_new") {
            broken.push(format!("{name}: the name says nothing"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_unfinished_work_stands_in_the_code() {
    let mut broken = Vec::new();
    for (name, text) in source() {
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = FORBIDDEN.iter().find(|w| line.contains(**w)) {
                broken.push(format!("{name}:{}: {word}", number + 1));
            }
            if line.trim() == "#[ignore]" {
                broken.push(format!("{name}:{}: #[ignore] without a reason", number + 1));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn clock_environment_and_printing_stay_in_the_command_line() {
    let mut broken = Vec::new();
    for (name, text) in source() {
        if CLOCK_ALLOWED.contains(&room_of(&name)) || name == "main.rs" || is_test_file(&name) {
            continue;
        }
        for (number, line) in without_tests(&text).lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            if let Some(word) = CLI_ONLY.iter().find(|w| line.contains(**w)) {
                broken.push(format!("{name}:{}: {word}", number + 1));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_readme_begins_with_the_two_commands() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let top: Vec<&str> = readme.lines().take(30).collect();
    for command in ["cargo run --release -- demo", "cargo test --release"] {
        assert!(
            top.iter().any(|l| l.contains(command)),
            "README.md does not show `{command}` at its top"
        );
    }
}
