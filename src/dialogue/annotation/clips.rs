//! The clips of ProAssist's state-tracking extension: one JSON array, each clip with its steps and
//! the state it starts with.
//!
//! `{"id", "video_uid", "inferred_goal", "inferred_knowledge", "dst": [{"id": "S1", "name", …}],
//! "initial_dst_state", "conversation", "start_frame_idx", "end_frame_idx", "fps", …}`. Frame
//! numbers within the turns are passed by: they are keyed one event early, while their times are
//! right.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{FPS_PROASSIST, Parsed, Recording, Turn, TurnKind, optional_text, parse_object, text};
use crate::dialogue::task::{Step, StepState, Task, TaskState, Transition, Update};
use crate::error::{Error, Result};
use crate::units::{MediaTime, StepId};

/// Reads a file of clips, each with the task that it is about.
///
/// # Errors
/// Unreadable file, no array of clips; the message names the clip and the key.
pub fn read_clips(path: &Path) -> Result<Vec<(Recording, Task)>> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|e| Error::format(path, e.to_string()))?;
    let clips = value
        .as_array()
        .ok_or_else(|| Error::format(path, "expected an array of clips"))?;
    let one = |(i, clip): (usize, &Value)| {
        parse_clip(clip).map_err(|why| Error::format(path, format!("clip {i}: {why}")))
    };
    clips.iter().enumerate().map(one).collect()
}

fn parse_clip(clip: &Value) -> Parsed<(Recording, Task)> {
    let clip = clip.as_object().ok_or("expected an object")?;
    let mut recording = parse_object(&as_prepared(clip)?)?;
    let task = task_of(clip, &recording)?;
    let before = initial(clip, &task)?;
    if !before.is_empty() && recording.start_s <= 0.0 {
        return Err(
            "initial_dst_state: steps have begun, but the clip starts with the video".into(),
        );
    }
    drop_repeated(&mut recording, &task, &before);
    if !before.is_empty() {
        recording.turns.insert(
            0,
            Turn {
                at: Some(MediaTime(0.0)),
                kind: TurnKind::Dst(before),
            },
        );
    }
    Ok((recording, task))
}

/// The clip's keys under the names of a prepared line.
fn as_prepared(clip: &Map<String, Value>) -> Parsed<Map<String, Value>> {
    let mut out = clip.clone();
    let mut metadata = match clip.get("metadata") {
        None | Some(Value::Null) => Map::new(),
        Some(value) => value
            .as_object()
            .ok_or("metadata: expected an object")?
            .clone(),
    };
    if let Some(goal) = optional_text(clip, "inferred_goal")? {
        metadata.insert("task_goal".into(), goal.into());
    }
    if let Some(value) = clip
        .get("inferred_knowledge")
        .or_else(|| metadata.get("knowledge"))
        .cloned()
    {
        metadata.insert("knowledge".into(), knowledge(&value)?);
    }
    out.insert("metadata".into(), metadata.into());
    // A clip has a name of its own; its video has several.
    let id = match optional_text(clip, "id")? {
        Some(id) => id,
        None => format!(
            "{}_{}",
            text(clip, "video_uid")?,
            clip.get("clip_idx").and_then(Value::as_u64).unwrap_or(0)
        ),
    };
    out.insert("video_uid".into(), id.into());
    for (key, value) in [("dataset", json!("")), ("fps", json!(FPS_PROASSIST))] {
        out.entry(key).or_insert(value);
    }
    for (key, short) in [
        ("start_frame_idx", "start_frame"),
        ("end_frame_idx", "end_frame"),
    ] {
        if let (false, Some(value)) = (clip.contains_key(key), clip.get(short)) {
            out.insert(key.into(), value.clone());
        }
    }
    Ok(out)
}

/// A text, or lines.
fn knowledge(value: &Value) -> Parsed<Value> {
    let Some(lines) = value.as_array() else {
        return Ok(value.clone());
    };
    let lines: Option<Vec<&str>> = lines.iter().map(Value::as_str).collect();
    let lines = lines.ok_or("inferred_knowledge: expected a text, or a list of texts")?;
    Ok(if lines.is_empty() {
        Value::Null
    } else {
        lines.join("\n").into()
    })
}

fn task_of(clip: &Map<String, Value>, recording: &Recording) -> Parsed<Task> {
    let list = clip
        .get("dst")
        .and_then(Value::as_array)
        .ok_or("dst: expected an array of steps")?;
    let mut steps = Vec::with_capacity(list.len());
    for (i, value) in list.iter().enumerate() {
        let step = value
            .as_object()
            .ok_or(format!("dst[{i}]: expected an object"))?;
        let id = text(step, "id").map_err(|why| format!("dst[{i}].{why}"))?;
        if StepId::parse(&id).is_none_or(|id| usize::from(id.0) != i) {
            return Err(format!("dst[{i}].id: `{id}`, expected S{}", i + 1));
        }
        steps.push(Step::new(
            text(step, "name").map_err(|why| format!("dst[{i}].{why}"))?,
            Vec::new(),
        ));
    }
    Ok(Task {
        goal: recording.goal.clone(),
        knowledge: recording.knowledge.clone(),
        steps,
    })
}

/// Updates that lead to the state that the clip starts with.
fn initial(clip: &Map<String, Value>, task: &Task) -> Parsed<Vec<Update>> {
    let mut updates = Vec::new();
    let states = match clip.get("initial_dst_state") {
        None | Some(Value::Null) => return Ok(updates),
        Some(value) => value
            .as_object()
            .ok_or("initial_dst_state: expected an object")?,
    };
    for (id, state) in states {
        let known = StepId::parse(id).filter(|step| usize::from(step.0) < task.steps.len());
        let step =
            known.ok_or_else(|| format!("initial_dst_state: the clip has no step `{id}`"))?;
        let (start, complete) = (
            Update {
                step,
                transition: Transition::Start,
            },
            Update {
                step,
                transition: Transition::Complete,
            },
        );
        match state.as_str() {
            Some("not_started") => {}
            Some("in_progress") => updates.push(start),
            Some("completed") => updates.extend([start, complete]),
            _ => {
                return Err(format!(
                    "initial_dst_state.{id}: {state}, expected not_started, in_progress or completed"
                ));
            }
        }
    }
    updates.sort_by_key(|update| (update.step, update.transition == Transition::Complete));
    Ok(updates)
}

/// A later clip begins with turns of the one before; their updates are in its first state already.
fn drop_repeated(recording: &mut Recording, task: &Task, before: &[Update]) {
    let mut state = TaskState::new(task);
    let mut apply = |update: Update| {
        let now = state.get(update.step);
        let repeated = match update.transition {
            Transition::Start => matches!(now, Some(StepState::InProgress | StepState::Completed)),
            Transition::Complete => now == Some(StepState::Completed),
        };
        // What does not fit for another reason is told where the recording is used.
        let _ = state.apply(update);
        !repeated
    };
    for update in before {
        apply(*update);
    }
    for turn in &mut recording.turns {
        if let TurnKind::Dst(updates) = &mut turn.kind {
            updates.retain(|update| apply(*update));
        }
    }
    recording
        .turns
        .retain(|turn| !matches!(&turn.kind, TurnKind::Dst(updates) if updates.is_empty()));
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIP: &str = r#"{"id":"c-1","video_uid":"v","clip_idx":1,"inferred_goal":"Tea","inferred_knowledge":["Tea","1. Boil"],
        "dst":[{"id":"S1","name":"Boil","start_ts":1.0,"end_ts":9.0,"type":"step"},{"id":"S2","name":"Pour","type":"step"}],
        "initial_dst_state":{"S1":"in_progress","S2":"not_started"},"start_frame_idx":10,"end_frame_idx":60,
        "conversation":[{"role":"system","content":"You help."},
            {"role":"DST_UPDATE","time":4.0,"content":[{"id":"S1","transition":"start"}],"start_frame":0,"end_frame":8},
            {"role":"DST_UPDATE","time":9.0,"content":[{"id":"S1","transition":"complete"},{"id":"S2","transition":"start"}]},
            {"role":"assistant","content":"Pour it.","time":9.0,"speaking":1}]}"#;

    fn read(text: &str) -> Result<Vec<(Recording, Task)>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.json");
        std::fs::write(&path, format!("[{text}]")).unwrap();
        read_clips(&path)
    }

    #[test]
    fn a_clip_brings_its_task_and_the_state_it_starts_with() {
        let (recording, task) = read(CLIP).unwrap().remove(0);
        assert_eq!(
            (
                recording.id.as_str(),
                recording.fps,
                recording.start_s,
                recording.end_s
            ),
            ("c-1", 2.0, 5.0, 30.0)
        );
        assert_eq!(
            (
                task.goal.as_str(),
                task.steps.len(),
                task.knowledge.as_deref()
            ),
            ("Tea", 2, Some("Tea\n1. Boil"))
        );
        let told: Vec<String> = recording
            .transitions()
            .iter()
            .map(|(at, u)| format!("{} {u}", at.0))
            .collect();
        assert_eq!(
            told,
            ["0 S1->start", "9 S1->complete", "9 S2->start"],
            "the repeated start is dropped"
        );
        assert_eq!(recording.utterances(), [(MediaTime(9.0), "Pour it.")]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (from, to, word) in [
            ("\"S2\",\"name\"", "\"S3\",\"name\"", "dst[1].id"),
            ("\"in_progress\"", "\"paused\"", "initial_dst_state.S1"),
            (
                "{\"S1\":\"in_progress\"",
                "{\"S7\":\"in_progress\"",
                "no step `S7`",
            ),
            (
                "\"start_frame_idx\":10",
                "\"start_frame_idx\":0",
                "starts with the video",
            ),
            ("\"dst\":", "\"dts\":", "dst: expected"),
            (
                "\"transition\":\"complete\"",
                "\"transition\":\"pause\"",
                "pause",
            ),
        ] {
            let bad = CLIP.replacen(from, to, 1);
            assert_ne!(bad, CLIP, "{from}");
            let why = read(&bad).unwrap_err().to_string();
            assert!(why.contains(word) && why.contains("clip 0"), "{to}: {why}");
        }
        assert!(read("3").unwrap_err().to_string().contains("clip 0"));
    }
}
