//! (in work)

pub mod synth;
