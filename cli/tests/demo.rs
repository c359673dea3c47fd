//! The main job on what ships: the demo runs, is the same every time, and is right about the clip.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[path = "../../tests/common/unchanged.rs"]
mod unchanged;

use proact_lab::eval::speech::Lexical;
use proact_lab::eval::{Log, Options, Reference, Tally};

/// Most that the shipped files may take together.
const BYTES_MAX: u64 = 16 << 20;

fn shipped(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .join("models/demo")
        .join(name)
}

fn proact(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proact"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the demo in lines; gives its event log and what it printed.
fn demo(folder: &Path, threads: &str) -> (Vec<u8>, String) {
    let events = folder.join(format!("events-{threads}.jsonl"));
    let path = events.to_str().unwrap();
    let output = proact(&["demo", "--headless", "--threads", threads, "--events", path])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (
        std::fs::read(&events).unwrap(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

/// What was decided and said, without the probabilities, whose last digits are the processor's.
fn decisions(log: &[u8]) -> Vec<u8> {
    let mut told = Vec::new();
    for line in log
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let mut event: serde_json::Value = serde_json::from_slice(line).unwrap();
        event
            .as_object_mut()
            .unwrap()
            .retain(|key, _| !["prob", "speak", "dst_update"].contains(&key.as_str()));
        told.extend(event.to_string().bytes().chain([b'\n']));
    }
    told
}

#[test]
fn the_demo_is_the_same_for_any_number_of_threads_and_right_about_its_clip() {
    let folder = tempfile::tempdir().unwrap();
    let (one, printed) = demo(folder.path(), "1");
    let (two, _) = demo(folder.path(), "2");
    assert!(one == two, "the event log depends on the number of threads");
    unchanged::assert_unchanged("demo_decisions", false, &decisions(&one));
    unchanged::assert_unchanged("demo_events", true, &one);
    for fact in ["11 of 11 steps", "frames/s", "memory", "gates: speak"] {
        assert!(
            printed.contains(fact),
            "`{fact}` is not among the lines:\n{printed}"
        );
    }
    let log = Log::read(&folder.path().join("events-1.jsonl")).unwrap();
    let reference = Reference::read(&shipped("annotation.jsonl"), None)
        .unwrap()
        .remove(0);
    let scores = Tally::of(&log, &reference, &Options::default(), &Lexical)
        .unwrap()
        .scores();
    let f1 = scores.at(5.0).and_then(|rates| rates.f1).unwrap_or(0.0);
    assert!(
        f1 >= 0.7,
        "transition F1 within 5 s on the demo's clip: {f1}"
    );
}

#[test]
fn what_ships_is_small() {
    let files = std::fs::read_dir(shipped("")).unwrap();
    let bytes: u64 = files.map(|f| f.unwrap().metadata().unwrap().len()).sum();
    assert!(
        bytes <= BYTES_MAX,
        "{bytes} bytes in models/demo, at most {BYTES_MAX}"
    );
}
