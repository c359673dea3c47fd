//! A run from flags to exit: load, open, choose a face (screen or lines), drive, sum up.

use std::io::{IsTerminal, Stdout, stdin, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::Context;

use super::clip::Clips;
use super::config::Settings;
use super::drive::{Drive, Ended, Labels, Reopen};
use super::exit::{Interrupted, Usage};
use super::film::Film;
use super::flags::RunFlags;
use super::load::{self, Loaded};
use super::outputs::{self, Face};
use super::pace::Pace;
use super::plain::{self, Figures, Plain};
use super::process::MemoryGauge;
use super::record::{self, About, Recorder, Used};
use super::resume::Past;
use super::timing::{Lines, Shared};
use super::tokens::TokenFile;
use super::{log, replay, signals};
use crate::dialogue::task::Task;
use crate::error::Result;
use crate::model::reuse::Reusing;
use crate::session::{Session, SessionConfig, Status};
use crate::stream::{Sink, Source};
use crate::tui::{self, App, Board, Controls, Mode, ScreenSink, ThemeName};
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
            Self::Recording(path) => replay::name_of(path),
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
    pub fn used(&self) -> Result<Used> {
        let sha256 = match self {
            Self::Recording(path) => record::source_sha256(path)?,
            #[cfg(feature = "camera")]
            Self::Camera(_) => String::new(),
        };
        Ok(Used {
            name: self.name(),
            sha256,
        })
    }
}

/// Seconds of a recorded session between two lines about the gates.
pub const GATE_LINES_EVERY_S: f64 = 15.0;

/// What a verb wants to be run.
pub struct Job {
    /// For the header.
    pub mode: Mode,
    /// The recording or camera.
    pub origin: Origin,
    /// The assistant file.
    pub model: PathBuf,
    /// Makes the source.
    pub open: Open,
    /// The common flags.
    pub flags: RunFlags,
    /// What flags, file and defaults come to.
    pub settings: Settings,
    /// Pictures of the run to write: an animated one, and a still.
    pub pictures: Pictures,
    /// The source keeps to the clock by itself.
    pub realtime: bool,
    /// Playing speed on the screen; lines of text never wait.
    pub screen_speed: Option<f64>,
    /// When the program began.
    pub started: Instant,
}

/// Pictures of a run.
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    /// `--gif`.
    pub gif: Option<PathBuf>,
    /// `--still`.
    pub still: Option<PathBuf>,
}

impl Pictures {
    fn wanted(&self) -> bool {
        self.gif.is_some() || self.still.is_some()
    }
}

/// Runs a job to its end.
///
/// # Errors
/// Whatever stopped it; [`Interrupted`] when a signal did.
pub fn run(job: Job) -> anyhow::Result<()> {
    let screen = !job.flags.headless && !job.pictures.wanted() && has_screen();
    load::set_threads(load::threads_for(job.settings.threads, &job.model));
    let held = log::start(&job.settings.log, screen)?;
    let controls = Controls::new();
    signals::watch(&controls)?;
    let meter = Shared::default();
    let result = if screen {
        let options = screen_options(job.settings.theme, job.settings.mouse);
        let work = |board, face: &mut Face<Stdout>| drive(job, board, &controls, &meter, face);
        with_screen(&controls, &held, options, work)
    } else {
        in_lines(job, &controls, &meter).map(Some)
    };
    sum_up(result, &held, &controls, |(figures, app), out| {
        plain::print_summary(out, app, &meter.lock(), figures)
    })
}

/// Both ends of the conversation are a terminal that can move its cursor.
pub fn has_screen() -> bool {
    stdout().is_terminal()
        && stdin().is_terminal()
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Lines of text, on this thread.
fn in_lines(job: Job, controls: &Arc<Controls>, meter: &Shared) -> anyhow::Result<(Figures, App)> {
    let mut face = Face::Lines(Box::new(Plain::new(
        stdout(),
        job.settings.gate_lines_every_s,
        controls.clone(),
    )));
    // A film is taken of a board that no screen shows.
    let board = job.pictures.wanted().then(Board::new);
    let figures = drive(job, board, controls, meter, &mut face)?;
    Ok((figures, face.into_app()))
}

/// The screen as the person wants it, and as the terminal can show it.
pub fn screen_options(theme: Option<ThemeName>, mouse: bool) -> tui::Options {
    tui::Options {
        theme: theme.unwrap_or_else(fitting_theme),
        mouse,
        ask_graphics: graphics(),
    }
}

/// The screen on this thread, the work on another. Gives what the work came to, and the last state
/// of the screen; `None` when the terminal takes nothing any more, so that nobody can be told.
///
/// # Errors
/// Whatever stopped the work; the terminal cannot be used.
pub fn with_screen<T: Send>(
    controls: &Arc<Controls>,
    held: &log::Held,
    options: tui::Options,
    work: impl FnOnce(Option<Arc<Board>>, &mut Face<Stdout>) -> anyhow::Result<T> + Send,
) -> anyhow::Result<Option<(T, App)>> {
    let board = Board::new();
    held.show_on(&board);
    let done = thread::scope(|scope| -> anyhow::Result<T> {
        let engine = thread::Builder::new()
            .name("engine".into())
            .spawn_scoped(scope, || {
                let _bell = QuitOnFailure(controls);
                let mut face: Face<Stdout> = Face::Screen(ScreenSink(board.clone()));
                let done = work(Some(board.clone()), &mut face);
                if done.is_err() {
                    controls.quit();
                }
                done
            })?;
        let shown = tui::run(&board, controls, options)
            .context("the terminal cannot be used; try --headless");
        controls.quit();
        let done = engine
            .join()
            .map_err(|_| anyhow::anyhow!("the engine panicked; its words stand above"))?;
        // A terminal that is gone after a signal is no news.
        if !controls.interrupted() {
            shown?;
        }
        done
    })?;
    Ok(if tui::terminal::is_stuck() {
        None
    } else {
        Some((done, board.snapshot()))
    })
}

/// Prints what a run came to, unless nobody can be told, and gives the error that it leaves with.
///
/// # Errors
/// That of the run; [`Interrupted`] when a signal ended it.
pub fn sum_up<T>(
    result: anyhow::Result<impl Into<Option<T>>>,
    held: &log::Held,
    controls: &Controls,
    print: impl FnOnce(&T, Stdout) -> Result<()>,
) -> anyhow::Result<()> {
    if !tui::terminal::is_stuck() {
        held.release();
    }
    if let Some(done) = result?.into() {
        print(&done, stdout())?;
    }
    if controls.interrupted() {
        Err(Interrupted.into())
    } else {
        Ok(())
    }
}

/// A panicking engine must not leave a screen that waits for it.
struct QuitOnFailure<'a>(&'a Controls);

impl Drop for QuitOnFailure<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.quit();
        }
    }
}

/// Loads, opens and plays.
fn drive(
    mut job: Job,
    board: Option<Arc<Board>>,
    controls: &Arc<Controls>,
    meter: &Shared,
    face: &mut Face<Stdout>,
) -> anyhow::Result<Figures> {
    let begun = Instant::now();
    let source_name = job.origin.name();
    if let Some(board) = &board {
        board.status(tui::Status {
            mode: job.mode,
            source: source_name.clone(),
            ..tui::Status::default()
        });
    }
    let flags = &job.flags;
    if flags.save_frames && flags.record.is_none() && flags.resume.is_none() {
        return Err(Usage(
            "--save-frames keeps them in a recorded session; name it by --record DIR".into(),
        )
        .into());
    }
    if let Some(folder) = &flags.record {
        record::check_free(folder)?;
    }
    let open = |folder: &PathBuf| {
        Past::open(
            folder,
            &job.origin,
            flags.save_frames,
            flags.fps,
            &mut job.settings,
        )
    };
    let past = flags.resume.as_ref().map(open).transpose()?;
    let task = match &past {
        Some(past) => past.recorded.task.clone(),
        None => flags.task.as_deref().map(Task::read).transpose()?,
    };
    let loaded = load::open(&job.model, flags.vision.as_deref(), meter)?;
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
                    flags.save_frames,
                )?)
            };
            (flags.record.as_ref().map(about).transpose()?, Vec::new())
        }
    };
    if let Face::Lines(plain) = &mut *face {
        let model = job.model.file_name().unwrap_or_default().to_string_lossy();
        plain.note(&format!(
            "proact {}: {source_name} with {model}",
            env!("CARGO_PKG_VERSION")
        ))?;
    }
    let (mut outputs, speaker) = outputs::open(flags, recorder.as_ref(), &behind, face, controls)?;
    let film = job.pictures.wanted().then(Film::new);
    if let (Some(_), Some(board)) = (&film, &board) {
        outputs.push(ScreenSink(board.clone()));
    }
    let tokens = flags.tokens.as_deref().map(TokenFile::create).transpose()?;
    if let Some(tokens) = &tokens {
        session.set_tap(tokens.tap());
    }
    let mut timing: Vec<Lines> = flags
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
        pace: match (job.realtime, &film) {
            (true, _) => Pace::live(),
            (false, None) => Pace::new(board.as_ref().and(job.screen_speed)),
            (false, Some(_)) => Pace::new(None),
        },
        film,
        clips: Clips::default(),
        board,
        meter: meter.clone(),
        memory: MemoryGauge::default(),
        labels: Labels {
            mode: job.mode,
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
    if let Some(film) = &run.film {
        job.pictures
            .still
            .as_deref()
            .map_or(Ok(()), |path| film.still(path))?;
        job.pictures
            .gif
            .as_deref()
            .map_or(Ok(()), |path| film.gif(path))?;
    }
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
) -> Result<About> {
    Ok(About {
        schema: record::SCHEMA,
        proact: env!("CARGO_PKG_VERSION").into(),
        source: source.used()?,
        duration_s,
        model: Used {
            name: replay::name_of(model),
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

/// The theme for a terminal about which nobody has said anything: none where <https://no-color.org>
/// says so, light where the terminal says that its background is.
fn fitting_theme() -> ThemeName {
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return ThemeName::None;
    }
    // rxvt's convention, kept by several terminals: `foreground;background`, 7 and 15 are white.
    let background = std::env::var("COLORFGBG")
        .ok()
        .and_then(|value| value.rsplit(';').next().map(str::to_owned));
    if background.is_some_and(|b| b == "7" || b == "15") {
        ThemeName::Light
    } else {
        ThemeName::Dark
    }
}

/// Whether to ask the terminal for pixels. Inside tmux and screen they would not arrive; the
/// console and the others here have none, and some print the question.
fn graphics() -> Option<tui::Hint> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let (term, program) = (variable("TERM"), variable("TERM_PROGRAM"));
    let without = ["screen", "tmux", "linux", "dumb", "vt100"];
    if !variable("TMUX").is_empty()
        || without.iter().any(|name| term.starts_with(name))
        || program == "Apple_Terminal"
    {
        return None;
    }
    // They draw iTerm2's pictures, but do not say so when asked. WezTerm and Konsole answer to
    // kitty's and sixel's questions too, and draw those with faults.
    let iterm2 = [
        "iTerm",
        "WezTerm",
        "mintty",
        "vscode",
        "Tabby",
        "Hyper",
        "rio",
        "WarpTerminal",
    ];
    let says = iterm2.iter().any(|name| program.contains(name))
        || variable("LC_TERMINAL").contains("iTerm");
    let konsole = !variable("KONSOLE_VERSION").is_empty();
    Some(if says || konsole {
        tui::Hint::Iterm2
    } else {
        tui::Hint::None
    })
}
