//! Training: the small SigLIP on frames and captions, then projector, backbone and heads on cached
//! features.

pub mod assistant;
pub mod checkpoint;
pub mod config;
pub mod examples;
pub mod history;
pub mod loss;
pub mod optimizer;
pub mod origins;
pub mod parallel;
pub mod pixels;
pub mod rng;
pub mod run;
pub mod tokenizer;
pub mod vision;
