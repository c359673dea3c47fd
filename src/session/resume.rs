//! Goes on with a session that was broken off: state, gates and waiting words from its log, memory
//! from the state.
//!
//! The model's memory is not in a log. It is built anew as the policy `refresh` builds it: a prompt
//! for the present state, and the last frames seen again where the source still has them. The state
//! is exactly what the log says; what was decided but not yet written when the process was stopped
//! has not happened. Where the person chose another task, the session goes on with the last one.

use super::{Flow, Session, Stage, Work};
use crate::dialogue::layout::Layout;
use crate::dialogue::policy::Gates;
use crate::error::{Error, Result};
use crate::model::{Backbone, Perceiver};
use crate::stream::log::Check;
use crate::stream::{
    Content, ContextPolicyName, Event, Frame, GateName, Hand, Sink, StepInfo, WarningKind,
    update_of,
};
use crate::units::{FrameIdx, MediaTime, Prob};

/// A frame of the log, until the events that belong to it have been read.
struct Reading {
    at: MediaTime,
    speak: Prob,
    dst_update: Prob,
    spoke: bool,
    updated: bool,
}

/// What is gathered while the log is read.
#[derive(Default)]
struct Recalled {
    check: Check,
    last_at: MediaTime,
    last_frame: Option<FrameIdx>,
    frames: u64,
    /// The events are about the task that the session goes on with.
    about_task: bool,
    reading: Option<Reading>,
    /// Words that no frame has followed.
    words: Vec<(MediaTime, String)>,
}

impl<P: Perceiver, B: Backbone> Session<P, B> {
    /// Goes on with the session that `log` tells of, instead of beginning one; before anything
    /// else. `seen` are the last frames before the break where they can be had, the oldest first;
    /// the policy `refresh` takes the last
    /// [`SessionConfig::frames_kept`](super::SessionConfig::frames_kept) of them.
    ///
    /// # Errors
    /// The session has begun; the log contradicts itself, or is about another task; a frame as in
    /// [`Session::feed`].
    pub fn resume(&mut self, log: &[Event], seen: &[Frame]) -> Result<()> {
        if !matches!(self.stage, Stage::Opening) || self.resumed {
            return Err(Error::Invalid(
                "the session has begun; it cannot go on with another".into(),
            ));
        }
        let mut recalled = Recalled::default();
        let task_at = log
            .iter()
            .rposition(|event| matches!(event, Event::Session { .. } | Event::Task { .. }))
            .unwrap_or_default();
        for (i, event) in log.iter().enumerate() {
            recalled.about_task = i >= task_at;
            let bad = |why: String| Error::Invalid(format!("event {} of the log: {why}", i + 1));
            recalled.check.push(event).map_err(bad)?;
            self.recall(event, &mut recalled).map_err(bad)?;
        }
        recalled.check.finish().map_err(Error::Invalid)?;
        self.recall_frame(&mut recalled);
        self.intake
            .go_on_from(recalled.last_at, recalled.last_frame);
        for (at, text) in &recalled.words {
            let turn = self.intake.recall_words(
                *at,
                text,
                &Layout::new(&*self.codec, self.config.tokens_per_frame),
            )?;
            let behind = self.behind_words(&turn)?;
            self.said.extend(turn);
            self.said.extend(behind);
        }
        self.frames_done = recalled.frames;
        self.last_frame = recalled.last_frame.unwrap_or_default();
        self.last_at = recalled.last_at;
        self.see_again(seen)?;
        self.resumed = true;
        Ok(())
    }

    /// The first event of a session that goes on, and its prompt.
    pub(super) fn open_again(&mut self, sink: &mut dyn Sink) -> Result<Flow> {
        sink.emit(&Event::Resume {
            at: self.last_at,
            frames: self.frames_done,
            model: self.config.model_sha256.clone(),
            vision: self.config.vision_sha256.clone(),
            gates: self.gates_now(),
            context: self.config.context,
            steps: self.tracker.steps(false),
        })?;
        self.begin_anew(self.recent.iter().cloned().collect())?;
        self.tape.read_waiting(self.config.prefill_tokens_max)?;
        self.stage = Stage::Ready;
        Ok(Flow::Working(Work::Prefill))
    }

    /// The gates with the thresholds that the person has given them.
    fn gates_now(&self) -> Gates {
        let mut gates = self.config.gates;
        gates.speak.threshold = self.speak_gate.config().threshold;
        gates.dst_update.threshold = self.dst_gate.config().threshold;
        gates
    }

    /// Does to state and gates what the event did to them.
    fn recall(&mut self, event: &Event, recalled: &mut Recalled) -> Result<(), String> {
        match event {
            Event::Session { goal, steps, .. } | Event::Task { goal, steps, .. } => {
                if recalled.about_task {
                    self.same_task(goal, steps)?;
                }
                if matches!(event, Event::Task { .. }) {
                    self.recall_frame(recalled);
                    self.dst_gate.reset();
                }
            }
            Event::Frame {
                frame,
                at,
                speak,
                dst_update,
            } => {
                self.recall_frame(recalled);
                recalled.reading = Some(Reading {
                    at: *at,
                    speak: *speak,
                    dst_update: *dst_update,
                    spoke: false,
                    updated: false,
                });
                recalled.last_frame = Some(*frame);
                recalled.frames += 1;
                if let Some((_, text)) = recalled.words.first() {
                    let turn = self
                        .layout()
                        .user_turn(text)
                        .map_err(|why| why.to_string())?;
                    self.behind_words(&turn).map_err(|why| why.to_string())?;
                    self.words_are_read();
                }
                recalled.words.clear();
            }
            Event::Transition { .. } => {
                if let Some((at, update)) = update_of(event).filter(|_| recalled.about_task) {
                    self.tracker.apply(at, update)?;
                }
                recalled
                    .reading
                    .iter_mut()
                    .for_each(|reading| reading.updated = true);
            }
            Event::Mark { at, step, state } if recalled.about_task => {
                self.tracker.hand(*at, Hand::Mark(*step, *state))?;
            }
            Event::Threshold {
                gate, threshold, ..
            } => {
                // The frame before was decided by the old one.
                self.recall_frame(recalled);
                let (gate, name) = match gate {
                    GateName::Speak => (&mut self.speak_gate, "speak"),
                    GateName::DstUpdate => (&mut self.dst_gate, "dst_update"),
                };
                gate.set_threshold(name, *threshold)
                    .map_err(|why| why.to_string())?;
            }
            Event::Seek { to, steps, .. } => {
                recalled.reading = None;
                recalled.last_frame = None;
                recalled.words.clear();
                if recalled.about_task {
                    self.tracker.go_back(*to);
                    self.set_states(*to, steps)?;
                }
                self.speak_gate.reset();
                self.dst_gate.reset();
            }
            Event::Utterance { .. } => recalled
                .reading
                .iter_mut()
                .for_each(|reading| reading.spoke = true),
            Event::User { at, text } => recalled.words.push((*at, text.clone())),
            Event::Warning {
                kind: WarningKind::Missed,
                missing,
                ..
            } if recalled.about_task => self.tracker.was_told(missing),
            Event::Mark { .. }
            | Event::End { .. }
            | Event::Rejected { .. }
            | Event::Warning { .. }
            | Event::Dropped { .. }
            | Event::Context { .. }
            | Event::Source { .. }
            | Event::Resume { .. } => {}
        }
        recalled.last_at = recalled.check.last_at();
        Ok(())
    }

    /// The gates as they were after the frame that was read last.
    fn recall_frame(&mut self, recalled: &mut Recalled) {
        let Some(reading) = recalled.reading.take() else {
            return;
        };
        self.speak_gate
            .recall(reading.speak, reading.at, reading.spoke);
        self.dst_gate
            .recall(reading.dst_update, reading.at, reading.updated);
    }

    /// The log's task has to be this session's.
    fn same_task(&mut self, goal: &str, steps: &[StepInfo]) -> Result<(), String> {
        let own = self
            .tracker
            .task()
            .map(|task| task.goal.as_str())
            .unwrap_or_default();
        if own != goal {
            return Err(format!("it is about `{goal}`, this session about `{own}`"));
        }
        let names = |steps: &[StepInfo]| {
            steps
                .iter()
                .map(|step| step.name.clone())
                .collect::<Vec<_>>()
        };
        if names(steps) != names(&self.tracker.steps(true)) {
            return Err("its steps are not those of this session's task".into());
        }
        self.set_states(MediaTime::default(), steps)
    }

    fn set_states(&mut self, at: MediaTime, steps: &[StepInfo]) -> Result<(), String> {
        for StepInfo { id, state, .. } in steps {
            self.tracker.hand(at, Hand::Mark(*id, *state))?;
        }
        Ok(())
    }

    /// The last frames before the break, as the policy keeps them.
    fn see_again(&mut self, seen: &[Frame]) -> Result<()> {
        if self.config.context != ContextPolicyName::Refresh {
            return Ok(());
        }
        let kept = &seen[seen.len().saturating_sub(self.config.frames_kept)..];
        let first = usize::try_from(self.frames_done)
            .unwrap_or(usize::MAX)
            .saturating_sub(kept.len());
        for (i, frame) in kept.iter().enumerate() {
            let features = match &frame.content {
                Content::Features(features) => {
                    self.intake.check_features(
                        frame.idx,
                        features,
                        self.config.tokens_per_frame,
                    )?;
                    features.clone()
                }
                Content::Picture(picture) => {
                    self.intake.check_picture(frame.idx, picture)?;
                    self.encode(frame.idx, picture)?
                }
            };
            self.recent
                .push_back(self.tape.compare(first + i, features)?);
        }
        Ok(())
    }
}
