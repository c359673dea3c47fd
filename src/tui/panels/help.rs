//! The help: every key of the table and what each mark means, over the screen.

use ratatui::Frame as Canvas;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

use crate::tui::keys::KEYS;
use crate::tui::theme::Theme;
use crate::tui::wrap::{cut, width};

/// Columns of the widest label in the table.
const LABEL_COLUMNS: usize = 11;

/// Columns of one column of the table: two fit on 120.
const ENTRY_COLUMNS: usize = 58;

/// Frame and padding of the panel.
const EDGE_COLUMNS: usize = 4;
const EDGE_ROWS: usize = 2;

/// Draws the help in the middle of `area`, `scroll` lines down (clamped to what there is).
pub fn draw(canvas: &mut Canvas, area: Rect, scroll: &mut usize, theme: &Theme) {
    let room = usize::from(area.width).saturating_sub(EDGE_COLUMNS);
    let columns = if room >= 2 * ENTRY_COLUMNS { 2 } else { 1 };
    let entry_columns = ENTRY_COLUMNS.min(room);
    let mut lines = table(columns, entry_columns, theme);
    lines.push(Line::default());
    lines.extend(marks(theme));
    let wanted_rows = lines.len() + EDGE_ROWS;
    let rows = wanted_rows.min(usize::from(area.height));
    let hidden = wanted_rows - rows;
    *scroll = (*scroll).min(hidden);
    let title = match hidden - *scroll {
        0 => "Keys and marks".to_owned(),
        below => format!("Keys and marks - {below} more below, Down"),
    };
    let wide = (columns * entry_columns + EDGE_COLUMNS) as u16;
    let place = area.centered(Constraint::Length(wide), Constraint::Length(rows as u16));
    let shown: Vec<Line> = lines.into_iter().skip(*scroll).collect();
    canvas.render_widget(Clear, place);
    canvas.render_widget(
        Paragraph::new(shown).block(theme.panel(title).border_style(theme.accent)),
        place,
    );
}

/// The keys in one or two columns, read downwards.
fn table(columns: usize, entry_columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let rows = KEYS.len().div_ceil(columns);
    let entry = |i: usize| -> Vec<Span<'static>> {
        let Some(binding) = KEYS.get(i) else {
            return Vec::new();
        };
        let label = format!("{:<LABEL_COLUMNS$}", binding.label);
        let words = cut(
            binding.help,
            entry_columns.saturating_sub(LABEL_COLUMNS + 1),
        );
        let pad = " ".repeat(entry_columns.saturating_sub(LABEL_COLUMNS + width(&words)));
        vec![
            Span::styled(label, theme.title),
            Span::styled(words, theme.text),
            Span::raw(pad),
        ]
    };
    (0..rows)
        .map(|row| {
            Line::from(
                (0..columns)
                    .flat_map(|c| entry(c * rows + row))
                    .collect::<Vec<_>>(),
            )
        })
        .collect()
}

fn marks(theme: &Theme) -> Vec<Line<'static>> {
    let line = |parts: Vec<(&'static str, ratatui::style::Style)>| {
        Line::from(
            parts
                .into_iter()
                .map(|(text, style)| Span::styled(text, style))
                .collect::<Vec<_>>(),
        )
    };
    vec![
        line(vec![
            ("✓", theme.done),
            (" done  ", theme.text),
            ("▶", theme.current),
            (
                " being done  › comes next  · not begun  » your choice",
                theme.text,
            ),
        ]),
        line(vec![
            ("◆", theme.speak),
            (" a gate fired  ", theme.text),
            ("╌╌", theme.threshold),
            (" its threshold  ", theme.text),
            ("!", theme.warning),
            (" out of order or missed", theme.text),
        ]),
        line(vec![(
            "↳ why a sentence was said: what happened, and the gate",
            theme.text,
        )]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_every_key_fit() {
        for binding in KEYS {
            assert!(width(binding.label) < LABEL_COLUMNS, "{}", binding.label);
            assert!(
                width(binding.help) < ENTRY_COLUMNS - LABEL_COLUMNS,
                "{}",
                binding.help
            );
        }
    }
}
