//! How long each step was in view, as far as pictures and words tell: what was seen being done is not missing, even if the
//! model never noted it.

use crate::dialogue::task::{StepState, TaskState};
use crate::units::{MediaTime, StepId};

/// A frame counts for this long at most, in seconds: a camera that hangs has seen nothing.
const FRAME_S_MAX: f64 = 1.0;

/// Frames that look like a step which has not been noted yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Sightings {
    /// When, of which step, for how many seconds; the oldest first.
    frames: Vec<(MediaTime, StepId, f64)>,
    last_at: Option<MediaTime>,
}

impl Sightings {
    /// Takes a frame's cosines `[S+1]` with the steps' words and those for no step. It counts for the step whose words fit
    /// it best, if that has not been started.
    pub(super) fn add(&mut self, at: MediaTime, cosines: &[f32], state: &TaskState) {
        let lasted_s = self.last_at.map_or(0.0, |last| (at.0 - last.0).clamp(0.0, FRAME_S_MAX));
        self.last_at = Some(at);
        let Some((best, _)) = cosines.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)) else { return };
        let step = StepId(best as u16);
        if state.get(step) == Some(StepState::NotStarted) {
            self.frames.push((at, step, lasted_s));
        }
    }

    /// Seconds for which a step was in view.
    pub(super) fn seen_s(&self, step: StepId) -> f64 {
        self.frames.iter().filter(|(_, of, _)| *of == step).map(|(.., lasted_s)| lasted_s).sum()
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
        TaskState::new(&Task::parse("goal = \"g\"\n[[step]]\nname = \"a\"\n[[step]]\nname = \"b\"\n").unwrap())
    }

    #[test]
    fn a_frame_counts_for_the_step_that_it_fits_best_for_as_long_as_it_lasted() {
        let (first, second, none) = ([0.5, 0.4, 0.3], [0.1, 0.4, 0.3], [0.1, 0.4, 0.9]);
        let mut seen = Sightings::default();
        for (at, cosines) in [(1.0, second), (1.5, second), (1.75, first), (9.0, second), (9.5, none)] {
            seen.add(MediaTime(at), &cosines, &state());
        }
        seen.add(MediaTime(10.0), &[], &state());
        // The first has no length yet, and that behind the gap has not shown the gap.
        assert_eq!([0, 1].map(|step| seen.seen_s(StepId(step))), [0.25, 0.5 + FRAME_S_MAX]);
        seen.go_back(MediaTime(9.0));
        assert_eq!([0, 1].map(|step| seen.seen_s(StepId(step))), [0.25, 0.5]);
        seen.forget(StepId(1));
        assert_eq!([0, 1].map(|step| seen.seen_s(StepId(step))), [0.25, 0.0]);
    }

    #[test]
    fn a_step_that_was_noted_is_not_looked_for() {
        let (mut state, mut seen) = (state(), Sightings::default());
        for at in [0.0, 1.0] {
            seen.add(MediaTime(at), &[0.9, 0.2, 0.3], &state);
        }
        state.set(StepId(0), StepState::InProgress);
        seen.add(MediaTime(2.0), &[0.9, 0.2, 0.3], &state);
        assert_eq!(seen.seen_s(StepId(0)), 1.0);
    }
}
