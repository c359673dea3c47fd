//! Recording a session, reading it back, and keeping parts of a run: videos and snapshots.
//!
//! `--record DIR` and `--resume DIR` write a session as a folder that only its owner can read:
//!
//! ```text
//! DIR/session.json    what ran: configuration, names, SHA-256 of model, vision and source
//! DIR/events.jsonl    the event log, which holds the whole session
//! DIR/timing.jsonl    times by stage, clock, lag and memory, one record a frame
//! DIR/task.toml       the task, if there was one: the last that the person chose
//! DIR/frames/N.jpg    the frames that the model was shown, only with --save-frames
//! ```
//!
//! A process that is killed leaves whole lines, and at most one line that is cut. The log is locked
//! while it grows.

mod reader;
mod snapshot;
mod snapshot_video;
mod video;
mod writer;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use reader::RecordedSession;
pub(super) use snapshot::keep;
pub use snapshot_video::SnapshotVideos;
pub use video::RecordingSource;
pub use writer::{Recorder, check_free, source_sha256};

use crate::session::SessionConfig;
use crate::units::FrameIdx;

/// The event log.
const EVENTS: &str = "events.jsonl";
/// Times.
const TIMING: &str = "timing.jsonl";
/// What ran.
const SESSION: &str = "session.json";
/// The task.
const TASK: &str = "task.toml";
/// Pictures.
const FRAMES: &str = "frames";
/// Version of `session.json`.
pub const SCHEMA: u32 = 1;

/// A file that was used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileIdentity {
    /// Its name, without the folder.
    pub name: String,
    /// In hex.
    pub sha256: String,
}

/// What ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionFile {
    /// 1.
    pub schema: u32,
    /// Version of the program.
    pub proact: String,
    /// The recording.
    pub source: FileIdentity,
    /// Its length in seconds, where it is known.
    pub duration_s: Option<f64>,
    /// The assistant.
    pub model: FileIdentity,
    /// SHA-256 of the vision file, in hex.
    pub vision_sha256: String,
    /// Tokens that the model's memory can hold.
    pub memory_capacity: usize,
    /// When more than this is held, the context policy acts.
    pub memory_reset: usize,
    /// What computed.
    #[serde(default)]
    pub device: String,
    /// How the weights were stored.
    #[serde(default)]
    pub quantization: String,
    /// The session's configuration.
    pub session: SessionConfig,
}

/// Where the picture of a frame is kept.
fn frame_path(folder: &Path, frame: FrameIdx) -> PathBuf {
    folder.join(FRAMES).join(format!("{:08}.jpg", frame.0))
}
