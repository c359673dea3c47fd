//! Running: opening a model, driving a source through a session with the clock, recording it,
//! going on with it, and playing it again. Nothing in here knows a command line.

pub mod drive;
pub mod engine;
pub mod json_lines;
pub mod load;
pub mod options;
pub mod outputs;
pub mod pace;
pub mod plain;
pub mod player;
pub mod process;
pub mod recording;
mod requests;
pub mod resume;
pub mod settings;
pub mod stop;
pub mod timing;
pub mod tokens;
mod whole;

pub use whole::{play, session};

#[cfg(test)]
pub(crate) use player::shown_at_the_end;
