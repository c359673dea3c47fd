//! Was the state right, and for how long? Exact integrals over time, and the order in which steps
//! began.

use super::log::Log;
use super::reference::{Reference, reached};
use proact::dialogue::task::{StepState, Transition};
use proact::units::{MediaTime, StepId};

/// What is pooled over recordings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StateTally {
    /// Seconds in which every step's state was the reference's.
    pub joint_s: f64,
    /// Seconds scored.
    pub total_s: f64,
    /// Step-seconds in which a step's state was the reference's.
    pub step_s: f64,
    /// Step-seconds scored.
    pub step_total_s: f64,
    /// Edits between the predicted and the reference order of starts.
    pub edits: usize,
    /// Starts of the longer of the two orders.
    pub edits_max: usize,
}

impl StateTally {
    /// Pools another recording.
    pub fn add(&mut self, other: &Self) {
        self.joint_s += other.joint_s;
        self.total_s += other.total_s;
        self.step_s += other.step_s;
        self.step_total_s += other.step_total_s;
        self.edits += other.edits;
        self.edits_max += other.edits_max;
    }

    /// Share of time in which the whole state was right.
    pub fn joint(&self) -> Option<f64> {
        (self.total_s > 0.0).then(|| self.joint_s / self.total_s)
    }

    /// Share of step-time in which a step's state was right.
    pub fn per_step(&self) -> Option<f64> {
        (self.step_total_s > 0.0).then(|| self.step_s / self.step_total_s)
    }

    /// 1 - edits / longer order: 1 when the steps began in the reference's order and none was added
    /// or left out.
    pub fn order(&self) -> Option<f64> {
        super::share(self.edits_max - self.edits, self.edits_max)
    }
}

/// Compares the log's state with the reference's over `[start, end]`. Nothing is counted for a task
/// without steps. A change holds from its own time on. Marks by the person's hand count as part of
/// the log's state.
pub fn tally(log: &Log, reference: &Reference) -> StateTally {
    let steps = reference.initial.len();
    if steps == 0 {
        return StateTally::default();
    }
    let mut ours = vec![StepState::NotStarted; steps];
    for (state, info) in ours.iter_mut().zip(&log.steps) {
        *state = info.state;
    }
    let truth: Vec<_> = reference
        .transitions
        .iter()
        .map(|(at, u)| (*at, u.step, reached(*u)))
        .collect();
    let (joint_s, step_s) = agreement(
        ours,
        &log.states,
        reference.initial.clone(),
        &truth,
        reference.start.0,
        reference.end.0,
    );
    let began = |(_, u): &(MediaTime, proact::dialogue::task::Update)| {
        (u.transition == Transition::Start).then_some(u.step)
    };
    let predicted: Vec<StepId> = log.transitions.iter().filter_map(began).collect();
    let expected: Vec<StepId> = reference.transitions.iter().filter_map(began).collect();
    StateTally {
        joint_s,
        total_s: reference.duration_s(),
        step_s,
        step_total_s: reference.duration_s() * steps as f64,
        edits: levenshtein(&predicted, &expected),
        edits_max: predicted.len().max(expected.len()),
    }
}

type Change = (MediaTime, StepId, StepState);

/// Seconds of `[start_s, end_s]` in which all steps agree, and the sum over steps of seconds in
/// which each agrees.
fn agreement(
    mut a: Vec<StepState>,
    a_changes: &[Change],
    mut b: Vec<StepState>,
    b_changes: &[Change],
    start_s: f64,
    end_s: f64,
) -> (f64, f64) {
    let (mut i, mut j) = (0, 0);
    let (mut joint_s, mut step_s) = (0.0, 0.0);
    let mut from_s = start_s;
    loop {
        let next_a = a_changes.get(i).map_or(f64::INFINITY, |c| c.0.0);
        let next_b = b_changes.get(j).map_or(f64::INFINITY, |c| c.0.0);
        let until_s = next_a.min(next_b).clamp(from_s, end_s);
        let equal = a.iter().zip(&b).filter(|(x, y)| x == y).count();
        step_s += (until_s - from_s) * equal as f64;
        if equal == a.len() {
            joint_s += until_s - from_s;
        }
        from_s = until_s;
        if next_a.min(next_b) >= end_s {
            return (joint_s, step_s);
        }
        let (state, change) = if next_a <= next_b {
            i += 1;
            (&mut a, a_changes[i - 1])
        } else {
            j += 1;
            (&mut b, b_changes[j - 1])
        };
        if let Some(step) = state.get_mut(usize::from(change.1.0)) {
            *step = change.2;
        }
    }
}

/// Fewest insertions, deletions and replacements that turn one order into the other.
fn levenshtein<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::super::log::tests_log as log;
    use super::super::reference::sample;
    use super::*;

    #[test]
    fn a_hand_worked_state() {
        let reference = sample(
            &["a", "b"],
            100.0,
            &[
                (10.0, "S1->start"),
                (40.0, "S1->complete"),
                (40.0, "S2->start"),
                (90.0, "S2->complete"),
            ],
            &[],
        );
        let log = log(
            2,
            &[
                (12.0, "S1->start"),
                (37.0, "S1->complete"),
                (43.0, "S2->start"),
            ],
            &[],
        );
        let got = tally(&log, &reference);
        // S1 wrong in [10,12] and [37,40]: 5 s. S2 wrong in [40,43] and [90,100]: 13 s. Never both:
        // joint wrong 18 s.
        assert!((got.joint_s - 82.0).abs() < 1e-9, "{got:?}");
        assert!((got.step_s - (200.0 - 18.0)).abs() < 1e-9);
        assert_eq!((got.joint(), got.per_step()), (Some(0.82), Some(0.91)));
        assert_eq!(got.order(), Some(1.0));
    }

    #[test]
    fn silence_is_right_until_the_first_step() {
        let reference = sample(&["a"], 50.0, &[(20.0, "S1->start")], &[]);
        assert_eq!(tally(&log(1, &[], &[]), &reference).joint(), Some(0.4));
        // A log without a task never says that a step moved.
        assert_eq!(tally(&Log::default(), &reference).joint(), Some(0.4));
        // What a log says after the end does not count.
        assert_eq!(
            tally(&log(1, &[(60.0, "S1->start")], &[]), &reference).joint(),
            Some(0.4)
        );
    }

    #[test]
    fn the_order_of_starts_is_scored_by_edits() {
        let reference = sample(
            &["a", "b", "c"],
            9.0,
            &[(1.0, "S1->start"), (2.0, "S2->start"), (3.0, "S3->start")],
            &[],
        );
        // S2 S1 against S1 S2 S3: insert S1 in front, replace the last by S3: 2 edits of 3, so 1 -
        // 2/3.
        let got = tally(
            &log(3, &[(1.0, "S2->start"), (2.0, "S1->start")], &[]),
            &reference,
        );
        assert_eq!((got.edits, got.edits_max), (2, 3));
        assert_eq!(got.order(), Some(1.0 / 3.0));
        assert_eq!(tally(&log(3, &[], &[]), &reference).order(), Some(0.0));
        assert_eq!(levenshtein(b"kitten", b"sitting"), 3);
        assert_eq!(StateTally::default().order(), None);
    }

    use proptest::prelude::*;

    /// Changes of two steps at whole seconds, in order of time.
    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let state = prop_oneof![
            Just(StepState::NotStarted),
            Just(StepState::InProgress),
            Just(StepState::Completed)
        ];
        prop::collection::vec((0u8..25, 0u16..2, state), 0..8).prop_map(|mut list| {
            list.sort_by_key(|c| c.0);
            list.into_iter()
                .map(|(t, step, state)| (MediaTime(f64::from(t)), StepId(step), state))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn the_integral_equals_looking_once_a_second(a in changes(), b in changes()) {
            let start = vec![StepState::NotStarted; 2];
            let at = |changes: &[Change], t: f64| {
                let mut now = start.clone();
                for c in changes.iter().filter(|c| c.0.0 <= t) {
                    now[usize::from(c.1.0)] = c.2;
                }
                now
            };
            let (mut joint_s, mut step_s) = (0.0, 0.0);
            for second in 3..20 {
                let (x, y) = (at(&a, f64::from(second) + 0.5), at(&b, f64::from(second) + 0.5));
                step_s += x.iter().zip(&y).filter(|(x, y)| x == y).count() as f64;
                joint_s += f64::from(u8::from(x == y));
            }
            let got = agreement(start.clone(), &a, start.clone(), &b, 3.0, 20.0);
            prop_assert_eq!(got, (joint_s, step_s));
        }
    }
}
