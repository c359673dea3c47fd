//! Every tensor of a model: its name in the GGUF file, its name at Hugging Face, its shape, and how
//! one becomes the other. Which tensors there are, and their shapes, the model itself says.
//!
//! Sources: `convert_hf_to_gguf.py` and `gguf-py/gguf/tensor_mapping.py` of llama.cpp for the Llama
//! and the towers; the attention-pooling head of SigLIP has no names there, `v.head.*` are this
//! project's.

use super::source::Change;
use proact::error::Result;
use proact::model::assistant::{Assistant, UPDATE_OUTPUT};
use proact::model::backbone::Llama;
use proact::model::config::{AssistantConfig, BackboneConfig, TextConfig, VisionConfig};
use proact::model::encoder::Vision;
use proact::model::text::TextTower;
use proact::model::weights::Weights;

/// Name of the tensor that divides the rotary frequencies.
pub(super) const ROPE_FREQS: &str = "rope_freqs.weight";

/// Parts of the Llama: names in the GGUF file and at Hugging Face.
const LLAMA: &[(&str, &str)] = &[
    ("token_embd", "model.embed_tokens"),
    ("output_norm", "model.norm"),
    ("output", "lm_head"),
];
/// Parts of one of its blocks.
const LLAMA_BLOCK: &[(&str, &str)] = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];
/// Parts of the projector.
const PROJECTOR: &[(&str, &str)] = &[("mm.0", "mm_projector.0"), ("mm.2", "mm_projector.2")];
/// Parts of SigLIP's picture tower.
const VISION: &[(&str, &str)] = &[
    ("patch_embd", "embeddings.patch_embedding"),
    ("position_embd", "embeddings.position_embedding"),
    ("post_ln", "post_layernorm"),
    ("head.attn_out", "head.attention.out_proj"),
    ("head.ln", "head.layernorm"),
    ("head.ffn_up", "head.mlp.fc1"),
    ("head.ffn_down", "head.mlp.fc2"),
];
/// Parts of its text tower.
const TEXT: &[(&str, &str)] = &[
    ("token_embd", "embeddings.token_embedding"),
    ("position_embd", "embeddings.position_embedding"),
    ("post_ln", "final_layer_norm"),
    ("head", "head"),
];
/// Parts of a block of either tower.
const TOWER_BLOCK: &[(&str, &str)] = &[
    ("ln1", "layer_norm1"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_out", "self_attn.out_proj"),
    ("ln2", "layer_norm2"),
    ("ffn_up", "mlp.fc1"),
    ("ffn_down", "mlp.fc2"),
];
/// Parts of the pooling head's attention, in the order in which Hugging Face keeps them in one
/// tensor.
const POOLED: [&str; 3] = ["attn_q", "attn_k", "attn_v"];

/// One tensor of a model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TensorSpec {
    /// Name in the GGUF file and in this project's checkpoints.
    pub gguf: String,
    /// Name at Hugging Face, without the prefix of the model around it.
    pub hf: String,
    /// Row-major shape in the GGUF file.
    pub shape: Vec<usize>,
    /// From Hugging Face's values to the file's.
    pub change: Change,
}

/// The part's other name, where the table has one.
fn renamed<'a>(table: &[(&str, &'a str)], part: &str) -> Option<&'a str> {
    let pair = table.iter().find(|(gguf, _)| *gguf == part);
    pair.map(|(_, hf)| *hf)
}

/// A tensor's name at Hugging Face; what has none there keeps its own.
fn hf_name(gguf: &str) -> String {
    let (name, end) = gguf.rsplit_once('.').unwrap_or((gguf, ""));
    let block = |name: &str, table| {
        let (n, part) = name.strip_prefix("blk.")?.split_once('.')?;
        Some((n.to_owned(), renamed(table, part)?))
    };
    if let Some(part) = name.strip_prefix("v.head.")
        && (part == "probe" || POOLED.contains(&part))
    {
        return match part {
            "probe" => "head.probe".to_owned(),
            _ => format!("head.attention.in_proj_{end}"),
        };
    }
    let towers = [("v.", VISION), ("t.", TEXT)];
    for (tower, parts) in towers {
        let Some(name) = name.strip_prefix(tower) else {
            continue;
        };
        if let Some((n, part)) = block(name, TOWER_BLOCK) {
            return format!("encoder.layers.{n}.{part}.{end}");
        }
        if let Some(part) = renamed(parts, name) {
            return format!("{part}.{end}");
        }
    }
    if let Some((n, part)) = block(name, LLAMA_BLOCK) {
        return format!("model.layers.{n}.{part}.{end}");
    }
    match renamed(LLAMA, name).or_else(|| renamed(PROJECTOR, name)) {
        Some(part) => format!("{part}.{end}"),
        None => gguf.to_owned(),
    }
}

/// How Hugging Face's values become the file's; `heads` are the query and key heads of a Llama.
fn change(gguf: &str, heads: Option<(usize, usize)>) -> Change {
    let part = gguf.rsplit_once('.').map_or(gguf, |(name, _)| name);
    if let Some(pooled) = part.strip_prefix("v.head.") {
        return match POOLED.iter().position(|name| *name == pooled) {
            Some(index) => Change::Part {
                index,
                parts: POOLED.len(),
            },
            None => Change::Keep,
        };
    }
    match (part.rsplit_once('.').map(|(_, last)| last), heads) {
        (Some("attn_q"), Some((heads, _))) | (Some("attn_k"), Some((_, heads))) => {
            Change::Permute { heads }
        }
        _ => Change::Keep,
    }
}

/// The tensors that a model asks for, in its order, without the rotary factors, which Hugging Face
/// computes.
fn specs(
    heads: Option<(usize, usize)>,
    load: impl FnOnce(&Weights) -> Result<()>,
) -> Result<Vec<TensorSpec>> {
    let spec = |(gguf, shape): (String, Vec<usize>)| TensorSpec {
        hf: hf_name(&gguf),
        change: change(&gguf, heads),
        gguf,
        shape,
    };
    let requests = Weights::requests(load)?.into_iter();
    Ok(requests
        .filter(|(name, _)| name != ROPE_FREQS)
        .map(spec)
        .collect())
}

/// The Llama, without `rope_freqs.weight`.
pub(super) fn backbone(config: &BackboneConfig) -> Result<Vec<TensorSpec>> {
    let heads = Some((config.head_count, config.head_count_kv));
    specs(heads, |weights| Llama::new(config, weights).map(drop))
}

/// What divides the rotary frequencies; only a checkpoint stores it.
pub(super) fn rope_freqs(config: &BackboneConfig) -> TensorSpec {
    TensorSpec {
        gguf: ROPE_FREQS.to_owned(),
        hf: ROPE_FREQS.to_owned(),
        shape: vec![config.key_length / 2],
        change: Change::Keep,
    }
}

/// Projector and heads.
pub(super) fn decisions(config: &AssistantConfig) -> Result<Vec<TensorSpec>> {
    let backbone = backbone(&config.backbone)?.len();
    Ok(assistant(config)?.split_off(backbone))
}

/// The whole assistant, without `rope_freqs.weight`; the backbone comes first.
pub(super) fn assistant(config: &AssistantConfig) -> Result<Vec<TensorSpec>> {
    let heads = Some((config.backbone.head_count, config.backbone.head_count_kv));
    specs(heads, |weights| Assistant::new(config, weights).map(drop))
}

/// Name of the DST extension's output of its own for updates.
pub(super) fn update_output() -> String {
    format!("{UPDATE_OUTPUT}.weight")
}

/// SigLIP's text tower, with the scale and bias of its loss.
pub(super) fn text(config: &TextConfig) -> Result<Vec<TensorSpec>> {
    specs(None, |weights| TextTower::new(config, weights).map(drop))
}

/// SigLIP's picture tower.
pub(super) fn vision(config: &VisionConfig) -> Result<Vec<TensorSpec>> {
    specs(None, |weights| Vision::new(config, weights).map(drop))
}
