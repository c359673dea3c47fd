//! Finds the gates' thresholds: the finished model runs freely over the validation recordings, and what scores best stays.
//! Nobody speaks to it: a replay has only the video and the task file.

use serde_json::{Map, Value};

use super::data::{Episodes, Part};
use super::free_run;
use super::progress::Progress;
use super::stages::Job;
use crate::cli::load::{self, Loaded};
use crate::cli::timing::Shared;
use crate::eval::speech::Lexical;
use crate::eval::{Log, Options, Reference, Scores, Tally};
use crate::model::config::Gates;
use crate::train::examples::Source;
use crate::train::run::number;
use crate::units::Threshold;

/// Tolerance of the score that chooses, in seconds.
const TOLERANCE_S: f64 = 5.0;

/// The gates with the best thresholds: every pair is tried, for what is said changes what is seen next. Best is the
/// highest mean of transition F1, joint state accuracy and speech F1. `None` when the person stopped it.
///
/// # Errors
/// The model or the features cannot be read, or a session failed.
pub fn gates(job: &Job<'_>, episodes: &Episodes, progress: &mut Progress) -> anyhow::Result<Option<Gates>> {
    super::export::assistant(job, None)?;
    let model = load::open(&job.assistant_gguf(), None, &Shared::default())?;
    let held_out = free_run::sources(job, episodes, Part::Validation, &load::open_vision(&job.vision_gguf())?.vision)?;
    let list = &job.config.gates;
    let pairs: Vec<(f32, f32)> =
        list.dst_update_thresholds.iter().flat_map(|dst| list.speak_thresholds.iter().map(|speak| (*dst, *speak))).collect();
    let mut best: Option<(f64, Gates)> = None;
    for (done, (dst_update, speak)) in pairs.iter().enumerate() {
        if progress.stopped() {
            return Ok(None);
        }
        let mut gates = model.stored_gates;
        gates.dst_update.threshold = Threshold(*dst_update);
        gates.speak.threshold = Threshold(*speak);
        let scores = run(job, &model, &held_out, gates)?;
        progress.keep(&record(&gates, &scores))?;
        progress.say(&format!(
            "update from {dst_update}, speak from {speak}: F1@5s {:.3}, joint state accuracy {:.3}, speech F1 {:.3}",
            f1(&scores),
            scores.joint_state_accuracy.unwrap_or(0.0),
            scores.speech.rates.f1.unwrap_or(0.0),
        ));
        let score = chosen_by(&scores);
        if best.is_none_or(|(most, _)| score > most) {
            best = Some((score, gates));
        }
        progress.at("thresholds", done + 1, pairs.len(), "");
    }
    Ok(Some(best.map_or(model.stored_gates, |(_, gates)| gates)))
}

fn f1(scores: &Scores) -> f64 {
    scores.at(TOLERANCE_S).and_then(|rates| rates.f1).unwrap_or(0.0)
}

fn chosen_by(scores: &Scores) -> f64 {
    (f1(scores) + scores.joint_state_accuracy.unwrap_or(0.0) + scores.speech.rates.f1.unwrap_or(0.0)) / 3.0
}

fn record(gates: &Gates, scores: &Scores) -> Map<String, Value> {
    let mut record = Map::new();
    record.insert("stage".into(), "thresholds".into());
    record.insert("dst_update".into(), number(f64::from(gates.dst_update.threshold.0)));
    record.insert("speak".into(), number(f64::from(gates.speak.threshold.0)));
    record.insert("transition_f1_5s".into(), number(f1(scores)));
    record.insert("joint_state_accuracy".into(), number(scores.joint_state_accuracy.unwrap_or(0.0)));
    record.insert("speech_f1".into(), number(scores.speech.rates.f1.unwrap_or(0.0)));
    record
}

/// Pooled scores of free runs over the recordings, a thread each.
fn run(job: &Job<'_>, model: &Loaded, sources: &[Source], gates: Gates) -> anyhow::Result<Scores> {
    let eyes = model.vision.as_ref().ok_or_else(|| anyhow::anyhow!("no vision model"))?;
    let tallies = free_run::each(job.threads, sources, |_, source| -> anyhow::Result<Tally> {
        let events = free_run::events(job, (eyes, &model.assistant), &model.codec, source, (&gates, (model.update_prob_min, model.update_patience_s)))?;
        let reference = Reference::new(&source.recording, Some(source.task.clone()))?;
        Ok(Tally::of(&Log::from_events(&events)?, &reference, &Options::default(), &Lexical)?)
    })?;
    let mut total: Option<Tally> = None;
    for tally in tallies {
        match &mut total {
            Some(total) => total.add(&tally),
            None => total = Some(tally),
        }
    }
    total.map(|t| t.scores()).ok_or_else(|| anyhow::anyhow!("no recording to score"))
}
