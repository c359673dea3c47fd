//! The last line: the keys that matter now, an answer to the last key, or the line being typed.

use ratatui::Frame as Canvas;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::tui::app::App;
use crate::tui::entry::{Entry, Purpose};
use crate::tui::panels::pipeline::fit;
use crate::tui::theme::Theme;
use crate::tui::view::View;
use crate::tui::vitals::SourceKind;
use crate::tui::wrap::{cut, tail, width};

/// Columns that a typed line needs before its hint is shown.
const TYPING_COLUMNS_MIN: usize = 24;

/// Draws the line.
pub fn draw(canvas: &mut Canvas, area: Rect, app: &App, view: &View) {
    let columns = usize::from(area.width);
    let line = match (&view.entry, &view.flash) {
        (Some(entry), _) => typing(entry, columns, &view.theme),
        (None, Some(words)) => Line::from(Span::styled(
            cut(&format!(" {words}"), columns),
            view.theme.accent,
        )),
        (None, None) => keys(app, view, columns),
    };
    canvas.render_widget(line, area);
}

fn keys(app: &App, view: &View, columns: usize) -> Line<'static> {
    let theme = &view.theme;
    let mut keys = vec![
        ("q", "quit"),
        ("space", if app.vitals.paused { "go on" } else { "pause" }),
        ("?", "help"),
    ];
    if let Some(step) = view.chosen {
        let label = format!("{step}:");
        let facts = [
            ("d", "done"),
            ("D", "not begun"),
            ("g", "go on here"),
            ("u", "undo"),
            ("Esc", "leave"),
        ];
        let facts = facts.map(|(key, word)| {
            vec![
                (key.to_owned(), theme.title),
                (format!(" {word}"), theme.dim),
            ]
        });
        return fit(
            std::iter::once(vec![(label, theme.accent)])
                .chain(facts)
                .collect(),
            columns,
            theme,
        );
    }
    let recorded = app.vitals.source_kind == SourceKind::Recorded;
    if !recorded {
        keys.extend([("i", "message"), ("Tab", "choose step")]);
    }
    if app.vitals.duration.is_some() {
        keys.push(("Left Right", "seek"));
    }
    if app.vitals.speed.is_some() {
        keys.push(("+ -", "speed"));
    }
    if recorded {
        keys.extend([("[ ]", "events"), ("p", "panel")]);
    } else {
        keys.extend([
            ("< >", "speak threshold"),
            ("p", "panel"),
            ("m", if app.vitals.muted { "speak" } else { "mute" }),
        ]);
    }
    let facts = keys.into_iter().map(|(key, word)| {
        vec![
            (key.to_owned(), theme.title),
            (format!(" {word}"), theme.dim),
        ]
    });
    fit(facts.collect(), columns, theme)
}

fn typing(entry: &Entry, columns: usize, theme: &Theme) -> Line<'static> {
    let (prompt, hint) = match entry.purpose {
        Purpose::Message => (" to proact: ", "   Enter sends, Esc gives up"),
        Purpose::Task => (" task file: ", "   Enter opens, Esc gives up"),
    };
    let hint = if columns >= width(prompt) + width(hint) + TYPING_COLUMNS_MIN {
        hint
    } else {
        ""
    };
    let room = columns.saturating_sub(width(prompt) + width(hint) + 1);
    let (before, behind) = entry.parts();
    // The cursor stays in sight: the text in front of it is cut at its beginning.
    let before = tail(&before, room);
    let behind = cut(&behind, room.saturating_sub(width(&before)));
    let (under, rest) = match behind.chars().next() {
        Some(c) => behind.split_at(c.len_utf8()),
        None => (" ", ""),
    };
    let cursor = theme.text.add_modifier(Modifier::REVERSED);
    Line::from(vec![
        Span::styled(prompt, theme.user),
        Span::styled(before, theme.text),
        Span::styled(under.to_owned(), cursor),
        Span::styled(rest.to_owned(), theme.text),
        Span::styled(hint, theme.dim),
    ])
}
