//! SigLIP's text tower and its scale and bias: it trains the picture tower by image and text, and
//! gives the features of the steps' words ([`TextReader`]).

use candle_core::{D, Tensor};

use super::config::TextConfig;
use super::nn::{Embedding, Linear};
use super::tokenizer::Tokenizer;
use super::tower::{Sizes, Tower};
use super::weights::{Init, Weights};
use crate::error::{Error, Result};

/// First temperature 30, stored as its logarithm. SigLIP begins at 10 and has many thousand steps
/// to raise it; in a training of minutes that is too blunt to tell similar steps apart.
const SCALE_INIT: f64 = 3.4;
/// First bias: most pairs do not match. SigLIP begins at -10 for batches of thousands.
const BIAS_INIT: f64 = -8.0;

/// The text tower with its weights.
#[derive(Clone, Debug)]
pub struct TextTower {
    /// Its sizes.
    pub config: TextConfig,
    tokens: Embedding,
    position: Tensor,
    tower: Tower,
    head: Linear,
    logit_scale: Tensor,
    logit_bias: Tensor,
}

impl TextTower {
    /// Takes its tensors (`t.…`, `logit_scale`, `logit_bias`) from `weights`.
    ///
    /// # Errors
    /// The configuration is not valid; a tensor is missing or has another shape.
    pub fn new(config: &TextConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let width = config.embedding_length;
        let sizes = Sizes {
            width,
            hidden: config.feed_forward_length,
            heads: config.head_count,
            blocks: config.block_count,
            eps: config.layer_norm_eps,
        };
        let table = Init::Normal((width as f64).sqrt().recip());
        Ok(Self {
            tokens: weights.embedding("t.token_embd", config.vocab_size, width, table)?,
            position: weights.tensor(
                "t.position_embd.weight",
                &[config.context_length, width],
                table,
            )?,
            tower: Tower::new("t", &sizes, weights)?,
            head: weights.linear_bias("t.head", (config.projection_length, width), 1.0)?,
            logit_scale: weights.tensor("logit_scale", &[1], Init::Constant(SCALE_INIT))?,
            logit_bias: weights.tensor("logit_bias", &[1], Init::Constant(BIAS_INIT))?,
            config: config.clone(),
        })
    }

    /// Texts of equal length, padded: ids `[B*L]` row-major -> `[B,Dv]`. As in SigLIP the last
    /// position stands for the text (or the mean of all, see [`TextConfig::mean_pool`]), and
    /// padding is looked at as well.
    ///
    /// # Errors
    /// The ids are no multiple of `length`, `length` is beyond the table of positions, or an id has
    /// no row.
    pub fn forward(&self, ids: &[u32], length: usize) -> Result<Tensor> {
        if length == 0 || length > self.config.context_length || !ids.len().is_multiple_of(length) {
            return Err(Error::Invalid(format!(
                "{} text tokens in rows of {length}: expected whole rows of at most {}",
                ids.len(),
                self.config.context_length
            )));
        }
        let rows = self.tokens.lookup(ids)?;
        let x = rows.reshape((ids.len() / length, length, self.config.embedding_length))?;
        let x = x.broadcast_add(&self.position.narrow(0, 0, length)?)?;
        let x = self.tower.forward(x, &mut |_, _| {})?;
        let pooled = if self.config.mean_pool {
            x.mean(1)?
        } else {
            x.narrow(1, length - 1, 1)?.squeeze(1)?
        };
        self.head.forward(&pooled)
    }

    /// SigLIP's pair logits: images `[N,Dv]`, texts `[M,Dv]` -> `[N,M]`, of unit vectors, times the
    /// scale, plus the bias.
    ///
    /// # Errors
    /// The widths differ.
    pub fn pair_logits(&self, images: &Tensor, texts: &Tensor) -> Result<Tensor> {
        let unit = |x: &Tensor| -> Result<Tensor> {
            Ok(x.broadcast_div(&x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?)?)
        };
        let cosines = unit(images)?.matmul(&unit(texts)?.t()?)?;
        Ok(cosines
            .broadcast_mul(&self.logit_scale.exp()?)?
            .broadcast_add(&self.logit_bias)?)
    }
}

/// Tokens of a text as the tower takes them: cut or filled up to its length.
///
/// # Errors
/// The tokenizer refused the text.
pub fn caption_ids(config: &TextConfig, tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    // With a space before it, a first word is the token that it is elsewhere.
    let mut ids: Vec<u32> = tokenizer
        .encode(&format!(" {text}"), false)?
        .iter()
        .map(|t| t.0)
        .collect();
    ids.resize(config.context_length, config.pad_token.0);
    Ok(ids)
}

/// Reads words: the text tower with its tokenizer.
pub struct TextReader {
    tower: TextTower,
    tokenizer: Tokenizer,
}

impl TextReader {
    /// Joins them.
    ///
    /// # Errors
    /// The tokenizer has more tokens than the tower.
    pub fn new(tower: TextTower, tokenizer: Tokenizer) -> Result<Self> {
        let (has, rows) = (tokenizer.vocab_size()?, tower.config.vocab_size);
        if has > rows {
            return Err(Error::Model(format!(
                "clip.text.vocab_size: found {rows}, expected at least the tokenizer's {has}"
            )));
        }
        Ok(Self { tower, tokenizer })
    }

    /// The feature of a text, `[Dv]`.
    ///
    /// # Errors
    /// The tokenizer refused the text; the arithmetic failed.
    pub fn read(&self, text: &str) -> Result<Vec<f32>> {
        let ids = caption_ids(&self.tower.config, &self.tokenizer, text)?;
        Ok(self
            .tower
            .forward(&ids, ids.len())?
            .flatten_all()?
            .to_vec1()?)
    }
}
