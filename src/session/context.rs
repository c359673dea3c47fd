//! What is dropped when memory may be too small for the next frame, and how much a frame can need.
//! The policies that summarize are in `summary.rs`.
//!
//! `refresh` and `drop_all` begin anew with a prompt for the present state (so goal and progress
//! are never lost), with and without the last K frames. `drop_middle` keeps the first prompt and
//! drops the oldest frames with their turns; states that the prompt does not tell are told again in
//! a note.

use super::frame::Moment;
use super::tape::Seen;
use super::{Flow, Session, SessionConfig, Stage, Work, summary};
use crate::dialogue::layout::{Chat, Layout, LayoutName};
use crate::dialogue::policy::GateKind;
use crate::dialogue::task::{StepState, Task, TaskState};
use crate::error::{Error, Result};
use crate::model::{Backbone, Perceiver};
use crate::stream::{ContextPolicyName, Event, Sink};
use crate::units::TokenId;

/// `drop_middle` keeps one part in this many of the room behind the prompt, so that it acts seldom.
const DROP_MIDDLE_KEEPS_ONE_IN: usize = 2;
/// `[ASST]` and `<eot>` around a sentence.
const SPEECH_ENDS_TOKENS: usize = 2;
/// Start and complete: changes of one step at most.
const UPDATES_PER_STEP: usize = 2;

/// Positions that the updates and the sentence of one frame can take at most.
pub(super) fn reserve_tokens(
    layout: &Layout<'_>,
    task: Option<&Task>,
    config: &SessionConfig,
) -> Result<usize> {
    let updates = match task.filter(|_| config.gates.dst_update.kind != GateKind::Off) {
        Some(task) => {
            let count = config
                .updates_per_frame_max
                .min(task.steps.len() * UPDATES_PER_STEP);
            count.saturating_mul(layout.update_tokens_max(task)?)
        }
        None => 0,
    };
    let speech = match config.gates.speak.kind {
        GateKind::Off => 0,
        _ => config
            .utterance_tokens_max
            .saturating_add(SPEECH_ENDS_TOKENS)
            .saturating_add(layout.note_tokens_max(task)?),
    };
    let summary = summary::reserve_tokens(layout, task, config)?;
    Ok(updates.saturating_add(speech).saturating_add(summary))
}

/// Checks that a fresh prompt, what the policy keeps, the person's words and one frame fit.
pub(super) fn check_capacity(
    layout: &Layout<'_>,
    task: Option<&Task>,
    config: &SessionConfig,
    reserve_tokens: usize,
    capacity: usize,
) -> Result<()> {
    let chat = config.layout == LayoutName::Proassist;
    let mut prompt = match config.layout {
        LayoutName::Dstproact => layout.prompt(task, &TaskState::default())?.len(),
        LayoutName::Proassist => {
            let chat = Chat::new(*layout)?;
            chat.opening(task)?.len().max(
                chat.opening(None)?.len() + config.user_tokens_max + chat.knowledge(task)?.len(),
            )
        }
    };
    let mut note = 0;
    if let Some(task) = task.filter(|_| !chat) {
        // The words for the states differ in length; the longest are among these.
        for word in StepState::ALL {
            let state = TaskState::uniform(task, word);
            prompt = prompt.max(layout.prompt(Some(task), &state)?.len());
            note = note.max(layout.state_note(&state.iter().collect::<Vec<_>>())?.len());
        }
    }
    // A new prompt tells the states itself; behind an old one they are told in a note.
    let kept = match config.context {
        ContextPolicyName::Refresh => config.frames_kept.saturating_mul(config.tokens_per_frame),
        ContextPolicyName::DropAll => 0,
        ContextPolicyName::SummarizeAndDrop | ContextPolicyName::SummarizeWithDst => {
            summary::prompt_tokens(config)
        }
        ContextPolicyName::DropMiddle | ContextPolicyName::None => note,
    };
    let parts = [
        prompt,
        kept,
        config.user_tokens_max,
        config.tokens_per_frame,
        reserve_tokens,
    ];
    let needed = parts
        .iter()
        .fold(0usize, |sum, part| sum.saturating_add(*part));
    if needed > capacity {
        return Err(Error::Invalid(format!(
            "memory of {capacity} tokens is too small: prompt {prompt} + kept frames or note {kept} + the person's words {} + \
             a frame {} + its updates and sentence {reserve_tokens} = {needed}; lower frames_kept, user_tokens_max, \
             updates_per_frame_max or utterance_tokens_max, or take a model with more memory",
            config.user_tokens_max, config.tokens_per_frame
        )));
    }
    Ok(())
}

impl<P: Perceiver, B: Backbone> Session<P, B> {
    /// Tokens that go before the next frame: what the person said, and states set by hand.
    pub(super) fn words_before_frame(&self) -> Result<Vec<TokenId>> {
        let mut tokens = self.said.clone();
        let untold = self.tracker.untold();
        // A chat knows of no steps.
        if !untold.is_empty() && self.config.layout == LayoutName::Dstproact {
            tokens.extend(self.layout().state_note(&untold)?);
        }
        Ok(tokens)
    }

    /// Positions that a frame can need with `words` before it.
    pub(super) fn frame_needs(&self, words: &[TokenId]) -> usize {
        words.len() + self.config.tokens_per_frame + self.reserve_tokens
    }

    /// Held at most before the policy acts, from the configuration; memory itself may be larger.
    fn limit_tokens(&self) -> usize {
        match self.config.context_tokens_max {
            0 => self.tape.capacity(),
            most => most.min(self.tape.capacity()),
        }
    }

    /// The policy acts before the next frame, though it would fit.
    pub(super) fn is_full(&self, tokens: usize) -> bool {
        self.config.context_tokens_max > 0 && tokens >= self.limit_tokens()
    }

    /// The policy acts before a frame when more than this is held.
    pub(super) fn memory_reset(&self) -> usize {
        self.tape
            .capacity()
            .saturating_sub(self.frame_needs(&[]))
            .min(self.limit_tokens())
    }

    /// The prompt for the present state.
    pub(super) fn prompt_now(&self) -> Result<Vec<TokenId>> {
        match self.config.layout {
            LayoutName::Dstproact => self
                .layout()
                .prompt(self.tracker.task(), self.tracker.state()),
            LayoutName::Proassist => self.chat_opening(),
        }
    }

    /// Lets the policy act for a frame that may not fit, once; then the frame is looked at again.
    pub(super) fn make_room(
        &mut self,
        needed: usize,
        moment: Moment,
        seen: Seen,
        sink: &mut dyn Sink,
    ) -> Result<Flow> {
        let (held, capacity) = (self.tape.len(), self.tape.capacity());
        let full = Error::MemoryFull {
            tokens: held,
            needed,
            capacity,
        };
        let policy = self.config.context;
        let tokens_after = match policy {
            ContextPolicyName::None => return Err(full),
            ContextPolicyName::Refresh => self.begin_anew(self.recent.iter().cloned().collect())?,
            ContextPolicyName::DropAll => self.begin_anew(Vec::new())?,
            ContextPolicyName::SummarizeAndDrop | ContextPolicyName::SummarizeWithDst => {
                return self.open_summary(moment, seen);
            }
            ContextPolicyName::DropMiddle => {
                self.tracker.forget_told();
                let needed = self.frame_needs(&self.words_before_frame()?);
                let prompt = self.tape.prompt_tokens();
                let share =
                    prompt + self.limit_tokens().saturating_sub(prompt) / DROP_MIDDLE_KEEPS_ONE_IN;
                self.tape
                    .evict_oldest(share.min(capacity.saturating_sub(needed)))?;
                self.tape.len()
            }
        };
        self.go_on_with_room(moment, seen, policy, (held, tokens_after), None, sink)
    }

    /// Tells what was dropped, as the tokens held before and after it, and goes on with the frame.
    pub(super) fn go_on_with_room(
        &mut self,
        moment: Moment,
        seen: Seen,
        policy: ContextPolicyName,
        (tokens_before, tokens_after): (usize, usize),
        summary: Option<String>,
        sink: &mut dyn Sink,
    ) -> Result<Flow> {
        sink.emit(&Event::Context {
            at: moment.at,
            policy,
            tokens_before,
            tokens_after,
            summary,
        })?;
        self.stage = Stage::Look {
            moment,
            seen,
            made_room: true,
        };
        Ok(Flow::Working(Work::Context))
    }

    /// Prompt for the present state, and frames seen again behind it.
    pub(super) fn begin_anew(&mut self, frames: Vec<Seen>) -> Result<usize> {
        let prompt = self.prompt_now()?;
        self.tracker.tell_in_prompt();
        self.tape.restart(&prompt, frames, &self.tracker.states())
    }
}
