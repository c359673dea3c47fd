//! Starts the face of a run: the screen where the terminal can show one, lines of text elsewhere.
//! At the end it prints the summary.

use std::io::{IsTerminal, Stdout, stdin, stdout};
use std::sync::Arc;
use std::thread;

use anyhow::Context;
use proact::error::Result;
use proact::run::engine::{Job, drive};
use proact::run::load;
use proact::run::outputs::Face;
use proact::run::plain::{self, Figures, Plain};
use proact::run::stop::Interrupted;
use proact::run::timing::SharedMeter;
use proact::stop::Stop;
use proact::tui::{self, App, Board, Controls, ScreenSink, ThemeName};

use super::{log, signals};

/// Runs a job to its end.
///
/// # Errors
/// The run fails, or a signal stops it ([`Interrupted`]).
pub fn run(job: Job, headless: bool) -> anyhow::Result<()> {
    let screen = !headless && has_screen();
    load::set_threads(load::threads_for(job.settings.threads, &job.model));
    let held = log::start(&job.settings.log, screen)?;
    let controls = Controls::new();
    signals::watch(&controls.stop)?;
    let meter = SharedMeter::default();
    let result = if screen {
        let options = options(job.settings.theme, job.settings.mouse);
        let work = |board, face: &mut Face<Stdout>| drive(job, board, &controls, &meter, face);
        with_screen(&controls, &held, options, work)
    } else {
        in_lines(job, &controls, &meter).map(Some)
    };
    sum_up(result, &held, &controls, |(figures, app), out| {
        plain::print_summary(out, app, &meter.lock(), figures)
    })
}

/// Whether input and output are a terminal that can move its cursor.
pub fn has_screen() -> bool {
    stdout().is_terminal()
        && stdin().is_terminal()
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Runs the job on this thread, and prints lines of text.
fn in_lines(
    job: Job,
    controls: &Arc<Controls>,
    meter: &SharedMeter,
) -> anyhow::Result<(Figures, App)> {
    let mut face = Face::Lines(Box::new(Plain::new(
        stdout(),
        job.settings.gate_lines_every_s,
        controls.clone(),
    )));
    let figures = drive(job, None, controls, meter, &mut face)?;
    Ok((figures, face.into_app()))
}

/// Options of the screen, as the settings and the terminal allow them.
pub fn options(theme: Option<ThemeName>, mouse: bool) -> tui::Options {
    tui::Options {
        theme: theme.unwrap_or_else(fitting_theme),
        mouse,
        ask_graphics: graphics(),
    }
}

/// Shows the screen on this thread and does the work on another. Gives the result of the work and
/// the last state of the screen; `None` when the terminal takes no output any more.
///
/// # Errors
/// The work fails, or the terminal cannot be used.
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
                let _bell = StopOnPanic(&controls.stop);
                let mut face: Face<Stdout> = Face::Screen(ScreenSink(board.clone()));
                let done = work(Some(board.clone()), &mut face);
                if done.is_err() {
                    controls.stop.ask();
                }
                done
            })?;
        let shown = tui::run(&board, controls, options)
            .context("the terminal cannot be used; try --headless");
        controls.stop.ask();
        let done = engine
            .join()
            .map_err(|_| anyhow::anyhow!("the engine panicked; its words stand above"))?;
        // A terminal that is gone after a signal is no news.
        if !controls.stop.interrupted() {
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

/// Prints the summary of a run, unless the terminal is gone, and gives the error that it ends with.
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
    if controls.stop.interrupted() {
        Err(Interrupted.into())
    } else {
        Ok(())
    }
}

/// A panicking engine must not leave a screen that waits for it.
struct StopOnPanic<'a>(&'a Stop);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.ask();
        }
    }
}

/// The theme for a terminal where no setting names one: no colour where <https://no-color.org> says
/// so, light where the terminal says that its background is light.
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
    // These draw iTerm2's pictures, but do not say so when asked. WezTerm and Konsole answer to
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
