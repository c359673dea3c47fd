//! Where events go: log, plain text, subtitles, a voice, the screen.
//!
//! Every sink reads the same [`Event`](crate::stream::Event)s and knows no clock but the events'
//! own times; only [`SpeechSink`] waits for a process. [`Tee`] hands events to several sinks.

mod jsonl;
mod latest;
mod output;
mod speech;
mod subtitles;
mod tee;
mod text;

pub use jsonl::JsonlSink;
pub use latest::{Latest, LatestSink, Since};
pub use output::Output;
pub use speech::{Speaker, SpeechReport, SpeechSink, split_command};
pub use subtitles::{SubtitleFormat, SubtitleSink};
pub use tee::Tee;
pub use text::TextSink;
