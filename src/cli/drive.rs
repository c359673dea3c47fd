//! The loop between a source and a session, with the clock: take an input, work on it, tell, repeat.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::pace::Pace;
use super::process::ProcessMemory;
use super::timing::{Lines, Shared};
use crate::error::Result;
use crate::model::{Backbone, Perceiver};
use crate::session::{Flow, Session, Work};
use crate::stream::{Content, Input, Poll, Sink, Source};
use crate::tui::{Board, Controls, Mode, Status};

/// Rest before a live source is asked again.
const PENDING_NAP: Duration = Duration::from_millis(2);

/// What a run has besides source, session and sinks.
pub struct Drive {
    /// What the person wants.
    pub controls: Arc<Controls>,
    /// The screen, if there is one.
    pub board: Option<Arc<Board>>,
    /// Times by stage.
    pub meter: Shared,
    /// `--timing`.
    pub timing: Option<Lines>,
    /// When the next frame may come.
    pub pace: Pace,
    /// For the header.
    pub mode: Mode,
    /// For the header.
    pub source_name: String,
    /// When the program began.
    pub started: Instant,
    /// From then to the first decision.
    pub ready_s: Option<f64>,
}

/// Why a run ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The source has no more.
    SourceEnd,
    /// The person asked to stop.
    Quit,
}

impl Drive {
    /// Plays the whole source into the session. The session is finished in any case, also after an error of the
    /// source, so that what was seen until then is complete; closing the sink is the caller's.
    ///
    /// # Errors
    /// The source is lost for good, the arithmetic failed, or a sink could not take an event.
    pub fn run<P: Perceiver, B: Backbone>(
        &mut self,
        source: &mut dyn Source,
        session: &mut Session<P, B>,
        sink: &mut dyn Sink,
    ) -> Result<Ended> {
        let ended = self.play(source, session, sink);
        let finished = session.finish(sink);
        self.publish(source, session, 0.0);
        if let Some(timing) = &mut self.timing {
            timing.close()?;
        }
        let ended = ended?;
        finished?;
        Ok(ended)
    }

    fn play<P: Perceiver, B: Backbone>(
        &mut self,
        source: &mut dyn Source,
        session: &mut Session<P, B>,
        sink: &mut dyn Sink,
    ) -> Result<Ended> {
        self.publish(source, session, 0.0);
        while self.work(source, session, sink, 0.0)? {}
        loop {
            self.pace.pause(&self.controls);
            if self.controls.quitting() {
                return Ok(Ended::Quit);
            }
            let start = Instant::now();
            let poll = source.next()?;
            self.meter.lock().decoded(start.elapsed());
            let input = match poll {
                Poll::Ready(input) => input,
                Poll::End => return Ok(Ended::SourceEnd),
                Poll::Pending => {
                    sleep(PENDING_NAP);
                    continue;
                }
            };
            let frame = match &input {
                Input::Frame(frame) => Some((frame.idx, frame.at)),
                _ => None,
            };
            let late_s = frame.map_or(0.0, |(_, at)| self.pace.wait(at, &self.controls));
            self.show_picture(&input);
            session.feed(input)?;
            while self.work(source, session, sink, late_s)? {}
            if let Some((idx, at)) = frame {
                self.ready_s.get_or_insert_with(|| self.started.elapsed().as_secs_f64());
                self.meter.lock().end_frame(idx, at, self.timing.as_mut())?;
                self.publish(source, session, late_s);
            }
        }
    }

    /// One bounded piece of work. `false` when there is nothing left to do.
    fn work<P: Perceiver, B: Backbone>(
        &self,
        source: &dyn Source,
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

    fn show_picture(&self, input: &Input) {
        let (Some(board), Input::Frame(frame)) = (&self.board, input) else { return };
        match &frame.content {
            Content::Picture(picture) => board.picture(Some(picture.clone())),
            Content::Features(_) => board.picture(None),
        }
    }

    fn publish<P: Perceiver, B: Backbone>(&self, source: &dyn Source, session: &Session<P, B>, lag_s: f64) {
        let Some(board) = &self.board else { return };
        let status = session.status();
        let meter = self.meter.lock();
        board.status(Status {
            mode: self.mode,
            source: self.source_name.clone(),
            duration: source.duration(),
            frames_per_s: meter.frames_per_s(),
            realtime_factor: meter.realtime_factor(),
            lag_s,
            memory_tokens: status.memory_tokens,
            memory_capacity: status.memory_capacity,
            process_bytes: ProcessMemory::read().resident,
            stages: meter.recent_stages(),
            partial: status.writing.filter(|w| w.speech).map(|w| w.text),
            speed: self.pace.speed(&self.controls),
            paused: self.controls.paused(),
            muted: self.controls.muted(),
        });
    }
}
