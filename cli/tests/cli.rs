//! The binary from outside: help, exit codes, what a run writes, and how it ends.

#[path = "cli/tiny.rs"]
mod tiny;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn proact() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proact"));
    command
        .stdin(Stdio::null())
        .env_remove("RAYON_NUM_THREADS")
        .env("COLUMNS", "100");
    command
}

fn run(args: &[&str]) -> Output {
    proact().args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A missing or different golden fails; only `UPDATE_GOLDEN=1` writes one.
fn assert_golden(name: &str, found: &str) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .join("cli/tests/data")
        .join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|v| v == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
        return;
    }
    if std::fs::read_to_string(&path).unwrap_or_default() != found {
        let new = path.with_extension("new");
        std::fs::create_dir_all(new.parent().unwrap()).unwrap();
        std::fs::write(&new, found).unwrap();
        panic!("{} differs; see {}\n{found}", path.display(), new.display());
    }
}

/// A replay of the tiny model, without its output.
fn replay(tiny: &tiny::Tiny, more: &[&str]) -> Command {
    let mut command = proact();
    command
        .arg("replay")
        .arg(&tiny.frames)
        .arg("--model")
        .arg(&tiny.model)
        .arg("--task")
        .arg(&tiny.task);
    command.arg("--headless").args(more);
    command
}

fn events(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'), "the last line is whole");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn help_teaches_every_verb() {
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    // One more verb where it is built in.
    let listed: String = text(&help.stdout)
        .split_inclusive('\n')
        .filter(|line| !line.trim_start().starts_with("fetch "))
        .collect();
    assert_golden(
        if cfg!(feature = "camera") {
            "help"
        } else {
            "help-without-camera"
        },
        &listed,
    );
    let run_verb = cfg!(feature = "camera").then_some("run");
    for verb in ["demo", "replay", "encode"].into_iter().chain(run_verb) {
        let help = text(&run(&[verb, "--help"]).stdout);
        assert!(help.contains("Examples:"), "{verb}");
        assert_golden(&format!("help-{verb}"), &help);
    }
}

#[test]
fn a_wrong_call_is_told_and_leaves_with_2() {
    for args in [
        &[][..],
        &["dance"],
        &["replay"],
        &["demo", "--fsp", "2"],
        &["replay", "x", "--context", "forget"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn a_missing_file_is_named_with_the_remedy_and_leaves_with_1() {
    let output = run(&[
        "replay",
        "clip.mp4",
        "--model",
        "nowhere/assistant.gguf",
        "--headless",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let words = text(&output.stderr);
    assert!(
        words.starts_with("error: nowhere/assistant.gguf: no such file")
            && words.contains("--model FILE"),
        "{words}"
    );
    let output = run(&["replay", "clip.mp4", "--config", "nowhere.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("nowhere.toml"));
}

#[test]
fn a_run_writes_what_was_asked_for_and_the_same_again() {
    let tiny = tiny::make(24);
    let path = |name: &str| tiny.folder.path().join(name);
    let go = |run: &str, threads: &str| {
        let file = |name: &str| path(&format!("{run}-{name}")).display().to_string();
        let (events, timing, tokens) = (
            file("events.jsonl"),
            file("timing.jsonl"),
            file("tokens.jsonl"),
        );
        let (vtt, srt) = (file("said.vtt"), file("said.srt"));
        let flags = [
            "--events",
            &events,
            "--timing",
            &timing,
            "--tokens",
            &tokens,
            "--vtt",
            &vtt,
            "--srt",
            &srt,
            "--threads",
            threads,
        ];
        let output = replay(&tiny, &flags).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let words = go("a", "1");
    for fact in [
        "goal  Make tea",
        "S2  Pour",
        "gates speak >= 0.30 (head)",
        "24 frames",
        "frames/s",
        "times real time",
        "of 1024 tokens",
    ] {
        assert!(words.contains(fact), "{fact}: {words}");
    }
    let log = events(&path("a-events.jsonl"));
    assert_eq!(
        (&log[0]["type"], &log.last().unwrap()["type"]),
        (&"session".into(), &"end".into())
    );
    assert_eq!(log.iter().filter(|e| e["type"] == "frame").count(), 24);
    assert_eq!(
        std::fs::read_to_string(path("a-timing.jsonl"))
            .unwrap()
            .lines()
            .count(),
        24
    );
    assert!(
        std::fs::read_to_string(path("a-said.vtt"))
            .unwrap()
            .starts_with("WEBVTT")
    );
    let fed = std::fs::read_to_string(path("a-tokens.jsonl")).unwrap();
    assert_eq!(
        fed.matches("\"image\"").count(),
        24,
        "each frame was fed once"
    );
    go("b", "2");
    for name in ["events.jsonl", "tokens.jsonl", "said.vtt", "said.srt"] {
        let read = |run: &str| std::fs::read(path(&format!("{run}-{name}"))).unwrap();
        assert_eq!(read("a"), read("b"), "{name}");
    }
}

#[test]
fn words_and_hands_from_a_file_enter_the_session() {
    let tiny = tiny::make(6);
    let (input, log) = (
        tiny.folder.path().join("input.jsonl"),
        tiny.folder.path().join("events.jsonl"),
    );
    std::fs::write(&input, "{\"at\":1.0,\"user\":\"What is next?\"}\n{\"at\":2.0,\"mark\":\"S1\",\"state\":\"completed\"}\n").unwrap();
    let output = replay(
        &tiny,
        &[
            "--input",
            input.to_str().unwrap(),
            "--events",
            log.to_str().unwrap(),
        ],
    )
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let log = events(&log);
    assert!(
        log.iter()
            .any(|e| e["type"] == "user" && e["text"] == "What is next?")
    );
    assert!(log.iter().any(|e| e["type"] == "mark" && e["step"] == "S1"));
    assert!(text(&output.stdout).contains("you: What is next?"));
}

#[test]
fn another_vision_model_is_refused() {
    let tiny = tiny::make(1);
    let mut bytes = std::fs::read(&tiny.vision).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&tiny.vision, bytes).unwrap();
    let output = replay(&tiny, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("another vision model"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn features_made_by_encode_give_the_same_decisions() {
    let tiny = tiny::make(8);
    let path = |name: &str| tiny.folder.path().join(name).display().to_string();
    let features = path("f.safetensors");
    let frames = tiny.frames.display().to_string();
    let vision = tiny.vision.display().to_string();
    let encode = ["encode", &frames, "-o", &features, "--vision", &vision];
    let first = run(&encode);
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stderr));
    assert!(text(&first.stdout).contains("8 frames"));
    assert!(text(&run(&encode).stdout).contains("there already"));
    let log = |source: &str, name: &str| {
        let out = path(name);
        let output = run(&[
            "replay",
            source,
            "--model",
            tiny.model.to_str().unwrap(),
            "--headless",
            "--events",
            &out,
        ]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        events(Path::new(&out))
    };
    let (pictures, cached) = (log(&frames, "a.jsonl"), log(&features, "b.jsonl"));
    let probs = |log: &[Value]| -> Vec<f64> {
        log.iter()
            .filter(|e| e["type"] == "frame")
            .map(|e| e["speak"].as_f64().unwrap())
            .collect()
    };
    let (a, b) = (probs(&pictures), probs(&cached));
    assert_eq!(a.len(), 8);
    // Features are kept as f16.
    assert!(
        a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 5e-3),
        "{a:?} {b:?}"
    );
}

#[test]
#[cfg(unix)]
fn a_signal_ends_the_run_in_order_and_leaves_with_130() {
    let tiny = tiny::make(400);
    let log = tiny.folder.path().join("events.jsonl");
    // In real time this would take minutes.
    let mut child = replay(&tiny, &["--realtime", "--events", log.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("· gates") {
        line.clear();
        assert_ne!(
            out.read_line(&mut line).unwrap(),
            0,
            "ended before the first frame"
        );
    }
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert!(rest.contains("stopped early"), "{rest}");
    let log = events(&log);
    assert_eq!(log.last().unwrap()["type"], "end");
    assert!(log.iter().any(|e| e["type"] == "frame"));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let tiny = tiny::make(40);
    let mut child = replay(&tiny, &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut words = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut words)
        .unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), words.as_str()),
        (Some(0), "")
    );
}

/// On a machine with cameras too: there is none of that name.
#[cfg(feature = "camera")]
#[test]
fn a_camera_that_is_not_there_is_named_and_the_flags_are_checked() {
    for verb in ["run", "cameras"] {
        let output = run(&[verb, "--camera", "no such camera"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(
            text(&output.stderr).contains("no camera \"no such camera\""),
            "{}",
            text(&output.stderr)
        );
    }
    for bad in [["--rotate", "45"], ["--size", "640"], ["--camera-fps", "0"]] {
        assert_eq!(
            run(&["run", bad[0], bad[1]]).status.code(),
            Some(2),
            "{bad:?}"
        );
    }
}

#[test]
fn calibration_stores_gates_and_curves_and_leaves_the_tensors_alone() {
    use proact::features::FeatureFile;
    use proact::model::config::AssistantConfig;
    use proact::model::gguf::GgufFile;

    let tiny = tiny::make(0);
    let folder = tiny.folder.path();
    let (episode, features) = (folder.join("ref/a"), folder.join("features"));
    std::fs::create_dir_all(&episode).unwrap();
    std::fs::create_dir(&features).unwrap();
    std::fs::copy(&tiny.task, episode.join("task.toml")).unwrap();
    let annotation = r#"{"dataset":"synth","video_uid":"a","clip_idx":0,"fps":2.0,"start_frame_idx":0,"end_frame_idx":12,"conversation":[{"role":"DST_UPDATE","time":1.0,"content":[{"id":"S1","transition":"start"}]},{"role":"DST_UPDATE","time":4.0,"content":[{"id":"S1","transition":"complete"}]}],"metadata":{"task_goal":"Make tea"}}"#;
    std::fs::write(episode.join("annotation.jsonl"), format!("{annotation}\n")).unwrap();
    let mut file = FeatureFile {
        fps: 2.0,
        dim: 32,
        cls: (0..12 * 32).map(|i| (i % 7) as f32 * 0.1).collect(),
        ..FeatureFile::default()
    };
    file.write(&features.join("a.safetensors")).unwrap();
    let calibrate = |more: &[&str]| {
        let mut command = proact();
        command
            .args(["eval", "--calibrate"])
            .arg(&tiny.model)
            .arg("--reference")
            .arg(folder.join("ref"))
            .arg("--features")
            .arg(&features);
        command.args([
            "--update-thresholds",
            "0.6,0.4",
            "--speak-thresholds",
            "0.5",
            "--metric",
            "joint-state",
        ]);
        command
            .args(["--hysteresis", "0.1", "--refractory", "1"])
            .args(more)
            .output()
            .unwrap()
    };
    let before = std::fs::read(&tiny.model).unwrap();
    let tensors = |file: &GgufFile| {
        file.tensors()
            .iter()
            .map(|t| (t.name.clone(), file.bytes(&t.name).unwrap().1.to_vec()))
            .collect::<Vec<_>>()
    };
    let old = GgufFile::open(&tiny.model).unwrap();
    let dry = calibrate(&["--dry-run"]);
    assert!(dry.status.success(), "{}", text(&dry.stderr));
    assert_eq!(std::fs::read(&tiny.model).unwrap(), before);
    let done = calibrate(&[]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(
        text(&done.stdout).contains("stored in"),
        "{}",
        text(&done.stdout)
    );
    let new = GgufFile::open(&tiny.model).unwrap();
    assert_eq!(tensors(&new), tensors(&old));
    let config = AssistantConfig::from_metadata(&|key| new.metadata(key).cloned()).unwrap();
    let mut as_before = AssistantConfig::from_metadata(&|key| old.metadata(key).cloned()).unwrap();
    let calibration = config.calibration.clone().unwrap();
    assert_eq!(
        calibration
            .dst_update
            .iter()
            .map(|p| p.threshold)
            .collect::<Vec<_>>(),
        [0.4, 0.6]
    );
    assert_eq!(
        (calibration.metric.as_str(), calibration.recordings),
        ("joint state accuracy", 1)
    );
    (as_before.gates, as_before.calibration) = (config.gates, config.calibration.clone());
    assert_eq!(config, as_before, "only the gates changed");
    let shown = run(&["inspect", tiny.model.to_str().unwrap()]);
    let shown = text(&shown.stdout);
    assert!(
        shown.contains("◆ 0.5") && shown.contains("curves: threshold, \"joint state accuracy\""),
        "{shown}"
    );
    file.encoder_sha256 = "0f".repeat(32);
    file.write(&features.join("a.safetensors")).unwrap();
    let refused = calibrate(&[]);
    assert!(
        !refused.status.success()
            && text(&refused.stderr).contains("a.safetensors: of encoder 0f0f"),
        "{}",
        text(&refused.stderr)
    );
}
