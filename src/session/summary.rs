//! `summarize_and_drop` and `summarize_with_dst`: before memory is forgotten, the model says what
//! it held.
//!
//! The request is read behind what memory holds, with the last frame once more (upstream: the
//! summary is asked for at a frame); what the model answers stands in the new prompt. Upstream's
//! extension makes the summary and throws it away.

use super::chat::Draft;
use super::frame::Moment;
use super::tape::Seen;
use super::{Flow, Session, SessionConfig, Stage, Work};
use crate::dialogue::layout::{Layout, LayoutName};
use crate::dialogue::task::{StepState, Task, TaskState};
use crate::error::{Error, Result};
use crate::model::{Backbone, Perceiver, Piece};
use crate::stream::{ContextPolicyName, Sink};
use crate::units::TokenId;

/// `[ASST]` and `<eot>` around the answer.
const ANSWER_ENDS_TOKENS: usize = 2;
/// "Progress: " and a turn's own tokens around the summary, at most.
const PROGRESS_ENDS_TOKENS: usize = 32;

/// A summary being written, and the frame that waits for it.
pub(super) struct Summary {
    moment: Moment,
    seen: Seen,
    tokens_before: usize,
    pub(super) draft: Draft,
}

/// The policy asks the model before it forgets.
pub(super) fn summarizes(policy: ContextPolicyName) -> bool {
    matches!(
        policy,
        ContextPolicyName::SummarizeAndDrop | ContextPolicyName::SummarizeWithDst
    )
}

/// Checks that the policy can act: a summary guided by the steps needs steps, and a layout that
/// tracks them.
pub(super) fn check(task: Option<&Task>, config: &SessionConfig) -> Result<()> {
    if config.context != ContextPolicyName::SummarizeWithDst {
        return Ok(());
    }
    if config.layout != LayoutName::Dstproact {
        return Err(Error::Invalid(
            "context summarize_with_dst: layout proassist tracks no steps; take summarize_and_drop"
                .into(),
        ));
    }
    if task.is_none_or(|task| task.steps.is_empty()) {
        return Err(Error::Invalid(
            "context summarize_with_dst: there is no task with steps; take summarize_and_drop"
                .into(),
        ));
    }
    Ok(())
}

/// Positions that asking and answering take at most.
pub(super) fn reserve_tokens(
    layout: &Layout<'_>,
    task: Option<&Task>,
    config: &SessionConfig,
) -> Result<usize> {
    if !summarizes(config.context) {
        return Ok(0);
    }
    let mut request = layout.summary_request(None)?.len();
    if let Some(task) = task.filter(|_| config.context == ContextPolicyName::SummarizeWithDst) {
        // Every step is named once at most; the words around them differ.
        for word in StepState::ALL {
            let state = TaskState::uniform(task, word);
            request = request.max(layout.summary_request(Some((task, &state)))?.len());
        }
        request += PROGRESS_ENDS_TOKENS;
    }
    let answer = config.summary_tokens_max.saturating_add(ANSWER_ENDS_TOKENS);
    Ok(request
        .saturating_add(config.tokens_per_frame)
        .saturating_add(answer))
}

/// Positions that a summary takes in the new prompt at most, about: its words may be split into
/// tokens otherwise.
pub(super) fn prompt_tokens(config: &SessionConfig) -> usize {
    if summarizes(config.context) {
        config
            .summary_tokens_max
            .saturating_add(PROGRESS_ENDS_TOKENS)
    } else {
        0
    }
}

impl<P: Perceiver, B: Backbone> Session<P, B> {
    /// Reads the request; the answer is written next.
    pub(super) fn open_summary(&mut self, moment: Moment, seen: Seen) -> Result<Flow> {
        let layout = self.layout();
        let special = layout.special();
        let guided = self.config.context == ContextPolicyName::SummarizeWithDst;
        let guide = self
            .tracker
            .task()
            .filter(|_| guided)
            .map(|task| (task, self.tracker.state()));
        let request = layout.summary_request(guide)?;
        let tokens_before = self.tape.len();
        let mut pieces: Vec<Piece> = request.into_iter().map(Piece::Token).collect();
        let states = self.tracker.states();
        if let Some(last) = &self.last_seen {
            pieces.push(self.tape.frame(last, &states));
        }
        // A model of layout `dstproact` has its own opening; one of ProAssist writes the header
        // itself.
        let mut banned = vec![special.image];
        if self.config.layout == LayoutName::Dstproact {
            pieces.extend(self.pieces(&[self.layout().utterance_opening()], &states));
            banned = self.banned.clone();
        }
        let hidden = self.tape.read(&pieces)?;
        let logits = self.tape.backbone().lm_logits(&hidden)?;
        let draft = Draft::new(logits, special.eot, banned, self.config.summary_tokens_max);
        self.stage = Stage::Summary(Summary {
            moment,
            seen,
            tokens_before,
            draft,
        });
        Ok(Flow::Working(Work::Context))
    }

    /// One token of a summary; at its end memory begins anew with it.
    pub(super) fn write_summary(
        &mut self,
        mut summary: Summary,
        sink: &mut dyn Sink,
    ) -> Result<Flow> {
        if !summary.draft.write(&mut self.tape)? {
            self.stage = Stage::Summary(summary);
            return Ok(Flow::Working(Work::Context));
        }
        let Summary {
            moment,
            seen,
            tokens_before,
            draft,
        } = summary;
        let text = self.summary_words(draft.tokens())?;
        let mut prompt = self.prompt_behind(&text)?;
        if prompt.len() + self.frame_needs(&self.said) > self.tape.capacity() {
            // Split into tokens again, its words take more than they did: better without than not
            // at all.
            prompt = self.prompt_now()?;
        }
        self.tracker.tell_in_prompt();
        let tokens_after = self
            .tape
            .restart(&prompt, Vec::new(), &self.tracker.states())?;
        let policy = self.config.context;
        let tokens = (tokens_before, tokens_after);
        self.go_on_with_room(moment, seen, policy, tokens, Some(text), sink)
    }

    fn summary_words(&self, tokens: &[TokenId]) -> Result<String> {
        match self.config.layout {
            LayoutName::Proassist => self.chat()?.words(tokens),
            LayoutName::Dstproact => Ok(self.codec.decode(tokens)?.trim().to_owned()),
        }
    }

    /// The prompt for the present state with a summary in it.
    fn prompt_behind(&self, summary: &str) -> Result<Vec<TokenId>> {
        match self.config.layout {
            LayoutName::Proassist => self.chat()?.reopening(
                summary,
                self.tracker.task().filter(|_| self.knowledge_is_told()),
            ),
            LayoutName::Dstproact if summary.is_empty() => self.prompt_now(),
            LayoutName::Dstproact => {
                Ok([self.prompt_now()?, self.layout().progress(summary)?].concat())
            }
        }
    }
}
