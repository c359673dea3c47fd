//! Which panel stands where.
//!
//! ```text
//!  REPLAY  running  clip.mp4           ━━━━━━━━──────────────  1:14 / 3:31      header
//!  Goal Make a pinwheel sandwich   Now S2 Spread nut butter   Next S3 …
//! ╭ Picture ────────────────╮╭ Steps 1 of 12 done ───────────────────────────╮
//! │                         ││ ✓ S1  Place the tortilla on …  0:02.0 – 0:14.5│ where the
//! │  what the model sees    ││ ▶ S2  Spread nut butter        0:15.0 – now   │ person is
//! │                         ││ › S3  Spread jelly                       next │
//! ╰─────────────────────────╯╰───────────────────────────────────────────────╯
//! ╭ Gates ──────────────────╮╭ Dialogue ─────────────────────────────────────╮
//! │ speak  0.03 < 0.50      ││ 0:15.0 proact Great. Now spread …             │ what was
//! │ ⢀⡀⡠⠔⠉⠢⣀ ⣀⣀⣀             ││               ↳ because S1 done: speak 0.91 ≥ │ said, why
//! │ update 0.91 ≥ 0.60      ││ 0:30.0 you    How thick?                      │
//! ╰─────────────────────────╯╰───────────────────────────────────────────────╯
//!  8.0 frames/s   4.0x real time   memory 301/2048 tokens   encode 21.0 ms      pipeline
//!  q quit   space pause   ? help                                                keys
//! ```
//!
//! A wide terminal has a third column with the pipeline and the log. The rows that the steps do not
//! need go to the dialogue. A terminal too small for all of this shows the steps and the last
//! sentence, a tiny one only the step.

use ratatui::Frame as Canvas;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::app::App;
use super::panels::{dialogue, footer, gates, header, help, log, picture, pipeline, steps};
use super::theme::Theme;
use super::view::{Lower, View};
use super::wrap::{cut, wrap};

/// Smallest terminal that gets all panels.
const FULL_COLUMNS_MIN: u16 = 72;
const FULL_ROWS_MIN: u16 = 20;

/// From this height on, the times by stage have a line of their own.
const ROOMY_ROWS_MIN: u16 = 30;

/// Columns of the narrowest terminal with a third column, and of that column.
const WIDE_COLUMNS_MIN: u16 = 140;
const THIRD_COLUMNS: u16 = 46;

/// Rows of the pipeline panel above the log.
const PIPELINE_ROWS: u16 = 18;

/// Rows of the picture with its frame, whatever else asks for room.
const PICTURE_ROWS_MIN: u32 = 4;

/// Below this height only the current step is shown.
const COMPACT_ROWS_MIN: u16 = 5;

/// Draws the state on a canvas of any size.
pub fn draw(canvas: &mut Canvas, app: &App, view: &mut View) {
    let area = canvas.area();
    view.remember(app);
    if area.height < COMPACT_ROWS_MIN {
        draw_tiny(canvas, area, app, view);
    } else if area.width < FULL_COLUMNS_MIN || area.height < FULL_ROWS_MIN {
        draw_compact(canvas, area, app, view);
    } else {
        draw_full(canvas, area, app, view);
    }
    if view.help {
        help::draw(canvas, area, &mut view.help_scroll, &view.theme);
    }
}

fn draw_full(canvas: &mut Canvas, area: Rect, app: &App, view: &mut View) {
    let wide = area.width >= WIDE_COLUMNS_MIN;
    // Where the pipeline has a panel, it needs no lines below.
    let facts_rows = match (
        wide || view.lower == Lower::Pipeline,
        area.height >= ROOMY_ROWS_MIN,
    ) {
        (true, _) => 0,
        (false, true) => 2,
        (false, false) => 1,
    };
    let [top, body, facts, keys] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(0),
        Constraint::Length(facts_rows),
        Constraint::Length(1),
    ])
    .areas(area);
    let third = if wide { THIRD_COLUMNS } else { 0 };
    let [body, third] =
        Layout::horizontal([Constraint::Min(0), Constraint::Length(third)]).areas(body);
    let upper_rows = u32::from(body.height) * 3 / 5;
    // The picture takes what its height asks for; words get the rest.
    let picture_columns = (upper_rows * 8 / 3).clamp(30, u32::from(body.width) * 9 / 20) as u16;
    let [left, right] =
        Layout::horizontal([Constraint::Length(picture_columns), Constraint::Min(0)]).areas(body);
    let split = |column, rows: u32| {
        Layout::vertical([Constraint::Length(rows as u16), Constraint::Min(0)]).areas(column)
    };
    // The pipeline is shown whole; the picture can do with less.
    let lower_rows = match view.lower {
        Lower::Pipeline if !wide => u32::from(pipeline::rows_wanted(app, &view.theme)),
        _ => 0,
    };
    let picture_rows = upper_rows.min(
        u32::from(body.height)
            .saturating_sub(lower_rows)
            .max(PICTURE_ROWS_MIN),
    );
    let [picture_area, gates_area] = split(left, picture_rows);
    // The dialogue gets the rows that a short list of steps does not need.
    let [steps_area, dialogue_area] = split(right, upper_rows.min(steps::rows_wanted(app)));
    view.shown.bar = header::draw(canvas, top, app, &view.theme);
    picture::draw(canvas, picture_area, app, &mut view.encoder, &view.theme);
    view.shown.step_rows = steps::draw(canvas, steps_area, app, view.chosen, &view.theme);
    match view.lower {
        Lower::Gates => gates::draw(canvas, gates_area, app, &view.theme),
        Lower::Pipeline if !wide => pipeline::draw(canvas, gates_area, app, &view.theme),
        Lower::Log if !wide => log::draw(canvas, gates_area, app, &view.theme),
        _ => gates::draw(canvas, gates_area, app, &view.theme),
    }
    dialogue::draw(canvas, dialogue_area, app, &mut view.scroll, &view.theme);
    if wide {
        let [above, below] =
            Layout::vertical([Constraint::Max(PIPELINE_ROWS), Constraint::Min(3)]).areas(third);
        pipeline::draw(canvas, above, app, &view.theme);
        log::draw(canvas, below, app, &view.theme);
    }
    pipeline::draw_lines(canvas, facts, app, &view.theme);
    footer::draw(canvas, keys, app, view);
}

/// Steps and the last sentence; a line being typed, or an answer to a key, below.
fn draw_compact(canvas: &mut Canvas, area: Rect, app: &App, view: &mut View) {
    let columns = usize::from(area.width);
    let said = app
        .last_utterance()
        .map_or_else(Vec::new, |l| wrap(&l.text, columns));
    // The sentence may take a third of the screen.
    let said_rows = (said.len() as u16).min(area.height / 3);
    let typed = u16::from(view.entry.is_some() || view.flash.is_some());
    let [head, list, last, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(said_rows),
        Constraint::Length(typed),
    ])
    .areas(area);
    let title = format!(
        "{} {} of {} done",
        header::badge(app),
        app.steps_done(),
        app.steps.len()
    );
    canvas.render_widget(
        Line::from(Span::styled(
            cut(&format!("{} {title}", app.now), columns),
            view.theme.title,
        )),
        head,
    );
    view.shown.step_rows = steps::draw_list(canvas, list, app, view.chosen, &view.theme);
    let lines: Vec<Line> = said
        .into_iter()
        .map(|l| Line::from(Span::styled(l, view.theme.speak)))
        .collect();
    canvas.render_widget(Paragraph::new(lines), last);
    if typed > 0 {
        footer::draw(canvas, keys, app, view);
    }
}

/// The current step alone, or what is being typed.
fn draw_tiny(canvas: &mut Canvas, area: Rect, app: &App, view: &View) {
    if view.entry.is_some() {
        return footer::draw(canvas, area, app, view);
    }
    let theme: &Theme = &view.theme;
    let words = match app.current_step() {
        Some(step) => format!("{} {} {}", steps::mark(step.state), step.id, step.name),
        None => format!("{} of {} done", app.steps_done(), app.steps.len()),
    };
    canvas.render_widget(
        Line::from(Span::styled(
            cut(&words, usize::from(area.width)),
            theme.current,
        )),
        area,
    );
}
