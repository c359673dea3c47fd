//! The episodes of a training: found, decoded once, encoded once; or dialogues that come with their
//! features.

use crate::proassist::open::open;
use crate::proassist::open::read_features;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};
use candle_core::Device;

use super::dialogues::{self, Encoded};
use super::progress::Progress;
use super::stages::Job;
use crate::parallel::each;
use crate::train::config::TrainConfig;
use crate::train::examples::Source;
use crate::train::pixels::{Jitter, Pixels, to_tensor};
use proact::dialogue::annotation::{self, Recording};
use proact::dialogue::task::{Task, TaskState};
use proact::features::FeatureFile;
use proact::model::evidence::StepWords;
use proact::model::open::open_dense_vision;
use proact::model::preprocess::{Preprocess, resize};
use proact::model::siglip::Siglip;
use proact::sources::OpenOptions;
use proact::stream::{Content, Input, Poll};
use proact::units::MediaTime;

/// What a recording is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Trained on.
    Train,
    /// Finds thresholds.
    Validation,
}

/// One episode on the disk.
pub struct Episode {
    /// Annotation.
    pub recording: Recording,
    /// Task; without steps where the annotation names none.
    pub task: Task,
    /// States of its steps when it begins.
    pub start: TaskState,
    /// What it is for.
    pub part: Part,
    /// Where its frames are.
    pub frames: Frames,
}

/// Where an episode's frames are.
pub enum Frames {
    /// In the video of its folder: decoded and encoded here.
    Folder(PathBuf),
    /// Encoded already.
    Encoded(Encoded),
}

/// All episodes, in the order of their ids.
pub struct Episodes {
    /// The episodes.
    pub all: Vec<Episode>,
}

/// Pictures encoded in one pass.
const ENCODE_BATCH: usize = 32;

impl Episodes {
    /// Reads annotation and task of every episode in the folder's `train/` and `validation/`, as
    /// `proact synth --suite` writes them; or the dialogues that the training file names instead.
    ///
    /// # Errors
    /// No episode in one of them, an unreadable one, or two of one id.
    pub fn scan(config: &TrainConfig) -> anyhow::Result<Self> {
        let part = |name: &str, part| match (&config.episodes, &config.dialogues) {
            (Some(folder), _) => scan(&folder.join(name), part),
            (None, Some(dialogues)) => dialogues::scan(dialogues, config.fps, part),
            (None, None) => Ok(Vec::new()),
        };
        let mut all = part("train", Part::Train)?;
        all.extend(part("validation", Part::Validation)?);
        all.sort_by(|a, b| a.recording.id.cmp(&b.recording.id));
        if let Some(twice) = all
            .windows(2)
            .find(|w| w[0].recording.id == w[1].recording.id)
        {
            bail!(
                "two recordings are called `{}`: each is trained on once, and none that thresholds are found on",
                twice[0].recording.id
            );
        }
        Ok(Self { all })
    }

    /// Width of a vision token, Dv: the picture tower's, or that of the features that are there.
    ///
    /// # Errors
    /// The first feature file cannot be read.
    pub fn vision_length(&self, config: &TrainConfig) -> anyhow::Result<usize> {
        match self.all.first().map(|episode| &episode.frames) {
            Some(Frames::Encoded(encoded)) => encoded.width(config.fps),
            _ => Ok(config.towers()?.vision_model.embedding_length),
        }
    }

    /// Those for one purpose.
    pub fn of(&self, part: Part) -> impl Iterator<Item = &Episode> {
        self.all.iter().filter(move |e| e.part == part)
    }

    /// How many there are, in words.
    pub fn summary(&self) -> String {
        let count = |part| self.of(part).count();
        format!(
            "{} episodes to train on, {} for thresholds",
            count(Part::Train),
            count(Part::Validation)
        )
    }

    /// Decodes every video that is not decoded yet. `false` when the person stopped it.
    ///
    /// # Errors
    /// A video cannot be read.
    pub fn pixels(&self, job: &Job<'_>, progress: &mut Progress) -> anyhow::Result<bool> {
        each_episode("decode", &self.all, job.threads, progress, |episode| {
            episode.pixels(job.config).map(drop)
        })
    }

    /// Encodes every episode with the finished vision file, and decodes those whose pictures are
    /// not there. `false` when the person stopped it.
    ///
    /// # Errors
    /// The vision file, a video or a cache cannot be read.
    pub fn features(&self, job: &Job<'_>, progress: &mut Progress) -> anyhow::Result<bool> {
        let vision = open_dense_vision(&job.vision_gguf(), job.device)?;
        let size = job.config.towers()?.vision_model.image_size;
        let folder = job.config.work.join("features");
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        each_episode("encode", &self.all, job.threads, progress, |episode| {
            let file = episode.feature_file(job.config);
            if read_features(&file, job.config.fps).is_ok_and(|f| f.encoder_sha256 == vision.sha256)
            {
                return Ok(());
            }
            let Some(pixels) = episode.pixels(job.config)? else {
                return Ok(());
            };
            let frames: Vec<usize> = (0..pixels.at().len()).collect();
            let mut cls = Vec::new();
            for batch in frames.chunks(ENCODE_BATCH) {
                let pictures: Vec<&[u8]> =
                    batch.iter().filter_map(|f| pixels.picture(*f)).collect();
                let still = Jitter {
                    shift_px: 0,
                    light: 0.0,
                };
                let input = to_tensor(&pictures, size, still, None, job.device)?;
                let output = vision
                    .towers
                    .vision
                    .forward_tensor(&input)?
                    .to_device(&Device::Cpu)?;
                cls.extend(output.flatten_all()?.to_vec1::<f32>()?);
            }
            let file_ = FeatureFile {
                encoder_sha256: vision.sha256.clone(),
                preprocess: Preprocess::Siglip.name().to_owned(),
                fps: job.config.fps,
                at: Some(pixels.at().iter().map(|t| t.0).collect()),
                dim: job.config.towers()?.vision_model.embedding_length,
                cls,
                ..FeatureFile::default()
            };
            Ok(file_.write(&file)?)
        })
    }
}

fn scan(root: &Path, part: Part) -> anyhow::Result<Vec<Episode>> {
    let missing = || {
        format!(
            "{}: no such folder; write episodes with `proact synth --suite` first",
            root.display()
        )
    };
    let mut all = Vec::new();
    for entry in std::fs::read_dir(root).with_context(missing)? {
        let folder = entry.with_context(|| root.display().to_string())?.path();
        let file = folder.join("annotation.jsonl");
        if !file.exists() {
            continue;
        }
        let task = Task::read(&folder.join("task.toml"))?;
        let mut recordings = annotation::read(&file)?;
        if recordings.len() != 1 {
            bail!(
                "{}: {} recordings, expected one an episode",
                file.display(),
                recordings.len()
            );
        }
        all.push(Episode {
            recording: recordings.remove(0),
            start: TaskState::new(&task),
            task,
            part,
            frames: Frames::Folder(folder),
        });
    }
    if all.is_empty() {
        bail!("{}: no episode in it", root.display());
    }
    Ok(all)
}

impl Episode {
    /// Where its decoded pictures lie.
    pub fn pixel_file(&self, config: &TrainConfig) -> PathBuf {
        config
            .work
            .join("pixels")
            .join(format!("{}.safetensors", self.recording.id))
    }

    /// Its pictures, decoded unless they are there; none where it comes encoded.
    fn pixels(&self, config: &TrainConfig) -> anyhow::Result<Option<Pixels>> {
        let Frames::Folder(folder) = &self.frames else {
            return Ok(None);
        };
        let (file, size) = (
            self.pixel_file(config),
            config.towers()?.vision_model.image_size,
        );
        if let Ok(pixels) = Pixels::open(&file, size) {
            return Ok(Some(pixels));
        }
        let (at, pixels) = decode(&folder.join("video.mp4"), config.fps, size)?;
        Pixels::write(&file, size, &at, &pixels)?;
        Ok(Some(Pixels::open(&file, size)?))
    }

    /// Where its features lie.
    pub fn feature_file(&self, config: &TrainConfig) -> PathBuf {
        config
            .work
            .join("features")
            .join(format!("{}.safetensors", self.recording.id))
    }

    /// The episode with its features in memory; `eyes` read the steps' words where the assistant
    /// wants them.
    ///
    /// # Errors
    /// The features or the words cannot be read.
    pub fn source(&self, config: &TrainConfig, eyes: Option<&Siglip>) -> anyhow::Result<Source> {
        let (frames, features, frame_width) = match &self.frames {
            Frames::Encoded(encoded) => encoded.read(&self.recording)?,
            Frames::Folder(_) => {
                let file = read_features(&self.feature_file(config), config.fps)?;
                (
                    (0..file.frames())
                        .map(|f| MediaTime(file.at_s(f)))
                        .collect(),
                    file.cls,
                    file.dim,
                )
            }
        };
        let (mut cosines, mut likeness) = (Vec::new(), Vec::new());
        if let Some(eyes) = eyes.filter(|_| config.assistant_model.step_evidence) {
            let words = StepWords::read(
                eyes,
                self.task
                    .steps
                    .iter()
                    .map(|step| (step.name.as_str(), Vec::new(), step.after.as_slice()))
                    .collect(),
            )?;
            for features in features.chunks_exact(frame_width) {
                cosines.extend(words.cosines(features)?);
            }
            likeness.clone_from(&words.steps().likeness);
        }
        Ok(Source {
            recording: self.recording.clone(),
            task: self.task.clone(),
            start: self.start.clone(),
            frames,
            frame_width,
            features: features.into(),
            cosines: cosines.into(),
            likeness: likeness.into(),
        })
    }
}

/// Runs `f` on every episode with a few threads and a bar; stops early, with `false`, when the
/// person asks.
fn each_episode(
    stage: &str,
    episodes: &[Episode],
    threads: usize,
    progress: &mut Progress,
    f: impl Fn(&Episode) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<bool> {
    let shown = Mutex::new((0, &mut *progress));
    let stopped = || {
        shown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .stopped()
    };
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
    let mut source = open(video, &OpenOptions::at(fps))?;
    let (mut at, mut pixels) = (Vec::new(), Vec::new());
    loop {
        match source.next()? {
            Poll::Ready(Input::Frame(frame)) => {
                let Content::Picture(picture) = &frame.content else {
                    bail!("{}: no pictures", video.display())
                };
                pixels.extend(resize(
                    &picture.rgb,
                    picture.width,
                    picture.height,
                    size as u32,
                )?);
                at.push(frame.at);
            }
            Poll::Ready(_) | Poll::Pending => {}
            Poll::End => return Ok((at, pixels)),
        }
    }
}
