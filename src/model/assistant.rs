//! The assistant: backbone, projector and heads under one configuration; what the session talks to.

use candle_core::Tensor;

use super::backbone::Llama;
use super::config::AssistantConfig;
use super::evidence::{EvidenceLayer, Frames, NO_STEPS, Steps};
use super::heads::Heads;
use super::memory::KvMemory;
use super::nn::{Linear, Rows};
use super::projector::Projector;
use super::weights::Weights;
use super::{Backbone, Evidence, HeadLogits, Hidden, Piece};
use crate::dialogue::task::StepState;
use crate::error::{Error, Result};
use crate::units::{Logit, TokenId};

/// Name of an output that writes updates alone: upstream's.
const UPDATE_OUTPUT: &str = "dst_generation_head";

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
                        Rows::Few,
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

    /// Tokens of frames: features `[F*V,Dv] -> [F*V,D]`; with the evidence of the steps where there
    /// is any.
    ///
    /// # Errors
    /// The shapes do not fit, or the model reads no evidence.
    pub fn see(&self, features: &Tensor, evidence: Option<Frames<'_>>) -> Result<Tensor> {
        let tokens = self.project(features)?;
        let Some(evidence) = evidence else {
            return Ok(tokens);
        };
        let added = self.weigh(evidence)?; // [F,D]
        let (frames, width) = added.dims2()?;
        let all = tokens
            .reshape((frames, self.config.tokens_per_frame, width))?
            .broadcast_add(&added.unsqueeze(1)?)?;
        Ok(all.reshape((frames * self.config.tokens_per_frame, width))?)
    }

    /// Markers: ids `[N] -> [N,D]`; with the evidence of the steps, a row for each, where there is
    /// any.
    ///
    /// # Errors
    /// An id has no row, the shapes do not fit, or the model reads no evidence.
    pub fn tell(&self, ids: &[u32], evidence: Option<Frames<'_>>) -> Result<Tensor> {
        let tokens = self.embed(ids)?;
        Ok(match evidence {
            Some(evidence) => (tokens + self.weigh(evidence)?)?,
            None => tokens,
        })
    }

    /// What evidence adds to the tokens that carry it, `[F,D]`.
    fn weigh(&self, frames: Frames<'_>) -> Result<Tensor> {
        let layer = self.evidence.as_ref().ok_or_else(|| {
            Error::Invalid("evidence of steps, but dstproact.step_evidence is false".into())
        })?;
        layer.forward(frames, &self.embed_ids(&frames.steps.ids)?)
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

    /// Embeds `[1,T,D]` of mixed pieces: one look-up for all tokens, one pass of the projector for
    /// all features.
    fn embeds(&self, pieces: &[Piece<'_>]) -> Result<Tensor> {
        let v = self.config.tokens_per_frame;
        let sorted = Sorted::new(pieces, &self.config)?;
        let device = self.backbone.device();
        let mut parts = Vec::with_capacity(3);
        if !sorted.tokens.is_empty() {
            parts.push(self.embed(&sorted.tokens)?);
        }
        let frames = |pile: &Pile<'_>, rows: usize| -> Result<Option<Tensor>> {
            let columns = pile.steps.ids.len() + 1;
            Ok(if pile.steps.ids.is_empty() {
                None
            } else {
                Some(Tensor::from_slice(&pile.cosines, (rows, columns), device)?)
            })
        };
        fn of<'a>(pile: &'a Pile<'_>, cosines: Option<&'a Tensor>) -> Option<Frames<'a>> {
            cosines.map(|cosines| Frames {
                cosines,
                states: &pile.states,
                steps: pile.steps,
            })
        }
        if !sorted.markers.is_empty() {
            let cosines = frames(&sorted.told, sorted.markers.len())?;
            parts.push(self.tell(&sorted.markers, of(&sorted.told, cosines.as_ref()))?);
        }
        if !sorted.features.is_empty() {
            let rows = sorted.features.len() / self.config.vision_length;
            let features =
                Tensor::from_slice(&sorted.features, (rows, self.config.vision_length), device)?;
            let cosines = frames(&sorted.seen, rows / v)?;
            parts.push(self.see(&features, of(&sorted.seen, cosines.as_ref()))?);
        }
        let embeds = match &parts[..] {
            [] => return Err(Error::Invalid("nothing to read: no pieces".into())),
            // All of one kind stand in their order.
            [only] => only.clone(),
            _ => Tensor::cat(&parts, 0)?.index_select(&Tensor::new(sorted.order(v), device)?, 0)?,
        };
        Ok(embeds.unsqueeze(0)?)
    }

    /// A hidden state as a row `[1,D]`.
    fn row(&self, hidden: &Hidden) -> Result<Tensor> {
        let width = self.config.backbone.embedding_length;
        if hidden.0.len() != width {
            return Err(Error::Invalid(format!(
                "hidden state of {} numbers: expected {width}",
                hidden.0.len()
            )));
        }
        Ok(Tensor::from_slice(
            &hidden.0,
            (1, width),
            self.backbone.device(),
        )?)
    }
}

/// Evidence of several frames or markers, of one task.
struct Pile<'a> {
    steps: &'a Steps,
    cosines: Vec<f32>,
    states: Vec<StepState>,
    /// Anything is in it, if only "none".
    begun: bool,
}

impl Default for Pile<'_> {
    fn default() -> Self {
        Self {
            steps: &NO_STEPS,
            cosines: Vec::new(),
            states: Vec::new(),
            begun: false,
        }
    }
}

impl<'a> Pile<'a> {
    fn add(&mut self, evidence: &Evidence<'a>) -> Result<()> {
        evidence.check()?;
        if self.begun && evidence.steps != self.steps {
            return Err(Error::Invalid(
                "frames with evidence of other steps cannot be read at once".into(),
            ));
        }
        (self.steps, self.begun) = (evidence.steps, true);
        self.cosines.extend_from_slice(evidence.cosines);
        self.states.extend_from_slice(evidence.states);
        Ok(())
    }
}

/// Pieces sorted by kind, each kind in its order.
#[derive(Default)]
struct Sorted<'a> {
    tokens: Vec<u32>,
    markers: Vec<u32>,
    told: Pile<'a>,
    features: Vec<f32>,
    seen: Pile<'a>,
    kinds: Vec<Kind>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Token,
    Marker,
    Frame,
}

impl<'a> Sorted<'a> {
    fn new(pieces: &[Piece<'a>], config: &AssistantConfig) -> Result<Self> {
        let (v, dv) = (config.tokens_per_frame, config.vision_length);
        let mut sorted = Self::default();
        for piece in pieces {
            sorted.kinds.push(match piece {
                Piece::Token(id) | Piece::Marker(id, _) if *id == config.tokens.image => {
                    return Err(Error::Invalid(format!(
                        "token {}: the image token stands for features and has no embedding",
                        id.0
                    )));
                }
                Piece::Token(id) => {
                    sorted.tokens.push(id.0);
                    Kind::Token
                }
                Piece::Marker(id, evidence) => {
                    sorted.told.add(evidence)?;
                    sorted.markers.push(id.0);
                    Kind::Marker
                }
                Piece::Features(values, evidence) if values.len() == v * dv => {
                    sorted.seen.add(evidence)?;
                    sorted.features.extend_from_slice(values);
                    Kind::Frame
                }
                Piece::Features(values, _) => {
                    return Err(Error::Invalid(format!(
                        "features of {} numbers: expected {v} tokens of width {dv}",
                        values.len()
                    )));
                }
            });
        }
        Ok(sorted)
    }

    /// For each position its row in `[tokens; markers; v rows a frame]`.
    fn order(&self, v: usize) -> Vec<u32> {
        let (mut token, mut marker) = (0, self.tokens.len());
        let mut row = marker + self.markers.len();
        let mut order = Vec::with_capacity(self.kinds.len());
        for kind in &self.kinds {
            let (next, rows) = match kind {
                Kind::Token => (&mut token, 1),
                Kind::Marker => (&mut marker, 1),
                Kind::Frame => (&mut row, v),
            };
            order.extend((*next..*next + rows).map(|r| r as u32));
            *next += rows;
        }
        order
    }
}

impl Backbone for Assistant {
    type Memory = KvMemory;

    fn new_memory(&self) -> Result<KvMemory> {
        self.backbone.memory(self.memory_tokens)
    }

    fn extend(&self, pieces: &[Piece<'_>], memory: &mut KvMemory) -> Result<Hidden> {
        let hidden = self.backbone.extend_embeds(&self.embeds(pieces)?, memory)?;
        Ok(Hidden(hidden.flatten_all()?.to_vec1()?))
    }

    fn heads(&self, hidden: &Hidden) -> Result<HeadLogits> {
        let (speak, dst_update) = self.head_logits_tensor(&self.row(hidden)?)?;
        let first = |logits: Tensor| -> Result<Logit> { Ok(Logit(logits.get(0)?.to_scalar()?)) };
        Ok(HeadLogits {
            speak: first(speak)?,
            dst_update: first(dst_update)?,
        })
    }

    fn lm_logits(&self, hidden: &Hidden) -> Result<Vec<f32>> {
        Ok(self
            .lm_logits_tensor(&self.row(hidden)?)?
            .flatten_all()?
            .to_vec1()?)
    }

    fn update_logits(&self, hidden: &Hidden) -> Result<Vec<f32>> {
        Ok(self
            .update_logits_tensor(&self.row(hidden)?)?
            .flatten_all()?
            .to_vec1()?)
    }
}
