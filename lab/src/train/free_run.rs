//! What the model writes by itself over cached features: the histories that training goes on from.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{Device, Tensor, Var};

use super::data::{Episodes, Part};
use super::stages::Job;
use crate::calibrate::free_run::{Parts, events};
use crate::parallel::each;
use crate::train::assistant::TRAINING_ONLY;
use crate::train::examples::Source;
use proact::dialogue::annotation::{self, Recording, Turn, TurnKind};
use proact::dialogue::task::Update;
use proact::error::{Error, Result};
use proact::model::assistant::Assistant;
use proact::model::config::AssistantConfig;
use proact::model::siglip::Siglip;
use proact::model::weights::Weights;
use proact::rng::Rng;
use proact::session::{SessionConfig, SharedCodec};
use proact::stream::{Content, Event, Frame};
use proact::units::{FrameIdx, Threshold};

/// Rate that histories are written with: fine enough that every frame's time comes back.
const HISTORY_FPS: f64 = 2.0;

/// The frames of a recording with features.
pub fn frames(source: &Source) -> impl Iterator<Item = Frame> + '_ {
    let features = source.features.chunks_exact(source.frame_width.max(1));
    source
        .frames
        .iter()
        .zip(features)
        .enumerate()
        .map(|(i, (at, features))| Frame {
            idx: FrameIdx(i as u64),
            at: *at,
            content: Content::Features(features.into()),
        })
}

/// The configuration of a session that runs freely in training; the gates are those of `model`.
pub fn session_config(job: &Job<'_>, model: &AssistantConfig) -> SessionConfig {
    SessionConfig {
        fps: job.config.fps,
        frames_kept: job.config.assistant_training.frames_kept,
        ..SessionConfig::of_model(model)
    }
}

/// What the model writes over the training recordings as it stands after `step` steps, by
/// recording. Made once and kept in the work folder, so that a run that is taken up again learns
/// from the same.
pub struct Histories<'a> {
    /// What every stage knows.
    pub job: &'a Job<'a>,
    /// Sizes of the model.
    pub config: &'a AssistantConfig,
    /// Its tokenizer.
    pub codec: &'a SharedCodec,
    /// Reads the steps' words.
    pub eyes: Option<&'a Arc<Siglip>>,
    /// Training recordings.
    pub sources: &'a [Source],
    /// Its variables as they stand, by name.
    pub vars: &'a [(String, Var)],
}

impl Histories<'_> {
    fn file(&self, step: usize) -> PathBuf {
        self.job
            .config
            .work
            .join(format!("own_history_{step}.jsonl"))
    }

    /// One history a source, in their order, empty for those that were not run over; made now when
    /// `now` is the step that they belong to.
    ///
    /// # Errors
    /// A run failed; or the file of an earlier step is gone.
    pub fn at(&self, step: usize, now: usize) -> Result<Vec<Vec<Turn>>> {
        let file = self.file(step);
        if now == step {
            annotation::write(&file, &self.make(step)?)?;
        }
        let recordings = annotation::read(&file)?;
        let same = recordings.len() == self.sources.len()
            && recordings
                .iter()
                .zip(self.sources)
                .all(|(r, s)| r.id == s.recording.id);
        if !same {
            return Err(Error::format(
                &file,
                "histories of other recordings; remove the `work` folder to begin again",
            ));
        }
        Ok(recordings.into_iter().map(|r| r.turns).collect())
    }

    fn make(&self, step: usize) -> Result<Vec<Recording>> {
        let tensors = self
            .vars
            .iter()
            .filter(|(name, _)| !name.starts_with(TRAINING_ONLY));
        let copy = |(name, var): &(String, Var)| {
            Ok((
                name.clone(),
                var.as_tensor().detach().to_device(&Device::Cpu)?.copy()?,
            ))
        };
        let tensors: HashMap<String, Tensor> = tensors.map(copy).collect::<Result<_>>()?;
        let model = Arc::new(Assistant::new(
            self.config,
            &Weights::new(tensors, &Device::Cpu),
        )?);
        let settings = &self.job.config.assistant_training;
        each(
            self.job.threads,
            self.sources.iter().enumerate(),
            |(i, source)| {
                // Careless gates make other errors than careful ones.
                let mut draw = Rng::of(&[self.job.config.seed, 7, step as u64, i as u64]);
                let chosen = draw.below(self.sources.len()) < settings.own_history_recordings;
                let mut pick = |list: &[f32]| {
                    Threshold(
                        list.get(draw.below(list.len().max(1)))
                            .copied()
                            .unwrap_or(0.5),
                    )
                };
                let mut careless = self.config.clone();
                careless.gates.dst_update.threshold =
                    pick(&settings.own_history_dst_update_thresholds);
                careless.gates.speak.threshold = pick(&settings.own_history_speak_thresholds);
                // Nor does the task's order keep it from errors that it is to learn from.
                let careless = session_config(self.job, &careless);
                let never = f32::INFINITY;
                let session = SessionConfig {
                    out_of_order_weight: 1.0,
                    same_picture_cosine_min: never,
                    start_cosine_gap_max: never,
                    ..careless
                };
                let parts = Parts {
                    eyes: self.eyes,
                    backbone: &model,
                    codec: self.codec,
                };
                let events = match chosen {
                    true => events(
                        &parts,
                        Some(&source.task),
                        &source.start,
                        frames(source),
                        session,
                    )?,
                    false => Vec::new(),
                };
                Ok(Recording {
                    id: source.recording.id.clone(),
                    goal: source.recording.goal.clone(),
                    fps: HISTORY_FPS,
                    end_s: source.recording.end_s,
                    turns: turns(&events),
                    ..Recording::default()
                })
            },
        )
    }
}

/// Updates and sentences of a run.
fn turns(events: &[Event]) -> Vec<Turn> {
    let turn = |event: &Event| match event {
        Event::Transition {
            at,
            step,
            transition,
            ..
        } => {
            let update = Update {
                step: *step,
                transition: *transition,
            };
            Some(Turn {
                at: Some(*at),
                kind: TurnKind::Dst(vec![update]),
            })
        }
        Event::Utterance { at, text, .. } => Some(Turn {
            at: Some(*at),
            kind: TurnKind::Assistant {
                text: text.clone(),
                labels: String::new(),
            },
        }),
        _ => None,
    };
    events.iter().filter_map(turn).collect()
}

/// Recordings of a part with their features in memory.
///
/// # Errors
/// The features cannot be read.
pub fn sources(
    job: &Job<'_>,
    episodes: &Episodes,
    part: Part,
    eyes: Option<&Siglip>,
) -> anyhow::Result<Vec<Source>> {
    episodes
        .of(part)
        .map(|e| e.source(job.config, eyes))
        .collect()
}
