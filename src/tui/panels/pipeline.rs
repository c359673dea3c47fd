//! What the run costs: time by stage, speed, lag, losses, memory, device. As a panel, or as lines
//! at the bottom.

use ratatui::Frame as Canvas;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::tui::app::App;
use crate::tui::theme::Theme;
use crate::tui::vitals::StageTime;
use crate::tui::wrap::{cut, width};

/// A lag above this is shown as a warning, in seconds.
const LAG_WORRY_S: f64 = 2.0;

/// Between two facts on the line.
const GAP: &str = "   ";

/// Columns of a name in the panel.
const NAME_COLUMNS: usize = 11;

/// Columns of a time in the panel: `1234.5 ms`.
const TIME_COLUMNS: usize = 10;

/// Frame of the panel.
const EDGE_ROWS: usize = 2;

/// Columns of a bar at most.
const BAR_COLUMNS_MAX: usize = 24;

/// Draws the panel; what does not fit is cut at the bottom, where it matters least.
pub fn draw(canvas: &mut Canvas, area: Rect, app: &App, theme: &Theme) {
    let block = theme.panel("Pipeline");
    let inner = block.inner(area);
    canvas.render_widget(block, area);
    canvas.render_widget(
        Paragraph::new(rows(app, usize::from(inner.width), theme)),
        inner,
    );
}

/// Rows of a panel that shows everything.
pub fn rows_wanted(app: &App, theme: &Theme) -> u16 {
    (EDGE_ROWS + rows(app, 0, theme).len()) as u16
}

fn rows(app: &App, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let mut rows = stage_rows(app, columns, theme);
    let s = &app.vitals;
    let row = |name: &str, value: String, style: Style| {
        let room = columns.saturating_sub(NAME_COLUMNS);
        Line::from(vec![
            Span::styled(format!("{name:<NAME_COLUMNS$}"), theme.dim),
            Span::styled(cut(&value, room), style),
        ])
    };
    let worry = |bad: bool| if bad { theme.warning } else { theme.text };
    let mark = |bad: bool| if bad { " !" } else { "" };
    rows.push(row(
        "speed",
        format!("{} frames/s", figure(s.frames_per_s)),
        theme.text,
    ));
    rows.push(row(
        "real time",
        format!("{}x", figure(s.realtime_factor)),
        theme.text,
    ));
    let late = s.lag_s >= LAG_WORRY_S;
    rows.push(row(
        "lag",
        format!("{:.1} s{}", s.lag_s, mark(late)),
        worry(late),
    ));
    rows.push(row(
        "dropped",
        format!("{} frames{}", app.dropped, mark(app.dropped > 0)),
        worry(app.dropped > 0),
    ));
    rows.extend(memory_rows(app, columns, theme));
    if let Some(bytes) = s.process_bytes {
        rows.push(row("process", format!("{} MiB", bytes >> 20), theme.text));
    }
    let plays = match s.speed {
        Some(speed) => format!("{speed}x"),
        None => "as frames come".to_owned(),
    };
    rows.push(row("plays at", plays, theme.text));
    for (name, value) in [("device", &s.device), ("weights", &s.quantization)] {
        if !value.is_empty() {
            rows.push(row(name, value.clone(), theme.text));
        }
    }
    rows
}

/// Draws the facts on one line or two, the most important first; what does not fit is left out
/// whole, never cut.
pub fn draw_lines(canvas: &mut Canvas, area: Rect, app: &App, theme: &Theme) {
    let columns = usize::from(area.width);
    let (mut facts, stages) = (facts(app, theme), stages(app, theme));
    match area.height {
        0 => {}
        1 => {
            facts.extend(stages);
            canvas.render_widget(fit(facts, columns, theme), area);
        }
        _ => canvas.render_widget(
            Paragraph::new(vec![
                fit(facts, columns, theme),
                fit(stages, columns, theme),
            ]),
            area,
        ),
    }
}

/// Three digits that mean something: `8.0`, `102`.
fn figure(value: f64) -> String {
    if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// Words, each with its style, that stay together.
pub(super) type Fact = Vec<(String, Style)>;

/// As many facts as fit on one line.
pub(super) fn fit(facts: Vec<Fact>, columns: usize, theme: &Theme) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    let mut used = 1;
    for fact in facts {
        let wide: usize = fact.iter().map(|(text, _)| width(text)).sum();
        let gap = if used > 1 { GAP } else { "" };
        if used + gap.len() + wide > columns {
            continue;
        }
        used += gap.len() + wide;
        spans.push(Span::styled(gap, theme.dim));
        spans.extend(
            fact.into_iter()
                .map(|(text, style)| Span::styled(text, style)),
        );
    }
    Line::from(spans)
}

/// Time by stage, with a bar for each one's share of the frame.
fn stage_rows(app: &App, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let total: f64 = app.vitals.stages.iter().map(|s| s.mean_ms).sum();
    let room = columns
        .saturating_sub(NAME_COLUMNS + TIME_COLUMNS + 1)
        .min(BAR_COLUMNS_MAX);
    let row = |name: &str, mean_ms: f64, share: f64| {
        Line::from(vec![
            Span::styled(format!("{name:<NAME_COLUMNS$}"), theme.dim),
            Span::styled(
                format!("{:>TIME_COLUMNS$} ", format!("{mean_ms:.1} ms")),
                theme.text,
            ),
            Span::styled(
                "▇".repeat((share * room as f64).round() as usize),
                theme.accent,
            ),
        ])
    };
    let share = |ms: f64| {
        if total > 0.0 {
            (ms / total).clamp(0.0, 1.0)
        } else {
            0.0
        }
    };
    let mut rows: Vec<Line> = app
        .vitals
        .stages
        .iter()
        .map(|s| row(s.name, s.mean_ms, share(s.mean_ms)))
        .collect();
    if !rows.is_empty() {
        rows.push(row("a frame", total, 0.0));
    }
    rows
}

/// How full the model's memory is, and when it begins anew.
fn memory_rows(app: &App, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let s = &app.vitals;
    if s.memory_capacity == 0 {
        return Vec::new();
    }
    let name = |text: &str| Span::styled(format!("{text:<NAME_COLUMNS$}"), theme.dim);
    let value = format!("{} of {} tokens ", s.memory_tokens, s.memory_capacity);
    let room = columns
        .saturating_sub(NAME_COLUMNS + width(&value))
        .min(BAR_COLUMNS_MAX);
    let share = (s.memory_tokens as f64 / s.memory_capacity as f64).clamp(0.0, 1.0);
    let full = (share * room as f64).round() as usize;
    let reset = match app.memory_reset_in_s() {
        Some(seconds) => format!("in {seconds:.0} s, over {}", s.memory_reset),
        None => format!("over {}", s.memory_reset),
    };
    vec![
        Line::from(vec![
            name("memory"),
            Span::styled(value, theme.text),
            Span::styled("━".repeat(full), theme.accent),
            Span::styled("─".repeat(room - full), theme.dim),
        ]),
        Line::from(vec![
            name("next reset"),
            Span::styled(
                cut(&reset, columns.saturating_sub(NAME_COLUMNS)),
                theme.text,
            ),
        ]),
    ]
}

fn facts(app: &App, theme: &Theme) -> Vec<Fact> {
    let s = &app.vitals;
    let value = |text: String| (text, theme.text);
    let unit = |text: &str| (text.to_owned(), theme.dim);
    let mut facts = vec![
        vec![value(figure(s.frames_per_s)), unit(" frames/s")],
        vec![
            value(format!("{}x", figure(s.realtime_factor))),
            unit(" real time"),
        ],
    ];
    if s.lag_s >= LAG_WORRY_S {
        facts.push(vec![(format!("! lag {:.1} s", s.lag_s), theme.warning)]);
    }
    if app.dropped > 0 {
        facts.push(vec![(format!("! {} dropped", app.dropped), theme.warning)]);
    }
    if s.memory_capacity > 0 {
        facts.push(vec![
            unit("memory "),
            value(format!("{}/{}", s.memory_tokens, s.memory_capacity)),
            unit(" tokens"),
        ]);
    }
    if let Some(bytes) = s.process_bytes {
        facts.push(vec![value(format!("{}", bytes >> 20)), unit(" MiB")]);
    }
    if s.lag_s < LAG_WORRY_S {
        facts.push(vec![
            unit("lag "),
            value(format!("{:.1}", s.lag_s)),
            unit(" s"),
        ]);
    }
    if let Some(speed) = s.speed {
        facts.push(vec![unit("plays at "), value(format!("{speed}x"))]);
    }
    facts
}

/// Mean time a frame by stage, in the order of the pipeline.
fn stages(app: &App, theme: &Theme) -> Vec<Fact> {
    let fact = |stage: &StageTime| {
        vec![
            (format!("{} ", stage.name), theme.dim),
            (format!("{:.1}", stage.mean_ms), theme.text),
            (" ms".to_owned(), theme.dim),
        ]
    };
    let s = &app.vitals;
    let more = [&s.device, &s.quantization]
        .into_iter()
        .filter(|text| !text.is_empty());
    let more = more.map(|text| vec![(text.clone(), theme.dim)]);
    s.stages.iter().map(fact).chain(more).collect()
}
