//! The assistant: backbone, projector and heads under one configuration; what the session talks to.

use candle_core::Tensor;

use super::backbone::Llama;
use super::config::AssistantConfig;
use super::evidence::{EvidenceBatch, EvidenceLayer};
use super::heads::Heads;
use super::memory::KvMemory;
use super::nn::Linear;
use super::projector::Projector;
use super::sequence::Sequence;
use super::weights::Weights;
use super::{Backbone, HeadLogits, Hidden, Piece};
use crate::error::{Error, Result};
use crate::units::{Logit, TokenId};

/// Name of an output that writes updates alone: upstream's.
pub const UPDATE_OUTPUT: &str = "dst_generation_head";

/// Backbone, projector and heads. Checkpoint, GGUF and training all come through
/// [`Assistant::new`].
#[derive(Clone, Debug)]
pub struct Assistant {
    config: AssistantConfig,
    backbone: Llama,
    projector: Projector,
    evidence: Option<EvidenceLayer>,
    heads: Heads,
    /// What writes updates where it is not the Llama's own output.
    update_output: Option<Linear>,
    memory_tokens: usize,
}

impl Assistant {
    /// Takes all its tensors from `weights` and refuses tensors that are left over.
    ///
    /// # Errors
    /// The configuration is not valid; a tensor is missing, left over or has another shape.
    pub fn new(config: &AssistantConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let assistant = Self {
            backbone: Llama::new(&config.backbone, weights)?,
            projector: Projector::new(config, weights)?,
            evidence: config
                .step_evidence
                .then(|| EvidenceLayer::new(config, weights))
                .transpose()?,
            heads: Heads::new(config, weights)?,
            update_output: config
                .update_output
                .then(|| {
                    weights.linear(
                        UPDATE_OUTPUT,
                        (config.backbone.vocab_size, config.backbone.embedding_length),
                        1.0,
                    )
                })
                .transpose()?,
            memory_tokens: config.backbone.context_length,
            config: config.clone(),
        };
        weights.finish()?;
        Ok(assistant)
    }

    /// Memories hold this many positions; by default and at most as many as the model was trained
    /// for.
    ///
    /// # Errors
    /// None, or more than that.
    pub fn with_memory_tokens(mut self, tokens: usize) -> Result<Self> {
        let most = self.config.backbone.context_length;
        if tokens == 0 || tokens > most {
            return Err(Error::Invalid(format!(
                "memory of {tokens} tokens: expected 1 to {most}, the model's context"
            )));
        }
        self.memory_tokens = tokens;
        Ok(self)
    }

    /// Its hyper-parameters.
    pub fn config(&self) -> &AssistantConfig {
        &self.config
    }

    /// The Llama alone.
    pub fn backbone(&self) -> &Llama {
        &self.backbone
    }

    /// Rows of the token table: ids `[N] -> [N,D]`.
    ///
    /// # Errors
    /// An id has no row.
    pub fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        self.backbone.embed_tokens(ids)
    }

    /// Features to the backbone's width: `[N,Dv] -> [N,D]`.
    ///
    /// # Errors
    /// The width is not Dv.
    pub fn project(&self, features: &Tensor) -> Result<Tensor> {
        self.projector.forward(features)
    }

    /// Rows of steps' ids, `[S,D]`: the mean over the tokens of each.
    ///
    /// # Errors
    /// No ids, an id without tokens, or a token without a row.
    pub fn embed_ids(&self, ids: &[Vec<TokenId>]) -> Result<Tensor> {
        let flat: Vec<u32> = ids.iter().flatten().map(|t| t.0).collect();
        if flat.is_empty() || ids.iter().any(Vec::is_empty) {
            return Err(Error::Invalid("steps' ids without tokens".into()));
        }
        let rows = self.embed(&flat)?;
        if flat.len() == ids.len() {
            return Ok(rows);
        }
        let (mut mean, mut from) = (vec![0f32; ids.len() * flat.len()], 0);
        for (row, id) in mean.chunks_exact_mut(flat.len()).zip(ids) {
            row[from..from + id.len()].fill(1.0 / id.len() as f32);
            from += id.len();
        }
        Ok(Tensor::from_vec(mean, (ids.len(), flat.len()), rows.device())?.matmul(&rows)?)
    }

    /// Embeds of frames: features `[F*V,Dv] -> [F*V,D]`, with the evidence of the steps, a row for
    /// each frame, where there is any.
    ///
    /// # Errors
    /// The shapes do not fit, or the model reads no evidence.
    pub fn frame_embeds(&self, features: &Tensor, evidence: &EvidenceBatch) -> Result<Tensor> {
        let tokens = self.project(features)?;
        if evidence.is_none() {
            return Ok(tokens);
        }
        let added = self.evidence_embeds(evidence)?; // [F,D]
        let (frames, width) = added.dims2()?;
        let all = tokens
            .reshape((frames, self.config.tokens_per_frame, width))?
            .broadcast_add(&added.unsqueeze(1)?)?;
        Ok(all.reshape((frames * self.config.tokens_per_frame, width))?)
    }

    /// Embeds of markers: ids `[N] -> [N,D]`, with the evidence of the steps, a row for each, where
    /// there is any.
    ///
    /// # Errors
    /// An id has no row, the shapes do not fit, or the model reads no evidence.
    pub fn marker_embeds(&self, ids: &[u32], evidence: &EvidenceBatch) -> Result<Tensor> {
        let tokens = self.embed(ids)?;
        if evidence.is_none() {
            return Ok(tokens);
        }
        Ok((tokens + self.evidence_embeds(evidence)?)?)
    }

    /// What evidence adds to the embeds that carry it, `[N,D]`.
    fn evidence_embeds(&self, evidence: &EvidenceBatch) -> Result<Tensor> {
        let layer = self.evidence.as_ref().ok_or_else(|| {
            Error::Invalid("evidence of steps, but dstproact.step_evidence is false".into())
        })?;
        layer.forward(evidence, &self.embed_ids(&evidence.steps().ids)?)
    }

    /// Embeds `[1,T,D]` of a sequence.
    ///
    /// # Errors
    /// It is empty, or holds the image token; an id has no row; the model reads no evidence.
    pub fn embeds(&self, sequence: &Sequence) -> Result<Tensor> {
        let image = self.config.tokens.image.0;
        let (tokens, markers) = (sequence.tokens(), sequence.markers());
        if tokens.iter().chain(markers).any(|id| *id == image) {
            return Err(Error::Invalid(format!(
                "token {image}: the image token stands for features and has no embedding"
            )));
        }
        let (features, device) = (sequence.features(), self.backbone.device());
        let mut parts = Vec::with_capacity(3);
        if !tokens.is_empty() {
            parts.push(self.embed(tokens)?);
        }
        if !markers.is_empty() {
            parts.push(self.marker_embeds(markers, sequence.marker_evidence())?);
        }
        if !features.is_empty() {
            let shape = (
                features.len() / self.config.vision_length,
                self.config.vision_length,
            );
            let features = Tensor::from_slice(features, shape, device)?;
            parts.push(self.frame_embeds(&features, sequence.frame_evidence())?);
        }
        let embeds = match &parts[..] {
            [] => return Err(Error::Invalid("nothing to read: no pieces".into())),
            // All of one kind stand in their order.
            [only] => only.clone(),
            _ => {
                let order = Tensor::new(sequence.order(), device)?;
                Tensor::cat(&parts, 0)?.index_select(&order, 0)?
            }
        };
        Ok(embeds.unsqueeze(0)?)
    }

    /// The whole sequence at once: embeds `[B,T,D]` -> hidden `[B,T,D]` after the final norm.
    ///
    /// # Errors
    /// The shape does not fit.
    pub fn forward(&self, embeds: &Tensor) -> Result<Tensor> {
        self.backbone.forward(embeds)
    }

    /// Scores of every token: hidden `[N,D] -> [N,vocab]`.
    ///
    /// # Errors
    /// The width is not D.
    pub fn lm_logits_tensor(&self, hidden: &Tensor) -> Result<Tensor> {
        self.backbone.lm_head(hidden)
    }

    /// Scores of every token as the next one of an update: hidden `[N,D] -> [N,vocab]`.
    ///
    /// # Errors
    /// The width is not D.
    pub fn update_logits_tensor(&self, hidden: &Tensor) -> Result<Tensor> {
        match &self.update_output {
            Some(output) => output.forward(hidden),
            None => self.lm_logits_tensor(hidden),
        }
    }

    /// Logits (speak, dst_update), each `[N]`, of hidden states `[N,D]`.
    ///
    /// # Errors
    /// The model has no heads, or the width is not D.
    pub fn head_logits_tensor(&self, hidden: &Tensor) -> Result<(Tensor, Tensor)> {
        self.heads.forward(hidden)
    }

    /// A hidden state as a row `[1,D]`, checked.
    fn row<'a>(&self, Hidden(hidden): &'a Hidden) -> Result<&'a Tensor> {
        let width = self.config.backbone.embedding_length;
        if hidden.dims() != [1, width] {
            return Err(Error::Invalid(format!(
                "hidden state of shape {:?}: expected [1, {width}]",
                hidden.dims()
            )));
        }
        Ok(hidden)
    }
}

impl Backbone for Assistant {
    type Memory = KvMemory;

    fn new_memory(&self) -> Result<KvMemory> {
        self.backbone.memory(self.memory_tokens)
    }

    fn extend(&self, pieces: &[Piece], memory: &mut KvMemory) -> Result<Hidden> {
        let (v, width) = (self.config.tokens_per_frame, self.config.vision_length);
        let embeds = self.embeds(&Sequence::of(pieces, v, width)?)?;
        Ok(Hidden(self.backbone.extend_embeds(&embeds, memory)?))
    }

    fn heads(&self, hidden: &Hidden) -> Result<HeadLogits> {
        let (speak, dst_update) = self.head_logits_tensor(self.row(hidden)?)?;
        let first = |logits: Tensor| -> Result<Logit> { Ok(Logit(logits.get(0)?.to_scalar()?)) };
        Ok(HeadLogits {
            speak: first(speak)?,
            dst_update: first(dst_update)?,
        })
    }

    fn lm_logits(&self, hidden: &Hidden) -> Result<Vec<f32>> {
        Ok(self
            .lm_logits_tensor(self.row(hidden)?)?
            .flatten_all()?
            .to_vec1()?)
    }

    fn update_logits(&self, hidden: &Hidden) -> Result<Vec<f32>> {
        Ok(self
            .update_logits_tensor(self.row(hidden)?)?
            .flatten_all()?
            .to_vec1()?)
    }
}
