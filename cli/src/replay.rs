//! `proact replay` plays a recording instead of a camera. The same input gives the same event log.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::flags::RunFlags;
use super::locate;
use super::screen;
use proact::run::engine::{Job, SourceId};
use proact::run::load::Loaded;
use proact::run::settings::Settings;
use proact::sources::{self, Blind, Merged, OpenOptions, Paced};
use proact::stream::Source;
use proact::tui::SourceKind;

/// With --realtime a frame that is this much too late is dropped, in seconds: a camera would have
/// overwritten it.
const LATE_S: f64 = 1.0;

/// Plays a recording through the model.
///
/// SOURCE is an MP4 file, a folder of pictures (in natural order), or a feature file (safetensors,
/// or ProAssist's Arrow); anything else goes through `ffmpeg` where there is one.
/// Without --model the model that ships is used.
///
/// Examples:
///   proact replay clip.mp4 --task task.toml
///   proact replay clip.mp4 --task task.toml --headless --events events.jsonl --vtt said.vtt
///   proact replay frames/ --fps 1 --realtime
///   proact replay features.safetensors --input words.jsonl
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Video, folder of pictures, or feature file
    #[arg(value_name = "SOURCE")]
    source: PathBuf,

    /// Keep to the clock as a camera does: late frames are dropped, and the log says so
    #[arg(long, help_heading = "Behaviour", conflicts_with_all = ["speed", "resume"])]
    realtime: bool,

    /// Playing speed on the screen, relative to the recording; otherwise as fast as it goes
    #[arg(long, value_name = "X", help_heading = "Behaviour")]
    speed: Option<f64>,

    /// Rate at which a folder's pictures were taken; otherwise every picture is a frame
    #[arg(long, value_name = "N", help_heading = "Behaviour")]
    images_fps: Option<f64>,

    /// Show the model nothing: every frame's features are zeros. Tells what it knows without
    /// looking
    #[arg(long, help_heading = "Behaviour")]
    blind: bool,

    #[command(flatten)]
    flags: RunFlags,
}

/// Plays a recording.
///
/// # Errors
/// The source cannot be opened, or the run fails.
pub fn run(args: Args) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut flags = args.flags;
    let settings = Settings::resolve(flags.settings())?;
    if let Some(speed) = args.speed.filter(|s| !(s.is_finite() && *s > 0.0)) {
        anyhow::bail!("--speed {speed}: expected a number above 0");
    }
    let model = locate::assistant(&mut flags)?;
    let (input, source) = (flags.input.clone(), args.source);
    let job = Job {
        source_kind: SourceKind::Replay,
        source: SourceId::Recording(source.clone()),
        model,
        open: Box::new(move |settings, loaded, _| {
            let mut opened = open_at(&source, args.images_fps, input.as_deref(), settings, loaded)?;
            if args.blind {
                opened = Box::new(Blind::new(opened, loaded.frame_width));
            }
            if !args.realtime {
                return Ok(opened);
            }
            let start = Instant::now();
            Ok(Box::new(Paced::new(opened, LATE_S, move || {
                start.elapsed().as_secs_f64()
            })))
        }),
        realtime: args.realtime,
        screen_speed: args.speed,
        options: flags.options(),
        settings,
        started,
    };
    screen::run(job, flags.headless)
}

/// Opens a recording, with the person's words among its frames.
///
/// # Errors
/// The source or the words cannot be read.
pub fn open(
    path: &Path,
    input: Option<&Path>,
    settings: &Settings,
    loaded: &Loaded,
) -> anyhow::Result<Box<dyn Source>> {
    open_at(path, None, input, settings, loaded)
}

fn open_at(
    path: &Path,
    images_fps: Option<f64>,
    input: Option<&Path>,
    settings: &Settings,
    loaded: &Loaded,
) -> anyhow::Result<Box<dyn Source>> {
    let options = OpenOptions {
        fps: settings.fps,
        images_fps,
        tokens_per_frame: loaded.config.tokens_per_frame,
    };
    let source = proact_lab::proassist::open::open(path, &options)?;
    let Some(input) = input else {
        return Ok(source);
    };
    Ok(Box::new(Merged::new(source, sources::read_inputs(input)?)))
}
