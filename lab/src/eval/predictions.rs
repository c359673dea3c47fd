//! A run as upstream's tools read it: ProAssist's per-frame predictions (`StreamInferenceRunner`'s
//! results, JSON).
//!
//! `compute_metrics` matches and scores them, `llm_eval` reads the dialogue out of them. Sentences
//! and references stand on the same frames as in [`speech`], so that both sides score the same
//! pairs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::eval::log::Log;
use crate::eval::reference::Reference;
use crate::eval::speech;
use proact::dialogue::annotation::{Recording, TurnKind};
use proact::error::{Error, Result};
use proact::units::MediaTime;

/// One recording's predictions; `sample` is its number in the data set, and the name of its file.
///
/// # Errors
/// A recording of too many frames.
pub fn predictions(
    log: &Log,
    reference: &Reference,
    recording: &Recording,
    sample: usize,
) -> Result<Value> {
    let fps = reference.fps;
    let frames = reference.duration_s() * fps;
    if !(fps > 0.0 && (0.0..=speech::FRAMES_MAX).contains(&frames)) {
        let most = speech::FRAMES_MAX;
        return Err(Error::Invalid(format!(
            "recording `{}`: {frames} frames, expected at most {most}",
            reference.id
        )));
    }
    let said = speech::by_frame_of(
        reference,
        log.utterances
            .iter()
            .filter(|(at, _)| *at >= reference.start),
    );
    let expected = speech::by_frame_of(reference, reference.utterances.iter());
    let inputs = inputs(reference, recording);
    let last = [said.keys().next_back(), expected.keys().next_back()]
        .into_iter()
        .flatten()
        .max();
    let frames = (frames.round() as usize).max(last.map_or(0, |last| last + 1));
    let first = (reference.start.seconds() * fps).round() as usize;
    let word = |texts: &BTreeMap<usize, String>, frame: usize| {
        texts.get(&frame).cloned().unwrap_or_default()
    };
    let one = |frame: usize| {
        json!({
            "gen": word(&said, frame),
            "ref": word(&expected, frame),
            "text_inputs": inputs.get(&frame).cloned().unwrap_or_default(),
            "frame_idx_in_stream": frame,
            "frame_idx_in_original_video": first + frame,
            "timestamp_in_stream": (frame + 1) as f64 / fps,
        })
    };
    Ok(json!({
        "metadata": {
            "dataset": reference.dataset,
            "sample_idx": sample,
            "video_uid": recording.id,
            "fps": fps,
            "use_gt_context": false,
            "no_talk_threshold": log.thresholds[0].map(|threshold| 1.0 - threshold.0),
            "model": "proact",
        },
        "predictions": (0..frames).map(one).collect::<Vec<_>>(),
    }))
}

/// What was told the model, by frame: role and words.
fn inputs(reference: &Reference, recording: &Recording) -> BTreeMap<usize, Vec<[String; 2]>> {
    let mut inputs: BTreeMap<usize, Vec<[String; 2]>> = BTreeMap::new();
    for turn in &recording.turns {
        let (role, text) = match &turn.kind {
            TurnKind::System(text) => ("system", text),
            TurnKind::User(text) => ("user", text),
            TurnKind::Assistant { .. } | TurnKind::Dst(_) => continue,
        };
        let at = turn.at.unwrap_or(MediaTime(reference.start.0));
        inputs
            .entry(speech::frame_of(reference, at))
            .or_default()
            .push([role.to_owned(), text.clone()]);
    }
    inputs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::log::tests_log as log;
    use crate::eval::reference::sample;
    use proact::dialogue::annotation::Turn;

    #[test]
    fn a_run_is_told_frame_by_frame() {
        let mut reference = sample(&[], 4.0, &[], &[(1.6, "Boil it."), (3.0, "Pour.")]);
        reference.start = MediaTime(1.0);
        let turn = |at: Option<f64>, kind| Turn {
            at: at.map(MediaTime),
            kind,
        };
        let recording = Recording {
            id: "v".into(),
            turns: vec![
                turn(None, TurnKind::System("Help.".into())),
                turn(Some(1.5), TurnKind::User("Tea?".into())),
            ],
            ..Recording::default()
        };
        let run = log(
            0,
            &[],
            &[
                (0.5, "too early"),
                (1.5, "Boil"),
                (1.9, "it."),
                (3.5, "Sip."),
            ],
        );
        let out = predictions(&run, &reference, &recording, 7).unwrap();
        assert_eq!(out["metadata"]["sample_idx"], 7);
        let of = |key: &str| {
            out["predictions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|p| p[key].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(of("gen"), ["", "Boil it.", "", "", "", "Sip."]);
        assert_eq!(of("ref"), ["", "Boil it.", "", "", "Pour.", ""]);
        assert_eq!(of("frame_idx_in_original_video"), [2, 3, 4, 5, 6, 7]);
        assert_eq!(of("timestamp_in_stream"), [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]);
        assert_eq!(
            of("text_inputs")[..3],
            [
                json!([["system", "Help."]]),
                json!([["user", "Tea?"]]),
                json!([])
            ]
        );
    }
}
