//! Both gates over the last minutes: probability as a line, the threshold, and a mark where it
//! fired.

use ratatui::Frame as Canvas;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::canvas::{Canvas as Plot, Line as Stroke};

use crate::dialogue::policy::GateKind;
use crate::tui::app::{App, GatePoint, GateRow};
use crate::tui::theme::Theme;
use crate::tui::wrap::width;

/// Seconds of the recording that the chart shows.
const WINDOW_S: f64 = 120.0;

/// Room above probability 1, so that a mark and a line at the top do not share a dot.
const TOP: f64 = 1.06;

/// Rows of one gate below which its chart is left out.
const CHART_ROWS_MIN: u16 = 2;

/// Columns of a gate's name and the space behind it.
const NAME_COLUMNS: usize = 7;

/// Columns from one dash of the threshold line to the next.
const DASH_EVERY_COLUMNS: usize = 3;

/// Draws both gates, one above the other.
pub fn draw(canvas: &mut Canvas, area: Rect, app: &App, theme: &Theme) {
    let (from, to) = window(app);
    let at = |seconds: f64| {
        Line::from(Span::styled(
            format!(" {}:{:02} ", seconds as u64 / 60, seconds as u64 % 60),
            theme.dim,
        ))
    };
    let block = theme
        .panel(format!("Gates, last {} min", (WINDOW_S / 60.0) as u64))
        .title_bottom(at(from))
        .title_bottom(at(to).right_aligned());
    let inner = block.inner(area);
    canvas.render_widget(block, area);
    let [top, bottom] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(inner);
    let speak = Strip {
        name: "speak",
        gate: &app.speak,
        style: theme.speak,
        pick: |p| f64::from(p.speak.0),
    };
    let dst = Strip {
        name: "update",
        gate: &app.dst_update,
        style: theme.dst_update,
        pick: |p| f64::from(p.dst_update.0),
    };
    speak.draw(canvas, top, app, theme);
    dst.draw(canvas, bottom, app, theme);
}

/// First and last second on the chart.
fn window(app: &App) -> (f64, f64) {
    let to = app.now.seconds().max(WINDOW_S);
    (to - WINDOW_S, to)
}

struct Strip<'a> {
    name: &'a str,
    gate: &'a GateRow,
    style: Style,
    pick: fn(&GatePoint) -> f64,
}

impl Strip<'_> {
    fn draw(&self, canvas: &mut Canvas, area: Rect, app: &App, theme: &Theme) {
        let [label, chart] =
            Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
        canvas.render_widget(self.label(app, label.width, theme), label);
        if chart.height >= CHART_ROWS_MIN
            && self.gate.threshold.is_some()
            && self.gate.kind != GateKind::Off
        {
            self.chart(canvas, chart, app, theme);
        }
    }

    /// `speak  0.03 of 0.50 ◆ fires` and how often it fired at the right.
    fn label(&self, app: &App, columns: u16, theme: &Theme) -> Line<'static> {
        let name = Span::styled(format!("{:<NAME_COLUMNS$}", self.name), self.style);
        let Some(threshold) = self.gate.threshold else {
            return Line::from(name);
        };
        if self.gate.kind == GateKind::Off {
            return Line::from(vec![name, Span::styled("off", theme.dim)]);
        }
        let now = app.gates.back().map_or(0.0, self.pick);
        let fires = now >= f64::from(threshold.0);
        let value = format!("{now:.2}");
        let limit = format!(" {} {:.2}", if fires { "≥" } else { "<" }, threshold.0);
        let room =
            usize::from(columns).saturating_sub(NAME_COLUMNS + width(&value) + width(&limit));
        let long = format!(" ◆ fired {}", self.gate.count);
        let count = if width(&long) <= room {
            long
        } else {
            format!(" ◆ {}", self.gate.count)
        };
        let pad = room.saturating_sub(width(&count));
        let value_style = if fires {
            self.style.patch(theme.title)
        } else {
            self.style
        };
        Line::from(vec![
            name,
            Span::styled(value, value_style),
            Span::styled(limit, theme.dim),
            Span::raw(" ".repeat(pad)),
            Span::styled(count, theme.dim),
        ])
    }

    fn chart(&self, canvas: &mut Canvas, area: Rect, app: &App, theme: &Theme) {
        let (from, to) = window(app);
        let colour = |style: Style| style.fg.unwrap_or(Color::Reset);
        let (line, limit) = (colour(self.style), colour(theme.threshold));
        let first = app
            .gates
            .partition_point(|p| p.at.seconds() < from)
            .saturating_sub(1);
        let points: Vec<(f64, f64)> = app
            .gates
            .iter()
            .skip(first)
            .map(|p| (p.at.seconds(), (self.pick)(p).clamp(0.0, 1.0)))
            .collect();
        let threshold = self.gate.threshold.map_or(1.0, |t| f64::from(t.0));
        let plot = Plot::default()
            .marker(Marker::Braille)
            .x_bounds([from, to])
            .y_bounds([0.0, TOP])
            .paint(|ctx| {
                // Short dashes: shape, not colour, tells them from the line.
                let column_s = WINDOW_S / f64::from(area.width.max(1));
                for i in (0..area.width).step_by(DASH_EVERY_COLUMNS) {
                    let x = from + f64::from(i) * column_s;
                    ctx.draw(&Stroke::new(x, threshold, x + column_s, threshold, limit));
                }
                ctx.layer();
                for pair in points.windows(2) {
                    ctx.draw(&Stroke::new(
                        pair[0].0, pair[0].1, pair[1].0, pair[1].1, line,
                    ));
                }
                for at in self
                    .gate
                    .fired
                    .iter()
                    .map(|t| t.seconds())
                    .filter(|t| *t >= from)
                {
                    ctx.print(at, threshold, Line::from(Span::styled("◆", self.style)));
                }
            });
        canvas.render_widget(plot, area);
    }
}
