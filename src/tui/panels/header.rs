//! Top of the screen: what runs, on what, how far, and the goal.

use ratatui::Frame as Canvas;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

use crate::tui::app::{App, StepRow};
use crate::tui::theme::Theme;
use crate::tui::vitals::SourceKind;
use crate::tui::wrap::{cut, width};
use crate::units::MediaTime;

/// Columns of the progress bar at most.
const BAR_COLUMNS_MAX: u16 = 40;

/// States that are no cause for worry.
const RUNNING: &str = "running";
const FINISHED: &str = "finished - q leaves, Home plays it again";

/// Columns from which the second line has room for the step that comes next.
const NEXT_COLUMNS_MIN: usize = 70;

/// `LIVE`, `REPLAY`, or `PAUSED` when nothing is taken in.
pub fn badge(app: &App) -> &'static str {
    if app.vitals.paused {
        "PAUSED"
    } else {
        app.vitals.source_kind.word()
    }
}

/// Draws the header on two lines: badge, source, state, time; below it the goal and the steps now
/// and next. Gives the place of the bar that shows how far the recording is.
pub fn draw(canvas: &mut Canvas, area: Rect, app: &App, theme: &Theme) -> Rect {
    let [top, goal] = Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(area);
    let clock = clock(app);
    let clock_columns = width(&clock) as u16 + 1;
    let bar_columns = if app.vitals.duration.is_some() {
        BAR_COLUMNS_MAX.min(top.width / 4)
    } else {
        0
    };
    let [left, bar, right] = Layout::horizontal([
        Constraint::Min(0),
        Constraint::Length(bar_columns),
        Constraint::Length(clock_columns),
    ])
    .areas(top);

    let state = state(app);
    let badge = format!(" {} ", badge(app));
    let used = width(&badge) + width(state) + 4;
    let source = match app.vitals.source_kind {
        SourceKind::Demo => format!("demo: {}", app.vitals.source),
        _ => app.vitals.source.clone(),
    };
    let source = cut(&source, usize::from(left.width).saturating_sub(used));
    let state_style = match state {
        RUNNING => theme.text,
        FINISHED => theme.done,
        _ => theme.warning,
    };
    let line = Line::from(vec![
        Span::styled(badge, theme.current),
        Span::raw(" "),
        Span::styled(source, theme.text),
        Span::raw("  "),
        Span::styled(state, state_style),
    ]);
    canvas.render_widget(line, left);
    canvas.render_widget(progress(app, bar.width, theme), bar);
    canvas.render_widget(
        Line::from(Span::styled(clock, theme.text)).right_aligned(),
        right,
    );

    if app.speak.threshold.is_some() {
        canvas.render_widget(second_line(app, usize::from(goal.width), theme), goal);
    }
    bar
}

/// The goal and, where there is room, which step the person is in and which comes next.
fn second_line(app: &App, columns: usize, theme: &Theme) -> Line<'static> {
    if app.goal.is_empty() {
        return Line::from(Span::styled(
            cut(" no task given: the assistant only speaks", columns),
            theme.dim,
        ));
    }
    let mut facts = vec![(" Goal ", app.goal.clone(), theme.title)];
    let label = |row: &StepRow| format!("{} {}", row.id, row.name);
    if columns >= NEXT_COLUMNS_MIN && !app.steps.is_empty() {
        facts.push(match app.current_step() {
            Some(row) => ("  Now ", label(row), theme.current),
            None if app.steps_done() == 0 => ("  Now ", "not begun".into(), theme.text),
            None if app.steps_done() == app.steps.len() => {
                ("  Now ", "all done".into(), theme.done)
            }
            None => ("  Now ", "between two steps".into(), theme.text),
        });
        facts.extend(
            app.next_step()
                .map(|row| ("  Next ", label(row), theme.text)),
        );
    }
    let names: usize = facts.iter().map(|(name, ..)| width(name)).sum();
    let mut room = columns.saturating_sub(names);
    // The shortest first: the others share the columns that it does not need.
    let mut order: Vec<usize> = (0..facts.len()).collect();
    order.sort_by_key(|i| width(&facts[*i].1));
    let mut shares = vec![0; facts.len()];
    for (taken, i) in order.into_iter().enumerate() {
        shares[i] = width(&facts[i].1).min(room / (facts.len() - taken));
        room -= shares[i];
    }
    let spans = facts
        .into_iter()
        .zip(shares)
        .flat_map(|((name, words, style), share)| {
            [
                Span::styled(name, theme.dim),
                Span::styled(cut(&words, share), style),
            ]
        });
    Line::from(spans.collect::<Vec<_>>())
}

fn state(app: &App) -> &'static str {
    match app {
        App { ended: true, .. } => FINISHED,
        App { vitals, .. } if vitals.paused && vitals.source_kind == SourceKind::Live => {
            "camera closed - space opens it again"
        }
        App { vitals, .. } if vitals.paused => "space goes on",
        App {
            source_lost: true, ..
        } => "NO FRAMES",
        App { speak, .. } if speak.threshold.is_none() => "loading",
        _ => RUNNING,
    }
}

fn clock(app: &App) -> String {
    let seconds = |t: MediaTime| {
        let s = t.seconds().max(0.0).round() as u64;
        format!("{}:{:02}", s / 60, s % 60)
    };
    match app.vitals.duration {
        Some(duration) => format!(" {} / {}", seconds(app.now), seconds(duration)),
        None => format!(" {}", seconds(app.now)),
    }
}

fn progress(app: &App, columns: u16, theme: &Theme) -> Line<'static> {
    let Some(duration) = app.vitals.duration.filter(|d| d.seconds() > 0.0) else {
        return Line::default();
    };
    let share = if app.ended {
        1.0
    } else {
        (app.now.seconds() / duration.seconds()).clamp(0.0, 1.0)
    };
    let full = (share * f64::from(columns)).round() as usize;
    Line::from(vec![
        Span::styled("━".repeat(full), theme.accent),
        Span::styled("─".repeat(usize::from(columns) - full), theme.dim),
    ])
}
