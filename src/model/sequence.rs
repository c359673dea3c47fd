//! What the backbone reads at once, sorted by kind, so that one look-up serves all tokens and one
//! pass of the projector all frames. The session and training both fill it.

use super::evidence::EvidenceBatch;
use super::{Evidence, Piece};
use crate::dialogue::layout::Slot;
use crate::error::{Error, Result};
use crate::units::TokenId;

/// Tokens, markers and frames, each kind in its order, and the order of all.
#[derive(Clone, Debug)]
pub struct Sequence {
    tokens_per_frame: usize,
    width: usize,
    tokens: Vec<u32>,
    markers: Vec<u32>,
    marker_evidence: EvidenceBatch,
    features: Vec<f32>,
    frame_evidence: EvidenceBatch,
    kinds: Vec<Kind>,
}

/// Kind of a position. The discriminants are the order in which the kinds' rows are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Token = 0,
    Marker = 1,
    Frame = 2,
}

impl Sequence {
    /// Nothing yet; frames will have so many tokens of so large a width.
    pub fn new(tokens_per_frame: usize, width: usize) -> Self {
        Self {
            tokens_per_frame,
            width,
            tokens: Vec::new(),
            markers: Vec::new(),
            marker_evidence: EvidenceBatch::default(),
            features: Vec::new(),
            frame_evidence: EvidenceBatch::default(),
            kinds: Vec::new(),
        }
    }

    /// The pieces, sorted.
    ///
    /// # Errors
    /// As [`Sequence::push_frame`].
    pub fn of(pieces: &[Piece], tokens_per_frame: usize, width: usize) -> Result<Self> {
        let mut sequence = Self::new(tokens_per_frame, width);
        for piece in pieces {
            match piece {
                Piece::Token(token) => sequence.push_token(*token),
                Piece::Marker(token, evidence) => sequence.push_marker(*token, evidence)?,
                Piece::Frame {
                    features, evidence, ..
                } => sequence.push_frame(features, evidence)?,
            }
        }
        Ok(sequence)
    }

    /// Appends a text token.
    pub fn push_token(&mut self, token: TokenId) {
        self.tokens.push(token.0);
        self.kinds.push(Kind::Token);
    }

    /// Appends a marker; without evidence it is a token like any other.
    ///
    /// # Errors
    /// The evidence is not whole, or of other steps than the evidence before it.
    pub fn push_marker(&mut self, token: TokenId, evidence: &Evidence) -> Result<()> {
        evidence.check()?;
        if evidence.is_none() {
            self.push_token(token);
            return Ok(());
        }
        self.marker_evidence.push(evidence)?;
        self.markers.push(token.0);
        self.kinds.push(Kind::Marker);
        Ok(())
    }

    /// Appends a frame's features `[V, Dv]`.
    ///
    /// # Errors
    /// Another number of features; the evidence is not whole, or of other steps than the evidence
    /// before it.
    pub fn push_frame(&mut self, features: &[f32], evidence: &Evidence) -> Result<()> {
        let (v, width) = (self.tokens_per_frame, self.width);
        if features.len() != v * width {
            return Err(Error::Invalid(format!(
                "features of {} numbers: expected {v} tokens of width {width}",
                features.len()
            )));
        }
        evidence.check()?;
        self.frame_evidence.push(evidence)?;
        self.features.extend_from_slice(features);
        self.kinds.extend(std::iter::repeat_n(Kind::Frame, v));
        Ok(())
    }

    /// Ids of the text tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Ids of the markers.
    pub fn markers(&self) -> &[u32] {
        &self.markers
    }

    /// What the markers carry, a row for each.
    pub fn marker_evidence(&self) -> &EvidenceBatch {
        &self.marker_evidence
    }

    /// Features of all frames: `[F*V, Dv]`, row-major.
    pub fn features(&self) -> &[f32] {
        &self.features
    }

    /// What the frames carry, a row for each.
    pub fn frame_evidence(&self) -> &EvidenceBatch {
        &self.frame_evidence
    }

    /// `true` where a position is a frame's.
    pub fn is_frame(&self, position: usize) -> bool {
        self.kinds.get(position) == Some(&Kind::Frame)
    }

    /// For each position its row in `[tokens; markers; V rows a frame]`.
    pub fn order(&self) -> Vec<u32> {
        let markers = self.tokens.len();
        let mut next = [0, markers, markers + self.markers.len()];
        let row = |kind: &Kind| {
            let row = &mut next[*kind as usize];
            *row += 1;
            (*row - 1) as u32
        };
        self.kinds.iter().map(row).collect()
    }

    /// The slots that it was filled from, with frames numbered from 0; a marker without evidence is
    /// a token.
    pub fn slots(&self) -> Vec<Slot> {
        let (tokens, markers) = (self.tokens.len(), self.markers.len());
        let slot = |row: u32| {
            let row = row as usize;
            if let Some(token) = self.tokens.get(row) {
                Slot::Token(TokenId(*token))
            } else if let Some(token) = self.markers.get(row - tokens) {
                Slot::Marker(TokenId(*token))
            } else {
                let row = row - tokens - markers;
                Slot::Image {
                    frame: row / self.tokens_per_frame,
                    part: row % self.tokens_per_frame,
                }
            }
        };
        self.order().into_iter().map(slot).collect()
    }
}
