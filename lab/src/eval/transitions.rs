//! Were the steps moved, and when? Predicted against reference transitions, one to one, within a
//! tolerance.
//!
//! Only the same transition of the same step can match. Among all one-to-one matchings whose pairs
//! lie at most `tolerance_s` apart, the one with most pairs counts, and among those the one with
//! the least total distance. On a line that is found exactly: two crossing pairs can be uncrossed
//! without any pair growing beyond the longer one, nor the total; so a dynamic program over the two
//! sorted lists sees an optimum.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Hits;
use proact::dialogue::task::{Transition, Update};
use proact::units::MediaTime;

/// Tolerances that scores are told at, in seconds of the video as it plays.
pub const TOLERANCES_S: [f64; 4] = [1.0, 2.0, 5.0, 10.0];
/// A prediction without a reference within this is a false update.
pub const FALSE_UPDATE_TOLERANCE_S: f64 = 5.0;

/// One-to-one matches within a tolerance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matches {
    /// Counts over starts and completions.
    pub all: Hits,
    /// Counts over starts only.
    pub start: Hits,
    /// Counts over completions only.
    pub complete: Hits,
    /// Predicted minus reference time of each match, in seconds: positive is late.
    pub late_s: Vec<f64>,
}

/// Matches predicted to reference transitions. A pair exactly `tolerance_s` apart matches.
pub fn matches(
    predicted: &[(MediaTime, Update)],
    reference: &[(MediaTime, Update)],
    tolerance_s: f64,
) -> Matches {
    let mut out = Matches::default();
    let completes = |(_, update): &&(MediaTime, Update)| update.transition == Transition::Complete;
    out.all = Hits {
        matched: 0,
        predicted: predicted.len(),
        reference: reference.len(),
    };
    out.complete = Hits {
        matched: 0,
        predicted: predicted.iter().filter(completes).count(),
        reference: reference.iter().filter(completes).count(),
    };
    for (i, j) in paired(predicted, reference, tolerance_s) {
        out.all.matched += 1;
        out.complete.matched += usize::from(completes(&&predicted[i]));
        out.late_s
            .push(predicted[i].0.seconds() - reference[j].0.seconds());
    }
    let starts = |all: usize, complete: usize| all - complete;
    out.start = Hits {
        matched: starts(out.all.matched, out.complete.matched),
        predicted: starts(out.all.predicted, out.complete.predicted),
        reference: starts(out.all.reference, out.complete.reference),
    };
    out
}

/// What became of the predicted transitions, within [`FALSE_UPDATE_TOLERANCE_S`], and which of the
/// reference's nobody told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fates {
    /// The right step and kind at the right time.
    pub right: usize,
    /// The reference has a change then, but of another step or kind, or one that another prediction
    /// got.
    pub other_step: usize,
    /// The reference has no change then.
    pub no_event: usize,
    /// Changes of the reference without a prediction.
    pub missed: usize,
}

impl Fates {
    /// Pools another recording.
    pub fn add(&mut self, other: &Self) {
        self.right += other.right;
        self.other_step += other.other_step;
        self.no_event += other.no_event;
        self.missed += other.missed;
    }

    /// False updates.
    pub fn wrong(&self) -> usize {
        self.other_step + self.no_event
    }
}

/// Tells right updates, wrong ones by their kind, and missed ones apart.
pub fn fates(predicted: &[(MediaTime, Update)], reference: &[(MediaTime, Update)]) -> Fates {
    let pairs = paired(predicted, reference, FALSE_UPDATE_TOLERANCE_S);
    let mut out = Fates {
        right: pairs.len(),
        missed: reference.len() - pairs.len(),
        ..Fates::default()
    };
    for (i, (at, _)) in predicted.iter().enumerate() {
        if pairs.iter().any(|(taken, _)| *taken == i) {
            continue;
        }
        let near = reference
            .iter()
            .any(|(t, _)| (t.seconds() - at.seconds()).abs() <= FALSE_UPDATE_TOLERANCE_S);
        if near {
            out.other_step += 1
        } else {
            out.no_event += 1
        }
    }
    out
}

/// A time in seconds with its place in a list.
type Placed = (f64, usize);

/// The matches themselves: places in `predicted` and in `reference`, step by step.
pub fn paired(
    predicted: &[(MediaTime, Update)],
    reference: &[(MediaTime, Update)],
    tolerance_s: f64,
) -> Vec<(usize, usize)> {
    let mut by_key: BTreeMap<(u16, bool), [Vec<Placed>; 2]> = BTreeMap::new();
    for (side, list) in [predicted, reference].into_iter().enumerate() {
        for (place, (at, update)) in list.iter().enumerate() {
            let key = (update.step.0, update.transition == Transition::Complete);
            by_key.entry(key).or_default()[side].push((at.seconds(), place));
        }
    }
    let mut out = Vec::new();
    for [mut p, mut r] in by_key.into_values() {
        p.sort_by(|a, b| a.0.total_cmp(&b.0));
        r.sort_by(|a, b| a.0.total_cmp(&b.0));
        let times = |list: &[Placed]| list.iter().map(|(at, _)| *at).collect::<Vec<_>>();
        out.extend(
            pairs(&times(&p), &times(&r), tolerance_s)
                .into_iter()
                .map(|(i, j)| (p[i].1, r[j].1)),
        );
    }
    out
}

/// Best pairs `(i, j)` of two sorted lists: most pairs, then least total distance, then earliest.
fn pairs(p: &[f64], r: &[f64], tolerance_s: f64) -> Vec<(usize, usize)> {
    // best[i][j]: pairs and distance over p[i..] and r[j..].
    let mut best = vec![vec![(0usize, 0.0f64); r.len() + 1]; p.len() + 1];
    let better = |a: (usize, f64), b: (usize, f64)| a.0 > b.0 || (a.0 == b.0 && a.1 < b.1);
    let pair = |i: usize, j: usize, rest: (usize, f64)| {
        let distance = (p[i] - r[j]).abs();
        (distance <= tolerance_s).then_some((rest.0 + 1, rest.1 + distance))
    };
    for i in (0..p.len()).rev() {
        for j in (0..r.len()).rev() {
            let mut here = best[i + 1][j];
            if better(best[i][j + 1], here) {
                here = best[i][j + 1];
            }
            if let Some(taken) = pair(i, j, best[i + 1][j + 1])
                && better(taken, here)
            {
                here = taken;
            }
            best[i][j] = here;
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < p.len() && j < r.len() {
        if pair(i, j, best[i + 1][j + 1]) == Some(best[i][j]) {
            out.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if best[i + 1][j] == best[i][j] {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(list: &[(f64, &str)]) -> Vec<(MediaTime, Update)> {
        list.iter()
            .map(|(t, u)| (MediaTime(*t), Update::parse(u).unwrap()))
            .collect()
    }

    #[test]
    fn a_hand_worked_log() {
        let reference = at(&[
            (10.0, "S1->start"),
            (20.0, "S1->complete"),
            (20.0, "S2->start"),
            (40.0, "S2->complete"),
        ]);
        let predicted = at(&[
            (11.5, "S1->start"),
            (16.0, "S1->complete"),
            (22.0, "S2->start"),
            (30.0, "S3->start"),
        ]);
        // |dt|: S1 start 1.5, S1 complete 4, S2 start 2; S2 complete is missing, S3 start is false.
        let within = |tolerance_s| matches(&predicted, &reference, tolerance_s).all;
        assert_eq!(
            within(1.0),
            Hits {
                matched: 0,
                predicted: 4,
                reference: 4
            }
        );
        assert_eq!(
            within(2.0),
            Hits {
                matched: 2,
                predicted: 4,
                reference: 4
            }
        );
        assert_eq!(
            within(5.0),
            Hits {
                matched: 3,
                predicted: 4,
                reference: 4
            }
        );
        let five = matches(&predicted, &reference, 5.0);
        assert_eq!(five.late_s, [1.5, -4.0, 2.0]);
        assert_eq!(
            five.start,
            Hits {
                matched: 2,
                predicted: 3,
                reference: 2
            }
        );
        assert_eq!(
            five.complete,
            Hits {
                matched: 1,
                predicted: 1,
                reference: 2
            }
        );
    }

    #[test]
    fn a_wrong_update_is_of_another_step_or_at_no_event() {
        let reference = at(&[
            (10.0, "S1->start"),
            (20.0, "S1->complete"),
            (40.0, "S2->start"),
        ]);
        let predicted = at(&[
            (11.0, "S1->start"),
            (12.0, "S2->start"),
            (21.0, "S2->complete"),
            (30.0, "S3->start"),
        ]);
        let got = fates(&predicted, &reference);
        assert_eq!(
            got,
            Fates {
                right: 1,
                other_step: 2,
                no_event: 1,
                missed: 2
            }
        );
        assert_eq!(got.wrong(), 3);
        assert_eq!(
            fates(&[], &reference),
            Fates {
                missed: 3,
                ..Fates::default()
            }
        );
        assert_eq!(
            fates(&predicted, &[]),
            Fates {
                no_event: 4,
                ..Fates::default()
            }
        );
    }

    #[test]
    fn a_second_prediction_is_not_a_second_hit() {
        // After an undo by hand a step can be started twice; the nearer one counts.
        let got = matches(
            &at(&[(8.0, "S1->start"), (11.0, "S1->start")]),
            &at(&[(10.0, "S1->start")]),
            5.0,
        );
        assert_eq!(
            got.all,
            Hits {
                matched: 1,
                predicted: 2,
                reference: 1
            }
        );
        assert_eq!(got.late_s, [1.0]);
    }

    #[test]
    fn more_pairs_come_before_less_distance() {
        // Nearest first would pair 10-10.5 and leave 6 and 14 alone (9 apart); two pairs of 4 and
        // 3.5 are possible.
        assert_eq!(pairs(&[6.0, 10.0], &[10.0, 13.5], 4.0), [(0, 0), (1, 1)]);
    }

    /// All one-to-one matchings, by trying.
    fn brute(p: &[f64], r: &mut Vec<f64>, tolerance_s: f64) -> (usize, f64) {
        let Some((first, rest)) = p.split_first() else {
            return (0, 0.0);
        };
        let mut best = brute(rest, r, tolerance_s);
        for j in 0..r.len() {
            let distance = (first - r[j]).abs();
            if distance <= tolerance_s {
                let taken = r.remove(j);
                let (n, d) = brute(rest, r, tolerance_s);
                r.insert(j, taken);
                if n + 1 > best.0 || (n + 1 == best.0 && d + distance < best.1) {
                    best = (n + 1, d + distance);
                }
            }
        }
        best
    }

    proptest! {
        #[test]
        fn pairs_equal_trying_all(
            p in prop::collection::vec(0u32..40, 0..6),
            r in prop::collection::vec(0u32..40, 0..6),
            tolerance in 0u32..12,
        ) {
            let sorted = |v: Vec<u32>| {
                let mut v: Vec<f64> = v.into_iter().map(f64::from).collect();
                v.sort_by(f64::total_cmp);
                v
            };
            let (p, mut r, tolerance_s) = (sorted(p), sorted(r), f64::from(tolerance));
            let got = pairs(&p, &r, tolerance_s);
            let total: f64 = got.iter().map(|&(i, j)| (p[i] - r[j]).abs()).sum();
            prop_assert!(got.iter().all(|&(i, j)| (p[i] - r[j]).abs() <= tolerance_s));
            prop_assert_eq!((got.len(), total), brute(&p, &mut r, tolerance_s));
        }
    }
}
