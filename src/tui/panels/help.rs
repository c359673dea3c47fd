//! The help: every key of the table, over the screen.

use ratatui::Frame as Canvas;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

use crate::tui::keys::KEYS;
use crate::tui::theme::Theme;

/// Columns of the widest label in the table.
const LABEL_COLUMNS: usize = 16;

/// Columns that the help wants.
const WANTED_COLUMNS: u16 = 72;

/// Draws the help in the middle of `area`.
pub fn draw(canvas: &mut Canvas, area: Rect, theme: &Theme) {
    let mut lines: Vec<Line> = KEYS
        .iter()
        .map(|b| Line::from(vec![Span::styled(format!("{:<LABEL_COLUMNS$}", b.label), theme.title), Span::raw(b.help)]))
        .collect();
    lines.push(Line::default());
    lines.push(Line::from(vec![
        Span::styled("✓ ", theme.done),
        Span::raw("done   "),
        Span::styled("▶ ", theme.current),
        Span::raw("being done   · not begun   ◆ a gate fired   "),
        Span::styled("╌╌ ", theme.threshold),
        Span::raw("threshold"),
    ]));
    let rows = lines.len() as u16 + 2;
    let place = area.centered(Constraint::Length(WANTED_COLUMNS.min(area.width)), Constraint::Length(rows.min(area.height)));
    canvas.render_widget(Clear, place);
    canvas.render_widget(Paragraph::new(lines).block(theme.panel("Keys").border_style(theme.accent)), place);
}
