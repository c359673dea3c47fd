//! What the last seconds looked like: a step whose words fit none of their pictures is not
//! beginning, unless the model insists.

use std::collections::VecDeque;

use super::sightings::FRAME_S_MAX;
use crate::units::{MediaTime, Prob, StepId};

/// How far back is looked, in seconds: a beginning is noted when it has been seen for a moment.
const LOOK_BACK_S: f64 = 4.0;

/// The model still means a start that was refused while the update gate has this probability.
const MEANT_PROB_MIN: Prob = Prob(0.5);
/// For longer than this in all, in seconds, it insists: then it knows better than the words do,
/// which it may have understood where the text tower has not. Where a refusal was right the gate
/// was closed again after 2.5 s at most, but for two steps that were insisted on for 13 s and more.
const INSISTED_S: f64 = 3.0;

/// By how much each step's words fell short of those that fitted best, frame by frame.
#[derive(Clone, Debug)]
pub(super) struct Glimpses {
    /// When, and for each step the best cosine less its own `[S]`; the oldest first, none older
    /// than [`LOOK_BACK_S`].
    frames: VecDeque<(MediaTime, Vec<f32>)>,
    /// A picture whose best cosine is larger by more than this does not show the step.
    gap_max: f32,
    /// The start that was refused last, until something changes.
    refused: Option<Refused>,
}

/// A start that was refused.
#[derive(Clone, Debug)]
struct Refused {
    step: StepId,
    /// The frame before.
    last_at: MediaTime,
    /// The last frame at which the model meant it.
    meant_at: MediaTime,
    /// For how long in all.
    meant_s: f64,
}

impl Glimpses {
    /// None yet; `gap_max` as `start_cosine_gap_max` of the configuration.
    pub(super) fn new(gap_max: f32) -> Self {
        Self {
            frames: VecDeque::new(),
            gap_max,
            refused: None,
        }
    }

    /// Takes a frame's cosines `[S+1]` with the steps' words and those for no step; empty where
    /// nothing compares them.
    pub(super) fn add(&mut self, at: MediaTime, cosines: &[f32]) {
        let Some((_, steps)) = cosines.split_last().filter(|_| self.gap_max.is_finite()) else {
            return;
        };
        while self
            .frames
            .front()
            .is_some_and(|(seen, _)| at.0 - seen.0 > LOOK_BACK_S)
        {
            self.frames.pop_front();
        }
        let best = cosines.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        self.frames
            .push_back((at, steps.iter().map(|cosine| best - cosine).collect()));
    }

    /// Whether none of the last pictures shows a step; `false` where nothing is known, or the model
    /// insists.
    pub(super) fn lack(&self, step: StepId) -> bool {
        let shows = |(_, gaps): &(MediaTime, Vec<f32>)| {
            gaps.get(usize::from(step.0))
                .is_none_or(|gap| *gap <= self.gap_max)
        };
        !self.frames.is_empty() && !self.frames.iter().any(shows) && self.insisted() != Some(step)
    }

    /// A start is refused.
    pub(super) fn refuse(&mut self, at: MediaTime, step: StepId) {
        match &mut self.refused {
            Some(refused) if refused.step == step => {}
            _ => {
                self.refused = Some(Refused {
                    step,
                    last_at: at,
                    meant_at: at,
                    meant_s: 0.0,
                })
            }
        }
    }

    /// Takes the update gate's probability at a frame; gives the refused start that the model means
    /// and insists on.
    pub(super) fn hear(&mut self, at: MediaTime, prob: Prob) -> Option<StepId> {
        let refused = self.refused.as_mut()?;
        let lasted_s = (at.0 - refused.last_at.0).clamp(0.0, FRAME_S_MAX);
        refused.last_at = at;
        if prob >= MEANT_PROB_MIN {
            (refused.meant_at, refused.meant_s) = (at, refused.meant_s + lasted_s);
            return self.insisted();
        }
        self.refused = self
            .refused
            .take()
            .filter(|refused| at.0 - refused.meant_at.0 <= LOOK_BACK_S);
        None
    }

    /// The steps have changed: whatever was refused before is a new question now.
    pub(super) fn settle(&mut self) {
        self.refused = None;
    }

    fn insisted(&self) -> Option<StepId> {
        self.refused
            .as_ref()
            .filter(|refused| refused.meant_s > INSISTED_S)
            .map(|refused| refused.step)
    }

    /// Forgets what was seen at `to` or later.
    pub(super) fn go_back(&mut self, to: MediaTime) {
        self.frames.retain(|(at, _)| *at < to);
        self.refused = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: StepId = StepId(0);
    const B: StepId = StepId(1);

    fn seen(gap_max: f32, frames: &[(f64, [f32; 3])]) -> Glimpses {
        let mut seen = Glimpses::new(gap_max);
        for (at, cosines) in frames {
            seen.add(MediaTime(*at), cosines);
        }
        seen
    }

    #[test]
    fn a_step_is_lacking_when_no_picture_of_the_last_seconds_is_near_its_words() {
        // The second step's words are 0.25 behind the first's, then the first's 0.5 behind those
        // for no step.
        let frames = [
            (1.0, [0.5, 0.25, 0.0]),
            (3.0, [0.0, 0.25, 0.5]),
            (5.0, [0.0, 0.0, 0.5]),
        ];
        for (gap_max, count, lacking) in [
            (0.25, 1, [false, false]),
            (0.2, 1, [false, true]),
            (0.2, 2, [false, true]),
            // Four seconds after the first it still counts.
            (0.2, 3, [false, true]),
            (0.25, 3, [false, false]),
        ] {
            let seen = seen(gap_max, &frames[..count]);
            assert_eq!(
                [A, B].map(|step| seen.lack(step)),
                lacking,
                "{gap_max}, {count}"
            );
        }
        let mut later = seen(0.25, &frames);
        later.add(MediaTime(5.5), &[0.0, 0.0, 0.5]);
        assert_eq!(
            [A, B].map(|step| later.lack(step)),
            [true, false],
            "the first frame is too long ago"
        );
        later.go_back(MediaTime(3.0));
        assert_eq!(
            [A, B].map(|step| later.lack(step)),
            [false; 2],
            "nothing is known"
        );
    }

    #[test]
    fn who_insists_is_believed() {
        let lacking = |gap_max| seen(gap_max, &[(1.0, [0.5, 0.0, 0.0])]);
        let hear = |gates: &[(f64, f32)]| {
            let mut seen = lacking(0.2);
            seen.refuse(MediaTime(1.0), B);
            let heard: Vec<bool> = gates
                .iter()
                .map(|(at, prob)| seen.hear(MediaTime(*at), Prob(*prob)) == Some(B))
                .collect();
            (heard, seen.lack(B))
        };
        // Each frame counts for a second; that at 0.4 does not, nor the long break before the next.
        let meant = [
            (2.0, 0.5),
            (3.0, 0.4),
            (6.0, 0.9),
            (7.0, 0.6),
            (8.0, 0.7),
            (9.0, 0.1),
            (10.0, 0.6),
        ];
        assert_eq!(
            hear(&meant),
            (vec![false, false, false, false, true, false, true], false)
        );
        assert_eq!(hear(&meant[..4]), (vec![false; 4], true));
        // Nothing for more than four seconds: it meant something else.
        let gone = [
            (2.0, 0.9),
            (3.0, 0.9),
            (4.0, 0.9),
            (8.5, 0.1),
            (9.0, 0.9),
            (10.0, 0.9),
        ];
        assert_eq!(hear(&gone), (vec![false; 6], true));

        let mut seen = lacking(0.2);
        assert_eq!(
            seen.hear(MediaTime(1.5), Prob(1.0)),
            None,
            "nothing was refused"
        );
        seen.refuse(MediaTime(2.0), B);
        for at in [3.0, 4.0, 5.0] {
            seen.refuse(MediaTime(at), B);
            assert_eq!(seen.hear(MediaTime(at), Prob(1.0)), None);
        }
        assert_eq!(seen.hear(MediaTime(5.5), Prob(1.0)), Some(B));
        assert!(!seen.lack(B));
        seen.settle();
        assert!(seen.lack(B) && seen.hear(MediaTime(6.0), Prob(1.0)).is_none());
    }

    #[test]
    fn nothing_is_lacking_where_nothing_is_compared() {
        let mut blind = seen(f32::INFINITY, &[(1.0, [0.0, 0.5, 1.0])]);
        assert!(!blind.lack(A));
        blind.gap_max = 0.1;
        blind.add(MediaTime(2.0), &[]);
        assert!(!blind.lack(A) && !blind.lack(StepId(9)));
    }
}
