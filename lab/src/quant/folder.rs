//! What kind of model a folder holds, and its tensors: this project's checkpoints and Hugging
//! Face's Llama, DSTProAct, SigLIP, and a PEFT adapter on its base.

use std::path::Path;

use serde_json::Value;

use super::adapter::Adapter;
use super::backbone::{self, VisionTokens};
use super::llama::Model;
use super::names::{self, TensorSpec};
use super::shards::Shards;
use super::source::{Change, Entry, Origin, Source, Store};
use super::vocabulary::{Vocabulary, read_json};
use super::{llama, siglip};
use proact::error::{Error, Result};
use proact::model::config::{AssistantConfig, TextConfig, VisionConfig};
use proact::model::gguf::{GgufFile, MetaValue};

/// What a source needs besides its path.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inputs<'a> {
    /// Folder of the model under a PEFT adapter.
    pub base: Option<&'a Path>,
    /// Makes a Llama alone the backbone of an assistant that sees with this; without it, it stays a
    /// Llama.
    pub vision_tokens: Option<VisionTokens>,
}

type Pairs = Vec<(String, MetaValue)>;

/// The token table at Hugging Face.
const EMBEDDING: &str = "model.embed_tokens.weight";
/// The output at Hugging Face; a tied one is the token table.
const OUTPUT: &str = "lm_head.weight";
/// What stands before the names of the picture tower's tensors at Hugging Face.
const VISION_PART: &str = "vision_model.";
/// Tensors of a vision checkpoint without a text tower that only its training needs.
const TRAINING_ONLY: &[&str] = &["t.", "logit_scale", "logit_bias"];
/// Tensors of Hugging Face's files that follow from the configuration or belong to a part that is
/// not used.
const NOT_NEEDED: &[&str] = &["text_model.", "logit_scale", "logit_bias"];
/// The same, by the end of their names.
const NOT_NEEDED_ENDS: &[&str] = &["rotary_emb.inv_freq", "embeddings.position_ids"];

impl Source {
    /// Opens a GGUF file, a checkpoint folder, or a Hugging Face folder.
    ///
    /// # Errors
    /// The path holds none of these, or one that is not whole: the message names file, key or
    /// tensor.
    pub fn open(path: impl AsRef<Path>, inputs: &Inputs<'_>) -> Result<Self> {
        let path = path.as_ref();
        if path.is_file() {
            let file = GgufFile::open(path)?;
            let llama = MetaValue::String(llama::PLAIN_ARCHITECTURE.into());
            return match inputs
                .vision_tokens
                .filter(|_| file.metadata("general.architecture") == Some(&llama))
            {
                Some(vision_tokens) => backbone::of_llama(file, vision_tokens),
                None => Self::of_gguf(file),
            };
        }
        if path.join("adapter_config.json").exists() {
            let base = inputs.base.ok_or_else(|| {
                Error::format(
                    path.join("adapter_config.json"),
                    "a PEFT adapter: the folder of its base model is needed (--base)",
                )
            })?;
            return adapted(path, base);
        }
        let config_path = path.join("config.json");
        let text = std::fs::read_to_string(&config_path).map_err(Error::io(&config_path))?;
        let config: Value =
            serde_json::from_str(&text).map_err(|e| Error::format(&config_path, e.to_string()))?;
        let model_type = config["model_type"].as_str().unwrap_or_default();
        match model_type {
            _ if config.get("backbone").is_some() => assistant_checkpoint(path, &text),
            _ if config.get("patch_grids").is_some() => vision_checkpoint(path, &config, None),
            _ if config["vision"].get("patch_grids").is_some() => {
                vision_checkpoint(path, &config["vision"], config.get("text"))
            }
            "siglip" | "siglip_vision_model" => hf_vision(path, &config),
            _ if config.get("num_key_value_heads").is_some() || model_type == "llama" => {
                hf_llama(path, &config, inputs.vision_tokens)
            }
            _ => Err(Error::format(
                &config_path,
                format!(
                    "model_type: found {model_type:?}, expected llama, siglip, siglip_vision_model or a checkpoint of proact"
                ),
            )),
        }
    }
}

fn assistant_checkpoint(path: &Path, config: &str) -> Result<Source> {
    let config = AssistantConfig::from_json(config)?;
    let shards = Shards::open(path, "model")?;
    let mut specs = names::assistant(&config)?;
    if config.backbone.rope_factors {
        specs.push(names::rope_freqs(&config.backbone));
    }
    let entries = entries(&shards, specs, |spec| spec.gguf.clone(), false, &[])?;
    let mut metadata = config.to_metadata()?;
    name_it(&mut metadata, path, "model");
    metadata.extend(Vocabulary::open(path)?.metadata(config.backbone.vocab_size)?);
    metadata.push((
        "tokenizer.ggml.eos_token_id".into(),
        MetaValue::U32(config.tokens.eot.0),
    ));
    Ok(Source {
        path: path.to_path_buf(),
        metadata,
        entries,
        store: Store::Shards(Box::new(shards)),
    })
}

/// The picture tower, and the text tower with its tokenizer where the configuration has one.
fn vision_checkpoint(path: &Path, config: &Value, text: Option<&Value>) -> Result<Source> {
    let of = |e: serde_json::Error| Error::format(path.join("config.json"), e.to_string());
    let config: VisionConfig = serde_json::from_value(config.clone()).map_err(of)?;
    config.validate()?;
    let text: Option<TextConfig> = text
        .map(|text| serde_json::from_value(text.clone()).map_err(of))
        .transpose()?;
    let shards = Shards::open(path, "model")?;
    let mut metadata = config.to_metadata()?;
    name_it(&mut metadata, path, "mmproj");
    let mut specs = names::vision(&config)?;
    if let Some(text) = &text {
        specs.extend(names::text(text)?);
        metadata.extend(text.to_metadata()?);
        metadata.push(Vocabulary::open(path)?.whole());
    }
    let unused = if text.is_some() { &[] } else { TRAINING_ONLY };
    let entries = entries(&shards, specs, |spec| spec.gguf.clone(), false, unused)?;
    Ok(Source {
        path: path.to_path_buf(),
        metadata,
        entries,
        store: Store::Shards(Box::new(shards)),
    })
}

fn hf_vision(path: &Path, config: &Value) -> Result<Source> {
    let config = siglip::config(path, config)?;
    let shards = Shards::open(path, "model")?;
    // transformers 5 writes a vision model alone without the name of the part.
    let part = if shards.names().any(|name| name.starts_with(VISION_PART)) {
        VISION_PART
    } else {
        ""
    };
    let hf = |spec: &TensorSpec| format!("{part}{}", spec.hf);
    let entries = entries(&shards, names::vision(&config)?, hf, true, NOT_NEEDED)?;
    let mut metadata = config.to_metadata()?;
    name_it(&mut metadata, path, "mmproj");
    Ok(Source {
        path: path.to_path_buf(),
        metadata,
        entries,
        store: Store::Shards(Box::new(shards)),
    })
}

fn hf_llama(path: &Path, config: &Value, vision_tokens: Option<VisionTokens>) -> Result<Source> {
    let shards = Shards::open(path, "model")?;
    let mut vocabulary = Vocabulary::open(path)?;
    let tied = config["tie_word_embeddings"].as_bool() == Some(true);
    // A tied output may be stored all the same.
    let mut unused = if tied { vec![OUTPUT] } else { Vec::new() };
    // An output for updates that was never trained apart from the other one is the other one.
    let update_output = names::update_output();
    if shards.same(&update_output, if tied { EMBEDDING } else { OUTPUT })? {
        unused.push(&update_output);
    }
    let shape = |name: &str| {
        shards
            .info(name)
            .filter(|_| !unused.contains(&name))
            .map(|(shape, _)| shape.to_vec())
    };
    let model = llama::read(path, config, &shape, &vocabulary)?;
    let mut entries = entries(
        &shards,
        model.specs()?,
        |spec| spec.hf.clone(),
        true,
        &unused,
    )?;
    entries.extend(model.rope_entry());
    let (mut metadata, rows) = match (&model, vision_tokens) {
        (
            Model::Plain {
                backbone, bos, eos, ..
            },
            Some(vision_tokens),
        ) => {
            let layout = backbone::LAYOUT_TOKENS.map(|text| vocabulary.id_or_new(text));
            let bos = bos.filter(|&id| vocabulary.begins_with(id));
            // A Llama 3's text ends with another token than a turn of its chat, and its config.json
            // lists both.
            let eot = vocabulary.id(backbone::TURN_END).unwrap_or(*eos);
            let tokens = backbone::Tokens { bos, eot, layout };
            let config = backbone::furnish(&mut entries, backbone.clone(), &tokens, vision_tokens)?;
            let mut metadata = config.to_metadata()?;
            metadata.push(("tokenizer.ggml.eos_token_id".into(), MetaValue::U32(*eos)));
            (metadata, config.backbone.vocab_size)
        }
        _ => (model.metadata()?, model.backbone().vocab_size),
    };
    name_it(&mut metadata, path, "model");
    metadata.extend(vocabulary.metadata(rows)?);
    Ok(Source {
        path: path.to_path_buf(),
        metadata,
        entries,
        store: Store::Shards(Box::new(shards)),
    })
}

/// PEFT saves what it trained; everything else is the base model's.
fn adapted(path: &Path, base: &Path) -> Result<Source> {
    let adapter = Adapter::open(path)?;
    let shards = Shards::open(base, "model")?;
    // The adapter's own configuration and tokenizer go before the base model's.
    let mut config = read_json(&base.join("config.json"))?;
    if let (Value::Object(config), Value::Object(own)) =
        (&mut config, read_json(&path.join("config.json"))?)
    {
        config.extend(own);
    }
    let vocabulary = Vocabulary::open(if path.join("tokenizer.json").exists() {
        path
    } else {
        base
    })?;
    // An output that was trained apart from the token table is no longer tied to it, and began as
    // the table.
    let untied = config["tie_word_embeddings"].as_bool() == Some(true) && adapter.changes(OUTPUT);
    if untied {
        config["tie_word_embeddings"] = false.into();
    }
    let stored = |name: &str| {
        if untied && name == OUTPUT {
            EMBEDDING.to_owned()
        } else {
            name.to_owned()
        }
    };
    let shape = |name: &str| {
        adapter
            .whole_shape(name)
            .or_else(|| shards.info(&stored(name)).map(|(shape, _)| shape.to_vec()))
    };
    let model = llama::read(path, &config, &shape, &vocabulary)?;
    let mut entries = Vec::new();
    let mut used = Vec::new();
    for spec in model.specs()? {
        let origin = adapter.origin(&spec, &stored(&spec.hf), &mut used)?;
        let found = shape(&spec.hf);
        let found = found.ok_or_else(|| missing(base, &spec.hf))?;
        check_shape(path, &spec.hf, &found, &spec)?;
        let stored_as = shards
            .info(&stored(&spec.hf))
            .map_or("F32".to_owned(), |(_, dtype)| format!("{dtype:?}"));
        entries.push(Entry {
            name: spec.gguf,
            shape: spec.shape,
            stored_as,
            origin,
        });
    }
    adapter.refuse_unused(&used)?;
    entries.extend(model.rope_entry());
    let mut metadata = model.metadata()?;
    name_it(&mut metadata, path, "model");
    metadata.extend(vocabulary.metadata(model.backbone().vocab_size)?);
    let store = Store::Adapted {
        base: Box::new(shards),
        adapter: Box::new(adapter.into_shards()),
    };
    Ok(Source {
        path: path.to_path_buf(),
        metadata,
        entries,
        store,
    })
}

/// `general.type` and `general.name` behind `general.architecture`.
fn name_it(metadata: &mut Pairs, path: &Path, kind: &str) {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    metadata.insert(1, ("general.type".into(), MetaValue::String(kind.into())));
    metadata.insert(2, ("general.name".into(), MetaValue::String(name)));
}

fn missing(path: &Path, name: &str) -> Error {
    Error::format(path, format!("tensor `{name}`: found none, expected one"))
}

/// Finds each tensor, checks its shape, and refuses tensors that nobody asked for.
fn entries(
    shards: &Shards,
    specs: Vec<TensorSpec>,
    name_of: impl Fn(&TensorSpec) -> String,
    changed: bool,
    unused: &[&str],
) -> Result<Vec<Entry>> {
    let mut taken = std::collections::HashSet::new();
    let mut entries = Vec::with_capacity(specs.len());
    for mut spec in specs {
        let name = name_of(&spec);
        if !changed {
            spec.change = Change::Keep;
        }
        let (found, dtype) = shards
            .info(&name)
            .ok_or_else(|| missing(shards.path(), &name))?;
        check_shape(shards.path(), &name, found, &spec)?;
        taken.insert(name.clone());
        let origin = Origin::Read {
            name,
            change: spec.change,
        };
        entries.push(Entry {
            name: spec.gguf,
            shape: spec.shape,
            stored_as: format!("{dtype:?}"),
            origin,
        });
    }
    let known = |name: &str| {
        taken.contains(name)
            || unused.iter().any(|start| name.starts_with(start))
            || NOT_NEEDED_ENDS.iter().any(|end| name.ends_with(end))
    };
    let left: Vec<&str> = shards.names().filter(|name| !known(name)).collect();
    refuse_left(shards.path(), &left, "the model that config.json describes")?;
    Ok(entries)
}

/// Tensors that nobody asked for are an error that lists them.
pub(super) fn refuse_left(path: &Path, left: &[&str], of: &str) -> Result<()> {
    const LISTED: usize = 20;
    if left.is_empty() {
        return Ok(());
    }
    let listed: Vec<String> = left
        .iter()
        .take(LISTED)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = if left.len() > LISTED {
        format!(" and {} more", left.len() - LISTED)
    } else {
        String::new()
    };
    let noun = if left.len() == 1 { "tensor" } else { "tensors" };
    Err(Error::format(
        path,
        format!("{noun} {}{more}: not part of {of}", listed.join(", ")),
    ))
}

/// The stored shape is the tensor's before its change; dimensions of 1 do not count (SigLIP's probe
/// is `[1, 1, Dv]`).
fn check_shape(path: &Path, name: &str, found: &[usize], spec: &TensorSpec) -> Result<()> {
    let mut expected = spec.shape.clone();
    if let (Change::Part { parts, .. }, Some(first)) = (spec.change, expected.first_mut()) {
        *first *= parts;
    }
    let bare = |shape: &[usize]| {
        shape
            .iter()
            .copied()
            .filter(|&d| d != 1)
            .collect::<Vec<_>>()
    };
    if bare(found) != bare(&expected) {
        return Err(Error::format(
            path,
            format!("tensor `{name}`: found shape {found:?}, expected {expected:?}"),
        ));
    }
    Ok(())
}
