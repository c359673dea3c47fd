//! `proact encode`: frames to features, once; training and replay then skip the encoder.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;

use super::locate;
use proact::features::Grid;
use proact::model::open::{open_vision, vision_of};
use proact::model::preprocess::Preprocess;
use proact::run::load;
use proact::run::settings::{self, Settings};
use proact_lab::encode::{Encoding, Format, Pace, encode, is_done, plan};

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
    #[arg(long, value_enum, default_value_t = FormatWord::Safetensors)]
    format: FormatWord,

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
enum FormatWord {
    /// With frame times and where the features come from
    Safetensors,
    /// As ProAssist's loader reads them
    Arrow,
}

impl From<FormatWord> for Format {
    fn from(word: FormatWord) -> Self {
        match word {
            FormatWord::Safetensors => Self::Safetensors,
            FormatWord::Arrow => Self::Arrow,
        }
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

/// Encodes.
///
/// # Errors
/// The model or a source cannot be opened, or a file cannot be written.
pub fn run(args: Args) -> anyhow::Result<()> {
    let flags = settings::Overrides {
        fps: args.fps,
        threads: args.threads,
        ..settings::Overrides::default()
    };
    let settings = Settings::resolve(flags)?;
    load::set_threads(settings.threads);
    let encodings = plan(&args.sources, &args.output, args.format.into())?;
    let all = encodings.len();
    let encodings: Vec<Encoding> = match args.shard {
        Some(Shard { index, count }) => encodings.into_iter().skip(index).step_by(count).collect(),
        None => encodings,
    };
    let vision = match args.vision {
        Some(path) => path,
        None => vision_of(&locate::demo()?.assistant)?,
    };
    let mut loaded = open_vision(&vision)?;
    loaded.towers.vision = loaded.towers.vision.with_preprocess(args.preprocess.into());
    if let Some(grids) = &args.grids {
        let sides: BTreeSet<usize> = grids.iter().map(|grid| grid.side()).collect();
        loaded.towers.vision = loaded
            .towers
            .vision
            .with_patch_grids(sides.into_iter().collect())?;
    }
    let begun = Instant::now();
    let mut pace = Pace::new(encodings.len());
    println!(
        "{} of {all} sources, {} frames/s, {}",
        encodings.len(),
        settings.fps,
        vision.display()
    );
    for (i, encoding) in encodings.iter().enumerate() {
        let lead = format!(
            "{:>4}/{} {}",
            i + 1,
            encodings.len(),
            encoding.output.display()
        );
        if is_done(encoding, &loaded, settings.fps) {
            println!("{lead}: there already");
            pace.skip();
            continue;
        }
        let frames = encode(encoding, &loaded, settings.fps, args.batch)
            .with_context(|| encoding.source.display().to_string())?;
        println!(
            "{lead}: {frames} frames, {}",
            pace.done(frames, begun.elapsed())
        );
    }
    Ok(())
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
    fn a_grid_is_read_strictly() {
        assert_eq!(parse_grid("3x3"), Ok(Grid::Three));
        assert!(parse_grid("4x4").is_err());
    }
}
