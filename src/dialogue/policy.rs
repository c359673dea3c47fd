//! The gates: when a probability becomes a decision to speak or to update the task's state.
//!
//! Pure functions of probabilities and MediaTime; the numbers come from the model file or the
//! configuration.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::units::{MediaTime, Prob, Threshold};

/// Two times closer than this are the same, in seconds: time stamps are sums of rounded frame
/// times.
const TIME_TOLERANCE_S: f64 = 1e-6;

/// Where a gate's probability comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// Sigmoid of the gate's decision head.
    #[default]
    Head,
    /// Probability of `[DST]` or `[ASST]` as the next token.
    Token,
    /// Never fires.
    Off,
}

impl GateKind {
    /// The word in files and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Token => "token",
            Self::Off => "off",
        }
    }
}

/// How a gate decides; in model files, settings and event logs alike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateConfig {
    /// Where the probability comes from.
    pub kind: GateKind,
    /// Fires at or above this.
    pub threshold: Threshold,
    /// Having fired, the probability has to fall this far below the threshold before the gate can
    /// fire again; 0 switches this off.
    pub hysteresis: f32,
    /// Having fired, the gate rests this long, in seconds of MediaTime.
    pub refractory_s: f64,
}

/// A head, at an even chance, firing whenever its probability says so.
impl Default for GateConfig {
    fn default() -> Self {
        Self {
            kind: GateKind::Head,
            threshold: Threshold(0.5),
            hysteresis: 0.0,
            refractory_s: 0.0,
        }
    }
}

impl GateConfig {
    /// Checks the ranges. `name` is the gate's name in messages.
    ///
    /// # Errors
    /// A threshold outside of [0, 1], a hysteresis that can never be met, a refractory time that is
    /// negative or not finite.
    pub fn check(&self, name: &str) -> Result<()> {
        let Threshold(threshold) = self.threshold;
        if !(0.0..=1.0).contains(&threshold) {
            return Err(Error::Invalid(format!(
                "gate {name}: threshold = {threshold}, expected 0 to 1"
            )));
        }
        // Below zero the probability cannot fall: the gate would fire once and never again.
        if self.hysteresis != 0.0 && !(self.hysteresis > 0.0 && self.hysteresis < threshold) {
            return Err(Error::Invalid(format!(
                "gate {name}: hysteresis = {}, expected 0 or more and less than the threshold {threshold}",
                self.hysteresis
            )));
        }
        if !self.refractory_s.is_finite() || self.refractory_s < 0.0 {
            return Err(Error::Invalid(format!(
                "gate {name}: refractory_s = {}, expected 0 or more",
                self.refractory_s
            )));
        }
        Ok(())
    }
}

/// Both gates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gates {
    /// Speak now?
    pub speak: GateConfig,
    /// Update the task state now?
    pub dst_update: GateConfig,
}

/// A gate with its memory of the last firing.
#[derive(Clone, Debug)]
pub struct Gate {
    config: GateConfig,
    /// Fired, and the probability has not yet fallen far enough since.
    held: bool,
    last_fired: Option<MediaTime>,
}

impl Gate {
    /// A gate that has not fired yet.
    ///
    /// # Errors
    /// As [`GateConfig::check`].
    pub fn new(name: &str, config: GateConfig) -> Result<Self> {
        config.check(name)?;
        Ok(Self {
            config,
            held: false,
            last_fired: None,
        })
    }

    /// How it decides.
    pub fn config(&self) -> &GateConfig {
        &self.config
    }

    /// Decides by another threshold from now on; what was fired so far counts on.
    ///
    /// # Errors
    /// As [`GateConfig::check`]; the gate is then as it was.
    pub fn set_threshold(&mut self, name: &str, threshold: Threshold) -> Result<()> {
        let config = GateConfig {
            threshold,
            ..self.config
        };
        config.check(name)?;
        self.config = config;
        Ok(())
    }

    /// Forgets when it fired, as if nothing had been.
    pub fn reset(&mut self) {
        (self.held, self.last_fired) = (false, None);
    }

    /// A frame's reading: fires at or above the threshold, unless it has not fallen below
    /// `threshold - hysteresis` since it fired last, or fired less than `refractory_s` ago.
    pub fn decide(&mut self, prob: Prob, at: MediaTime) -> bool {
        self.release(prob);
        let rested = self
            .last_fired
            .is_none_or(|last| at.0 - last.0 + TIME_TOLERANCE_S >= self.config.refractory_s);
        let fires = self.reaches(prob) && !self.held && rested;
        if fires {
            self.held = self.config.hysteresis > 0.0;
            self.last_fired = Some(at);
        }
        fires
    }

    /// A second reading in the same frame, at the `<eot>` of an update: "another one now?". Fires
    /// at or above the threshold; hysteresis and rest time are between frames, and do not hold back
    /// the second half of a step change.
    pub fn decide_again(&mut self, prob: Prob) -> bool {
        self.release(prob);
        let fires = self.reaches(prob);
        self.held |= fires && self.config.hysteresis > 0.0;
        fires
    }

    /// A frame's reading from before a break, and whether the gate fired then: afterwards it holds
    /// back as it would have. Readings at an update's `<eot>` are not in a log; they can only have
    /// released the gate earlier.
    pub fn recall(&mut self, prob: Prob, at: MediaTime, fired: bool) {
        self.release(prob);
        if fired {
            self.held = self.config.hysteresis > 0.0;
            self.last_fired = Some(at);
        }
    }

    fn reaches(&self, prob: Prob) -> bool {
        self.config.kind != GateKind::Off && prob.0 >= self.config.threshold.0
    }

    fn release(&mut self, prob: Prob) {
        if prob.0 < self.config.threshold.0 - self.config.hysteresis {
            self.held = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gate(threshold: f32, hysteresis: f32, refractory_s: f64) -> Gate {
        Gate::new(
            "speak",
            GateConfig {
                threshold: Threshold(threshold),
                hysteresis,
                refractory_s,
                ..GateConfig::default()
            },
        )
        .unwrap()
    }

    fn fired(gate: &mut Gate, probs: &[f32]) -> String {
        let fire = |(i, p): (usize, &f32)| {
            if gate.decide(Prob(*p), MediaTime(i as f64)) {
                '!'
            } else {
                '.'
            }
        };
        probs.iter().enumerate().map(fire).collect()
    }

    #[test]
    fn hysteresis_and_rest_time_each_hold_it_back() {
        let probs = [0.5, 0.9, 0.9, 0.6, 0.9, 0.3, 0.9, 0.45, 0.6];
        assert_eq!(fired(&mut gate(0.6, 0.0, 0.0), &probs), ".!!!!.!.!");
        assert_eq!(fired(&mut gate(0.6, 0.2, 0.0), &probs), ".!....!..");
        assert_eq!(fired(&mut gate(0.6, 0.0, 2.0), &probs), ".!.!..!.!");
        assert_eq!(fired(&mut gate(0.6, 0.2, 6.0), &probs), ".!......!");
    }

    #[test]
    fn the_second_reading_in_a_frame_is_not_held_back() {
        let mut gate = gate(0.5, 0.2, 100.0);
        assert!(gate.decide(Prob(0.9), MediaTime(1.0)));
        assert!(gate.decide_again(Prob(0.5)));
        assert!(!gate.decide_again(Prob(0.1)));
        assert!(!gate.decide(Prob(0.9), MediaTime(2.0)), "still resting");
        assert!(gate.decide(Prob(0.9), MediaTime(101.0)));
    }

    #[test]
    fn a_threshold_moves_at_once_and_a_bad_one_changes_nothing() {
        let mut gate = gate(0.6, 0.2, 0.0);
        assert!(!gate.decide(Prob(0.5), MediaTime(0.0)));
        gate.set_threshold("speak", Threshold(0.45)).unwrap();
        assert!(
            gate.set_threshold("speak", Threshold(0.2)).is_err(),
            "not above the hysteresis"
        );
        assert!(gate.decide(Prob(0.5), MediaTime(1.0)));
        assert!(!gate.decide(Prob(0.5), MediaTime(2.0)), "held");
        gate.reset();
        assert!(gate.decide(Prob(0.5), MediaTime(3.0)));
    }

    #[test]
    fn an_off_gate_never_fires() {
        let mut gate = Gate::new(
            "x",
            GateConfig {
                kind: GateKind::Off,
                threshold: Threshold(0.0),
                ..GateConfig::default()
            },
        )
        .unwrap();
        assert!(!gate.decide(Prob(1.0), MediaTime(0.0)) && !gate.decide_again(Prob(1.0)));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let ok = GateConfig::default();
        let bad = [
            GateConfig {
                threshold: Threshold(1.1),
                ..ok
            },
            GateConfig {
                threshold: Threshold(f32::NAN),
                ..ok
            },
            GateConfig {
                hysteresis: -0.1,
                ..ok
            },
            GateConfig {
                hysteresis: 0.5,
                ..ok
            },
            GateConfig {
                hysteresis: f32::NAN,
                ..ok
            },
            GateConfig {
                refractory_s: -1.0,
                ..ok
            },
            GateConfig {
                refractory_s: f64::INFINITY,
                ..ok
            },
        ];
        for config in bad {
            assert!(Gate::new("speak", config).is_err(), "{config:?}");
        }
    }

    proptest! {
        /// Between two firings lies a reading below the lower cut, and the rest time.
        #[test]
        fn it_never_chatters(
            probs in proptest::collection::vec(0.0f32..=1.0, 1..200),
            threshold in 0.1f32..=1.0,
            share in 0.01f32..=0.99,
            refractory_s in 0.0f64..5.0,
        ) {
            let hysteresis = threshold * share;
            let mut gate = gate(threshold, hysteresis, refractory_s);
            let mut last: Option<usize> = None;
            for (i, prob) in probs.iter().enumerate() {
                if !gate.decide(Prob(*prob), MediaTime(i as f64 / 2.0)) {
                    continue;
                }
                prop_assert!(*prob >= threshold);
                if let Some(last) = last {
                    prop_assert!(probs[last..i].iter().any(|p| *p < threshold - hysteresis));
                    prop_assert!((i - last) as f64 / 2.0 >= refractory_s - 1e-5);
                }
                last = Some(i);
            }
        }
    }
}
