//! Opens a model with every call on it timed, and chooses the threads of the arithmetic.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;

use super::settings::Settings;
use super::timing::{SharedMeter, Timed};
use crate::error::Error;
use crate::model::assistant::Assistant;
use crate::model::config::AssistantConfig;
use crate::model::open;
use crate::model::siglip::Siglip;
use crate::session::{SessionConfig, SharedCodec};

/// Environment variable that candle and rayon read.
const THREADS_VARIABLE: &str = "RAYON_NUM_THREADS";
/// A model file below this size is computed on one thread unless asked otherwise.
const SMALL_MODEL_BYTES: u64 = 64 << 20;

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

/// Opens an assistant and the vision model that belongs to it.
///
/// # Errors
/// As [`open::open`].
pub fn open(
    assistant: &Path,
    vision: Option<&Path>,
    meter: &SharedMeter,
) -> anyhow::Result<Loaded> {
    let model = open::open(assistant, vision).map_err(|error| match error {
        Error::Io { path, source } if source.kind() == ErrorKind::NotFound => {
            let flag = if path == assistant {
                "--model"
            } else {
                "--vision"
            };
            let path = path.display();
            anyhow!("{path}: no such file; name the model file with {flag} FILE")
        }
        other => other.into(),
    })?;
    let config = model.config().clone();
    let (vision, vision_sha256) = match model.vision {
        Some(vision) => (
            Some(Arc::new(Timed::new(vision.towers, meter))),
            vision.sha256,
        ),
        None => (None, String::new()),
    };
    Ok(Loaded {
        vision,
        assistant: Arc::new(Timed::new(model.assistant, meter)),
        codec: Arc::new(model.codec),
        frame_width: config.tokens_per_frame * config.vision_length,
        config,
        model_sha256: model.sha256,
        vision_sha256,
        quantization: model.quantization,
    })
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
