//! One frame: look at it, ask the gates, write updates, write a sentence.

use std::sync::Arc;

use super::tape::Seen;
use super::{Flow, Session, Stage, Work, warning};
use crate::dialogue::grammar::{Grammar, Next, Sentence, TextRules, token_prob};
use crate::dialogue::layout::{LayoutName, Slot};
use crate::dialogue::policy::GateKind;
use crate::dialogue::task::{StepState, TaskState, Update};
use crate::error::{Error, Result};
use crate::model::{Backbone, Hidden, Mark, Perceiver, Piece};
use crate::stream::{Event, Sink};
use crate::units::{FrameIdx, MediaTime, Prob, TokenId};

/// Decimals of a probability in events, so that logs read well and stay the same across machines'
/// last digits. Decisions use the unrounded value.
const PROB_DECIMALS: i32 = 4;

/// A frame being decided on.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) frame: FrameIdx,
    pub(super) at: MediaTime,
    /// The dst gate's first reading; `None` until it was made.
    dst_update: Option<Prob>,
    /// The steps' states before its updates.
    before: TaskState,
    /// Updates written so far.
    updates: usize,
    /// Events that follow the frame's own, which waits for the speak gate.
    held: Vec<Event>,
}

impl Moment {
    pub(super) fn new(frame: FrameIdx, at: MediaTime) -> Self {
        Self {
            frame,
            at,
            dst_update: None,
            before: TaskState::default(),
            updates: 0,
            held: Vec::new(),
        }
    }

    pub(super) fn rejected(&self, text: String, why: String) -> Event {
        Event::Rejected {
            frame: self.frame,
            at: self.at,
            text,
            why,
        }
    }
}

/// Both gates' probabilities at one place.
#[derive(Clone, Copy, Debug)]
struct Reading {
    speak: Prob,
    dst_update: Prob,
}

/// An update being written.
pub(super) struct UpdateDraft {
    moment: Moment,
    /// Before `[DST]`.
    mark: Mark,
    /// What the gates said before `[DST]`; counts again if the update is refused.
    reading: Reading,
    grammar: Grammar,
    tokens: Vec<TokenId>,
    hidden: Hidden,
}

/// A sentence being written.
pub(super) struct SpeechDraft {
    moment: Moment,
    /// Before `[ASST]`.
    mark: Mark,
    prob: Prob,
    sentence: Sentence,
    hidden: Hidden,
}

impl UpdateDraft {
    pub(super) fn text_tokens(&self) -> &[TokenId] {
        &self.tokens
    }
}

impl SpeechDraft {
    pub(super) fn text_tokens(&self) -> &[TokenId] {
        self.sentence.tokens()
    }
}

impl<P: Perceiver, B: Backbone> Session<P, B> {
    /// Reads the person's words and the frame, and asks the gates; or first lets the context policy
    /// act.
    pub(super) fn look(
        &mut self,
        mut moment: Moment,
        seen: Seen,
        made_room: bool,
        sink: &mut dyn Sink,
    ) -> Result<Flow> {
        let words = self.words_before_frame()?;
        let needed = self.frame_needs(&words);
        let (tokens, capacity) = (self.tape.len(), self.tape.capacity());
        if tokens + needed > capacity || (!made_room && self.is_full(tokens)) {
            if made_room {
                return Err(Error::MemoryFull {
                    tokens,
                    needed,
                    capacity,
                });
            }
            return self.make_room(needed, moment, seen, sink);
        }
        self.tape.begin_frame();
        self.tracker.see(moment.at, &seen.features, &seen.cosines);
        let mut pieces: Vec<Piece> = words.into_iter().map(Piece::Token).collect();
        pieces.push(self.tape.frame(&seen, &self.tracker.states()));
        let hidden = self.tape.read(&pieces)?;
        self.words_are_read();
        self.tracker.tell_all();
        self.recent.push_back(seen);
        self.last_seen = self.recent.back().cloned();
        while self.recent.len() > self.config.frames_kept {
            self.recent.pop_front();
        }
        (self.last_frame, self.last_at) = (moment.frame, moment.at);
        moment.before = self.tracker.state().clone();
        match self.config.layout {
            LayoutName::Dstproact => self.decide(hidden, moment, sink)?,
            LayoutName::Proassist => self.decide_chat(&hidden, moment, sink)?,
        }
        Ok(Flow::Working(Work::Frame))
    }

    /// At the last image token and at each update's `<eot>`: another update, or on to the speak
    /// gate.
    fn decide(&mut self, hidden: Hidden, mut moment: Moment, sink: &mut dyn Sink) -> Result<()> {
        let reading = self.read_gates(&hidden)?;
        let first = moment.dst_update.is_none();
        moment.dst_update.get_or_insert(reading.dst_update);
        let possible = self.config.gates.dst_update.kind != GateKind::Off
            && moment.updates < self.config.updates_per_frame_max
            && !self.tracker.state().allowed().is_empty();
        let fires = possible
            && if first {
                self.dst_gate.decide(reading.dst_update, moment.at)
            } else {
                self.dst_gate.decide_again(reading.dst_update)
            };
        let insisted = if first {
            self.tracker.insisted(moment.at, reading.dst_update)
        } else {
            None
        };
        let only = insisted.filter(|_| possible && !fires);
        if fires || only.is_some() {
            self.open_update(moment, reading, only, sink)
        } else {
            self.decide_speech(moment, reading, sink)
        }
    }

    /// The speak gate, once a frame; the frame's event and those that follow it go out.
    fn decide_speech(
        &mut self,
        mut moment: Moment,
        reading: Reading,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let Moment { frame, at, .. } = moment;
        let dst_update = logged(moment.dst_update.unwrap_or_default());
        sink.emit(&Event::Frame {
            frame,
            at,
            speak: logged(reading.speak),
            dst_update,
        })?;
        for event in std::mem::take(&mut moment.held) {
            sink.emit(&event)?;
        }
        for amiss in self.tracker.left_out(at) {
            sink.emit(&warning(frame, at, amiss))?;
        }
        // The gate takes its reading in any case: an answer that is owed does not change what it
        // remembers.
        let owed =
            std::mem::take(&mut self.answer_owed) && self.config.gates.speak.kind != GateKind::Off;
        if !self.speak_gate.decide(reading.speak, at) && !owed {
            self.end_frame();
            return Ok(());
        }
        let layout = self.layout();
        let rules = TextRules {
            eot: layout.special().eot,
            banned: self.banned.clone(),
            tokens_max: self.config.utterance_tokens_max,
        };
        let mark = self.tape.mark();
        let note = layout.note(self.tracker.task(), &moment.before, self.tracker.state())?;
        let mut slots = vec![layout.utterance_opening()];
        slots.extend(note.into_iter().map(Slot::Token));
        let pieces = self.pieces(&slots, &self.tracker.states());
        let hidden = self.tape.read(&pieces)?;
        let sentence = Sentence::new(rules);
        self.stage = Stage::Speech(SpeechDraft {
            moment,
            mark,
            prob: reading.speak,
            sentence,
            hidden,
        });
        Ok(())
    }

    pub(super) fn end_frame(&mut self) {
        self.frames_done += 1;
        self.stage = Stage::Ready;
    }

    /// Probabilities of the gates at a place. The lm_head is computed for gates of kind `token`
    /// only.
    fn read_gates(&self, hidden: &Hidden) -> Result<Reading> {
        let kinds = [
            self.config.gates.speak.kind,
            self.config.gates.dst_update.kind,
        ];
        let backbone = self.tape.backbone();
        let heads = if kinds.contains(&GateKind::Head) {
            Some(backbone.heads(hidden)?)
        } else {
            None
        };
        let logits = if kinds.contains(&GateKind::Token) {
            Some(backbone.lm_logits(hidden)?)
        } else {
            None
        };
        let special = self.layout().special();
        let read = |name, kind, logit: Option<crate::units::Logit>, token| {
            let prob = match (kind, logit, &logits) {
                (GateKind::Head, Some(logit), _) => logit.sigmoid(),
                (GateKind::Token, _, Some(logits)) => token_prob(logits, token)?,
                _ => Prob(0.0),
            };
            if (0.0..=1.0).contains(&prob.0) {
                Ok(prob)
            } else {
                Err(Error::Model(format!(
                    "gate {name}: its probability is {}",
                    prob.0
                )))
            }
        };
        Ok(Reading {
            speak: read("speak", kinds[0], heads.map(|h| h.speak), special.asst)?,
            dst_update: read(
                "dst_update",
                kinds[1],
                heads.map(|h| h.dst_update),
                special.dst,
            )?,
        })
    }

    /// Feeds `[DST]` and what the grammar leaves no choice about; with `only` that is all of it.
    fn open_update(
        &mut self,
        moment: Moment,
        reading: Reading,
        only: Option<Update>,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let layout = self.layout();
        let mut grammar = match only {
            Some(update) => Grammar::of_updates(&layout, [update])?,
            None => Grammar::of_state(&layout, self.tracker.state())?,
        };
        if let Some(task) = self.tracker.task() {
            grammar = grammar.in_order(task, self.tracker.state(), self.config.out_of_order_weight);
        }
        let tokens = forced(&grammar, &[]);
        let mark = self.tape.mark();
        let mut pieces = self.pieces(&[layout.update_opening()], &self.tracker.states());
        pieces.extend(self.update_pieces(&grammar, &tokens, 0));
        let hidden = self.tape.read(&pieces)?;
        self.settle_update(
            UpdateDraft {
                moment,
                mark,
                reading,
                grammar,
                tokens,
                hidden,
            },
            sink,
        )
    }

    /// The pieces of slots without features.
    pub(super) fn pieces(&self, slots: &[Slot], states: &Arc<[StepState]>) -> Vec<Piece> {
        let piece = |slot: &Slot| self.tape.token(*slot, states);
        slots.iter().filter_map(piece).collect()
    }

    /// An update's tokens from a place on; its `<eot>` tells how far the steps are behind it.
    fn update_pieces(&self, grammar: &Grammar, tokens: &[TokenId], from: usize) -> Vec<Piece> {
        let update = grammar.finished(tokens);
        let states = match update {
            Some(update) => self.tracker.states_behind(update),
            None => self.tracker.states(),
        };
        let slots = self.layout().update_part(&tokens[from..], update.is_some());
        self.pieces(&slots, &states)
    }

    /// Feeds one chosen token of an update, and those that must follow it.
    pub(super) fn write_update(
        &mut self,
        mut draft: UpdateDraft,
        sink: &mut dyn Sink,
    ) -> Result<Flow> {
        let logits = self.tape.backbone().update_logits(&draft.hidden)?;
        let token = draft.grammar.pick(&draft.tokens, &logits)?;
        let old = draft.tokens.len();
        draft.tokens.push(token);
        let rest = forced(&draft.grammar, &draft.tokens);
        draft.tokens.extend(rest);
        let pieces = self.update_pieces(&draft.grammar, &draft.tokens, old);
        draft.hidden = self.tape.read(&pieces)?;
        self.settle_update(draft, sink)?;
        Ok(Flow::Working(Work::Update))
    }

    /// A whole update is applied and the gates are asked again at its `<eot>`; a part waits for
    /// more.
    fn settle_update(&mut self, draft: UpdateDraft, sink: &mut dyn Sink) -> Result<()> {
        let Some(update) = draft.grammar.finished(&draft.tokens) else {
            self.stage = Stage::Update(draft);
            return Ok(());
        };
        if let Some(why) = self.tracker.doubt(draft.moment.at, update) {
            return self.refuse_update(draft, why, sink);
        }
        let amiss = match self.tracker.apply(draft.moment.at, update) {
            Ok(amiss) => amiss,
            Err(why) => return self.refuse_update(draft, why, sink),
        };
        let UpdateDraft {
            mut moment,
            reading,
            hidden,
            ..
        } = draft;
        let Moment { frame, at, .. } = moment;
        let Update { step, transition } = update;
        moment.updates += 1;
        moment.held.push(Event::Transition {
            frame,
            at,
            step,
            transition,
            prob: logged(reading.dst_update),
        });
        moment
            .held
            .extend(amiss.into_iter().map(|amiss| warning(frame, at, amiss)));
        self.decide(hidden, moment, sink)
    }

    /// Forgets a refused update and goes on to the speak gate with what was read before it.
    fn refuse_update(
        &mut self,
        draft: UpdateDraft,
        why: String,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        self.tape.rewind(draft.mark)?;
        let text = self.codec.decode(&draft.tokens)?;
        let mut moment = draft.moment;
        moment.held.push(moment.rejected(text, why));
        self.decide_speech(moment, draft.reading, sink)
    }

    /// Feeds one token of a sentence, or ends it.
    pub(super) fn write_speech(
        &mut self,
        mut draft: SpeechDraft,
        sink: &mut dyn Sink,
    ) -> Result<Flow> {
        let logits = self.tape.backbone().lm_logits(&draft.hidden)?;
        let next = draft.sentence.next(&logits)?;
        let text = || self.codec.decode(draft.sentence.tokens());
        let refused = match next {
            Next::Token(token) => {
                draft.hidden = self.tape.read_tokens(&[token])?;
                self.stage = Stage::Speech(draft);
                return Ok(Flow::Working(Work::Speech));
            }
            Next::End => unreadable(&text()?),
            Next::Refused(why) => Some(why),
        };
        let text = text()?.trim().to_owned();
        let Moment { frame, at, .. } = draft.moment;
        if let Some(why) = refused {
            self.tape.rewind(draft.mark)?;
            sink.emit(&draft.moment.rejected(text, why))?;
        } else {
            let eot = self.layout().special().eot;
            self.tape.read_tokens(&[eot])?;
            sink.emit(&Event::Utterance {
                frame,
                at,
                text,
                prob: logged(draft.prob),
            })?;
        }
        self.end_frame();
        Ok(Flow::Working(Work::Speech))
    }
}

/// Why a finished sentence cannot be said.
fn unreadable(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        Some("no words".into())
    } else if text.contains(char::REPLACEMENT_CHARACTER) {
        Some("not valid UTF-8".into())
    } else {
        None
    }
}

/// The tokens behind a prefix up to the next choice.
fn forced(grammar: &Grammar, prefix: &[TokenId]) -> Vec<TokenId> {
    let mut tokens = prefix.to_vec();
    while let [only] = grammar.allowed_next(&tokens)[..] {
        tokens.push(only);
    }
    tokens.split_off(prefix.len())
}

/// A probability as events tell it.
pub(super) fn logged(prob: Prob) -> Prob {
    let scale = 10f32.powi(PROB_DECIMALS);
    Prob((prob.0 * scale).round() / scale)
}
