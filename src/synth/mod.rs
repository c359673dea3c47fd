//! Simulated first-person episodes, from recorded or written timelines of a task.

pub mod canvas;
pub mod captaincook4d;
pub mod episode;
pub mod lexicon;
pub mod rng;
pub mod script;
pub mod timeline;
pub mod words;
