//! The panels: one file each, all with `draw(canvas, area, app, …)`; none keeps facts of its own.

pub mod dialogue;
pub mod footer;
pub mod gates;
pub mod header;
pub mod help;
pub mod log;
pub mod picture;
pub mod pipeline;
pub mod steps;
