//! The terminal screen: reads the event stream, draws it, and never makes the engine wait.
//!
//! The engine thread folds events into a [`Board`] (a short lock around plain data); the screen
//! thread takes a snapshot when something changed, at most [`screen::FRAMES_PER_S_MAX`] times a
//! second. What the person wants goes back through [`Controls`]. [`terminal`] puts the terminal
//! back, whatever happens.

pub mod app;
pub mod board;
mod entry;
mod graphics;
mod keyboard;
pub mod keys;
pub mod layout;
mod outlet;
mod panels;
mod print;
pub mod request;
#[cfg(test)]
mod sample;
pub mod screen;
mod suspend;
mod tell;
pub mod terminal;
#[cfg(test)]
mod tests;
pub mod theme;
pub mod view;
pub mod vitals;
mod wrap;

pub use app::App;
pub use board::{Board, Controls, ScreenSink};
pub use graphics::Hint;
pub use print::as_text;
pub use request::Request;
pub use screen::{Options, run};
pub use tell::state_words;
pub use theme::ThemeName;
pub use view::View;
pub use vitals::{SourceKind, StageTime, Vitals};
