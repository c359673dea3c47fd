//! Between the engine's thread and the screen's: what is shown, and what the person wants.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::app::App;
use super::request::Requests;
use super::vitals::Vitals;
use crate::error::Result;
use crate::stop::Stop;
use crate::stream::{Event, Picture, Sink};

/// The playing speed is doubled or halved at most this many times.
const SPEED_STEPS_MAX: i32 = 6;

/// The state on show. Writers hold the lock for the time of one fold; nobody draws under it.
#[derive(Default)]
pub struct Board {
    app: Mutex<App>,
    revision: AtomicU64,
}

impl Board {
    /// An empty board.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Folds an event in.
    pub fn event(&self, event: &Event) {
        self.lock().update(event);
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// Replaces the run's own measurements.
    pub fn vitals(&self, vitals: Vitals) {
        self.lock().measure(vitals);
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// Adds a line to the log panel.
    pub fn note(&self, line: impl Into<String>) {
        self.lock().note(line.into());
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// Shows another picture, or none.
    pub fn picture(&self, picture: Option<Arc<Picture>>) {
        self.lock().picture = picture;
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// A number that grows with every change of the board.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// A copy to draw from.
    pub fn snapshot(&self) -> App {
        self.lock().clone()
    }

    /// A panic elsewhere must not blank the screen: the data is plain and stays readable.
    fn lock(&self) -> MutexGuard<'_, App> {
        self.app.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the person wants, for the engine to look at between two pieces of work.
#[derive(Debug, Default)]
pub struct Controls {
    /// Asks everyone to stop.
    pub stop: Arc<Stop>,
    suspend: AtomicBool,
    paused: AtomicBool,
    muted: AtomicBool,
    speed_steps: AtomicI32,
    /// Requests to the session; a pause is interrupted for as long as it takes to grant them.
    pub requests: Requests,
}

impl Controls {
    /// Controls that nobody has touched yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Asks the screen to give the terminal back, and the whole job to stop until the shell says to
    /// go on.
    pub fn suspend(&self) {
        self.suspend.store(true, Ordering::Release);
    }

    /// Whether [`Self::suspend`] was called since the last look.
    pub fn take_suspend(&self) -> bool {
        self.suspend.swap(false, Ordering::AcqRel)
    }

    /// Whether no frame shall be taken in.
    pub fn paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Pauses, or goes on.
    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    /// Pauses where the run goes on, goes on where it pauses.
    pub fn toggle_pause(&self) {
        self.paused.fetch_xor(true, Ordering::AcqRel);
    }

    /// Whether nothing shall be spoken aloud.
    pub fn muted(&self) -> bool {
        self.muted.load(Ordering::Acquire)
    }

    /// Mutes or speaks again.
    pub fn toggle_mute(&self) {
        self.muted.fetch_xor(true, Ordering::AcqRel);
    }

    /// Factor on the playing speed: a power of two, 1 at first.
    pub fn speed_factor(&self) -> f64 {
        f64::from(self.speed_steps.load(Ordering::Acquire)).exp2()
    }

    /// Doubles (`1`) or halves (`-1`) the playing speed.
    pub fn change_speed(&self, steps: i32) {
        let new = (self.speed_steps.load(Ordering::Acquire) + steps)
            .clamp(-SPEED_STEPS_MAX, SPEED_STEPS_MAX);
        self.speed_steps.store(new, Ordering::Release);
    }
}

/// The screen as one sink among the others.
pub struct ScreenSink(pub Arc<Board>);

impl Sink for ScreenSink {
    fn emit(&mut self, event: &Event) -> Result<()> {
        self.0.event(event);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::sample;

    #[test]
    fn every_change_is_told_and_seen() {
        let board = Board::new();
        let before = board.revision();
        ScreenSink(board.clone()).emit(&sample::session()).unwrap();
        assert_ne!(board.revision(), before);
        assert_eq!(board.snapshot().steps.len(), sample::STEPS.len());
    }

    #[test]
    fn the_speed_has_bounds() {
        let controls = Controls::default();
        for _ in 0..100 {
            controls.change_speed(1);
        }
        assert_eq!(controls.speed_factor(), 64.0);
        controls.change_speed(-1);
        assert_eq!(controls.speed_factor(), 32.0);
    }
}
