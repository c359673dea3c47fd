//! Does what the person asks for at the screen, between two frames. A request that cannot be
//! granted changes nothing, and the log panel says why; only a sink that fails ends the run.

use std::path::Path;

use super::drive::Drive;
use super::recording;
use crate::dialogue::task::Task;
use crate::error::{Error, Result};
use crate::model::{Backbone, Perceiver};
use crate::session::Session;
use crate::sources::StartingAt;
use crate::stream::{GateName, Input, Poll, Sink, Source};
use crate::tui::Request;
use crate::units::{MediaTime, Threshold};

/// A key moves a threshold to the next multiple of this.
const THRESHOLD_STEP: f32 = 0.05;

impl Drive<'_> {
    /// Grants one request. Gives `true` when the source has moved: there is something to play
    /// again.
    ///
    /// # Errors
    /// A sink or the arithmetic failed.
    pub(super) fn grant<P: Perceiver, B: Backbone>(
        &mut self,
        request: Request,
        source: &mut Box<dyn Source>,
        session: &mut Session<P, B>,
        sink: &mut dyn Sink,
    ) -> Result<bool> {
        let mut moved = false;
        let granted = match request {
            Request::Say(text) => self.say(text, session),
            Request::Hand(hand) => session.feed(Input::Hand {
                at: session.now(),
                hand,
            }),
            Request::Threshold(gate, steps) => move_threshold(gate, steps, session, sink),
            Request::SeekBy(seconds) => {
                let to = session.now().seconds() + seconds;
                self.seek(to, source, session, sink).map(|()| moved = true)
            }
            Request::SeekTo(to) => self
                .seek(to.seconds(), source, session, sink)
                .map(|()| moved = true),
            Request::NextEvent => {
                let paused = self.controls.paused();
                self.run_on.get_or_insert(paused);
                self.controls.set_paused(false);
                Ok(())
            }
            Request::Repeat => self.repeat(),
            Request::Task(path) => self.change_task(&path, session, sink),
            Request::Snapshot | Request::Subtitles => {
                recording::keep(self.board.as_deref(), &request);
                if let (Request::Snapshot, Some(board), Some(seen)) = (
                    &request,
                    &self.board,
                    source.live().and_then(|l| l.look_back()),
                ) {
                    self.videos.keep(board, seen);
                }
                Ok(())
            }
        };
        match granted {
            Err(Error::Sink(why)) => return Err(Error::Sink(why)),
            Err(why) => self.tell(format!("! {why}")),
            Ok(()) => {}
        }
        while self.work(&mut **source, session, sink, 0.0)? {}
        self.publish(&mut **source, session, 0.0);
        Ok(moved)
    }

    /// Changes the task. A recorded session goes on with the new one.
    fn change_task<P: Perceiver, B: Backbone>(
        &self,
        path: &Path,
        session: &mut Session<P, B>,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let task = Task::read(path)?;
        session.change_task(task.clone(), sink)?;
        self.recorder
            .as_ref()
            .map_or(Ok(()), |recorder| recorder.task(&task))
    }

    /// Shows a line on the log panel.
    fn tell(&self, line: String) {
        if let Some(board) = &self.board {
            board.note(line);
        }
    }

    /// Feeds the person's words. One frame passes a pause, so that the model can answer.
    fn say<P: Perceiver, B: Backbone>(
        &mut self,
        text: String,
        session: &mut Session<P, B>,
    ) -> Result<()> {
        session.feed(Input::User {
            at: session.now(),
            text,
        })?;
        session.answer_next();
        self.pass = 1;
        Ok(())
    }

    /// Opens the recording again at another place. The picture there is shown even while the person
    /// pauses.
    fn seek<P: Perceiver, B: Backbone>(
        &mut self,
        to: f64,
        source: &mut Box<dyn Source>,
        session: &mut Session<P, B>,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let Some(reopen) = &self.reopen else {
            return Err(Error::Invalid(
                "this source plays once, by the clock: nobody can move in it".into(),
            ));
        };
        let end = source.duration().map_or(f64::MAX, MediaTime::seconds);
        let to = MediaTime(to.clamp(0.0, end));
        let fresh =
            reopen().map_err(|why| Error::Source(format!("cannot be opened again: {why:#}")))?;
        session.seek(to, sink)?;
        *source = Box::new(StartingAt::new(fresh, to));
        // Running on to the next event ends here, and the pause that it passed comes back.
        if let Some(pause) = self.run_on.take() {
            self.controls.set_paused(pause);
        }
        self.pace.restart();
        self.held = loop {
            match self.ask(&mut **source)? {
                Poll::Ready(input) => break Some(input),
                // Decoding up to a far place must not hold up a person who wants to leave.
                Poll::Pending if !self.controls.stop.asked() => {}
                Poll::Pending | Poll::End => break None,
            }
        };
        if let Some(input) = &self.held {
            self.show_picture(input);
        }
        Ok(())
    }

    fn repeat(&self) -> Result<()> {
        let Some(app) = self.board.as_ref().map(|board| board.snapshot()) else {
            return Ok(());
        };
        let Some(line) = app.last_utterance() else {
            return Ok(());
        };
        let why_silent = match &self.speaker {
            _ if self.controls.muted() => " (muted: m lets it speak)",
            Some(speaker) => {
                speaker.say(&line.text);
                ""
            }
            None => " (no voice: --speak-cmd CMD gives one)",
        };
        self.tell(format!("said last: {}{why_silent}", line.text));
        Ok(())
    }
}

fn move_threshold<P: Perceiver, B: Backbone>(
    gate: GateName,
    steps: i32,
    session: &mut Session<P, B>,
    sink: &mut dyn Sink,
) -> Result<()> {
    let Some(Threshold(now)) = session.threshold(gate) else {
        return Err(Error::Invalid(
            "the gate is off: it has no threshold".into(),
        ));
    };
    // Thresholds stay on a grid, so that a step up and a step down cancel each other.
    let place = (now / THRESHOLD_STEP).round() + steps as f32;
    // Two decimals: the threshold that is shown is the one that decides.
    let next = ((place * THRESHOLD_STEP * 100.0).round() / 100.0).clamp(0.0, 1.0);
    session.set_threshold(gate, Threshold(next), sink)
}
