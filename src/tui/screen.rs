//! The screen: which panel stands where, the loop that draws it, and what the keys do to it.
//!
//! ```text
//!  proact DEMO  running  clip.mp4         ━━━━━━━━──────────────  1:14 / 3:31     header: what, how far
//!  Goal Make a pinwheel sandwich
//! ╭ Picture ───────────────────╮╭ Steps 1 of 12 done ───────────────────────────╮
//! │                            ││ ✓ S1  Place the tortilla on …  0:02.0 – 0:14.5│ steps: where the person is
//! │   what the model sees      ││ ▶ S2  Spread nut butter        0:15.0 – now   │
//! │                            ││ · S3  Spread jelly                            │
//! ╰────────────────────────────╯╰───────────────────────────────────────────────╯
//! ╭ Gates ─────────────────────╮╭ Dialogue ─────────────────────────────────────╮
//! │ speak  0.03 < 0.50         ││ 0:15.0 proact Great. Now spread …             │ dialogue: what was said
//! │ ⢀⡀⡠⠔⠉⠢⣀ ⣀⣀⣀              ││ 0:30.0 you    How thick?                      │
//! │ update 0.91 ≥ 0.60         ││                                               │
//! ╰────────────────────────────╯╰───────────────────────────────────────────────╯
//!  8.0 frames/s   4.0x real time   memory 301/2048 tokens   142 MiB   encode 21.0 ms     pipeline
//!  q quit   space pause   ? help                                                         keys
//! ```
//!
//! A terminal too small for that shows the steps and the last sentence; a tiny one the step alone.

use std::io::{self, Stdout, stdout};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use crossterm::event::{self, Event as TerminalEvent, KeyCode, KeyEvent, KeyEventKind};
use crossterm::execute;
use crossterm::terminal::{Clear, ClearType};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use ratatui::{Frame as Canvas, Terminal, TerminalOptions, Viewport};
use ratatui_image::picker::Picker;
use ratatui_image::picker::cap_parser::QueryStdioOptions;

use super::app::App;
use super::board::{Board, Controls};
use super::keys::{self, Command};
use super::panels::{dialogue, gates, header, help, picture, pipeline, steps};
use super::terminal::{self, Guard};
use super::theme::Theme;
use super::wrap::{cut, wrap};

/// Most drawings a second.
pub const FRAMES_PER_S_MAX: u32 = 30;

/// How long a terminal may take to say whether it can draw pixels.
const GRAPHICS_ANSWER_MAX: Duration = Duration::from_millis(500);

/// Smallest terminal that gets all panels.
const FULL_COLUMNS_MIN: u16 = 72;
const FULL_ROWS_MIN: u16 = 20;

/// From this height on, the times by stage have a line of their own.
const ROOMY_ROWS_MIN: u16 = 30;

/// Below this height only the current step is shown.
const COMPACT_ROWS_MIN: u16 = 5;

/// Lines a page key moves.
const PAGE_LINES: usize = 8;

/// What the terminal and the person prefer; read from the environment by the caller.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// No colours at all.
    pub no_color: bool,
    /// Ask the terminal whether it can draw pixels; otherwise half blocks are used. Ask only a terminal
    /// that is likely to answer: a late answer would be read as keys.
    pub ask_graphics: bool,
}

/// What the person looks at, as opposed to what happened.
pub struct View {
    theme: Theme,
    scroll: usize,
    help: bool,
    encoder: picture::Encoder,
}

impl View {
    /// Follows the newest dialogue, no help.
    pub fn new(theme: Theme, picker: Picker) -> Self {
        Self { theme, scroll: 0, help: false, encoder: picture::Encoder::new(picker) }
    }

    /// Does what a key asks for.
    fn obey(&mut self, command: Command, controls: &Controls) -> Touched {
        match command {
            Command::Quit => controls.quit(),
            Command::Interrupt => controls.interrupt(),
            Command::Pause => controls.toggle_pause(),
            Command::Mute => controls.toggle_mute(),
            Command::Faster => controls.change_speed(1),
            Command::Slower => controls.change_speed(-1),
            Command::Help => self.help = !self.help,
            Command::ScrollUp => self.scroll += 1,
            Command::ScrollDown => self.scroll = self.scroll.saturating_sub(1),
            Command::PageUp => self.scroll += PAGE_LINES,
            Command::PageDown => self.scroll = self.scroll.saturating_sub(PAGE_LINES),
            Command::ScrollEnd => self.scroll = 0,
            Command::Redraw => return Touched::All,
        }
        Touched::Parts
    }
}

/// Draws until somebody asks to quit (the person, or the engine when it failed). Takes the terminal and gives it back.
///
/// # Errors
/// The terminal cannot be used.
pub fn run(board: &Arc<Board>, controls: &Arc<Controls>, options: Options) -> io::Result<()> {
    let _guard = Guard::take()?;
    let picker = if options.ask_graphics && !options.no_color { ask_graphics() } else { Picker::halfblocks() };
    let mut view = View::new(Theme::pick(options.no_color), picker);
    let mut terminal = blank()?;
    let mut drawn = None;
    while !controls.quitting() && terminal::is_taken() {
        let touched = obey_keys(&mut view, controls)?;
        if touched == Touched::All {
            terminal = blank()?;
        }
        let revision = board.revision();
        if touched != Touched::Nothing || drawn != Some(revision) {
            let mut app = board.snapshot();
            // The keys act at once, even while the engine is busy with a frame.
            app.status.paused = controls.paused() && !app.ended;
            app.status.muted = controls.muted();
            terminal.draw(|canvas| draw(canvas, &app, &mut view))?;
            drawn = Some(revision);
        }
        sleep(Duration::from_secs(1) / FRAMES_PER_S_MAX);
    }
    Ok(())
}

/// An empty screen of the terminal's size. The viewport is fixed, because ratatui asks the terminal for its
/// cursor when it adapts one by itself, and a terminal that does not answer would end the run.
fn blank() -> io::Result<Terminal<CrosstermBackend<Stdout>>> {
    execute!(stdout(), Clear(ClearType::All))?;
    let (columns, rows) = crossterm::terminal::size()?;
    let viewport = Viewport::Fixed(Rect::new(0, 0, columns, rows));
    Terminal::with_options(CrosstermBackend::new(stdout()), TerminalOptions { viewport })
}

/// What keys have made of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Touched {
    /// It looks as before.
    Nothing,
    /// Something may look different.
    Parts,
    /// Everything has to be drawn again.
    All,
}

/// Takes all keys that wait.
fn obey_keys(view: &mut View, controls: &Controls) -> io::Result<Touched> {
    let mut touched = Touched::Nothing;
    while event::poll(Duration::ZERO)? {
        let now = match event::read()? {
            TerminalEvent::Key(key) if key.kind != KeyEventKind::Release => press(key, view, controls),
            TerminalEvent::Resize(..) => Touched::All,
            _ => Touched::Nothing,
        };
        touched = touched.max(now);
    }
    Ok(touched)
}

fn press(key: KeyEvent, view: &mut View, controls: &Controls) -> Touched {
    let Some(command) = keys::command(key) else { return Touched::Nothing };
    if view.help && key.code == KeyCode::Esc {
        view.help = false;
        return Touched::Parts;
    }
    view.obey(command, controls)
}

/// Half blocks unless the terminal says that it can do better.
fn ask_graphics() -> Picker {
    let options = QueryStdioOptions { timeout: GRAPHICS_ANSWER_MAX, ..QueryStdioOptions::default() };
    Picker::from_query_stdio_with_options(options).unwrap_or_else(|_| Picker::halfblocks())
}

/// Draws the state on a canvas of any size.
pub fn draw(canvas: &mut Canvas, app: &App, view: &mut View) {
    let area = canvas.area();
    if area.height < COMPACT_ROWS_MIN {
        draw_tiny(canvas, area, app, &view.theme);
    } else if area.width < FULL_COLUMNS_MIN || area.height < FULL_ROWS_MIN {
        draw_compact(canvas, area, app, view);
    } else {
        draw_full(canvas, area, app, view);
    }
    if view.help {
        help::draw(canvas, area, &view.theme);
    }
}

fn draw_full(canvas: &mut Canvas, area: Rect, app: &App, view: &mut View) {
    let facts_rows = if area.height >= ROOMY_ROWS_MIN { 2 } else { 1 };
    let [top, body, facts, keys] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(0),
        Constraint::Length(facts_rows),
        Constraint::Length(1),
    ])
    .areas(area);
    let [upper, lower] = Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(body);
    // The picture takes what its height asks for; words get the rest.
    let picture_columns = (u32::from(upper.height) * 8 / 3).clamp(30, u32::from(area.width) * 9 / 20) as u16;
    let split = |row| Layout::horizontal([Constraint::Length(picture_columns), Constraint::Min(0)]).areas(row);
    let [picture_area, steps_area] = split(upper);
    let [gates_area, dialogue_area] = split(lower);
    header::draw(canvas, top, app, &view.theme);
    picture::draw(canvas, picture_area, app, &mut view.encoder, &view.theme);
    steps::draw(canvas, steps_area, app, &view.theme);
    gates::draw(canvas, gates_area, app, &view.theme);
    dialogue::draw(canvas, dialogue_area, app, &mut view.scroll, &view.theme);
    pipeline::draw(canvas, facts, app, &view.theme);
    pipeline::draw_keys(canvas, keys, app, &view.theme);
}

/// Steps and the last sentence.
fn draw_compact(canvas: &mut Canvas, area: Rect, app: &App, view: &View) {
    let columns = usize::from(area.width);
    let said = app.last_utterance().map_or_else(Vec::new, |l| wrap(&l.text, columns));
    // The sentence may take a third of the screen.
    let said_rows = (said.len() as u16).min(area.height / 3);
    let [head, list, last] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(said_rows)]).areas(area);
    let title = format!("{} {} of {} done", app.now, app.steps_done(), app.steps.len());
    canvas.render_widget(Line::from(Span::styled(cut(&title, columns), view.theme.title)), head);
    canvas.render_widget(Paragraph::new(steps::visible(app, list, &view.theme)), list);
    let lines: Vec<Line> = said.into_iter().map(|l| Line::from(Span::styled(l, view.theme.speak))).collect();
    canvas.render_widget(Paragraph::new(lines), last);
}

/// The current step alone.
fn draw_tiny(canvas: &mut Canvas, area: Rect, app: &App, theme: &Theme) {
    let words = match app.current_step() {
        Some(step) => format!("{} {} {}", steps::mark(step.state), step.id, step.name),
        None => format!("{} of {} done", app.steps_done(), app.steps.len()),
    };
    canvas.render_widget(Line::from(Span::styled(cut(&words, usize::from(area.width)), theme.current)), area);
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use ratatui::backend::TestBackend;

    use super::*;
    use crate::tui::sample;

    fn golden(name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/tui").join(format!("{name}.txt"))
    }

    /// A missing or different golden fails; only `UPDATE_GOLDEN=1` writes one.
    fn assert_golden(name: &str, found: &str) {
        let path = golden(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some_and(|v| v == "1") {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, found).unwrap();
            return;
        }
        let wanted = std::fs::read_to_string(&path).unwrap_or_default();
        if wanted != found {
            let new = path.with_extension("new");
            std::fs::create_dir_all(new.parent().unwrap()).unwrap();
            std::fs::write(&new, found).unwrap();
            panic!("{} differs; see {}\n{found}", path.display(), new.display());
        }
    }

    fn shown(app: &App, columns: u16, rows: u16, change: impl FnOnce(&mut View)) -> String {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        let mut view = View::new(Theme::monochrome(), Picker::halfblocks());
        change(&mut view);
        terminal.draw(|canvas| draw(canvas, app, &mut view)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let mut text = String::new();
        for y in 0..rows {
            let line: String = (0..columns).map(|x| buffer[(x, y)].symbol()).collect();
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn with_picture() -> App {
        App { picture: Some(sample::picture()), ..sample::app() }
    }

    #[test]
    fn the_classic_terminal() {
        assert_golden("80x24", &shown(&with_picture(), 80, 24, |_| ()));
    }

    #[test]
    fn a_roomy_terminal() {
        assert_golden("120x40", &shown(&with_picture(), 120, 40, |_| ()));
    }

    #[test]
    fn a_small_and_a_tiny_terminal() {
        assert_golden("40x12", &shown(&with_picture(), 40, 12, |_| ()));
        assert_golden("30x3", &shown(&with_picture(), 30, 3, |_| ()));
    }

    #[test]
    fn help_scroll_pause_and_an_unfinished_sentence() {
        let mut app = with_picture();
        app.status.paused = true;
        app.status.partial = Some("Now roll the".into());
        assert_golden("80x24-paused", &shown(&app, 80, 24, |_| ()));
        assert_golden("80x24-scrolled", &shown(&app, 80, 24, |view| view.scroll = 3));
        assert_golden("80x24-help", &shown(&app, 80, 24, |view| view.help = true));
    }

    #[test]
    fn before_the_first_event() {
        assert_golden("80x24-empty", &shown(&App::default(), 80, 24, |_| ()));
    }

    #[test]
    fn no_size_panics_and_no_escape_sequence_reaches_the_terminal() {
        let mut app = with_picture();
        app.goal = "x\u{1b}[2Jy\u{7}".into();
        app.update(&crate::stream::Event::User { at: app.now, text: "a\u{1b}]0;title\u{7}b \u{200b}日本語".into() });
        for columns in (1..140).step_by(3) {
            for rows in 1..45 {
                let text = shown(&app, columns, rows, |view| view.scroll = 1000);
                assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'));
            }
        }
    }

    #[test]
    fn keys_reach_the_engine_and_escape_closes_the_help_first() {
        let controls = Controls::default();
        let mut view = View::new(Theme::monochrome(), Picker::halfblocks());
        let mut press = |code| super::press(KeyEvent::from(code), &mut view, &controls);
        assert_eq!(press(KeyCode::Char('x')), Touched::Nothing);
        assert_eq!(press(KeyCode::Char(' ')), Touched::Parts);
        press(KeyCode::Char('m'));
        press(KeyCode::Char('+'));
        press(KeyCode::Char('?'));
        press(KeyCode::Esc);
        assert!(controls.paused() && controls.muted() && !controls.quitting());
        assert_eq!(controls.speed_factor(), 2.0);
        press(KeyCode::Esc);
        assert!(controls.quitting() && !controls.interrupted());
    }

    #[test]
    fn colours_and_half_blocks_are_used_when_wanted() {
        let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
        let mut view = View::new(Theme::dark(), Picker::halfblocks());
        let app = with_picture();
        terminal.draw(|canvas| draw(canvas, &app, &mut view)).unwrap();
        let buffer = terminal.backend().buffer();
        let coloured = buffer.content().iter().filter(|c| matches!(c.bg, ratatui::style::Color::Rgb(..))).count();
        assert!(coloured > 200, "{coloured} cells of the picture have a colour");
    }
}
