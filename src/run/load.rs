//! From two GGUF files to a model that a session can use: open, check, build.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, bail};
use candle_core::{DType, Device, Tensor};

use super::settings::Settings;
use super::timing::{Shared, Timed};
use crate::dialogue::layout::LayoutName;
use crate::error::{Error, Result};
use crate::model::Perceiver;
use crate::model::assistant::Assistant;
use crate::model::config::{AssistantConfig, TextConfig, VisionConfig};
use crate::model::encoder::Vision;
use crate::model::gguf::{GgufFile, TensorInfo};
use crate::model::metadata::MetaValue;
use crate::model::preprocess::Preprocess;
use crate::model::siglip::Siglip;
use crate::model::text::{TextReader, TextTower};
use crate::model::tokenizer::{Tokenizer, TokenizerCodec, ggml};
use crate::model::weights::{Stored, Weights};
use crate::session::{SessionConfig, SharedCodec};

/// Memory is allocated at once, and a Llama 3 could fill 131072 positions; ProAssist and its
/// extension run in this many.
const MEMORY_TOKENS_MAX: usize = 4096;
/// Key of the whole `tokenizer.json`.
const TOKENIZER_KEY: &str = "tokenizer.huggingface.json";
/// Environment variable that candle and rayon read.
const THREADS_VARIABLE: &str = "RAYON_NUM_THREADS";
/// A model file below this size is computed on one thread unless asked otherwise.
const SMALL_MODEL_BYTES: u64 = 64 << 20;
/// Key of the chat template.
const TEMPLATE_KEY: &str = "tokenizer.chat_template";

/// A model, ready for a session.
pub struct Loaded {
    /// Encoder; every call is timed. None where the assistant names none: it takes features only.
    pub vision: Option<Arc<Timed<Siglip>>>,
    /// Backbone, projector and heads; every call is timed.
    pub assistant: Arc<Timed<Assistant>>,
    /// Words to tokens and back.
    pub codec: SharedCodec,
    /// What the assistant file says of itself: sizes, gates, how it was calibrated.
    pub config: AssistantConfig,
    /// Numbers that stand for a frame: V * Dv.
    pub frame_width: usize,
    /// SHA-256 of the assistant file, in hex.
    pub model_sha256: String,
    /// SHA-256 of the vision file, in hex.
    pub vision_sha256: String,
    /// The type that most of the assistant's numbers are stored in, such as `Q4_0`.
    pub quantization: String,
}

impl Loaded {
    /// What a session with this model is told: the settings over the model's own gates, and which
    /// files it is.
    pub fn session_config(&self, settings: &Settings) -> SessionConfig {
        SessionConfig {
            model_sha256: self.model_sha256.clone(),
            vision_sha256: self.vision_sha256.clone(),
            ..settings.session_config(&self.config)
        }
    }
}

/// A vision model by itself, for `encode`.
pub struct LoadedVision {
    /// The encoder.
    pub vision: Siglip,
    /// SHA-256 of its file, in hex.
    pub sha256: String,
}

/// Opens an assistant and the vision model that belongs to it.
///
/// # Errors
/// A file is missing, broken, of another architecture, or not the one that the assistant was
/// trained with.
pub fn open(assistant: &Path, vision: Option<&Path>, meter: &Shared) -> anyhow::Result<Loaded> {
    let (file, config) = open_assistant(assistant)?;
    // A model that names none was made from features, and takes features only.
    let vision_path = match (vision, &config.vision) {
        (Some(path), _) => Some(path.to_path_buf()),
        (None, Some(_)) => Some(beside(assistant, &config)?),
        (None, None) => None,
    };
    // Hashing reads every byte of both files: the second core takes one of them.
    let (model_sha256, vision) = thread::scope(|scope| {
        let hash = scope.spawn(|| file.sha256());
        let vision = vision_path.as_deref().map(open_vision).transpose();
        (hash.join(), vision)
    });
    let model_sha256 =
        model_sha256.map_err(|_| anyhow::anyhow!("hashing {} panicked", assistant.display()))?;
    let mut vision = vision?;
    if config.layout == LayoutName::Proassist {
        vision = vision.map(|mut of| {
            of.vision.vision = of.vision.vision.with_preprocess(Preprocess::Proassist);
            of
        });
    }
    if let (Some(vision), Some(path)) = (&vision, &vision_path) {
        check_pair(assistant, &config, path, vision)?;
    }
    let codec = open_codec(&file, &config)?;
    let quantization = quantization(&file);
    let weights = Weights::new(file, &Device::Cpu);
    let memory_tokens = config.backbone.context_length.min(MEMORY_TOKENS_MAX);
    let model =
        Assistant::new(&config, &weights).and_then(|model| model.with_memory_tokens(memory_tokens));
    let model = model.with_context(|| assistant.display().to_string())?;
    Ok(Loaded {
        vision_sha256: vision
            .as_ref()
            .map(|vision| vision.sha256.clone())
            .unwrap_or_default(),
        vision: vision.map(|vision| Arc::new(Timed::new(vision.vision, meter))),
        assistant: Arc::new(Timed::new(model, meter)),
        codec: Arc::new(codec),
        frame_width: config.tokens_per_frame * config.vision_length,
        config,
        model_sha256,
        quantization,
    })
}

/// The type that most numbers of a file are stored in.
fn quantization(file: &GgufFile) -> String {
    let mut values: HashMap<String, usize> = HashMap::new();
    for tensor in file.tensors() {
        *values.entry(tensor.ty.to_string()).or_default() += tensor.shape.iter().product::<usize>();
    }
    values
        .into_iter()
        .max_by_key(|(name, values)| (*values, name.clone()))
        .map(|(name, _)| name)
        .unwrap_or_default()
}

/// The header of an assistant file and what it says.
fn open_assistant(path: &Path) -> anyhow::Result<(GgufFile, AssistantConfig)> {
    let file = open_file(path, "--model")?;
    let config = AssistantConfig::from_metadata(&|key| file.metadata(key).cloned())
        .with_context(|| path.display().to_string())?;
    Ok((file, config))
}

/// The vision file has to be the one that the assistant was trained with.
fn check_pair(
    assistant: &Path,
    config: &AssistantConfig,
    path: &Path,
    vision: &LoadedVision,
) -> Result<()> {
    let name = assistant.display();
    if let Some(wanted) = config
        .vision
        .as_ref()
        .map(|v| &v.sha256)
        .filter(|wanted| **wanted != vision.sha256)
    {
        let found = &vision.sha256;
        let why = format!(
            "found SHA-256 {found}, expected {wanted}: {name} was trained with another vision model"
        );
        return Err(Error::format(path, why));
    }
    let (given, read) = (vision.vision.tokens_per_frame(), config.tokens_per_frame);
    let (width, read_width) = (vision.vision.width(), config.vision_length);
    if (given, width) != (read, read_width) {
        let why = format!(
            "gives {given} tokens of width {width} a frame, {name} reads {read} of width {read_width}"
        );
        return Err(Error::format(path, why));
    }
    if config.step_evidence && vision.vision.text.is_none() {
        return Err(Error::format(
            path,
            format!(
                "has no text tower, which {name} needs to compare frames with the steps' words"
            ),
        ));
    }
    Ok(())
}

/// Opens a vision model.
///
/// # Errors
/// The file is missing, broken, or no vision model.
pub fn open_vision(path: &Path) -> anyhow::Result<LoadedVision> {
    let file = open_file(path, "--vision")?;
    let name = || path.display().to_string();
    let config =
        VisionConfig::from_metadata(&|key| file.metadata(key).cloned()).with_context(name)?;
    let sha256 = file.sha256();
    let text = text_parts(&file).with_context(name)?;
    let weights = Weights::new(file, &Device::Cpu);
    let vision = towers(&config, text, &weights).with_context(name)?;
    weights.finish().with_context(name)?;
    Ok(LoadedVision { vision, sha256 })
}

/// What a vision file says of its text tower, and its tokenizer.
fn text_parts(file: &GgufFile) -> anyhow::Result<Option<(TextConfig, Tokenizer)>> {
    let Some(config) = TextConfig::from_metadata(&|key| file.metadata(key).cloned())? else {
        return Ok(None);
    };
    let json = tokenizer_json(file)?;
    Ok(Some((config, Tokenizer::new(json.as_bytes(), None)?)))
}

/// Both towers of a vision file, or the one that it has.
fn towers(
    config: &VisionConfig,
    text: Option<(TextConfig, Tokenizer)>,
    weights: &Weights,
) -> Result<Siglip> {
    let vision = Vision::new(config, weights)?;
    let text = text.map(|(text, tokenizer)| {
        if text.projection_length != config.embedding_length {
            let (found, expected) = (text.projection_length, config.embedding_length);
            return Err(Error::Model(format!("clip.text.projection_dim: found {found}, expected {expected}, the width of a picture's feature")));
        }
        TextReader::new(TextTower::new(&text, weights)?, tokenizer)
    });
    Ok(Siglip {
        vision,
        text: text.transpose()?,
    })
}

/// Opens a vision model with its weights as plain f32: for encoding many pictures at once.
///
/// # Errors
/// As [`open_vision`].
pub fn open_dense_vision(path: &Path, device: &Device) -> anyhow::Result<LoadedVision> {
    let file = open_file(path, "--vision")?;
    let name = || path.display().to_string();
    let config =
        VisionConfig::from_metadata(&|key| file.metadata(key).cloned()).with_context(name)?;
    let dense = |tensor: &TensorInfo| -> anyhow::Result<(String, Tensor)> {
        let values = match file.load(&tensor.name)? {
            Stored::Dense(t) => t.to_dtype(DType::F32)?.to_device(device)?,
            Stored::Quantized(t) => t.dequantize(device)?,
        };
        Ok((tensor.name.clone(), values))
    };
    let tensors: HashMap<String, Tensor> = file
        .tensors()
        .iter()
        .map(dense)
        .collect::<anyhow::Result<_>>()
        .with_context(name)?;
    let text = text_parts(&file).with_context(name)?;
    let vision = towers(&config, text, &Weights::new(tensors, device)).with_context(name)?;
    Ok(LoadedVision {
        vision,
        sha256: file.sha256(),
    })
}

/// The vision file that an assistant names: a neighbour of the assistant's own file.
///
/// # Errors
/// The assistant cannot be read, or names none.
pub fn vision_of(assistant: &Path) -> anyhow::Result<PathBuf> {
    beside(assistant, &open_assistant(assistant)?.1)
}

/// That the name is a bare one was checked when the configuration was read.
fn beside(assistant: &Path, config: &AssistantConfig) -> anyhow::Result<PathBuf> {
    match &config.vision {
        Some(vision) => Ok(assistant.with_file_name(&vision.file)),
        None => bail!(
            "{}: names no vision model; give one with --vision FILE",
            assistant.display()
        ),
    }
}

fn open_file(path: &Path, flag: &str) -> anyhow::Result<GgufFile> {
    if !path.exists() {
        bail!(
            "{}: no such file; name the model file with {flag} FILE",
            path.display()
        );
    }
    Ok(GgufFile::open(path)?)
}

/// A text of the metadata.
fn text<'a>(file: &'a GgufFile, key: &str) -> Result<Option<&'a str>> {
    match file.metadata(key) {
        Some(MetaValue::String(text)) => Ok(Some(text)),
        None => Ok(None),
        Some(other) => Err(Error::format(
            file.path(),
            format!("{key}: found {}, expected a string", other.kind()),
        )),
    }
}

/// The whole `tokenizer.json`, or what `tokenizer.ggml.*` says where a file has nothing else.
fn tokenizer_json(file: &GgufFile) -> Result<Cow<'_, str>> {
    if let Some(json) = text(file, TOKENIZER_KEY)? {
        return Ok(Cow::Borrowed(json));
    }
    let rebuilt = ggml::tokenizer_json(&|key| file.metadata(key));
    rebuilt.map(Cow::Owned).map_err(|e| {
        Error::format(
            file.path(),
            format!("no {TOKENIZER_KEY}, and of the tokens alone: {e}"),
        )
    })
}

fn open_codec(file: &GgufFile, config: &AssistantConfig) -> anyhow::Result<TokenizerCodec> {
    let tokenizer = Tokenizer::new(tokenizer_json(file)?.as_bytes(), text(file, TEMPLATE_KEY)?)?;
    TokenizerCodec::new(tokenizer, config.tokens, config.backbone.vocab_size)
        .with_context(|| file.path().display().to_string())
}

/// Threads for a model when none are asked for (0): one for a small file. Its products are too
/// short to share out, and candle's workers spin while they wait: on a busy machine a token then
/// takes a hundred times as long.
pub fn threads_for(asked: usize, model: &Path) -> usize {
    let small = model
        .metadata()
        .is_ok_and(|file| file.len() < SMALL_MODEL_BYTES);
    if asked == 0 && small { 1 } else { asked }
}

/// Sets the threads of the arithmetic; 0 leaves it at one a core. Call it before any thread is
/// started.
pub fn set_threads(threads: usize) {
    if threads > 0 {
        // SAFETY: changing the environment is sound while nobody else can read it. This runs on the
        // main thread before any other is started. There is no other way: candle and rayon both
        // read this variable on first use, and candle takes no number.
        unsafe { std::env::set_var(THREADS_VARIABLE, threads.to_string()) };
    }
}
