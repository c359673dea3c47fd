//! Layout `proassist`: one gate, silence as `<eot>` at the last image token, and replies that the
//! model writes freely.
//!
//! The reply begins at the image token itself, with the header of the assistant's turn, as the
//! released models learnt it; `<eot>` closes it in memory (upstream's runner forgets that token,
//! although training had it).

use super::frame::{Moment, logged};
use super::tape::Tape;
use super::{Flow, Session, Stage, Work};
use crate::dialogue::grammar::{greedy, token_prob};
use crate::dialogue::layout::{Chat, LayoutName};
use crate::dialogue::policy::GateKind;
use crate::error::{Error, Result};
use crate::model::{Backbone, Perceiver};
use crate::stream::{Event, Sink};
use crate::units::{Prob, TokenId};

/// Text being written greedily: anything may follow, but it does not begin with its end.
pub(super) struct Draft {
    tokens: Vec<TokenId>,
    /// Scores of the next token, `[vocab]`.
    logits: Vec<f32>,
    eot: TokenId,
    banned: Vec<TokenId>,
    tokens_max: usize,
}

impl Draft {
    /// A text without words yet; `banned` is never picked.
    pub(super) fn new(
        logits: Vec<f32>,
        eot: TokenId,
        banned: Vec<TokenId>,
        tokens_max: usize,
    ) -> Self {
        Self {
            tokens: Vec::new(),
            logits,
            eot,
            banned,
            tokens_max,
        }
    }

    /// Tokens so far, without `<eot>`.
    pub(super) fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// Picks and reads one token; `true` when the text is whole or as long as it may be, and closed
    /// in memory.
    pub(super) fn write<B: Backbone>(&mut self, tape: &mut Tape<B>) -> Result<bool> {
        let mut banned = self.banned.clone();
        if self.tokens.is_empty() {
            banned.push(self.eot);
        }
        let token = greedy(&self.logits, &banned)?
            .ok_or_else(|| Error::Model("every token is banned".into()))?;
        if token != self.eot {
            self.tokens.push(token);
            let hidden = tape.read_tokens(&[token])?;
            if self.tokens.len() < self.tokens_max {
                self.logits = tape.backbone().lm_logits(&hidden)?;
                return Ok(false);
            }
        }
        tape.read_tokens(&[self.eot])?;
        Ok(true)
    }
}

/// A turn of the assistant being written.
pub(super) struct Reply {
    moment: Moment,
    prob: Prob,
    pub(super) draft: Draft,
}

impl<P: Perceiver, B: Backbone> Session<P, B> {
    /// The chat over this session's codec.
    pub(super) fn chat(&self) -> Result<Chat<'_>> {
        Chat::new(self.layout())
    }

    /// What goes behind the person's turn: with the first one, which tells the goal, what is known
    /// of the task.
    pub(super) fn behind_words(&mut self, turn: &[TokenId]) -> Result<Vec<TokenId>> {
        let has_goal = self
            .tracker
            .task()
            .is_some_and(|task| !task.goal.trim().is_empty());
        let told = [&self.goal_told, &self.goal_waiting]
            .iter()
            .any(|turns| !turns.is_empty());
        if self.config.layout != LayoutName::Proassist || has_goal || told {
            return Ok(Vec::new());
        }
        let known = self.chat()?.knowledge(self.tracker.task())?;
        self.goal_waiting = [turn, known.as_slice()].concat();
        Ok(known)
    }

    /// Whether what is known of the task has been told: in the opening, with the task's goal, or
    /// behind the person's.
    pub(super) fn knowledge_is_told(&self) -> bool {
        let has_goal = self
            .tracker
            .task()
            .is_some_and(|task| !task.goal.trim().is_empty());
        has_goal || !self.goal_told.is_empty()
    }

    /// What the person said has been read.
    pub(super) fn words_are_read(&mut self) {
        self.said.clear();
        if self.goal_told.is_empty() {
            self.goal_told = std::mem::take(&mut self.goal_waiting);
        }
    }

    /// What memory begins with: system prompt, goal and knowledge, the person's own words for it
    /// where they said it.
    pub(super) fn chat_opening(&self) -> Result<Vec<TokenId>> {
        Ok([
            self.chat()?.opening(self.tracker.task())?,
            self.goal_told.clone(),
        ]
        .concat())
    }

    /// At the last image token: silence, or a reply.
    pub(super) fn decide_chat(
        &mut self,
        hidden: &crate::model::Hidden,
        moment: Moment,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let special = self.layout().special();
        let logits = self.tape.backbone().lm_logits(hidden)?;
        let prob = match self.config.gates.speak.kind {
            GateKind::Token => Prob(1.0 - token_prob(&logits, special.eot)?.0),
            GateKind::Head => self.tape.backbone().heads(hidden)?.speak.sigmoid(),
            GateKind::Off => Prob(0.0),
        };
        if !(0.0..=1.0).contains(&prob.0) {
            return Err(Error::Model(format!(
                "gate speak: its probability is {}",
                prob.0
            )));
        }
        let (frame, at) = (moment.frame, moment.at);
        sink.emit(&Event::Frame {
            frame,
            at,
            speak: logged(prob),
            dst_update: Prob(0.0),
        })?;
        let owed =
            std::mem::take(&mut self.answer_owed) && self.config.gates.speak.kind != GateKind::Off;
        if !self.speak_gate.decide(prob, at) && !owed {
            self.end_frame();
            return Ok(());
        }
        let draft = Draft::new(
            logits,
            special.eot,
            vec![special.image],
            self.config.utterance_tokens_max,
        );
        self.stage = Stage::Reply(Reply {
            moment,
            prob,
            draft,
        });
        Ok(())
    }

    /// One token of a reply, or its end.
    pub(super) fn write_reply(&mut self, mut reply: Reply, sink: &mut dyn Sink) -> Result<Flow> {
        if !reply.draft.write(&mut self.tape)? {
            self.stage = Stage::Reply(reply);
            return Ok(Flow::Working(Work::Speech));
        }
        let text = self.chat()?.words(reply.draft.tokens())?;
        if text.is_empty() {
            // As upstream, what it wrote stays in memory.
            sink.emit(&reply.moment.rejected(text, "no words".into()))?;
        } else {
            let Moment { frame, at, .. } = reply.moment;
            sink.emit(&Event::Utterance {
                frame,
                at,
                text,
                prob: logged(reply.prob),
            })?;
        }
        self.end_frame();
        Ok(Flow::Working(Work::Speech))
    }
}
