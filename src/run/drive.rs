//! The loop between a source and a session, with the clock: it takes an input, does the work that
//! the input makes, shows what came of it, and begins again.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::json_lines::JsonLines;
use super::pace::Pace;
use super::process::MemoryGauge;
use super::recording::{Recorder, SnapshotVideos};
use super::timing::{Decided, SharedMeter};
use crate::error::Result;
use crate::model::{Backbone, Perceiver};
use crate::session::{Flow, Session, Work};
use crate::sinks::Speaker;
use crate::stream::{Content, Event, Input, Poll, Sink, Source};
use crate::tui::{Board, Controls, SourceKind, Vitals};

/// Time before a live source is asked again.
pub(super) const PENDING_NAP: Duration = Duration::from_millis(2);

/// Time between two looks for a request of the person, after the end.
pub const LINGER_NAP: Duration = Duration::from_millis(20);

/// Opens the recording again, for going to another place in it.
pub type Reopen<'a> = Box<dyn Fn() -> anyhow::Result<Box<dyn Source>> + 'a>;

/// What a run has besides source, session and sinks.
pub struct Drive<'a> {
    /// What the person asks for at the screen.
    pub controls: Arc<Controls>,
    /// The screen, if there is one.
    pub board: Option<Arc<Board>>,
    /// Sums the times by stage.
    pub meter: SharedMeter,
    /// Reads the memory of the process.
    pub memory: MemoryGauge,
    /// The files of times: that of `--timing`, and that of the recorded session.
    pub timing: Vec<JsonLines>,
    /// Writes the recorded session of `--record` or `--resume`.
    pub recorder: Option<Recorder>,
    /// Writes the videos of snapshots, where the source is a camera.
    pub videos: SnapshotVideos,
    /// Says when the next frame may come.
    pub pace: Pace,
    /// Facts about the run for the screen, which stay the same.
    pub labels: Labels,
    /// When the program began.
    pub started: Instant,
    /// Seconds from then to the first decision.
    pub ready_s: Option<f64>,
    /// When the source last ended. The person may look at the screen for as long as they like after
    /// that.
    pub ended: Option<Instant>,
    /// Opens the recording again; `None` for a source that plays only once.
    pub reopen: Option<Reopen<'a>>,
    /// Speaks a sentence again, if there is a voice.
    pub speaker: Option<Speaker>,
    /// The input that waits for its time.
    pub held: Option<Input>,
    /// How many frames pass although the person pauses.
    pub pass: u32,
    /// Set while the run goes on without waiting until something happens: whether to pause then.
    pub run_on: Option<bool>,
}

/// Facts about a run for the screen, which stay the same.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// For the header.
    pub source_kind: SourceKind,
    /// For the header.
    pub source_name: String,
    /// The device that computes.
    pub device: String,
    /// How the weights are stored.
    pub quantization: String,
}

/// Why a run without an error ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The source has no more inputs.
    SourceEnd,
    /// The person asked to stop.
    Quit,
}

/// Hands events on, and notes whether there was news besides frames, and whether the model's memory
/// was built anew.
struct Noticing<'a> {
    sink: &'a mut dyn Sink,
    happened: bool,
    refreshed: bool,
}

impl Sink for Noticing<'_> {
    fn emit(&mut self, event: &Event) -> Result<()> {
        self.happened |= event.is_news();
        self.refreshed |= matches!(event, Event::Context { .. });
        self.sink.emit(event)
    }

    fn close(&mut self) -> Result<()> {
        self.sink.close()
    }
}

/// Closes the device of a live source while the person pauses.
fn pause_source(source: &mut dyn Source, paused: bool) {
    if let Some(live) = source.live() {
        live.pause(paused);
    }
}

impl Drive<'_> {
    /// Plays the whole source into the session. The session is finished in any case, also after an
    /// error of the source, so that the log of what came before is complete; the caller closes the
    /// sink. With a screen the person may then go back and play on; the run ends when they leave.
    ///
    /// # Errors
    /// The source is lost for good, the arithmetic failed, or a sink could not take an event.
    pub fn run<P: Perceiver, B: Backbone>(
        &mut self,
        source: &mut Box<dyn Source>,
        session: &mut Session<P, B>,
        sink: &mut dyn Sink,
    ) -> Result<Ended> {
        loop {
            let ended = self.play(source, session, sink);
            let finished = session.finish(sink);
            self.ended = Some(Instant::now());
            self.publish(&mut **source, session, 0.0);
            let ended = ended?;
            finished?;
            let seen = self.board.is_some();
            if ended == Ended::Quit || !seen || !self.linger(source, session, sink)? {
                return Ok(ended);
            }
        }
    }

    /// Waits after the end until the person goes back (`true`) or leaves (`false`).
    fn linger<P: Perceiver, B: Backbone>(
        &mut self,
        source: &mut Box<dyn Source>,
        session: &mut Session<P, B>,
        sink: &mut dyn Sink,
    ) -> Result<bool> {
        while !self.controls.stop.asked() {
            match self.controls.requests.take() {
                Some(request) => {
                    if self.grant(request, source, session, sink)? {
                        return Ok(true);
                    }
                }
                None => sleep(LINGER_NAP),
            }
        }
        Ok(false)
    }

    fn play<P: Perceiver, B: Backbone>(
        &mut self,
        source: &mut Box<dyn Source>,
        session: &mut Session<P, B>,
        sink: &mut dyn Sink,
    ) -> Result<Ended> {
        self.publish(&mut **source, session, 0.0);
        while self.work(&mut **source, session, sink, 0.0)? {}
        loop {
            // A camera is closed while the person pauses, also when a typed message lets one frame
            // pass.
            pause_source(&mut **source, self.controls.paused());
            if self.pass == 0 {
                self.pace
                    .pause(&self.controls, || pause_source(&mut **source, true));
            }
            if self.controls.stop.asked() {
                return Ok(Ended::Quit);
            }
            if let Some(request) = self.controls.requests.take() {
                self.grant(request, source, session, sink)?;
                continue;
            }
            let input = match self.held.take() {
                Some(input) => input,
                None => match self.ask(&mut **source)? {
                    Poll::Ready(input) => input,
                    Poll::End => return Ok(Ended::SourceEnd),
                    Poll::Pending => {
                        sleep(PENDING_NAP);
                        continue;
                    }
                },
            };
            self.take(input, &mut **source, session, sink)?;
        }
    }

    pub(super) fn ask(&mut self, source: &mut dyn Source) -> Result<Poll> {
        let start = Instant::now();
        let poll = source.next()?;
        self.meter.lock().decoded(start.elapsed());
        Ok(poll)
    }

    /// Feeds one input when its time has come, and does all the work that it makes. Until then the
    /// input is held.
    fn take<P: Perceiver, B: Backbone>(
        &mut self,
        input: Input,
        source: &mut dyn Source,
        session: &mut Session<P, B>,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let frame = match &input {
            Input::Frame(frame) => Some((frame.idx, frame.at)),
            _ => None,
        };
        let mut late_s = 0.0;
        if let (Some((_, at)), true) = (frame, self.run_on.is_none() && self.pass == 0) {
            let Some(late) = self.pace.wait(at, &self.controls) else {
                self.held = Some(input);
                return Ok(());
            };
            late_s = late;
        }
        self.show_picture(&input);
        if let (Some(recorder), Input::Frame(frame)) = (&self.recorder, &input) {
            recorder.frame(frame)?;
        }
        session.feed(input)?;
        let mut sink = Noticing {
            sink,
            happened: false,
            refreshed: false,
        };
        while self.work(source, session, &mut sink, late_s)? {}
        if let (true, Some(live)) = (sink.refreshed, source.live()) {
            live.catch_up();
        }
        let Some((frame, at)) = frame else {
            return Ok(());
        };
        self.pass = self.pass.saturating_sub(1);
        if let Some(pause) = self.run_on.take_if(|_| sink.happened) {
            self.pace.restart();
            self.controls.set_paused(pause);
        }
        // A camera knows when the frame was taken: the lag is all the way from there to the
        // decision.
        let age_s = source.live().and_then(|live| live.frame_age_s());
        let late_s = age_s.unwrap_or(late_s);
        let clock_s = self.started.elapsed().as_secs_f64();
        self.ready_s.get_or_insert(clock_s);
        let process_bytes = if self.timing.is_empty() {
            None
        } else {
            self.memory.read().resident
        };
        let done = Decided {
            frame,
            at,
            clock_s,
            lag_s: late_s,
            memory_tokens: session.status().memory_tokens,
            process_bytes,
        };
        self.meter.lock().end_frame(done, &mut self.timing)?;
        self.publish(source, session, late_s);
        Ok(())
    }

    /// Does one bounded piece of work. Gives `false` when there is nothing left to do.
    pub(super) fn work<P: Perceiver, B: Backbone>(
        &self,
        source: &mut dyn Source,
        session: &mut Session<P, B>,
        sink: &mut dyn Sink,
        late_s: f64,
    ) -> Result<bool> {
        let flow = session.advance(sink)?;
        // Words appear on the screen as they are written.
        if flow == Flow::Working(Work::Speech) {
            self.publish(source, session, late_s);
        }
        Ok(flow != Flow::Idle)
    }

    pub(super) fn show_picture(&self, input: &Input) {
        let (Some(board), Input::Frame(frame)) = (&self.board, input) else {
            return;
        };
        match &frame.content {
            Content::Picture(picture) => board.picture(Some(picture.clone())),
            Content::Features(_) => board.picture(None),
        }
    }

    pub(super) fn publish<P: Perceiver, B: Backbone>(
        &self,
        source: &mut dyn Source,
        session: &Session<P, B>,
        lag_s: f64,
    ) {
        let Some(board) = &self.board else { return };
        let status = session.status();
        let meter = self.meter.lock();
        board.vitals(Vitals {
            source_kind: self.labels.source_kind,
            source: self.labels.source_name.clone(),
            duration: source.duration(),
            frames_per_s: meter.frames_per_s(),
            realtime_factor: meter.realtime_factor(),
            lag_s,
            memory_tokens: status.memory_tokens,
            memory_capacity: status.memory_capacity,
            memory_reset: status.memory_reset,
            device: self.labels.device.clone(),
            quantization: self.labels.quantization.clone(),
            process_bytes: self.memory.read().resident,
            stages: meter.recent_stages(),
            partial: status.writing.filter(|w| w.speech).map(|w| w.text),
            speed: self.pace.speed(&self.controls),
            paused: self.controls.paused(),
            muted: self.controls.muted(),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::dialogue::layout::{Bytes, TextCodec};
    use crate::model::{HeadLogits, Hidden, Mark, Memory, Piece};
    use crate::session::{NoPerceiver, SessionConfig};
    use crate::sources::ScriptSource;
    use crate::stream::Frame;
    use crate::stream::fake::FakeLive;
    use crate::units::{FrameIdx, Logit, MediaTime, TokenId};
    use candle_core::{Device, Tensor};

    /// What the backbone says to its first frame.
    const SENTENCE: &str = "Stir";

    /// Positions alone.
    struct Positions(Vec<Option<TokenId>>, usize);

    impl Memory for Positions {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn capacity(&self) -> usize {
            self.1
        }
        fn rewind(&mut self, mark: Mark) -> Result<()> {
            self.0.truncate(mark.0);
            Ok(())
        }
        fn evict(&mut self, range: Range<usize>) -> Result<()> {
            self.0.drain(range);
            Ok(())
        }
    }

    /// Speaks at each frame, with a memory of so many tokens; its hidden state is how many tokens
    /// of the sentence are written.
    struct Talker(usize);

    impl Backbone for Talker {
        type Memory = Positions;

        fn new_memory(&self) -> Result<Positions> {
            Ok(Positions(Vec::new(), self.0))
        }
        fn extend(&self, pieces: &[Piece], memory: &mut Positions) -> Result<Hidden> {
            memory.0.extend(pieces.iter().map(|piece| match piece {
                Piece::Token(token) | Piece::Marker(token, _) => Some(*token),
                Piece::Frame { .. } => None,
            }));
            let opened = memory
                .0
                .iter()
                .rposition(|held| *held == Some(Bytes.special().asst));
            let written = opened.map_or(0, |at| memory.0.len() - at - 1);
            Ok(Hidden(Tensor::new(&[[written as f32]], &Device::Cpu)?))
        }
        fn heads(&self, _: &Hidden) -> Result<HeadLogits> {
            Ok(HeadLogits {
                speak: Logit(9.0),
                dst_update: Logit(-9.0),
            })
        }
        fn lm_logits(&self, hidden: &Hidden) -> Result<Vec<f32>> {
            let next = Bytes
                .encode(SENTENCE, false)?
                .get(hidden.to_vec()?[0] as usize)
                .copied()
                .unwrap_or(Bytes.special().eot);
            let mut logits = vec![0.0; Bytes::VOCAB];
            logits[next.0 as usize] = 9.0;
            Ok(logits)
        }
    }

    #[test]
    fn a_sentence_is_on_the_board_while_it_grows_and_a_line_when_it_is_whole() {
        let config = SessionConfig {
            tokens_per_frame: 1,
            step_evidence: false,
            ..SessionConfig::default()
        };
        let mut session = Session::<NoPerceiver, _>::new(
            None,
            Arc::new(Talker(4096)),
            Arc::new(Bytes),
            None,
            config,
        )
        .unwrap();
        let board = Board::new();
        let run = drive(Some(board.clone()));
        let mut source = ScriptSource::new(Vec::new());
        session.feed(frame(0)).unwrap();
        let mut sink = crate::tui::ScreenSink(board.clone());
        let mut seen: Vec<String> = Vec::new();
        while run.work(&mut source, &mut session, &mut sink, 0.0).unwrap() {
            let app = board.snapshot();
            if let Some(text) = app.vitals.partial.filter(|text| !text.is_empty()) {
                assert!(app.dialogue.is_empty(), "what is not whole is no event");
                seen.push(text);
            }
        }
        assert_eq!(seen, ["S", "St", "Sti", "Stir"]);
        let app = board.snapshot();
        assert_eq!(
            app.dialogue
                .iter()
                .map(|line| line.text.as_str())
                .collect::<Vec<_>>(),
            [SENTENCE]
        );
        assert_eq!(app.vitals.partial, None);
    }

    fn frame(k: u64) -> Input {
        Input::Frame(Frame {
            idx: FrameIdx(k),
            at: MediaTime(k as f64 * 0.5),
            content: Content::Features([0.0].into()),
        })
    }

    #[test]
    fn whenever_memory_is_made_anew_the_source_looks_back() {
        let limits = SessionConfig {
            user_tokens_max: 16,
            utterance_tokens_max: 8,
            frames_kept: 2,
            ..SessionConfig::default()
        };
        let config = SessionConfig {
            tokens_per_frame: 1,
            step_evidence: false,
            ..limits
        };
        let mut session = Session::<NoPerceiver, _>::new(
            None,
            Arc::new(Talker(600)),
            Arc::new(Bytes),
            None,
            config,
        )
        .unwrap();
        let (source, asked) = FakeLive::new((0..300).map(frame));
        let mut source: Box<dyn Source> = source;
        let mut events: Vec<Event> = Vec::new();
        drive(None)
            .run(&mut source, &mut session, &mut events)
            .unwrap();
        let refreshed = events
            .iter()
            .filter(|event| matches!(event, Event::Context { .. }))
            .count();
        assert!(refreshed > 1, "{refreshed}");
        let asked = asked.lock().unwrap();
        let caught_up = asked.iter().filter(|what| *what == "catch up").count();
        assert_eq!(caught_up, refreshed);
    }

    fn drive(board: Option<Arc<Board>>) -> Drive<'static> {
        Drive {
            controls: Controls::new(),
            board,
            meter: SharedMeter::default(),
            memory: MemoryGauge::default(),
            timing: Vec::new(),
            recorder: None,
            videos: SnapshotVideos::default(),
            pace: Pace::new(None),
            labels: Labels::default(),
            started: Instant::now(),
            ready_s: None,
            ended: None,
            reopen: None,
            speaker: None,
            held: None,
            pass: 0,
            run_on: None,
        }
    }
}
