//! The runtime of proact as a library: what a laptop with a camera needs. `docs/architecture.md`
//! follows.
#![doc = include_str!("../docs/architecture.md")]

pub mod dialogue;
pub mod error;
pub mod features;
pub mod files;
pub mod kernels;
pub mod model;
pub mod rng;
pub mod run;
pub mod session;
pub mod sinks;
pub mod sources;
pub mod stop;
pub mod stream;
pub mod tui;
pub mod units;
