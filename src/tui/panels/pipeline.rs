//! Bottom of the screen: speed, lag, losses, memory and time by stage; and the keys.

use ratatui::Frame as Canvas;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::tui::app::{App, Stage};
use crate::tui::theme::Theme;
use crate::tui::wrap::width;

/// Lag from which it is a worry, in seconds.
const LAG_WORRY_S: f64 = 2.0;

/// Between two facts on the line.
const GAP: &str = "   ";

/// Draws the facts on one line or two, the most important first; what does not fit is left out whole, never cut.
pub fn draw(canvas: &mut Canvas, area: Rect, app: &App, theme: &Theme) {
    let columns = usize::from(area.width);
    let (mut facts, stages) = (facts(app, theme), stages(app, theme));
    if area.height < 2 {
        facts.extend(stages);
        canvas.render_widget(fit(facts, columns, theme), area);
        return;
    }
    canvas.render_widget(Paragraph::new(vec![fit(facts, columns, theme), fit(stages, columns, theme)]), area);
}

/// Draws the short list of keys.
pub fn draw_keys(canvas: &mut Canvas, area: Rect, app: &App, theme: &Theme) {
    let mut keys = vec![("q", "quit"), ("space", if app.status.paused { "go on" } else { "pause" }), ("?", "help")];
    if app.status.speed.is_some() {
        keys.push(("+ -", "speed"));
    }
    keys.extend([("Up Down", "scroll"), ("m", if app.status.muted { "speak" } else { "mute" })]);
    let facts = keys.into_iter().map(|(key, word)| vec![(key.to_owned(), theme.title), (format!(" {word}"), theme.dim)]);
    canvas.render_widget(fit(facts.collect(), usize::from(area.width), theme), area);
}

type Fact = Vec<(String, Style)>;

fn fit(facts: Vec<Fact>, columns: usize, theme: &Theme) -> Line<'static> {
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
        spans.extend(fact.into_iter().map(|(text, style)| Span::styled(text, style)));
    }
    Line::from(spans)
}

fn facts(app: &App, theme: &Theme) -> Vec<Fact> {
    let s = &app.status;
    let value = |text: String| (text, theme.text);
    let unit = |text: &str| (text.to_owned(), theme.dim);
    let mut facts = vec![
        vec![value(format!("{:.1}", s.frames_per_s)), unit(" frames/s")],
        vec![value(format!("{:.1}x", s.realtime_factor)), unit(" real time")],
    ];
    if s.lag_s >= LAG_WORRY_S {
        facts.push(vec![(format!("lag {:.1} s", s.lag_s), theme.warning)]);
    }
    if app.dropped > 0 {
        facts.push(vec![(format!("{} dropped", app.dropped), theme.warning)]);
    }
    if s.memory_capacity > 0 {
        facts.push(vec![unit("memory "), value(format!("{}/{}", s.memory_tokens, s.memory_capacity)), unit(" tokens")]);
    }
    if let Some(bytes) = s.process_bytes {
        facts.push(vec![value(format!("{}", bytes >> 20)), unit(" MiB")]);
    }
    if s.lag_s < LAG_WORRY_S {
        facts.push(vec![unit("lag "), value(format!("{:.1}", s.lag_s)), unit(" s")]);
    }
    if let Some(speed) = s.speed {
        facts.push(vec![unit("plays at "), value(format!("{speed}x"))]);
    }
    facts
}

/// Mean time a frame by stage, in the order of the pipeline.
fn stages(app: &App, theme: &Theme) -> Vec<Fact> {
    let fact = |stage: &Stage| {
        vec![
            (format!("{} ", stage.name), theme.dim),
            (format!("{:.1}", stage.mean_ms), theme.text),
            (" ms".to_owned(), theme.dim),
        ]
    };
    app.status.stages.iter().map(fact).collect()
}
