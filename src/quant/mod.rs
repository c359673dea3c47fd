//! Weights in (HF folder, checkpoint, GGUF), recipe, GGUF out, and the error of each tensor.

pub mod recipe;
pub mod report;
pub mod write;

pub use recipe::Recipe;
pub use report::{Report, TensorReport};
pub use write::set_metadata;
