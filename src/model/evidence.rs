//! What a vision file's two towers say of a frame without any training: how like each step's words it looks. The frame's
//! token carries it to the backbone, which then need not learn anew what the encoder knows.
//!
//! ```text
//! p = softmax(exp(scale) * cos(frame, words of the steps; words for no step))      zero-shot, as CLIP and SigLIP do
//! token(frame) = projector(frame) + W * sum_k p_k * norm(row of step k's id in the token table)
//! ```

use candle_core::Tensor;

use super::config::AssistantConfig;
use super::nn::{Linear, Mode, RmsNorm, Rows, ops};
use super::weights::{Init, Weights};
use super::{Evidence, Perceiver};
use crate::error::{Error, Result};
use crate::units::TokenId;

/// What is said of a picture in which no step is being done: the last of the words that a frame is compared with. The
/// towers that this project trains learn it as a caption.
pub const IDLE_WORDS: &str = "Nothing is being done";

/// First scale 15, stored as its logarithm: half of the temperature that SigLIP ends its training with, since single
/// frames are surer of themselves than they should be. It is learnt.
const SCALE_INIT: f64 = 2.7;
/// Makes the evidence about as long as a projected frame in the beginning.
const GAIN: f64 = 3.0;

/// The words that frames are compared with: each step's, then those for no step.
#[derive(Clone, Debug, Default)]
pub struct StepWords {
    /// Tokens of each step's id.
    ids: Vec<Vec<TokenId>>,
    /// A unit vector `[Dv]` for each step, and one for no step.
    features: Vec<Vec<f32>>,
}

impl StepWords {
    /// Has the steps' words read; `steps` gives each step's name with the tokens of its id.
    ///
    /// # Errors
    /// The perceiver cannot read words, or gave what is no feature.
    pub fn read<P: Perceiver>(perceiver: &P, steps: Vec<(&str, Vec<TokenId>)>) -> Result<Self> {
        let (names, ids): (Vec<&str>, Vec<Vec<TokenId>>) = steps.into_iter().unzip();
        let read = |words: &str| -> Result<Vec<f32>> {
            let feature = perceiver.read(words)?;
            let scale = feature.iter().map(|v| v * v).sum::<f32>().sqrt().recip();
            if feature.len() != perceiver.width() || !scale.is_finite() {
                let why = format!("`{words}`: the vision model gave {} values, expected {} finite ones, not all 0", feature.len(), perceiver.width());
                return Err(Error::Model(why));
            }
            Ok(feature.iter().map(|v| v * scale).collect())
        };
        let features = names.into_iter().chain([IDLE_WORDS]).map(read).collect::<Result<_>>()?;
        Ok(Self { ids, features })
    }

    /// Tokens of each step's id.
    pub fn ids(&self) -> &[Vec<TokenId>] {
        &self.ids
    }

    /// Cosines `[S+1]` of a frame's features `[V, Dv]` (the first row counts) with the words.
    ///
    /// # Errors
    /// Fewer features than the words have.
    pub fn cosines(&self, features: &[f32]) -> Result<Vec<f32>> {
        let width = self.features.first().map_or(0, Vec::len);
        let row = features.get(..width).ok_or_else(|| Error::Invalid(format!("a frame of {} numbers: expected at least {width}", features.len())))?;
        let length = row.iter().map(|v| v * v).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        Ok(self.features.iter().map(|words| words.iter().zip(row).map(|(a, b)| a * b).sum::<f32>() / length).collect())
    }
}

/// The layer that puts the evidence into the frames' tokens.
#[derive(Clone, Debug)]
pub(super) struct EvidenceLayer {
    scale: Tensor,
    norm: RmsNorm,
    out: Linear,
    mode: Mode,
}

impl EvidenceLayer {
    /// Takes `mm.step.scale`, `mm.step.norm.weight` and `mm.step.out.weight` from `weights`.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn new(config: &AssistantConfig, weights: &Weights) -> Result<Self> {
        let width = config.backbone.embedding_length;
        Ok(Self {
            scale: weights.tensor("mm.step.scale", &[1], Init::Constant(SCALE_INIT))?,
            norm: weights.rms_norm("mm.step.norm", width, config.backbone.rms_eps)?,
            out: weights.linear("mm.step.out", (width, width), GAIN, Rows::Few)?,
            mode: weights.mode(),
        })
    }

    /// Cosines `[F,S+1]` and the ids' rows of the token table `[S,D]` -> what is added to each frame's tokens, `[F,D]`.
    ///
    /// # Errors
    /// The shapes do not fit.
    pub fn forward(&self, cosines: &Tensor, ids: &Tensor) -> Result<Tensor> {
        let steps = ids.dim(0)?;
        let probs = ops::softmax(&cosines.broadcast_mul(&self.scale.exp()?)?, self.mode)?.narrow(1, 0, steps)?;
        self.out.forward(&probs.contiguous()?.matmul(&self.norm.forward(ids)?)?)
    }
}

impl Evidence<'_> {
    /// Refuses evidence that is not whole.
    ///
    /// # Errors
    /// Another number of cosines than steps and one more; one that is not finite.
    pub(super) fn check(&self) -> Result<()> {
        let (found, steps) = (self.cosines.len(), self.ids.len());
        let whole = if steps == 0 { found == 0 } else { found == steps + 1 };
        if whole && self.cosines.iter().all(|c| c.is_finite()) {
            return Ok(());
        }
        Err(Error::Invalid(format!("evidence of {found} cosines for {steps} steps: expected {} finite ones", steps + 1)))
    }
}
