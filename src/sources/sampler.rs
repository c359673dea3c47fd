//! Picks pictures by their time stamps, so that sampling never drifts.

use crate::error::{Error, Result};

/// Highest sampling rate that makes sense, in frames per second.
pub const FPS_MAX: f64 = 240.0;
/// A picture that comes before its slot by no more than this counts as in the slot: containers
/// round time stamps to milliseconds.
const TOLERANCE_S: f64 = 0.002;

/// Takes at most one picture in each slot of `1/fps` seconds.
///
/// Slot `k` starts at `k / fps` seconds of the recording; its sample is the first picture shown at
/// or after that moment. The rule needs no look-ahead, so a camera and a file are sampled alike,
/// and slots are absolute, so errors do not add up. A picture is taken at most once: a gap in the
/// recording gives fewer frames and never copies. Pictures before time 0 are never taken.
#[derive(Clone, Debug)]
pub struct Sampler {
    fps: f64,
    next_slot: u64,
}

impl Sampler {
    /// A sampler for `fps` frames per second of the recording.
    ///
    /// # Errors
    /// `fps` is not a number above 0 and up to 240.
    pub fn new(fps: f64) -> Result<Self> {
        if fps.is_finite() && fps > 0.0 && fps <= FPS_MAX {
            return Ok(Self { fps, next_slot: 0 });
        }
        Err(Error::Invalid(format!(
            "fps is {fps}: expected a number above 0 and at most {FPS_MAX}"
        )))
    }

    /// The number of the slot that a picture at `at_s` seconds is in.
    pub fn slot(&self, at_s: f64) -> u64 {
        // `as` saturates, which is right for times out of all bounds.
        ((at_s + TOLERANCE_S) * self.fps).floor() as u64
    }

    /// Whether the picture shown at `at_s` seconds is a sample. Each call needs a time that is not
    /// before that of the last one.
    pub fn take(&mut self, at_s: f64) -> bool {
        if !at_s.is_finite() || at_s < -TOLERANCE_S {
            return false;
        }
        let slot = self.slot(at_s);
        if slot < self.next_slot {
            return false;
        }
        self.next_slot = slot.saturating_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn picks(fps: f64, times: impl IntoIterator<Item = f64>) -> Vec<f64> {
        let mut sampler = Sampler::new(fps).unwrap();
        times.into_iter().filter(|t| sampler.take(*t)).collect()
    }

    #[test]
    fn five_hours_at_ntsc_rate_do_not_drift() {
        let frame_s = 1001.0 / 30000.0;
        let hours = 5.0 * 3600.0;
        let got = picks(
            2.0,
            (0..)
                .map(|i| f64::from(i) * frame_s)
                .take_while(|t| *t < hours),
        );
        assert_eq!(got.len(), 36_000);
        for (k, at) in got.iter().enumerate() {
            let late = at - k as f64 / 2.0;
            assert!(
                (-TOLERANCE_S - 1e-9..frame_s).contains(&late),
                "slot {k} at {at}"
            );
        }
    }

    #[test]
    fn millisecond_time_stamps_stay_in_their_slots() {
        let rounded = (0..300).map(|i| (f64::from(i) * 1000.0 / 30.0).floor() / 1000.0);
        let got = picks(2.0, rounded);
        assert_eq!(got.len(), 20);
        assert!(
            got.iter()
                .enumerate()
                .all(|(k, at)| (at - k as f64 / 2.0).abs() < 0.002),
            "{got:?}"
        );
    }

    #[test]
    fn gaps_and_late_starts_give_fewer_frames_not_copies() {
        assert_eq!(
            picks(2.0, [3.2, 3.3, 3.6, 9.1, 9.4, 9.6]),
            [3.2, 3.6, 9.1, 9.6]
        );
        assert_eq!(picks(2.0, [-0.5, -0.1, 0.0, 0.1]), [0.0]);
        assert_eq!(picks(2.0, [0.0, 1.0, 2.0]), [0.0, 1.0, 2.0]);
        assert_eq!(picks(2.0, [f64::NAN, f64::INFINITY, 0.0]), [0.0]);
    }

    #[test]
    fn a_rate_out_of_range_is_refused() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 241.0] {
            assert!(Sampler::new(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// Where pictures come at least once a slot, every slot's sample lies within one picture
        /// interval of the slot.
        #[test]
        fn samples_lie_in_their_slots(
            rate in 2.5f64..240.0,
            fps in 0.5f64..2.5,
            start in 0.0f64..100.0,
            jitter in 0.0f64..0.4,
        ) {
            let interval = 1.0 / rate;
            // A longer gap leaves a slot without a picture: see
            // `gaps_and_late_starts_give_fewer_frames_not_copies`.
            prop_assume!(interval * (1.0 + jitter) <= 1.0 / fps);
            let late = |i: i32| if i % 2 == 1 { jitter } else { 0.0 };
            let times: Vec<f64> = (0..2000)
                .map(|i| start + (f64::from(i) + late(i)) * interval)
                .collect();
            let got = picks(fps, times.iter().copied());
            let first_slot = ((got[0] + TOLERANCE_S) * fps).floor();
            for (n, at) in got.iter().enumerate() {
                let slot_s = (first_slot + n as f64) / fps;
                if n > 0 {
                    let late = at - slot_s;
                    prop_assert!(late >= -TOLERANCE_S - 1e-9, "{late}");
                    prop_assert!(late <= interval * 1.5 + 1e-9, "{late}");
                }
                prop_assert!(times.contains(at));
            }
        }
    }
}
