//! Hyper-parameters of every part of the model, checked once: what passes `validate` cannot
//! overflow later.
//!
//! They travel as JSON (`config.json` of a checkpoint) and as GGUF metadata (see
//! [`super::metadata`]).

mod towers;

pub use self::towers::{TextConfig, VisionConfig};

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::calibration::Calibration;
use crate::dialogue::layout::{LayoutName, SpecialTokens};
use crate::dialogue::policy::{GateConfig, GateKind, Gates};
use crate::error::{Error, Result};

/// Widths (embedding, feed-forward, heads) at most; the largest public Llama has 53 248.
const WIDTH_MAX: usize = 1 << 17;
/// Transformer blocks at most.
const BLOCKS_MAX: usize = 1 << 10;
/// Rows of an embedding table at most.
const VOCAB_MAX: usize = 1 << 22;
/// Positions at most.
const CONTEXT_MAX: usize = 1 << 24;
/// Side of a pooled grid at most, in cells.
const GRID_MAX: usize = 64;
/// Elements of one weight at most: 2^34 floats are 64 GiB.
const ELEMENTS_MAX: usize = 1 << 34;
/// A refractory time longer than a day is a mistake.
const REFRACTORY_MAX_S: f64 = 86_400.0;

/// The value lies in its range, or an error with the key and the range.
fn within(key: &str, value: usize, range: RangeInclusive<usize>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Error::Model(format!(
        "{key}: found {value}, expected {} to {}",
        range.start(),
        range.end()
    )))
}

/// The product of two sizes stays within one weight's budget.
fn product(key: &str, a: usize, b: usize) -> Result<usize> {
    a.checked_mul(b)
        .filter(|&n| n <= ELEMENTS_MAX)
        .ok_or_else(|| {
            Error::Model(format!(
                "{key}: {a} x {b} elements, expected at most {ELEMENTS_MAX}"
            ))
        })
}

/// A finite number that is not below `low`.
fn at_least(key: &str, value: f64, low: f64) -> Result<()> {
    if value.is_finite() && value >= low {
        return Ok(());
    }
    Err(Error::Model(format!(
        "{key}: found {value}, expected a finite number of at least {low}"
    )))
}

/// The epsilon of a norm: above 0, below 1.
fn epsilon(key: &str, value: f64) -> Result<()> {
    if value > 0.0 && value < 1.0 {
        return Ok(());
    }
    Err(Error::Model(format!(
        "{key}: found {value}, expected above 0 and below 1"
    )))
}

/// The Llama backbone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneConfig {
    /// Transformer blocks.
    pub block_count: usize,
    /// Width: D.
    pub embedding_length: usize,
    /// Width of the feed-forward's hidden layer.
    pub feed_forward_length: usize,
    /// Query heads: H.
    pub head_count: usize,
    /// Key and value heads; each serves `head_count / head_count_kv` query heads.
    pub head_count_kv: usize,
    /// Width of a head: Hd; even.
    pub key_length: usize,
    /// Positions that the model was trained for.
    pub context_length: usize,
    /// Base of the rotary frequencies.
    pub rope_freq_base: f64,
    /// There is a tensor `rope_freqs.weight` `[Hd/2]` that divides the rotary frequencies (Llama-3
    /// scaling).
    pub rope_factors: bool,
    /// Epsilon of every RMSNorm.
    pub rms_eps: f64,
    /// Rows of the token table.
    pub vocab_size: usize,
    /// The output matrix is the token table.
    pub tied_output: bool,
}

impl BackboneConfig {
    /// Checks every size against its bounds and against the others.
    ///
    /// # Errors
    /// Names the key, what was found and what is expected.
    pub fn validate(&self) -> Result<()> {
        within("dstproact.block_count", self.block_count, 1..=BLOCKS_MAX)?;
        within(
            "dstproact.embedding_length",
            self.embedding_length,
            1..=WIDTH_MAX,
        )?;
        within(
            "dstproact.feed_forward_length",
            self.feed_forward_length,
            1..=WIDTH_MAX,
        )?;
        within(
            "dstproact.attention.head_count",
            self.head_count,
            1..=WIDTH_MAX,
        )?;
        within(
            "dstproact.attention.head_count_kv",
            self.head_count_kv,
            1..=self.head_count,
        )?;
        divides(
            "dstproact.attention.head_count_kv",
            self.head_count_kv,
            "head_count",
            self.head_count,
        )?;
        within(
            "dstproact.attention.key_length",
            self.key_length,
            2..=WIDTH_MAX,
        )?;
        if !self.key_length.is_multiple_of(2) {
            return Err(Error::Model(format!(
                "dstproact.attention.key_length: found {}, expected an even number (rotary pairs)",
                self.key_length
            )));
        }
        within(
            "dstproact.context_length",
            self.context_length,
            1..=CONTEXT_MAX,
        )?;
        at_least("dstproact.rope.freq_base", self.rope_freq_base, 1.0)?;
        epsilon("dstproact.attention.layer_norm_rms_epsilon", self.rms_eps)?;
        within("dstproact.vocab_size", self.vocab_size, 1..=VOCAB_MAX)?;
        product(
            "dstproact.vocab_size",
            self.vocab_size,
            self.embedding_length,
        )?;
        product(
            "dstproact.feed_forward_length",
            self.feed_forward_length,
            self.embedding_length,
        )?;
        let heads = product(
            "dstproact.attention.key_length",
            self.head_count,
            self.key_length,
        )?;
        within(
            "dstproact.attention: head_count x key_length",
            heads,
            1..=WIDTH_MAX,
        )?;
        product(
            "dstproact.attention.head_count",
            heads,
            self.embedding_length,
        )
        .map(|_| ())
    }
}

fn divides(key: &str, part: usize, whole_key: &str, whole: usize) -> Result<()> {
    if part != 0 && whole.is_multiple_of(part) {
        return Ok(());
    }
    Err(Error::Model(format!(
        "{key}: found {part}, expected a divisor of {whole_key} = {whole}"
    )))
}

/// What a decision head is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadKind {
    /// One linear layer, D -> 1.
    Linear,
    /// D -> D/2 -> GELU -> 1.
    Mlp,
    /// No heads: both gates read a token's probability.
    None,
}

impl HeadKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Linear, Self::Mlp, Self::None];

    /// The word in model files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Mlp => "mlp",
            Self::None => "none",
        }
    }
}

/// Kinds of gate that a model file can ask for: a session can also switch a gate off.
pub const GATE_KINDS: [GateKind; 2] = [GateKind::Head, GateKind::Token];

/// A gate as a model of these heads can have it.
fn validate_gate(name: &str, gate: &GateConfig, heads: HeadKind) -> Result<()> {
    let wrong = |key: &str, found: &dyn Display, expected: &str| {
        Err(Error::Model(format!(
            "dstproact.gate.{name}.{key}: found {found}, expected {expected}"
        )))
    };
    let unit = 0.0..=1.0f32;
    if !unit.contains(&gate.threshold.0) {
        return wrong("threshold", &gate.threshold.0, "0 to 1");
    }
    if !unit.contains(&gate.hysteresis) {
        return wrong("hysteresis", &gate.hysteresis, "0 to 1");
    }
    if !(0.0..=REFRACTORY_MAX_S).contains(&gate.refractory_s) {
        let expected = format!("0 to {REFRACTORY_MAX_S}");
        return wrong("refractory_s", &gate.refractory_s, &expected);
    }
    if !GATE_KINDS.contains(&gate.kind) {
        return wrong("kind", &gate.kind.word(), "head or token");
    }
    if heads == HeadKind::None && gate.kind == GateKind::Head {
        return wrong("kind", &"head", "token (dstproact.heads is none)");
    }
    Ok(())
}

/// The vision file that the assistant was trained with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionRef {
    /// Its name, beside the assistant file: a bare file name.
    pub file: String,
    /// SHA-256 of its bytes, 64 lower-case hex digits.
    pub sha256: String,
}

impl VisionRef {
    fn validate(&self) -> Result<()> {
        let bare = !self.file.is_empty()
            && self.file != "."
            && self.file != ".."
            && !self.file.contains(['/', '\\', '\0', ':']);
        if !bare {
            return Err(Error::Model(format!(
                "dstproact.vision.file: found {:?}, expected a bare file name",
                self.file
            )));
        }
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if self.sha256.len() != 64 || !self.sha256.bytes().all(hex) {
            return Err(Error::Model(format!(
                "dstproact.vision.sha256: found {:?}, expected 64 lower-case hex digits",
                self.sha256
            )));
        }
        Ok(())
    }
}

/// The whole assistant: backbone, projector, heads, gates, layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssistantConfig {
    /// The Llama.
    pub backbone: BackboneConfig,
    /// Width of a feature: Dv.
    pub vision_length: usize,
    /// Vision tokens a frame: V.
    pub tokens_per_frame: usize,
    /// Width of the projector's hidden layer.
    pub projector_length: usize,
    /// What the decision heads are made of.
    pub heads: HeadKind,
    /// Gate settings.
    pub gates: Gates,
    /// Special tokens.
    pub tokens: SpecialTokens,
    /// Which token sequence it reads and writes.
    pub layout: LayoutName,
    /// Updates are written by an output of their own (`dst_generation_head.weight`), sentences by
    /// the Llama's; in upstream's models that were trained so.
    #[serde(default)]
    pub update_output: bool,
    /// A frame's token also carries what the vision file's two towers say without training: how
    /// like each step's words the frame looks (see [`super::evidence`]). Upstream's models have
    /// nothing of the kind.
    #[serde(default)]
    pub step_evidence: bool,
    /// A sentence begins behind a line that names the step it should be about
    /// ([`crate::dialogue::note`]). Upstream's models have nothing of the kind.
    #[serde(default)]
    pub speech_note: bool,
    /// How the gates' settings were found, if they were.
    #[serde(default)]
    pub calibration: Option<Calibration>,
    /// The vision file; absent in a checkpoint that has none yet.
    pub vision: Option<VisionRef>,
}

/// Refuses a model that asks for a rule of earlier versions, by which an update that the model was
/// less sure of than `update_prob_min` waited for another frame. 0 asked for nothing.
pub(super) fn expect_no_waiting(least: Option<f64>, found: &dyn Display) -> Result<()> {
    if least == Some(0.0) {
        return Ok(());
    }
    Err(Error::Model(format!(
        "dstproact.update_prob_min: found {found}, expected 0: unsure updates no longer wait"
    )))
}

impl AssistantConfig {
    /// A model of the layout `dstproact` with one token a frame, linear heads, a projector as wide
    /// as its backbone, and nothing that has to be asked for.
    pub fn plain(
        backbone: BackboneConfig,
        vision_length: usize,
        gates: Gates,
        tokens: SpecialTokens,
    ) -> Self {
        Self {
            vision_length,
            tokens_per_frame: 1,
            projector_length: backbone.embedding_length,
            backbone,
            heads: HeadKind::Linear,
            gates,
            tokens,
            layout: LayoutName::Dstproact,
            update_output: false,
            step_evidence: false,
            speech_note: false,
            calibration: None,
            vision: None,
        }
    }

    /// Checks every size against its bounds and against the others.
    ///
    /// # Errors
    /// Names the key, what was found and what is expected.
    pub fn validate(&self) -> Result<()> {
        self.backbone.validate()?;
        within(
            "dstproact.vision.embedding_length",
            self.vision_length,
            1..=WIDTH_MAX,
        )?;
        within(
            "dstproact.vision.tokens_per_frame",
            self.tokens_per_frame,
            1..=GRID_MAX * GRID_MAX,
        )?;
        within(
            "dstproact.projector.feed_forward_length",
            self.projector_length,
            1..=WIDTH_MAX,
        )?;
        if self.heads == HeadKind::Mlp {
            within(
                "dstproact.embedding_length (heads of kind mlp halve it)",
                self.backbone.embedding_length,
                2..=WIDTH_MAX,
            )?;
        }
        for (name, gate) in [
            ("speak", self.gates.speak),
            ("dst_update", self.gates.dst_update),
        ] {
            validate_gate(name, &gate, self.heads)?;
        }
        self.validate_tokens()?;
        self.calibration
            .as_ref()
            .map_or(Ok(()), Calibration::validate)?;
        self.vision.as_ref().map_or(Ok(()), VisionRef::validate)
    }

    fn validate_tokens(&self) -> Result<()> {
        let t = &self.tokens;
        let last = self.backbone.vocab_size - 1;
        for (key, id) in [
            ("image", t.image),
            ("dst", t.dst),
            ("asst", t.asst),
            ("eot", t.eot),
        ] {
            within(&format!("dstproact.token.{key}"), id.0 as usize, 0..=last)?;
        }
        if let Some(bos) = t.bos {
            within("tokenizer.ggml.bos_token_id", bos.0 as usize, 0..=last)?;
        }
        let mut own = [t.image, t.dst, t.asst, t.eot];
        own.sort_by_key(|id| id.0);
        if own.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::Model(format!(
                "dstproact.token: found {own:?}, expected four different ids for image, dst, asst and eot"
            )));
        }
        Ok(())
    }

    /// Reads `config.json` and checks it.
    ///
    /// # Errors
    /// Not JSON, an unknown or missing key, a value out of its range.
    pub fn from_json(text: &str) -> Result<Self> {
        let wrong = |e: serde_json::Error| Error::Model(format!("config.json: {e}"));
        let mut json: serde_json::Value = serde_json::from_str(text).map_err(wrong)?;
        if let Some(keys) = json.as_object_mut() {
            // Older checkpoints name the rule that is gone.
            keys.remove("update_patience_s");
            if let Some(least) = keys.remove("update_prob_min") {
                expect_no_waiting(least.as_f64(), &least)?;
            }
        }
        let config: Self = serde_json::from_value(json).map_err(wrong)?;
        config.validate()?;
        Ok(config)
    }

    /// Writes `config.json`.
    ///
    /// # Errors
    /// The configuration is not valid.
    pub fn to_json(&self) -> Result<String> {
        self.validate()?;
        serde_json::to_string_pretty(self).map_err(|e| Error::Model(format!("config.json: {e}")))
    }
}
