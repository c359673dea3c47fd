//! The log: what happened and when, diagnostics, and answers to the person's requests; the newest
//! at the bottom.

use ratatui::Frame as Canvas;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::tui::app::App;
use crate::tui::theme::Theme;
use crate::tui::wrap::{width, wrap};

/// Draws the newest lines that fit.
pub fn draw(canvas: &mut Canvas, area: Rect, app: &App, theme: &Theme) {
    let block = theme.panel("Log");
    let inner = block.inner(area);
    canvas.render_widget(block, area);
    if app.log.is_empty() {
        canvas.render_widget(
            Paragraph::new(Span::styled("nothing to tell", theme.dim)),
            inner,
        );
        return;
    }
    let (columns, rows) = (usize::from(inner.width), usize::from(inner.height));
    // From the newest back, until the panel is full.
    let mut shown: Vec<Line> = Vec::new();
    for entry in app.log.iter().rev() {
        let style = if entry.worry {
            theme.warning
        } else {
            theme.text
        };
        let time = entry
            .at
            .map(|at| format!("{:>6} ", at.to_string()))
            .unwrap_or_default();
        // A warning must be seen without colour too.
        let sign = if entry.worry && entry.at.is_some() {
            "! "
        } else {
            ""
        };
        let lead = width(&time);
        let lines = wrap(
            &format!("{sign}{}", entry.text),
            columns.saturating_sub(lead),
        );
        shown.extend(lines.into_iter().enumerate().rev().map(|(i, text)| {
            let time = if i == 0 {
                time.clone()
            } else {
                " ".repeat(lead)
            };
            Line::from(vec![
                Span::styled(time, theme.dim),
                Span::styled(text, style),
            ])
        }));
        if shown.len() >= rows {
            break;
        }
    }
    shown.truncate(rows);
    shown.reverse();
    canvas.render_widget(Paragraph::new(shown), inner);
}
