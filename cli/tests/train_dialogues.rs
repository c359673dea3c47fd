//! `proact train` on ProAssist's prepared dialogues and the state-tracking extension's clips, with
//! feature files as they are.

use std::path::Path;
use std::process::{Command, Output};

use proact::features::FeatureFile;
use serde_json::Value;

const DIM: usize = 16;

fn proact(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_proact"))
        .args(args)
        .output()
        .unwrap()
}

/// Features that differ from frame to frame, without a pattern.
fn encode(path: &Path, frames: usize) {
    let value = |k: usize| ((k * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
    let file = FeatureFile {
        fps: 2.0,
        dim: DIM,
        cls: (0..frames * DIM).map(value).collect(),
        ..FeatureFile::default()
    };
    if path.extension().is_some_and(|e| e == "arrow") {
        proact_lab::proassist::write_arrow(&file, path)
    } else {
        file.write(path)
    }
    .unwrap();
}

/// The training file that ships, small, on the sample.
fn config(folder: &Path) -> String {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let text = std::fs::read_to_string(root.join("configs/train-dialogues.toml")).unwrap();
    let mut table: toml::Table = text.parse().unwrap();
    let list = |names: &[&str]| -> toml::Value {
        names
            .iter()
            .map(|n| {
                root.join("tests/data/dialogues")
                    .join(n)
                    .display()
                    .to_string()
            })
            .collect::<Vec<_>>()
            .into()
    };
    let text_of = |path: std::path::PathBuf| toml::Value::from(path.display().to_string());
    table.insert("work".into(), text_of(folder.join("work")));
    table.insert("output".into(), text_of(folder.join("out")));
    table.insert("vocab".into(), 300.into());
    let dialogues = table["dialogues"].as_table_mut().unwrap();
    dialogues.insert("train".into(), list(&["prepared.jsonl"]));
    dialogues.insert("validation".into(), list(&["clips.json"]));
    dialogues.insert("features".into(), text_of(folder.to_path_buf()));
    for (key, value) in [
        ("block_count", 2),
        ("embedding_length", 32),
        ("feed_forward_length", 64),
        ("head_count", 2),
        ("head_count_kv", 1),
        ("projector_length", 32),
    ] {
        table["assistant_model"]
            .as_table_mut()
            .unwrap()
            .insert(key.into(), value.into());
    }
    let training = table["assistant_training"].as_table_mut().unwrap();
    for (key, value) in [("steps", 3), ("batch", 2)] {
        training.insert(key.into(), value.into());
    }
    table.to_string()
}

/// Train on dialogues of one kind, find thresholds on the other, and replay features with what came
/// out.
#[test]
fn dialogues_of_both_kinds_train_a_model_that_replays_their_features() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    encode(&path("T1.arrow"), 25);
    encode(&path("0b1f-0.arrow"), 12);
    encode(&path("0b1f-1.safetensors"), 12);
    let text = config(folder.path());
    for (swapped, losses) in [
        (false, ["loss_speech_text", "loss_speak_head"]),
        (true, ["loss_dst_text", "loss_dst_head"]),
    ] {
        for made in ["work", "out"] {
            let _ = std::fs::remove_dir_all(path(made));
        }
        let text = match swapped {
            false => text.clone(),
            true => text
                .replace("prepared.jsonl", "@@")
                .replace("clips.json", "prepared.jsonl")
                .replace("@@", "clips.json"),
        };
        std::fs::write(path("train.toml"), text).unwrap();
        let out = proact(&[
            "train",
            path("train.toml").to_str().unwrap(),
            "--threads",
            "1",
        ]);
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        let log = std::fs::read_to_string(path("work/train.jsonl")).unwrap();
        let records: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let steps: Vec<&Value> = records
            .iter()
            .filter(|r| r["stage"] == "assistant")
            .collect();
        assert_eq!(steps.len(), 3);
        for loss in losses {
            assert!(
                steps
                    .iter()
                    .any(|r| r[loss].as_f64().is_some_and(|loss| loss > 0.0)),
                "{loss}: {log}"
            );
        }
        assert!(records.iter().any(|r| r["stage"] == "thresholds"), "{log}");
        let out = proact(&[
            "replay",
            path("T1.arrow").to_str().unwrap(),
            "--model",
            path("out/assistant.gguf").to_str().unwrap(),
            "--headless",
            "--events",
            path("events.jsonl").to_str().unwrap(),
        ]);
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        let events = std::fs::read_to_string(path("events.jsonl")).unwrap();
        assert_eq!(
            events
                .lines()
                .filter(|line| line.contains("\"type\":\"frame\""))
                .count(),
            25
        );
    }
}

#[test]
fn what_a_training_file_may_not_mix_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("train.toml");
    let good = config(folder.path());
    for (from, to, word) in [
        (
            "step_evidence = false",
            "step_evidence = true",
            "step_evidence",
        ),
        (
            "fps = 2.0",
            "fps = 2.0\nepisodes = \"x\"",
            "expected one of them",
        ),
        (
            "[dialogues]",
            "[vision_model]\nimage_size=32\npatch_size=8\nembedding_length=8\nfeed_forward_length=8\nblock_count=1\nhead_count=1\n[dialogues]",
            "vision_model",
        ),
        (
            "tokens_per_frame = 1",
            "tokens_per_frame = 7",
            "7 tokens a frame",
        ),
        ("fps = 2.0", "fps = 4.0", "fps = 2"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        std::fs::write(&file, bad).unwrap();
        let out = proact(&["train", file.to_str().unwrap()]);
        let why = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && why.contains(word), "{to}: {why}");
    }
}
