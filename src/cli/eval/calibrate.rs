//! `eval --calibrate`: finds the gates' settings on recordings whose features are there, and stores
//! them in the model file.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::systems::plain_name;
use super::workers;
use crate::cli::calibrate::{self, Metric, Search};
use crate::cli::config::{Flags as SettingFlags, Settings};
use crate::cli::free_run::{Parts, events};
use crate::cli::inspect;
use crate::cli::load::{self, Loaded};
use crate::cli::timing::Shared;
use crate::eval::speech::Similarity;
use crate::eval::{Log, Options, Reference, Scores, Tally};
use crate::features::FeatureFile;
use crate::model::config::{AssistantConfig, Gates};
use crate::quant::set_metadata;
use crate::sources::{self, OpenOptions};
use crate::stream::{Frame, Input, Poll};
use crate::train::parallel::each;

/// What is tried, and by what it is chosen.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// Finds the gates' settings of this model by free runs over the recordings (with --features),
    /// and stores them in the file with the curves that they come from. Give it recordings that the
    /// model was not trained on and will not be tested on
    #[arg(long, value_name = "MODEL", requires = "features", conflicts_with_all = ["logs", "system", "baseline"])]
    pub calibrate: Option<PathBuf>,
    /// What chooses the gates' settings
    #[arg(long, value_enum, default_value_t, requires = "calibrate")]
    metric: Metric,
    /// Thresholds to try for the update gate
    #[arg(long, value_name = "P,…", value_delimiter = ',', default_values_t = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98], requires = "calibrate")]
    update_thresholds: Vec<f32>,
    /// Thresholds to try for the speak gate
    #[arg(long, value_name = "P,…", value_delimiter = ',', default_values_t = [0.5, 0.7, 0.9, 0.95, 0.98], requires = "calibrate")]
    speak_thresholds: Vec<f32>,
    /// Hystereses to try for either gate at the best thresholds, besides none
    #[arg(long, value_name = "P,…", value_delimiter = ',', default_values_t = [0.1, 0.3], requires = "calibrate")]
    hysteresis: Vec<f32>,
    /// Rest times to try for either gate at the best thresholds, in seconds, besides none
    #[arg(long, value_name = "S,…", value_delimiter = ',', default_values_t = [1.0, 2.0], requires = "calibrate")]
    refractory: Vec<f64>,
    /// Configuration of the runs (TOML), as for `replay`; its gates are not taken
    #[arg(long, value_name = "FILE", requires = "calibrate")]
    config: Option<PathBuf>,
    /// Prints what would be stored, and leaves the file as it is
    #[arg(long, requires = "calibrate")]
    dry_run: bool,
}

impl Flags {
    fn search(&self) -> anyhow::Result<Search> {
        let ascending = |list: &[f32], flag: &str| {
            let mut list = list.to_vec();
            list.sort_by(f32::total_cmp);
            list.dedup();
            let sane = !list.is_empty() && list.iter().all(|p| (0.0..=1.0).contains(p));
            ensure!(sane, "{flag}: expected numbers from 0 to 1");
            Ok(list)
        };
        ensure!(
            self.refractory.iter().all(|s| s.is_finite() && *s >= 0.0),
            "--refractory: expected seconds, 0 or more"
        );
        Ok(Search {
            dst_update_thresholds: ascending(&self.update_thresholds, "--update-thresholds")?,
            speak_thresholds: ascending(&self.speak_thresholds, "--speak-thresholds")?,
            hysteresis: ascending(&self.hysteresis, "--hysteresis")?,
            refractory_s: self.refractory.clone(),
            metric: self.metric,
        })
    }
}

/// What the runs are scored by.
pub struct Scoring<'a> {
    /// The validation set.
    pub references: &'a [Reference],
    /// How.
    pub options: &'a Options,
    /// How sentences are compared.
    pub similarity: &'a dyn Similarity,
}

/// Calibrates a model file with the feature files in a folder.
///
/// # Errors
/// The model, its vision file or a feature file cannot be read or do not belong together; a run
/// failed; the file cannot be rewritten, and then is as it was.
pub fn run(
    model: &Path,
    features: &Path,
    scoring: &Scoring<'_>,
    flags: &Flags,
) -> anyhow::Result<()> {
    // One recording a thread; a product inside it stays on its thread.
    load::set_threads(1);
    let mut search = flags.search()?;
    let settings = Settings::resolve(SettingFlags {
        config: flags.config.clone(),
        ..SettingFlags::default()
    })?;
    let loaded = load::open(model, None, &Shared::default())?;
    let footage = each(workers(), scoring.references, |reference| {
        frames(features, reference, &settings, &loaded)
    })?;
    let mut start = loaded.config.gates;
    for gate in [&mut start.speak, &mut start.dst_update] {
        (gate.hysteresis, gate.refractory_s) = (0.0, 0.0);
    }
    // "Besides none": what the gates begin with.
    search.hysteresis.retain(|hysteresis| *hysteresis > 0.0);
    search.refractory_s.retain(|rest_s| *rest_s > 0.0);
    let before = score(&loaded, loaded.config.gates, &settings, &footage, scoring)?;
    println!(
        "as stored: {}",
        calibrate::line(&loaded.config.gates, &before)
    );
    let (mut done, all) = (0, search.runs_max());
    let found = calibrate::search(start, &search, scoring.references.len(), &mut |gates| {
        let scores = score(&loaded, *gates, &settings, &footage, scoring)?;
        done += 1;
        eprintln!(
            "{done} of {all} at most: {}",
            calibrate::line(gates, &scores)
        );
        Ok(Some(scores))
    })?;
    let found = found.context("no setting was tried")?;
    println!(
        "found:     {}",
        calibrate::line(&found.gates, &found.scores)
    );
    let config = AssistantConfig {
        gates: found.gates,
        calibration: Some(found.calibration),
        ..loaded.config.clone()
    };
    config.validate()?;
    print!("{}", inspect::gates(&config));
    if !flags.dry_run {
        let pairs = config.gate_metadata();
        let changes: Vec<_> = pairs
            .iter()
            .map(|(key, value)| (key.as_str(), Some(value.clone())))
            .collect();
        set_metadata(model, &changes)?;
        println!("stored in {}", model.display());
    }
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
    let encoder = FeatureFile::read(&path, settings.fps)?.encoder_sha256;
    let wanted = &loaded.vision_sha256;
    ensure!(
        encoder.is_empty() || encoder == *wanted,
        "{}: of encoder {encoder}, the model's is {wanted}; make it anew with `proact encode --vision`",
        path.display()
    );
    let tokens_per_frame = loaded.config.tokens_per_frame;
    let mut source = sources::open(
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

/// Pooled scores of free runs with these gates.
fn score(
    loaded: &Loaded,
    gates: Gates,
    settings: &Settings,
    footage: &[Vec<Frame>],
    by: &Scoring<'_>,
) -> anyhow::Result<Scores> {
    let parts = Parts {
        eyes: loaded.vision.as_ref(),
        backbone: &loaded.assistant,
        codec: &loaded.codec,
    };
    // The gates that are tried, not those of a configuration.
    let config = settings.session_config(
        loaded.layout,
        &AssistantConfig {
            gates,
            ..loaded.config.clone()
        },
    );
    let pairs: Vec<_> = by.references.iter().zip(footage).collect();
    let tallies = each(
        workers(),
        pairs,
        |(reference, frames)| -> anyhow::Result<Tally> {
            let task = (!reference.task.steps.is_empty()).then_some(&reference.task);
            let events = events(
                &parts,
                task,
                &reference.start_state(),
                frames.iter().cloned(),
                config.clone(),
            )?;
            Ok(Tally::of(
                &Log::from_events(&events)?,
                reference,
                by.options,
                by.similarity,
            )?)
        },
    )?;
    Ok(Tally::pool(tallies)
        .context("no recording to score")?
        .scores())
}
