//! The steps: state mark, name, when it began and ended; the one being done stands out.

use ratatui::Frame as Canvas;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::dialogue::task::StepState;
use crate::tui::app::{App, StepRow};
use crate::tui::theme::Theme;
use crate::tui::wrap::{cut, width, wrap};
use crate::units::{MediaTime, StepId};

/// Columns of `m:ss`, right-aligned; a recording of over an hour takes one more. Tenths of a second
/// take two more.
const TIME_COLUMNS: usize = 4;
const TENTHS_COLUMNS: usize = 2;

/// Below this many columns there is one time a step instead of two.
const TWO_TIMES_FROM: usize = 40;

/// Below this many columns, times are whole seconds: the name needs the room.
const TENTHS_FROM: usize = 56;

/// Lines that the name of the step being done may take.
const CURRENT_LINES_MAX: usize = 2;

/// Rows of the panel's frame, and the fewest rows of the panel.
const EDGE_ROWS: usize = 2;
const ROWS_MIN: usize = 8;

/// Columns of the bar in the title.
const PROGRESS_COLUMNS: usize = 10;

/// The sign between the mark and the id of the step that the person has chosen.
const CHOSEN: &str = "»";
/// The mark of the step that comes next.
const NEXT: &str = "›";
/// The word in the place of the next step's times.
const NEXT_WORD: &str = "next";

/// The mark in front of a step.
pub fn mark(state: StepState) -> &'static str {
    match state {
        StepState::NotStarted => "·",
        StepState::InProgress => "▶",
        StepState::Completed => "✓",
    }
}

/// Where the list stands on the screen, and the step on each of its lines.
pub type Rows = (Rect, Vec<Option<StepId>>);

/// Rows that the panel needs to show every step; the one being done may take more than one line.
pub fn rows_wanted(app: &App) -> u32 {
    let warnings: usize = app.steps.iter().map(|row| row.warnings.len()).sum();
    (EDGE_ROWS + app.steps.len().max(1) + CURRENT_LINES_MAX - 1 + warnings).max(ROWS_MIN) as u32
}

/// Draws the list in a panel; it scrolls by itself so that the chosen step, or the one being done,
/// stays in sight.
pub fn draw(
    canvas: &mut Canvas,
    area: Rect,
    app: &App,
    chosen: Option<StepId>,
    theme: &Theme,
) -> Rows {
    let warnings: usize = app.steps.iter().map(|row| row.warnings.len()).sum();
    let mut title = match app.steps.len() {
        0 => "Steps".to_owned(),
        all => format!(
            "Steps {} of {all} done {}",
            app.steps_done(),
            progress(app.steps_done(), all)
        ),
    };
    if warnings > 0 {
        title.push_str(&format!(" ! {warnings}"));
    }
    let block = theme.panel(title);
    let inner = block.inner(area);
    canvas.render_widget(block, area);
    if app.steps.is_empty() {
        canvas.render_widget(
            Paragraph::new(Span::styled("none: o takes a task file", theme.dim)),
            inner,
        );
        return Rows::default();
    }
    draw_list(canvas, inner, app, chosen, theme)
}

/// Draws the list alone.
pub fn draw_list(
    canvas: &mut Canvas,
    area: Rect,
    app: &App,
    chosen: Option<StepId>,
    theme: &Theme,
) -> Rows {
    let (lines, ids) = visible(app, area, chosen, theme);
    canvas.render_widget(Paragraph::new(lines), area);
    (area, ids)
}

/// `▰▰▱▱▱`: how much of the task is done.
fn progress(done: usize, all: usize) -> String {
    // Rounded, but the bar is full only when all is done.
    let full = (done * PROGRESS_COLUMNS + all / 2)
        .checked_div(all)
        .unwrap_or(0);
    let full = if done < all {
        full.min(PROGRESS_COLUMNS - 1)
    } else {
        full
    };
    format!(
        "{}{}",
        "▰".repeat(full),
        "▱".repeat(PROGRESS_COLUMNS - full)
    )
}

/// The lines that fit into `inner`, around the step in focus, each with its step.
fn visible(
    app: &App,
    inner: Rect,
    chosen: Option<StepId>,
    theme: &Theme,
) -> (Vec<Line<'static>>, Vec<Option<StepId>>) {
    let columns = usize::from(inner.width);
    let (mut lines, mut ids) = (Vec::new(), Vec::new());
    let mut focus = 0..0;
    let current = app.current_step().map(|row| row.id);
    let next = app.next_step().map(|row| row.id);
    for (i, row) in app.steps.iter().enumerate() {
        let from = lines.len();
        let role = Role {
            chosen: chosen == Some(row.id),
            next: next == Some(row.id),
        };
        lines.extend(row_lines(row, role, columns, theme));
        ids.resize(lines.len(), Some(row.id));
        let is_focus = match chosen.or(current) {
            Some(step) => step == row.id,
            None => row.state == StepState::Completed || i == 0,
        };
        if is_focus {
            focus = from..lines.len();
        }
    }
    window(lines, ids, focus, usize::from(inner.height), theme)
}

/// What a step is besides its state.
#[derive(Clone, Copy)]
struct Role {
    chosen: bool,
    next: bool,
}

/// `rows` of the lines, with the focus in sight and what is hidden counted at the edges.
fn window(
    mut lines: Vec<Line<'static>>,
    mut ids: Vec<Option<StepId>>,
    focus: std::ops::Range<usize>,
    rows: usize,
    theme: &Theme,
) -> (Vec<Line<'static>>, Vec<Option<StepId>>) {
    let total = lines.len();
    if total <= rows || rows == 0 {
        return (lines, ids);
    }
    // One third above the focus, two thirds below: what comes next matters more than what is done.
    let first = focus.start.saturating_sub(rows / 3).min(total - rows);
    let below = total - first - rows;
    lines = lines.into_iter().skip(first).take(rows).collect();
    ids = ids.into_iter().skip(first).take(rows).collect();
    let more =
        |n: usize, arrow: &str| Line::from(Span::styled(format!("{arrow} {n} more"), theme.dim));
    if rows > 2 {
        if first > 0 && focus.start > first {
            (lines[0], ids[0]) = (more(first + 1, "↑"), None);
        }
        if below > 0 && focus.end < first + rows {
            (lines[rows - 1], ids[rows - 1]) = (more(below + 1, "↓"), None);
        }
    }
    (lines, ids)
}

fn row_lines(row: &StepRow, role: Role, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let times = if role.next {
        NEXT_WORD.to_owned()
    } else {
        times(row, columns)
    };
    let sign = if role.next { NEXT } else { mark(row.state) };
    let lead = format!(
        "{sign}{}{:<3} ",
        if role.chosen { CHOSEN } else { " " },
        row.id.to_string()
    );
    let room = columns.saturating_sub(width(&lead) + width(&times) + 1);
    let style = match row.state {
        StepState::NotStarted => theme.text,
        StepState::InProgress => theme.current,
        StepState::Completed => theme.done,
    };
    let name_lines = match row.state {
        StepState::InProgress => clamp_lines(wrap(&row.name, room), room),
        _ => vec![cut(&row.name, room)],
    };
    let mut lines: Vec<Line> = name_lines
        .into_iter()
        .enumerate()
        .map(|(i, name)| {
            let lead = if i == 0 {
                lead.clone()
            } else {
                " ".repeat(width(&lead))
            };
            let times = if i == 0 {
                times.clone()
            } else {
                " ".repeat(width(&times))
            };
            let pad = " ".repeat(room.saturating_sub(width(&name)) + 1);
            let times_style = match row.state {
                StepState::InProgress => style,
                _ if role.next => theme.accent,
                _ => theme.dim,
            };
            // What is done steps back behind what is to come.
            let name_style = if row.state == StepState::Completed {
                theme.dim
            } else {
                style
            };
            let line = Line::from(vec![
                Span::styled(lead, style),
                Span::styled(name + &pad, name_style),
                Span::styled(times, times_style),
            ]);
            if role.chosen {
                line.patch_style(Style::new().add_modifier(Modifier::UNDERLINED | Modifier::BOLD))
            } else {
                line
            }
        })
        .collect();
    for warning in &row.warnings {
        let text = cut(&format!("      ! {warning}"), columns);
        lines.push(Line::from(Span::styled(text, theme.warning)));
    }
    lines
}

fn clamp_lines(mut lines: Vec<String>, columns: usize) -> Vec<String> {
    if lines.len() > CURRENT_LINES_MAX {
        lines.truncate(CURRENT_LINES_MAX);
        if let Some(last) = lines.last_mut() {
            *last = cut(&format!("{last} …"), columns);
        }
    }
    lines
}

/// ` 0:02.0 –  0:14.5`, or in whole seconds; in a narrow panel the last time only.
fn times(row: &StepRow, columns: usize) -> String {
    // What has no times yet leaves the room to its name.
    if row.state == StepState::NotStarted {
        return String::new();
    }
    let tenths = columns >= TENTHS_FROM;
    let time_columns = if tenths {
        TIME_COLUMNS + TENTHS_COLUMNS
    } else {
        TIME_COLUMNS
    };
    let time = |t: Option<MediaTime>| {
        let text = t.map(|t| t.to_string()).unwrap_or_default();
        let text = if tenths {
            text.as_str()
        } else {
            text.split('.').next().unwrap_or_default()
        };
        format!("{text:>time_columns$}")
    };
    if columns < TWO_TIMES_FROM {
        return time(row.ended.or(row.started));
    }
    let end = if row.state == StepState::InProgress {
        format!("{:time_columns$}", "now")
    } else {
        time(row.ended)
    };
    format!(
        "{}{}{end}",
        time(row.started),
        if tenths { " – " } else { "–" }
    )
}
