//! Hyper-parameters of the two towers of a vision file: pictures and words.

use serde::{Deserialize, Serialize};

use super::{
    BLOCKS_MAX, CONTEXT_MAX, GRID_MAX, VOCAB_MAX, WIDTH_MAX, at_least, divides, epsilon, product,
    within,
};
use crate::error::{Error, Result};
use crate::units::TokenId;

/// Side of a picture at most, in pixels.
const IMAGE_SIZE_MAX: usize = 1 << 13;

/// SigLIP's picture tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionConfig {
    /// Side of the square picture, in pixels: S.
    pub image_size: usize,
    /// Side of a patch, in pixels; a remainder at the right and lower edge is not looked at.
    pub patch_size: usize,
    /// Width of the tower and of a feature: Dv.
    pub embedding_length: usize,
    /// Width of the feed-forward's hidden layer.
    pub feed_forward_length: usize,
    /// Transformer blocks.
    pub block_count: usize,
    /// Attention heads.
    pub head_count: usize,
    /// Epsilon of every LayerNorm.
    pub layer_norm_eps: f64,
    /// Mean taken off each of red, green, blue (of values in [0, 1]).
    pub mean: [f32; 3],
    /// What each of red, green, blue is then divided by.
    pub std: [f32; 3],
    /// The attention-pooling head: its token comes first.
    pub pool_head: bool,
    /// Sides of the pooled patch grids that follow it, in this order; 2 gives 2x2 tokens.
    pub patch_grids: Vec<usize>,
}

impl VisionConfig {
    /// Patches along one side.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Patches in all: P.
    pub fn patches(&self) -> usize {
        self.grid() * self.grid()
    }

    /// Vision tokens a frame: V.
    pub fn tokens_per_frame(&self) -> usize {
        usize::from(self.pool_head) + self.patch_grids.iter().map(|n| n * n).sum::<usize>()
    }

    /// Checks every size against its bounds and against the others.
    ///
    /// # Errors
    /// Names the key, what was found and what is expected.
    pub fn validate(&self) -> Result<()> {
        within(
            "clip.vision.image_size",
            self.image_size,
            1..=IMAGE_SIZE_MAX,
        )?;
        within(
            "clip.vision.patch_size",
            self.patch_size,
            1..=self.image_size,
        )?;
        within(
            "clip.vision.embedding_length",
            self.embedding_length,
            1..=WIDTH_MAX,
        )?;
        within(
            "clip.vision.feed_forward_length",
            self.feed_forward_length,
            1..=WIDTH_MAX,
        )?;
        within("clip.vision.block_count", self.block_count, 1..=BLOCKS_MAX)?;
        within(
            "clip.vision.attention.head_count",
            self.head_count,
            1..=self.embedding_length,
        )?;
        divides(
            "clip.vision.attention.head_count",
            self.head_count,
            "embedding_length",
            self.embedding_length,
        )?;
        epsilon(
            "clip.vision.attention.layer_norm_epsilon",
            self.layer_norm_eps,
        )?;
        product(
            "clip.vision.feed_forward_length",
            self.feed_forward_length,
            self.embedding_length,
        )?;
        product(
            "clip.vision.image_size",
            self.patches(),
            self.embedding_length,
        )?;
        for (mean, std) in self.mean.iter().zip(&self.std) {
            at_least("clip.vision.image_mean", f64::from(*mean), -1e3)?;
            at_least("clip.vision.image_std", f64::from(*std), 1e-6)?;
        }
        if self.patch_grids.len() > GRID_MAX {
            return Err(Error::Model(format!(
                "clip.vision.patch_grids: found {} grids, expected at most {GRID_MAX}",
                self.patch_grids.len()
            )));
        }
        for &n in &self.patch_grids {
            within("clip.vision.patch_grids", n, 1..=GRID_MAX.min(self.grid()))?;
        }
        within(
            "clip.vision: tokens per frame",
            self.tokens_per_frame(),
            1..=GRID_MAX * GRID_MAX,
        )
    }
}

/// SigLIP's text tower: it trains the picture tower, and gives the features of the steps' words
/// (see [`AssistantConfig::step_evidence`](super::AssistantConfig::step_evidence)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// Rows of its token table.
    pub vocab_size: usize,
    /// Tokens of a text, padding included.
    pub context_length: usize,
    /// Width of the tower.
    pub embedding_length: usize,
    /// Width of the feed-forward's hidden layer.
    pub feed_forward_length: usize,
    /// Transformer blocks.
    pub block_count: usize,
    /// Attention heads.
    pub head_count: usize,
    /// Epsilon of every LayerNorm.
    pub layer_norm_eps: f64,
    /// Width of what it gives out: Dv of the picture tower.
    pub projection_length: usize,
    /// The mean of all positions stands for a text, instead of the last one as in SigLIP. From
    /// random weights the last position says almost the same of every text; the mean tells texts
    /// apart from the first step.
    #[serde(default)]
    pub mean_pool: bool,
    /// Fills a text up to its length.
    pub pad_token: TokenId,
}

impl TextConfig {
    /// Checks every size against its bounds and against the others.
    ///
    /// # Errors
    /// Names the key, what was found and what is expected.
    pub fn validate(&self) -> Result<()> {
        within("clip.text.vocab_size", self.vocab_size, 1..=VOCAB_MAX)?;
        within(
            "clip.text.context_length",
            self.context_length,
            1..=CONTEXT_MAX,
        )?;
        within(
            "clip.text.embedding_length",
            self.embedding_length,
            1..=WIDTH_MAX,
        )?;
        within(
            "clip.text.feed_forward_length",
            self.feed_forward_length,
            1..=WIDTH_MAX,
        )?;
        within("clip.text.block_count", self.block_count, 1..=BLOCKS_MAX)?;
        within(
            "clip.text.projection_dim",
            self.projection_length,
            1..=WIDTH_MAX,
        )?;
        within(
            "clip.text.attention.head_count",
            self.head_count,
            1..=self.embedding_length,
        )?;
        divides(
            "clip.text.attention.head_count",
            self.head_count,
            "embedding_length",
            self.embedding_length,
        )?;
        epsilon(
            "clip.text.attention.layer_norm_epsilon",
            self.layer_norm_eps,
        )?;
        within(
            "clip.text.pad_token_id",
            self.pad_token.0 as usize,
            0..=self.vocab_size - 1,
        )?;
        product(
            "clip.text.vocab_size",
            self.vocab_size,
            self.embedding_length,
        )?;
        product(
            "clip.text.context_length",
            self.context_length,
            self.embedding_length,
        )?;
        product(
            "clip.text.feed_forward_length",
            self.feed_forward_length,
            self.embedding_length,
        )
        .map(|_| ())
    }
}
