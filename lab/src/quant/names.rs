//! Every tensor of a model: its name in the GGUF file, its name at Hugging Face, its shape, and how
//! one becomes the other.
//!
//! Sources: `convert_hf_to_gguf.py` and `gguf-py/gguf/tensor_mapping.py` of llama.cpp for the Llama
//! and the towers; the attention-pooling head of SigLIP has no names there, `v.head.*` are this
//! project's.

use super::source::Change;
use proact::model::config::{AssistantConfig, BackboneConfig, HeadKind, TextConfig, VisionConfig};
use proact::model::evidence::SHARES;

/// Name of the tensor that divides the rotary frequencies.
pub(super) const ROPE_FREQS: &str = "rope_freqs.weight";
/// The DST extension's output of its own for updates.
pub(super) const UPDATE_OUTPUT: &str = "dst_generation_head.weight";
/// Colour channels.
const CHANNELS: usize = 3;

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

fn spec(gguf: impl Into<String>, hf: impl Into<String>, shape: &[usize]) -> TensorSpec {
    TensorSpec {
        gguf: gguf.into(),
        hf: hf.into(),
        shape: shape.to_vec(),
        change: Change::Keep,
    }
}

/// `{name}.weight` and `{name}.bias` of a linear layer or, without `inputs`, of a norm.
fn with_bias(gguf: &str, hf: &str, outputs: usize, inputs: Option<usize>) -> [TensorSpec; 2] {
    let shape: Vec<usize> = std::iter::once(outputs).chain(inputs).collect();
    [
        spec(format!("{gguf}.weight"), format!("{hf}.weight"), &shape),
        spec(format!("{gguf}.bias"), format!("{hf}.bias"), &[outputs]),
    ]
}

/// The Llama, without `rope_freqs.weight`, which Hugging Face computes.
pub(super) fn backbone(config: &BackboneConfig) -> Vec<TensorSpec> {
    let (d, ff) = (config.embedding_length, config.feed_forward_length);
    let (q, kv) = (
        config.head_count * config.key_length,
        config.head_count_kv * config.key_length,
    );
    let mut specs = vec![spec(
        "token_embd.weight",
        "model.embed_tokens.weight",
        &[config.vocab_size, d],
    )];
    for n in 0..config.block_count {
        let one = |gguf: &str, hf: &str, shape: &[usize]| {
            spec(
                format!("blk.{n}.{gguf}.weight"),
                format!("model.layers.{n}.{hf}.weight"),
                shape,
            )
        };
        let permuted = |heads: usize, spec: TensorSpec| TensorSpec {
            change: Change::Permute { heads },
            ..spec
        };
        specs.extend([
            one("attn_norm", "input_layernorm", &[d]),
            permuted(
                config.head_count,
                one("attn_q", "self_attn.q_proj", &[q, d]),
            ),
            permuted(
                config.head_count_kv,
                one("attn_k", "self_attn.k_proj", &[kv, d]),
            ),
            one("attn_v", "self_attn.v_proj", &[kv, d]),
            one("attn_output", "self_attn.o_proj", &[d, q]),
            one("ffn_norm", "post_attention_layernorm", &[d]),
            one("ffn_gate", "mlp.gate_proj", &[ff, d]),
            one("ffn_up", "mlp.up_proj", &[ff, d]),
            one("ffn_down", "mlp.down_proj", &[d, ff]),
        ]);
    }
    specs.push(spec("output_norm.weight", "model.norm.weight", &[d]));
    if !config.tied_output {
        specs.push(spec(
            "output.weight",
            "lm_head.weight",
            &[config.vocab_size, d],
        ));
    }
    specs
}

/// What divides the rotary frequencies; only a checkpoint stores it.
pub(super) fn rope_freqs(config: &BackboneConfig) -> TensorSpec {
    spec(ROPE_FREQS, ROPE_FREQS, &[config.key_length / 2])
}

/// Projector and heads.
pub(super) fn decisions(config: &AssistantConfig) -> Vec<TensorSpec> {
    let (d, hidden) = (config.backbone.embedding_length, config.projector_length);
    let mut specs = Vec::new();
    specs.extend(with_bias(
        "mm.0",
        "mm_projector.0",
        hidden,
        Some(config.vision_length),
    ));
    specs.extend(with_bias("mm.2", "mm_projector.2", d, Some(hidden)));
    if config.step_evidence {
        for name in ["mm.step.scale", "mm.step.strict"] {
            specs.push(spec(name, name, &[1]));
        }
        specs.push(spec("mm.step.norm.weight", "mm.step.norm.weight", &[d]));
        for (name, inputs) in [
            ("seen", d),
            ("open", d),
            ("next", d),
            ("first", d),
            ("ready", d),
            ("states", SHARES),
        ] {
            let name = format!("mm.step.{name}.weight");
            specs.push(spec(name.clone(), name, &[d, inputs]));
        }
    }
    for head in ["speaking_decision_head", "dst_update_head"] {
        match config.heads {
            HeadKind::None => {}
            HeadKind::Linear => specs.extend(with_bias(head, head, 1, Some(d))),
            HeadKind::Mlp => {
                let (up, down) = (format!("{head}.0"), format!("{head}.2"));
                specs.extend(with_bias(&up, &up, d / 2, Some(d)));
                specs.extend(with_bias(&down, &down, 1, Some(d / 2)));
            }
        }
    }
    if config.update_output {
        specs.push(spec(
            UPDATE_OUTPUT,
            UPDATE_OUTPUT,
            &[config.backbone.vocab_size, d],
        ));
    }
    specs
}

/// The whole assistant, without `rope_freqs.weight`.
pub(super) fn assistant(config: &AssistantConfig) -> Vec<TensorSpec> {
    let mut specs = backbone(&config.backbone);
    specs.extend(decisions(config));
    specs
}

/// The blocks of one of SigLIP's towers.
fn blocks(tower: &str, count: usize, d: usize, ff: usize) -> Vec<TensorSpec> {
    let mut specs = Vec::new();
    for n in 0..count {
        let mut both = |gguf: &str, hf: &str, outputs, inputs| {
            specs.extend(with_bias(
                &format!("{tower}.blk.{n}.{gguf}"),
                &format!("encoder.layers.{n}.{hf}"),
                outputs,
                inputs,
            ));
        };
        both("ln1", "layer_norm1", d, None);
        both("attn_q", "self_attn.q_proj", d, Some(d));
        both("attn_k", "self_attn.k_proj", d, Some(d));
        both("attn_v", "self_attn.v_proj", d, Some(d));
        both("attn_out", "self_attn.out_proj", d, Some(d));
        both("ln2", "layer_norm2", d, None);
        both("ffn_up", "mlp.fc1", ff, Some(d));
        both("ffn_down", "mlp.fc2", d, Some(ff));
    }
    specs
}

/// SigLIP's text tower, with the scale and bias of its loss.
pub(super) fn text(config: &TextConfig) -> Vec<TensorSpec> {
    let (d, ff) = (config.embedding_length, config.feed_forward_length);
    let mut specs = vec![
        spec(
            "t.token_embd.weight",
            "embeddings.token_embedding.weight",
            &[config.vocab_size, d],
        ),
        spec(
            "t.position_embd.weight",
            "embeddings.position_embedding.weight",
            &[config.context_length, d],
        ),
    ];
    specs.extend(blocks("t", config.block_count, d, ff));
    specs.extend(with_bias("t.post_ln", "final_layer_norm", d, None));
    specs.extend(with_bias(
        "t.head",
        "head",
        config.projection_length,
        Some(d),
    ));
    specs.push(spec("logit_scale", "logit_scale", &[1]));
    specs.push(spec("logit_bias", "logit_bias", &[1]));
    specs
}

/// SigLIP's picture tower.
pub(super) fn vision(config: &VisionConfig) -> Vec<TensorSpec> {
    let (d, ff, p) = (
        config.embedding_length,
        config.feed_forward_length,
        config.patch_size,
    );
    let mut specs = vec![
        spec(
            "v.patch_embd.weight",
            "embeddings.patch_embedding.weight",
            &[d, CHANNELS, p, p],
        ),
        spec("v.patch_embd.bias", "embeddings.patch_embedding.bias", &[d]),
        spec(
            "v.position_embd.weight",
            "embeddings.position_embedding.weight",
            &[config.patches(), d],
        ),
    ];
    specs.extend(blocks("v", config.block_count, d, ff));
    specs.extend(with_bias("v.post_ln", "post_layernorm", d, None));
    if config.pool_head {
        specs.push(spec("v.head.probe.weight", "head.probe", &[d]));
        for (index, name) in ["attn_q", "attn_k", "attn_v"].into_iter().enumerate() {
            let part = |spec| TensorSpec {
                change: Change::Part { index, parts: 3 },
                ..spec
            };
            specs.push(part(spec(
                format!("v.head.{name}.weight"),
                "head.attention.in_proj_weight",
                &[d, d],
            )));
            specs.push(part(spec(
                format!("v.head.{name}.bias"),
                "head.attention.in_proj_bias",
                &[d],
            )));
        }
        specs.extend(with_bias(
            "v.head.attn_out",
            "head.attention.out_proj",
            d,
            Some(d),
        ));
        specs.extend(with_bias("v.head.ln", "head.layernorm", d, None));
        specs.extend(with_bias("v.head.ffn_up", "head.mlp.fc1", ff, Some(d)));
        specs.extend(with_bias("v.head.ffn_down", "head.mlp.fc2", d, Some(ff)));
    }
    specs
}
