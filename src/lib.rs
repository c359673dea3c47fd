//! proact watches a task through a camera, keeps track of its steps, and speaks up by itself.
//!
//! ```text
//! sources --Frame--> session ---------------------------------------> Event --> sinks, tui, eval
//!                      | model: encoder -> projector -> backbone -> heads
//!                      | dialogue: layout (tokens), policy (gates), grammar, task (states)
//! ```
//!
//! Rooms, from the contract outwards:
//!
//! - [`units`], [`error`]: quantities with their units; the one error type
//! - [`stream`]: what goes in (`Frame`, `Input`), what comes out (`Event`), traits `Source` and
//!   `Sink`
//! - [`dialogue`]: pure rules: task, annotation, grammar, token layout, gates
//! - [`kernels`]: arithmetic on slices, forward and backward
//! - [`model`]: the one model text, dense, quantized and trainable; memory; GGUF
//! - [`session`]: the conductor: one frame after the other through model and rules
//! - [`sources`], [`sinks`], [`features`]: video, pictures, feature files; logs, subtitles, speech
//! - [`tui`]: the screen
//! - [`synth`]: simulated episodes; [`train`]: learning; [`quant`]: GGUF out; [`eval`]: scores
//! - [`cli`]: the verbs, and the only home of stdout, environment and wall clock
//!
//! Invariants, most of them about what is absent: session, eval and train know no camera, screen,
//! thread or clock. Weights are shared and immutable, memory is a separate `&mut` struct. One
//! layout builder serves session and training. Unknown input is an error that names file and key,
//! never a default. The same input gives the same event log, byte for byte, whatever the number of
//! threads. Nothing opens a socket; frames are written only where a flag asks for it.
//! `tests/house.rs` keeps the walls between the rooms.

pub mod dialogue;
pub mod error;
pub mod features;
pub mod kernels;
pub mod model;
pub mod run;
pub mod session;
pub mod sinks;
pub mod sources;
pub mod stream;
pub mod tui;
pub mod units;
