//! Free runs: the model decides over cached features as a session does, with nobody speaking to it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor, Var};

use super::data::{Episodes, Part};
use super::stages::Job;
use crate::cli::load;
use crate::dialogue::annotation::{self, Recording, Turn, TurnKind};
use crate::dialogue::task::Update;
use crate::error::{Error, Result};
use crate::model::assistant::Assistant;
use crate::model::config::{AssistantConfig, Gates};
use crate::model::siglip::Siglip;
use crate::model::weights::Weights;
use crate::model::{Backbone, Perceiver};
use crate::session::{Flow, Session, SessionConfig, SharedCodec};
use crate::stream::{Content, Event, Frame, Input};
use crate::train::assistant::TRAINING_ONLY;
use crate::train::examples::Source;
use crate::train::rng::Rng;
use crate::units::{FrameIdx, Prob, Threshold};

/// Rate that histories are written with: fine enough that every frame's time comes back.
const HISTORY_FPS: f64 = 2.0;

/// Events of a free run over a recording. The steps' words are read by `eyes`, the frames' features are given.
///
/// # Errors
/// The session failed.
pub fn events<P: Perceiver, B: Backbone>(
    job: &Job<'_>,
    (eyes, backbone): (&Arc<P>, &Arc<B>),
    codec: &SharedCodec,
    source: &Source,
    (gates, (update_prob_min, update_patience_s)): (&Gates, (Prob, Option<f64>)),
) -> Result<Vec<Event>> {
    let config = SessionConfig {
        fps: job.config.fps,
        gates: load::session_gates(gates),
        update_prob_min,
        update_patience_s,
        frames_kept: job.config.assistant_training.frames_kept,
        tokens_per_frame: eyes.tokens_per_frame(),
        step_evidence: job.config.assistant_model.step_evidence,
        speech_note: job.config.assistant_model.speech_note,
        ..SessionConfig::default()
    };
    let (eyes, backbone) = (Some(Arc::clone(eyes)), Arc::clone(backbone));
    let mut session = Session::new(eyes, backbone, Arc::clone(codec), Some(source.task.clone()), config)?;
    let mut events: Vec<Event> = Vec::new();
    for (i, at) in source.frames.iter().enumerate() {
        let features = &source.features[i * source.frame_width..(i + 1) * source.frame_width];
        let frame = Frame { idx: FrameIdx(i as u64), at: *at, content: Content::Features(features.into()) };
        session.feed(Input::Frame(frame))?;
        while session.advance(&mut events)? != Flow::Idle {}
    }
    session.finish(&mut events)?;
    Ok(events)
}

/// `f` of every item, a thread each, in the items' order; the first error wins.
///
/// # Errors
/// As `f`.
pub fn each<S: Sync, T: Send, E: Send>(threads: usize, items: &[S], f: impl Fn(usize, &S) -> std::result::Result<T, E> + Sync) -> std::result::Result<Vec<T>, E> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, std::result::Result<T, E>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some((i, item)) = {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    items.get(i).map(|item| (i, item))
                } {
                    let result = f(i, item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((i, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

/// What the model writes over the training recordings as it stands after `step` steps, by recording. Made once and kept
/// in the work folder, so that a run that is taken up again learns from the same.
pub struct Histories<'a> {
    /// What every stage knows.
    pub job: &'a Job<'a>,
    /// Sizes of the model.
    pub config: &'a AssistantConfig,
    /// Its tokenizer.
    pub codec: &'a SharedCodec,
    /// Reads the steps' words.
    pub eyes: &'a Arc<Siglip>,
    /// Training recordings.
    pub sources: &'a [Source],
    /// Its variables as they stand, by name.
    pub vars: &'a [(String, Var)],
}

impl Histories<'_> {
    fn file(&self, step: usize) -> PathBuf {
        self.job.config.work.join(format!("own_history_{step}.jsonl"))
    }

    /// One history a source, in their order; made now when `now` is the step that they belong to.
    ///
    /// # Errors
    /// A run failed; or the file of an earlier step is gone.
    pub fn at(&self, step: usize, now: usize) -> Result<Vec<Vec<Turn>>> {
        let file = self.file(step);
        if now == step {
            annotation::write(&file, &self.make(step)?)?;
        }
        let recordings = annotation::read(&file)?;
        let same = recordings.len() == self.sources.len() && recordings.iter().zip(self.sources).all(|(r, s)| r.id == s.recording.id);
        if !same {
            return Err(Error::format(&file, "histories of other recordings; remove the `work` folder to begin again"));
        }
        Ok(recordings.into_iter().map(|r| r.turns).collect())
    }

    fn make(&self, step: usize) -> Result<Vec<Recording>> {
        let tensors = self.vars.iter().filter(|(name, _)| !name.starts_with(TRAINING_ONLY));
        let copy = |(name, var): &(String, Var)| Ok((name.clone(), var.as_tensor().detach().to_device(&Device::Cpu)?.copy()?));
        let tensors: HashMap<String, Tensor> = tensors.map(copy).collect::<Result<_>>()?;
        let model = Arc::new(Assistant::new(self.config, &Weights::new(tensors, &Device::Cpu))?);
        let settings = &self.job.config.assistant_training;
        each(self.job.threads, self.sources, |i, source| {
            // Careless gates make other errors than careful ones.
            let mut draw = Rng::of(&[self.job.config.seed, 7, step as u64, i as u64]);
            let mut pick = |list: &[f32]| Threshold(list.get(draw.below(list.len().max(1))).copied().unwrap_or(0.5));
            let mut gates = self.config.gates;
            gates.dst_update.threshold = pick(&settings.own_history_dst_update_thresholds);
            gates.speak.threshold = pick(&settings.own_history_speak_thresholds);
            let events = events(self.job, (self.eyes, &model), self.codec, source, (&gates, (Prob(0.0), None)))?;
            Ok(Recording {
                id: source.recording.id.clone(),
                goal: source.recording.goal.clone(),
                fps: HISTORY_FPS,
                end_s: source.recording.end_s,
                turns: turns(&events),
                ..Recording::default()
            })
        })
    }
}

/// Updates and sentences of a run.
fn turns(events: &[Event]) -> Vec<Turn> {
    let turn = |event: &Event| match event {
        Event::Transition { at, step, transition, .. } => {
            let update = Update { step: *step, transition: *transition };
            Some(Turn { at: Some(*at), kind: TurnKind::Dst(vec![update]) })
        }
        Event::Utterance { at, text, .. } => {
            Some(Turn { at: Some(*at), kind: TurnKind::Assistant { text: text.clone(), labels: String::new() } })
        }
        _ => None,
    };
    events.iter().filter_map(turn).collect()
}

/// Recordings of a part with their features in memory.
///
/// # Errors
/// The features cannot be read.
pub fn sources(job: &Job<'_>, episodes: &Episodes, part: Part, eyes: &Siglip) -> anyhow::Result<Vec<Source>> {
    episodes.of(part).map(|e| e.source(job.config, eyes)).collect()
}
