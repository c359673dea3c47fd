//! What a run measures about itself for the screen: where the frames come from, how fast they are
//! decided on, what the stages take and how full the memory is.

use crate::units::MediaTime;

/// Where the frames come from, as the header says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceKind {
    /// A camera.
    Live,
    /// A recording.
    #[default]
    Replay,
    /// The clip that ships: a recording too.
    Demo,
    /// A recorded session; no model runs.
    Recorded,
}

impl SourceKind {
    /// The badge in the header.
    pub fn word(self) -> &'static str {
        match self {
            Self::Live => "LIVE",
            Self::Replay | Self::Demo => "REPLAY",
            Self::Recorded => "RECORDED",
        }
    }
}

/// Time that one stage of the pipeline takes for a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageTime {
    /// `decode`, `encode`, `extend` or `generate`.
    pub name: &'static str,
    /// Mean of the last frames, in milliseconds.
    pub mean_ms: f64,
}

/// What the run measures about itself. Unlike events, this depends on the machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vitals {
    /// Where the frames come from.
    pub source_kind: SourceKind,
    /// Name of the source, for people.
    pub source: String,
    /// Length of the recording where it is known.
    pub duration: Option<MediaTime>,
    /// Frames decided on per second of work; waiting for a frame is no work.
    pub frames_per_s: f64,
    /// Seconds of the recording per second of work; above 1 keeps up with a camera.
    pub realtime_factor: f64,
    /// How far the decisions are behind the source, in seconds of the clock.
    pub lag_s: f64,
    /// Tokens held in the model's memory.
    pub memory_tokens: usize,
    /// Tokens it can hold.
    pub memory_capacity: usize,
    /// When more than this is held, the context policy acts.
    pub memory_reset: usize,
    /// What computes: `CPU, 1 thread`.
    pub device: String,
    /// How the assistant's weights are stored: `Q4_0`.
    pub quantization: String,
    /// Resident memory of the process, where the system tells it.
    pub process_bytes: Option<u64>,
    /// Time by stage.
    pub stages: Vec<StageTime>,
    /// The sentence being generated, as far as it has come.
    pub partial: Option<String>,
    /// Playing speed relative to the recording; `None` is as fast as it goes.
    pub speed: Option<f64>,
    /// No frames are taken in.
    pub paused: bool,
    /// Nothing is spoken aloud.
    pub muted: bool,
}
