//! The steps: state mark, name, when it began and ended; the one being done stands out.

use ratatui::Frame as Canvas;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::dialogue::task::StepState;
use crate::tui::app::{App, StepRow};
use crate::tui::theme::Theme;
use crate::tui::wrap::{cut, width, wrap};
use crate::units::MediaTime;

/// Columns of `m:ss.s`, right-aligned; a recording of over an hour takes one more.
const TIME_COLUMNS: usize = 6;

/// Below this many columns there is one time a step instead of two.
const TWO_TIMES_FROM: usize = 44;

/// Lines that the name of the step being done may take.
const CURRENT_LINES_MAX: usize = 2;

/// The mark in front of a step.
pub fn mark(state: StepState) -> &'static str {
    match state {
        StepState::NotStarted => "·",
        StepState::InProgress => "▶",
        StepState::Completed => "✓",
    }
}

/// Draws the list; it scrolls by itself so that the step being done stays in sight.
pub fn draw(canvas: &mut Canvas, area: Rect, app: &App, theme: &Theme) {
    let title = match app.steps.len() {
        0 => "Steps".to_owned(),
        all => format!("Steps {} of {all} done", app.steps_done()),
    };
    let block = theme.panel(title);
    let inner = block.inner(area);
    canvas.render_widget(block, area);
    if app.steps.is_empty() {
        canvas.render_widget(Paragraph::new(Span::styled("none", theme.dim)), inner);
        return;
    }
    canvas.render_widget(Paragraph::new(visible(app, inner, theme)), inner);
}

/// The lines that fit into `inner`, around the step being done (or the last one that changed).
pub fn visible(app: &App, inner: Rect, theme: &Theme) -> Vec<Line<'static>> {
    let columns = usize::from(inner.width);
    let mut lines = Vec::new();
    let mut focus = 0..0;
    for (i, row) in app.steps.iter().enumerate() {
        let from = lines.len();
        lines.extend(row_lines(row, columns, theme));
        let is_focus = match app.current_step() {
            Some(current) => current.id == row.id,
            None => row.state == StepState::Completed || i == 0,
        };
        if is_focus {
            focus = from..lines.len();
        }
    }
    window(lines, focus, usize::from(inner.height), theme)
}

/// `rows` of the lines, with the focus in sight and what is hidden counted at the edges.
fn window(lines: Vec<Line<'static>>, focus: std::ops::Range<usize>, rows: usize, theme: &Theme) -> Vec<Line<'static>> {
    let total = lines.len();
    if total <= rows || rows == 0 {
        return lines;
    }
    // One third above the focus, two thirds below: what comes next matters more than what is done.
    let first = focus.start.saturating_sub(rows / 3).min(total - rows);
    let mut shown: Vec<_> = lines.into_iter().skip(first).take(rows).collect();
    let more = |n: usize, arrow: &str| Line::from(Span::styled(format!("{arrow} {n} more"), theme.dim));
    if rows > 2 {
        if first > 0 && focus.start > first {
            shown[0] = more(first + 1, "↑");
        }
        let below = total - first - rows;
        if below > 0 && focus.end < first + rows {
            shown[rows - 1] = more(below + 1, "↓");
        }
    }
    shown
}

fn row_lines(row: &StepRow, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let times = times(row, columns);
    let lead = format!("{} {:<3} ", mark(row.state), row.id.to_string());
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
            let lead = if i == 0 { lead.clone() } else { " ".repeat(width(&lead)) };
            let times = if i == 0 { times.clone() } else { " ".repeat(width(&times)) };
            let pad = " ".repeat(room.saturating_sub(width(&name)) + 1);
            let times_style = if row.state == StepState::InProgress { style } else { theme.dim };
            // What is done steps back behind what is to come.
            let name_style = if row.state == StepState::Completed { theme.dim } else { style };
            Line::from(vec![
                Span::styled(lead, style),
                Span::styled(name + &pad, name_style),
                Span::styled(times, times_style),
            ])
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

/// `  0:02.0 –  0:14.5`; in a narrow panel the last time only.
fn times(row: &StepRow, columns: usize) -> String {
    let time = |t: Option<MediaTime>| format!("{:>TIME_COLUMNS$}", t.map(|t| t.to_string()).unwrap_or_default());
    // What has no times yet leaves the room to its name.
    if row.state == StepState::NotStarted {
        return String::new();
    }
    if columns < TWO_TIMES_FROM {
        return time(row.ended.or(row.started));
    }
    let end = if row.state == StepState::InProgress { format!("{:TIME_COLUMNS$}", "now") } else { time(row.ended) };
    format!("{} – {end}", time(row.started))
}
