//! A whole run: it loads the model, opens the source, drives the session to the end, closes the
//! files and gives the figures of the summary.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::drive::{Drive, Ended, Labels, Reopen};
use super::json_lines::JsonLines;
use super::load::{self, Loaded};
use super::options::RunOptions;
use super::outputs::{self, Face};
use super::pace::Pace;
use super::plain::Figures;
use super::process::MemoryGauge;
use super::recording::{self, FileIdentity, Recorder, SessionFile, SnapshotVideos};
use super::resume::ResumedSession;
use super::settings::Settings;
use super::stop::Usage;
use super::timing::SharedMeter;
use super::tokens::TokenFile;
use crate::dialogue::task::Task;
use crate::error::Result;
use crate::model::reuse::Reusing;
use crate::session::{Session, SessionConfig, Status};
use crate::stream::{Sink, Source};
use crate::tui::{self, Board, Controls, SourceKind};
use crate::units::{FrameIdx, MediaTime};

/// Opens the source once the model is known, and again when the person goes to another place in it.
/// The times and frame numbers of a camera go on from those that are given.
pub type Open = Box<
    dyn Fn(&Settings, &Loaded, Option<(MediaTime, FrameIdx)>) -> anyhow::Result<Box<dyn Source>>
        + Send,
>;

/// Where the frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceId {
    /// A file or folder.
    Recording(PathBuf),
    /// A camera, by its name.
    #[cfg(feature = "camera")]
    Camera(String),
}

impl SourceId {
    /// The name for the header, without the path, which can tell something about the person.
    pub fn name(&self) -> String {
        match self {
            Self::Recording(path) => name_of(path),
            #[cfg(feature = "camera")]
            Self::Camera(name) => name.clone(),
        }
    }

    /// Whether the source plays once, by the clock.
    fn is_live(&self) -> bool {
        match self {
            Self::Recording(_) => false,
            #[cfg(feature = "camera")]
            Self::Camera(_) => true,
        }
    }

    /// Name and hash for a recorded session. A camera has no hash.
    ///
    /// # Errors
    /// The recording cannot be read.
    pub fn identity(&self) -> Result<FileIdentity> {
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
    pub source: SourceId,
    /// The assistant file.
    pub model: PathBuf,
    /// Opens the source.
    pub open: Open,
    /// What else the run reads, and what it writes.
    pub options: RunOptions,
    /// The settings, complete.
    pub settings: Settings,
    /// Whether the source keeps to the clock by itself.
    pub realtime: bool,
    /// Playing speed on the screen; lines of text never wait.
    pub screen_speed: Option<f64>,
    /// When the program began.
    pub started: Instant,
}

/// Loads the model, opens the source, and plays it to its end. Events go to the files that
/// [`RunOptions`] names and to `face`. The screen of the run shares `board`, `controls` and
/// `meter`.
///
/// # Errors
/// Whatever stopped the run.
pub fn drive<W: Write>(
    mut job: Job,
    board: Option<Arc<Board>>,
    controls: &Arc<Controls>,
    meter: &SharedMeter,
    face: &mut Face<W>,
) -> anyhow::Result<Figures> {
    let begun = Instant::now();
    let source_name = job.source.name();
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
        ResumedSession::open(
            folder,
            &job.source,
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
    let mut source = (job.open)(
        &job.settings,
        &loaded,
        past.as_ref().map(ResumedSession::behind),
    )?;
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
            // A recording is decoded up to the break; a camera goes on by itself.
            if !job.source.is_live() {
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
                    &job.source,
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
    let mut timing: Vec<JsonLines> = options
        .timing
        .as_deref()
        .map(JsonLines::create)
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
        // A source that keeps to the clock by itself plays only once.
        reopen: (!job.realtime).then_some(reopen),
        speaker,
        held: None,
        pass: 0,
        run_on: None,
    };
    let ended = run.run(&mut source, &mut session, &mut outputs);
    // Also after an error, the events so far reach the disk.
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

/// The facts for `session.json`.
fn about(
    model: &Path,
    source: &SourceId,
    duration_s: Option<f64>,
    (device, quantization): (String, String),
    session: SessionConfig,
    status: &Status,
) -> Result<SessionFile> {
    Ok(SessionFile {
        schema: recording::SCHEMA,
        proact: env!("CARGO_PKG_VERSION").into(),
        source: source.identity()?,
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

/// The device that computes, for the screen.
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

/// The name of a source in the header, without its path.
pub fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}
