//! Scores: an event log and an annotation in, numbers out. Never sees a model.
//!
//! A run is judged by what it told, so anything that writes an event log can be scored: the model,
//! its ablations, and the [`baseline`]s that do not look at the picture at all.
//!
//! ```text
//! events.jsonl --log--------> Log ------+
//!                                        +--> transitions, state, speech, fit --> score
//! annotation.jsonl --reference-> Reference                                        | table, JSON
//! ```
//!
//! All times are [`MediaTime`](proact::units::MediaTime): seconds of the video as it plays. Where a
//! video is played faster than life, the speed is named beside the score. [`EXPLAIN`] states each
//! definition in words.

pub mod assignment;
pub mod baseline;
pub mod change;
pub mod fit;
pub mod gates;
pub mod log;
#[cfg(feature = "minilm")]
pub mod minilm;
pub mod page;
pub mod pictures;
pub mod prediction_files;
pub mod predictions;
pub mod reference;
#[cfg(any(feature = "minilm", test))]
pub mod remembered;
pub mod score;
pub mod speech;
pub mod state;
pub mod systems;
pub mod table;
pub mod transitions;
pub mod warnings;

pub use log::Log;
pub use reference::Reference;
pub use score::{Options, Report, Scores, Tally};

use serde::Serialize;

/// What each number means, in words; `proact eval --explain` prints it.
pub const EXPLAIN: &str = include_str!("explain.txt");

/// Hits against what was predicted and what was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Predictions that stand for something in the reference, one to one.
    pub matched: usize,
    /// All predictions.
    pub predicted: usize,
    /// All that the reference has.
    pub reference: usize,
}

/// Precision, recall and F1 with the counts they come from. A share of nothing is `None` (`null`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rates {
    /// matched / predicted.
    pub precision: Option<f64>,
    /// matched / reference.
    pub recall: Option<f64>,
    /// 2 matched / (predicted + reference).
    pub f1: Option<f64>,
    /// One-to-one matches.
    pub matched: usize,
    /// Predictions.
    pub predicted: usize,
    /// References.
    pub reference: usize,
}

impl Hits {
    /// Pools another recording's counts into these.
    pub fn add(&mut self, other: &Self) {
        self.matched += other.matched;
        self.predicted += other.predicted;
        self.reference += other.reference;
    }

    /// The rates of these counts.
    pub fn rates(&self) -> Rates {
        Rates {
            precision: share(self.matched, self.predicted),
            recall: share(self.matched, self.reference),
            f1: share(2 * self.matched, self.predicted + self.reference),
            matched: self.matched,
            predicted: self.predicted,
            reference: self.reference,
        }
    }
}

/// `part / whole`; `None` when there is no whole.
fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Mean; `None` of nothing.
fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Quantile `q` in [0, 1] of unsorted values, linear between the two nearest ranks (rank q (n-1),
/// as numpy's default).
fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let rank = q.clamp(0.0, 1.0) * last as f64;
    let below = rank.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (rank - below as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_nothing_are_none_and_of_silence_zero() {
        assert_eq!(Hits::default().rates().f1, None);
        // Nothing predicted, two there: precision has no meaning, recall 0/2, F1 2*0/(0+2).
        let silent = Hits {
            matched: 0,
            predicted: 0,
            reference: 2,
        }
        .rates();
        assert_eq!(
            (silent.precision, silent.recall, silent.f1),
            (None, Some(0.0), Some(0.0))
        );
        // P 3/4, R 3/6, F1 6/10.
        let some = Hits {
            matched: 3,
            predicted: 4,
            reference: 6,
        }
        .rates();
        assert_eq!(
            (some.precision, some.recall, some.f1),
            (Some(0.75), Some(0.5), Some(0.6))
        );
    }

    #[test]
    fn quantiles_are_linear_between_ranks() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[3.0], 0.9), Some(3.0));
        assert_eq!(quantile(&[4.0, 1.0, 2.0], 0.5), Some(2.0));
        assert_eq!(quantile(&[4.0, 1.0, 2.0, 3.0], 0.5), Some(2.5));
        // Rank 0.9 * 10 = 9 of 0..=10.
        let values: Vec<f64> = (0..=10).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.9), Some(9.0));
        // Rank 0.9 * 2 = 1.8: 2 + 0.8 * (4 - 2).
        assert!((quantile(&[1.0, 2.0, 4.0], 0.9).unwrap() - 3.6).abs() < 1e-12);
    }
}
