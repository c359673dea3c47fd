//! Where the gates' settings come from: the curves of the validation runs that they were chosen by.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Points of a curve at most.
const POINTS_MAX: usize = 1000;

/// How both gates' settings were found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Name of the score that chose.
    pub metric: String,
    /// Recordings of the validation set.
    pub recordings: usize,
    /// Over the speak gate's threshold; precision and recall are those of sentences.
    pub speak: Vec<CurvePoint>,
    /// Over the update gate's threshold; precision and recall are those of transitions.
    pub dst_update: Vec<CurvePoint>,
}

/// Free runs over the validation set at one threshold, all other settings as they were chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurvePoint {
    /// The gate's threshold.
    pub threshold: f32,
    /// The score that chose, 0 to 1.
    pub score: f32,
    /// Of what the gate lets out; none where it let nothing out.
    pub precision: Option<f32>,
    /// Of what it should let out; none where that is nothing.
    pub recall: Option<f32>,
}

impl Calibration {
    /// Checks the curves' numbers.
    ///
    /// # Errors
    /// Names the key, what was found and what is expected.
    pub fn validate(&self) -> Result<()> {
        for (gate, curve) in [("speak", &self.speak), ("dst_update", &self.dst_update)] {
            let key = format!("dstproact.calibration.{gate}");
            let bad = |found: String, expected: &str| {
                Err(Error::Model(format!(
                    "{key}: found {found}, expected {expected}"
                )))
            };
            if curve.is_empty() || curve.len() > POINTS_MAX {
                return bad(
                    format!("{} points", curve.len()),
                    &format!("1 to {POINTS_MAX}"),
                );
            }
            for point in curve {
                let shares = [
                    Some(point.threshold),
                    Some(point.score),
                    point.precision,
                    point.recall,
                ];
                if let Some(value) = shares
                    .into_iter()
                    .flatten()
                    .find(|v| !(0.0..=1.0).contains(v))
                {
                    return bad(value.to_string(), "numbers from 0 to 1");
                }
            }
            if !curve
                .windows(2)
                .all(|pair| pair[0].threshold < pair[1].threshold)
            {
                return bad("thresholds out of order".into(), "ascending ones");
            }
        }
        Ok(())
    }
}
