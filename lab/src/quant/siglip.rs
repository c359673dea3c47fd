//! Hugging Face's configuration of a SigLIP model as this project's.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::vocabulary::read_json;
use proact::error::{Error, Result};
use proact::model::config::VisionConfig;

/// Mean and deviation of a colour where no `preprocessor_config.json` says otherwise: SigLIP's own.
const HALF: [f32; 3] = [0.5; 3];

/// `vision_config` of a `SiglipModel`, or the whole of a `SiglipVisionModel`. Defaults are those of
/// transformers' `SiglipVisionConfig`, which leaves equal values out of the file.
#[derive(Deserialize)]
#[serde(default)]
struct SiglipJson {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    image_size: usize,
    patch_size: usize,
    layer_norm_eps: f64,
    hidden_act: String,
    vision_use_head: bool,
}

impl Default for SiglipJson {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            image_size: 224,
            patch_size: 16,
            layer_norm_eps: 1e-6,
            hidden_act: "gelu_pytorch_tanh".into(),
            vision_use_head: true,
        }
    }
}

/// Reads `config.json`'s value and `preprocessor_config.json`.
pub(super) fn config(folder: &Path, json: &Value) -> Result<VisionConfig> {
    let path = folder.join("config.json");
    let vision = json.get("vision_config").unwrap_or(json);
    let hf: SiglipJson =
        serde_json::from_value(vision.clone()).map_err(|e| Error::format(&path, e.to_string()))?;
    if hf.hidden_act != "gelu_pytorch_tanh" {
        return Err(Error::format(
            &path,
            format!(
                "hidden_act: found {:?}, expected gelu_pytorch_tanh",
                hf.hidden_act
            ),
        ));
    }
    let preprocessor = folder.join("preprocessor_config.json");
    let colours = read_json(&preprocessor)?;
    let config = VisionConfig {
        image_size: hf.image_size,
        patch_size: hf.patch_size,
        embedding_length: hf.hidden_size,
        feed_forward_length: hf.intermediate_size,
        block_count: hf.num_hidden_layers,
        head_count: hf.num_attention_heads,
        layer_norm_eps: hf.layer_norm_eps,
        mean: rgb(&preprocessor, &colours, "image_mean")?,
        std: rgb(&preprocessor, &colours, "image_std")?,
        pool_head: hf.vision_use_head,
        patch_grids: Vec::new(),
    };
    config.validate()?;
    Ok(config)
}

fn rgb(path: &Path, json: &Value, key: &str) -> Result<[f32; 3]> {
    let Some(value) = json.get(key) else {
        return Ok(HALF);
    };
    let values = value.as_array().map(|v| {
        v.iter()
            .map(|v| v.as_f64().map(|v| v as f32))
            .collect::<Option<Vec<_>>>()
    });
    let values = values.flatten().and_then(|v| v.try_into().ok());
    values.ok_or_else(|| Error::format(path, format!("{key}: found {value}, expected 3 numbers")))
}
