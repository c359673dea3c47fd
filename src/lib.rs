//! The runtime of proact as a library: what a laptop with a camera needs. `docs/architecture.md`
//! follows.
#![doc = include_str!("../docs/architecture.md")]
//!
//! A recording, played through a model without a command line:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use proact::dialogue::task::Task;
//! use proact::error::Result;
//! use proact::model::open;
//! use proact::run::{self, settings::Settings};
//! use proact::sources::{self, OpenOptions};
//! use proact::stream::Event;
//!
//! fn watch() -> Result<Vec<Event>> {
//!     let folder = Path::new("models/demo");
//!     let model = open::open(&folder.join("assistant.gguf"), None)?;
//!     let options = OpenOptions {
//!         tokens_per_frame: model.config().tokens_per_frame,
//!         ..OpenOptions::default()
//!     };
//!     let mut source = sources::open(&folder.join("clip.mp4"), &options)?;
//!     let task = Task::read(&folder.join("task.toml"))?;
//!     let mut session = run::session(model, &Settings::default(), Some(task))?;
//!     let mut events: Vec<Event> = Vec::new();
//!     run::play(&mut *source, &mut session, &mut events)?;
//!     Ok(events)
//! }
//! ```

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
