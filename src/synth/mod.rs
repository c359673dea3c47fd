//! Simulated first-person episodes, from recorded or written timelines of a task.

pub mod acts;
pub mod canvas;
pub mod captaincook4d;
pub mod episode;
pub mod folder;
pub mod hands;
pub mod lexicon;
pub mod mp4;
pub mod names;
pub mod rng;
pub mod scene;
pub mod script;
pub mod stage;
pub mod things;
pub mod timeline;
pub mod vessels;
pub mod video;
pub mod words;
