//! Plain lines for people: when, what.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::output::{Output, one_line};
use crate::error::Result;
use crate::stream::{
    ContextPolicyName, Event, GateName, Sink, SourceState, StepInfo, StepState, Transition,
    WarningKind,
};
use crate::units::{MediaTime, Prob, StepId};

/// Writes what happens as lines. Frames are silent, unless the gates are asked for.
#[derive(Debug)]
pub struct TextSink {
    out: Output,
    names: BTreeMap<StepId, String>,
    gates_every_s: Option<f64>,
    gates: Gates,
}

/// Highest probabilities since the last line about the gates.
#[derive(Debug, Default)]
struct Gates {
    told_at: Option<f64>,
    speak: Prob,
    dst_update: Prob,
}

impl TextSink {
    /// Writes to `out`.
    pub fn new(out: Output) -> Self {
        Self {
            out,
            names: BTreeMap::new(),
            gates_every_s: None,
            gates: Gates::default(),
        }
    }

    /// Also tells the highest probabilities of both gates every so many seconds of the recording.
    #[must_use]
    pub fn with_gates_every(mut self, seconds: f64) -> Self {
        self.gates_every_s = Some(seconds);
        self
    }

    /// `S3 Pour the water`.
    fn step(&self, id: StepId) -> String {
        self.names
            .get(&id)
            .map_or_else(|| id.to_string(), |name| format!("{id} {name}"))
    }

    fn steps(&self, ids: &[StepId]) -> String {
        ids.iter()
            .map(|id| self.step(*id))
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn session(&mut self, goal: &str, steps: &[StepInfo], fps: f64) -> String {
        self.names = names(steps);
        let mut text = match one_line(goal).as_str() {
            "" => format!("no task, {fps} frames a second\n"),
            goal => format!(
                "task: {goal}, {} steps, {fps} frames a second\n",
                steps.len()
            ),
        };
        for step in steps {
            let state = if step.state == StepState::NotStarted {
                String::new()
            } else {
                format!(" ({})", words(step.state))
            };
            let _ = writeln!(text, "  {}{state}", self.step(step.id));
        }
        text
    }

    fn frame(&mut self, at: MediaTime, speak: Prob, dst_update: Prob) -> Option<String> {
        let every_s = self.gates_every_s?;
        let gates = &mut self.gates;
        let due = gates.told_at.is_none_or(|t| at.0 - t >= every_s);
        gates.speak = Prob(gates.speak.0.max(speak.0));
        gates.dst_update = Prob(gates.dst_update.0.max(dst_update.0));
        if !due {
            return None;
        }
        let text = format!(
            "speak {:.2}, update {:.2}",
            gates.speak.0, gates.dst_update.0
        );
        *gates = Gates {
            told_at: Some(at.0),
            ..Gates::default()
        };
        Some(text)
    }

    /// The words for an event, with its time; `None` when there is nothing to say.
    fn line(&mut self, event: &Event) -> Option<String> {
        let (at, words) = match event {
            Event::Session {
                goal, steps, fps, ..
            } => return Some(self.session(goal, steps, *fps)),
            Event::Frame {
                at,
                speak,
                dst_update,
                ..
            } => (at, self.frame(*at, *speak, *dst_update)?),
            Event::Transition {
                at,
                step,
                transition,
                prob,
                ..
            } => {
                let verb = match transition {
                    Transition::Start => "started",
                    Transition::Complete => "completed",
                };
                (at, format!("{verb}: {} ({:.2})", self.step(*step), prob.0))
            }
            Event::Rejected { at, text, why, .. } => (
                at,
                format!("refused update `{}`: {}", one_line(text), one_line(why)),
            ),
            Event::Warning {
                at,
                kind,
                step,
                missing,
                ..
            } => (at, self.warning(*kind, *step, missing)),
            Event::Utterance { at, text, .. } => (at, format!("assistant: {}", one_line(text))),
            Event::User { at, text } => (at, format!("you: {}", one_line(text))),
            Event::Mark { at, step, state } => (
                at,
                format!("by hand: {} is {}", self.step(*step), words(*state)),
            ),
            Event::Threshold {
                at,
                gate,
                threshold,
            } => (
                at,
                format!("by hand: {} threshold {:.2}", gate_name(*gate), threshold.0),
            ),
            Event::Seek { at, to, .. } => (at, format!("by hand: on to {to}; memory begins anew")),
            Event::Task { at, goal, steps } => {
                self.names = names(steps);
                (
                    at,
                    format!(
                        "by hand: another task: {}, {} steps",
                        one_line(goal),
                        steps.len()
                    ),
                )
            }
            Event::Dropped { at, count } => (
                at,
                format!(
                    "warning: {count} frame{} lost",
                    if *count == 1 { "" } else { "s" }
                ),
            ),
            Event::Context {
                at,
                policy,
                tokens_before,
                tokens_after,
                summary,
            } => {
                let said = summary
                    .as_deref()
                    .map(|text| format!("; summary: {}", one_line(text)))
                    .unwrap_or_default();
                (
                    at,
                    format!(
                        "memory was full ({}): {tokens_before} -> {tokens_after} tokens{said}",
                        policy_name(*policy)
                    ),
                )
            }
            Event::Source {
                at,
                state: SourceState::Lost,
            } => (at, "warning: the source is gone".into()),
            Event::Source {
                at,
                state: SourceState::Restored,
            } => (at, "the source is back".into()),
            Event::Resume { at, frames, .. } => {
                (at, format!("goes on after a break, {frames} frames so far"))
            }
            Event::End { frames, steps } => {
                let done = steps
                    .iter()
                    .filter(|s| s.state == StepState::Completed)
                    .count();
                return Some(format!(
                    "end: {frames} frames, {done} of {} steps completed\n",
                    steps.len()
                ));
            }
        };
        Some(format!("{at:>8}  {words}\n", at = at.to_string()))
    }

    fn warning(&self, kind: WarningKind, step: StepId, missing: &[StepId]) -> String {
        match kind {
            WarningKind::OutOfOrder => format!(
                "warning: {} began before: {}",
                self.step(step),
                self.steps(missing)
            ),
            WarningKind::Missed => format!("warning: left out: {}", self.steps(missing)),
        }
    }
}

fn names(steps: &[StepInfo]) -> BTreeMap<StepId, String> {
    steps
        .iter()
        .filter_map(|s| Some((s.id, one_line(s.name.as_deref()?))))
        .collect()
}

fn gate_name(gate: GateName) -> &'static str {
    match gate {
        GateName::Speak => "speak",
        GateName::DstUpdate => "update",
    }
}

fn words(state: StepState) -> &'static str {
    match state {
        StepState::NotStarted => "not started",
        StepState::InProgress => "in progress",
        StepState::Completed => "completed",
    }
}

fn policy_name(policy: ContextPolicyName) -> &'static str {
    match policy {
        ContextPolicyName::Refresh => "refresh",
        ContextPolicyName::DropAll => "drop_all",
        ContextPolicyName::DropMiddle => "drop_middle",
        ContextPolicyName::SummarizeAndDrop => "summarize_and_drop",
        ContextPolicyName::SummarizeWithDst => "summarize_with_dst",
        ContextPolicyName::None => "none",
    }
}

impl Sink for TextSink {
    fn emit(&mut self, event: &Event) -> Result<()> {
        match self.line(event) {
            Some(line) => self.out.write(&line),
            None => Ok(()),
        }
    }

    fn close(&mut self) -> Result<()> {
        self.out.close()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::output::tests::Page;
    use super::*;
    use crate::stream::{GateInfo, GatesInfo};
    use crate::units::{FrameIdx, Threshold};

    /// One event of each kind.
    pub(in crate::sinks) fn events() -> Vec<Event> {
        let (frame, at, prob) = (FrameIdx(12), MediaTime(6.0), Prob(0.91));
        let step = |n: u16, name: Option<&str>, state| StepInfo {
            id: StepId(n),
            name: name.map(Into::into),
            state,
        };
        let gate = || GateInfo {
            kind: "head".into(),
            threshold: Threshold(0.5),
            hysteresis: 0.1,
            refractory_s: 1.0,
        };
        vec![
            Event::Session {
                schema: 1,
                model: "aa".into(),
                vision: "bb".into(),
                goal: "Make tea".into(),
                steps: vec![
                    step(0, Some("Boil\u{1b} water"), StepState::NotStarted),
                    step(1, Some("Pour"), StepState::InProgress),
                ],
                fps: 2.0,
                gates: GatesInfo {
                    speak: gate(),
                    dst_update: gate(),
                },
                context: ContextPolicyName::Refresh,
            },
            Event::Frame {
                frame,
                at,
                speak: Prob(0.031),
                dst_update: Prob(0.912),
            },
            Event::Transition {
                frame,
                at,
                step: StepId(0),
                transition: Transition::Start,
                prob,
            },
            Event::Rejected {
                frame,
                at,
                text: "S9->start".into(),
                why: "the task has no step S9".into(),
            },
            Event::Warning {
                frame,
                at,
                kind: WarningKind::OutOfOrder,
                step: StepId(1),
                missing: vec![StepId(0)],
            },
            Event::Utterance {
                frame,
                at,
                text: "Now <pour>\nit & stir --> slowly.".into(),
                prob,
            },
            Event::User {
                at,
                text: "What next?".into(),
            },
            Event::Mark {
                at,
                step: StepId(1),
                state: StepState::Completed,
            },
            Event::Dropped { at, count: 2 },
            Event::Context {
                at,
                policy: ContextPolicyName::DropMiddle,
                tokens_before: 3584,
                tokens_after: 212,
                summary: None,
            },
            Event::Source {
                at,
                state: SourceState::Lost,
            },
            Event::Source {
                at,
                state: SourceState::Restored,
            },
            Event::End {
                frames: 13,
                steps: vec![
                    step(0, None, StepState::Completed),
                    step(1, None, StepState::Completed),
                ],
            },
        ]
    }

    #[test]
    fn every_event_has_its_words() {
        let page = Page::default();
        let mut sink = TextSink::new(Output::to(page.clone(), "text"));
        events().iter().for_each(|e| sink.emit(e).unwrap());
        sink.close().unwrap();
        let expected = "task: Make tea, 2 steps, 2 frames a second
  S1 Boil water
  S2 Pour (in progress)
  0:06.0  started: S1 Boil water (0.91)
  0:06.0  refused update `S9->start`: the task has no step S9
  0:06.0  warning: S2 Pour began before: S1 Boil water
  0:06.0  assistant: Now <pour> it & stir --> slowly.
  0:06.0  you: What next?
  0:06.0  by hand: S2 Pour is completed
  0:06.0  warning: 2 frames lost
  0:06.0  memory was full (drop_middle): 3584 -> 212 tokens
  0:06.0  warning: the source is gone
  0:06.0  the source is back
end: 13 frames, 2 of 2 steps completed
";
        assert_eq!(page.text(), expected);
    }

    #[test]
    fn gates_are_told_at_their_highest() {
        let page = Page::default();
        let mut sink = TextSink::new(Output::to(page.clone(), "text")).with_gates_every(1.0);
        for (k, speak) in [0.1f32, 0.9, 0.2, 0.3].into_iter().enumerate() {
            let at = MediaTime(k as f64 / 2.0);
            sink.emit(&Event::Frame {
                frame: FrameIdx(k as u64),
                at,
                speak: Prob(speak),
                dst_update: Prob(0.5),
            })
            .unwrap();
        }
        assert_eq!(
            page.text(),
            "  0:00.0  speak 0.10, update 0.50\n  0:01.0  speak 0.90, update 0.50\n"
        );
    }

    #[test]
    fn a_closed_pipe_is_an_error() {
        let mut sink = TextSink::new(Output::to(
            Page {
                room: Some(0),
                ..Page::default()
            },
            "stdout",
        ));
        assert!(sink.emit(&events()[0]).is_err());
        assert!(
            sink.emit(&events()[1]).is_ok(),
            "nothing to say about a frame"
        );
    }
}
