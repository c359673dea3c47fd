//! The log: diagnostics of the run and answers to what the person wished, the newest at the bottom.

use ratatui::Frame as Canvas;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::tui::app::App;
use crate::tui::theme::Theme;
use crate::tui::wrap::wrap;

/// Draws the newest lines that fit.
pub fn draw(canvas: &mut Canvas, area: Rect, app: &App, theme: &Theme) {
    let block = theme.panel("Log");
    let inner = block.inner(area);
    canvas.render_widget(block, area);
    if app.log.is_empty() {
        canvas.render_widget(Paragraph::new(Span::styled("nothing to tell", theme.dim)), inner);
        return;
    }
    let (columns, rows) = (usize::from(inner.width), usize::from(inner.height));
    // From the newest back, until the panel is full.
    let mut shown: Vec<Line> = Vec::new();
    for entry in app.log.iter().rev() {
        let worry = entry.starts_with("WARN") || entry.starts_with("ERROR") || entry.starts_with('!');
        let style = if worry { theme.warning } else { theme.text };
        let lines = wrap(entry, columns);
        shown.extend(lines.into_iter().rev().map(|text| Line::from(Span::styled(text, style))));
        if shown.len() >= rows {
            break;
        }
    }
    shown.truncate(rows);
    shown.reverse();
    canvas.render_widget(Paragraph::new(shown), inner);
}
