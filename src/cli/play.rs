//! `proact play`: a recorded session on the same screen, or as lines, without any model.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::engine;
use super::outputs::Face;
use super::pace::Pace;
use super::plain::Plain;
use super::recorded::Recorded;
use super::timing::Shared;
use super::{log, signals};
use crate::stream::{Event, Sink};
use crate::tui::{Board, Controls, Mode, Status};
use crate::units::MediaTime;

/// Shows a recorded session again, without a model.
///
/// DIR was made by --record. On a terminal this is the same screen as of the run itself; otherwise, or
/// with --headless, the same facts come as lines, as fast as they can be read unless --speed is given.
/// A session that was broken off is shown up to there.
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
        Player { recorded: &recorded, pace: Pace::new(speed), controls: controls.clone(), board, meter: meter.clone() }.play(face)
    };
    let result = if screen {
        engine::with_screen(&controls, &held, engine::screen_options(None, true), show).map(|shown| shown.map(|((), app)| app))
    } else {
        let plain = Plain::new(std::io::stdout(), engine::GATE_LINES_EVERY_S, controls.clone());
        let mut face = Face::Lines(Box::new(plain));
        show(None, &mut face).map(|()| Some(face.into_app()))
    };
    engine::sum_up(result, &held, &controls, |app, out| super::plain::print_steps(out, app))
}

struct Player<'a> {
    recorded: &'a Recorded,
    pace: Pace,
    controls: Arc<Controls>,
    board: Option<Arc<Board>>,
    meter: Shared,
}

impl Player<'_> {
    fn play(mut self, face: &mut Face<std::io::Stdout>) -> anyhow::Result<()> {
        self.publish(None);
        for event in &self.recorded.events {
            if !self.wait_for(event) {
                break;
            }
            if let (Event::Frame { frame, .. }, Some(board)) = (event, &self.board) {
                board.picture(self.recorded.picture(*frame));
            }
            let mut sink = &mut *face;
            sink.emit(event)?;
            if let Event::Frame { frame, at, .. } = event {
                let times = self.recorded.timing.get(frame);
                self.meter.lock().count(*at, times.map(|(_, stages)| *stages).unwrap_or_default());
                self.publish(times.map(|(record, _)| (record.lag_s, record.memory_tokens)));
            }
        }
        if let (Face::Lines(plain), false) = (&mut *face, self.recorded.ended()) {
            plain.note("the session was broken off here; --resume goes on with it")?;
        }
        let mut sink = &mut *face;
        Ok(sink.close()?)
    }

    /// Waits until an event is due; `false` when the person leaves instead.
    fn wait_for(&mut self, event: &Event) -> bool {
        loop {
            self.pace.pause(&self.controls);
            while self.controls.wishes.take().is_some() {
                if let Some(board) = &self.board {
                    board.note("! this is a recorded session: nothing can be changed in it");
                }
            }
            if self.controls.quitting() {
                return false;
            }
            if self.controls.paused() {
                continue;
            }
            match event {
                Event::Frame { at, .. } if self.pace.wait(*at, &self.controls).is_none() => {}
                Event::Seek { .. } => {
                    self.pace.restart();
                    return true;
                }
                _ => return true,
            }
        }
    }

    /// The run's own figures, as they were recorded.
    fn publish(&self, times: Option<(f64, usize)>) {
        let Some(board) = &self.board else { return };
        let (lag_s, memory_tokens) = times.unwrap_or_default();
        let about = &self.recorded.about;
        let broken = if self.recorded.ended() { "" } else { " (broken off)" };
        let meter = self.meter.lock();
        board.status(Status {
            mode: Mode::Recorded,
            source: format!("{}{broken}", about.source.name),
            duration: about.duration_s.filter(|s| Duration::try_from_secs_f64(*s).is_ok()).map(MediaTime),
            frames_per_s: meter.frames_per_s(),
            realtime_factor: meter.realtime_factor(),
            lag_s,
            memory_tokens,
            memory_capacity: about.memory_capacity,
            stages: meter.recent_stages(),
            speed: self.pace.speed(&self.controls),
            paused: self.controls.paused(),
            muted: self.controls.muted(),
            ..Status::default()
        });
    }
}
