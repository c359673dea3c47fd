//! Decides when the next frame of a recording may be taken in, by the clock.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::tui::Controls;
use crate::units::MediaTime;

/// Longest sleep without looking at the controls.
const NAP: Duration = Duration::from_millis(20);

/// Lets frames through at `speed` times the recording's own pace; nothing is ever dropped.
pub struct Pace {
    speed: Option<f64>,
    last: Option<(MediaTime, Instant)>,
    /// Set for a source that keeps to the clock by itself: its first frame.
    live: Option<Option<(MediaTime, Instant)>>,
}

impl Pace {
    /// `None` lets everything through at once.
    pub fn new(speed: Option<f64>) -> Self {
        Self {
            speed,
            last: None,
            live: None,
        }
    }

    /// For a source that keeps to the clock by itself. It never waits, and tells how late each
    /// frame is.
    pub fn live() -> Self {
        Self {
            speed: None,
            last: None,
            live: Some(None),
        }
    }

    /// The speed now, with the factor that the person has set.
    pub fn speed(&self, controls: &Controls) -> Option<f64> {
        self.speed.map(|speed| speed * controls.speed_factor())
    }

    /// Makes the next frame due at once, because it does not follow the last one.
    pub fn restart(&mut self) {
        self.last = None;
    }

    /// Waits until the frame at `at` is due, counted from the one before it, so that a pause or
    /// another speed needs no correction. Gives how late it is, in seconds; `None` when a request
    /// or a pause comes first and the frame has to wait.
    pub fn wait(&mut self, at: MediaTime, controls: &Controls) -> Option<f64> {
        let mut now = Instant::now();
        let mut late_s = 0.0;
        if let Some(first) = &mut self.live {
            let (first_at, first_time) = *first.get_or_insert((at, now));
            return Some(
                ((now - first_time).as_secs_f64() - (at.seconds() - first_at.seconds())).max(0.0),
            );
        }
        if let (Some((last_at, last_time)), true) = (self.last, self.speed.is_some()) {
            // The speed is asked again after each nap: a key acts at once, not after a long gap.
            loop {
                let speed = self.speed(controls).unwrap_or(1.0);
                let due = Duration::from_secs_f64(
                    ((at.seconds() - last_at.seconds()) / speed).clamp(0.0, f64::from(u32::MAX)),
                );
                now = Instant::now();
                let gone = now - last_time;
                if controls.paused() || controls.stop.asked() || !controls.requests.is_empty() {
                    return None;
                }
                if gone >= due {
                    late_s = gone.saturating_sub(due).as_secs_f64();
                    break;
                }
                sleep((due - gone).min(NAP));
            }
        }
        self.last = Some((at, now));
        Some(late_s)
    }

    /// Waits while the person pauses and asks for nothing, calling `meanwhile` now and then.
    /// `true` when there was a pause.
    pub fn pause(&mut self, controls: &Controls, mut meanwhile: impl FnMut()) -> bool {
        let mut paused = false;
        while controls.paused() && !controls.stop.asked() && controls.requests.is_empty() {
            paused = true;
            meanwhile();
            sleep(NAP);
        }
        if let (true, Some((_, time))) = (paused, &mut self.last) {
            *time = Instant::now();
        }
        paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_at_the_speed_asked_for() {
        let controls = Controls::default();
        let mut pace = Pace::new(Some(10.0));
        let start = Instant::now();
        for i in 0..5 {
            pace.wait(MediaTime(f64::from(i) * 0.5), &controls);
        }
        // Two seconds of recording at ten times its speed.
        let took = start.elapsed().as_secs_f64();
        assert!(took >= 0.2, "{took}");
    }

    #[test]
    fn without_a_speed_and_when_quitting_nothing_waits() {
        let controls = Controls::default();
        let start = Instant::now();
        let mut pace = Pace::new(None);
        pace.wait(MediaTime(0.0), &controls);
        pace.wait(MediaTime(1e6), &controls);
        let mut pace = Pace::new(Some(1.0));
        pace.wait(MediaTime(0.0), &controls);
        controls.stop.ask();
        pace.wait(MediaTime(1e6), &controls);
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}
