//! A PEFT adapter (LoRA): which tensors it replaces, which it adds a low-rank product to.
//!
//! Source: `peft/tuners/lora/layer.py`: `W + (alpha / r) B A`, with rsLoRA `alpha / sqrt(r)`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::folder::refuse_left;
use super::names::TensorSpec;
use super::shards::Shards;
use super::source::{Lora, Origin};
use proact::error::{Error, Result};

/// What PEFT puts before the base model's names.
const PREFIX: &str = "base_model.model.";

/// `adapter_config.json`, as far as it decides arithmetic.
#[derive(Deserialize)]
struct AdapterJson {
    peft_type: String,
    r: u32,
    lora_alpha: f32,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    rank_pattern: Option<Value>,
    #[serde(default)]
    alpha_pattern: Option<Value>,
}

/// An adapter's tensors.
pub(super) struct Adapter {
    path: PathBuf,
    shards: Shards,
    /// Name in the base model (with `lora_A` and `lora_B` in it for products) -> name in the file.
    names: BTreeMap<String, String>,
    scale: f32,
}

impl Adapter {
    /// Opens `adapter_config.json` and `adapter_model.safetensors`.
    ///
    /// # Errors
    /// Not LoRA, or a kind of it that is not a plain sum.
    pub fn open(path: &Path) -> Result<Self> {
        let config_path = path.join("adapter_config.json");
        let text = std::fs::read_to_string(&config_path).map_err(Error::io(&config_path))?;
        let config: AdapterJson =
            serde_json::from_str(&text).map_err(|e| Error::format(&config_path, e.to_string()))?;
        let empty = |v: &Option<Value>| {
            v.as_ref()
                .is_none_or(|v| v.is_null() || v.as_object().is_some_and(|o| o.is_empty()))
        };
        for (key, sound) in [
            ("peft_type: expected LORA", config.peft_type == "LORA"),
            ("r: expected 1 or more", config.r > 0),
            ("use_dora: expected false", !config.use_dora),
            ("fan_in_fan_out: expected false", !config.fan_in_fan_out),
            ("rank_pattern: expected none", empty(&config.rank_pattern)),
            ("alpha_pattern: expected none", empty(&config.alpha_pattern)),
        ] {
            if !sound {
                return Err(Error::format(&config_path, key));
            }
        }
        let shards = Shards::open(path, "adapter_model")?;
        let plain = |name: &str| {
            let name = name.strip_prefix(PREFIX).unwrap_or(name);
            name.replace(".modules_to_save.", ".")
                .replace(".modules_to_save", "")
                .replace(".default.", ".")
        };
        let names = shards
            .names()
            .map(|name| (plain(name), name.to_owned()))
            .collect();
        let rank = config.r as f32;
        let scale = config.lora_alpha / if config.use_rslora { rank.sqrt() } else { rank };
        Ok(Self {
            path: path.to_path_buf(),
            shards,
            names,
            scale,
        })
    }

    /// Shape of a tensor that the adapter holds whole, or beneath its own addition.
    pub fn whole_shape(&self, name: &str) -> Option<Vec<usize>> {
        let beneath = format!(
            "{}.base_layer.weight",
            name.strip_suffix(".weight").unwrap_or(name)
        );
        let (shape, _) = self
            .shards
            .info(self.names.get(name).or_else(|| self.names.get(&beneath))?)?;
        Some(shape.to_vec())
    }

    /// Whether it replaces a weight or adds to it.
    pub fn changes(&self, weight: &str) -> bool {
        let layer = weight.strip_suffix(".weight").unwrap_or(weight);
        [weight.to_owned(), format!("{layer}.lora_A.weight")]
            .iter()
            .any(|name| self.names.contains_key(name))
    }

    /// Where a tensor's values come from, which the base model has under the name `stored`; notes
    /// in `used` what of the adapter it takes.
    pub fn origin(
        &self,
        spec: &TensorSpec,
        stored: &str,
        used: &mut Vec<String>,
    ) -> Result<Origin> {
        let change = spec.change;
        if let Some(name) = self.names.get(&spec.hf) {
            used.push(spec.hf.clone());
            return Ok(Origin::Adapter {
                name: name.clone(),
                change,
            });
        }
        let layer = spec.hf.strip_suffix(".weight").unwrap_or(&spec.hf);
        let (a, b) = (
            format!("{layer}.lora_A.weight"),
            format!("{layer}.lora_B.weight"),
        );
        match (self.names.get(&a), self.names.get(&b)) {
            (Some(name_a), Some(name_b)) => {
                let lora = Lora {
                    a: name_a.clone(),
                    b: name_b.clone(),
                    scale: self.scale,
                };
                used.extend([a, b]);
                // Where the output or the token table is adapted, PEFT saves the weight beneath as
                // well.
                let beneath = format!("{layer}.base_layer.weight");
                Ok(match self.names.get(&beneath) {
                    Some(name) => {
                        used.push(beneath);
                        Origin::Merged {
                            name: name.clone(),
                            in_adapter: true,
                            lora,
                            change,
                        }
                    }
                    None => Origin::Merged {
                        name: stored.to_owned(),
                        in_adapter: false,
                        lora,
                        change,
                    },
                })
            }
            (None, None) => Ok(Origin::Read {
                name: stored.to_owned(),
                change,
            }),
            _ => Err(Error::format(
                &self.path,
                format!("tensors `{a}` and `{b}`: found one, expected both or none"),
            )),
        }
    }

    /// Every tensor of the adapter must have found its place.
    pub fn refuse_unused(&self, used: &[String]) -> Result<()> {
        let left: Vec<&str> = self
            .names
            .keys()
            .filter(|name| !used.contains(name))
            .map(String::as_str)
            .collect();
        refuse_left(&self.path, &left, "the base model")
    }

    /// Its files.
    pub fn into_shards(self) -> Shards {
        self.shards
    }
}
