//! The pictures in which steps began: what one step has begun with is no sign that another begins
//! before its turn.

use std::sync::Arc;

use crate::dialogue::task::{StepState, TaskState};
use crate::model::evidence::dot;
use crate::units::{MediaTime, StepId};

/// The frame of each step's beginning, and the one in view.
#[derive(Clone, Debug)]
pub(super) struct Beginnings {
    /// When, of which step, its features `[V*Dv]`; one of a step at most.
    begun: Vec<(MediaTime, StepId, Arc<[f32]>)>,
    /// Features `[V*Dv]`; empty before the first frame.
    in_view: Arc<[f32]>,
    /// Pictures are the same whose features' cosine is at least this.
    same_cosine_min: f32,
}

impl Beginnings {
    /// None yet; `same_cosine_min` as `same_picture_cosine_min` of the configuration.
    pub(super) fn new(same_cosine_min: f32) -> Self {
        Self {
            begun: Vec::new(),
            in_view: Arc::from([]),
            same_cosine_min,
        }
    }

    /// Takes a frame's features `[V*Dv]`.
    pub(super) fn see(&mut self, features: &Arc<[f32]>) {
        self.in_view = Arc::clone(features);
    }

    /// A step begins with the frame in view.
    pub(super) fn add(&mut self, at: MediaTime, step: StepId) {
        self.begun.retain(|(_, of, _)| *of != step);
        if !self.in_view.is_empty() {
            self.begun.push((at, step, Arc::clone(&self.in_view)));
        }
    }

    /// Another step, still in progress, that began with a picture like the one in view; of several
    /// the one whose picture is the most similar.
    pub(super) fn of_this_picture(&self, step: StepId, state: &TaskState) -> Option<StepId> {
        let open = self
            .begun
            .iter()
            .filter(|(_, of, _)| *of != step && state.get(*of) == Some(StepState::InProgress));
        let like = open.map(|(_, of, features)| (cosine(features, &self.in_view), *of));
        let (most, of) = like.max_by(|a, b| a.0.total_cmp(&b.0))?;
        (most >= self.same_cosine_min).then_some(of)
    }

    /// Forgets what began at `to` or later.
    pub(super) fn go_back(&mut self, to: MediaTime) {
        self.begun.retain(|(at, ..)| *at < to);
        self.in_view = Arc::from([]);
    }
}

/// The cosine of two vectors `[N]`; 0 where one of them has no direction.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let cosine = dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt());
    if cosine.is_finite() { cosine } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::task::Task;

    const A: StepId = StepId(0);
    const B: StepId = StepId(1);
    const C: StepId = StepId(2);

    fn state(states: [StepState; 3]) -> TaskState {
        let names = ["a", "b", "c"]
            .map(|name| format!("[[step]]\nname = \"{name}\"\n"))
            .concat();
        let mut state = TaskState::new(&Task::parse(&format!("goal = \"g\"\n{names}")).unwrap());
        for (step, of) in [A, B, C].into_iter().zip(states) {
            state.set(step, of);
        }
        state
    }

    fn begun(frames: &[(f64, [f32; 2], Option<StepId>)]) -> Beginnings {
        let mut begun = Beginnings::new(0.9);
        for (at, features, step) in frames {
            begun.see(&features.to_vec().into());
            if let Some(step) = step {
                begun.add(MediaTime(*at), *step);
            }
        }
        begun
    }

    #[test]
    fn a_picture_is_that_of_the_most_similar_step_in_progress_and_never_of_the_step_itself() {
        use StepState::{Completed, InProgress, NotStarted};
        // Cosines of the last picture with those before it: 0.96 and 1.
        let seen = [
            (0.0, [4.0, 3.0], Some(A)),
            (1.0, [2.0, 0.0], Some(B)),
            (2.0, [0.0, 1.0], None),
            (3.0, [0.1, 0.028_571], None),
        ];
        let begun = begun(&seen);
        for (states, of_c, of_b) in [
            ([InProgress, InProgress, NotStarted], Some(B), Some(A)),
            ([InProgress, Completed, NotStarted], Some(A), Some(A)),
            ([Completed, Completed, NotStarted], None, None),
            ([NotStarted, InProgress, InProgress], Some(B), None),
        ] {
            assert_eq!(
                [C, B].map(|step| begun.of_this_picture(step, &state(states))),
                [of_c, of_b],
                "{states:?}"
            );
        }
        let elsewhere = self::begun(&seen[..3]);
        assert_eq!(
            elsewhere.of_this_picture(C, &state([InProgress, InProgress, NotStarted])),
            None,
            "0.6 and 0"
        );
    }

    #[test]
    fn what_was_never_seen_or_has_no_direction_is_like_nothing() {
        let open = state([StepState::InProgress; 3]);
        let mut blind = Beginnings::new(0.9);
        blind.add(MediaTime(0.0), A);
        assert_eq!(blind.of_this_picture(B, &open), None);
        assert_eq!(
            begun(&[(0.0, [0.0, 0.0], Some(A)), (1.0, [0.0, 0.0], None)]).of_this_picture(B, &open),
            None
        );
        let mut back = begun(&[(0.0, [1.0, 0.0], Some(A)), (5.0, [1.0, 0.1], Some(B))]);
        back.go_back(MediaTime(5.0));
        assert_eq!(
            back.of_this_picture(C, &open),
            None,
            "the view is gone, too"
        );
        back.see(&vec![1.0, 0.1].into());
        assert_eq!(
            [B, A].map(|step| back.of_this_picture(step, &open)),
            [Some(A), None]
        );
    }
}
