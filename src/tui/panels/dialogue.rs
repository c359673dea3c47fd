//! The dialogue: when, who, what and why; wrapped, the newest at the bottom, the older ones a
//! scroll away.

use ratatui::Frame as Canvas;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::tui::app::{App, DialogueLine, Who};
use crate::tui::theme::Theme;
use crate::tui::wrap::{width, wrap};

/// Columns of the longest word in front of a line: `proact`.
const WHO_COLUMNS: usize = 6;

/// Draws the dialogue, `scroll` lines back from its end (clamped to what there is).
pub fn draw(canvas: &mut Canvas, area: Rect, app: &App, scroll: &mut usize, theme: &Theme) {
    let columns = usize::from(theme.panel("").inner(area).width);
    let rows = usize::from(theme.panel("").inner(area).height);
    let lines = lines(app, columns, theme);
    let hidden = lines.len().saturating_sub(rows);
    *scroll = (*scroll).min(hidden);
    let mut title = "Dialogue".to_owned();
    if app.vitals.muted {
        title.push_str(" (muted)");
    }
    if *scroll > 0 {
        title.push_str(&format!(" - {scroll} lines back, End returns"));
    }
    let block = theme.panel(title);
    let inner = block.inner(area);
    canvas.render_widget(block, area);
    if lines.is_empty() {
        let quiet = Span::styled("nothing said yet", theme.dim);
        canvas.render_widget(Paragraph::new(quiet), inner);
        return;
    }
    let first = hidden - *scroll;
    let shown: Vec<Line> = lines.into_iter().skip(first).take(rows).collect();
    canvas.render_widget(Paragraph::new(shown), inner);
}

fn lines(app: &App, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for line in &app.dialogue {
        lines.extend(entry(line, "", columns, theme));
    }
    if let Some(partial) = app.vitals.partial.as_ref().filter(|p| !p.is_empty()) {
        let line = DialogueLine {
            at: app.now,
            who: Who::Assistant,
            text: partial.clone(),
            why: String::new(),
        };
        lines.extend(entry(&line, " ▌", columns, theme));
    }
    lines
}

fn entry(line: &DialogueLine, cursor: &str, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let (who_style, text_style) = match line.who {
        Who::Assistant => (theme.speak, theme.text),
        Who::User => (theme.user, theme.text),
        Who::Notice => (theme.dim, theme.dim),
        Who::Warning => (theme.warning, theme.warning),
    };
    let at = format!("{:>6} ", line.at.to_string());
    let who = format!("{:<WHO_COLUMNS$} ", line.who.word());
    let lead = width(&at) + width(&who);
    let mut out = Vec::new();
    let mut pieces = wrap(&line.text, columns.saturating_sub(lead));
    if let Some(last) = pieces.last_mut() {
        last.push_str(cursor);
    }
    for (i, piece) in pieces.into_iter().enumerate() {
        let words = Span::styled(piece, text_style);
        out.push(match i {
            0 => Line::from(vec![
                Span::styled(at.clone(), theme.dim),
                Span::styled(who.clone(), who_style),
                words,
            ]),
            _ => Line::from(vec![Span::raw(" ".repeat(lead)), words]),
        });
    }
    if !line.why.is_empty() {
        let why = wrap(&format!("↳ {}", line.why), columns.saturating_sub(lead));
        out.extend(why.into_iter().map(|piece| {
            Line::from(vec![
                Span::raw(" ".repeat(lead)),
                Span::styled(piece, theme.dim),
            ])
        }));
    }
    out
}
