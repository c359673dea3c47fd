//! Top of the screen: what runs, on what, how far, and the goal.

use ratatui::Frame as Canvas;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

use crate::tui::app::App;
use crate::tui::theme::Theme;
use crate::tui::wrap::{cut, width};
use crate::units::MediaTime;

/// Columns of the progress bar at most.
const BAR_COLUMNS_MAX: u16 = 40;

/// States that are no cause for worry.
const RUNNING: &str = "running";
const FINISHED: &str = "finished - q leaves";

/// Draws the header on two lines: badge, state, source, time; below it the goal.
pub fn draw(canvas: &mut Canvas, area: Rect, app: &App, theme: &Theme) {
    let [top, goal] = Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(area);
    let clock = clock(app);
    let clock_columns = width(&clock) as u16 + 1;
    let bar_columns = if app.status.duration.is_some() { BAR_COLUMNS_MAX.min(top.width / 4) } else { 0 };
    let [left, bar, right] =
        Layout::horizontal([Constraint::Min(0), Constraint::Length(bar_columns), Constraint::Length(clock_columns)])
            .areas(top);

    let state = state(app);
    let badge = format!(" proact {} ", app.status.mode.word());
    let used = width(&badge) + width(state) + 4;
    let source = cut(&app.status.source, usize::from(left.width).saturating_sub(used));
    let state_style = match state {
        RUNNING => theme.text,
        FINISHED => theme.done,
        _ => theme.warning,
    };
    let line = Line::from(vec![
        Span::styled(badge, theme.current),
        Span::raw(" "),
        Span::styled(state, state_style),
        Span::raw("  "),
        Span::styled(source, theme.dim),
    ]);
    canvas.render_widget(line, left);
    canvas.render_widget(progress(app, bar.width, theme), bar);
    canvas.render_widget(Line::from(Span::styled(clock, theme.text)).right_aligned(), right);

    if app.speak.kind.is_empty() {
        return;
    }
    let words = if app.goal.is_empty() { "no task given: the assistant only speaks" } else { &app.goal };
    let line = Line::from(vec![
        Span::styled(" Goal ", theme.dim),
        Span::styled(cut(words, usize::from(goal.width).saturating_sub(6)), theme.title),
    ]);
    canvas.render_widget(line, goal);
}

fn state(app: &App) -> &'static str {
    match app {
        App { ended: true, .. } => FINISHED,
        App { status, .. } if status.paused => "PAUSED - space goes on",
        App { source_lost: true, .. } => "NO FRAMES",
        App { speak, .. } if speak.kind.is_empty() => "loading",
        _ => RUNNING,
    }
}

fn clock(app: &App) -> String {
    let seconds = |t: MediaTime| {
        let s = t.seconds().max(0.0).round() as u64;
        format!("{}:{:02}", s / 60, s % 60)
    };
    match app.status.duration {
        Some(duration) => format!(" {} / {}", seconds(app.now), seconds(duration)),
        None => format!(" {}", seconds(app.now)),
    }
}

fn progress(app: &App, columns: u16, theme: &Theme) -> Line<'static> {
    let Some(duration) = app.status.duration.filter(|d| d.seconds() > 0.0) else { return Line::default() };
    let share = if app.ended { 1.0 } else { (app.now.seconds() / duration.seconds()).clamp(0.0, 1.0) };
    let full = (share * f64::from(columns)).round() as usize;
    Line::from(vec![
        Span::styled("━".repeat(full), theme.accent),
        Span::styled("─".repeat(usize::from(columns) - full), theme.dim),
    ])
}
