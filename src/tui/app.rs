//! What the screen knows: a pure fold over [`Event`]s, plus a snapshot of the run's [`Vitals`].
//!
//! Nothing here draws, waits or reads a clock, so a recorded event log gives the same screen again.

use std::collections::VecDeque;
use std::sync::Arc;

use super::tell;
use super::vitals::Vitals;
use crate::dialogue::policy::{GateConfig, GateKind};
use crate::dialogue::task::{StepState, Transition};
use crate::stream::{Event, GateName, Picture, SourceState, StepInfo, WarningKind};
use crate::units::{MediaTime, Prob, StepId, Threshold};

/// Lines of dialogue kept; the oldest go first. The event log keeps all of them.
const DIALOGUE_KEPT: usize = 500;

/// Lines of the run's own log kept.
const LOG_KEPT: usize = 200;

/// Frames of gate history kept: half an hour at two frames a second.
const GATES_KEPT: usize = 3600;

/// A step as the screen lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRow {
    /// Its id.
    pub id: StepId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: StepState,
    /// When it began.
    pub started: Option<MediaTime>,
    /// When it was done.
    pub ended: Option<MediaTime>,
    /// What is odd about it, in words.
    pub warnings: Vec<String>,
}

/// Who a line of the dialogue is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The assistant spoke.
    Assistant,
    /// The person spoke.
    User,
    /// Something to know about the run itself.
    Notice,
    /// Something to worry about.
    Warning,
}

impl Who {
    /// The word in front of the line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Assistant => "proact",
            Self::User => "you",
            Self::Notice => "note",
            Self::Warning => "! note",
        }
    }
}

/// One line of the dialogue.
#[derive(Clone, Debug, PartialEq)]
pub struct DialogueLine {
    /// When.
    pub at: MediaTime,
    /// Who.
    pub who: Who,
    /// What.
    pub text: String,
    /// Why it was said: what happened before it, and the gate. Empty where no reason is needed.
    pub why: String,
}

/// One line of the run's own log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// Time of the event that it tells; `None` when it tells no event of the session.
    pub at: Option<MediaTime>,
    /// What.
    pub text: String,
    /// Something to worry about.
    pub worry: bool,
}

/// Both gates at one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GatePoint {
    /// Time of the frame.
    pub at: MediaTime,
    /// Probability of speaking.
    pub speak: Prob,
    /// Probability of a state update.
    pub dst_update: Prob,
}

/// One gate as configured, and when it fired.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GateRow {
    /// Where its probability comes from.
    pub kind: GateKind,
    /// Fires at or above this; absent before the session began.
    pub threshold: Option<Threshold>,
    /// Times it fired, the newest last.
    pub fired: VecDeque<MediaTime>,
    /// How often it fired in all.
    pub count: u64,
}

impl GateRow {
    fn fire(&mut self, at: MediaTime) {
        self.count += 1;
        push_bounded(&mut self.fired, at, GATES_KEPT);
    }
}

/// State of the screen.
#[derive(Clone, Debug, Default)]
pub struct App {
    /// What the person wants to do; empty without a task.
    pub goal: String,
    /// The steps in order.
    pub steps: Vec<StepRow>,
    /// The dialogue, the newest last.
    pub dialogue: VecDeque<DialogueLine>,
    /// Gate history, the newest last.
    pub gates: VecDeque<GatePoint>,
    /// The speak gate.
    pub speak: GateRow,
    /// The state-update gate.
    pub dst_update: GateRow,
    /// Time of the newest event.
    pub now: MediaTime,
    /// Frames decided on.
    pub frames: u64,
    /// Sentences said; the speak gate also fires for those that are refused.
    pub sentences: u64,
    /// Frames lost before they could be looked at.
    pub dropped: u64,
    /// No frames come from the source.
    pub source_lost: bool,
    /// The session is over.
    pub ended: bool,
    /// The run's own measurements.
    pub vitals: Vitals,
    /// The newest picture; `None` when features were given.
    pub picture: Option<Arc<Picture>>,
    /// Events, diagnostics and answers to the person's requests; the newest last.
    pub log: VecDeque<LogLine>,
    /// How many lines of the log are no events; the newest of those is shown at once.
    pub(crate) notes: u64,
    /// What happened at the newest frame, as reasons for a sentence.
    pub(crate) reasons: Vec<String>,
    /// The person said something that no frame has followed yet.
    pub(crate) asked: bool,
    /// When the memory last began to grow, and the tokens it held then.
    pub(crate) memory_from: Option<(MediaTime, usize)>,
}

impl App {
    /// Folds one event into the state.
    pub fn update(&mut self, event: &Event) {
        if let Some(line) = tell::log_line(event, self.now) {
            push_bounded(&mut self.log, line, LOG_KEPT);
        }
        match event {
            Event::Session {
                goal, steps, gates, ..
            } => {
                let (vitals, mut log) = (
                    std::mem::take(&mut self.vitals),
                    std::mem::take(&mut self.log),
                );
                // A session that is shown again tells its events again.
                log.retain(|line| line.at.is_none());
                *self = Self {
                    goal: goal.clone(),
                    vitals,
                    log,
                    notes: self.notes,
                    ..Self::default()
                };
                self.steps = steps.iter().map(StepRow::new).collect();
                self.speak = GateRow::of(&gates.speak);
                self.dst_update = GateRow::of(&gates.dst_update);
            }
            Event::Frame {
                at,
                speak,
                dst_update,
                ..
            } => {
                self.now = *at;
                self.frames += 1;
                self.reasons.clear();
                if std::mem::take(&mut self.asked) {
                    self.reasons.push("you asked".into());
                }
                let point = GatePoint {
                    at: *at,
                    speak: *speak,
                    dst_update: *dst_update,
                };
                push_bounded(&mut self.gates, point, GATES_KEPT);
            }
            Event::Transition {
                at,
                step,
                transition,
                ..
            } => {
                self.dst_update.fire(*at);
                let state = match transition {
                    Transition::Start => StepState::InProgress,
                    Transition::Complete => StepState::Completed,
                };
                self.set_step(*step, state, *at);
                self.reasons.push(tell::transition(*step, *transition));
            }
            Event::Rejected { at, text, why, .. } => {
                // The event does not say which gate let it through; the frame's probabilities do.
                let update = match (self.gates.back(), self.dst_update.threshold) {
                    (Some(point), Some(threshold)) => point.dst_update.0 >= threshold.0,
                    _ => true,
                };
                if update {
                    self.dst_update.fire(*at)
                } else {
                    self.speak.fire(*at)
                }
                self.say(*at, Who::Notice, tell::refused(text, why));
            }
            Event::Warning {
                at,
                kind,
                step,
                missing,
                ..
            } => self.warn(*at, *kind, *step, missing),
            Event::Utterance { at, text, prob, .. } => {
                self.sentences += 1;
                let why = self.reason(*at, *prob);
                self.push_line(DialogueLine {
                    at: *at,
                    who: Who::Assistant,
                    text: text.clone(),
                    why,
                });
            }
            Event::User { at, text } => {
                self.asked = true;
                self.say(*at, Who::User, text.clone());
            }
            Event::Mark { at, step, state } => {
                self.set_step(*step, *state, *at);
                self.say(*at, Who::Notice, tell::mark(*step, *state));
            }
            Event::Threshold {
                at,
                gate,
                threshold,
            } => {
                let row = match gate {
                    GateName::Speak => &mut self.speak,
                    GateName::DstUpdate => &mut self.dst_update,
                };
                row.threshold = Some(*threshold);
                self.say(*at, Who::Notice, tell::threshold(*gate, *threshold));
            }
            Event::Seek { at, to, steps } => self.seek(*at, *to, steps),
            Event::Task { at, goal, steps } => {
                self.goal = goal.clone();
                self.steps = steps.iter().map(StepRow::new).collect();
                self.say(*at, Who::Notice, format!("another task by hand: {goal}"));
            }
            Event::Dropped { count, .. } => self.dropped = self.dropped.saturating_add(*count),
            Event::Context {
                at,
                policy,
                tokens_before,
                tokens_after,
                ..
            } => {
                self.say(
                    *at,
                    Who::Notice,
                    tell::context(*policy, *tokens_before, *tokens_after),
                );
            }
            Event::Source { at, state } => {
                self.source_lost = *state == SourceState::Lost;
                match state {
                    SourceState::Lost => self.say(*at, Who::Warning, tell::source(*state).into()),
                    SourceState::Restored => {
                        self.say(*at, Who::Notice, tell::source(*state).into())
                    }
                }
            }
            Event::Resume {
                at, frames, gates, ..
            } => {
                (self.ended, self.source_lost) = (false, false);
                self.speak.threshold = Some(gates.speak.threshold);
                self.dst_update.threshold = Some(gates.dst_update.threshold);
                self.say(*at, Who::Notice, tell::resume(*frames));
            }
            Event::End { .. } => self.ended = true,
        }
    }

    /// Steps that are done.
    pub fn steps_done(&self) -> usize {
        self.steps
            .iter()
            .filter(|s| s.state == StepState::Completed)
            .count()
    }

    /// The step being done: the one that was started last.
    pub fn current_step(&self) -> Option<&StepRow> {
        let running = self
            .steps
            .iter()
            .filter(|s| s.state == StepState::InProgress);
        running.max_by(|a, b| {
            a.started
                .partial_cmp(&b.started)
                .unwrap_or(std::cmp::Ordering::Equal)
        })
    }

    /// What the assistant said last.
    pub fn last_utterance(&self) -> Option<&DialogueLine> {
        self.dialogue.iter().rev().find(|l| l.who == Who::Assistant)
    }

    /// The step that comes next: the first one after the step being done that has not begun, else
    /// the first one of all that has not begun.
    pub fn next_step(&self) -> Option<&StepRow> {
        let after = self
            .current_step()
            .map_or(0, |step| usize::from(step.id.0) + 1);
        let open = |row: &&StepRow| row.state == StepState::NotStarted;
        self.steps
            .iter()
            .skip(after)
            .find(open)
            .or_else(|| self.steps.iter().find(open))
    }

    /// Takes new measurements in.
    pub fn measure(&mut self, vitals: Vitals) {
        let from = self.memory_from.map_or(usize::MAX, |(_, tokens)| tokens);
        if vitals.memory_tokens < from.min(self.vitals.memory_tokens) || self.memory_from.is_none()
        {
            self.memory_from = Some((self.now, vitals.memory_tokens));
        }
        self.vitals = vitals;
    }

    /// Seconds of the recording until the context policy acts, if memory goes on to grow as it did
    /// since it last acted; `None` while that cannot be told.
    pub fn memory_reset_in_s(&self) -> Option<f64> {
        let (from, tokens) = self.memory_from?;
        let seconds = self.now.seconds() - from.seconds();
        let grown = self
            .vitals
            .memory_tokens
            .checked_sub(tokens)
            .filter(|grown| *grown > 0)? as f64;
        let left = self
            .vitals
            .memory_reset
            .saturating_sub(self.vitals.memory_tokens) as f64;
        (seconds > 0.0).then(|| left * seconds / grown)
    }

    /// Adds a line that is no event to the run's own log.
    pub fn note(&mut self, text: String) {
        let worry = ["WARN", "ERROR", "!"]
            .iter()
            .any(|sign| text.starts_with(sign));
        self.notes += 1;
        push_bounded(
            &mut self.log,
            LogLine {
                at: None,
                text,
                worry,
            },
            LOG_KEPT,
        );
    }

    /// The newest line that is no event.
    pub(crate) fn last_note(&self) -> Option<&LogLine> {
        self.log.iter().rev().find(|line| line.at.is_none())
    }

    /// Time of the last thing that happened before `at`: a change of state, a sentence, a warning.
    pub fn event_before(&self, at: MediaTime) -> Option<MediaTime> {
        let said = self
            .dialogue
            .iter()
            .filter(|l| l.who != Who::Notice)
            .map(|l| l.at);
        let all = said
            .chain(self.dst_update.fired.iter().copied())
            .filter(|t| *t < at);
        all.max_by(|a, b| a.0.total_cmp(&b.0))
    }

    fn say(&mut self, at: MediaTime, who: Who, text: String) {
        self.push_line(DialogueLine {
            at,
            who,
            text,
            why: String::new(),
        });
    }

    fn push_line(&mut self, line: DialogueLine) {
        push_bounded(&mut self.dialogue, line, DIALOGUE_KEPT);
    }

    /// Why a sentence was said: what happened at its frame and what the gate gave. An answer to the
    /// person may come below the threshold; the gate has not fired then.
    fn reason(&mut self, at: MediaTime, prob: Prob) -> String {
        let threshold = self.speak.threshold.map_or(0.0, |t| t.0);
        let fires = prob.0 >= threshold;
        if fires {
            self.speak.fire(at);
        }
        tell::reason(&std::mem::take(&mut self.reasons), prob.0, threshold)
    }

    /// Goes to another place of the recording: what is known of later times is forgotten, the
    /// dialogue stays.
    fn seek(&mut self, at: MediaTime, to: MediaTime, steps: &[StepInfo]) {
        self.ended = false;
        self.now = to;
        self.memory_from = None;
        self.gates.retain(|point| point.at < to);
        for gate in [&mut self.speak, &mut self.dst_update] {
            gate.fired.retain(|t| *t < to);
        }
        for info in steps {
            let Some(row) = self.row(info.id) else {
                continue;
            };
            row.state = info.state;
            row.started = row
                .started
                .filter(|t| *t < to && info.state != StepState::NotStarted);
            row.ended = row
                .ended
                .filter(|t| *t < to && info.state == StepState::Completed);
            if info.state == StepState::NotStarted {
                row.warnings.clear();
            }
        }
        self.say(
            at,
            Who::Notice,
            format!("moved to {to} by hand: memory begins anew with the steps as they were"),
        );
    }

    fn warn(&mut self, at: MediaTime, kind: WarningKind, step: StepId, missing: &[StepId]) {
        let missing = tell::steps(missing);
        let short = match kind {
            WarningKind::OutOfOrder => format!("out of order: begun before {missing}"),
            WarningKind::Missed => "missed: left out".to_owned(),
        };
        let long = tell::warning(kind, step, &missing);
        if let Some(row) = self.row(step) {
            row.warnings.push(short);
        }
        self.say(at, Who::Warning, long);
    }

    fn row(&mut self, step: StepId) -> Option<&mut StepRow> {
        self.steps.iter_mut().find(|row| row.id == step)
    }

    fn set_step(&mut self, step: StepId, state: StepState, at: MediaTime) {
        let Some(row) = self.row(step) else { return };
        row.state = state;
        match state {
            StepState::NotStarted => (row.started, row.ended) = (None, None),
            StepState::InProgress => (row.started, row.ended) = (Some(at), None),
            StepState::Completed => row.ended = Some(at),
        }
    }
}

impl StepRow {
    fn new(info: &StepInfo) -> Self {
        Self {
            id: info.id,
            name: info.name.clone().unwrap_or_default(),
            state: info.state,
            started: None,
            ended: None,
            warnings: Vec::new(),
        }
    }
}

impl GateRow {
    fn of(gate: &GateConfig) -> Self {
        Self {
            kind: gate.kind,
            threshold: Some(gate.threshold),
            ..Self::default()
        }
    }
}

fn push_bounded<T>(queue: &mut VecDeque<T>, item: T, capacity: usize) {
    if queue.len() >= capacity {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::units::FrameIdx;

    #[test]
    fn steps_follow_transitions_and_keep_their_times() {
        let app = sample::app();
        assert_eq!(app.steps[0].state, StepState::Completed);
        assert_eq!(
            (app.steps[0].started, app.steps[0].ended),
            (Some(MediaTime(2.0)), Some(MediaTime(14.5)))
        );
        assert_eq!(app.current_step().unwrap().id, StepId(2));
        assert_eq!(app.steps[2].warnings, ["out of order: begun before S2"]);
        assert_eq!(app.steps_done(), 1);
        assert_eq!(app.dst_update.count, 3, "each transition");
        assert_eq!(app.sentences, 2, "a refused sentence was not said");
        assert_eq!(
            app.speak.count, 3,
            "two sentences, and one refused where only the speak gate was open"
        );
    }

    #[test]
    fn a_hand_on_the_state_moves_the_times_too() {
        let mut app = sample::app();
        let mark = |state| Event::Mark {
            at: MediaTime(99.0),
            step: StepId(0),
            state,
        };
        app.update(&mark(StepState::NotStarted));
        assert_eq!((app.steps[0].started, app.steps[0].ended), (None, None));
        app.update(&mark(StepState::InProgress));
        assert_eq!(app.current_step().unwrap().id, StepId(0));
    }

    #[test]
    fn an_unknown_step_changes_nothing() {
        let mut app = sample::app();
        let before = app.steps.clone();
        app.update(&Event::Transition {
            frame: FrameIdx(9),
            at: MediaTime(9.0),
            step: StepId(77),
            transition: Transition::Start,
            prob: Prob(0.9),
        });
        assert_eq!(app.steps, before);
    }

    #[test]
    fn history_is_bounded() {
        let mut app = sample::app();
        for i in 0..(2 * GATES_KEPT as u64) {
            let at = MediaTime(i as f64);
            app.update(&Event::Frame {
                frame: FrameIdx(i),
                at,
                speak: Prob(0.1),
                dst_update: Prob(0.1),
            });
            app.update(&Event::User {
                at,
                text: "hm".into(),
            });
        }
        assert_eq!(app.gates.len(), GATES_KEPT);
        assert_eq!(app.dialogue.len(), DIALOGUE_KEPT);
    }

    #[test]
    fn a_sentence_comes_with_its_reason() {
        let mut app = sample::app();
        let said: Vec<&str> = app
            .dialogue
            .iter()
            .filter(|l| l.who == Who::Assistant)
            .map(|l| l.why.as_str())
            .collect();
        assert_eq!(said, ["because its gate fired: speak 0.80 ≥ 0.50"; 2]);
        let (at, count) = (app.now, app.speak.count);
        app.update(&Event::Frame {
            frame: FrameIdx(400),
            at,
            speak: Prob(0.1),
            dst_update: Prob(0.9),
        });
        app.update(&Event::Transition {
            frame: FrameIdx(400),
            at,
            step: StepId(2),
            transition: Transition::Complete,
            prob: Prob(0.9),
        });
        app.update(&Event::Utterance {
            frame: FrameIdx(400),
            at,
            text: "Well done.".into(),
            prob: Prob(0.1),
        });
        assert_eq!(
            app.dialogue.back().unwrap().why,
            "because S3 done: speak 0.10 < 0.50"
        );
        assert_eq!(app.speak.count, count, "an answer is no firing");
        app.update(&Event::User {
            at,
            text: "Really?".into(),
        });
        app.update(&Event::Frame {
            frame: FrameIdx(401),
            at,
            speak: Prob(0.1),
            dst_update: Prob(0.1),
        });
        app.update(&Event::Utterance {
            frame: FrameIdx(401),
            at,
            text: "Yes.".into(),
            prob: Prob(0.1),
        });
        assert_eq!(
            app.dialogue.back().unwrap().why,
            "because you asked: speak 0.10 < 0.50"
        );
    }

    #[test]
    fn going_back_forgets_what_came_later_but_not_what_was_said() {
        let mut app = sample::app();
        let lines = app.dialogue.len();
        let steps = app
            .steps
            .iter()
            .map(|row| StepInfo {
                id: row.id,
                name: None,
                state: StepState::NotStarted,
            })
            .collect();
        app.update(&Event::Seek {
            at: app.now,
            to: MediaTime(1.0),
            steps,
        });
        assert_eq!(
            (app.now, app.gates.len(), app.dialogue.len()),
            (MediaTime(1.0), 2, lines + 1)
        );
        assert!(
            app.steps
                .iter()
                .all(|row| row.started.is_none() && row.warnings.is_empty())
        );
        assert!(app.dst_update.fired.is_empty());
    }

    #[test]
    fn the_next_step_and_the_last_event_are_found() {
        let app = sample::app();
        assert_eq!(
            app.next_step().unwrap().id,
            StepId(3),
            "behind the one being done"
        );
        assert_eq!(app.event_before(MediaTime(52.0)), Some(MediaTime(50.0)));
        assert_eq!(app.event_before(MediaTime(0.0)), None);
    }

    #[test]
    fn the_next_reset_is_foretold_from_how_memory_grows() {
        let mut app = App::default();
        let vitals = |memory_tokens| Vitals {
            memory_tokens,
            memory_capacity: 120,
            memory_reset: 100,
            ..Vitals::default()
        };
        let frame = |t: f64| Event::Frame {
            frame: FrameIdx(t as u64),
            at: MediaTime(t),
            speak: Prob(0.0),
            dst_update: Prob(0.0),
        };
        app.measure(vitals(40));
        assert_eq!(app.memory_reset_in_s(), None);
        app.update(&frame(10.0));
        app.measure(vitals(60));
        assert_eq!(app.memory_reset_in_s(), Some(20.0));
        app.update(&frame(20.0));
        app.measure(vitals(30));
        assert_eq!(app.memory_reset_in_s(), None, "begun anew");
    }

    #[test]
    fn a_new_session_starts_afresh_but_keeps_the_vitals() {
        let mut app = sample::app();
        app.update(&sample::session());
        assert!(app.dialogue.is_empty() && app.gates.is_empty() && !app.ended);
        assert!(app.log.is_empty(), "what happened is told again, not twice");
        assert_eq!(app.vitals.source, "clip.mp4");
    }
}
