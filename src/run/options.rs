//! What a run reads besides its model and source, and what it writes.

use std::path::PathBuf;

/// Options of a run. By default it reads nothing more and writes nothing.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The vision model; otherwise the file that the assistant names, in the same folder.
    pub vision: Option<PathBuf>,
    /// The task to follow. Without one the assistant only speaks.
    pub task: Option<PathBuf>,
    /// The rate that a flag asks for, in frames a second. A resumed session refuses another rate
    /// than its own.
    pub fps: Option<f64>,
    /// Where the event log goes.
    pub events: Option<PathBuf>,
    /// Where the time of each stage goes, one record a frame.
    pub timing: Option<PathBuf>,
    /// Where WebVTT subtitles go.
    pub vtt: Option<PathBuf>,
    /// Where SubRip subtitles go.
    pub srt: Option<PathBuf>,
    /// The new folder that the session is recorded in.
    pub record: Option<PathBuf>,
    /// Whether the recorded session keeps the frames.
    pub save_frames: bool,
    /// The recorded session to go on with.
    pub resume: Option<PathBuf>,
    /// The command that speaks a sentence aloud.
    pub speak_cmd: Option<String>,
    /// Where the tokens go that the backbone is fed.
    pub tokens: Option<PathBuf>,
}
