//! proact watches a task through a camera, keeps track of its steps, and speaks up by itself.

pub mod cli;
pub mod dialogue;
pub mod error;
pub mod eval;
pub mod features;
pub mod kernels;
pub mod model;
pub mod quant;
pub mod session;
pub mod sinks;
pub mod sources;
pub mod stream;
pub mod synth;
pub mod train;
pub mod tui;
pub mod units;
