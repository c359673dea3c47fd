//! What makes and judges proact's models, beside the runtime that a laptop needs.
//!
//! - [`synth`]: simulated first-person episodes
//! - [`train`]: towers and assistant, from episodes or annotated features to quantized files
//! - [`calibrate`]: the settings of a model's gates, by free runs over recordings
//! - [`eval`]: scores of event logs against annotations
//! - [`quant`]: weights of other formats to small GGUF files
//! - [`proassist`]: ProAssist's Arrow files: features and frames

pub mod calibrate;
pub mod eval;
pub mod proassist;
pub mod quant;
pub mod synth;
pub mod train;
