//! Calibration on recordings whose features are there, as `proact eval --calibrate` does it.

use std::path::Path;

use anyhow::{Context, ensure};

use super::free_run::{Parts, events};
use super::search::{self, Search, line};
use crate::eval::speech::Similarity;
use crate::eval::systems::{plain_name, workers};
use crate::eval::{Log, Options, Reference, Scores, Tally};
use crate::parallel::each;
use crate::proassist::open::{open, read_features};
use crate::quant::set_metadata;
use proact::dialogue::policy::Gates;
use proact::dialogue::task::{Task, TaskState};
use proact::model::config::AssistantConfig;
use proact::run::load::{self, Loaded};
use proact::run::settings::Settings;
use proact::run::timing::SharedMeter;
use proact::session::SessionConfig;
use proact::sources::OpenOptions;
use proact::stream::{Frame, Input, Poll};

/// A recording that free runs are made over, with its frames in memory.
pub struct HeldOut {
    /// What the runs are scored against.
    pub reference: Reference,
    /// The task that a session is told; none for a session without a task.
    pub task: Option<Task>,
    /// States of the task's steps when the recording begins.
    pub start: TaskState,
    /// Its frames.
    pub frames: Vec<Frame>,
}

/// What the runs are scored by.
pub struct Scoring<'a> {
    /// Tolerances and window.
    pub options: &'a Options,
    /// How sentences are compared.
    pub similarity: &'a dyn Similarity,
}

/// Finds a model file's gates with the feature files in a folder; gives the configuration with
/// them. `tell` gets what was stored and what was found.
///
/// # Errors
/// The model, its vision file or a feature file cannot be read or do not belong together; a run
/// failed.
pub fn calibrate(
    model: &Path,
    features: &Path,
    references: &[Reference],
    scoring: &Scoring<'_>,
    mut search: Search,
    settings: &Settings,
    tell: &mut dyn FnMut(&str),
) -> anyhow::Result<AssistantConfig> {
    // One recording a thread; a product inside it stays on its thread.
    load::set_threads(1);
    let loaded = load::open(model, None, &SharedMeter::default())?;
    let held_out = each(workers(), references, |reference| -> anyhow::Result<_> {
        let has_steps = !reference.task.steps.is_empty();
        Ok(HeldOut {
            reference: reference.clone(),
            task: has_steps.then(|| reference.task.clone()),
            start: reference.start_state(),
            frames: frames(features, reference, settings, &loaded)?,
        })
    })?;
    let configure = |model: &AssistantConfig| settings.session_config(model);
    let run = |gates| score(&loaded, gates, configure, &held_out, scoring, workers());
    let mut start = loaded.config.gates;
    for gate in [&mut start.speak, &mut start.dst_update] {
        (gate.hysteresis, gate.refractory_s) = (0.0, 0.0);
    }
    // "Besides none": what the gates begin with.
    search.hysteresis.retain(|hysteresis| *hysteresis > 0.0);
    search.refractory_s.retain(|rest_s| *rest_s > 0.0);
    let before = run(loaded.config.gates)?;
    tell(&format!(
        "as stored: {}",
        line(&loaded.config.gates, &before)
    ));
    let (mut done, all) = (0, search.runs_max());
    let found = search::search(start, &search, held_out.len(), &mut |gates| {
        let scores = run(*gates)?;
        done += 1;
        eprintln!("{done} of {all} at most: {}", line(gates, &scores));
        Ok(Some(scores))
    })?;
    let found = found.context("no setting was tried")?;
    tell(&format!("found:     {}", line(&found.gates, &found.scores)));
    let config = AssistantConfig {
        gates: found.gates,
        calibration: Some(found.calibration),
        ..loaded.config.clone()
    };
    config.validate()?;
    Ok(config)
}

/// Stores the gates of a configuration in the model file that it is of.
///
/// # Errors
/// The file cannot be rewritten, and then is as it was.
pub fn store(config: &AssistantConfig, model: &Path) -> anyhow::Result<()> {
    let pairs = config.gate_metadata();
    let changes: Vec<_> = pairs
        .iter()
        .map(|(key, value)| (key.as_str(), Some(value.clone())))
        .collect();
    set_metadata(model, &changes)?;
    Ok(())
}

/// A recording's frames, as `replay` takes them from its feature file.
fn frames(
    folder: &Path,
    reference: &Reference,
    settings: &Settings,
    loaded: &Loaded,
) -> anyhow::Result<Vec<Frame>> {
    let path = folder.join(format!("{}.safetensors", plain_name(&reference.id)?));
    let encoder = read_features(&path, settings.fps)?.encoder_sha256;
    let wanted = &loaded.vision_sha256;
    ensure!(
        encoder.is_empty() || encoder == *wanted,
        "{}: of encoder {encoder}, the model's is {wanted}; make it anew with `proact encode --vision`",
        path.display()
    );
    let tokens_per_frame = loaded.config.tokens_per_frame;
    let mut source = open(
        &path,
        &OpenOptions {
            fps: settings.fps,
            images_fps: None,
            tokens_per_frame,
        },
    )?;
    let mut frames = Vec::new();
    loop {
        match source.next()? {
            Poll::Ready(Input::Frame(frame)) => frames.push(frame),
            Poll::Ready(_) | Poll::Pending => {}
            Poll::End => return Ok(frames),
        }
    }
}

/// Pooled scores of free runs of a model with these gates, `threads` recordings at once.
/// `configure` gives the session's configuration for a model.
///
/// # Errors
/// A run failed, or there is no recording.
pub fn score(
    loaded: &Loaded,
    gates: Gates,
    configure: impl Fn(&AssistantConfig) -> SessionConfig,
    held_out: &[HeldOut],
    by: &Scoring<'_>,
    threads: usize,
) -> anyhow::Result<Scores> {
    let parts = Parts {
        eyes: loaded.vision.as_ref(),
        backbone: &loaded.assistant,
        codec: &loaded.codec,
    };
    // The gates that are tried, not those of a configuration.
    let config = configure(&AssistantConfig {
        gates,
        ..loaded.config.clone()
    });
    let tallies = each(threads, held_out, |one| -> anyhow::Result<Tally> {
        let frames = one.frames.iter().cloned();
        let events = events(
            &parts,
            one.task.as_ref(),
            &one.start,
            frames,
            config.clone(),
        )?;
        let log = Log::from_events(&events)?;
        Ok(Tally::of(&log, &one.reference, by.options, by.similarity)?)
    })?;
    Ok(Tally::pool(tallies)
        .context("no recording to score")?
        .scores())
}
