//! Finds the gates' thresholds: the finished model runs freely over the validation recordings, and what scores best stays.
//! Nobody speaks to it: a replay has only the video and the task file.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value};

use super::data::{Episodes, Part};
use super::progress::Progress;
use super::stages::Job;
use crate::cli::load::{self, Loaded};
use crate::cli::timing::Shared;
use crate::eval::speech::Lexical;
use crate::eval::{Log, Options, Reference, Scores, Tally};
use crate::model::config::{GateConfig, Gates};
use crate::session::{Flow, NoPerceiver, Session, SessionConfig};
use crate::stream::{Content, Event, Frame, Input};
use crate::train::examples::Source;
use crate::train::run::number;
use crate::units::{FrameIdx, Threshold};

/// Tolerance of the score that chooses, in seconds.
const TOLERANCE_S: f64 = 5.0;

/// The gates with the best thresholds. `None` when the person stopped it.
///
/// The update threshold is chosen first, by the mean of transition F1 and joint state accuracy; then the speak
/// threshold, by speech F1.
///
/// # Errors
/// The model or the features cannot be read, or a session failed.
pub fn gates(job: &Job<'_>, episodes: &Episodes, progress: &mut Progress) -> anyhow::Result<Option<Gates>> {
    super::export::assistant(job, None)?;
    let model = load::open(&job.assistant_gguf(), None, &Shared::default())?;
    let mut gates = model.stored_gates;
    let held_out: Vec<Source> = episodes.of(Part::Validation).map(|e| e.source(job.config)).collect::<anyhow::Result<_>>()?;
    let list = &job.config.gates;
    let (dst_all, speak_all) = (&list.dst_update_thresholds, &list.speak_thresholds);
    let all = dst_all.len() + speak_all.len();
    type Pick = (fn(&mut Gates) -> &mut GateConfig, fn(&Scores) -> f64, &'static str);
    let rounds: [(Pick, &Vec<f32>); 2] = [
        ((|g| &mut g.dst_update, state_score, "dst_update"), dst_all),
        ((|g| &mut g.speak, speech_score, "speak"), speak_all),
    ];
    let mut done = 0;
    for ((gate, score, name), thresholds) in rounds {
        let mut best: Option<(f64, f32)> = None;
        for threshold in thresholds {
            if progress.stopped() {
                return Ok(None);
            }
            gate(&mut gates).threshold = Threshold(*threshold);
            let scores = run(job, &model, &held_out, gates)?;
            progress.keep(&record(name, *threshold, &scores))?;
            progress.say(&format!(
                "{name} threshold {threshold}: F1@5s {:.3}, joint state accuracy {:.3}, speech F1 {:.3}",
                f1(&scores),
                scores.joint_state_accuracy.unwrap_or(0.0),
                speech_score(&scores),
            ));
            if best.is_none_or(|(value, _)| score(&scores) > value) {
                best = Some((score(&scores), *threshold));
            }
            done += 1;
            progress.at("thresholds", done, all, "");
        }
        if let Some((_, threshold)) = best {
            gate(&mut gates).threshold = Threshold(threshold);
        }
    }
    Ok(Some(gates))
}

fn f1(scores: &Scores) -> f64 {
    scores.at(TOLERANCE_S).and_then(|rates| rates.f1).unwrap_or(0.0)
}

fn state_score(scores: &Scores) -> f64 {
    0.5 * (f1(scores) + scores.joint_state_accuracy.unwrap_or(0.0))
}

fn speech_score(scores: &Scores) -> f64 {
    scores.speech.rates.f1.unwrap_or(0.0)
}

fn record(gate: &str, threshold: f32, scores: &Scores) -> Map<String, Value> {
    let mut record = Map::new();
    record.insert("stage".into(), "thresholds".into());
    record.insert("gate".into(), gate.into());
    record.insert("threshold".into(), number(f64::from(threshold)));
    record.insert("transition_f1_5s".into(), number(f1(scores)));
    record.insert("joint_state_accuracy".into(), number(scores.joint_state_accuracy.unwrap_or(0.0)));
    record.insert("speech_f1".into(), number(speech_score(scores)));
    record
}

/// Pooled scores of free runs over the recordings, a thread each.
fn run(job: &Job<'_>, model: &Loaded, sources: &[Source], gates: Gates) -> anyhow::Result<Scores> {
    let next = AtomicUsize::new(0);
    let tallies: Mutex<Vec<(usize, anyhow::Result<Tally>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..job.threads.max(1) {
            scope.spawn(|| {
                while let Some((i, source)) = {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    sources.get(i).map(|s| (i, s))
                } {
                    let tally = one(job, model, source, gates);
                    tallies.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((i, tally));
                }
            });
        }
    });
    let mut tallies = tallies.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    tallies.sort_by_key(|(i, _)| *i);
    let mut total: Option<Tally> = None;
    for (_, tally) in tallies {
        let tally = tally?;
        match &mut total {
            Some(total) => total.add(&tally),
            None => total = Some(tally),
        }
    }
    total.map(|t| t.scores()).ok_or_else(|| anyhow::anyhow!("no recording to score"))
}

fn one(job: &Job<'_>, model: &Loaded, source: &Source, gates: Gates) -> anyhow::Result<Tally> {
    let config = SessionConfig {
        fps: job.config.fps,
        gates: load::session_gates(&gates),
        frames_kept: job.config.assistant_training.frames_kept,
        tokens_per_frame: model.tokens_per_frame,
        model_sha256: model.model_sha256.clone(),
        vision_sha256: model.vision_sha256.clone(),
        ..SessionConfig::default()
    };
    let backbone = Arc::clone(&model.assistant);
    let mut session = Session::<NoPerceiver, _>::new(None, backbone, Arc::clone(&model.codec), Some(source.task.clone()), config)?;
    let mut events: Vec<Event> = Vec::new();
    for (i, at) in source.frames.iter().enumerate() {
        let features = &source.features[i * source.frame_width..(i + 1) * source.frame_width];
        let frame = Frame { idx: FrameIdx(i as u64), at: *at, content: Content::Features(features.into()) };
        session.feed(Input::Frame(frame))?;
        while session.advance(&mut events)? != Flow::Idle {}
    }
    session.finish(&mut events)?;
    let reference = Reference::new(&source.recording, Some(source.task.clone()))?;
    Ok(Tally::of(&Log::from_events(&events)?, &reference, &Options::default(), &Lexical)?)
}
