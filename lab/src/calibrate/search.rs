//! Finds the gates' settings: the model runs freely over a validation set with each of them, and
//! what scores best stays.
//!
//! A gate decides what is written, and what is written changes all that follows; so nothing short
//! of a run tells what a threshold is worth. Every pair of thresholds is tried first, then at the
//! best pair each gate's hysteresis and rest.

use crate::eval::Scores;
use proact::dialogue::policy::{GateConfig, Gates};
use proact::model::calibration::{Calibration, CurvePoint};
use proact::units::Threshold;

/// Tolerance of transitions in the score that chooses, in seconds.
pub const TOLERANCE_S: f64 = 5.0;

/// The score that chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metric {
    /// Mean of transition F1 within 5 s, joint state accuracy and speech F1.
    #[default]
    Mean,
    /// F1 of transitions within 5 s.
    TransitionF1,
    /// Joint state accuracy.
    JointState,
    /// F1 of sentences.
    SpeechF1,
}

impl Metric {
    /// As it stands in the model file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean of transition F1@5s, joint state accuracy and speech F1",
            Self::TransitionF1 => "transition F1@5s",
            Self::JointState => "joint state accuracy",
            Self::SpeechF1 => "speech F1",
        }
    }

    /// Its value, 0 where there is none.
    pub fn of(self, scores: &Scores) -> f64 {
        let f1 = scores
            .at(TOLERANCE_S)
            .and_then(|rates| rates.f1)
            .unwrap_or(0.0);
        let (state, speech) = (
            scores.joint_state_accuracy.unwrap_or(0.0),
            scores.speech.rates.f1.unwrap_or(0.0),
        );
        match self {
            Self::Mean => (f1 + state + speech) / 3.0,
            Self::TransitionF1 => f1,
            Self::JointState => state,
            Self::SpeechF1 => speech,
        }
    }
}

/// What is tried.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Search {
    /// Thresholds of the update gate, ascending.
    pub dst_update_thresholds: Vec<f32>,
    /// Thresholds of the speak gate, ascending.
    pub speak_thresholds: Vec<f32>,
    /// Hystereses of either gate, besides the one that it has.
    pub hysteresis: Vec<f32>,
    /// Rest times of either gate in seconds, besides the one that it has.
    pub refractory_s: Vec<f64>,
    /// What chooses.
    pub metric: Metric,
}

impl Search {
    /// Runs at most: every pair, both gates' hysteresis and rest, and both curves with what was
    /// found.
    pub fn runs_max(&self) -> usize {
        let (updates, speaks) = (
            self.dst_update_thresholds.len(),
            self.speak_thresholds.len(),
        );
        let settings = (1 + self.hysteresis.len()) * (1 + self.refractory_s.len()) - 1;
        updates * speaks + 2 * settings + if settings > 0 { updates + speaks } else { 0 }
    }
}

/// The best settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Both gates.
    pub gates: Gates,
    /// How they were found.
    pub calibration: Calibration,
    /// Scores of the runs with them.
    pub scores: Scores,
}

/// One of both gates.
type Pick = fn(&mut Gates) -> &mut GateConfig;
const PICKS: [Pick; 2] = [|gates| &mut gates.dst_update, |gates| &mut gates.speak];

/// Searches from `start`. `run` gives the pooled scores of `recordings` free runs with the gates
/// that it is given, or `None` to stop; it is asked once for each setting.
///
/// # Errors
/// As `run`.
pub fn search(
    start: Gates,
    wanted: &Search,
    recordings: usize,
    run: &mut dyn FnMut(&Gates) -> anyhow::Result<Option<Scores>>,
) -> anyhow::Result<Option<Found>> {
    let mut tried = Tried {
        metric: wanted.metric,
        all: Vec::new(),
        run,
    };
    let mut best = start;
    let mut most = f64::NEG_INFINITY;
    let mut pairs = Vec::new();
    for dst_update in &wanted.dst_update_thresholds {
        for speak in &wanted.speak_thresholds {
            let mut gates = start;
            (gates.dst_update.threshold, gates.speak.threshold) =
                (Threshold(*dst_update), Threshold(*speak));
            pairs.push(gates);
        }
    }
    if !tried.improve(&pairs, &mut best, &mut most)? {
        return Ok(None);
    }
    for pick in PICKS {
        let mut settings = Vec::new();
        let now = *pick(&mut best);
        // No probability can fall by more than the threshold.
        let possible = wanted
            .hysteresis
            .iter()
            .filter(|hysteresis| **hysteresis < now.threshold.0);
        for hysteresis in std::iter::once(&now.hysteresis).chain(possible) {
            for refractory_s in std::iter::once(&now.refractory_s).chain(&wanted.refractory_s) {
                let mut gates = best;
                *pick(&mut gates) = GateConfig {
                    hysteresis: *hysteresis,
                    refractory_s: *refractory_s,
                    ..now
                };
                settings.push(gates);
            }
        }
        if !tried.improve(&settings, &mut best, &mut most)? {
            return Ok(None);
        }
    }
    let Some(dst_update) =
        tried.curve(best, PICKS[0], &wanted.dst_update_thresholds, transitions)?
    else {
        return Ok(None);
    };
    let Some(speak) = tried.curve(best, PICKS[1], &wanted.speak_thresholds, sentences)? else {
        return Ok(None);
    };
    let Some(scores) = tried.scores(&best)? else {
        return Ok(None);
    };
    let calibration = Calibration {
        metric: wanted.metric.name().to_owned(),
        recordings,
        speak,
        dst_update,
    };
    Ok(Some(Found {
        gates: best,
        calibration,
        scores,
    }))
}

/// Precision and recall of what a gate lets out.
type Shares = (Option<f64>, Option<f64>);

fn transitions(scores: &Scores) -> Shares {
    scores
        .at(TOLERANCE_S)
        .map_or((None, None), |rates| (rates.precision, rates.recall))
}

fn sentences(scores: &Scores) -> Shares {
    (scores.speech.rates.precision, scores.speech.rates.recall)
}

/// Runs made so far: each setting is run once.
struct Tried<'a> {
    metric: Metric,
    all: Vec<(Gates, Scores)>,
    run: &'a mut dyn FnMut(&Gates) -> anyhow::Result<Option<Scores>>,
}

impl Tried<'_> {
    fn scores(&mut self, gates: &Gates) -> anyhow::Result<Option<Scores>> {
        if let Some((_, scores)) = self.all.iter().find(|(known, _)| known == gates) {
            return Ok(Some(scores.clone()));
        }
        let scores = (self.run)(gates)?;
        self.all
            .extend(scores.iter().map(|scores| (*gates, scores.clone())));
        Ok(scores)
    }

    /// Tries settings and keeps the best; the first of equals. `false`: stopped.
    fn improve(
        &mut self,
        settings: &[Gates],
        best: &mut Gates,
        most: &mut f64,
    ) -> anyhow::Result<bool> {
        for gates in settings {
            let Some(scores) = self.scores(gates)? else {
                return Ok(false);
            };
            let score = self.metric.of(&scores);
            if score > *most {
                (*best, *most) = (*gates, score);
            }
        }
        Ok(true)
    }

    /// The score over one gate's threshold.
    fn curve(
        &mut self,
        best: Gates,
        pick: Pick,
        thresholds: &[f32],
        shares: fn(&Scores) -> Shares,
    ) -> anyhow::Result<Option<Vec<CurvePoint>>> {
        let mut curve = Vec::with_capacity(thresholds.len());
        for threshold in thresholds {
            let mut gates = best;
            let gate = pick(&mut gates);
            gate.threshold = Threshold(*threshold);
            if gate.hysteresis > 0.0 && gate.hysteresis >= *threshold {
                continue;
            }
            let Some(scores) = self.scores(&gates)? else {
                return Ok(None);
            };
            let (precision, recall) = shares(&scores);
            curve.push(CurvePoint {
                threshold: *threshold,
                score: self.metric.of(&scores) as f32,
                precision: precision.map(|p| p as f32),
                recall: recall.map(|r| r as f32),
            });
        }
        Ok(Some(curve))
    }
}

/// A line about a run for the person.
pub fn line(gates: &Gates, scores: &Scores) -> String {
    let gate = |gate: &GateConfig| {
        let mut text = gate.threshold.0.to_string();
        if gate.hysteresis > 0.0 {
            text += &format!(" hysteresis {}", gate.hysteresis);
        }
        if gate.refractory_s > 0.0 {
            text += &format!(" rest {} s", gate.refractory_s);
        }
        text
    };
    let share = |value: Option<f64>| value.unwrap_or(0.0);
    format!(
        "update from {}, speak from {}: F1@5s {:.3}, joint state accuracy {:.3}, speech F1 {:.3}",
        gate(&gates.dst_update),
        gate(&gates.speak),
        share(scores.at(TOLERANCE_S).and_then(|rates| rates.f1)),
        share(scores.joint_state_accuracy),
        share(scores.speech.rates.f1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::speech::Lexical;
    use crate::eval::{Log, Options, Reference, Tally};
    use proact::dialogue::policy::GateKind;

    fn gates() -> Gates {
        let gate = GateConfig {
            kind: GateKind::Head,
            threshold: Threshold(0.5),
            hysteresis: 0.0,
            refractory_s: 0.0,
        };
        Gates {
            speak: gate,
            dst_update: gate,
        }
    }

    /// Real scores with the joint state accuracy set.
    fn scored(joint: f64) -> Scores {
        let line = crate::eval::baseline::silent(&crate::eval::baseline::Clip::from(&reference()))
            .unwrap();
        let log = Log::from_events(&line).unwrap();
        let scores = Tally::of(&log, &reference(), &Options::default(), &Lexical)
            .unwrap()
            .scores();
        Scores {
            joint_state_accuracy: Some(joint),
            ..scores
        }
    }

    fn reference() -> Reference {
        let recording = proact::dialogue::annotation::Recording {
            id: "r".into(),
            fps: 2.0,
            end_s: 10.0,
            ..Default::default()
        };
        Reference::new(&recording, None).unwrap()
    }

    fn wanted() -> Search {
        Search {
            dst_update_thresholds: vec![0.3, 0.6, 0.9],
            speak_thresholds: vec![0.2, 0.5],
            hysteresis: vec![0.1, 0.7],
            refractory_s: vec![2.0],
            metric: Metric::JointState,
        }
    }

    #[test]
    fn the_best_pair_then_hysteresis_and_rest_and_each_setting_once() {
        let mut asked: Vec<Gates> = Vec::new();
        let found = search(gates(), &wanted(), 7, &mut |gates| {
            assert!(!asked.contains(gates), "asked twice: {gates:?}");
            asked.push(*gates);
            let near = |gate: &GateConfig, at: f32| 1.0 - f64::from((gate.threshold.0 - at).abs());
            let rest = if gates.speak.refractory_s == 2.0 {
                0.1
            } else {
                0.0
            };
            let held = if gates.dst_update.hysteresis == 0.1 {
                0.1
            } else {
                0.0
            };
            Ok(Some(scored(
                (near(&gates.dst_update, 0.6) + near(&gates.speak, 0.5)) / 4.0 + rest + held,
            )))
        });
        let found = found.unwrap().unwrap();
        assert_eq!(
            found.gates.dst_update,
            GateConfig {
                threshold: Threshold(0.6),
                hysteresis: 0.1,
                ..gates().dst_update
            }
        );
        assert_eq!(
            found.gates.speak,
            GateConfig {
                threshold: Threshold(0.5),
                refractory_s: 2.0,
                ..gates().speak
            }
        );
        let curve: Vec<(f32, f32)> = found
            .calibration
            .dst_update
            .iter()
            .map(|p| (p.threshold, p.score))
            .collect();
        assert_eq!(curve, [(0.3, 0.625), (0.6, 0.7), (0.9, 0.625)]);
        assert_eq!(found.calibration.speak.len(), 2);
        assert_eq!(
            (
                found.calibration.recordings,
                found.scores.joint_state_accuracy
            ),
            (7, Some(0.7))
        );
        assert!(
            asked
                .iter()
                .all(|gates| gates.speak.hysteresis < gates.speak.threshold.0
                    || gates.speak.hysteresis == 0.0)
        );
        found.calibration.validate().unwrap();
    }

    #[test]
    fn it_stops_when_asked_and_passes_errors_on() {
        let mut left = 4;
        let stopped = search(gates(), &wanted(), 1, &mut |_| {
            left -= 1;
            Ok((left > 0).then(|| scored(0.5)))
        });
        assert_eq!(stopped.unwrap(), None);
        assert!(search(gates(), &wanted(), 1, &mut |_| anyhow::bail!("no model")).is_err());
        assert!(
            line(&gates(), &scored(0.25))
                .ends_with("F1@5s 0.000, joint state accuracy 0.250, speech F1 0.000")
        );
    }
}
