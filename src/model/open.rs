//! From GGUF files to a model that a session can use: open, check, build.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{panic, thread};

use candle_core::{DType, Device, Tensor};

use super::Perceiver;
use super::assistant::Assistant;
use super::config::{AssistantConfig, TextConfig, VisionConfig};
use super::encoder::Vision;
use super::gguf::{GgufFile, TensorInfo};
use super::metadata::MetaValue;
use super::preprocess::Preprocess;
use super::siglip::Siglip;
use super::text::{TextReader, TextTower};
use super::tokenizer::{Tokenizer, TokenizerCodec, ggml};
use super::weights::{Stored, Weights};
use crate::dialogue::layout::LayoutName;
use crate::error::{Error, Result};

/// Memory is allocated at once, and a Llama 3 could fill 131072 positions; ProAssist and its
/// extension run in this many.
const MEMORY_TOKENS_MAX: usize = 4096;
/// Key of the whole `tokenizer.json`.
const TOKENIZER_KEY: &str = "tokenizer.huggingface.json";
/// Key of the chat template.
const TEMPLATE_KEY: &str = "tokenizer.chat_template";

/// An assistant with all that a session needs beside it.
pub struct OpenModel {
    /// Backbone, projector and heads.
    pub assistant: Assistant,
    /// The encoder; `None` where the assistant names none: it takes features only.
    pub vision: Option<OpenVision>,
    /// Words to tokens and back.
    pub codec: TokenizerCodec,
    /// SHA-256 of the assistant file, in hex.
    pub sha256: String,
    /// The type that most of the assistant's numbers are stored in, such as `Q4_0`.
    pub quantization: String,
}

impl OpenModel {
    /// What the assistant file says of itself: sizes, gates, layout.
    pub fn config(&self) -> &AssistantConfig {
        self.assistant.config()
    }
}

/// A vision model.
pub struct OpenVision {
    /// Its towers.
    pub towers: Siglip,
    /// SHA-256 of its file, in hex.
    pub sha256: String,
}

/// Opens an assistant and its vision model: the given one, or the one that the assistant names.
///
/// # Errors
/// A file is missing, broken, of another architecture, or not the one that the assistant was
/// trained with; the message names the file.
pub fn open(assistant: &Path, vision: Option<&Path>) -> Result<OpenModel> {
    let (file, config) = open_assistant(assistant)?;
    // A model that names none was made from features, and takes features only.
    let vision_path = match (vision, &config.vision) {
        (Some(path), _) => Some(path.to_path_buf()),
        (None, Some(_)) => Some(beside(assistant, &config)?),
        (None, None) => None,
    };
    // Hashing reads every byte of both files: the second core takes one of them.
    let (sha256, vision) = thread::scope(|scope| {
        let hash = scope.spawn(|| file.sha256());
        let vision = vision_path.as_deref().map(open_vision).transpose();
        (hash.join(), vision)
    });
    let sha256 = sha256.unwrap_or_else(|cause| panic::resume_unwind(cause));
    let mut vision = vision?;
    if config.layout == LayoutName::Proassist {
        vision = vision.map(|mut vision| {
            vision.towers.vision = vision.towers.vision.with_preprocess(Preprocess::Proassist);
            vision
        });
    }
    if let (Some(vision), Some(path)) = (&vision, &vision_path) {
        check_pair(assistant, &config, path, vision)?;
    }
    let codec = open_codec(&file, &config)?;
    let quantization = quantization(&file);
    let weights = Weights::new(file, &Device::Cpu);
    let memory_tokens = config.backbone.context_length.min(MEMORY_TOKENS_MAX);
    let model = Assistant::new(&config, &weights)
        .and_then(|model| model.with_memory_tokens(memory_tokens))
        .map_err(of_file(assistant))?;
    Ok(OpenModel {
        assistant: model,
        vision,
        codec,
        sha256,
        quantization,
    })
}

/// An error with the file that it is about, where it does not name one.
fn of_file(path: &Path) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Io { .. } | Error::Format { .. } => error,
        other => Error::format(path, other.to_string()),
    }
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
fn open_assistant(path: &Path) -> Result<(GgufFile, AssistantConfig)> {
    let file = GgufFile::open(path)?;
    let config = AssistantConfig::from_metadata(&|key| file.metadata(key).cloned())
        .map_err(of_file(path))?;
    Ok((file, config))
}

/// The vision file has to be the one that the assistant was trained with.
fn check_pair(
    assistant: &Path,
    config: &AssistantConfig,
    path: &Path,
    vision: &OpenVision,
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
    let (given, read) = (vision.towers.tokens_per_frame(), config.tokens_per_frame);
    let (width, read_width) = (vision.towers.width(), config.vision_length);
    if (given, width) != (read, read_width) {
        let why = format!(
            "gives {given} tokens of width {width} a frame, {name} reads {read} of width {read_width}"
        );
        return Err(Error::format(path, why));
    }
    if config.step_evidence && vision.towers.text.is_none() {
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
/// The file is missing, broken, or no vision model; the message names it.
pub fn open_vision(path: &Path) -> Result<OpenVision> {
    let file = GgufFile::open(path)?;
    let sha256 = file.sha256();
    let (config, text) = vision_parts(&file)?;
    let weights = Weights::new(file, &Device::Cpu);
    let towers = towers(&config, text, &weights)
        .and_then(|towers| weights.finish().map(|()| towers))
        .map_err(of_file(path))?;
    Ok(OpenVision { towers, sha256 })
}

/// Opens a vision model with its weights as plain f32: for encoding many pictures at once.
///
/// # Errors
/// As [`open_vision`].
pub fn open_dense_vision(path: &Path, device: &Device) -> Result<OpenVision> {
    let file = GgufFile::open(path)?;
    let dense = |tensor: &TensorInfo| -> Result<(String, Tensor)> {
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
        .collect::<Result<_>>()
        .map_err(of_file(path))?;
    let (config, text) = vision_parts(&file)?;
    let towers = towers(&config, text, &Weights::new(tensors, device)).map_err(of_file(path))?;
    Ok(OpenVision {
        towers,
        sha256: file.sha256(),
    })
}

/// What a vision file says of its towers, and the tokenizer of the text tower where it has one.
fn vision_parts(file: &GgufFile) -> Result<(VisionConfig, Option<(TextConfig, Tokenizer)>)> {
    let look_up = |key: &str| file.metadata(key).cloned();
    let read = || {
        let vision = VisionConfig::from_metadata(&look_up)?;
        let text = TextConfig::from_metadata(&look_up)?
            .map(|text| {
                let tokenizer = Tokenizer::new(tokenizer_json(file)?.as_bytes(), None)?;
                Ok::<_, Error>((text, tokenizer))
            })
            .transpose()?;
        Ok((vision, text))
    };
    read().map_err(of_file(file.path()))
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
            return Err(Error::Model(format!(
                "clip.text.projection_dim: found {}, expected {}, the width of a picture's feature",
                text.projection_length, config.embedding_length
            )));
        }
        TextReader::new(TextTower::new(&text, weights)?, tokenizer)
    });
    Ok(Siglip {
        vision,
        text: text.transpose()?,
    })
}

/// The vision file that an assistant names: a neighbour of the assistant's own file.
///
/// # Errors
/// The assistant cannot be read, or names none.
pub fn vision_of(assistant: &Path) -> Result<PathBuf> {
    beside(assistant, &open_assistant(assistant)?.1)
}

/// That the name is a bare one was checked when the configuration was read.
fn beside(assistant: &Path, config: &AssistantConfig) -> Result<PathBuf> {
    let vision = config.vision.as_ref().ok_or_else(|| {
        let why = "names no vision model; expected dstproact.vision.file, or a file that is given";
        Error::format(assistant, why)
    })?;
    Ok(assistant.with_file_name(&vision.file))
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

fn open_codec(file: &GgufFile, config: &AssistantConfig) -> Result<TokenizerCodec> {
    let json = tokenizer_json(file)?;
    Tokenizer::new(json.as_bytes(), text(file, TEMPLATE_KEY)?)
        .and_then(|inner| TokenizerCodec::new(inner, config.tokens, config.backbone.vocab_size))
        .map_err(of_file(file.path()))
}
