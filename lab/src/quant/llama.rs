//! Hugging Face's configuration of a Llama, alone or with DSTProAct's projector and heads, as this
//! project's.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::names::{self, ROPE_FREQS, TensorSpec};
use super::source::{Entry, Origin};
use super::vocabulary::Vocabulary;
use proact::dialogue::layout::{LayoutName, SpecialTokens};
use proact::dialogue::policy::{GateConfig, GateKind, Gates};
use proact::error::{Error, Result};
use proact::model::config::{AssistantConfig, BackboneConfig, HeadKind};
use proact::model::gguf::MetaValue;
use proact::model::nn::Llama3Scaling;
use proact::units::{Threshold, TokenId};

/// Architecture of a Llama without projector and heads: llama.cpp's own.
pub(super) const PLAIN_ARCHITECTURE: &str = "llama";
/// Where a model was trained without a threshold of its own (upstream's `binary_threshold`).
const THRESHOLD_DEFAULT: f32 = 0.5;

/// 1 - theta: ProAssist is silent where P(`<eot>`) is above theta, and most of its data sets have
/// 0.3 in its table 11.
const PROASSIST_THRESHOLD: f32 = 0.7;

/// `config.json`, as far as it decides tensors and hyper-parameters.
#[derive(Deserialize)]
struct LlamaJson {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    vocab_size: usize,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RopeJson>,
    /// Where newer versions of transformers put both.
    rope_parameters: Option<RopeJson>,
    bos_token_id: Option<u32>,
    binary_threshold: Option<f32>,
    img_token_id: Option<u32>,
    dst_gen_token_id: Option<u32>,
    asst_gen_token_id: Option<u32>,
    use_img_cls_token: Option<bool>,
    img_patch_token_size: Option<usize>,
}

#[derive(Clone, Deserialize)]
struct RopeJson {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
}

/// What a Llama's folder holds.
pub(super) enum Model {
    /// A Llama and nothing else.
    Plain {
        backbone: BackboneConfig,
        bos: Option<u32>,
        eos: u32,
        factors: Option<Vec<f32>>,
    },
    /// With projector and, maybe, heads.
    Assistant {
        config: Box<AssistantConfig>,
        factors: Option<Vec<f32>>,
    },
}

/// Reads the configuration; `shape` tells which tensors there are.
pub(super) fn read(
    folder: &Path,
    json: &Value,
    shape: &dyn Fn(&str) -> Option<Vec<usize>>,
    vocabulary: &Vocabulary,
) -> Result<Model> {
    let path = folder.join("config.json");
    let hf = LlamaJson::deserialize(json).map_err(|e| Error::format(&path, e.to_string()))?;
    let (mut backbone, factors) = hf.backbone(&path)?;
    // The extension adds tokens and resizes the table; its config.json may be the base model's.
    if shape("mm_projector.0.weight").is_some()
        && let Some(&[rows, _]) = shape("model.embed_tokens.weight").as_deref()
    {
        backbone.vocab_size = rows;
    }
    backbone.validate()?;
    let eos = vocabulary.eos().or_else(|| eos_of(json));
    let eos = eos.ok_or_else(|| {
        Error::format(
            &path,
            "eos_token_id: found none, here or in tokenizer_config.json",
        )
    })?;
    let Some(projector) = shape("mm_projector.0.weight") else {
        return Ok(Model::Plain {
            backbone,
            bos: hf.bos_token_id,
            eos,
            factors,
        });
    };
    let &[projector_length, vision_length] = projector.as_slice() else {
        return Err(Error::format(
            folder,
            format!("tensor `mm_projector.0.weight`: found shape {projector:?}, expected a matrix"),
        ));
    };
    let heads = match () {
        () if shape("speaking_decision_head.weight").is_some() => HeadKind::Linear,
        () if shape("speaking_decision_head.0.weight").is_some() => HeadKind::Mlp,
        () => HeadKind::None,
    };
    let update_output = shape(&names::update_output()).is_some();
    let own = vocabulary.id("[DST]").is_some() || hf.dst_gen_token_id.is_some();
    // ProAssist's own models have neither heads nor tokens of the extension.
    let proassist = heads == HeadKind::None && !own;
    let gates = hf.gates(
        heads,
        if proassist {
            PROASSIST_THRESHOLD
        } else {
            THRESHOLD_DEFAULT
        },
    );
    let tokens = if proassist {
        hf.reserved(&path, vocabulary, eos)?
    } else {
        hf.tokens(&path, vocabulary, eos)?
    };
    let config = AssistantConfig {
        // DSTProAct always has one.
        tokens_per_frame: if proassist { hf.tokens_per_frame() } else { 1 },
        projector_length,
        heads,
        layout: if proassist {
            LayoutName::Proassist
        } else {
            LayoutName::Dstproact
        },
        update_output,
        ..AssistantConfig::plain(backbone, vision_length, gates, tokens)
    };
    config.validate()?;
    Ok(Model::Assistant {
        config: Box::new(config),
        factors,
    })
}

/// A number, or the first of a list.
fn eos_of(json: &Value) -> Option<u32> {
    let eos = &json["eos_token_id"];
    eos.as_u64()
        .or_else(|| eos.get(0)?.as_u64())?
        .try_into()
        .ok()
}

impl LlamaJson {
    fn backbone(&self, path: &Path) -> Result<(BackboneConfig, Option<Vec<f32>>)> {
        let wrong = |key: &str, found: &dyn std::fmt::Debug, expected: &str| {
            Error::format(path, format!("{key}: found {found:?}, expected {expected}"))
        };
        if self.attention_bias || self.mlp_bias {
            return Err(wrong(
                "attention_bias, mlp_bias",
                &true,
                "false: a Llama has no biases",
            ));
        }
        if let Some(act) = self.hidden_act.as_deref().filter(|&act| act != "silu") {
            return Err(wrong("hidden_act", &act, "silu"));
        }
        let key_length = match self.head_dim {
            Some(length) => length,
            None => self
                .hidden_size
                .checked_div(self.num_attention_heads)
                .unwrap_or(0),
        };
        let rope = self.rope_parameters.as_ref();
        let base = self.rope_theta.or(rope.and_then(|rope| rope.rope_theta));
        let base = base.ok_or_else(|| wrong("rope_theta", &(), "a number"))?;
        let scaling = match self.rope_scaling.as_ref().or(rope) {
            Some(rope) => rope.scaling(path)?,
            None => None,
        };
        let factors = scaling.map(|scaling| scaling.factors(key_length, base));
        let backbone = BackboneConfig {
            block_count: self.num_hidden_layers,
            embedding_length: self.hidden_size,
            feed_forward_length: self.intermediate_size,
            head_count: self.num_attention_heads,
            head_count_kv: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            key_length,
            context_length: self.max_position_embeddings,
            rope_freq_base: base,
            rope_factors: factors.is_some(),
            rms_eps: self.rms_norm_eps,
            vocab_size: self.vocab_size,
            tied_output: self.tie_word_embeddings,
        };
        Ok((backbone, factors))
    }

    /// ProAssist's I: 1, 5 or 10.
    fn tokens_per_frame(&self) -> usize {
        let side = self.img_patch_token_size.unwrap_or(0);
        usize::from(self.use_img_cls_token.unwrap_or(true))
            .saturating_add(side.saturating_mul(side))
    }

    /// ProAssist adds `<image>` behind the table's last row and never looks it up, and knows no
    /// `[DST]` and `[ASST]`. Their places are taken by tokens that Llama-3 keeps in reserve, so
    /// that the scores stay exactly those of the model.
    fn reserved(&self, path: &Path, vocabulary: &Vocabulary, eos: u32) -> Result<SpecialTokens> {
        let mut spare = (0..)
            .map_while(|n| vocabulary.id(&format!("<|reserved_special_token_{n}|>")))
            .map(TokenId);
        let (Some(image), Some(dst), Some(asst)) = (spare.next(), spare.next(), spare.next())
        else {
            let why = "tokens `<|reserved_special_token_0|>` to `_2|>`: found none, expected Llama-3's tokenizer.json, as ProAssist's models have it";
            return Err(Error::format(path, why));
        };
        Ok(SpecialTokens {
            bos: self.bos_token_id.map(TokenId),
            eot: TokenId(eos),
            image,
            dst,
            asst,
        })
    }

    fn gates(&self, heads: HeadKind, default: f32) -> Gates {
        let kind = if heads == HeadKind::None {
            GateKind::Token
        } else {
            GateKind::Head
        };
        let threshold = Threshold(self.binary_threshold.unwrap_or(default));
        let gate = GateConfig {
            kind,
            threshold,
            hysteresis: 0.0,
            refractory_s: 0.0,
        };
        Gates {
            speak: gate,
            dst_update: gate,
        }
    }

    fn tokens(&self, path: &Path, vocabulary: &Vocabulary, eos: u32) -> Result<SpecialTokens> {
        let token = |id: Option<u32>, text: &str| {
            id.or_else(|| vocabulary.id(text))
                .map(TokenId)
                .ok_or_else(|| {
                    let why = format!("token `{text}`: found none, expected one in tokenizer.json");
                    Error::format(path, why)
                })
        };
        Ok(SpecialTokens {
            bos: self.bos_token_id.map(TokenId),
            eot: TokenId(eos),
            image: token(self.img_token_id, "<image>")?,
            dst: token(self.dst_gen_token_id, "[DST]")?,
            asst: token(self.asst_gen_token_id, "[ASST]")?,
        })
    }
}

impl RopeJson {
    fn scaling(&self, path: &Path) -> Result<Option<Llama3Scaling>> {
        match self.rope_type.as_deref() {
            None | Some("default") => Ok(None),
            Some("llama3") => {
                let need = |key: &str, value: Option<f64>| {
                    let value = value.filter(|v| v.is_finite() && *v > 0.0);
                    value.ok_or_else(|| {
                        Error::format(
                            path,
                            format!("rope_scaling.{key}: expected a number above 0"),
                        )
                    })
                };
                let original = self.original_max_position_embeddings.map(|v| v as f64);
                let scaling = Llama3Scaling {
                    factor: need("factor", self.factor)?,
                    low_freq_factor: need("low_freq_factor", self.low_freq_factor)?,
                    high_freq_factor: need("high_freq_factor", self.high_freq_factor)?,
                    original_context: need("original_max_position_embeddings", original)? as usize,
                };
                if scaling.high_freq_factor <= scaling.low_freq_factor {
                    return Err(Error::format(
                        path,
                        "rope_scaling.high_freq_factor: expected more than low_freq_factor",
                    ));
                }
                Ok(Some(scaling))
            }
            Some(other) => Err(Error::format(
                path,
                format!("rope_scaling.rope_type: found {other:?}, expected llama3 or default"),
            )),
        }
    }
}

impl Model {
    /// The Llama's sizes.
    pub fn backbone(&self) -> &BackboneConfig {
        match self {
            Self::Plain { backbone, .. } => backbone,
            Self::Assistant { config, .. } => &config.backbone,
        }
    }

    /// Its tensors, without the rotary factors.
    ///
    /// # Errors
    /// The sizes are not valid.
    pub fn specs(&self) -> Result<Vec<TensorSpec>> {
        match self {
            Self::Plain { backbone, .. } => names::backbone(backbone),
            Self::Assistant { config, .. } => names::assistant(config),
        }
    }

    /// The rotary factors, when its positions are scaled.
    pub fn rope_entry(&self) -> Option<Entry> {
        let (Self::Plain { factors, .. } | Self::Assistant { factors, .. }) = self;
        let factors = factors.clone()?;
        Some(Entry {
            name: ROPE_FREQS.into(),
            shape: vec![factors.len()],
            stored_as: "F32".into(),
            origin: Origin::Made(factors),
        })
    }

    /// Its keys, `general.architecture` first.
    pub fn metadata(&self) -> Result<Vec<(String, MetaValue)>> {
        match self {
            Self::Assistant { config, .. } => {
                let mut pairs = config.to_metadata()?;
                pairs.push((
                    "tokenizer.ggml.eos_token_id".into(),
                    MetaValue::U32(config.tokens.eot.0),
                ));
                Ok(pairs)
            }
            Self::Plain {
                backbone, bos, eos, ..
            } => {
                let architecture = MetaValue::String(PLAIN_ARCHITECTURE.into());
                let mut pairs = vec![("general.architecture".to_owned(), architecture)];
                backbone.write(&mut pairs, PLAIN_ARCHITECTURE)?;
                pairs.extend(
                    bos.map(|id| ("tokenizer.ggml.bos_token_id".to_owned(), MetaValue::U32(id))),
                );
                pairs.push(("tokenizer.ggml.eos_token_id".into(), MetaValue::U32(*eos)));
                Ok(pairs)
            }
        }
    }
}
