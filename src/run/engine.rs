//! A run from its settings to its figures: load the model, open the source, drive, close.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::drive::{Drive, Ended, Labels, Reopen};
use super::load::{self, Loaded};
use super::options::RunOptions;
use super::outputs::{self, Face};
use super::pace::Pace;
use super::plain::Figures;
use super::process::MemoryGauge;
use super::recording::{self, FileIdentity, Recorder, SessionFile, SnapshotVideos};
use super::resume::Past;
use super::settings::Settings;
use super::stop::Usage;
use super::timing::{Lines, Shared};
use super::tokens::TokenFile;
use crate::dialogue::task::Task;
use crate::error::Result;
use crate::model::reuse::Reusing;
use crate::session::{Session, SessionConfig, Status};
use crate::stream::{Sink, Source};
use crate::tui::{self, Board, Controls, SourceKind};
use crate::units::{FrameIdx, MediaTime};

/// Opens the source once the model is known; again, when the person goes to another place in it. A
/// camera's times and frame numbers go on from those given.
pub type Open = Box<
    dyn Fn(&Settings, &Loaded, Option<(MediaTime, FrameIdx)>) -> anyhow::Result<Box<dyn Source>>
        + Send,
>;

/// Where the frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file or folder.
    Recording(PathBuf),
    /// A camera, by its name.
    #[cfg(feature = "camera")]
    Camera(String),
}

impl Origin {
    /// For the header: no path, which can tell of the person.
    pub fn name(&self) -> String {
        match self {
            Self::Recording(path) => name_of(path),
            #[cfg(feature = "camera")]
            Self::Camera(name) => name.clone(),
        }
    }

    /// It plays once, by the clock.
    fn is_live(&self) -> bool {
        match self {
            Self::Recording(_) => false,
            #[cfg(feature = "camera")]
            Self::Camera(_) => true,
        }
    }

    /// For a recorded session; nothing can be hashed of a camera.
    ///
    /// # Errors
    /// The recording cannot be read.
    pub fn used(&self) -> Result<FileIdentity> {
        let sha256 = match self {
            Self::Recording(path) => recording::source_sha256(path)?,
            #[cfg(feature = "camera")]
            Self::Camera(_) => String::new(),
        };
        Ok(FileIdentity {
            name: self.name(),
            sha256,
        })
    }
}

/// Seconds of a recorded session between two lines about the gates.
pub const GATE_LINES_EVERY_S: f64 = 15.0;

/// What is to be run.
pub struct Job {
    /// For the header.
    pub source_kind: SourceKind,
    /// The recording or camera.
    pub origin: Origin,
    /// The assistant file.
    pub model: PathBuf,
    /// Makes the source.
    pub open: Open,
    /// What else the run reads, and what it writes.
    pub options: RunOptions,
    /// What the settings' file, overrides and defaults come to.
    pub settings: Settings,
    /// The source keeps to the clock by itself.
    pub realtime: bool,
    /// Playing speed on the screen; lines of text never wait.
    pub screen_speed: Option<f64>,
    /// When the program began.
    pub started: Instant,
}

/// Loads the model, opens the source, and plays it to its end. Events go to the files that
/// [`RunOptions`] names and to `face`; `board`, `controls` and `meter` are shared with whoever
/// shows the run.
///
/// # Errors
/// Whatever stopped the run.
pub fn drive<W: Write>(
    mut job: Job,
    board: Option<Arc<Board>>,
    controls: &Arc<Controls>,
    meter: &Shared,
    face: &mut Face<W>,
) -> anyhow::Result<Figures> {
    let begun = Instant::now();
    let source_name = job.origin.name();
    if let Some(board) = &board {
        board.vitals(tui::Vitals {
            source_kind: job.source_kind,
            source: source_name.clone(),
            ..tui::Vitals::default()
        });
    }
    let options = &job.options;
    if options.save_frames && options.record.is_none() && options.resume.is_none() {
        return Err(Usage(
            "--save-frames keeps them in a recorded session; name it by --record DIR".into(),
        )
        .into());
    }
    if let Some(folder) = &options.record {
        recording::check_free(folder)?;
    }
    let open = |folder: &PathBuf| {
        Past::open(
            folder,
            &job.origin,
            options.save_frames,
            options.fps,
            &mut job.settings,
        )
    };
    let past = options.resume.as_ref().map(open).transpose()?;
    let task = match &past {
        Some(past) => past.recorded.task.clone(),
        None => options.task.as_deref().map(Task::read).transpose()?,
    };
    let loaded = load::open(&job.model, options.vision.as_deref(), meter)?;
    let mut source = (job.open)(&job.settings, &loaded, past.as_ref().map(Past::behind))?;
    let config = loaded.session_config(&job.settings);
    let vision = loaded
        .vision
        .clone()
        .map(|vision| Arc::new(Reusing::new(vision, job.settings.reuse, config.fps)));
    let mut session = Session::new(
        vision,
        loaded.assistant.clone(),
        loaded.codec.clone(),
        task.clone(),
        config.clone(),
    )?;
    let (recorder, behind) = match past {
        Some(past) => {
            let mut seen = Vec::new();
            // A recording is played up to the break; a camera goes on from it by itself.
            if !job.origin.is_live() {
                if let Some(board) = &board {
                    board.note("goes to the place where the session was broken off");
                }
                let (rest, before) = past.rest_of(source, config.frames_kept, controls)?;
                (source, seen) = (Box::new(rest), before);
            }
            session.resume(&past.recorded.events, &seen)?;
            (Some(past.recorder), past.recorded.events)
        }
        None => {
            let about = |folder: &PathBuf| -> anyhow::Result<Recorder> {
                let duration_s = source.duration().map(|d| d.seconds());
                let machine = (device(&job), loaded.quantization.clone());
                let about = about(
                    &job.model,
                    &job.origin,
                    duration_s,
                    machine,
                    config.clone(),
                    &session.status(),
                )?;
                Ok(Recorder::create(
                    folder,
                    &about,
                    task.as_ref(),
                    options.save_frames,
                )?)
            };
            (options.record.as_ref().map(about).transpose()?, Vec::new())
        }
    };
    if let Face::Lines(plain) = &mut *face {
        let model = job.model.file_name().unwrap_or_default().to_string_lossy();
        plain.note(&format!(
            "proact {}: {source_name} with {model}",
            env!("CARGO_PKG_VERSION")
        ))?;
    }
    let (mut outputs, speaker) =
        outputs::open(options, recorder.as_ref(), &behind, face, controls)?;
    let tokens = options
        .tokens
        .as_deref()
        .map(TokenFile::create)
        .transpose()?;
    if let Some(tokens) = &tokens {
        session.set_tap(tokens.tap());
    }
    let mut timing: Vec<Lines> = options
        .timing
        .as_deref()
        .map(Lines::create)
        .transpose()?
        .into_iter()
        .collect();
    if let Some(recorder) = &recorder {
        timing.push(recorder.timing()?);
    }
    let reopen: Reopen = Box::new(|| (job.open)(&job.settings, &loaded, None));
    let mut run = Drive {
        controls: controls.clone(),
        pace: if job.realtime {
            Pace::live()
        } else {
            Pace::new(board.as_ref().and(job.screen_speed))
        },
        videos: SnapshotVideos::default(),
        board,
        meter: meter.clone(),
        memory: MemoryGauge::default(),
        labels: Labels {
            source_kind: job.source_kind,
            source_name,
            device: device(&job),
            quantization: loaded.quantization.clone(),
        },
        timing,
        recorder,
        started: job.started,
        ready_s: None,
        ended: None,
        // What keeps to the clock by itself cannot be seen twice.
        reopen: (!job.realtime).then_some(reopen),
        speaker,
        held: None,
        pass: 0,
        run_on: None,
    };
    let ended = run.run(&mut source, &mut session, &mut outputs);
    // Whatever happened, what was told so far reaches the disk.
    let closed = outputs
        .close()
        .and(tokens.map_or(Ok(()), |tokens| tokens.close()));
    let ended = ended?;
    closed?;
    let status = session.status();
    Ok(Figures {
        stopped: ended == Ended::Quit,
        memory_tokens: status.memory_tokens,
        memory_capacity: status.memory_capacity,
        ready_s: run.ready_s.unwrap_or_default(),
        wall_s: run
            .ended
            .map_or_else(|| begun.elapsed(), |ended| ended - begun)
            .as_secs_f64(),
    })
}

/// What a recorded session says of itself.
fn about(
    model: &Path,
    source: &Origin,
    duration_s: Option<f64>,
    (device, quantization): (String, String),
    session: SessionConfig,
    status: &Status,
) -> Result<SessionFile> {
    Ok(SessionFile {
        schema: recording::SCHEMA,
        proact: env!("CARGO_PKG_VERSION").into(),
        source: source.used()?,
        duration_s,
        model: FileIdentity {
            name: name_of(model),
            sha256: session.model_sha256.clone(),
        },
        vision_sha256: session.vision_sha256.clone(),
        memory_capacity: status.memory_capacity,
        memory_reset: status.memory_reset,
        device,
        quantization,
        session,
    })
}

/// What computes, for the screen.
fn device(job: &Job) -> String {
    match load::threads_for(job.settings.threads, &job.model) {
        0 => format!(
            "CPU, {} threads",
            thread::available_parallelism().map_or(1, usize::from)
        ),
        1 => "CPU, 1 thread".to_owned(),
        n => format!("CPU, {n} threads"),
    }
}

/// What the header calls a source: the name, not the path.
pub fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}
