//! Keeps the walls of the house: who may use whom, how long a file may be, what must not stand in
//! the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A package: its sources, and for each room the rooms of the same package that it may use besides
/// those that are [`open`](EVERYONE) to everyone.
struct Package {
    folder: &'static str,
    walls: &'static [(&'static str, &'static [&'static str])],
}

const PACKAGES: [Package; 3] = [
    Package {
        folder: "src",
        walls: &[
            ("features", &[]),
            ("dialogue", &[]),
            ("kernels", &[]),
            ("stream", &["dialogue"]),
            ("model", &["kernels", "features", "dialogue"]),
            ("sources", &["stream", "features"]),
            ("sinks", &["stream", "dialogue"]),
            ("session", &["stream", "model", "dialogue"]),
            ("tui", &["stream", "dialogue"]),
            (
                "run",
                &[
                    "stream", "dialogue", "model", "session", "sources", "sinks", "tui",
                ],
            ),
        ],
    },
    Package {
        folder: "lab/src",
        walls: &[
            ("synth", &[]),
            ("proassist", &[]),
            ("quant", &[]),
            ("encode", &["proassist"]),
            ("eval", &["proassist"]),
            ("calibrate", &["eval", "quant", "proassist"]),
            ("train", &["calibrate", "eval", "quant", "proassist"]),
        ],
    },
    Package {
        folder: "cli/src",
        walls: &[],
    },
];

/// Rooms that anyone may use.
const EVERYONE: &[&str] = &["units", "error", "rng", "files", "parallel", "stop"];
/// Lines of a file without its tests: each, and half of them.
const LINES_MAX: usize = 600;
const LINES_MEDIAN: usize = 200;
/// Columns of a line that holds no string.
const COLUMNS_MAX: usize = 100;
/// Bytes of the README; all else stands in docs/.
const README_BYTES_MAX: usize = 9 << 10;
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
/// What only some rooms may do, with the beginnings of their names: to know a command line, to
/// print, to read the clock and the environment, to say what failed without a type.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("clap::", &["cli/"]),
    ("println!(", &["cli/"]),
    // Training and calibration tell their progress, scores what they leave out.
    (
        "eprintln!(",
        &[
            "cli/",
            "lab/src/train/",
            "lab/src/calibrate/",
            "lab/src/eval/",
        ],
    ),
    (
        "Instant::now",
        &["cli/", "src/run/", "src/tui/", "lab/src/train/progress"],
    ),
    ("SystemTime::now", &["cli/", "src/run/", "src/tui/"]),
    ("std::env::", &["cli/", "src/tui/", "src/run/load"]),
    ("anyhow::", &["cli/", "src/run/", "lab/"]),
];

struct File {
    /// From the repository's root.
    name: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

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

fn source() -> impl Iterator<Item = File> {
    let folders = PACKAGES
        .iter()
        .map(|package| root().join(package.folder))
        .collect::<Vec<_>>();
    let files = folders.into_iter().flat_map(|folder| rust_files(&folder));
    files.map(|path| File {
        name: path
            .strip_prefix(root())
            .unwrap()
            .to_string_lossy()
            .replace('\\', "/"),
        text: fs::read_to_string(&path).unwrap(),
    })
}

/// The text in front of the tests: they may use more than the room itself.
fn without_tests(text: &str) -> &str {
    let at = [
        "\n#[cfg(test)]\nmod tests {",
        "\n#[cfg(test)]\npub(crate) mod tests {",
    ]
    .iter()
    .filter_map(|begin| text.find(begin))
    .min();
    at.map_or(text, |at| &text[..at])
}

fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = without_tests(text).lines().enumerate();
    lines
        .map(|(at, line)| (at + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn is_test_file(name: &str) -> bool {
    name.ends_with("/tests.rs") || name.contains("/tests/") || name.ends_with("fake.rs")
}

fn room_of(name: &str) -> &str {
    name.split(['/', '.']).next().unwrap_or(name)
}

/// Fails with the list of what is broken.
fn hold(what: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{what}:\n{}", broken.join("\n"));
}

/// The rooms that a line names behind `crate::`, a group in braces included.
fn rooms_used(line: &str) -> Vec<&str> {
    let mut used = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let names = match rest.strip_prefix('{') {
            Some(group) => group
                .split('}')
                .next()
                .unwrap_or(group)
                .split(',')
                .collect(),
            None => vec![rest],
        };
        let word = |name: &'_ str| name.len() - name.trim_start_matches(is_word).len();
        used.extend(
            names
                .into_iter()
                .map(str::trim)
                .map(|name| &name[..word(name)]),
        );
    }
    used
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter == '_'
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let mut broken = Vec::new();
    for package in PACKAGES.iter().filter(|package| !package.walls.is_empty()) {
        let prefix = format!("{}/", package.folder);
        for File { name, text } in source() {
            let Some(inside) = name.strip_prefix(&prefix).filter(|_| !is_test_file(&name)) else {
                continue;
            };
            let room = room_of(inside);
            let Some((_, allowed)) = package.walls.iter().find(|(r, _)| *r == room) else {
                let free = EVERYONE.contains(&room) || inside == "lib.rs";
                if !free {
                    broken.push(format!("{name}: no wall is stated for this room"));
                }
                continue;
            };
            for (number, line) in code_lines(&text) {
                for used in rooms_used(line) {
                    let free = used == room || used.is_empty() || EVERYONE.contains(&used);
                    if !free && !allowed.contains(&used) {
                        broken.push(format!("{name}:{number}: uses crate::{used}"));
                    }
                }
            }
        }
    }
    hold("walls are broken", &broken);
}

#[test]
fn the_walls_see_single_names_and_groups() {
    assert_eq!(rooms_used("use crate::stream::Event;"), ["stream"]);
    assert_eq!(
        rooms_used("use crate::{model::Piece, tui, units::Prob};"),
        ["model", "tui", "units"]
    );
    assert_eq!(
        rooms_used("a(crate::tui::X, crate::run::Y)"),
        ["tui", "run"]
    );
}

#[test]
fn no_room_is_below_one_that_uses_it() {
    for package in &PACKAGES {
        let mut placed: BTreeSet<&str> = BTreeSet::new();
        while placed.len() < package.walls.len() {
            let next = package
                .walls
                .iter()
                .find(|(room, below)| {
                    !placed.contains(room) && below.iter().all(|room| placed.contains(room))
                })
                .unwrap_or_else(|| panic!("{}: rooms use each other in a circle", package.folder));
            placed.insert(next.0);
        }
    }
}

#[test]
fn files_are_short_begin_with_their_purpose_and_have_telling_names() {
    let mut broken = Vec::new();
    let mut all = Vec::new();
    for File { name, text } in source() {
        let lines = without_tests(&text).lines().count();
        if !is_test_file(&name) {
            all.push(lines);
            if lines > LINES_MAX {
                broken.push(format!("{name}: {lines} lines, at most {LINES_MAX}"));
            }
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
    all.sort_unstable();
    let median = all[all.len() / 2];
    if median > LINES_MEDIAN {
        broken.push(format!(
            "half of the files have {median} lines or more, at most {LINES_MEDIAN}"
        ));
    }
    hold("form", &broken);
}

#[test]
fn lines_are_no_wider_than_the_form_unless_they_hold_a_string() {
    let mut broken = Vec::new();
    for File { name, text } in source() {
        // Within a string of several lines there is no quote to see; what stands there is text.
        let mut raw = false;
        for (number, line) in text.lines().enumerate() {
            let begins = line.contains("r#\"") || line.contains("r\"");
            let wide = line.chars().count() > COLUMNS_MAX;
            if wide && !raw && !line.contains('"') && !line.ends_with('\\') {
                broken.push(format!(
                    "{name}:{}: {} columns",
                    number + 1,
                    line.chars().count()
                ));
            }
            if begins {
                raw = !line.contains("\"#") && !line.ends_with("\";");
            } else if raw {
                raw = !line.contains("\"#");
            }
        }
    }
    hold("lines are too wide", &broken);
}

#[test]
fn no_unfinished_work_stands_in_the_code() {
    let mut broken = Vec::new();
    for File { name, text } in source() {
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = FORBIDDEN.iter().find(|w| line.contains(**w)) {
                broken.push(format!("{name}:{}: {word}", number + 1));
            }
            if line.trim() == "#[ignore]" {
                broken.push(format!("{name}:{}: #[ignore] without a reason", number + 1));
            }
        }
    }
    hold("unfinished", &broken);
}

#[test]
fn command_line_clock_environment_and_printing_stay_where_they_belong() {
    let mut broken = Vec::new();
    for File { name, text } in source().filter(|file| !is_test_file(&file.name)) {
        for (number, line) in code_lines(&text) {
            for (word, rooms) in ONLY_IN {
                let begins = |at: usize| !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
                let found = line.match_indices(word).any(|(at, _)| begins(at));
                if found && !rooms.iter().any(|room| name.starts_with(room)) {
                    broken.push(format!("{name}:{number}: {word}"));
                }
            }
        }
    }
    hold("only some rooms may do this", &broken);
}

#[test]
fn the_runtime_depends_on_nothing_that_only_the_lab_or_the_program_needs() {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let needed = manifest["dependencies"].as_table().unwrap();
    let elsewhere = [
        "arrow",
        "base64",
        "clap",
        "ctrlc",
        "gif",
        "hf-hub",
        "indicatif",
        "proact-lab",
        "re_mp4",
        "rust-stemmers",
        "tracing-subscriber",
        "zip",
    ];
    let found: Vec<String> = needed
        .keys()
        .filter(|name| elsewhere.iter().any(|other| name.starts_with(other)))
        .cloned()
        .collect();
    hold("the runtime needs", &found);
}

#[test]
fn a_source_that_wraps_another_one_names_it() {
    let wrong = |file: &File| {
        let text = without_tests(&file.text);
        let wraps = text.contains("source: Box<dyn Source>,\n") && text.contains(" Source for ");
        wraps && !text.contains("fn inner(&mut self)")
    };
    let broken: Vec<String> = source().filter(wrong).map(|file| file.name).collect();
    hold("`Source::inner` is missing", &broken);
}

#[test]
fn the_readme_is_short_and_begins_with_the_two_commands() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(
        readme.len() <= README_BYTES_MAX,
        "README.md has {} bytes",
        readme.len()
    );
    let top: Vec<&str> = readme.lines().take(30).collect();
    for command in ["cargo run --release -- demo", "cargo test --release"] {
        assert!(
            top.iter().any(|l| l.contains(command)),
            "README.md does not show `{command}` at its top"
        );
    }
}
