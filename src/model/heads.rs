//! The two decision heads on the hidden state after the final norm: positive means act.

use candle_core::Tensor;

use super::config::{AssistantConfig, HeadKind};
use super::nn::{Linear, ops};
use super::weights::Weights;
use crate::error::{Error, Result};

/// One head, D -> 1.
#[derive(Clone, Debug)]
enum Head {
    Linear(Linear),
    Mlp { up: Linear, down: Linear },
}

impl Head {
    fn new(name: &str, kind: HeadKind, width: usize, weights: &Weights) -> Result<Option<Self>> {
        Ok(match kind {
            HeadKind::None => None,
            HeadKind::Linear => Some(Self::Linear(weights.linear_bias(name, (1, width), 1.0)?)),
            HeadKind::Mlp => Some(Self::Mlp {
                up: weights.linear_bias(&format!("{name}.0"), (width / 2, width), 1.0)?,
                down: weights.linear_bias(&format!("{name}.2"), (1, width / 2), 1.0)?,
            }),
        })
    }

    /// `[N,D] -> [N]`.
    fn forward(&self, hidden: &Tensor) -> Result<Tensor> {
        let logits = match self {
            Self::Linear(layer) => layer.forward(hidden)?,
            Self::Mlp { up, down } => down.forward(&ops::gelu_erf(&up.forward(hidden)?)?)?,
        };
        Ok(logits.squeeze(1)?)
    }
}

/// Both heads; a model whose gates read tokens has none.
#[derive(Clone, Debug)]
pub struct Heads {
    pair: Option<(Head, Head)>,
}

impl Heads {
    /// Takes `speaking_decision_head.…` and `dst_update_head.…` from `weights`.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn new(config: &AssistantConfig, weights: &Weights) -> Result<Self> {
        let width = config.backbone.embedding_length;
        let speak = Head::new("speaking_decision_head", config.heads, width, weights)?;
        let dst_update = Head::new("dst_update_head", config.heads, width, weights)?;
        Ok(Self {
            pair: speak.zip(dst_update),
        })
    }

    /// Logits (speak, dst_update), each `[N]`, of hidden states `[N,D]`.
    ///
    /// # Errors
    /// The model has no heads, or the width is not D.
    pub fn forward(&self, hidden: &Tensor) -> Result<(Tensor, Tensor)> {
        let (speak, dst_update) = self.pair.as_ref().ok_or_else(|| {
            Error::Model(
                "dstproact.heads is none: this model has no decision heads, its gates read tokens"
                    .into(),
            )
        })?;
        Ok((speak.forward(hidden)?, dst_update.forward(hidden)?))
    }
}
