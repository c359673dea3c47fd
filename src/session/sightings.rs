//! How long each step was in view, as far as pictures and words tell: what was seen being done is
//! not missing, even if the model never noted it.

use crate::dialogue::task::{StepState, TaskState};
use crate::units::{MediaTime, StepId};

/// A frame counts for this long at most, in seconds: a camera that hangs has seen nothing.
pub(super) const FRAME_S_MAX: f64 = 1.0;

/// Frames that look like a step which has not been noted yet.
#[derive(Clone, Debug)]
pub(super) struct Sightings {
    /// When, of which step, for how many seconds; the oldest first. No more of a step than it
    /// takes.
    frames: Vec<(MediaTime, StepId, f64)>,
    last_at: Option<MediaTime>,
    /// A step was seen that was in view for longer than this, in seconds.
    seen_s_max: f64,
}

impl Sightings {
    /// None yet; `seen_s_max` as `missing_seen_s_max` of the configuration.
    pub(super) fn new(seen_s_max: f64) -> Self {
        Self {
            frames: Vec::new(),
            last_at: None,
            seen_s_max,
        }
    }

    /// Takes a frame's cosines `[S+1]` with the steps' words and those for no step. It counts for
    /// the step whose words fit it best, if that has not been started.
    pub(super) fn add(&mut self, at: MediaTime, cosines: &[f32], state: &TaskState) {
        let lasted_s = self
            .last_at
            .map_or(0.0, |last| (at.0 - last.0).clamp(0.0, FRAME_S_MAX));
        self.last_at = Some(at);
        let Some((best, _)) = cosines.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)) else {
            return;
        };
        let step = StepId(best as u16);
        let counts = lasted_s > 0.0 && self.seen_s_max.is_finite();
        if counts && state.get(step) == Some(StepState::NotStarted) && !self.was_seen(step) {
            self.frames.push((at, step, lasted_s));
        }
    }

    /// Whether a step that nobody noted was in view for long enough.
    pub(super) fn was_seen(&self, step: StepId) -> bool {
        let seen_s: f64 = self
            .frames
            .iter()
            .filter(|(_, of, _)| *of == step)
            .map(|(.., lasted_s)| lasted_s)
            .sum();
        seen_s > self.seen_s_max
    }

    /// A person says that a step has not been started: what looked like it was something else.
    pub(super) fn forget(&mut self, step: StepId) {
        self.frames.retain(|(_, of, _)| *of != step);
    }

    /// Forgets what was seen at `to` or later.
    pub(super) fn go_back(&mut self, to: MediaTime) {
        self.frames.retain(|(at, ..)| *at < to);
        self.last_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::task::Task;

    fn state() -> TaskState {
        TaskState::new(
            &Task::parse("goal = \"g\"\n[[step]]\nname = \"a\"\n[[step]]\nname = \"b\"\n").unwrap(),
        )
    }

    const FIRST: [f32; 3] = [0.5, 0.4, 0.3];
    const SECOND: [f32; 3] = [0.1, 0.4, 0.3];
    const NONE: [f32; 3] = [0.1, 0.4, 0.9];

    fn seen(seen_s_max: f64, frames: &[(f64, [f32; 3])]) -> Sightings {
        let mut seen = Sightings::new(seen_s_max);
        for (at, cosines) in frames {
            seen.add(MediaTime(*at), cosines, &state());
        }
        seen
    }

    #[test]
    fn a_frame_counts_for_the_step_that_it_fits_best_for_as_long_as_it_lasted() {
        // The first has no length yet, and that behind the gap has not shown the gap.
        let frames = [
            (1.0, SECOND),
            (1.5, SECOND),
            (1.75, FIRST),
            (9.0, SECOND),
            (9.5, NONE),
        ];
        for (seen_s_max, both) in [
            (0.2, [true, true]),
            (0.25, [false, true]),
            (0.5 + FRAME_S_MAX, [false; 2]),
            (f64::INFINITY, [false; 2]),
        ] {
            let mut seen = seen(seen_s_max, &frames);
            seen.add(MediaTime(10.0), &[], &state());
            assert_eq!(
                [0, 1].map(|step| seen.was_seen(StepId(step))),
                both,
                "{seen_s_max}"
            );
        }
    }

    #[test]
    fn what_was_seen_later_is_forgotten_and_what_a_person_denies() {
        let frames: Vec<(f64, [f32; 3])> = (0..100).map(|at| (f64::from(at), SECOND)).collect();
        let mut seen = seen(1.5, &frames);
        assert_eq!(seen.frames.len(), 2, "more is not kept");
        seen.go_back(MediaTime(3.0));
        assert!(seen.was_seen(StepId(1)));
        seen.go_back(MediaTime(2.0));
        assert!(!seen.was_seen(StepId(1)));
        let mut seen = self::seen(1.5, &frames);
        seen.forget(StepId(1));
        assert!(!seen.was_seen(StepId(1)));
    }

    #[test]
    fn a_step_that_was_noted_is_not_looked_for() {
        let (mut state, mut seen) = (state(), Sightings::new(0.5));
        state.set(StepId(0), StepState::InProgress);
        for at in [0.0, 1.0, 2.0] {
            seen.add(MediaTime(at), &FIRST, &state);
        }
        assert!(!seen.was_seen(StepId(0)));
    }
}
