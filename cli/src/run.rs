//! `proact run` watches a task through a camera, for hours.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::flags::RunFlags;
use super::locate;
use super::screen;
use proact::run::engine::{Job, SourceId};
use proact::run::recording::RecordingSource;
use proact::run::settings::Settings;
use proact::sources::camera::{
    Backend, CameraRequest, CameraSource, CameraThreads, Choice, Clock, ListedCamera, Mounting,
    Native, PixelLayout, Starter,
};
use proact::sources::{self, Merged};
use proact::stream::Source;
use proact::tui::SourceKind;

/// Time between two looks at a camera that is being opened.
const NAP: Duration = Duration::from_millis(10);

/// Watches a task through a camera.
///
/// Without --camera the first one that sends pictures is used; `proact cameras` lists them. A
/// camera that is unplugged, taken by another program or asleep is looked for until it is back.
/// Pausing closes it. Without --model the model that ships is used.
///
/// Examples:
///   proact run --task task.toml
///   proact run --camera 2 --task task.toml --headless --events events.jsonl
///   proact run --camera "USB Cam" --rotate 180 --record-video seen.mp4
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    camera: CameraFlags,

    /// Record what the model saw as MP4, with its times; replaying it gives the same decisions
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    record_video: Option<PathBuf>,

    #[command(flatten)]
    flags: RunFlags,
}

/// Flags that say which camera is used, and how it is mounted.
#[derive(clap::Args, Clone, Debug)]
pub struct CameraFlags {
    /// Camera: its number, its file, or a part of its name [default: the first that sends pictures]
    #[arg(long, value_name = "INDEX|PATH|NAME", help_heading = "Camera")]
    camera: Option<String>,

    /// Size of the pictures; the nearest that the camera has [default: 640x480]
    #[arg(long, value_name = "WxH", help_heading = "Camera", value_parser = super::synth::parse_size)]
    size: Option<(u32, u32)>,

    /// Frames a second of the camera; the nearest that it has [default: 30]
    #[arg(long, value_name = "N", help_heading = "Camera", value_parser = clap::value_parser!(u32).range(1..=240))]
    camera_fps: Option<u32>,

    /// Layout of the pixels: mjpeg, yuyv, nv12, rgb, bgr or gray [default: what costs least]
    #[arg(long, value_name = "LAYOUT", help_heading = "Camera", value_parser = parse_pixels)]
    pixels: Option<PixelLayout>,

    /// Swap left and right
    #[arg(long, help_heading = "Camera")]
    mirror: bool,

    /// Turn the picture to the right by so many degrees
    #[arg(long, value_name = "DEGREES", help_heading = "Camera", default_value = "0", value_parser = ["0", "90", "180", "270"])]
    rotate: String,
}

impl CameraFlags {
    /// The camera and the format that the flags ask for.
    pub fn wanted(&self) -> CameraRequest {
        let default = CameraRequest::default();
        CameraRequest {
            choice: self.camera.as_deref().map_or(Choice::First, Choice::parse),
            size: self.size.unwrap_or(default.size),
            fps: self.camera_fps.unwrap_or(default.fps),
            pixels: self.pixels,
        }
    }

    /// How the camera is mounted.
    pub fn mounting(&self) -> Mounting {
        Mounting {
            mirror: self.mirror,
            quarters: self
                .rotate
                .parse::<u16>()
                .map_or(0, |degrees| (degrees / 90) as u8),
        }
    }
}

/// Reads `--pixels`.
fn parse_pixels(text: &str) -> Result<PixelLayout, String> {
    let named = PixelLayout::ALL
        .into_iter()
        .find(|pixels| pixels.word().eq_ignore_ascii_case(text));
    named.ok_or_else(|| format!("`{text}`: expected mjpeg, yuyv, nv12, rgb, bgr or gray"))
}

/// Counts seconds from now. They pass while the machine sleeps too, so that a camera is known to be
/// stale when the machine wakes up.
pub fn clock() -> Clock {
    #[cfg(unix)]
    {
        // On Apple's systems the monotonic clock goes on in sleep, on Linux it does not.
        #[cfg(target_os = "linux")]
        const SLEEPLESS: rustix::time::ClockId = rustix::time::ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        const SLEEPLESS: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
        let now_s = || {
            let now = rustix::time::clock_gettime(SLEEPLESS);
            now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
        };
        let start_s = now_s();
        Arc::new(move || now_s() - start_s)
    }
    #[cfg(not(unix))]
    {
        let start = Instant::now();
        Arc::new(move || start.elapsed().as_secs_f64())
    }
}

/// The first camera that fits and sends pictures.
///
/// # Errors
/// No camera fits.
pub fn find(backend: &dyn Backend, wanted: &CameraRequest) -> anyhow::Result<ListedCamera> {
    let found = backend.list()?;
    let fitting = wanted.choice.among(&found)?;
    let sends = |camera: &&&ListedCamera| {
        backend
            .formats(camera)
            .is_ok_and(|formats| !formats.is_empty())
    };
    // A camera that cannot be asked now may answer later; opening it gives the reason if not.
    Ok((*fitting
        .iter()
        .find(sends)
        .or(fitting.first())
        .ok_or_else(|| anyhow!("no camera"))?)
    .clone())
}

/// Opens a camera, and waits until its device is open.
///
/// # Errors
/// The device cannot be opened.
pub fn open(
    camera: &ListedCamera,
    flags: &CameraFlags,
    settings: &Settings,
    clock: Clock,
) -> anyhow::Result<CameraSource> {
    let wanted = CameraRequest {
        choice: Choice::Index(camera.index),
        ..flags.wanted()
    };
    let mut threads = CameraThreads::new(Arc::new(Native), wanted, settings.camera, clock.clone());
    threads.settle_on(camera.clone());
    let source = CameraSource::new(
        Box::new(threads),
        settings.fps,
        settings.camera,
        flags.mounting(),
        clock,
    )?;
    loop {
        match source.first_word() {
            Some(Ok(format)) => {
                tracing::info!("{}: {format}", camera.name);
                return Ok(source);
            }
            Some(Err(fault)) => return Err(fault.into()),
            None => sleep(NAP),
        }
    }
}

/// Watches the task.
///
/// # Errors
/// The camera cannot be opened or is lost for good, or the run fails.
pub fn run(args: Args) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut flags = args.flags;
    let settings = Settings::resolve(flags.settings())?;
    let model = locate::assistant(&mut flags)?;
    let camera = find(&Native, &args.camera.wanted())?;
    let (input, video, name) = (flags.input.clone(), args.record_video, camera.name.clone());
    let job = Job {
        source_kind: SourceKind::Live,
        source: SourceId::Camera(name),
        model,
        open: Box::new(move |settings, _, behind| {
            let mut source = open(&camera, &args.camera, settings, clock())?;
            if let Some((last_at, next_idx)) = behind {
                source = source.going_on(last_at, next_idx);
            }
            let mut source: Box<dyn Source> = Box::new(source);
            if let Some(path) = &video {
                source = Box::new(RecordingSource::new(source, path, settings.fps)?);
            }
            let Some(input) = &input else {
                return Ok(source);
            };
            Ok(Box::new(Merged::new(source, sources::read_inputs(input)?)))
        }),
        realtime: true,
        screen_speed: None,
        options: flags.options(),
        settings,
        started,
    };
    screen::run(job, flags.headless)
}
