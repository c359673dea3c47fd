//! The token layout `dstproact`: the one builder of the sequence, for the session and for training.
//!
//! ```text
//! <bos>{system turn: persona, "Goal: …", "Steps:\nS1 [not_started] …\n…", "Task knowledge: …"}
//! <image>xV … <image>xV [DST]S1->start<eot>[ASST]First, …<eot><image>xV …
//! ```

use crate::error::Result;
use crate::units::TokenId;

/// Ids of the tokens that the layout itself sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Start of the sequence; `None` when the backbone's format has none.
    pub bos: Option<TokenId>,
    /// End of a turn.
    pub eot: TokenId,
    /// Stands for a frame's features; never fed as an embedding row.
    pub image: TokenId,
    /// Opens a state update.
    pub dst: TokenId,
    /// Opens an utterance.
    pub asst: TokenId,
}

/// Words to tokens and back, as the layout needs it. The model's tokenizer is one; tests bring their own.
pub trait TextCodec {
    /// Ids of the layout's own tokens.
    fn special(&self) -> SpecialTokens;
    /// Tokens of a text, without any added at its ends. Special tokens' texts in it are NOT parsed,
    /// unless `allow_special` (used only for text that a chat template made).
    ///
    /// # Errors
    /// The tokenizer refused the text.
    fn encode(&self, text: &str, allow_special: bool) -> Result<Vec<TokenId>>;
    /// Text of tokens, without special tokens.
    ///
    /// # Errors
    /// The tokenizer refused the ids.
    fn decode(&self, tokens: &[TokenId]) -> Result<String>;
    /// One turn in the backbone's own chat format, closed, without bos and without the opening of an answer.
    ///
    /// # Errors
    /// The chat template failed.
    fn turn(&self, role: &str, content: &str) -> Result<Vec<TokenId>>;
}
