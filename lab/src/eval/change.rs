//! A change detector: when does the picture change more than it usually does?

use proact::error::{Error, Result};
use proact::units::MediaTime;

/// When a change counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detector {
    /// A peak lies this many standard deviations above the mean of the whole recording.
    pub above_sd: f64,
    /// Seconds after a peak in which there is no other.
    pub refractory_s: f64,
}

impl Default for Detector {
    fn default() -> Self {
        Self {
            above_sd: 2.0,
            refractory_s: 5.0,
        }
    }
}

/// Cosine distance of each frame's features `[T, width]` to those of the frame before; 0 for the
/// first, and where features are all zero.
///
/// # Errors
/// A length that is no multiple of `width`.
pub fn change_signal(features: &[f32], width: usize) -> Result<Vec<f32>> {
    if width == 0 || !features.len().is_multiple_of(width) {
        return Err(Error::Invalid(format!(
            "{} feature values: expected frames of {width} each",
            features.len()
        )));
    }
    let frames: Vec<&[f32]> = features.chunks_exact(width).collect();
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum::<f64>()
    };
    let distance = |a: &[f32], b: &[f32]| {
        let norms = (dot(a, a) * dot(b, b)).sqrt();
        if norms > 0.0 && norms.is_finite() {
            (1.0 - dot(a, b) / norms) as f32
        } else {
            0.0
        }
    };
    let mut out = vec![0.0; frames.len().min(1)];
    out.extend(frames.windows(2).map(|w| distance(w[0], w[1])));
    Ok(out)
}

/// Moments at which the signal peaks: above mean + `above_sd` standard deviations of the recording,
/// no lower than its neighbours, the refractory time after the peak before. Values that are not
/// finite are left out.
pub fn peaks(signal: &[(MediaTime, f32)], detector: &Detector) -> Vec<MediaTime> {
    let signal: Vec<(f64, f64)> = signal
        .iter()
        .filter(|(_, v)| v.is_finite())
        .map(|(at, v)| (at.seconds(), f64::from(*v)))
        .collect();
    let n = signal.len().max(1) as f64;
    let mean = signal.iter().map(|(_, v)| v).sum::<f64>() / n;
    let sd = (signal.iter().map(|(_, v)| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    let bound = mean + detector.above_sd * sd;
    let mut out: Vec<MediaTime> = Vec::new();
    for (i, &(at_s, value)) in signal.iter().enumerate() {
        let before = i.checked_sub(1).map_or(f64::NEG_INFINITY, |b| signal[b].1);
        let after = signal.get(i + 1).map_or(f64::NEG_INFINITY, |s| s.1);
        let rested = out
            .last()
            .is_none_or(|last| at_s - last.seconds() >= detector.refractory_s);
        if value > bound && value >= before && value >= after && rested {
            out.push(MediaTime(at_s));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signal_is_one_minus_the_cosine() {
        // (1,0) -> (0,1): cosine 0. (0,1) -> (0,2): 1. (0,2) -> (1,1): 1/sqrt 2. Then nothing to
        // compare with.
        let signal = change_signal(&[1.0, 0.0, 0.0, 1.0, 0.0, 2.0, 1.0, 1.0, 0.0, 0.0], 2).unwrap();
        let expected = [0.0, 1.0, 0.0, 1.0 - std::f32::consts::FRAC_1_SQRT_2, 0.0];
        assert!(
            signal
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-6)
                && signal.len() == 5,
            "{signal:?}"
        );
        assert!(change_signal(&[], 3).unwrap().is_empty());
        assert!(change_signal(&[1.0; 5], 2).is_err());
        assert!(change_signal(&[1.0; 4], 0).is_err());
    }

    #[test]
    fn peaks_stand_out_and_rest() {
        let mut signal: Vec<(MediaTime, f32)> =
            (0..100).map(|i| (MediaTime(f64::from(i)), 0.0)).collect();
        for (at, value) in [
            (10, 1.0),
            (11, 0.5),
            (12, 1.0),
            (30, 1.0),
            (60, 0.1),
            (80, f32::NAN),
        ] {
            signal[at].1 = value;
        }
        // 99 finite values: mean 3.6/99 = 0.036, sd sqrt(3.26/99 - 0.036^2) = 0.178; bound 0.392.
        // 11 s is above it but lower than 10 s; 12 s comes 2 s after a peak; 60 s is too low.
        let got = peaks(
            &signal,
            &Detector {
                above_sd: 2.0,
                refractory_s: 5.0,
            },
        );
        assert_eq!(got, [MediaTime(10.0), MediaTime(30.0)]);
        assert_eq!(
            peaks(
                &signal,
                &Detector {
                    above_sd: 2.0,
                    refractory_s: 1.0
                }
            )
            .len(),
            3
        );
        assert!(peaks(&[], &Detector::default()).is_empty());
        assert!(
            peaks(&[(MediaTime(0.0), 1.0); 5], &Detector::default()).is_empty(),
            "a flat signal has no peak"
        );
    }
}
