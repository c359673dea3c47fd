//! The backbone's memory as the session sees it: everything read goes through here and can be
//! recorded.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::dialogue::layout::Slot;
use crate::dialogue::task::StepState;
use crate::error::Result;
use crate::model::evidence::StepWords;
use crate::model::{Backbone, Evidence, Hidden, Mark, Memory, Piece};
use crate::units::TokenId;

/// What was done to the backbone's memory, for `--tokens` and for tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fed<'a> {
    /// These slots were read behind what it held.
    Read(&'a [Slot]),
    /// Everything from this position on was forgotten.
    Rewind(usize),
    /// These positions were forgotten, what stood behind them moved forward.
    Evict(Range<usize>),
}

/// Listens to what the backbone is fed.
pub type Tap = Box<dyn FnMut(Fed<'_>) + Send>;

/// A frame's features with its number in the session.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) ordinal: usize,
    /// `[V, Dv]`.
    pub(super) features: Arc<[f32]>,
    /// Cosines with the steps' words; none for a model that does without.
    pub(super) cosines: Arc<[f32]>,
}

/// Memory, its backbone, and what lies where in it.
pub(super) struct Tape<B: Backbone> {
    backbone: Arc<B>,
    memory: B::Memory,
    tokens_per_frame: usize,
    /// What frames are compared with.
    words: Arc<StepWords>,
    /// Cosines of the last frame that was made a piece; what markers carry.
    last_cosines: Arc<[f32]>,
    tap: Option<Tap>,
    /// Read before anything else; in chunks.
    waiting: VecDeque<Piece>,
    /// Positions of the prompt.
    prompt_tokens: usize,
    /// Where each frame with its turns begins, ascending: places where the stream may be cut.
    frame_starts: VecDeque<usize>,
}

impl<B: Backbone> Tape<B> {
    pub(super) fn new(backbone: Arc<B>, tokens_per_frame: usize) -> Result<Self> {
        let memory = backbone.new_memory()?;
        Ok(Self {
            backbone,
            memory,
            tokens_per_frame,
            words: Arc::default(),
            last_cosines: Arc::from([]),
            tap: None,
            waiting: VecDeque::new(),
            prompt_tokens: 0,
            frame_starts: VecDeque::new(),
        })
    }

    pub(super) fn set_tap(&mut self, tap: Tap) {
        self.tap = Some(tap);
    }

    /// Frames are compared with these words from here on.
    pub(super) fn set_words(&mut self, words: Arc<StepWords>) {
        self.words = words;
    }

    /// A frame with its cosines with the words.
    pub(super) fn compare(&self, ordinal: usize, features: Arc<[f32]>) -> Result<Seen> {
        let cosines = if self.words.steps().ids.is_empty() {
            Vec::new()
        } else {
            self.words.cosines(&features)?
        };
        Ok(Seen {
            ordinal,
            features,
            cosines: cosines.into(),
        })
    }

    pub(super) fn backbone(&self) -> &B {
        &self.backbone
    }

    pub(super) fn len(&self) -> usize {
        self.memory.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.memory.capacity()
    }

    /// Positions of the prompt.
    pub(super) fn prompt_tokens(&self) -> usize {
        self.prompt_tokens
    }

    /// Begins anew: forgets everything; prompt and frames wait to be read. Gives the positions they
    /// will take.
    pub(super) fn restart(
        &mut self,
        prompt: &[TokenId],
        frames: Vec<Seen>,
        states: &Arc<[StepState]>,
    ) -> Result<usize> {
        if !self.memory.is_empty() {
            self.rewind(Mark(0))?;
        }
        self.prompt_tokens = prompt.len();
        self.waiting = prompt.iter().map(|token| Piece::Token(*token)).collect();
        self.frame_starts.clear();
        self.last_cosines = Arc::from([]);
        let mut end = prompt.len();
        for frame in frames {
            self.frame_starts.push_back(end);
            end += self.tokens_per_frame;
            let piece = self.frame(&frame, states);
            self.waiting.push_back(piece);
        }
        Ok(end)
    }

    /// Reads the next chunk of what waits; `false` when nothing waits. A frame is never split.
    pub(super) fn read_waiting(&mut self, tokens_max: usize) -> Result<bool> {
        if self.waiting.is_empty() {
            return Ok(false);
        }
        let (mut taken, mut tokens) = (0, 0);
        for piece in &self.waiting {
            tokens += match piece {
                Piece::Token(_) | Piece::Marker(..) => 1,
                Piece::Frame { .. } => self.tokens_per_frame,
            };
            if taken > 0 && tokens > tokens_max {
                break;
            }
            taken += 1;
        }
        let chunk: Vec<Piece> = self.waiting.drain(..taken).collect();
        self.read(&chunk)?;
        Ok(true)
    }

    /// The piece of a frame, with how far each step is when it is read.
    pub(super) fn frame(&mut self, seen: &Seen, states: &Arc<[StepState]>) -> Piece {
        self.last_cosines = Arc::clone(&seen.cosines);
        Piece::Frame {
            number: seen.ordinal,
            features: Arc::clone(&seen.features),
            evidence: self.evidence(states),
        }
    }

    /// The piece of a slot without features: a marker comes with the evidence of the last frame and
    /// how far each step is by then.
    pub(super) fn token(&self, slot: Slot, states: &Arc<[StepState]>) -> Option<Piece> {
        match slot {
            Slot::Token(token) => Some(Piece::Token(token)),
            Slot::Marker(token) => Some(Piece::Marker(token, self.evidence(states))),
            Slot::Image { .. } => None,
        }
    }

    /// The last frame's evidence; none for a model that does without.
    fn evidence(&self, states: &Arc<[StepState]>) -> Evidence {
        if self.last_cosines.is_empty() {
            return Evidence::default();
        }
        Evidence {
            steps: Arc::clone(self.words.steps()),
            cosines: Arc::clone(&self.last_cosines),
            states: Arc::clone(states),
        }
    }

    /// Reads pieces behind what memory holds; the hidden state of the last position.
    pub(super) fn read(&mut self, pieces: &[Piece]) -> Result<Hidden> {
        let hidden = self.backbone.extend(pieces, &mut self.memory)?;
        if let Some(tap) = &mut self.tap {
            let mut slots = Vec::with_capacity(pieces.len());
            for piece in pieces {
                match piece {
                    Piece::Token(token) => slots.push(Slot::Token(*token)),
                    Piece::Marker(token, _) => slots.push(Slot::Marker(*token)),
                    Piece::Frame { number, .. } => {
                        slots.extend((0..self.tokens_per_frame).map(|part| Slot::Image {
                            frame: *number,
                            part,
                        }));
                    }
                }
            }
            tap(Fed::Read(&slots));
        }
        Ok(hidden)
    }

    /// Reads tokens.
    pub(super) fn read_tokens(&mut self, tokens: &[TokenId]) -> Result<Hidden> {
        let pieces: Vec<Piece> = tokens.iter().map(|token| Piece::Token(*token)).collect();
        self.read(&pieces)
    }

    /// From here on a frame with its turns is read.
    pub(super) fn begin_frame(&mut self) {
        self.frame_starts.push_back(self.memory.len());
    }

    pub(super) fn mark(&self) -> Mark {
        self.memory.mark()
    }

    pub(super) fn rewind(&mut self, mark: Mark) -> Result<()> {
        self.memory.rewind(mark)?;
        if let Some(tap) = &mut self.tap {
            tap(Fed::Rewind(mark.0));
        }
        Ok(())
    }

    /// Forgets the oldest frames with their turns until at most `tokens_max` positions are held, or
    /// no frame is left. Cuts only where a frame begins.
    pub(super) fn evict_oldest(&mut self, tokens_max: usize) -> Result<()> {
        let held = self.memory.len();
        let surplus = held.saturating_sub(tokens_max);
        let enough = |start: &&usize| **start - self.prompt_tokens >= surplus;
        let cut = self
            .frame_starts
            .iter()
            .find(enough)
            .copied()
            .unwrap_or(held);
        if cut <= self.prompt_tokens {
            return Ok(());
        }
        let range = self.prompt_tokens..cut;
        self.memory.evict(range.clone())?;
        self.frame_starts.retain(|start| *start >= cut);
        for start in &mut self.frame_starts {
            *start -= range.len();
        }
        if let Some(tap) = &mut self.tap {
            tap(Fed::Evict(range));
        }
        Ok(())
    }
}
