//! The one model text: encoder (SigLIP), projector, backbone (Llama), memory (KV cache), heads.
//!
//! Letters in shapes: B batch, T tokens, D width of the backbone, Dv width of the encoder, H heads,
//! Hd width of a head, P patches, V vision tokens a frame.
//!
//! [`Perceiver`] and [`Backbone`] are the only traits over the model; tests of the session put
//! fakes there.

pub mod assistant;
pub mod backbone;
pub mod calibration;
pub mod config;
pub mod encoder;
pub mod evidence;
pub mod gguf;
pub mod heads;
mod init;
pub mod memory;
pub mod metadata;
pub mod nn;
pub mod open;
pub mod preprocess;
pub mod projector;
pub mod reuse;
pub mod sequence;
pub mod siglip;
pub mod text;
pub mod tokenizer;
mod tower;
pub mod weights;

use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;
use evidence::Steps;

use crate::dialogue::task::StepState;
use crate::error::{Error, Result};
use crate::units::{Logit, TokenId};

impl From<candle_core::Error> for Error {
    fn from(e: candle_core::Error) -> Self {
        Self::Tensor(e.to_string())
    }
}

/// One piece of what the backbone reads.
#[derive(Clone, Debug)]
pub enum Piece {
    /// A text token: one position.
    Token(TokenId),
    /// A marker ([`Slot::Marker`](crate::dialogue::layout::Slot)): one position, with the evidence
    /// of the frame that it follows where the model reads it. The states are those that hold there:
    /// behind an update that frame's own are old.
    Marker(TokenId, Evidence),
    /// A frame: V positions, through the projector.
    Frame {
        /// Its number in the clip or session; the backbone does not look at it.
        number: usize,
        /// Its features `[V, Dv]`, row-major.
        features: Arc<[f32]>,
        /// The evidence for the steps where the model reads it.
        evidence: Evidence,
    },
}

/// How like each step's words a frame looks, and how far each step is there. Empty without a task,
/// and for a model that does without.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The steps; the same for all that is read at once.
    pub steps: Arc<Steps>,
    /// Cosines `[S+1]` with each step's words, and with those for no step.
    pub cosines: Arc<[f32]>,
    /// How far each step is: `[S]`.
    pub states: Arc<[StepState]>,
}

/// Output of the backbone at its last position, after the final norm: `[1,D]`.
#[derive(Clone, Debug)]
pub struct Hidden(pub Tensor);

impl Hidden {
    /// Its numbers.
    ///
    /// # Errors
    /// The device did not give them.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        Ok(self.0.flatten_all()?.to_vec1()?)
    }
}

/// What the two decision heads say; positive means act.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadLogits {
    /// Speak now?
    pub speak: Logit,
    /// Update the task state now?
    pub dst_update: Logit,
}

/// Turns a picture into features, and words into a feature beside them.
pub trait Perceiver {
    /// Vision tokens a frame: V.
    fn tokens_per_frame(&self) -> usize;
    /// Width of a feature: Dv.
    fn width(&self) -> usize;
    /// Features `[V, Dv]` of an upright RGB picture `[height, width, 3]` of 8 bits.
    ///
    /// # Errors
    /// The buffer's length is not width x height x 3, or the arithmetic failed.
    fn encode(&self, rgb: &[u8], width: u32, height: u32) -> Result<Vec<f32>>;
    /// The feature `[Dv]` of words, to be compared with those of pictures.
    ///
    /// # Errors
    /// The model has no text tower, or the arithmetic failed.
    fn read(&self, text: &str) -> Result<Vec<f32>>;
}

/// Reads the stream. Weights are shared and immutable; what was read lies in a separate memory.
pub trait Backbone {
    /// The KV cache; allocated once.
    type Memory: Memory;

    /// An empty memory.
    ///
    /// # Errors
    /// The allocation failed.
    fn new_memory(&self) -> Result<Self::Memory>;

    /// Reads the pieces behind what memory holds and gives the hidden state of the last position.
    /// Reading in chunks gives the same as reading at once.
    ///
    /// # Errors
    /// No pieces; a token outside of the vocabulary; features of another size;
    /// [`Error::MemoryFull`] (memory is then unchanged).
    fn extend(&self, pieces: &[Piece], memory: &mut Self::Memory) -> Result<Hidden>;

    /// Both decision heads on a hidden state.
    ///
    /// # Errors
    /// The arithmetic failed.
    fn heads(&self, hidden: &Hidden) -> Result<HeadLogits>;

    /// Scores of every token of the vocabulary as the next one: `[vocab]`. Not needed on a silent
    /// frame.
    ///
    /// # Errors
    /// The arithmetic failed.
    fn lm_logits(&self, hidden: &Hidden) -> Result<Vec<f32>>;

    /// The same for the next token of an update's text: of another output, where a model has one
    /// for updates alone.
    ///
    /// # Errors
    /// The arithmetic failed.
    fn update_logits(&self, hidden: &Hidden) -> Result<Vec<f32>> {
        self.lm_logits(hidden)
    }
}

/// A place in memory to go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub usize);

/// What a memory can do besides being read and extended by its backbone.
pub trait Memory {
    /// Positions held.
    fn len(&self) -> usize;
    /// Positions at most.
    fn capacity(&self) -> usize;
    /// `true` when nothing is held.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The present end.
    fn mark(&self) -> Mark {
        Mark(self.len())
    }
    /// Forgets everything behind the mark, as if it had never been read.
    ///
    /// # Errors
    /// The mark lies behind the end.
    fn rewind(&mut self, mark: Mark) -> Result<()>;
    /// Forgets a range and moves what stands behind it forward; its positions are re-rotated.
    ///
    /// # Errors
    /// The range does not lie within what is held.
    fn evict(&mut self, range: Range<usize>) -> Result<()>;
}
