//! `proact encode`: frames to features, once; training and replay then skip the encoder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use super::locate;
use proact::features::{FeatureFile, Grid};
use proact::model::Perceiver;
use proact::model::config::VisionConfig;
use proact::model::open::{OpenVision, open_vision, vision_of};
use proact::model::preprocess::Preprocess;
use proact::run::load;
use proact::run::settings::{self, Settings};
use proact::run::stop::Usage;
use proact::sources::OpenOptions;
use proact::stream::{Content, Input, Picture, Poll};
use proact_lab::proassist::open::{open, read_features};

/// Endings of what a folder of sources can hold besides episodes.
const SOURCE_ENDINGS: [&str; 8] = ["mp4", "mov", "m4v", "mkv", "avi", "webm", "mpeg", "arrow"];

/// Name of the video in an episode's folder, as `proact synth` writes it.
const EPISODE_VIDEO: &str = "video.mp4";

/// Turns frames into features, so that they need not be encoded again.
///
/// One SOURCE is written to the file FILE.safetensors (or FILE.arrow); several, or a folder of
/// episodes DIR/ID/video.mp4 (as `proact synth` writes them), of videos or of ProAssist's frame
/// files (Arrow, base64 JPEG), go to the folder -o as ID.safetensors. What is there already and was
/// made by the same encoder at the same rate is left alone, so an interrupted run goes on where it
/// was; each file is written whole or not at all.
///
/// Examples:
///   proact encode clip.mp4 -o clip.safetensors
///   proact encode frames/ -o features/ --format arrow --preprocess proassist --grids 2x2,3x3
///   proact encode episodes/ -o features/
///   proact encode episodes/ -o features/ --shard 0/4     (and 1/4, 2/4, 3/4 on other machines)
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Videos, frame files, folders of pictures, or folders of episodes, videos or frame files
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<PathBuf>,

    /// Feature file for one source, otherwise a folder
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Vision model (GGUF) [default: the one that ships]
    #[arg(long, value_name = "FILE")]
    vision: Option<PathBuf>,

    /// Frames to look at per second of the recording [default: 2]
    #[arg(long, value_name = "N")]
    fps: Option<f64>,

    /// Pooled patches beside the attention-pooled token: 2x2, 3x3, 5x5 [default: what the vision
    /// file says]
    #[arg(long, value_name = "GRID", value_delimiter = ',', value_parser = parse_grid)]
    grids: Option<Vec<Grid>>,

    /// How a picture becomes a square: stretched (siglip), or covered and cut (proassist)
    #[arg(long, value_enum, default_value_t = Mode::Siglip)]
    preprocess: Mode,

    /// Kind of the files in a folder -o
    #[arg(long, value_enum, default_value_t = Format::Safetensors)]
    format: Format,

    /// Pictures encoded in one pass
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch: u16,

    /// Take only every n-th source, beginning with number i: one share of the work
    #[arg(long, value_name = "I/N", value_parser = Shard::parse)]
    shard: Option<Shard>,

    /// Threads of the arithmetic; 0 is one a core [default: 0]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// How a picture becomes a square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// Bicubic, the aspect ratio not kept: SigLIP's own processor
    Siglip,
    /// Covers the square, its middle cut out: ProAssist's frame extractor
    Proassist,
}

impl From<Mode> for Preprocess {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Siglip => Self::Siglip,
            Mode::Proassist => Self::Proassist,
        }
    }
}

/// What a feature file is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// With frame times and where the features come from
    Safetensors,
    /// As ProAssist's loader reads them
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

    /// What a file of that name is.
    fn of(path: &Path) -> Option<Self> {
        [Self::Safetensors, Self::Arrow]
            .into_iter()
            .find(|format| path.extension().is_some_and(|e| e == format.ending()))
    }
}

fn parse_grid(text: &str) -> Result<Grid, String> {
    Grid::ALL
        .into_iter()
        .find(|grid| grid.name() == text)
        .ok_or_else(|| "expected 2x2, 3x3 or 5x5".into())
}

/// Share `i` of `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    fn parse(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((index, count)) if index < count => Ok(Self { index, count }),
            _ => Err("expected I/N with I from 0 to N-1, for example 0/4".into()),
        }
    }
}

/// One source and its feature file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    source: PathBuf,
    output: PathBuf,
}

/// Encodes.
///
/// # Errors
/// The model or a source cannot be opened, or a file cannot be written.
pub fn run(args: Args) -> anyhow::Result<()> {
    let flags = settings::Flags {
        fps: args.fps,
        threads: args.threads,
        ..settings::Flags::default()
    };
    let settings = Settings::resolve(flags)?;
    load::set_threads(settings.threads);
    let pieces = plan(&args.sources, &args.output, args.format)?;
    let all = pieces.len();
    let pieces: Vec<Piece> = match args.shard {
        Some(Shard { index, count }) => pieces.into_iter().skip(index).step_by(count).collect(),
        None => pieces,
    };
    let vision = match args.vision {
        Some(path) => path,
        None => vision_of(&locate::demo()?.assistant)?,
    };
    let mut loaded = open_vision(&vision)?;
    loaded.towers.vision = loaded.towers.vision.with_preprocess(args.preprocess.into());
    if let Some(grids) = &args.grids {
        let sides: std::collections::BTreeSet<usize> =
            grids.iter().map(|grid| grid.side()).collect();
        loaded.towers.vision = loaded
            .towers
            .vision
            .with_patch_grids(sides.into_iter().collect())?;
    }
    let mut pace = Pace::new(pieces.len());
    println!(
        "{} of {all} sources, {} frames/s, {}",
        pieces.len(),
        settings.fps,
        vision.display()
    );
    for (i, piece) in pieces.iter().enumerate() {
        let lead = format!("{:>4}/{} {}", i + 1, pieces.len(), piece.output.display());
        if is_done(piece, &loaded, settings.fps) {
            println!("{lead}: there already");
            pace.skip();
            continue;
        }
        let frames = encode(piece, &loaded, settings.fps, args.batch)
            .with_context(|| piece.source.display().to_string())?;
        println!("{lead}: {frames} frames, {}", pace.done(frames));
    }
    Ok(())
}

/// How fast it goes, and how long the rest will take if its sources are like those so far.
struct Pace {
    begun: Instant,
    left: usize,
    encoded: usize,
    frames: usize,
}

impl Pace {
    fn new(pieces: usize) -> Self {
        Self {
            begun: Instant::now(),
            left: pieces,
            encoded: 0,
            frames: 0,
        }
    }

    fn skip(&mut self) {
        self.left -= 1;
    }

    /// Takes in a source's frames; what to say about it.
    fn done(&mut self, frames: usize) -> String {
        self.left -= 1;
        self.encoded += 1;
        self.frames += frames;
        let passed_s = self.begun.elapsed().as_secs_f64();
        let rate = self.frames as f64 / passed_s.max(1e-3);
        let left_s = passed_s / self.encoded as f64 * self.left as f64;
        format!(
            "{rate:.1} frames/s, about {} left",
            HumanDuration(Duration::from_secs_f64(left_s))
        )
    }
}

/// Which source goes to which file.
fn plan(sources: &[PathBuf], output: &Path, format: Format) -> anyhow::Result<Vec<Piece>> {
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
            [source] => Ok(vec![Piece {
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
        .map(|(output, source)| Piece { source, output })
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

/// The file is there, whole, and from this encoder.
fn is_done(piece: &Piece, loaded: &OpenVision, fps: f64) -> bool {
    if !piece.output.is_file() {
        return false;
    }
    let vision = &loaded.towers.vision;
    let wanted = vision.preprocess().name();
    let has = |f: &FeatureFile, side: &usize| f.grids.keys().any(|grid| grid.side() == *side);
    let fits = |f: &FeatureFile| vision.config().patch_grids.iter().all(|side| has(f, side));
    let found = read_features(&piece.output, fps);
    found.is_ok_and(|f| {
        f.encoder_sha256 == loaded.sha256 && f.fps == fps && f.preprocess == wanted && fits(&f)
    })
}

/// Encodes one source; gives its number of frames.
fn encode(piece: &Piece, loaded: &OpenVision, fps: f64, batch: u16) -> anyhow::Result<usize> {
    let mut source = open(
        &piece.source,
        &OpenOptions {
            fps,
            ..OpenOptions::default()
        },
    )?;
    let expected = source.duration().map(|d| (d.seconds() * fps).ceil() as u64);
    let bar = ProgressBar::new(expected.unwrap_or(0));
    let style = "{wide_bar} {pos}/{len} frames, {per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).context("progress bar")?);
    let mut rows = Rows::new(loaded.towers.vision.config(), loaded.towers.width())?;
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
    if let Some(folder) = piece
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
    match Format::of(&piece.output) {
        Some(Format::Arrow) => proact_lab::proassist::write_arrow(&file, &piece.output)?,
        _ => file.write(&piece.output)?,
    }
    Ok(frames)
}

/// Features of all frames, split as the file keeps them.
struct Rows {
    dim: usize,
    cls: Vec<f32>,
    grids: Vec<(Grid, Vec<f32>)>,
}

impl Rows {
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
    fn a_shard_is_one_share_of_the_work() {
        assert_eq!(Shard::parse("1/4"), Ok(Shard { index: 1, count: 4 }));
        for bad in ["4/4", "1", "-1/4", "0/0", "1/4/2", ""] {
            assert!(Shard::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn episodes_are_called_by_their_folders() {
        let dir = tempfile::tempdir().unwrap();
        for id in ["ep10", "ep9"] {
            std::fs::create_dir(dir.path().join(id)).unwrap();
            std::fs::write(dir.path().join(id).join(EPISODE_VIDEO), b"x").unwrap();
        }
        let pieces = plan(
            &[dir.path().to_path_buf(), "clip.mp4".into()],
            Path::new("out"),
            Format::Safetensors,
        )
        .unwrap();
        let outputs: Vec<_> = pieces
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
        let pieces = plan(&[dir.path().to_path_buf()], Path::new("out"), Format::Arrow).unwrap();
        let outputs: Vec<_> = pieces
            .iter()
            .map(|p| p.output.to_string_lossy().into_owned())
            .collect();
        assert_eq!(outputs, ["out/a.arrow", "out/b.arrow"]);
        assert_eq!(parse_grid("3x3"), Ok(Grid::Three));
        assert!(parse_grid("4x4").is_err());
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
