//! What the screen knows: a pure fold over [`Event`]s, plus a snapshot of the run's [`Status`].
//!
//! Nothing here draws, waits or reads a clock, so a recorded event log gives the same screen again.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::dialogue::task::{StepState, Transition};
use crate::stream::{ContextPolicyName, Event, Picture, SourceState, StepInfo, WarningKind};
use crate::units::{MediaTime, Prob, StepId, Threshold};

/// Lines of dialogue kept; the oldest go first. The event log keeps all of them.
const DIALOGUE_KEPT: usize = 500;

/// Frames of gate history kept: half an hour at two frames a second.
const GATES_KEPT: usize = 3600;

/// Where the frames come from, as the header says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A camera.
    Live,
    /// A recording.
    #[default]
    Replay,
    /// The clip that ships.
    Demo,
}

impl Mode {
    /// The badge in the header.
    pub fn word(self) -> &'static str {
        match self {
            Self::Live => "LIVE",
            Self::Replay => "REPLAY",
            Self::Demo => "DEMO",
        }
    }
}

/// Time that one stage of the pipeline takes a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// `decode`, `encode`, `extend` or `generate`.
    pub name: &'static str,
    /// Mean of the last frames, in milliseconds.
    pub mean_ms: f64,
}

/// What the run measures about itself; unlike events it depends on the machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Camera, recording or demo.
    pub mode: Mode,
    /// Name of the source, for people.
    pub source: String,
    /// Length of the recording where it is known.
    pub duration: Option<MediaTime>,
    /// Frames decided on per second of work; waiting for a frame is no work.
    pub frames_per_s: f64,
    /// Seconds of the recording per second of work; above 1 keeps up with a camera.
    pub realtime_factor: f64,
    /// How far the decisions are behind the source, in seconds of the clock.
    pub lag_s: f64,
    /// Tokens held in the model's memory.
    pub memory_tokens: usize,
    /// Tokens it can hold.
    pub memory_capacity: usize,
    /// Resident memory of the process, where the system tells it.
    pub process_bytes: Option<u64>,
    /// Time by stage.
    pub stages: Vec<Stage>,
    /// The sentence being generated, as far as it has come.
    pub partial: Option<String>,
    /// Playing speed relative to the recording; `None` is as fast as it goes.
    pub speed: Option<f64>,
    /// No frames are taken in.
    pub paused: bool,
    /// Nothing is spoken aloud.
    pub muted: bool,
}

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
pub struct Line {
    /// When.
    pub at: MediaTime,
    /// Who.
    pub who: Who,
    /// What.
    pub text: String,
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
    /// `head`, `token`, `off`; empty before the session began.
    pub kind: String,
    /// Fires at or above this.
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
    pub dialogue: VecDeque<Line>,
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
    pub status: Status,
    /// The newest picture; `None` when features were given.
    pub picture: Option<Arc<Picture>>,
}

impl App {
    /// Folds one event into the state.
    pub fn update(&mut self, event: &Event) {
        match event {
            Event::Session { goal, steps, gates, .. } => {
                let status = std::mem::take(&mut self.status);
                *self = Self { goal: goal.clone(), status, ..Self::default() };
                self.steps = steps.iter().map(StepRow::new).collect();
                self.speak = GateRow::of(&gates.speak.kind, gates.speak.threshold);
                self.dst_update = GateRow::of(&gates.dst_update.kind, gates.dst_update.threshold);
            }
            Event::Frame { at, speak, dst_update, .. } => {
                self.now = *at;
                self.frames += 1;
                let point = GatePoint { at: *at, speak: *speak, dst_update: *dst_update };
                push_bounded(&mut self.gates, point, GATES_KEPT);
            }
            Event::Transition { at, step, transition, .. } => {
                self.dst_update.fire(*at);
                let state = match transition {
                    Transition::Start => StepState::InProgress,
                    Transition::Complete => StepState::Completed,
                };
                self.set_step(*step, state, *at);
            }
            Event::Rejected { at, text, why, .. } => {
                // The event does not say which gate let it through; the frame's probabilities do.
                let update = match (self.gates.back(), self.dst_update.threshold) {
                    (Some(point), Some(threshold)) => point.dst_update.0 >= threshold.0,
                    _ => true,
                };
                if update { self.dst_update.fire(*at) } else { self.speak.fire(*at) }
                self.say(*at, Who::Notice, format!("refused `{text}`: {why}"));
            }
            Event::Warning { at, kind, step, missing, .. } => self.warn(*at, *kind, *step, missing),
            Event::Utterance { at, text, .. } => {
                self.sentences += 1;
                self.speak.fire(*at);
                self.say(*at, Who::Assistant, text.clone());
            }
            Event::User { at, text } => self.say(*at, Who::User, text.clone()),
            Event::Mark { at, step, state } => {
                self.set_step(*step, *state, *at);
                self.say(*at, Who::Notice, format!("{step} set to {} by hand", state_words(*state)));
            }
            Event::Dropped { count, .. } => self.dropped += count,
            Event::Context { at, policy, tokens_before, tokens_after } => {
                let policy = policy_word(*policy);
                self.say(*at, Who::Notice, format!("memory full: {policy}, {tokens_before} -> {tokens_after} tokens"));
            }
            Event::Source { at, state } => {
                self.source_lost = *state == SourceState::Lost;
                match state {
                    SourceState::Lost => self.say(*at, Who::Warning, "no frames come from the source".into()),
                    SourceState::Restored => self.say(*at, Who::Notice, "frames come again".into()),
                }
            }
            Event::End { .. } => self.ended = true,
        }
    }

    /// Steps that are done.
    pub fn steps_done(&self) -> usize {
        self.steps.iter().filter(|s| s.state == StepState::Completed).count()
    }

    /// The step being done: the one that was started last.
    pub fn current_step(&self) -> Option<&StepRow> {
        let running = self.steps.iter().filter(|s| s.state == StepState::InProgress);
        running.max_by(|a, b| a.started.partial_cmp(&b.started).unwrap_or(std::cmp::Ordering::Equal))
    }

    /// What the assistant said last.
    pub fn last_utterance(&self) -> Option<&Line> {
        self.dialogue.iter().rev().find(|l| l.who == Who::Assistant)
    }

    fn say(&mut self, at: MediaTime, who: Who, text: String) {
        push_bounded(&mut self.dialogue, Line { at, who, text }, DIALOGUE_KEPT);
    }

    fn warn(&mut self, at: MediaTime, kind: WarningKind, step: StepId, missing: &[StepId]) {
        let missing: Vec<String> = missing.iter().map(StepId::to_string).collect();
        let missing = missing.join(", ");
        let (short, long) = match kind {
            WarningKind::OutOfOrder => (format!("begun before {missing}"), format!("{step} began before {missing} was done")),
            WarningKind::Missed => (format!("done without {missing}"), format!("{missing} was missed before {step}")),
        };
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
    fn of(kind: &str, threshold: Threshold) -> Self {
        Self { kind: kind.to_owned(), threshold: Some(threshold), ..Self::default() }
    }
}

/// A state as people say it.
pub fn state_words(state: StepState) -> &'static str {
    match state {
        StepState::NotStarted => "not started",
        StepState::InProgress => "in progress",
        StepState::Completed => "completed",
    }
}

fn policy_word(policy: ContextPolicyName) -> &'static str {
    match policy {
        ContextPolicyName::Refresh => "refreshed",
        ContextPolicyName::DropAll => "dropped all",
        ContextPolicyName::DropMiddle => "dropped the middle",
        ContextPolicyName::None => "stopped",
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
        assert_eq!((app.steps[0].started, app.steps[0].ended), (Some(MediaTime(2.0)), Some(MediaTime(14.5))));
        assert_eq!(app.current_step().unwrap().id, StepId(2));
        assert_eq!(app.steps[2].warnings, ["begun before S2"]);
        assert_eq!(app.steps_done(), 1);
        assert_eq!(app.dst_update.count, 3, "each transition");
        assert_eq!(app.sentences, 2, "a refused sentence was not said");
        assert_eq!(app.speak.count, 3, "two sentences, and one refused where only the speak gate was open");
    }

    #[test]
    fn a_hand_on_the_state_moves_the_times_too() {
        let mut app = sample::app();
        let mark = |state| Event::Mark { at: MediaTime(99.0), step: StepId(0), state };
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
            app.update(&Event::Frame { frame: FrameIdx(i), at, speak: Prob(0.1), dst_update: Prob(0.1) });
            app.update(&Event::User { at, text: "hm".into() });
        }
        assert_eq!(app.gates.len(), GATES_KEPT);
        assert_eq!(app.dialogue.len(), DIALOGUE_KEPT);
    }

    #[test]
    fn a_new_session_starts_afresh_but_keeps_the_status() {
        let mut app = sample::app();
        app.update(&sample::session());
        assert!(app.dialogue.is_empty() && app.gates.is_empty() && !app.ended);
        assert_eq!(app.status.source, "clip.mp4");
    }
}
