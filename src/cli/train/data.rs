//! The episodes of a training: found, split by person, decoded once, encoded once.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};
use candle_core::Device;

use super::progress::Progress;
use super::stages::Job;
use crate::cli::load;
use crate::dialogue::annotation::{self, Recording};
use crate::dialogue::task::Task;
use crate::features::FeatureFile;
use crate::model::evidence::StepWords;
use crate::model::preprocess::{PREPROCESS_NAME, resize};
use crate::model::siglip::Siglip;
use crate::sources::{self, OpenOptions};
use crate::stream::{Content, Input, Poll};
use crate::train::config::TrainConfig;
use crate::train::examples::Source;
use crate::train::parallel::each;
use crate::train::pixels::{Jitter, Pixels, to_tensor};
use crate::units::MediaTime;

/// What a recording is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Trained on.
    Train,
    /// Finds thresholds.
    Validation,
    /// Kept for the final scores.
    Test,
}

/// One episode on the disk.
pub struct Episode {
    /// Annotation.
    pub recording: Recording,
    /// Task.
    pub task: Task,
    /// What it is for.
    pub part: Part,
    folder: PathBuf,
}

/// All episodes, in the order of their ids.
pub struct Episodes {
    /// The episodes.
    pub all: Vec<Episode>,
}

/// Pictures encoded in one pass.
const ENCODE_BATCH: usize = 32;

impl Episodes {
    /// Reads annotation and task of every episode in the folder that `proact synth` wrote.
    ///
    /// # Errors
    /// No episode, an unreadable one, or an empty split.
    pub fn scan(config: &TrainConfig) -> anyhow::Result<Self> {
        let root = &config.episodes;
        let entries = std::fs::read_dir(root)
            .with_context(|| format!("{}: no such folder; write episodes with `proact synth -o {0}` first", root.display()))?;
        let mut all = Vec::new();
        for entry in entries {
            let folder = entry.with_context(|| root.display().to_string())?.path();
            let file = folder.join("annotation.jsonl");
            if !file.exists() {
                continue;
            }
            let task = Task::read(&folder.join("task.toml"))?;
            let mut recordings = annotation::read(&file)?;
            if recordings.len() != 1 {
                bail!("{}: {} recordings, expected one an episode", file.display(), recordings.len());
            }
            let recording = recordings.remove(0);
            let person = recording.user_id.clone().unwrap_or_default();
            let part = match () {
                () if config.split.validation_people.contains(&person) => Part::Validation,
                () if config.split.test_people.contains(&person) => Part::Test,
                () => Part::Train,
            };
            all.push(Episode { recording, task, part, folder });
        }
        all.sort_by(|a, b| a.recording.id.cmp(&b.recording.id));
        // Who is tested on is seen once, as the recording has it: scores stay comparable whatever else is rendered.
        let ids: HashSet<String> = all.iter().map(|e| e.recording.id.clone()).collect();
        all.retain(|e| e.part == Part::Train || !is_further_rendering(&e.recording.id, &ids));
        let episodes = Self { all };
        for (part, key) in [(Part::Train, "episodes"), (Part::Validation, "split.validation_people")] {
            if episodes.of(part).next().is_none() {
                bail!("{key}: no episode in {} is for {part:?}", root.display());
            }
        }
        Ok(episodes)
    }

    /// Those for one purpose.
    pub fn of(&self, part: Part) -> impl Iterator<Item = &Episode> {
        self.all.iter().filter(move |e| e.part == part)
    }

    /// How many there are, in words.
    pub fn summary(&self) -> String {
        let count = |part| self.of(part).count();
        format!(
            "{} episodes: {} to train on, {} for thresholds, {} kept for the final scores",
            self.all.len(),
            count(Part::Train),
            count(Part::Validation),
            count(Part::Test)
        )
    }

    /// Decodes every video that is not decoded yet. `false` when the person stopped it.
    ///
    /// # Errors
    /// A video cannot be read.
    pub fn pixels(&self, job: &Job<'_>, progress: &mut Progress) -> anyhow::Result<bool> {
        let size = job.config.vision_model.image_size;
        each_episode("decode", &self.all, job.threads, progress, |episode| {
            let file = episode.pixel_file(job.config);
            if Pixels::open(&file, size).is_ok() {
                return Ok(());
            }
            let (at, pixels) = decode(&episode.folder.join("video.mp4"), job.config.fps, size)?;
            Ok(Pixels::write(&file, size, &at, &pixels)?)
        })
    }

    /// Encodes every episode with the finished vision file. `false` when the person stopped it.
    ///
    /// # Errors
    /// The vision file or a cache cannot be read.
    pub fn features(&self, job: &Job<'_>, progress: &mut Progress) -> anyhow::Result<bool> {
        let vision = load::open_dense_vision(&job.vision_gguf(), job.device)?;
        let size = job.config.vision_model.image_size;
        let folder = job.config.work.join("features");
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        each_episode("encode", &self.all, job.threads, progress, |episode| {
            let file = episode.feature_file(job.config);
            if FeatureFile::read(&file, job.config.fps).is_ok_and(|f| f.encoder_sha256 == vision.sha256) {
                return Ok(());
            }
            let pixels = Pixels::open(&episode.pixel_file(job.config), size)?;
            let frames: Vec<usize> = (0..pixels.at().len()).collect();
            let mut cls = Vec::new();
            for batch in frames.chunks(ENCODE_BATCH) {
                let pictures: Vec<&[u8]> = batch.iter().filter_map(|f| pixels.picture(*f)).collect();
                let still = Jitter { shift_px: 0, light: 0.0 };
                let input = to_tensor(&pictures, size, still, None, job.device)?;
                let output = vision.vision.vision.forward_tensor(&input)?.to_device(&Device::Cpu)?;
                cls.extend(output.flatten_all()?.to_vec1::<f32>()?);
            }
            let file_ = FeatureFile {
                encoder_sha256: vision.sha256.clone(),
                preprocess: PREPROCESS_NAME.to_owned(),
                fps: job.config.fps,
                at: Some(pixels.at().iter().map(|t| t.0).collect()),
                dim: job.config.vision_model.embedding_length,
                cls,
                ..FeatureFile::default()
            };
            Ok(file_.write(&file)?)
        })
    }
}

/// `ID.2`, `ID.3`, … where `ID` is there too (see `proact synth --renderings`).
fn is_further_rendering(id: &str, ids: &HashSet<String>) -> bool {
    let number = |n: &str| n.parse::<u64>().is_ok_and(|n| n > 1);
    id.rsplit_once('.').is_some_and(|(first, n)| number(n) && ids.contains(first))
}

impl Episode {
    /// Where its decoded pictures lie.
    pub fn pixel_file(&self, config: &TrainConfig) -> PathBuf {
        config.work.join("pixels").join(format!("{}.safetensors", self.recording.id))
    }

    /// Where its features lie.
    pub fn feature_file(&self, config: &TrainConfig) -> PathBuf {
        config.work.join("features").join(format!("{}.safetensors", self.recording.id))
    }

    /// The episode with its features in memory; `eyes` read the steps' words where the assistant wants them.
    ///
    /// # Errors
    /// The features or the words cannot be read.
    pub fn source(&self, config: &TrainConfig, eyes: &Siglip) -> anyhow::Result<Source> {
        let file = FeatureFile::read(&self.feature_file(config), config.fps)?;
        let mut cosines = Vec::new();
        if config.assistant_model.step_evidence {
            let words = StepWords::read(eyes, self.task.steps.iter().map(|step| (step.name.as_str(), Vec::new())).collect())?;
            for features in file.cls.chunks_exact(file.dim) {
                cosines.extend(words.cosines(features)?);
            }
        }
        let frames = (0..file.frames()).map(|f| MediaTime(file.at_s(f))).collect();
        Ok(Source {
            recording: self.recording.clone(),
            task: self.task.clone(),
            frames,
            frame_width: file.dim,
            features: file.cls.into(),
            cosines: cosines.into(),
        })
    }
}

/// Runs `f` on every episode with a few threads and a bar; stops early, with `false`, when the person asks.
fn each_episode(
    stage: &str,
    episodes: &[Episode],
    threads: usize,
    progress: &mut Progress,
    f: impl Fn(&Episode) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<bool> {
    let shown = Mutex::new((0, &mut *progress));
    let stopped = || shown.lock().unwrap_or_else(PoisonError::into_inner).1.stopped();
    let done = each(threads, episodes, |episode| {
        if stopped() {
            return Ok(());
        }
        f(episode).with_context(|| format!("episode {}", episode.recording.id))?;
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.0 += 1;
        let done = shown.0;
        shown.1.at(stage, done, episodes.len(), "");
        Ok(())
    });
    progress.close();
    done.map(|_| !progress.stopped())
}

/// Times and pictures `[T, S, S, 3]` of a video at the training's rate and the encoder's size.
fn decode(video: &Path, fps: f64, size: usize) -> anyhow::Result<(Vec<MediaTime>, Vec<u8>)> {
    let mut source = sources::open(video, &OpenOptions { fps, ..OpenOptions::default() })?;
    let (mut at, mut pixels) = (Vec::new(), Vec::new());
    loop {
        match source.next()? {
            Poll::Ready(Input::Frame(frame)) => {
                let Content::Picture(picture) = &frame.content else { bail!("{}: no pictures", video.display()) };
                pixels.extend(resize(&picture.rgb, picture.width, picture.height, size as u32)?);
                at.push(frame.at);
            }
            Poll::Ready(_) | Poll::Pending => {}
            Poll::End => return Ok((at, pixels)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_further_rendering_is_known_by_the_first() {
        let ids: HashSet<String> = ["17_5", "17_5.2", "tea.2", "9_8", "9_8.x"].map(str::to_owned).into();
        let further: Vec<&str> = ["17_5", "17_5.2", "17_5.12", "17_5.1", "tea.2", "9_8.x", ""]
            .into_iter()
            .filter(|id| is_further_rendering(id, &ids))
            .collect();
        assert_eq!(further, ["17_5.2", "17_5.12"]);
    }
}
