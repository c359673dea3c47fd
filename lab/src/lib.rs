//! What makes and judges proact's models, beside the runtime that a laptop needs.
//!
//! - [`synth`]: simulated first-person episodes
//! - [`train`]: towers and assistant, from episodes or annotated features to quantized files
//! - [`calibrate`]: the settings of a model's gates, by free runs over recordings
//! - [`encode`]: recordings to feature files
//! - [`eval`]: scores of event logs against annotations
//! - [`quant`]: weights of other formats to small GGUF files
//! - [`parallel`]: work on several threads whose result does not depend on how many there are
//! - [`proassist`]: ProAssist's Arrow files: features and frames

pub mod calibrate;
pub mod encode;
pub mod eval;
pub mod parallel;
pub mod proassist;
pub mod quant;
pub mod synth;
pub mod train;
