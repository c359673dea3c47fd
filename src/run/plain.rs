//! The run as lines of text, for pipes and logs: the same facts as the screen, and a summary at the
//! end.
//!
//! ```text
//! goal  Make a pinwheel sandwich
//!   S1  Place the tortilla on the cutting board
//! gates speak >= 0.50 (head), update >= 0.60 (head)   context refresh   2 frames/s
//!
//!   0:02.0  ▶ S1 Place the tortilla on the cutting board
//!   0:14.5  ✓ S1 Place the tortilla on the cutting board
//!   0:15.0  proact: Great. Now spread nut butter over it.
//!   0:15.0  · gates: speak 0.91 of 0.50, update 0.12 of 0.60
//!   0:50.0  ! S3 began before S2 was done
//! ```

use std::io::{ErrorKind, Write};
use std::sync::Arc;

use super::process::ProcessMemory;
use super::timing::Meter;
use crate::dialogue::policy::{GateConfig, GateKind, Gates};
use crate::dialogue::task::{StepState, Transition};
use crate::error::{Error, Result};
use crate::stream::{ContextPolicyName, Event, Sink};
use crate::tui::app::{App, Who};
use crate::tui::state_words;
use crate::tui::{Controls, StageTime};
use crate::units::{MediaTime, StepId};

/// Prints events as they come.
pub struct Plain<W: Write> {
    out: Out<W>,
    app: App,
    gate_lines_every_s: f64,
    next_gate_line: Option<f64>,
}

impl<W: Write> Plain<W> {
    /// Prints to `out`, with a line about the gates every so many seconds of the recording (0:
    /// none). When nobody reads `out` any more, it asks the run to end through `controls`.
    pub fn new(out: W, gate_lines_every_s: f64, controls: Arc<Controls>) -> Self {
        Self {
            out: Out {
                out,
                controls,
                closed: false,
            },
            app: App::default(),
            gate_lines_every_s,
            next_gate_line: None,
        }
    }

    fn name(&self, step: StepId) -> String {
        let row = self.app.steps.iter().find(|row| row.id == step);
        row.map_or_else(|| step.to_string(), |row| format!("{step} {}", row.name))
    }

    fn at(&mut self, at: MediaTime, words: &str) -> Result<()> {
        self.out.line(&format!("{:>8}  {words}", at.to_string()))
    }

    fn header(&mut self, gates: &Gates, context: ContextPolicyName, fps: f64) -> Result<()> {
        let goal = if self.app.goal.is_empty() {
            "none: the assistant only speaks".to_owned()
        } else {
            self.app.goal.clone()
        };
        self.out.line(&format!("goal  {goal}"))?;
        for row in self.app.steps.clone() {
            let state = match row.state {
                StepState::NotStarted => String::new(),
                state => format!(" ({})", state_words(state)),
            };
            self.out
                .line(&format!("  {:<4}{}{state}", row.id.to_string(), row.name))?;
        }
        let gate = |name: &str, gate: &GateConfig| match gate.kind {
            GateKind::Off => format!("{name} off"),
            kind => format!("{name} >= {:.2} ({})", gate.threshold.0, kind.word()),
        };
        let gates = format!(
            "{}, {}",
            gate("speak", &gates.speak),
            gate("update", &gates.dst_update)
        );
        let context = serde_json::to_value(context)
            .ok()
            .and_then(|v| v.as_str().map(str::to_owned))
            .unwrap_or_default();
        self.out.line(&format!(
            "gates {gates}   context {context}   {fps} frames/s"
        ))?;
        self.out.line("")
    }

    /// Prints one line about both gates, when it is due.
    fn gates(&mut self, at: MediaTime) -> Result<()> {
        let due = *self.next_gate_line.get_or_insert(at.seconds());
        if self.gate_lines_every_s <= 0.0 || at.seconds() < due {
            return Ok(());
        }
        self.next_gate_line = Some(at.seconds() + self.gate_lines_every_s);
        let Some(point) = self.app.gates.back().copied() else {
            return Ok(());
        };
        let limit = |gate: &crate::tui::app::GateRow| match gate
            .threshold
            .filter(|_| gate.kind != GateKind::Off)
        {
            Some(threshold) => format!("of {:.2}", threshold.0),
            None => "off".to_owned(),
        };
        let (speak, dst) = (limit(&self.app.speak), limit(&self.app.dst_update));
        let words = format!(
            "· gates: speak {:.2} {speak}, update {:.2} {dst}",
            point.speak.0, point.dst_update.0
        );
        self.at(at, &words)
    }

    /// Prints the last line of the screen's dialogue as a line of text.
    fn said(&mut self) -> Result<()> {
        let Some(line) = self.app.dialogue.back().cloned() else {
            return Ok(());
        };
        let words = match line.who {
            Who::Assistant | Who::User => format!("{}: {}", line.who.word(), line.text),
            Who::Notice => format!("· {}", line.text),
            Who::Warning => format!("! {}", line.text),
        };
        self.at(line.at, &words)
    }

    /// Prints a line that has no time in the recording.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note(&mut self, words: &str) -> Result<()> {
        self.out.line(words)
    }

    /// The state of the run that the lines have told.
    pub fn into_app(self) -> App {
        self.app
    }
}

impl<W: Write> Sink for Plain<W> {
    fn emit(&mut self, event: &Event) -> Result<()> {
        self.app.update(event);
        match event {
            Event::Session {
                gates,
                context,
                fps,
                ..
            } => self.header(gates, *context, *fps),
            Event::Frame { at, .. } => self.gates(*at),
            Event::Transition {
                at,
                step,
                transition,
                ..
            } => {
                let mark = match transition {
                    Transition::Start => "▶",
                    Transition::Complete => "✓",
                };
                let words = format!("{mark} {}", self.name(*step));
                self.at(*at, &words)
            }
            Event::Dropped { at, count } => self.at(*at, &format!("! {count} frames dropped")),
            Event::Rejected { .. }
            | Event::Warning { .. }
            | Event::Utterance { .. }
            | Event::User { .. }
            | Event::Mark { .. }
            | Event::Threshold { .. }
            | Event::Seek { .. }
            | Event::Task { .. }
            | Event::Context { .. }
            | Event::Source { .. }
            | Event::Resume { .. } => self.said(),
            Event::End { .. } => Ok(()),
        }
    }

    fn close(&mut self) -> Result<()> {
        self.out.flush()
    }
}

/// Numbers of the summary that no event carries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Whether the person stopped the run before the recording's end.
    pub stopped: bool,
    /// Tokens in the model's memory at the end.
    pub memory_tokens: usize,
    /// Tokens that it can hold.
    pub memory_capacity: usize,
    /// Seconds from the start of the program to the first decision.
    pub ready_s: f64,
    /// Seconds from the start of the run to its end.
    pub wall_s: f64,
}

/// Prints the summary of a run that the screen showed.
///
/// # Errors
/// The lines cannot be written.
pub fn print_summary<W: Write>(out: W, app: &App, meter: &Meter, figures: &Figures) -> Result<()> {
    let mut out = Out {
        out,
        controls: Controls::new(),
        closed: false,
    };
    summary(&mut out, app, meter, figures)?;
    out.flush()
}

/// Prints the steps with their times, of a session that was only shown.
///
/// # Errors
/// The lines cannot be written.
pub fn print_steps<W: Write>(out: W, app: &App) -> Result<()> {
    let mut out = Out {
        out,
        controls: Controls::new(),
        closed: false,
    };
    steps(&mut out, app)?;
    let (done, all, said) = (app.steps_done(), app.steps.len(), app.sentences);
    out.line(&format!(
        "{done} of {all} steps done; spoke {said} times; {} frames, {} of the recording",
        app.frames, app.now
    ))?;
    out.flush()
}

/// Prints the table of steps.
fn steps<W: Write>(out: &mut Out<W>, app: &App) -> Result<()> {
    out.line("")?;
    out.line(&format!(
        "{:<5} {:<12} {:>8} {:>8}  step",
        "", "state", "start", "end"
    ))?;
    for row in &app.steps {
        let time = |t: Option<MediaTime>| t.map_or_else(|| "-".to_owned(), |t| t.to_string());
        let (id, state) = (row.id.to_string(), state_words(row.state));
        let (start, end) = (time(row.started), time(row.ended));
        out.line(&format!(
            "{id:<5} {state:<12} {start:>8} {end:>8}  {}",
            row.name
        ))?;
        for warning in &row.warnings {
            out.line(&format!("{:<38}! {warning}", ""))?;
        }
    }
    out.line("")
}

fn summary<W: Write>(out: &mut Out<W>, app: &App, meter: &Meter, figures: &Figures) -> Result<()> {
    steps(out, app)?;
    let (frames, media) = (meter.frames(), app.now);
    out.line(&format!(
        "{}{} of {} steps done; spoke {} times; {frames} frames, {media} of the recording{}",
        if figures.stopped {
            "stopped early: "
        } else {
            ""
        },
        app.steps_done(),
        app.steps.len(),
        app.sentences,
        if app.dropped > 0 {
            format!(", {} frames dropped", app.dropped)
        } else {
            String::new()
        },
    ))?;
    let busy_s = meter.all().total().as_secs_f64();
    let frames_per_s = if busy_s > 0.0 {
        frames as f64 / busy_s
    } else {
        0.0
    };
    out.line(&format!(
        "speed   {frames_per_s:.1} frames/s, {:.1} times real time; ready in {:.2} s, whole run {:.1} s",
        meter.realtime_factor(),
        figures.ready_s,
        figures.wall_s,
    ))?;
    let stages: Vec<String> = meter
        .mean_stages()
        .iter()
        .map(|StageTime { name, mean_ms }| format!("{name} {mean_ms:.1} ms"))
        .collect();
    out.line(&format!("a frame {}", stages.join(", ")))?;
    let peak = ProcessMemory::read()
        .peak
        .map_or_else(|| "unknown here".to_owned(), |b| format!("{} MiB", b >> 20));
    out.line(&format!(
        "memory  {} of {} tokens; process at most {peak}",
        figures.memory_tokens, figures.memory_capacity
    ))
}

/// Prints lines without control characters, so that a model's words cannot steer the terminal.
struct Out<W: Write> {
    out: W,
    controls: Arc<Controls>,
    closed: bool,
}

impl<W: Write> Out<W> {
    fn line(&mut self, text: &str) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        let clean: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let result = writeln!(self.out, "{}", clean.trim_end());
        self.told(result)
    }

    fn flush(&mut self) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        let result = self.out.flush();
        self.told(result)
    }

    /// A reader that went away (`… | head`) ends the run in order; that is not a failure.
    fn told(&mut self, result: std::io::Result<()>) -> Result<()> {
        match result {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                self.controls.stop.ask();
                Ok(())
            }
            other => other.map_err(|e| Error::Sink(format!("standard output: {e}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{SourceState, StepInfo, WarningKind};
    use crate::units::{FrameIdx, Prob, Threshold};

    fn events() -> Vec<Event> {
        let gate = GateConfig {
            kind: GateKind::Head,
            threshold: Threshold(0.5),
            hysteresis: 0.0,
            refractory_s: 0.0,
        };
        let step = |i, name: &str| StepInfo {
            id: StepId(i),
            name: Some(name.into()),
            state: StepState::NotStarted,
        };
        let frame = |i: u64| Event::Frame {
            frame: FrameIdx(i),
            at: MediaTime(i as f64 / 2.0),
            speak: Prob(0.25),
            dst_update: Prob(0.5),
        };
        let (f, at) = (FrameIdx(1), MediaTime(0.5));
        vec![
            Event::Session {
                schema: 1,
                model: String::new(),
                vision: String::new(),
                goal: "tea".into(),
                steps: vec![step(0, "Boil water"), step(1, "Pour")],
                fps: 2.0,
                gates: Gates {
                    speak: GateConfig {
                        kind: GateKind::Off,
                        ..gate
                    },
                    dst_update: gate,
                },
                context: ContextPolicyName::DropAll,
            },
            frame(0),
            frame(1),
            Event::Transition {
                frame: f,
                at,
                step: StepId(1),
                transition: Transition::Start,
                prob: Prob(0.9),
            },
            Event::Warning {
                frame: f,
                at,
                kind: WarningKind::OutOfOrder,
                step: StepId(1),
                missing: vec![StepId(0)],
            },
            Event::Utterance {
                frame: f,
                at,
                text: "Stop\u{1b}[31m!".into(),
                prob: Prob(0.9),
            },
            Event::Source {
                at,
                state: SourceState::Lost,
            },
            Event::Dropped { at, count: 2 },
            frame(2),
            frame(3),
            Event::End {
                frames: 4,
                steps: vec![],
            },
        ]
    }

    #[test]
    fn a_run_reads_like_this() {
        let mut out = Vec::new();
        let mut plain = Plain::new(&mut out, 1.0, Controls::new());
        for event in events() {
            plain.emit(&event).unwrap();
        }
        plain.close().unwrap();
        let wanted = "\
goal  tea
  S1  Boil water
  S2  Pour
gates speak off, update >= 0.50 (head)   context drop_all   2 frames/s

  0:00.0  · gates: speak 0.25 off, update 0.50 of 0.50
  0:00.5  ▶ S2 Pour
  0:00.5  ! S2 began before S1 was done
  0:00.5  proact: Stop [31m!
  0:00.5  ! no frames come from the source
  0:00.5  ! 2 frames dropped
  0:01.0  · gates: speak 0.25 off, update 0.50 of 0.50
";
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }

    #[test]
    fn the_summary_names_every_step_with_its_times() {
        let mut out = Vec::new();
        let mut plain = Plain::new(&mut out, 0.0, Controls::new());
        for event in events() {
            plain.emit(&event).unwrap();
        }
        let app = plain.into_app();
        print_summary(
            &mut out,
            &app,
            &Meter::default(),
            &Figures {
                memory_capacity: 512,
                ..Figures::default()
            },
        )
        .unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains("S1    not started         -        -  Boil water"),
            "{text}"
        );
        assert!(
            text.contains("S2    in progress    0:00.5        -  Pour"),
            "{text}"
        );
        assert!(
            text.contains("! out of order: begun before S1") && text.contains("0 of 512 tokens"),
            "{text}"
        );
    }

    #[test]
    fn a_closed_pipe_ends_the_run_quietly() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Err(ErrorKind::BrokenPipe.into())
            }
        }
        let controls = Controls::new();
        let mut plain = Plain::new(Closed, 0.0, controls.clone());
        for event in events() {
            plain.emit(&event).unwrap();
        }
        plain.close().unwrap();
        assert!(controls.stop.asked() && !controls.stop.interrupted());
    }
}
