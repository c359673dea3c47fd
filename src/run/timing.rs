//! Measures how long each stage of a frame takes, by the wall clock. Model and session never see
//! it.
//!
//! [`Timed`] stands in front of the model's two traits and measures every call; the engine reads
//! the [`Meter`] once a frame for `--timing`, the screen and the summary.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::json_lines::JsonLines;
use crate::error::Result;
use crate::model::{Backbone, HeadLogits, Hidden, Perceiver, Piece};
use crate::stream::log::AT_S_MAX;
use crate::tui::StageTime;
use crate::units::{FrameIdx, MediaTime};

/// Frames that the moving means look back on: five seconds at two frames a second.
const RECENT_FRAMES: usize = 10;

/// Time by stage, summed over one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stages {
    /// The source made the picture.
    pub decode: Duration,
    /// The encoder looked at it.
    pub encode: Duration,
    /// The backbone read frames and prompts.
    pub extend: Duration,
    /// The backbone wrote: one token at a time, with the scores of the vocabulary.
    pub generate: Duration,
}

impl Stages {
    /// The sum of all stages.
    pub fn total(&self) -> Duration {
        self.decode + self.encode + self.extend + self.generate
    }

    fn add(&mut self, other: &Self) {
        self.decode += other.decode;
        self.encode += other.encode;
        self.extend += other.extend;
        self.generate += other.generate;
    }
}

/// One record of `--timing`, and of a recorded session.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Which frame.
    pub frame: FrameIdx,
    /// Its time in the recording.
    pub at: MediaTime,
    decode_ms: f64,
    encode_ms: f64,
    extend_ms: f64,
    generate_ms: f64,
    total_ms: f64,
    /// Seconds of the clock since the program began, when the frame was decided on.
    pub clock_s: f64,
    /// How late it was then, in seconds of the clock.
    pub lag_s: f64,
    /// Tokens that the model's memory held then.
    pub memory_tokens: usize,
    /// Resident memory of the process then, where the system told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_bytes: Option<u64>,
}

impl Record {
    /// The times by stage.
    ///
    /// # Errors
    /// A time is negative, not finite, or too long; the text names it.
    pub fn stages(&self) -> Result<Stages, String> {
        // Bounded, so that the times of all frames can be summed.
        let time = |name: &str, ms: f64| match Duration::try_from_secs_f64(ms / 1e3) {
            Ok(time) if time.as_secs_f64() <= AT_S_MAX => Ok(time),
            _ => Err(format!(
                "{name} is {ms}, expected milliseconds, at most a year"
            )),
        };
        if !(self.clock_s.is_finite() && self.lag_s.is_finite()) {
            return Err(format!(
                "clock_s is {}, lag_s is {}; expected seconds",
                self.clock_s, self.lag_s
            ));
        }
        Ok(Stages {
            decode: time("decode_ms", self.decode_ms)?,
            encode: time("encode_ms", self.encode_ms)?,
            extend: time("extend_ms", self.extend_ms)?,
            generate: time("generate_ms", self.generate_ms)?,
        })
    }
}

/// A frame that was decided on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decided {
    /// Its number.
    pub frame: FrameIdx,
    /// Its time in the recording.
    pub at: MediaTime,
    /// Seconds of the clock since the program began.
    pub clock_s: f64,
    /// How late it was, in seconds of the clock.
    pub lag_s: f64,
    /// Tokens that the model's memory holds.
    pub memory_tokens: usize,
    /// Resident memory of the process.
    pub process_bytes: Option<u64>,
}

/// Sums times by stage: of the present frame, of the recent ones and of all.
#[derive(Default)]
pub struct Meter {
    now: Stages,
    all: Stages,
    recent: VecDeque<(MediaTime, Stages)>,
    frames: u64,
    first_at: Option<MediaTime>,
    last_at: MediaTime,
}

/// The meter that the source's, the encoder's and the backbone's calls all report to.
#[derive(Clone, Default)]
pub struct SharedMeter(Arc<Mutex<Meter>>);

impl SharedMeter {
    /// The meter. It holds plain sums, so a panic elsewhere does not spoil it.
    pub fn lock(&self) -> MutexGuard<'_, Meter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter {
    /// Adds the time that the source took.
    pub fn decoded(&mut self, took: Duration) {
        self.now.decode += took;
    }

    /// Ends the present frame: its times go to the files and into the means.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn end_frame(&mut self, done: Decided, out: &mut [JsonLines]) -> Result<()> {
        let stages = std::mem::take(&mut self.now);
        self.count(done.at, stages);
        let record = Record {
            frame: done.frame,
            at: done.at,
            decode_ms: ms(stages.decode),
            encode_ms: ms(stages.encode),
            extend_ms: ms(stages.extend),
            generate_ms: ms(stages.generate),
            total_ms: ms(stages.total()),
            clock_s: (done.clock_s * 1e6).round() / 1e6,
            lag_s: (done.lag_s * 1e6).round() / 1e6,
            memory_tokens: done.memory_tokens,
            process_bytes: done.process_bytes,
        };
        out.iter_mut().try_for_each(|out| out.write(&record))
    }

    /// Takes a frame's times into the sums and the means.
    pub fn count(&mut self, at: MediaTime, stages: Stages) {
        self.all.add(&stages);
        self.frames += 1;
        self.first_at.get_or_insert(at);
        self.last_at = at;
        if self.recent.len() >= RECENT_FRAMES {
            self.recent.pop_front();
        }
        self.recent.push_back((at, stages));
    }

    /// Frames decided on.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Work on all frames so far.
    pub fn all(&self) -> Stages {
        self.all
    }

    /// Frames per second of work, over the recent frames.
    pub fn frames_per_s(&self) -> f64 {
        let busy: Duration = self.recent.iter().map(|(_, s)| s.total()).sum();
        ratio(self.recent.len() as f64, busy)
    }

    /// Seconds of the recording per second of work, over all frames.
    pub fn realtime_factor(&self) -> f64 {
        let Some(first) = self.first_at else {
            return 0.0;
        };
        ratio(self.last_at.seconds() - first.seconds(), self.all.total())
    }

    /// Mean milliseconds by stage over the recent frames.
    pub fn recent_stages(&self) -> Vec<StageTime> {
        let mut sum = Stages::default();
        self.recent.iter().for_each(|(_, s)| sum.add(s));
        means(&sum, self.recent.len() as u64)
    }

    /// Mean milliseconds by stage over all frames.
    pub fn mean_stages(&self) -> Vec<StageTime> {
        means(&self.all, self.frames)
    }
}

fn ms(time: Duration) -> f64 {
    // Microseconds are finer than what can be trusted.
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn ratio(amount: f64, time: Duration) -> f64 {
    if time.is_zero() {
        0.0
    } else {
        amount / time.as_secs_f64()
    }
}

fn means(sum: &Stages, frames: u64) -> Vec<StageTime> {
    let mean = |time: Duration| {
        if frames == 0 {
            0.0
        } else {
            time.as_secs_f64() * 1e3 / frames as f64
        }
    };
    let stage = |name, time| StageTime {
        name,
        mean_ms: mean(time),
    };
    vec![
        stage("decode", sum.decode),
        stage("encode", sum.encode),
        stage("extend", sum.extend),
        stage("generate", sum.generate),
    ]
}

/// A model behind the meter.
pub struct Timed<M> {
    model: M,
    meter: SharedMeter,
}

impl<M> Timed<M> {
    /// Measures every call of `model`.
    pub fn new(model: M, meter: &SharedMeter) -> Self {
        Self {
            model,
            meter: meter.clone(),
        }
    }
}

impl<P: Perceiver> Perceiver for Timed<P> {
    fn tokens_per_frame(&self) -> usize {
        self.model.tokens_per_frame()
    }

    fn width(&self) -> usize {
        self.model.width()
    }

    fn encode(&self, rgb: &[u8], width: u32, height: u32) -> Result<Vec<f32>> {
        let start = Instant::now();
        let features = self.model.encode(rgb, width, height);
        self.meter.lock().now.encode += start.elapsed();
        features
    }

    fn read(&self, text: &str) -> Result<Vec<f32>> {
        self.model.read(text)
    }
}

impl<B: Backbone> Backbone for Timed<B> {
    type Memory = B::Memory;

    fn new_memory(&self) -> Result<Self::Memory> {
        self.model.new_memory()
    }

    fn extend(&self, pieces: &[Piece], memory: &mut Self::Memory) -> Result<Hidden> {
        let start = Instant::now();
        let hidden = self.model.extend(pieces, memory);
        let took = start.elapsed();
        let mut meter = self.meter.lock();
        // A lone token is one that was just written; frames and prompts come with company or
        // features.
        match pieces {
            [Piece::Token(_) | Piece::Marker(..)] => meter.now.generate += took,
            _ => meter.now.extend += took,
        }
        hidden
    }

    fn heads(&self, hidden: &Hidden) -> Result<HeadLogits> {
        let start = Instant::now();
        let logits = self.model.heads(hidden);
        self.meter.lock().now.extend += start.elapsed();
        logits
    }

    fn lm_logits(&self, hidden: &Hidden) -> Result<Vec<f32>> {
        let start = Instant::now();
        let logits = self.model.lm_logits(hidden);
        self.meter.lock().now.generate += start.elapsed();
        logits
    }

    fn update_logits(&self, hidden: &Hidden) -> Result<Vec<f32>> {
        let start = Instant::now();
        let logits = self.model.update_logits(hidden);
        self.meter.lock().now.generate += start.elapsed();
        logits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_over_recent_frames_and_the_factor_over_all() {
        let mut meter = Meter::default();
        for i in 0..30u64 {
            meter.now.encode = Duration::from_millis(if i < 20 { 100 } else { 50 });
            meter
                .end_frame(
                    Decided {
                        at: MediaTime(i as f64 / 2.0),
                        ..Decided::default()
                    },
                    &mut [],
                )
                .unwrap();
        }
        assert_eq!(
            meter.recent_stages()[1],
            StageTime {
                name: "encode",
                mean_ms: 50.0
            }
        );
        assert!((meter.frames_per_s() - 20.0).abs() < 1e-9);
        // 14.5 seconds of recording in 2.5 seconds of work.
        assert!((meter.realtime_factor() - 5.8).abs() < 1e-9);
        assert_eq!(meter.now, Stages::default());
    }

    #[test]
    fn the_timing_file_has_one_record_a_frame_in_a_fixed_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("timing.jsonl");
        let mut lines = [JsonLines::create(&path).unwrap()];
        let mut meter = Meter::default();
        meter.now.decode = Duration::from_micros(1500);
        let done = Decided {
            frame: FrameIdx(7),
            at: MediaTime(3.5),
            clock_s: 1.25,
            lag_s: 0.5,
            memory_tokens: 99,
            process_bytes: Some(4096),
        };
        meter.end_frame(done, &mut lines).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let wanted = "{\"frame\":7,\"at\":3.5,\"decode_ms\":1.5,\"encode_ms\":0.0,\"extend_ms\":0.0,\"generate_ms\":0.0,\"total_ms\":1.5,\
                      \"clock_s\":1.25,\"lag_s\":0.5,\"memory_tokens\":99,\"process_bytes\":4096}\n";
        assert_eq!(text, wanted);
        let record: Record = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(record.stages().unwrap().decode, Duration::from_micros(1500));
        let why = Record {
            encode_ms: -1.0,
            ..record
        }
        .stages()
        .unwrap_err();
        assert!(why.contains("encode_ms is -1"), "{why}");
        assert!(
            Record {
                decode_ms: 1e300,
                ..record
            }
            .stages()
            .is_err()
        );
    }
}
