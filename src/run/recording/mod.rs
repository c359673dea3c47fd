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

/// File of the event log.
const EVENTS: &str = "events.jsonl";
/// File of the times.
const TIMING: &str = "timing.jsonl";
/// File of the facts about what ran.
const SESSION: &str = "session.json";
/// File of the task.
const TASK: &str = "task.toml";
/// Folder of the kept frames.
const FRAMES: &str = "frames";
/// Version of `session.json`.
pub const SCHEMA: u32 = 1;

/// Name and hash of a file, or of a camera, which has no hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileIdentity {
    /// Its name, without the folder.
    pub name: String,
    /// SHA-256 in hex; empty for a camera.
    pub sha256: String,
}

/// The facts in `session.json`: what ran, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionFile {
    /// Version of the format.
    pub schema: u32,
    /// Version of the program.
    pub proact: String,
    /// The source.
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
    /// The device that computed.
    #[serde(default)]
    pub device: String,
    /// How the weights were stored.
    #[serde(default)]
    pub quantization: String,
    /// The session's configuration.
    pub session: SessionConfig,
}

/// The file of a kept frame.
fn frame_path(folder: &Path, frame: FrameIdx) -> PathBuf {
    folder.join(FRAMES).join(format!("{:08}.jpg", frame.0))
}
