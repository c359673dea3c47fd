//! What can be chosen about a session: limits, gates, context policy. Each number with its unit and
//! default.

use serde::{Deserialize, Serialize};

use crate::dialogue::layout::LayoutName;
use crate::dialogue::policy::Gates;
use crate::error::{Error, Result};
use crate::model::config::AssistantConfig;
use crate::stream::ContextPolicyName;

/// Choices of a session. The last six fields come from the model's files, not from a
/// configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfig {
    /// Frames looked at per second of the recording; told in the log, the source does the sampling.
    pub fps: f64,
    /// The gates.
    pub gates: Gates,
    /// What to drop when memory is full.
    pub context: ContextPolicyName,
    /// The policy acts when this many tokens are held, though memory may be larger; 0 leaves it at
    /// what memory holds.
    pub context_tokens_max: usize,
    /// Tokens of a summary at most, for the policies that make one.
    pub summary_tokens_max: usize,
    /// Frames seen again behind the new prompt of the policy `refresh`: K.
    pub frames_kept: usize,
    /// Updates of the task state in one frame at most.
    pub updates_per_frame_max: usize,
    /// What a start that the task's order (`after`) does not allow yet counts when updates are
    /// ranked, beside 1 for all other updates: how seldom people begin such a step. Above 0; 1
    /// leaves the choice to the model alone.
    pub out_of_order_weight: f32,
    /// A step that nobody noted is missing, which a warning tells, unless it was in view for longer
    /// than this, in seconds, as far as pictures and its words tell. `inf`: whatever was seen. What
    /// was seen before a session was resumed is not known.
    pub missing_seen_s_max: f64,
    /// A start that the task's order does not allow yet is refused while the frame looks as it did
    /// when a step began that is still being done: the cosine of their features is at least this.
    /// `inf`: never.
    pub same_picture_cosine_min: f32,
    /// A start is refused when at every frame of the last 4 seconds the step's words fell short of
    /// those that fit best by more than this, in cosines, unless the step was in view before
    /// (`missing_seen_s_max`) or the model insists. `inf`: never.
    pub start_cosine_gap_max: f32,
    /// Tokens of one sentence at most.
    pub utterance_tokens_max: usize,
    /// Tokens of the person's words that may wait for one frame at most.
    pub user_tokens_max: usize,
    /// Inputs that may wait at most.
    pub queue_inputs_max: usize,
    /// Positions read in one piece of work while a prompt is read, at most (a frame is never
    /// split).
    pub prefill_tokens_max: usize,
    /// What the model reads and writes. From the model file.
    #[serde(skip)]
    pub layout: LayoutName,
    /// Vision tokens a frame: V. From the model file.
    #[serde(skip)]
    pub tokens_per_frame: usize,
    /// Frames are compared with the steps' words. From the model file.
    #[serde(skip)]
    pub step_evidence: bool,
    /// A sentence begins behind a line that names a step. From the model file.
    #[serde(skip)]
    pub speech_note: bool,
    /// SHA-256 of the assistant file, in hex.
    #[serde(skip)]
    pub model_sha256: String,
    /// SHA-256 of the vision file, in hex; empty when features are given.
    #[serde(skip)]
    pub vision_sha256: String,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            // What the gates were trained at, as in ProAssist.
            fps: 2.0,
            gates: Gates::default(),
            context: ContextPolicyName::Refresh,
            context_tokens_max: 0,
            // A dozen sentences.
            summary_tokens_max: 256,
            // Four seconds: enough to see a movement go on.
            frames_kept: 8,
            // A step change is two; parallel steps that end together are a few more.
            updates_per_frame_max: 8,
            // In the middle of 0.3 to 0.7, which are the best of 1, 0.9, 0.7, 0.5, 0.3 and 0.1 on
            // the suite's validation recordings.
            out_of_order_weight: 0.5,
            // Three frames at 2 a second are enough. On the validation recordings 1 and 1.5 give
            // the same warnings; 0.5 has one of 39 right ones less, and two of 11 wrong ones, 2.0
            // three wrong ones more.
            missing_seen_s_max: 1.0,
            // Of the few such starts that an earlier model noted on the validation recordings those
            // that were right had 0.65 or less, those that were wrong 0.97 or more.
            same_picture_cosine_min: 0.9,
            // In the middle of 0.1 to 0.25, which are the same on the validation recordings, and
            // better than none.
            start_cosine_gap_max: 0.2,
            // Three long sentences.
            utterance_tokens_max: 96,
            user_tokens_max: 256,
            // Half a minute of frames at 2 a second.
            queue_inputs_max: 64,
            prefill_tokens_max: 128,
            layout: LayoutName::default(),
            tokens_per_frame: 1,
            step_evidence: false,
            speech_note: false,
            model_sha256: String::new(),
            vision_sha256: String::new(),
        }
    }
}

impl SessionConfig {
    /// The defaults for a model of that layout: one of ProAssist's runs as upstream's runner runs
    /// it.
    pub fn of_layout(layout: LayoutName) -> Self {
        let default = Self {
            layout,
            ..Self::default()
        };
        match layout {
            LayoutName::Dstproact => default,
            LayoutName::Proassist => Self {
                context: ContextPolicyName::SummarizeAndDrop,
                utterance_tokens_max: 100,
                summary_tokens_max: 512,
                ..default
            },
        }
    }

    /// The defaults for a model, with its own gates and limits.
    pub fn of_model(model: &AssistantConfig) -> Self {
        Self {
            gates: model.gates,
            tokens_per_frame: model.tokens_per_frame,
            step_evidence: model.step_evidence,
            speech_note: model.speech_note,
            ..Self::of_layout(model.layout)
        }
    }

    /// The same with the keys of a table in the place of its own. What the model's files say stays.
    ///
    /// # Errors
    /// A key is unknown, or a value has another type.
    pub fn with(&self, table: &toml::Table) -> Result<Self, toml::de::Error> {
        let mut keys =
            toml::Table::try_from(self).map_err(<toml::de::Error as serde::de::Error>::custom)?;
        keys.extend(table.clone());
        let read: Self = keys.try_into()?;
        Ok(Self {
            layout: self.layout,
            tokens_per_frame: self.tokens_per_frame,
            step_evidence: self.step_evidence,
            speech_note: self.speech_note,
            model_sha256: self.model_sha256.clone(),
            vision_sha256: self.vision_sha256.clone(),
            ..read
        })
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the key, its value and what is expected.
    pub fn check(&self) -> Result<()> {
        if !(self.fps.is_finite() && self.fps > 0.0) {
            return Err(Error::Invalid(format!(
                "session: fps = {}, expected more than 0",
                self.fps
            )));
        }
        let weight = self.out_of_order_weight;
        if !(weight > 0.0 && weight <= 1.0) {
            return Err(Error::Invalid(format!(
                "session: out_of_order_weight = {weight}, expected more than 0, 1 at most"
            )));
        }
        let seen_s = self.missing_seen_s_max;
        if seen_s.is_nan() || seen_s < 0.0 {
            return Err(Error::Invalid(format!(
                "session: missing_seen_s_max = {seen_s}, expected seconds, not below 0, or inf"
            )));
        }
        let same = self.same_picture_cosine_min;
        if same.is_nan() || same < -1.0 {
            return Err(Error::Invalid(format!(
                "session: same_picture_cosine_min = {same}, expected a cosine, or inf"
            )));
        }
        let gap = self.start_cosine_gap_max;
        if gap.is_nan() || gap < 0.0 {
            return Err(Error::Invalid(format!(
                "session: start_cosine_gap_max = {gap}, expected a difference of cosines, not below 0, or inf"
            )));
        }
        let at_least_one = [
            ("updates_per_frame_max", self.updates_per_frame_max),
            ("utterance_tokens_max", self.utterance_tokens_max),
            ("summary_tokens_max", self.summary_tokens_max),
            ("queue_inputs_max", self.queue_inputs_max),
            ("prefill_tokens_max", self.prefill_tokens_max),
            ("tokens_per_frame", self.tokens_per_frame),
        ];
        if let Some((key, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Err(Error::Invalid(format!(
                "session: {key} = 0, expected 1 or more"
            )));
        }
        self.gates.speak.check("speak")?;
        self.gates.dst_update.check("dst_update")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Threshold;

    #[test]
    fn defaults_pass_and_round_trip_through_toml() {
        let config = SessionConfig::default();
        config.check().unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<SessionConfig>(&text).unwrap(), config);
        assert_eq!(toml::from_str::<SessionConfig>("").unwrap(), config);
    }

    #[test]
    fn bad_values_and_unknown_keys_are_named() {
        for (text, key) in [
            ("fps = 0.0", "fps"),
            ("fps = nan", "fps"),
            ("out_of_order_weight = 0.0", "out_of_order_weight"),
            ("missing_seen_s_max = -1.0", "missing_seen_s_max"),
            ("missing_seen_s_max = nan", "missing_seen_s_max"),
            ("same_picture_cosine_min = -1.5", "same_picture_cosine_min"),
            ("same_picture_cosine_min = nan", "same_picture_cosine_min"),
            ("start_cosine_gap_max = -0.1", "start_cosine_gap_max"),
            ("start_cosine_gap_max = nan", "start_cosine_gap_max"),
            ("utterance_tokens_max = 0", "utterance_tokens_max"),
        ] {
            let why = toml::from_str::<SessionConfig>(text)
                .unwrap()
                .check()
                .unwrap_err()
                .to_string();
            assert!(why.contains(key), "{why}");
        }
        let mut config = SessionConfig::default();
        config.gates.speak.threshold = Threshold(2.0);
        assert!(config.check().unwrap_err().to_string().contains("speak"));
        for text in [
            "frames_keept = 3",
            "context = \"forget\"",
            "[gates.speak]\nkind = \"maybe\"",
            "model_sha256 = \"x\"",
        ] {
            assert!(toml::from_str::<SessionConfig>(text).is_err(), "{text}");
        }
    }
}
