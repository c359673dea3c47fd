//! Plays a recorded session on the same screen, or as lines, without any model.

use std::io::Write;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use super::drive::LINGER_NAP;
use super::outputs::Face;
use super::pace::Pace;
use super::recording::{self, RecordedSession};
use super::timing::{Record, SharedMeter};
use crate::error::Result;
use crate::stream::{Event, Sink};
use crate::tui::{Board, Controls, Request, SourceKind, Vitals};
use crate::units::MediaTime;

/// Plays a recorded session to the screen or as lines of text.
pub struct Player<'a> {
    recorded: &'a RecordedSession,
    pace: Pace,
    controls: Arc<Controls>,
    board: Option<Arc<Board>>,
    meter: SharedMeter,
    /// Index of the event that comes next.
    next: usize,
    /// Time of the newest frame.
    at: MediaTime,
}

impl<'a> Player<'a> {
    /// Begins at the start of the session. The `speed` is relative to the recording; `None` plays
    /// as fast as the events can be read.
    pub fn new(
        recorded: &'a RecordedSession,
        speed: Option<f64>,
        controls: Arc<Controls>,
        board: Option<Arc<Board>>,
    ) -> Self {
        Self {
            recorded,
            pace: Pace::new(speed),
            controls,
            board,
            meter: SharedMeter::default(),
            next: 0,
            at: MediaTime::default(),
        }
    }

    /// Shows all events at once.
    #[cfg(test)]
    fn rush(&mut self) -> Result<()> {
        let board = self.board.clone().unwrap_or_default();
        let mut face: Face<std::io::Stdout> = Face::Screen(crate::tui::ScreenSink(board));
        while self.next < self.recorded.events.len() {
            self.show(true, &mut face)?;
        }
        Ok(())
    }

    /// Shows all events. With a screen the person may then go back and look again; the player ends
    /// when they leave.
    ///
    /// # Errors
    /// A sink could not take an event.
    pub fn play<W: Write>(mut self, face: &mut Face<W>) -> anyhow::Result<()> {
        self.publish(None);
        loop {
            self.pace.pause(&self.controls, || {});
            if self.controls.stop.asked() {
                break;
            }
            if let Some(request) = self.controls.requests.take() {
                self.grant(request, face)?;
                continue;
            }
            match self.recorded.events.get(self.next) {
                Some(event) if self.is_due(event) => self.show(true, face)?,
                Some(_) => {}
                None if self.board.is_some() => sleep(LINGER_NAP),
                None => break,
            }
        }
        if let (Face::Lines(plain), false) = (&mut *face, self.recorded.ended()) {
            plain.note("the session was broken off here; --resume goes on with it")?;
        }
        let mut sink = &mut *face;
        Ok(sink.close()?)
    }

    /// Waits until the time of an event has come. Gives `false` when a request or a pause comes
    /// first.
    fn is_due(&mut self, event: &Event) -> bool {
        match event {
            Event::Frame { at, .. } => self.pace.wait(*at, &self.controls).is_some(),
            Event::Seek { .. } => {
                self.pace.restart();
                true
            }
            _ => true,
        }
    }

    /// Shows the next event. Its picture and the run's own figures are shown only where somebody
    /// can see them (`seen`).
    fn show<W: Write>(&mut self, seen: bool, face: &mut Face<W>) -> Result<()> {
        let Some(event) = self.recorded.events.get(self.next) else {
            return Ok(());
        };
        self.next += 1;
        if let (Event::Frame { frame, .. }, Some(board), true) = (event, &self.board, seen) {
            board.picture(self.recorded.picture(*frame));
        }
        let mut sink = &mut *face;
        sink.emit(event)?;
        let Event::Frame { frame, at, .. } = event else {
            return Ok(());
        };
        self.at = *at;
        if seen {
            let times = self.recorded.timing.get(frame);
            self.meter
                .lock()
                .count(*at, times.map(|(_, stages)| *stages).unwrap_or_default());
            self.publish(times.map(|(record, _)| record));
        }
        Ok(())
    }

    /// Grants a request: to move in the session, or to write a snapshot or subtitles. Nothing in
    /// the session can be changed.
    fn grant<W: Write>(&mut self, request: Request, face: &mut Face<W>) -> Result<()> {
        match request {
            Request::SeekBy(seconds) => self.seek(MediaTime(self.at.seconds() + seconds), face)?,
            Request::SeekTo(to) => self.seek(to, face)?,
            Request::NextEvent => {
                while self
                    .recorded
                    .events
                    .get(self.next)
                    .is_some_and(|event| !event.is_news())
                {
                    self.show(false, face)?;
                }
                self.look(face)?;
            }
            Request::Repeat => {
                let said = |board: &Arc<Board>| {
                    board
                        .snapshot()
                        .last_utterance()
                        .map(|line| format!("said last: {}", line.text))
                };
                self.board
                    .iter()
                    .for_each(|board| said(board).into_iter().for_each(|words| board.note(words)));
            }
            Request::Snapshot | Request::Subtitles => {
                recording::keep(self.board.as_deref(), &request)
            }
            _ => self
                .board
                .iter()
                .for_each(|board| board.note("! a recorded session: nothing can be changed in it")),
        }
        Ok(())
    }

    /// Goes to the first frame at `to` or later.
    fn seek<W: Write>(&mut self, to: MediaTime, face: &mut Face<W>) -> Result<()> {
        if to < self.at {
            (self.next, self.at) = (0, MediaTime::default());
        }
        while self.next < self.recorded.events.len() && self.at < to {
            self.show(false, face)?;
        }
        self.look(face)
    }

    /// Shows the newest frame with all that happened at it. The frame that follows is due at once.
    fn look<W: Write>(&mut self, face: &mut Face<W>) -> Result<()> {
        while self
            .recorded
            .events
            .get(self.next)
            .is_some_and(|e| !matches!(e, Event::Frame { .. } | Event::Seek { .. }))
        {
            self.show(false, face)?;
        }
        self.pace.restart();
        let frame = self.recorded.events[..self.next]
            .iter()
            .rev()
            .find_map(|event| match event {
                Event::Frame { frame, .. } => Some(*frame),
                _ => None,
            });
        if let Some(board) = &self.board {
            board.picture(frame.and_then(|frame| self.recorded.picture(frame)));
        }
        let times = frame.and_then(|frame| self.recorded.timing.get(&frame));
        self.publish(times.map(|(record, _)| record));
        Ok(())
    }

    /// Shows the run's own figures as they were recorded.
    fn publish(&self, times: Option<&Record>) {
        let Some(board) = &self.board else { return };
        let about = &self.recorded.about;
        let broken = if self.recorded.ended() {
            ""
        } else {
            " (broken off)"
        };
        let meter = self.meter.lock();
        board.vitals(Vitals {
            source_kind: SourceKind::Recorded,
            source: format!("{}{broken}", about.source.name),
            duration: about
                .duration_s
                .filter(|s| Duration::try_from_secs_f64(*s).is_ok())
                .map(MediaTime),
            frames_per_s: meter.frames_per_s(),
            realtime_factor: meter.realtime_factor(),
            lag_s: times.map_or(0.0, |record| record.lag_s),
            memory_tokens: times.map_or(0, |record| record.memory_tokens),
            process_bytes: times.and_then(|record| record.process_bytes),
            memory_capacity: about.memory_capacity,
            memory_reset: about.memory_reset,
            device: about.device.clone(),
            quantization: about.quantization.clone(),
            stages: meter.recent_stages(),
            speed: self.pace.speed(&self.controls),
            paused: self.controls.paused(),
            muted: self.controls.muted(),
            ..Vitals::default()
        });
    }
}

/// What the screen shows at the end of a recorded session.
#[cfg(test)]
pub(crate) fn shown_at_the_end(folder: &std::path::Path) -> crate::tui::App {
    let (recorded, board) = (RecordedSession::open(folder).unwrap(), Board::new());
    let mut player = Player::new(&recorded, Some(4.0), Controls::new(), Some(board.clone()));
    player.rush().unwrap();
    board.snapshot()
}
