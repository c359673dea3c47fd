//! When a camera counts as lost, and how hard it is looked for.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The limits by which a camera counts as lost, and by which it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraLimits {
    /// How long the camera may take to open and give its first frame, in seconds.
    pub open_limit_s: f64,
    /// After how long without a frame the camera is lost, in seconds.
    pub silence_s: f64,
    /// How long the camera may stay lost before it is lost for good, in seconds. The time in which
    /// the machine sleeps does not count.
    pub lost_limit_s: f64,
    /// Time before the first try to open the camera again, in seconds. It doubles with each try.
    pub retry_first_s: f64,
    /// Longest time between two tries, in seconds.
    pub retry_max_s: f64,
    /// For how long the ring holds a frame, in seconds.
    pub look_back_s: f64,
}

impl Default for CameraLimits {
    fn default() -> Self {
        // A webcam opens in one to three seconds, and some take as long again for a first frame.
        // Even in the dark a frame comes at least every half second.
        Self {
            open_limit_s: 10.0,
            silence_s: 3.0,
            lost_limit_s: 300.0,
            retry_first_s: 0.5,
            retry_max_s: 10.0,
            look_back_s: 4.0,
        }
    }
}

impl CameraLimits {
    /// How long the first frame may take from the start of opening, in seconds.
    pub fn first_frame_s(&self) -> f64 {
        self.open_limit_s.max(self.silence_s)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// A number is out of range; the error names the key, its value and what is expected.
    pub fn check(&self) -> Result<()> {
        let Self {
            open_limit_s,
            silence_s,
            lost_limit_s,
            retry_first_s,
            retry_max_s,
            look_back_s,
        } = *self;
        let times = [
            ("open_limit_s", open_limit_s),
            ("silence_s", silence_s),
            ("lost_limit_s", lost_limit_s),
            ("retry_first_s", retry_first_s),
            ("retry_max_s", retry_max_s),
            ("look_back_s", look_back_s),
        ];
        match times
            .into_iter()
            .find(|(_, s)| !(s.is_finite() && *s > 0.0))
        {
            Some((key, value)) => Err(Error::Invalid(format!(
                "camera: {key} = {value}, expected a number above 0"
            ))),
            None => Ok(()),
        }
    }
}
