//! The screen: the loop that draws the state when it changed and takes keys and mouse.

use std::io;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use crossterm::event::{Event as TerminalEvent, KeyEventKind};
use crossterm::queue;
use crossterm::style::force_color_output;
use crossterm::terminal::{Clear, ClearType};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use ratatui_image::picker::Picker;

use super::board::{Board, Controls};
use super::graphics;
use super::keyboard::Keyboard;
use super::layout::draw;
use super::outlet::Pen;
use super::suspend::Suspend;
use super::terminal::{self, Guard};
use super::theme::ThemeName;
use super::view::{Touched, View};

/// Most drawings a second.
pub const FRAMES_PER_S_MAX: u32 = 30;

/// What the terminal and the person prefer; read from the environment by the caller.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How it looks at first.
    pub theme: ThemeName,
    /// Take clicks and the wheel; the terminal's own selection then needs Shift.
    pub mouse: bool,
    /// Ask the terminal whether it can draw pixels; otherwise half blocks are used. The hint
    /// says what is known from the environment.
    pub ask_graphics: Option<graphics::Hint>,
}

/// Draws until somebody asks to quit (the person, or the engine when it failed). Takes the terminal
/// and gives it back. A terminal that goes away asks to quit as well, as a signal does.
///
/// # Errors
/// The terminal cannot be used.
pub fn run(board: &Arc<Board>, controls: &Arc<Controls>, options: Options) -> io::Result<()> {
    let suspend = Suspend::watch()?;
    let mut guard = Guard::take(options.mouse)?;
    // Which colours are used is the theme's doing; crossterm would drop them by itself where
    // NO_COLOR is set, also when the person has asked for a theme.
    force_color_output(true);
    let picker = match options.ask_graphics {
        Some(hint) => graphics::ask(hint, || controls.stop.interrupt()),
        None => Picker::halfblocks(),
    };
    let keyboard = Keyboard::listen()?;
    let mut view = View::new(options.theme, picker);
    let mut terminal = blank()?;
    let mut drawn = None;
    let mut touched = Touched::Nothing;
    while !controls.stop.asked() && terminal::is_taken() {
        let Ok(keys) = obey_keys(&keyboard, &mut view, controls) else {
            controls.stop.interrupt();
            break;
        };
        touched = touched.max(keys);
        if controls.take_suspend() {
            Suspend::ask();
        }
        // The handler of the signal to go on may run, on another thread, later than this one does:
        // this loop knows by itself that it has stopped here.
        let stopped = suspend.is_asked();
        if stopped {
            terminal::restore();
            suspend.stop()?;
        }
        if suspend.went_on() || stopped {
            guard.take_again()?;
            touched = Touched::All;
        }
        let revision = board.revision();
        // A terminal that has not read the last drawing gets no further one: pictures are lost,
        // events are not.
        if (touched != Touched::Nothing || drawn != Some(revision)) && terminal::is_idle() {
            if touched == Touched::All {
                terminal = blank()?;
                view.forget_drawn();
            }
            let mut app = board.snapshot();
            // The keys act at once, even while the engine is busy with a frame.
            app.vitals.paused = controls.paused() && !app.ended;
            app.vitals.muted = controls.muted();
            terminal.draw(|canvas| draw(canvas, &app, &mut view))?;
            (drawn, touched) = (Some(revision), Touched::Nothing);
        }
        sleep(Duration::from_secs(1) / FRAMES_PER_S_MAX);
    }
    Ok(())
}

/// An empty screen of the terminal's size. The viewport is fixed, because ratatui asks the terminal
/// for its cursor when it adapts one by itself, and a terminal that does not answer would end the
/// run.
fn blank() -> io::Result<Terminal<CrosstermBackend<Pen>>> {
    let mut pen = terminal::pen()?;
    queue!(pen, Clear(ClearType::All))?;
    let (columns, rows) = crossterm::terminal::size()?;
    let viewport = Viewport::Fixed(Rect::new(0, 0, columns, rows));
    Terminal::with_options(CrosstermBackend::new(pen), TerminalOptions { viewport })
}

/// Takes all keys that wait.
fn obey_keys(keyboard: &Keyboard, view: &mut View, controls: &Controls) -> io::Result<Touched> {
    let mut touched = Touched::Nothing;
    while let Some(event) = keyboard.next()? {
        let now = match event {
            TerminalEvent::Key(key) if key.kind != KeyEventKind::Release => {
                view.press(key, controls)
            }
            TerminalEvent::Mouse(mouse) => view.mouse(mouse, controls),
            TerminalEvent::Resize(..) => Touched::All,
            _ => Touched::Nothing,
        };
        touched = touched.max(now);
    }
    Ok(touched)
}
