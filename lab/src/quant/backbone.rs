//! A Llama as the backbone of an assistant whose projector and heads begin as training would begin
//! with them, and the way back: an assistant's backbone as a plain `llama` file.

use std::sync::OnceLock;

use super::llama::PLAIN_ARCHITECTURE;
use super::names::{self, TensorSpec};
use super::shards::Shard;
use super::source::{Entry, Origin, Source, Store};
use super::{folder, put};
use proact::dialogue::layout::SpecialTokens;
use proact::dialogue::policy::{GateConfig, GateKind, Gates};
use proact::error::{Error, Result};
use proact::model::config::{AssistantConfig, BackboneConfig, VisionConfig};
use proact::model::gguf::{GgufFile, MetaValue};
use proact::model::metadata::ASSISTANT_ARCHITECTURE;
use proact::model::tokenizer::ggml::{added_token, kind};
use proact::model::weights::Init;
use proact::units::{Threshold, TokenId};

/// The tokens that the layout adds to a Llama's own.
pub(super) const LAYOUT_TOKENS: [&str; 3] = ["<image>", "[DST]", "[ASST]"];
/// Ends a turn in Llama 3's chat.
pub(super) const TURN_END: &str = "<|eot_id|>";
/// Untrained heads say 0.5; the gates open above it.
const THRESHOLD: f32 = 0.5;

/// The tokens that a vision model gives for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisionTokens {
    /// Width of a vision token: Dv.
    pub width: usize,
    /// Vision tokens a frame.
    pub tokens_per_frame: usize,
}

impl VisionTokens {
    /// SigLIP so400m: one token of 1152 values a frame.
    pub const SO400M: Self = Self {
        width: 1152,
        tokens_per_frame: 1,
    };

    /// The tokens that a vision file gives.
    ///
    /// # Errors
    /// The file is no vision file.
    pub fn of(file: &GgufFile) -> Result<Self> {
        let config = VisionConfig::from_metadata(&|key| file.metadata(key).cloned())
            .map_err(|e| Error::format(file.path(), e.to_string()))?;
        Ok(Self {
            width: config.embedding_length,
            tokens_per_frame: config.tokens_per_frame(),
        })
    }
}

/// The special tokens of a Llama and its layout.
pub(super) struct Tokens {
    pub bos: Option<u32>,
    pub eot: u32,
    /// Ids of [`LAYOUT_TOKENS`].
    pub layout: [u32; 3],
}

/// Adds projector and heads to a Llama's tensors, and rows for tokens that it does not have.
pub(super) fn furnish(
    entries: &mut Vec<Entry>,
    mut backbone: BackboneConfig,
    tokens: &Tokens,
    vision_tokens: VisionTokens,
) -> Result<AssistantConfig> {
    let stored = backbone.vocab_size;
    let last = tokens.layout.iter().copied().max().unwrap_or(0) as usize;
    backbone.vocab_size = stored.max(last + 1);
    for entry in entries
        .iter_mut()
        .filter(|e| ["token_embd.weight", "output.weight"].contains(&e.name.as_str()))
    {
        entry.shape[0] = backbone.vocab_size;
        if let Origin::Read { name, .. } = &entry.origin
            && backbone.vocab_size > stored
        {
            entry.origin = Origin::Extended {
                name: name.clone(),
                rows: stored,
                mean: OnceLock::new(),
            };
        }
    }
    let gate = GateConfig {
        kind: GateKind::Head,
        threshold: Threshold(THRESHOLD),
        hysteresis: 0.0,
        refractory_s: 0.0,
    };
    let [image, dst, asst] = tokens.layout.map(TokenId);
    let gates = Gates {
        speak: gate,
        dst_update: gate,
    };
    let tokens = SpecialTokens {
        bos: tokens.bos.map(TokenId),
        eot: TokenId(tokens.eot),
        image,
        dst,
        asst,
    };
    let config = AssistantConfig {
        tokens_per_frame: vision_tokens.tokens_per_frame,
        ..AssistantConfig::plain(backbone, vision_tokens.width, gates, tokens)
    };
    config.validate()?;
    let fresh = |spec: TensorSpec| {
        let init = if spec.shape.len() > 1 {
            Init::FanIn(1.0)
        } else {
            Init::Constant(0.0)
        };
        Entry::fresh(spec.gguf, spec.shape, init)
    };
    entries.extend(names::decisions(&config)?.into_iter().map(fresh));
    Ok(config)
}

/// A GGUF file of architecture `llama` as an assistant's backbone.
///
/// # Errors
/// A key is missing; a tensor is missing, left over or of another shape.
pub(super) fn of_llama(file: GgufFile, vision_tokens: VisionTokens) -> Result<Source> {
    let backbone = backbone_of(&file)?;
    let mut specs = names::backbone(&backbone)?;
    specs.extend(backbone.rope_factors.then(|| names::rope_freqs(&backbone)));
    let mut entries = picked(&file, &specs)?;
    let left: Vec<&str> = file
        .tensors()
        .iter()
        .map(|t| t.name.as_str())
        .filter(|n| !specs.iter().any(|s| s.gguf == *n))
        .collect();
    folder::refuse_left(file.path(), &left, "a Llama")?;
    let mut metadata: Vec<_> = file.header().metadata.clone();
    let tokens = tokens_of(&file, &mut metadata, backbone.vocab_size)?;
    let config = furnish(&mut entries, backbone, &tokens, vision_tokens)?;
    let mut all = config.to_metadata()?;
    metadata.retain(|(key, _)| !key.starts_with("llama.") && key != "general.architecture");
    for (key, value) in metadata {
        if !all.iter().any(|(k, _)| *k == key) {
            put(&mut all, &key, value);
        }
    }
    if tokens.bos.is_none() {
        all.retain(|(key, _)| key != "tokenizer.ggml.bos_token_id");
    }
    let reader = Shard::open(file.path())?;
    Ok(Source {
        path: file.path().to_path_buf(),
        metadata: all,
        entries,
        store: Store::Gguf(Box::new(file), reader),
    })
}

/// The backbone of an assistant file as a `llama` file that llama.cpp reads.
///
/// # Errors
/// The file is no assistant; a tensor is missing.
pub fn backbone_alone(file: GgufFile) -> Result<Source> {
    let wrong = |e: Error| Error::format(file.path(), e.to_string());
    let config =
        AssistantConfig::from_metadata(&|key| file.metadata(key).cloned()).map_err(wrong)?;
    let mut specs = names::backbone(&config.backbone)?;
    specs.extend(
        config
            .backbone
            .rope_factors
            .then(|| names::rope_freqs(&config.backbone)),
    );
    let entries = picked(&file, &specs)?;
    let own = format!("{ASSISTANT_ARCHITECTURE}.");
    let mut metadata = vec![(
        "general.architecture".to_owned(),
        MetaValue::String(PLAIN_ARCHITECTURE.into()),
    )];
    config.backbone.write(&mut metadata, PLAIN_ARCHITECTURE)?;
    metadata.retain(|(key, _)| {
        !key.ends_with(".rope.frequency_factors") && !key.ends_with(".tied_output")
    });
    for (key, value) in &file.header().metadata {
        if !key.starts_with(&own) && key != "general.architecture" {
            put(&mut metadata, key, value.clone());
        }
    }
    let reader = Shard::open(file.path())?;
    Ok(Source {
        path: file.path().to_path_buf(),
        metadata,
        entries,
        store: Store::Gguf(Box::new(file), reader),
    })
}

fn picked(file: &GgufFile, specs: &[TensorSpec]) -> Result<Vec<Entry>> {
    let entry = |spec: &TensorSpec| {
        let info = file.tensor(&spec.gguf);
        let info = info.ok_or_else(|| {
            Error::format(
                file.path(),
                format!("tensor `{}`: found none, expected one", spec.gguf),
            )
        })?;
        if info.shape != spec.shape {
            let why = format!(
                "tensor `{}`: found shape {:?}, expected {:?}",
                spec.gguf, info.shape, spec.shape
            );
            return Err(Error::format(file.path(), why));
        }
        Ok(Entry::of_gguf(info))
    };
    specs.iter().map(entry).collect()
}

/// llama.cpp's hyper-parameters, with its defaults for what may be left out.
fn backbone_of(file: &GgufFile) -> Result<BackboneConfig> {
    let size = |name: &str| {
        file.metadata(&format!("llama.{name}"))
            .and_then(MetaValue::as_u64)
            .map(|v| v as usize)
    };
    let need = |name: &str| {
        size(name).ok_or_else(|| {
            Error::format(
                file.path(),
                format!("metadata key llama.{name}: found none, expected an integer"),
            )
        })
    };
    let float = |name: &str| {
        file.metadata(&format!("llama.{name}"))
            .and_then(MetaValue::as_f64)
    };
    for (key, refused) in [
        ("expert_count", size("expert_count").is_some_and(|n| n > 0)),
        (
            "rope.scaling.type",
            matches!(file.metadata("llama.rope.scaling.type"), Some(MetaValue::String(s)) if s != "none"),
        ),
    ] {
        if refused {
            return Err(Error::format(
                file.path(),
                format!("metadata key llama.{key}: a kind of Llama that is not supported"),
            ));
        }
    }
    let (heads, width) = (need("attention.head_count")?, need("embedding_length")?);
    let rows = file
        .tensor("token_embd.weight")
        .and_then(|t| t.shape.first().copied());
    let eps = float("attention.layer_norm_rms_epsilon");
    let config = BackboneConfig {
        block_count: need("block_count")?,
        embedding_length: width,
        feed_forward_length: need("feed_forward_length")?,
        head_count: heads,
        head_count_kv: size("attention.head_count_kv").unwrap_or(heads),
        key_length: size("attention.key_length")
            .or(width.checked_div(heads))
            .unwrap_or(0),
        context_length: need("context_length")?,
        rope_freq_base: float("rope.freq_base").unwrap_or(1e4),
        rope_factors: file.tensor(names::ROPE_FREQS).is_some(),
        rms_eps: eps.ok_or_else(|| {
            Error::format(
                file.path(),
                "metadata key llama.attention.layer_norm_rms_epsilon: found none",
            )
        })?,
        vocab_size: rows.ok_or_else(|| {
            Error::format(
                file.path(),
                "tensor `token_embd.weight`: found none, expected one",
            )
        })?,
        tied_output: file.tensor("output.weight").is_none(),
    };
    config
        .validate()
        .map_err(|e| Error::format(file.path(), e.to_string()))?;
    Ok(config)
}

/// The ids of the special tokens; what the layout needs and the file has not is added to the
/// metadata.
fn tokens_of(file: &GgufFile, metadata: &mut [(String, MetaValue)], rows: usize) -> Result<Tokens> {
    let fail = |why: &str| Error::format(file.path(), why.to_owned());
    let id = |name: &str| {
        file.metadata(&format!("tokenizer.ggml.{name}"))
            .and_then(MetaValue::as_u64)
            .map(|id| id as u32)
    };
    let text = |name: &str| match file.metadata(&format!("tokenizer.ggml.{name}")) {
        Some(MetaValue::String(text)) => text.as_str(),
        _ => "",
    };
    let Some(MetaValue::Array(tokens)) = file.metadata("tokenizer.ggml.tokens") else {
        return Err(fail(
            "metadata key tokenizer.ggml.tokens: found none, expected the vocabulary",
        ));
    };
    if tokens.len() != rows {
        return Err(fail(&format!(
            "tokenizer.ggml.tokens: {} items, expected {rows}, one a row of token_embd.weight",
            tokens.len()
        )));
    }
    let find = |text: &str| {
        tokens
            .iter()
            .position(|t| matches!(t, MetaValue::String(t) if t == text))
            .map(|id| id as u32)
    };
    // As llama.cpp does where the file does not say.
    let begins = match file.metadata("tokenizer.ggml.add_bos_token") {
        Some(MetaValue::Bool(begins)) => *begins,
        _ => text("model") == "llama" || text("pre") == "llama-bpe",
    };
    let eot = id("eot_token_id")
        .or_else(|| find(TURN_END))
        .or_else(|| id("eos_token_id"));
    let eot = eot.ok_or_else(|| {
        fail("metadata key tokenizer.ggml.eos_token_id: found none, expected the end of a turn")
    })?;
    let mut next = rows as u32;
    let mut layout = [0; 3];
    for (place, text) in layout.iter_mut().zip(LAYOUT_TOKENS) {
        *place = find(text).unwrap_or(next);
        if *place == next {
            add_token(metadata, next, text).map_err(|why| fail(&why))?;
            next += 1;
        }
    }
    Ok(Tokens {
        bos: id("bos_token_id").filter(|_| begins),
        eot,
        layout,
    })
}

/// A new special token at the end of every list that has one item a token.
fn add_token(
    metadata: &mut [(String, MetaValue)],
    id: u32,
    text: &str,
) -> std::result::Result<(), String> {
    for (key, value) in metadata {
        match (key.strip_prefix("tokenizer."), value) {
            (Some("ggml.tokens"), MetaValue::Array(items)) => {
                items.push(MetaValue::String(text.into()))
            }
            (Some("ggml.token_type"), MetaValue::Array(items)) => {
                items.push(MetaValue::I32(kind::CONTROL as i32))
            }
            (Some("ggml.scores"), MetaValue::Array(items)) => items.push(MetaValue::F32(0.0)),
            (Some("huggingface.json"), MetaValue::String(json)) => {
                let mut parsed: serde_json::Value =
                    serde_json::from_str(json).map_err(|e| format!("{key}: {e}"))?;
                let added = parsed["added_tokens"]
                    .as_array_mut()
                    .ok_or_else(|| format!("{key}: no added_tokens"))?;
                added.push(added_token(id as usize, text, true));
                *json = parsed.to_string();
            }
            _ => {}
        }
    }
    Ok(())
}
