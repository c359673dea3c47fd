//! A session as a folder: recorded, shown again, gone on with after any break, and refused when it
//! is none.

#[path = "cli/tiny.rs"]
mod tiny;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use proact::stream::Event;
use proact::stream::log::{self, Tail};

fn proact(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proact"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("RAYON_NUM_THREADS");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn replay(tiny: &tiny::Tiny, more: &[&str]) -> Output {
    let path = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let mut command = proact(&[
        "replay",
        &path(&tiny.frames),
        "--model",
        &path(&tiny.model),
        "--vision",
        &path(&tiny.vision),
        "--headless",
    ]);
    command.args(more).output().unwrap()
}

/// A recorded session of 24 frames.
fn record(tiny: &tiny::Tiny, more: &[&str]) -> PathBuf {
    let folder = tiny.folder.path().join("sessions/a");
    let task = tiny.task.to_str().unwrap();
    let output = replay(
        tiny,
        &[
            &["--record", folder.to_str().unwrap(), "--task", task],
            more,
        ]
        .concat(),
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    folder
}

fn events(folder: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    log::read(&folder.join("events.jsonl"), Tail::Refuse, |event| {
        events.push(event)
    })
    .unwrap();
    events
}

/// Lines about what happened: without the first and the figures of the clock.
fn story(output: &[u8]) -> Vec<String> {
    text(output)
        .lines()
        .filter(|l| l.starts_with("  ") || l.starts_with("goal") || l.starts_with('S'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_session_is_recorded_for_its_owner_only_and_shown_again_without_a_model() {
    let tiny = tiny::make(24);
    let folder = tiny.folder.path().join("sessions/a");
    let (task, log) = (
        tiny.task.to_str().unwrap().to_owned(),
        tiny.folder.path().join("events.jsonl"),
    );
    let run = replay(
        &tiny,
        &[
            "--record",
            folder.to_str().unwrap(),
            "--save-frames",
            "--task",
            &task,
            "--events",
            log.to_str().unwrap(),
        ],
    );
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    assert_eq!(
        fs::read(folder.join("events.jsonl")).unwrap(),
        fs::read(&log).unwrap(),
        "one event stream"
    );
    assert_eq!(
        fs::read_to_string(folder.join("timing.jsonl"))
            .unwrap()
            .lines()
            .count(),
        24
    );
    assert_eq!(fs::read_dir(folder.join("frames")).unwrap().count(), 24);
    let about: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("session.json")).unwrap()).unwrap();
    assert_eq!(about["source"]["name"], "frames");
    for hash in [
        &about["source"]["sha256"],
        &about["model"]["sha256"],
        &about["vision_sha256"],
    ] {
        assert_eq!(hash.as_str().unwrap().len(), 64);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for name in ["", "frames"] {
            assert_eq!(mode(&folder.join(name)), 0o700, "{name}");
        }
        for name in [
            "session.json",
            "events.jsonl",
            "timing.jsonl",
            "task.toml",
            "frames/00000003.jpg",
        ] {
            assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
        }
    }
    // No model is needed any more.
    fs::remove_file(&tiny.model).unwrap();
    let play = proact(&["play", folder.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(play.status.code(), Some(0), "{}", text(&play.stderr));
    assert_eq!(story(&play.stdout), story(&run.stdout));
    // Nothing is recorded over it.
    let again = replay(&tiny, &["--record", folder.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        text(&again.stderr).contains("not empty"),
        "{}",
        text(&again.stderr)
    );
}

#[test]
fn frames_are_kept_only_when_asked_for() {
    let tiny = tiny::make(3);
    let folder = record(&tiny, &[]);
    assert!(!folder.join("frames").exists());
    let output = replay(&tiny, &["--save-frames"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("--record DIR"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn after_a_break_anywhere_the_session_goes_on_in_the_same_log() {
    let tiny = tiny::make(24);
    let folder = record(&tiny, &[]);
    let path = folder.to_str().unwrap();
    let log = folder.join("events.jsonl");
    let whole = fs::read(&log).unwrap();
    let first = whole.iter().position(|b| *b == b'\n').unwrap();
    // Right behind the session's own line; in the middle of a line; before the last one; behind the
    // end.
    for cut in [
        first + 1,
        whole.len() / 3,
        whole.len() * 2 / 3,
        whole.len() - 20,
        whole.len(),
    ] {
        fs::write(&log, &whole[..cut]).unwrap();
        let play = proact(&["play", path]).output().unwrap();
        assert_eq!(play.status.code(), Some(0), "{}", text(&play.stderr));
        assert_eq!(text(&play.stdout).contains("broken off"), cut < whole.len());
        let before = {
            let mut n = 0;
            log::read(&log, Tail::Drop, |_| n += 1).unwrap();
            n
        };
        let run = replay(&tiny, &["--resume", path]);
        assert_eq!(
            run.status.code(),
            Some(0),
            "cut at {cut}: {}",
            text(&run.stderr)
        );
        let events = events(&folder);
        assert!(
            matches!(events[before], Event::Resume { .. }),
            "cut at {cut}: {:?}",
            events[before]
        );
        let frames: Vec<u64> = events
            .iter()
            .filter_map(|e| {
                if let Event::Frame { frame, .. } = e {
                    Some(frame.0)
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(
            frames,
            (0..24).collect::<Vec<u64>>(),
            "cut at {cut}: every frame once"
        );
        assert!(matches!(events.last(), Some(Event::End { frames: 24, .. })));
        assert!(text(&run.stdout).contains("goes on after a break"));
        let play = proact(&["play", path]).output().unwrap();
        assert_eq!(
            (play.status.code(), story(&play.stdout)),
            (Some(0), story(&run.stdout))
        );
    }
}

#[test]
#[cfg(unix)]
fn a_killed_run_leaves_a_session_that_goes_on() {
    let tiny = tiny::make(60);
    let folder = tiny.folder.path().join("s");
    let (frames, model) = (tiny.frames.to_str().unwrap(), tiny.model.to_str().unwrap());
    let run = [
        "replay",
        frames,
        "--model",
        model,
        "--headless",
        "--realtime",
        "--record",
        folder.to_str().unwrap(),
    ];
    let mut child = proact(&run)
        .args(["--task", tiny.task.to_str().unwrap()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let log = folder.join("events.jsonl");
    let start = std::time::Instant::now();
    while !fs::read_to_string(&log).is_ok_and(|t| t.matches("\"frame\",").count() >= 3) {
        assert!(start.elapsed().as_secs() < 60, "no frame came");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let busy = replay(&tiny, &["--resume", folder.to_str().unwrap()]);
    assert!(
        text(&busy.stderr).contains("another process"),
        "{}",
        text(&busy.stderr)
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let resumed = replay(&tiny, &["--resume", folder.to_str().unwrap()]);
    assert_eq!(resumed.status.code(), Some(0), "{}", text(&resumed.stderr));
    let frames = events(&folder)
        .iter()
        .filter(|e| matches!(e, Event::Frame { .. }))
        .count();
    assert_eq!(frames, 60);
    assert_eq!(
        fs::read_to_string(folder.join("timing.jsonl"))
            .unwrap()
            .lines()
            .count(),
        60
    );
}

#[test]
fn what_is_not_this_session_is_refused() {
    let tiny = tiny::make(6);
    let folder = record(&tiny, &[]);
    let path = folder.to_str().unwrap();
    let why = |output: Output, code: i32| {
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    assert!(why(replay(&tiny, &["--resume", path, "--fps", "7"]), 2).contains("recorded at 2"));
    fs::remove_file(tiny.frames.join("5.png")).unwrap();
    assert!(why(replay(&tiny, &["--resume", path]), 1).contains("SHA-256"));
    assert!(why(replay(&tiny, &["--resume", "nowhere"]), 1).contains("nowhere"));
    assert!(
        why(
            proact(&["play", tiny.frames.to_str().unwrap()])
                .output()
                .unwrap(),
            1
        )
        .contains("no recorded session")
    );
    fs::write(folder.join("events.jsonl"), b"\xff\xfe\0\n").unwrap();
    assert!(why(proact(&["play", path]).output().unwrap(), 1).contains("line 1"));
}

#[test]
fn the_session_behind_the_goldens_can_be_played() {
    let folder =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("tests/data/tui/session");
    let output = proact(&["play", folder.to_str().unwrap(), "--headless"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    for what in [
        "S6 set to completed by hand",
        "the session was broken off here",
        "4 of 11 steps done",
    ] {
        assert!(told.contains(what), "{what}: {told}");
    }
}
