//! Encoding of recordings: which source becomes which feature file, and the features of one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::proassist::open::{open, read_features};
use crate::proassist::write_arrow;
use proact::features::{FeatureFile, Grid};
use proact::model::Perceiver;
use proact::model::config::VisionConfig;
use proact::model::open::OpenVision;
use proact::run::stop::Usage;
use proact::sources::OpenOptions;
use proact::stream::{Content, Input, Picture, Poll};

/// Endings of what a folder of sources can hold besides episodes.
const SOURCE_ENDINGS: [&str; 8] = ["mp4", "mov", "m4v", "mkv", "avi", "webm", "mpeg", "arrow"];

/// Name of the video in an episode's folder, as `proact synth` writes it.
const EPISODE_VIDEO: &str = "video.mp4";

/// What a feature file is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// With frame times and where the features come from.
    Safetensors,
    /// As ProAssist's loader reads them.
    Arrow,
}

impl Format {
    /// Ending of the file's name.
    fn ending(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Arrow => "arrow",
        }
    }

    /// The format that a file of that name has.
    fn of(path: &Path) -> Option<Self> {
        [Self::Safetensors, Self::Arrow]
            .into_iter()
            .find(|format| path.extension().is_some_and(|e| e == format.ending()))
    }
}

/// One source and the feature file that it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Video, frame file or folder of pictures.
    pub source: PathBuf,
    /// Feature file.
    pub output: PathBuf,
}

/// The frames encoded per second, and the time that the rest will take if its sources are like
/// those so far.
pub struct Pace {
    left: usize,
    encoded: usize,
    frames: usize,
}

impl Pace {
    /// Nothing of so many encodings is done.
    pub fn new(encodings: usize) -> Self {
        Self {
            left: encodings,
            encoded: 0,
            frames: 0,
        }
    }

    /// Leaves out an encoding that is done already.
    pub fn skip(&mut self) {
        self.left -= 1;
    }

    /// Takes in a source's frames at a time since the beginning; gives a line for the person.
    pub fn done(&mut self, frames: usize, passed: Duration) -> String {
        self.left -= 1;
        self.encoded += 1;
        self.frames += frames;
        let passed_s = passed.as_secs_f64();
        let rate = self.frames as f64 / passed_s.max(1e-3);
        let left_s = passed_s / self.encoded as f64 * self.left as f64;
        format!(
            "{rate:.1} frames/s, about {} left",
            HumanDuration(Duration::from_secs_f64(left_s))
        )
    }
}

/// Plans which source goes to which file: one source to the feature file `output`, others into the
/// folder of that name.
///
/// # Errors
/// A folder cannot be read; several sources for one file.
pub fn plan(sources: &[PathBuf], output: &Path, format: Format) -> anyhow::Result<Vec<Encoding>> {
    let mut found = Vec::new();
    for source in sources {
        let inside = sources_in(source)?;
        if inside.is_empty() {
            found.push(source.clone())
        } else {
            found.extend(inside)
        }
    }
    if Format::of(output).is_some() {
        return match found.as_slice() {
            [source] => Ok(vec![Encoding {
                source: source.clone(),
                output: output.to_path_buf(),
            }]),
            _ => Err(Usage(format!(
                "{} sources do not fit into one file; -o has to be a folder",
                found.len()
            ))
            .into()),
        };
    }
    let mut by_output = BTreeMap::new();
    for source in found {
        let file = output.join(format!("{}.{}", id_of(&source), format.ending()));
        if let Some(other) = by_output.insert(file.clone(), source.clone()) {
            let (a, b) = (other.display(), source.display());
            return Err(Usage(format!(
                "{a} and {b} would both be written to {}",
                file.display()
            ))
            .into());
        }
    }
    Ok(by_output
        .into_iter()
        .map(|(output, source)| Encoding { source, output })
        .collect())
}

/// Videos of the episodes in a folder, or else the videos and frame files in it, sorted by name;
/// none when it is no such folder.
fn sources_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let own = folder.join(EPISODE_VIDEO);
    if own.is_file() {
        return Ok(vec![own]);
    }
    let (mut videos, mut files) = (Vec::new(), Vec::new());
    let name = || folder.display().to_string();
    for entry in std::fs::read_dir(folder).with_context(name)? {
        let path = entry.with_context(name)?.path();
        let video = path.join(EPISODE_VIDEO);
        let ending = path
            .extension()
            .map(|e| e.to_string_lossy().to_lowercase())
            .unwrap_or_default();
        if video.is_file() {
            videos.push(video);
        } else if path.is_file() && SOURCE_ENDINGS.contains(&ending.as_str()) {
            files.push(path);
        }
    }
    if videos.is_empty() {
        videos = files;
    }
    videos.sort();
    Ok(videos)
}

/// An episode is called by its folder, anything else by its own name.
fn id_of(source: &Path) -> String {
    let is_episode = source.file_name().is_some_and(|name| name == EPISODE_VIDEO);
    let named = if is_episode {
        source.parent().and_then(Path::file_name)
    } else {
        source.file_stem()
    };
    named.map_or_else(
        || "features".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Whether the file is there, whole, and from this encoder.
pub fn is_done(encoding: &Encoding, loaded: &OpenVision, fps: f64) -> bool {
    if !encoding.output.is_file() {
        return false;
    }
    let vision = &loaded.towers.vision;
    let wanted = vision.preprocess().name();
    let has = |f: &FeatureFile, side: &usize| f.grids.keys().any(|grid| grid.side() == *side);
    let fits = |f: &FeatureFile| vision.config().patch_grids.iter().all(|side| has(f, side));
    let found = read_features(&encoding.output, fps);
    found.is_ok_and(|f| {
        f.encoder_sha256 == loaded.sha256 && f.fps == fps && f.preprocess == wanted && fits(&f)
    })
}

/// Encodes one source; gives its number of frames.
///
/// # Errors
/// The source cannot be read, holds features, or has no frames; the vision model gives no features
/// that a file can keep; the file cannot be written.
pub fn encode(
    encoding: &Encoding,
    loaded: &OpenVision,
    fps: f64,
    batch: u16,
) -> anyhow::Result<usize> {
    let mut source = open(
        &encoding.source,
        &OpenOptions {
            fps,
            ..OpenOptions::default()
        },
    )?;
    let expected = source.duration().map(|d| (d.seconds() * fps).ceil() as u64);
    let bar = ProgressBar::new(expected.unwrap_or(0));
    let style = "{wide_bar} {pos}/{len} frames, {per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).context("progress bar")?);
    let mut rows = FeatureRows::new(loaded.towers.vision.config(), loaded.towers.width())?;
    let mut times = Vec::new();
    let mut waiting: Vec<Arc<Picture>> = Vec::new();
    loop {
        let next = source.next()?;
        if let Poll::Ready(Input::Frame(frame)) = &next {
            let Content::Picture(picture) = &frame.content else {
                bail!("holds features already")
            };
            waiting.push(picture.clone());
            times.push(frame.at.seconds());
        }
        let ended = matches!(next, Poll::End);
        if !waiting.is_empty() && (ended || waiting.len() == usize::from(batch)) {
            let pictures: Vec<(&[u8], u32, u32)> = waiting
                .iter()
                .map(|p| (p.rgb.as_slice(), p.width, p.height))
                .collect();
            let features = loaded.towers.vision.encode_batch(&pictures)?;
            features
                .chunks_exact(features.len() / waiting.len())
                .for_each(|frame| rows.push(frame));
            bar.inc(waiting.len() as u64);
            waiting.clear();
        }
        if ended {
            break;
        }
    }
    bar.finish_and_clear();
    if times.is_empty() {
        bail!("no frames");
    }
    if let Some(folder) = encoding
        .output
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let frames = times.len();
    let file = FeatureFile {
        encoder_sha256: loaded.sha256.clone(),
        preprocess: loaded.towers.vision.preprocess().name().into(),
        fps,
        at: Some(times),
        dim: rows.dim,
        cls: rows.cls,
        grids: rows.grids.into_iter().collect(),
    };
    match Format::of(&encoding.output) {
        Some(Format::Arrow) => write_arrow(&file, &encoding.output)?,
        _ => file.write(&encoding.output)?,
    }
    Ok(frames)
}

/// Features of all frames, split as the file keeps them.
struct FeatureRows {
    dim: usize,
    cls: Vec<f32>,
    grids: Vec<(Grid, Vec<f32>)>,
}

impl FeatureRows {
    /// The encoder gives the pooled token first, then each grid in the configuration's order.
    fn new(config: &VisionConfig, dim: usize) -> anyhow::Result<Self> {
        if !config.pool_head {
            bail!(
                "this vision model has no attention-pooling head, and a feature file needs its token"
            );
        }
        let grid = |side: &usize| {
            let known = Grid::ALL.into_iter().find(|grid| grid.side() == *side);
            known
                .map(|grid| (grid, Vec::new()))
                .with_context(|| format!("a feature file has no {side}x{side} grid"))
        };
        let grids = config
            .patch_grids
            .iter()
            .map(grid)
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            dim,
            cls: Vec::new(),
            grids,
        })
    }

    /// `[V,Dv]` of one frame.
    fn push(&mut self, features: &[f32]) {
        let (cls, mut rest) = features.split_at(self.dim);
        self.cls.extend_from_slice(cls);
        for (grid, values) in &mut self.grids {
            let (own, after) = rest.split_at(grid.vectors() * self.dim);
            values.extend_from_slice(own);
            rest = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn episodes_are_called_by_their_folders() {
        let dir = tempfile::tempdir().unwrap();
        for id in ["ep10", "ep9"] {
            std::fs::create_dir(dir.path().join(id)).unwrap();
            std::fs::write(dir.path().join(id).join(EPISODE_VIDEO), b"x").unwrap();
        }
        let encodings = plan(
            &[dir.path().to_path_buf(), "clip.mp4".into()],
            Path::new("out"),
            Format::Safetensors,
        )
        .unwrap();
        let outputs: Vec<_> = encodings
            .iter()
            .map(|p| p.output.to_string_lossy().into_owned())
            .collect();
        assert_eq!(
            outputs,
            [
                "out/clip.safetensors",
                "out/ep10.safetensors",
                "out/ep9.safetensors"
            ]
        );
        let one = plan(
            &[dir.path().join("ep9")],
            Path::new("x.safetensors"),
            Format::Safetensors,
        )
        .unwrap();
        assert_eq!(one[0].source, dir.path().join("ep9").join(EPISODE_VIDEO));
    }

    #[test]
    fn a_folder_of_videos_and_frame_files_is_taken_file_by_file() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.MP4", "a.arrow", "notes.txt"] {
            std::fs::write(dir.path().join(name), b"x").unwrap();
        }
        let encodings = plan(&[dir.path().to_path_buf()], Path::new("out"), Format::Arrow).unwrap();
        let outputs: Vec<_> = encodings
            .iter()
            .map(|p| p.output.to_string_lossy().into_owned())
            .collect();
        assert_eq!(outputs, ["out/a.arrow", "out/b.arrow"]);
    }

    #[test]
    fn outputs_never_overwrite_each_other() {
        let two = ["a/clip.mp4".into(), "b/clip.mp4".into()];
        assert!(
            plan(&two, Path::new("out"), Format::Arrow)
                .unwrap_err()
                .to_string()
                .contains("both")
        );
        assert!(
            plan(&two, Path::new("out.safetensors"), Format::Safetensors)
                .unwrap_err()
                .is::<Usage>()
        );
        assert!(
            plan(&two, Path::new("out.arrow"), Format::Safetensors)
                .unwrap_err()
                .is::<Usage>()
        );
    }
}
