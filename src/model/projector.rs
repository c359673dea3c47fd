//! Features to the backbone's width: Linear, GELU (exact), Linear, each with a bias.

use candle_core::Tensor;

use super::config::AssistantConfig;
use super::nn::{Linear, ops};
use super::weights::Weights;
use crate::error::Result;

/// The projector, `mm.0` and `mm.2`.
#[derive(Clone, Debug)]
pub struct Projector {
    up: Linear,
    down: Linear,
}

impl Projector {
    /// Takes `mm.0.…` and `mm.2.…` from `weights`.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn new(config: &AssistantConfig, weights: &Weights) -> Result<Self> {
        let width = config.backbone.embedding_length;
        Ok(Self {
            up: weights.linear_bias(
                "mm.0",
                (config.projector_length, config.vision_length),
                1.0,
            )?,
            down: weights.linear_bias("mm.2", (width, config.projector_length), 1.0)?,
        })
    }

    /// `[…,Dv] -> […,D]`.
    ///
    /// # Errors
    /// The last dimension is not Dv.
    pub fn forward(&self, features: &Tensor) -> Result<Tensor> {
        self.down
            .forward(&ops::gelu_erf(&self.up.forward(features)?)?)
    }
}
