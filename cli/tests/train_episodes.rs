//! `proact train` on rendered episodes, from the pictures to both files: every stage, and what a
//! second run does anew.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[path = "../../tests/common/unchanged.rs"]
mod unchanged;

/// Optimizer steps of both trainings; after the first half the assistant runs on its own.
const STEPS: i64 = 4;

fn proact(args: &[&str]) {
    let out = Command::new(env!("CARGO_BIN_EXE_proact"))
        .args(args)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
}

fn timeline(goal: &str, drink: &str) -> String {
    let step = |name: &str, after: &str, start_s: u32| {
        format!(
            "[[step]]\nname = \"{name}\"\n{after}start_s = {start_s}.0\nend_s = {}.0\n",
            start_s + 20
        )
    };
    let (boil, pour) = (
        step("Boil the water", "", 40),
        step(
            &format!("Pour the {drink} into the mug"),
            "after = [\"S1\"]\n",
            64,
        ),
    );
    format!(
        "goal = \"{goal}\"\nperson = 3\nenvironment = 2\n{boil}{pour}{}",
        step("Stir the mug", "after = [\"S2\"]\n", 90)
    )
}

/// Two recordings of each timeline to train on, and another one for thresholds.
fn render(folder: &Path) {
    for (part, id, drink) in [
        ("train", "tea", "water"),
        ("train", "cocoa", "milk"),
        ("validation", "coffee", "water"),
    ] {
        let file = folder.join(format!("{id}.toml"));
        std::fs::write(&file, timeline(&format!("Make {id}"), drink)).unwrap();
        let renderings = if part == "train" { "2" } else { "1" };
        let out = folder.join("episodes").join(part);
        proact(&[
            "synth",
            "--timeline",
            file.to_str().unwrap(),
            "--renderings",
            renderings,
            "--speed",
            "8",
            "--fps",
            "4",
            "--size",
            "96x96",
            "-o",
            out.to_str().unwrap(),
        ]);
    }
}

/// The training file that ships, with small models and few steps.
fn config(folder: &Path) -> String {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut table: toml::Table = std::fs::read_to_string(root.join("configs/train-demo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    for (key, name) in [
        ("episodes", "episodes"),
        ("work", "work"),
        ("output", "out"),
    ] {
        table.insert(key.into(), folder.join(name).display().to_string().into());
    }
    table.insert("vocab".into(), 400.into());
    let mut set = |part: &str, values: &[(&str, i64)]| {
        let part = table[part].as_table_mut().unwrap();
        part.extend(
            values
                .iter()
                .map(|(key, value)| ((*key).to_owned(), toml::Value::from(*value))),
        );
    };
    let narrow = [
        ("embedding_length", 32),
        ("feed_forward_length", 64),
        ("block_count", 1),
        ("head_count", 2),
    ];
    set(
        "vision_model",
        &[&narrow[..], &[("image_size", 48)]].concat(),
    );
    set("text_model", &narrow);
    set(
        "vision_training",
        &[("steps", STEPS), ("batch", 8), ("captions", 16)],
    );
    set(
        "assistant_model",
        &[
            &narrow[..],
            &[
                ("block_count", 2),
                ("head_count_kv", 1),
                ("projector_length", 32),
            ],
        ]
        .concat(),
    );
    set(
        "assistant_training",
        &[
            ("steps", STEPS),
            ("batch", 2),
            ("own_history_recordings", 2),
        ],
    );
    for (part, key, values) in [
        (
            "assistant_training",
            "own_history_steps",
            vec![toml::Value::from(STEPS / 2)],
        ),
        (
            "gates",
            "dst_update_thresholds",
            vec![0.5.into(), 0.9.into()],
        ),
        ("gates", "speak_thresholds", vec![0.9.into()]),
    ] {
        table[part]
            .as_table_mut()
            .unwrap()
            .insert(key.into(), values.into());
    }
    table.to_string()
}

#[test]
fn episodes_train_both_files_and_finished_towers_need_no_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    render(folder.path());
    std::fs::write(path("train.toml"), config(folder.path())).unwrap();
    let train = || proact(&["train", path("train.toml").to_str().unwrap()]);
    let model = || std::fs::read(path("out/assistant.gguf")).unwrap();
    train();
    let log = std::fs::read_to_string(path("work/train.jsonl")).unwrap();
    let records: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |stage: &'static str| {
        records
            .iter()
            .filter(move |record| record["stage"] == stage)
    };
    assert_eq!(
        (
            of("towers").count(),
            of("assistant").count(),
            of("thresholds").count()
        ),
        (STEPS as usize, STEPS as usize, 2),
        "{log}"
    );
    assert!(
        of("towers").all(|record| record["loss_image_text"]
            .as_f64()
            .is_some_and(|loss| loss > 0.0)),
        "{log}"
    );
    for loss in [
        "loss_dst_text",
        "loss_dst_head",
        "loss_speech_text",
        "loss_speak_head",
        "loss_step_in_view",
    ] {
        assert!(
            of("assistant").any(|record| record[loss].as_f64().is_some_and(|loss| loss > 0.0)),
            "{loss}: {log}"
        );
    }
    let first = model();
    unchanged::assert_unchanged(
        "trained_vision",
        true,
        &std::fs::read(path("out/vision.gguf")).unwrap(),
    );
    unchanged::assert_unchanged("trained_assistant", true, &first);

    // Another assistant on the same towers: their features are there, and the pictures may be gone.
    std::fs::remove_dir_all(path("work/pixels")).unwrap();
    for part in [
        "work/assistant/model.safetensors",
        "work/assistant.checkpoint.safetensors",
        "out/assistant.gguf",
    ] {
        std::fs::remove_file(path(part)).unwrap();
    }
    train();
    assert!(!path("work/pixels").exists(), "decoded again for nothing");
    assert_eq!(
        model(),
        first,
        "the same data, seed and steps gave another model"
    );

    // A recording without features is decoded and encoded again.
    std::fs::remove_file(path("work/features/tea.safetensors")).unwrap();
    train();
    assert!(
        path("work/features/tea.safetensors").exists()
            && path("work/pixels/tea.safetensors").exists()
    );
    assert_eq!(model(), first);
    proact(&["inspect", path("out/assistant.gguf").to_str().unwrap()]);
}
