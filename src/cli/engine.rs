//! A run from flags to exit: load, open, choose a face (screen or lines), drive, sum up.

use std::io::{IsTerminal, Stdout, stdin, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::Context;

use super::config::Settings;
use super::drive::{Drive, Ended, Labels, Reopen};
use super::exit::Interrupted;
use super::flags::RunFlags;
use super::load::{self, Loaded};
use super::outputs::{self, Face};
use super::pace::Pace;
use super::plain::{self, Figures, Plain};
use super::timing::{Lines, Shared};
use super::tokens::TokenFile;
use super::{log, signals};
use crate::dialogue::task::Task;
use crate::session::Session;
use crate::stream::{Sink, Source};
use crate::tui::{self, Board, Controls, Mode, ScreenSink, ThemeName};

/// Opens the source once the model is known; again, when the person goes to another place in it.
pub type Open = Box<dyn Fn(&Settings, &Loaded) -> anyhow::Result<Box<dyn Source>> + Send>;

/// What a verb wants to be run.
pub struct Job {
    /// For the header.
    pub mode: Mode,
    /// For the header.
    pub source_name: String,
    /// The assistant file.
    pub model: PathBuf,
    /// Makes the source.
    pub open: Open,
    /// The common flags.
    pub flags: RunFlags,
    /// What flags, file and defaults come to.
    pub settings: Settings,
    /// The source keeps to the clock by itself.
    pub realtime: bool,
    /// Playing speed on the screen; lines of text never wait.
    pub screen_speed: Option<f64>,
    /// When the program began.
    pub started: Instant,
}

/// Runs a job to its end.
///
/// # Errors
/// Whatever stopped it; [`Interrupted`] when a signal did.
pub fn run(job: Job) -> anyhow::Result<()> {
    let screen = !job.flags.headless && has_screen();
    load::set_threads(load::threads_for(job.settings.threads, &job.model));
    let held = log::start(&job.settings.log, screen)?;
    let controls = Controls::new();
    signals::watch(&controls)?;
    let result = if screen { on_screen(job, &controls, &held) } else { in_lines(job, &controls) };
    held.release();
    result?;
    if controls.interrupted() { Err(Interrupted.into()) } else { Ok(()) }
}

/// Both ends of the conversation are a terminal that can move its cursor.
fn has_screen() -> bool {
    stdout().is_terminal() && stdin().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Lines of text, on this thread.
fn in_lines(job: Job, controls: &Arc<Controls>) -> anyhow::Result<()> {
    let meter = Shared::default();
    let plain = Plain::new(stdout(), job.settings.gate_lines_every_s, controls.clone());
    let mut face = Face::Lines(Box::new(plain));
    let figures = drive(job, None, controls, &meter, &mut face)?;
    if let Face::Lines(plain) = &mut face {
        plain.summary(&meter.lock(), &figures)?;
    }
    Ok(())
}

/// The screen on this thread, the work on another.
fn on_screen(job: Job, controls: &Arc<Controls>, held: &log::Held) -> anyhow::Result<()> {
    let board = Board::new();
    held.show_on(&board);
    let meter = Shared::default();
    let theme = job.settings.theme.unwrap_or_else(fitting_theme);
    let options = tui::Options { theme, mouse: job.settings.mouse, ask_graphics: likely_graphics() };
    let figures = thread::scope(|scope| -> anyhow::Result<Figures> {
        let engine = thread::Builder::new().name("engine".into()).spawn_scoped(scope, || {
            let _bell = QuitOnFailure(controls);
            let mut face: Face<Stdout> = Face::Screen(ScreenSink(board.clone()));
            let done = drive(job, Some(board.clone()), controls, &meter, &mut face);
            if done.is_err() {
                controls.quit();
            }
            done
        })?;
        let shown = tui::run(&board, controls, options).context("the terminal cannot be used; try --headless");
        controls.quit();
        let done = engine.join().map_err(|_| anyhow::anyhow!("the engine panicked; its words stand above"))?;
        shown?;
        done
    })?;
    Ok(plain::print_summary(stdout(), &board.snapshot(), &meter.lock(), &figures)?)
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
    job: Job,
    board: Option<Arc<Board>>,
    controls: &Arc<Controls>,
    meter: &Shared,
    face: &mut Face<Stdout>,
) -> anyhow::Result<Figures> {
    let begun = Instant::now();
    if let Some(board) = &board {
        board.status(tui::Status { mode: job.mode, source: job.source_name.clone(), ..tui::Status::default() });
    }
    let task = job.flags.task.as_deref().map(Task::read).transpose()?;
    let loaded = load::open(&job.model, job.flags.vision.as_deref(), meter)?;
    let mut source = (job.open)(&job.settings, &loaded)?;
    let mut session = Session::new(
        loaded.vision.clone(),
        loaded.assistant.clone(),
        loaded.codec.clone(),
        task,
        crate::session::SessionConfig {
            tokens_per_frame: loaded.tokens_per_frame,
            step_evidence: loaded.step_evidence,
            model_sha256: loaded.model_sha256.clone(),
            vision_sha256: loaded.vision_sha256.clone(),
            ..job.settings.session_config(loaded.gates)
        },
    )?;
    if let Face::Lines(plain) = &mut *face {
        let model = job.model.file_name().unwrap_or_default().to_string_lossy();
        plain.note(&format!("proact {}: {} with {model}", env!("CARGO_PKG_VERSION"), job.source_name))?;
    }
    let (mut outputs, speaker) = outputs::open(&job.flags, face, controls)?;
    let tokens = job.flags.tokens.as_deref().map(TokenFile::create).transpose()?;
    if let Some(tokens) = &tokens {
        session.set_tap(tokens.tap());
    }
    let reopen: Reopen = Box::new(|| (job.open)(&job.settings, &loaded));
    let mut run = Drive {
        controls: controls.clone(),
        pace: if job.realtime { Pace::live() } else { Pace::new(board.as_ref().and(job.screen_speed)) },
        board,
        meter: meter.clone(),
        timing: job.flags.timing.as_deref().map(Lines::create).transpose()?,
        labels: Labels {
            mode: job.mode,
            source_name: job.source_name.clone(),
            device: device(&job),
            quantization: loaded.quantization.clone(),
        },
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
    let closed = outputs.close().and(tokens.map_or(Ok(()), |tokens| tokens.close()));
    let ended = ended?;
    closed?;
    let status = session.status();
    Ok(Figures {
        stopped: ended == Ended::Quit,
        memory_tokens: status.memory_tokens,
        memory_capacity: status.memory_capacity,
        ready_s: run.ready_s.unwrap_or_default(),
        wall_s: run.ended.map_or_else(|| begun.elapsed(), |ended| ended - begun).as_secs_f64(),
    })
}

/// What computes, for the screen.
fn device(job: &Job) -> String {
    match load::threads_for(job.settings.threads, &job.model) {
        0 => format!("CPU, {} threads", thread::available_parallelism().map_or(1, usize::from)),
        1 => "CPU, 1 thread".to_owned(),
        n => format!("CPU, {n} threads"),
    }
}

/// The theme for a terminal about which nobody has said anything: none where <https://no-color.org> says so, light
/// where the terminal says that its background is.
fn fitting_theme() -> ThemeName {
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return ThemeName::None;
    }
    // rxvt's convention, kept by several terminals: `foreground;background`, 7 and 15 are white.
    let background = std::env::var("COLORFGBG").ok().and_then(|value| value.rsplit(';').next().map(str::to_owned));
    if background.is_some_and(|b| b == "7" || b == "15") { ThemeName::Light } else { ThemeName::Dark }
}

/// Terminals known to draw pixels and to answer when asked. Others are not asked, since an answer that
/// comes late would be read as keys; inside tmux and screen the pixels would not arrive.
fn likely_graphics() -> bool {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let term = variable("TERM");
    if !variable("TMUX").is_empty() || term.starts_with("screen") || term.starts_with("tmux") {
        return false;
    }
    let program = variable("TERM_PROGRAM");
    let known = ["kitty", "ghostty", "foot", "wezterm", "WezTerm", "iTerm.app", "mlterm", "contour"];
    known.iter().any(|name| term.contains(name) || program.contains(name))
}
