//! `proact play`: a recorded session on the same screen, or as lines, without any model.

use std::io::{Stdout, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use super::drive::LINGER_NAP;
use super::outputs::Face;
use super::pace::Pace;
use super::plain::Plain;
use super::recorded::Recorded;
use super::timing::{Record, Shared};
use super::{engine, keepsake, log, signals};
use crate::error::Result;
use crate::stream::{Event, Sink};
use crate::tui::{Board, Controls, Mode, Status, Wish};
use crate::units::MediaTime;

/// Shows a recorded session again, without a model.
///
/// DIR was made by --record. On a terminal this is the same screen as of the run itself; otherwise,
/// or with --headless, the same facts come as lines, as fast as they can be read unless --speed is
/// given. The keys that move in a recording move here too; nothing in the session can be changed.
/// One that was broken off is shown up to there.
///
/// Examples:
///   proact demo --record sessions/salad --save-frames
///   proact play sessions/salad --speed 8
///   proact play sessions/salad | grep proact:
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Folder of a recorded session
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Playing speed, relative to the recording [default: 1 on the screen]
    #[arg(long, value_name = "X")]
    speed: Option<f64>,

    /// Lines of text even on a terminal
    #[arg(long)]
    headless: bool,
}

/// Plays a session.
///
/// # Errors
/// The folder holds no session, or a broken one; the terminal cannot be used.
pub fn run(args: Args) -> anyhow::Result<()> {
    if let Some(speed) = args.speed.filter(|s| !(s.is_finite() && *s > 0.0)) {
        anyhow::bail!("--speed {speed}: expected a number above 0");
    }
    let recorded = Recorded::open(&args.folder)?;
    let screen = !args.headless && engine::has_screen();
    let held = log::start("warn", screen)?;
    let controls = Controls::new();
    signals::watch(&controls)?;
    let meter = Shared::default();
    let speed = args.speed.or(screen.then_some(1.0));
    let show = |board: Option<Arc<Board>>, face: &mut Face<_>| {
        let (pace, controls, meter) = (Pace::new(speed), controls.clone(), meter.clone());
        Player {
            recorded: &recorded,
            pace,
            controls,
            board,
            meter,
            next: 0,
            at: MediaTime::default(),
        }
        .play(face)
    };
    let result = if screen {
        engine::with_screen(&controls, &held, engine::screen_options(None, true), show)
            .map(|shown| shown.map(|((), app)| app))
    } else {
        let plain = Plain::new(stdout(), engine::GATE_LINES_EVERY_S, controls.clone());
        let mut face = Face::Lines(Box::new(plain));
        show(None, &mut face).map(|()| Some(face.into_app()))
    };
    engine::sum_up(result, &held, &controls, |app, out| {
        super::plain::print_steps(out, app)
    })
}

struct Player<'a> {
    recorded: &'a Recorded,
    pace: Pace,
    controls: Arc<Controls>,
    board: Option<Arc<Board>>,
    meter: Shared,
    /// The event that comes next.
    next: usize,
    /// Time of the newest frame.
    at: MediaTime,
}

impl Player<'_> {
    /// Shows all events at once, and nothing of it to anybody.
    #[cfg(test)]
    fn rush(&mut self) -> Result<()> {
        let board = self.board.clone().unwrap_or_default();
        let mut face = Face::Screen(crate::tui::ScreenSink(board));
        while self.next < self.recorded.events.len() {
            self.show(true, &mut face)?;
        }
        Ok(())
    }

    /// Shows all events. With a screen the person may then go back and look again; it ends when
    /// they leave.
    fn play(mut self, face: &mut Face<Stdout>) -> anyhow::Result<()> {
        self.publish(None);
        loop {
            self.pace.pause(&self.controls, || {});
            if self.controls.quitting() {
                break;
            }
            if let Some(wish) = self.controls.wishes.take() {
                self.grant(wish, face)?;
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

    /// Waits until an event's time has come; `false` when the person wants something else first.
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

    /// Shows the next event; its picture and the run's own figures only where somebody can see
    /// them.
    fn show(&mut self, seen: bool, face: &mut Face<Stdout>) -> Result<()> {
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

    /// Moves in the session, or keeps something of it; nothing in it can be changed.
    fn grant(&mut self, wish: Wish, face: &mut Face<Stdout>) -> Result<()> {
        match wish {
            Wish::SeekBy(seconds) => self.seek(MediaTime(self.at.seconds() + seconds), face)?,
            Wish::SeekTo(to) => self.seek(to, face)?,
            Wish::NextEvent => {
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
            Wish::Repeat => {
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
            Wish::Snapshot | Wish::Subtitles => keepsake::keep(self.board.as_deref(), &wish),
            _ => self
                .board
                .iter()
                .for_each(|board| board.note("! a recorded session: nothing can be changed in it")),
        }
        Ok(())
    }

    /// Goes to the first frame at `to` or later, from the beginning when it lies behind.
    fn seek(&mut self, to: MediaTime, face: &mut Face<Stdout>) -> Result<()> {
        if to < self.at {
            (self.next, self.at) = (0, MediaTime::default());
        }
        while self.next < self.recorded.events.len() && self.at < to {
            self.show(false, face)?;
        }
        self.look(face)
    }

    /// Shows the newest frame with all that happened at it; the one that follows is due at once.
    fn look(&mut self, face: &mut Face<Stdout>) -> Result<()> {
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

    /// The run's own figures, as they were recorded.
    fn publish(&self, times: Option<&Record>) {
        let Some(board) = &self.board else { return };
        let about = &self.recorded.about;
        let broken = if self.recorded.ended() {
            ""
        } else {
            " (broken off)"
        };
        let meter = self.meter.lock();
        board.status(Status {
            mode: Mode::Recorded,
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
            ..Status::default()
        });
    }
}

/// What the screen shows at the end of a recorded session.
#[cfg(test)]
pub(crate) fn shown_at_the_end(folder: &std::path::Path) -> crate::tui::App {
    let (recorded, board) = (Recorded::open(folder).unwrap(), Board::new());
    let (pace, controls, meter) = (Pace::new(Some(4.0)), Controls::new(), Shared::default());
    let mut player = Player {
        recorded: &recorded,
        pace,
        controls,
        board: Some(board.clone()),
        meter,
        next: 0,
        at: MediaTime::default(),
    };
    player.rush().unwrap();
    board.snapshot()
}
