//! What the person does to the session itself: thresholds, another place, another task, an answer
//! now.
//!
//! Each is told as an event, so that the log says who changed what. All but the thresholds need a
//! session that has worked off its inputs; their memory begins anew with a prompt for the states as
//! they then are.

use std::sync::Arc;

use super::tracker::Tracker;
use super::{Session, Stage, context, summary};
use crate::dialogue::layout::LayoutName;
use crate::dialogue::policy::{Gate, GateKind};
use crate::dialogue::task::Task;
use crate::error::{Error, Result};
use crate::model::{Backbone, Perceiver};
use crate::stream::{Event, GateName, Sink};
use crate::units::{MediaTime, Threshold};

impl<P: Perceiver, B: Backbone> Session<P, B> {
    /// Time of the last input: what the person does now happens then.
    pub fn now(&self) -> MediaTime {
        self.intake.last_at().unwrap_or(self.last_at)
    }

    /// The next frame is answered with a sentence, whatever the speak gate says; where that is off
    /// this does nothing.
    pub fn answer_next(&mut self) {
        self.answer_owed = true;
    }

    /// By what a gate decides; `None` when it is off.
    pub fn threshold(&self, gate: GateName) -> Option<Threshold> {
        let (kind, gate) = match gate {
            GateName::Speak => (self.config.gates.speak.kind, &self.speak_gate),
            GateName::DstUpdate => (self.config.gates.dst_update.kind, &self.dst_gate),
        };
        (kind != GateKind::Off).then(|| gate.config().threshold)
    }

    /// Moves a gate's threshold; the next frame is decided by it.
    ///
    /// # Errors
    /// Out of range, or not above the gate's hysteresis: nothing has changed. The sink could not
    /// take it.
    pub fn set_threshold(
        &mut self,
        gate: GateName,
        threshold: Threshold,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        match gate {
            GateName::Speak => self.speak_gate.set_threshold("speak", threshold)?,
            GateName::DstUpdate => self.dst_gate.set_threshold("dst_update", threshold)?,
        }
        sink.emit(&Event::Threshold {
            at: self.now(),
            gate,
            threshold,
        })
    }

    /// Goes on from another place of the recording, also after the end. Ahead, the states stay;
    /// back, every change since then is taken back. The model keeps nothing but the goal and those
    /// states.
    ///
    /// # Errors
    /// A time that is negative or not finite, or inputs that wait: nothing has changed. The sink
    /// could not take it.
    pub fn seek(&mut self, to: MediaTime, sink: &mut dyn Sink) -> Result<()> {
        if !to.0.is_finite() || to.0 < 0.0 {
            return Err(Error::Invalid(format!(
                "seek to {} s: expected a finite time from 0",
                to.0
            )));
        }
        self.check_between_inputs(true)?;
        let at = self.now();
        self.tracker.go_back(to);
        self.intake.restart_at(to);
        self.last_at = to;
        self.recent.clear();
        self.speak_gate.reset();
        self.dst_gate.reset();
        sink.emit(&Event::Seek {
            at,
            to,
            steps: self.tracker.steps(false),
        })?;
        self.begin_anew(Vec::new())?;
        self.stage = Stage::Ready;
        Ok(())
    }

    /// Follows another task from here on; the last frames are seen again behind its prompt.
    ///
    /// # Errors
    /// Inputs that wait, the session is over, or a memory too small for the task: nothing has
    /// changed. The sink could not take it.
    pub fn change_task(&mut self, task: Task, sink: &mut dyn Sink) -> Result<()> {
        self.check_between_inputs(false)?;
        let mut config = self.config.clone();
        let tracks = config.layout == LayoutName::Dstproact && !task.steps.is_empty();
        config.gates.dst_update.kind = if tracks { self.dst_kind } else { GateKind::Off };
        let mut dst_update = config.gates.dst_update;
        dst_update.threshold = self.dst_gate.config().threshold;
        let dst_gate = Gate::new("dst_update", dst_update)?;
        let layout = self.layout();
        summary::check(Some(&task), &config)?;
        let reserve_tokens = context::reserve_tokens(&layout, Some(&task), &config)?;
        context::check_capacity(
            &layout,
            Some(&task),
            &config,
            reserve_tokens,
            self.tape.capacity(),
        )?;
        if config.step_evidence {
            let words = super::read_words(self.perceiver.as_deref(), &layout, &task)?;
            self.tape.set_words(words);
            for seen in &mut self.recent {
                *seen = self
                    .tape
                    .compare(seen.ordinal, Arc::clone(&seen.features))?;
            }
        }
        (self.config, self.dst_gate, self.reserve_tokens) = (config, dst_gate, reserve_tokens);
        let goal = task.goal.clone();
        self.tracker = Tracker::new(Some(task), &self.config);
        self.goal_told.clear();
        sink.emit(&Event::Task {
            at: self.now(),
            goal,
            steps: self.tracker.steps(true),
        })?;
        self.begin_anew(self.recent.iter().cloned().collect())?;
        Ok(())
    }

    /// Nothing waits and nothing is being written; the session may be over where that is
    /// `over_too`.
    fn check_between_inputs(&self, over_too: bool) -> Result<()> {
        let fits = match self.stage {
            Stage::Ready => self.intake.len() == 0,
            Stage::Finished => over_too,
            _ => false,
        };
        if fits {
            Ok(())
        } else {
            Err(Error::Invalid(
                "the session is at work or over; this fits between two frames only".into(),
            ))
        }
    }
}
