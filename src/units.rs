//! The quantities of the house: each number that crosses a room's wall has one of these types.
//!
//! Units are part of the type: `MediaTime` counts seconds of the recording, never of the clock.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Index of a sampled frame in the session, from 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct FrameIdx(pub u64);

/// Time in the recording, in seconds since its start. Not the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaTime(pub f64);

impl MediaTime {
    /// Seconds since the start of the recording.
    pub fn seconds(self) -> f64 {
        self.0
    }
}

impl fmt::Display for MediaTime {
    /// `m:ss.s`, as a person reads a video's time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0.max(0.0) * 10.0).round() as u64;
        write!(
            f,
            "{}:{:02}.{}",
            tenths / 600,
            tenths / 10 % 60,
            tenths % 10
        )
    }
}

/// A probability in [0, 1].
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prob(pub f32);

/// A score before the sigmoid.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Logit(pub f32);

impl Logit {
    /// The logistic function of the score.
    pub fn sigmoid(self) -> Prob {
        Prob(1.0 / (1.0 + (-self.0).exp()))
    }
}

/// A cut between "silent" and "fires", in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Threshold(pub f32);

/// A step of the task by its place in the task file: `StepId(0)` is written `S1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub u16);

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S{}", u32::from(self.0) + 1)
    }
}

impl StepId {
    /// Reads `S3`; anything else (`s3`, `S0`, `S03`, `3`) is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('S')?;
        if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        digits.parse::<u16>().ok()?.checked_sub(1).map(StepId)
    }
}

impl Serialize for StepId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StepId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("step id `{text}`: expected S1, S2, …"))
        })
    }
}

/// A token of the backbone's vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_ids_round_trip_and_refuse_other_spellings() {
        for n in [0u16, 1, 8, 9, 98, 1000] {
            assert_eq!(StepId::parse(&StepId(n).to_string()), Some(StepId(n)));
        }
        for bad in [
            "",
            "S",
            "S0",
            "S03",
            "s3",
            "3",
            "S-1",
            "S1 ",
            "S+1",
            "S99999999",
        ] {
            assert_eq!(StepId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn media_time_reads_as_a_video_clock() {
        assert_eq!(MediaTime(0.04).to_string(), "0:00.0");
        assert_eq!(MediaTime(59.96).to_string(), "1:00.0");
        assert_eq!(MediaTime(754.5).to_string(), "12:34.5");
    }
}
