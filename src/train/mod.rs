//! Training: the small SigLIP on frames and captions, then projector, backbone and heads on cached features.

pub mod checkpoint;
pub mod loss;
pub mod optimizer;
pub mod rng;
pub mod tokenizer;
