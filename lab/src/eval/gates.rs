//! How well the gates' probabilities tell when to act: AUPRC, balanced accuracy, calibration.
//!
//! What counts is one answer per event and one per quiet frame. An event of the reference (changes
//! at one moment are one event) has the highest probability of the frames within [`WINDOW_S`] of
//! it; a frame that is near no event stands for itself. So a gate is not blamed for firing half a
//! second early, nor praised for staying high.

use serde::Serialize;

use super::log::{GateReading, Log};
use super::reference::Reference;
use super::{mean, share};
use proact::units::{MediaTime, Threshold};

/// Frames this near to an event, in seconds, belong to it.
pub const WINDOW_S: f64 = 1.0;
/// Bins of the reliability curve, equally wide.
pub const BINS: usize = 10;

/// Probabilities with what should have been answered, of one gate; pooled over recordings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GateTally {
    /// Of events.
    yes: Vec<f32>,
    /// Of quiet frames.
    no: Vec<f32>,
    /// The same that reach the threshold of their session.
    fired: (usize, usize),
}

impl GateTally {
    /// Pools another recording.
    pub fn add(&mut self, other: &Self) {
        self.yes.extend(&other.yes);
        self.no.extend(&other.no);
        self.fired.0 += other.fired.0;
        self.fired.1 += other.fired.1;
    }

    /// The scores of what was pooled; `None` without frames.
    pub fn scores(&self) -> Option<GateScores> {
        if self.yes.is_empty() && self.no.is_empty() {
            return None;
        }
        let recall = share(self.fired.0, self.yes.len());
        let silence = share(self.no.len() - self.fired.1, self.no.len());
        Some(GateScores {
            auprc: average_precision(&self.yes, &self.no),
            balanced_accuracy: recall.zip(silence).map(|(a, b)| (a + b) / 2.0),
            recall,
            silence,
            ece: calibration_error(&self.yes, &self.no),
            reliability: reliability(&self.yes, &self.no),
            events: self.yes.len(),
            quiet_frames: self.no.len(),
        })
    }
}

/// Scores of one gate. A share of nothing is `None` (`null`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateScores {
    /// Area under precision over recall, as scikit-learn's `average_precision_score`: sum of (R_n -
    /// R_(n-1)) P_n.
    pub auprc: Option<f64>,
    /// Mean of recall and silence.
    pub balanced_accuracy: Option<f64>,
    /// Share of events that reach the threshold of the session.
    pub recall: Option<f64>,
    /// Share of quiet frames that do not.
    pub silence: Option<f64>,
    /// Expected calibration error over [`BINS`] bins: mean distance of probability and share of
    /// events, by answers.
    pub ece: Option<f64>,
    /// Of each bin that holds any: mean probability, share of events, number of answers.
    pub reliability: Vec<(f64, f64, usize)>,
    /// Events.
    pub events: usize,
    /// Frames near none.
    pub quiet_frames: usize,
}

/// Answers of a log's gates: speak, update. A gate that was off has none.
pub fn tally(log: &Log, reference: &Reference) -> [GateTally; 2] {
    let inside: Vec<&GateReading> = log
        .frames
        .iter()
        .filter(|r| r.at >= reference.start && r.at <= reference.end)
        .collect();
    let said = moments(reference.utterances.iter().map(|(at, _)| *at));
    let changed = moments(reference.transitions.iter().map(|(at, _)| *at));
    let [speak, update] = log.thresholds;
    let gate = |threshold: Option<Threshold>, events: &[f64], of: fn(&GateReading) -> f32| {
        threshold
            .map(|threshold| answers(&inside, events, of, threshold.0))
            .unwrap_or_default()
    };
    [
        gate(speak, &said, |r| r.speak.0),
        gate(update, &changed, |r| r.dst_update.0),
    ]
}

/// Distinct times in seconds, ascending.
fn moments(times: impl Iterator<Item = MediaTime>) -> Vec<f64> {
    let mut all: Vec<f64> = times.map(|at| at.seconds()).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

fn answers(
    frames: &[&GateReading],
    events: &[f64],
    of: fn(&GateReading) -> f32,
    threshold: f32,
) -> GateTally {
    let mut out = GateTally::default();
    let near = |r: &GateReading, at_s: f64| (r.at.seconds() - at_s).abs() <= WINDOW_S;
    for at_s in events {
        let best = frames
            .iter()
            .filter(|r| near(r, *at_s))
            .map(|r| of(r))
            .max_by(f32::total_cmp);
        // An event that no frame saw is the source's doing, not the gate's.
        if let Some(prob) = best {
            out.yes.push(prob);
            out.fired.0 += usize::from(prob >= threshold);
        }
    }
    for frame in frames
        .iter()
        .filter(|r| !events.iter().any(|at_s| near(r, *at_s)))
    {
        out.no.push(of(frame));
        out.fired.1 += usize::from(of(frame) >= threshold);
    }
    out
}

/// Answers by falling probability; those that are equal come together.
fn average_precision(yes: &[f32], no: &[f32]) -> Option<f64> {
    if yes.is_empty() {
        return None;
    }
    let mut all: Vec<(f32, bool)> = yes
        .iter()
        .map(|p| (*p, true))
        .chain(no.iter().map(|p| (*p, false)))
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut hits, mut seen, mut area) = (0usize, 0usize, 0.0);
    for group in all.chunk_by(|a, b| a.0 == b.0) {
        let new = group.iter().filter(|(_, yes)| *yes).count();
        hits += new;
        seen += group.len();
        area += new as f64 / yes.len() as f64 * (hits as f64 / seen as f64);
    }
    Some(area)
}

fn reliability(yes: &[f32], no: &[f32]) -> Vec<(f64, f64, usize)> {
    let bin = |p: f32| ((f64::from(p) * BINS as f64) as usize).min(BINS - 1);
    let mut bins: Vec<(Vec<f64>, usize)> = vec![(Vec::new(), 0); BINS];
    for (list, is_yes) in [(yes, true), (no, false)] {
        for p in list {
            let (probs, events) = &mut bins[bin(*p)];
            probs.push(f64::from(*p));
            *events += usize::from(is_yes);
        }
    }
    bins.iter()
        .filter_map(|(probs, events)| {
            Some((mean(probs)?, share(*events, probs.len())?, probs.len()))
        })
        .collect()
}

fn calibration_error(yes: &[f32], no: &[f32]) -> Option<f64> {
    let all = yes.len() + no.len();
    let apart: f64 = reliability(yes, no)
        .iter()
        .map(|(p, share, n)| (p - share).abs() * *n as f64)
        .sum();
    (all > 0).then(|| apart / all as f64)
}

#[cfg(test)]
mod tests {
    use super::super::log::tests_log;
    use super::super::reference::sample;
    use super::*;
    use proact::units::Prob;

    #[test]
    fn average_precision_is_scikit_learns() {
        // y = [0, 0, 1, 1], p = [0.1, 0.4, 0.35, 0.8]: 0.8333…, from its documentation.
        assert!((average_precision(&[0.35, 0.8], &[0.1, 0.4]).unwrap() - 0.833_333_3).abs() < 1e-6);
        // All equal: the share of events.
        assert_eq!(average_precision(&[0.5, 0.5], &[0.5, 0.5]), Some(0.5));
        assert_eq!(average_precision(&[0.9], &[0.1, 0.2]), Some(1.0));
        assert_eq!(average_precision(&[], &[0.1]), None);
    }

    #[test]
    fn calibration_is_the_distance_of_promise_and_share() {
        // Bin 0: 0.05 twice, no event. Bin 9: 0.95 three times, two events.
        let (yes, no) = ([0.95, 0.95], [0.05, 0.05, 0.95]);
        let curve = reliability(&yes, &no);
        assert_eq!(
            curve
                .iter()
                .map(|(_, share, n)| (*share, *n))
                .collect::<Vec<_>>(),
            [(0.0, 2), (2.0 / 3.0, 3)]
        );
        let expected = (2.0 * 0.05 + 3.0 * (0.95 - 2.0 / 3.0)) / 5.0;
        assert!((calibration_error(&yes, &no).unwrap() - expected).abs() < 1e-6);
        // 1 has a bin, too.
        assert_eq!(reliability(&[1.0], &[]), [(1.0, 1.0, 1)]);
    }

    #[test]
    fn an_event_has_the_best_frame_near_it_and_a_quiet_frame_stands_for_itself() {
        let reference = sample(
            &["a"],
            10.0,
            &[(3.0, "S1->start"), (8.0, "S1->complete")],
            &[(3.0, "Good.")],
        );
        let mut log = tests_log(1, &[], &[]);
        log.thresholds = [Some(Threshold(0.5)), Some(Threshold(0.6))];
        // Frames at 0, 1, … 9 s; the update gate is early by one at 3 s and stays low at 8 s.
        let update = [0.1, 0.2, 0.9, 0.3, 0.3, 0.7, 0.1, 0.1, 0.2, 0.1];
        log.frames = (0..10)
            .map(|i| GateReading {
                at: MediaTime(f64::from(i)),
                speak: Prob(0.0),
                dst_update: Prob(update[i as usize]),
            })
            .collect();
        let [speak, update] = tally(&log, &reference);
        // Near 3: 2, 3, 4. Near 8: 7, 8, 9. Quiet: 0, 1, 5, 6.
        assert_eq!(
            (update.yes.clone(), update.no.clone()),
            (vec![0.9, 0.2], vec![0.1, 0.2, 0.7, 0.1])
        );
        let scores = update.scores().unwrap();
        assert_eq!(
            (scores.recall, scores.silence, scores.balanced_accuracy),
            (Some(0.5), Some(0.75), Some(0.625))
        );
        assert_eq!(speak.scores().unwrap().recall, Some(0.0));
        log.thresholds = [None, None];
        assert_eq!(tally(&log, &reference)[1].scores(), None);
    }
}
