//! Where events go: log, subtitles, a voice.
//!
//! Every sink reads the same [`Event`](crate::stream::Event)s and knows no clock but the events'
//! own times; only [`SpeechSink`] waits for a process. [`Tee`] hands events to several sinks.

mod jsonl;
mod output;
mod speech;
mod subtitles;
mod tee;

pub use jsonl::JsonlSink;
pub use output::Output;
pub use speech::{Speaker, SpeechReport, SpeechSink};
pub use subtitles::{SubtitleFormat, SubtitleSink};
pub use tee::Tee;
