//! Simulated first-person episodes, from recorded or written timelines of a task.
//!
//! ```text
//! captaincook4d | timeline -> Timeline -> episode (times of the video) -> script (the dialogue)
//!                             stage (who is in front) + words, lexicon (what that looks like)
//!                             -> scene (the picture at a time)
//!                             -> folder (video.mp4, annotation, task)
//! ```
//!
//! What a step looks like follows from its words, when it happens from the timeline, all else from
//! the seed: the same input gives the same bytes. Nothing is drawn that is not computed from those
//! three.

pub mod acts;
pub mod canvas;
pub mod captaincook4d;
pub mod conditions;
pub mod episode;
pub mod folder;
pub mod hands;
pub mod invent;
pub mod lexicon;
pub mod names;
pub mod scene;
pub mod script;
pub mod sentence;
pub mod stage;
pub mod suite;
pub mod things;
pub mod timeline;
pub mod vessels;
pub mod words;
