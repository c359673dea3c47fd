//! The training file (TOML): data, sizes, schedules. Every key is named; unknown keys are errors.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::train::assistant::AssistantTraining;
use crate::train::vision::VisionTraining;
use proact::dialogue::layout::SpecialTokens;
use proact::dialogue::policy::{GateConfig, GateKind, Gates};
use proact::error::{Error, Result};
use proact::features::TokenLayout;
use proact::model::config::{AssistantConfig, BackboneConfig, HeadKind, TextConfig, VisionConfig};
use proact::units::{Threshold, TokenId};

/// A whole training: from episodes to quantized files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// Folder with `train/` and `validation/`, as `proact synth --suite` writes them.
    pub episodes: Option<PathBuf>,
    /// Dialogues with their features, instead of `episodes` and all that is about the towers.
    pub dialogues: Option<Dialogues>,
    /// Folder for caches, checkpoints and the log; made when missing.
    pub work: PathBuf,
    /// Folder for the finished files.
    pub output: PathBuf,
    /// Frames looked at per second of video.
    pub fps: f64,
    /// Tokens that the tokenizer has, about.
    pub vocab: usize,
    /// Sizes of the picture tower.
    pub vision_model: Option<TowerSizes>,
    /// Sizes of the text tower, which serves training only.
    pub text_model: Option<TextSizes>,
    /// Training of both towers.
    pub vision_training: Option<VisionTraining>,
    /// Sizes of the assistant.
    pub assistant_model: AssistantSizes,
    /// Training of the assistant.
    pub assistant_training: AssistantTraining,
    /// The gates' settings besides their thresholds, which are found on the validation split.
    pub gates: GateSettings,
    /// Recipes of the finished files.
    pub quantize: Recipes,
    /// What the finished files say of themselves.
    pub card: Card,
}

/// Dialogues whose frames have been encoded: ProAssist's prepared data, or its state-tracking
/// extension's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialogues {
    /// Files to learn from: prepared dialogues (JSONL), or clips (JSON).
    pub train: Vec<PathBuf>,
    /// Files that thresholds are found on.
    pub validation: Vec<PathBuf>,
    /// Folder of their feature files (Arrow or safetensors), each named after the frames' file, the
    /// video or the clip.
    pub features: PathBuf,
    /// Vision tokens a frame: 1, or with a grid 5, 10 or 26.
    pub tokens_per_frame: usize,
    /// What is known of a task (`metadata.knowledge`) stands in the prompt.
    pub knowledge: bool,
}

/// All that is about the towers.
#[derive(Clone, Copy, Debug)]
pub struct Towers<'a> {
    /// Sizes of the picture tower.
    pub vision_model: &'a TowerSizes,
    /// Sizes of the text tower.
    pub text_model: &'a TextSizes,
    /// Training of both.
    pub vision_training: &'a VisionTraining,
}

/// Sizes of the picture tower. They repeat fields of the model's `VisionConfig` on purpose: the
/// rest of it is not the training file's to choose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TowerSizes {
    /// Side of the square picture, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels.
    pub patch_size: usize,
    /// Width; also of a feature.
    pub embedding_length: usize,
    /// Width of the hidden layer.
    pub feed_forward_length: usize,
    /// Blocks.
    pub block_count: usize,
    /// Attention heads.
    pub head_count: usize,
}

/// Sizes of the text tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSizes {
    /// Tokens of a caption; longer ones are cut.
    pub context_length: usize,
    /// Width.
    pub embedding_length: usize,
    /// Width of the hidden layer.
    pub feed_forward_length: usize,
    /// Blocks.
    pub block_count: usize,
    /// Attention heads.
    pub head_count: usize,
}

/// Sizes of the assistant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssistantSizes {
    /// Blocks.
    pub block_count: usize,
    /// Width.
    pub embedding_length: usize,
    /// Width of the hidden layer.
    pub feed_forward_length: usize,
    /// Query heads.
    pub head_count: usize,
    /// Key and value heads.
    pub head_count_kv: usize,
    /// Base of the rotary frequencies.
    pub rope_freq_base: f64,
    /// Width of the projector's hidden layer.
    pub projector_length: usize,
    /// What the decision heads are made of: `linear` or `mlp`.
    pub heads: HeadKind,
    /// A frame's token also carries how like each step's words the frame looks to the two towers.
    pub step_evidence: bool,
    /// A sentence begins behind a line that names the step it should be about.
    pub speech_note: bool,
}

/// The gates' settings besides their thresholds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateSettings {
    /// Thresholds that are tried for the update gate.
    pub dst_update_thresholds: Vec<f32>,
    /// Thresholds that are tried for the speak gate.
    pub speak_thresholds: Vec<f32>,
    /// Once fired, a gate must fall this far below its threshold before it can fire again.
    pub hysteresis: f32,
    /// Rest of the update gate after firing, in seconds.
    pub dst_update_refractory_s: f64,
    /// Rest of the speak gate after firing, in seconds.
    pub speak_refractory_s: f64,
    /// Other hystereses that are tried for either gate at the best thresholds.
    #[serde(default)]
    pub hysteresis_tried: Vec<f32>,
    /// Other rests that are tried for either gate at the best thresholds, in seconds.
    #[serde(default)]
    pub refractory_s_tried: Vec<f64>,
}

/// Quantization recipes, by the names of files in `quantize/` or by path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipes {
    /// Of the vision file.
    pub vision: String,
    /// Of the assistant file.
    pub assistant: String,
}

/// What a model file says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Name of the model.
    pub name: String,
    /// Licence, as an SPDX expression.
    pub license: String,
    /// What it was trained on.
    pub data: String,
}

/// Epsilon of every norm in the models trained here.
const NORM_EPS: f64 = 1e-6;
/// Threshold before one is found on the validation split.
const THRESHOLD_UNTUNED: f32 = 0.5;

impl TrainConfig {
    /// Reads a training file. Relative folders in it are relative to the current directory.
    ///
    /// # Errors
    /// Unreadable, unknown or missing keys, values out of range.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let config: Self = toml::from_str(&text).map_err(|e| Error::format(path, e.to_string()))?;
        config.check().map_err(|why| Error::format(path, why))?;
        Ok(config)
    }

    /// All that is about the towers; a training on dialogues has none.
    ///
    /// # Errors
    /// A part of it is missing.
    pub fn towers(&self) -> Result<Towers<'_>> {
        match (&self.vision_model, &self.text_model, &self.vision_training) {
            (Some(vision_model), Some(text_model), Some(vision_training)) => Ok(Towers {
                vision_model,
                text_model,
                vision_training,
            }),
            _ => Err(Error::Invalid("vision_model, text_model, vision_training: expected all three, to train on episodes".into())),
        }
    }

    /// Episodes with towers, or dialogues without.
    fn check_data(&self) -> Result<(), String> {
        let towers = [
            self.vision_model.is_some(),
            self.text_model.is_some(),
            self.vision_training.is_some(),
        ];
        match (&self.episodes, &self.dialogues) {
            (Some(_), None) => {
                let settings = self.towers().map_err(|e| e.to_string())?.vision_training;
                let numbers = [("steps", settings.steps), ("batch", settings.batch), ("captions", settings.captions)];
                if let Some((key, _)) = numbers.iter().find(|(_, n)| *n == 0) {
                    return Err(format!("vision_training.{key} = 0: expected a number above 0"));
                }
                let shares = [("idle_share", settings.idle_share), ("misread_share", settings.misread_share), ("invented_share", settings.invented_share)];
                match shares.iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
                    Some((key, share)) => Err(format!("vision_training.{key} = {share}: expected a share from 0 to 1")),
                    None => Ok(()),
                }
            }
            (None, Some(_)) if towers.contains(&true) => {
                Err("vision_model, text_model, vision_training: dialogues come with their features, expected none of them".into())
            }
            (None, Some(_)) if self.assistant_model.step_evidence => {
                Err("assistant_model.step_evidence = true: needs the towers that encoded the frames, expected false with dialogues".into())
            }
            (None, Some(dialogues)) => {
                let tokens = TokenLayout::from_tokens(dialogues.tokens_per_frame);
                tokens.map(|_| ()).map_err(|e| format!("dialogues.tokens_per_frame: {e}"))
            }
            _ => Err("episodes, dialogues: expected one of them".into()),
        }
    }

    fn check(&self) -> Result<(), String> {
        self.check_data()?;
        let positive: [(&str, f64); 5] = [
            ("fps", self.fps),
            ("vocab", self.vocab as f64),
            (
                "assistant_training.steps",
                self.assistant_training.steps as f64,
            ),
            (
                "assistant_training.batch",
                self.assistant_training.batch as f64,
            ),
            (
                "assistant_training.tokens_max",
                self.assistant_training.tokens_max as f64,
            ),
        ];
        if let Some((key, value)) = positive.iter().find(|(_, v)| !v.is_finite() || *v <= 0.0) {
            return Err(format!("{key} = {value}: expected a number above 0"));
        }
        let shares = [
            (
                "assistant_training.invented_share",
                self.assistant_training.invented_share,
            ),
            (
                "assistant_training.late_share",
                self.assistant_training.late_share,
            ),
            (
                "assistant_training.early_share",
                self.assistant_training.early_share,
            ),
            (
                "assistant_training.shuffled_share",
                self.assistant_training.shuffled_share,
            ),
            (
                "assistant_training.faint_share",
                self.assistant_training.faint_share,
            ),
            (
                "assistant_training.own_history_share",
                self.assistant_training.own_history_share,
            ),
            (
                "assistant_training.silent_user_share",
                self.assistant_training.silent_user_share,
            ),
            (
                "assistant_training.negative_share",
                self.assistant_training.negative_share,
            ),
        ];
        if let Some((key, value)) = shares.iter().find(|(_, v)| !(0.0..=1.0).contains(v)) {
            return Err(format!("{key} = {value}: expected a share from 0 to 1"));
        }
        let (gates, training) = (&self.gates, &self.assistant_training);
        let lists = [
            ("gates.dst_update_thresholds", &gates.dst_update_thresholds),
            ("gates.speak_thresholds", &gates.speak_thresholds),
            (
                "assistant_training.own_history_dst_update_thresholds",
                &training.own_history_dst_update_thresholds,
            ),
            (
                "assistant_training.own_history_speak_thresholds",
                &training.own_history_speak_thresholds,
            ),
        ];
        for (key, list) in lists {
            if list.is_empty() || list.iter().any(|t| !(0.0..=1.0).contains(t)) {
                return Err(format!(
                    "{key}: expected at least one number, each from 0 to 1"
                ));
            }
        }
        let patience_s = training.own_history_patience_s_max;
        if !patience_s.is_finite() || patience_s < 0.0 {
            return Err(format!(
                "assistant_training.own_history_patience_s_max = {patience_s}: expected seconds, 0 or more"
            ));
        }
        let (block, blocks) = (
            training.step_in_view_block,
            self.assistant_model.block_count,
        );
        if !(1..=blocks).contains(&block) {
            return Err(format!(
                "assistant_training.step_in_view_block = {block}: expected 1 to {blocks}, the model's blocks"
            ));
        }
        Ok(())
    }

    /// The picture tower's hyper-parameters.
    ///
    /// # Errors
    /// The file has none.
    pub fn vision(&self) -> Result<VisionConfig> {
        let m = self.towers()?.vision_model;
        Ok(VisionConfig {
            image_size: m.image_size,
            patch_size: m.patch_size,
            embedding_length: m.embedding_length,
            feed_forward_length: m.feed_forward_length,
            block_count: m.block_count,
            head_count: m.head_count,
            layer_norm_eps: NORM_EPS,
            mean: [0.5; 3],
            std: [0.5; 3],
            pool_head: true,
            patch_grids: Vec::new(),
        })
    }

    /// The text tower's hyper-parameters.
    ///
    /// # Errors
    /// The file has none.
    pub fn text(&self, vocab_size: usize, pad_token: TokenId) -> Result<TextConfig> {
        let Towers {
            text_model: m,
            vision_model,
            ..
        } = self.towers()?;
        Ok(TextConfig {
            vocab_size,
            context_length: m.context_length,
            embedding_length: m.embedding_length,
            feed_forward_length: m.feed_forward_length,
            block_count: m.block_count,
            head_count: m.head_count,
            layer_norm_eps: NORM_EPS,
            projection_length: vision_model.embedding_length,
            mean_pool: true,
            pad_token,
        })
    }

    /// The assistant's hyper-parameters; it sees vision tokens of width `vision_length`.
    pub fn assistant(
        &self,
        vocab_size: usize,
        tokens: SpecialTokens,
        vision_length: usize,
    ) -> AssistantConfig {
        let m = &self.assistant_model;
        let gate = |refractory_s| GateConfig {
            kind: GateKind::Head,
            threshold: Threshold(THRESHOLD_UNTUNED),
            hysteresis: self.gates.hysteresis,
            refractory_s,
        };
        let backbone = BackboneConfig {
            block_count: m.block_count,
            embedding_length: m.embedding_length,
            feed_forward_length: m.feed_forward_length,
            head_count: m.head_count,
            head_count_kv: m.head_count_kv,
            key_length: m.embedding_length / m.head_count.max(1),
            context_length: self.assistant_training.tokens_max,
            rope_freq_base: m.rope_freq_base,
            rope_factors: false,
            rms_eps: NORM_EPS,
            vocab_size,
            tied_output: true,
        };
        let gates = Gates {
            speak: gate(self.gates.speak_refractory_s),
            dst_update: gate(self.gates.dst_update_refractory_s),
        };
        AssistantConfig {
            tokens_per_frame: self
                .dialogues
                .as_ref()
                .map_or(1, |dialogues| dialogues.tokens_per_frame),
            projector_length: m.projector_length,
            heads: m.heads,
            step_evidence: m.step_evidence,
            speech_note: m.speech_note,
            ..AssistantConfig::plain(backbone, vision_length, gates, tokens)
        }
    }
}
