//! Trains projector, backbone and both heads on cached features, in the layout that the session
//! uses.

use std::collections::BTreeSet;

use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::train::examples::Example;
use crate::train::loss;
use crate::train::optimizer::OptimizerConfig;
use crate::train::parallel::{Scored, gradients};
use crate::train::run::{StepResult, number};
use proact::error::Result;
use proact::model::assistant::Assistant;
use proact::model::nn::{Linear, RmsNorm};
use proact::model::weights::Weights;
use proact::rng::Rng;

/// Settings of the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssistantTraining {
    /// Optimizer steps.
    pub steps: usize,
    /// Clips a step.
    pub batch: usize,
    /// Share of the clips that come from invented recordings.
    pub invented_share: f32,
    /// Tokens in a clip at most; also the context that the model is made for.
    pub tokens_max: usize,
    /// Frames that a later clip sees again behind its prompt.
    pub frames_kept: usize,
    /// Share of events that the dialogue reacts to late, so that the model learns to catch up.
    pub late_share: f32,
    /// A late event is up to this many frames late.
    pub late_frames_max: usize,
    /// Share of events that the dialogue takes for done too early; nothing of them is learnt, but
    /// all that follows is.
    pub early_share: f32,
    /// An early event is up to this many frames early.
    pub early_frames_max: usize,
    /// Share of recordings whose steps are listed in a random order, in silence.
    pub shuffled_share: f32,
    /// Share of steps whose words fit what is seen less than they do, as those do that the towers
    /// never learnt.
    pub faint_share: f32,
    /// Share of recordings in which what the person says is left out.
    pub silent_user_share: f32,
    /// Frames this long before an event are no negatives.
    pub ambiguous_before_s: f64,
    /// Steps after which the model runs freely over the training recordings; from then on it also
    /// learns from where its own errors lead (DAgger, Ross et al. 2011). Empty: never.
    pub own_history_steps: Vec<usize>,
    /// Recordings that such a run is made over, about; drawn anew each time. The others have no
    /// such history then.
    pub own_history_recordings: usize,
    /// Share of examples that stand behind what the model itself wrote, once there is such.
    pub own_history_share: f32,
    /// Thresholds of the update gate in those runs, one drawn for each recording.
    pub own_history_dst_update_thresholds: Vec<f32>,
    /// Thresholds of the speak gate in those runs.
    pub own_history_speak_thresholds: Vec<f32>,
    /// An update that such a run makes too late is made for it after a time drawn up to this,
    /// mostly far below.
    pub own_history_patience_s_max: f64,
    /// Block (from 1) behind which the loss `step_in_view` reads.
    pub step_in_view_block: usize,
    /// Share of a clip's negative readings that are learnt from, drawn anew each time (ProAssist's
    /// negative frame sub-sampling). Those at which an update was made that nothing asked for
    /// always are.
    pub negative_share: f32,
    /// Weights of the losses.
    pub weights: LossWeights,
    /// Optimizer.
    pub optimizer: OptimizerConfig,
}

/// Weights of the losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossWeights {
    /// Cross-entropy of update text.
    pub dst_text: f64,
    /// Cross-entropy of spoken text.
    pub speech_text: f64,
    /// Balanced binary loss of the update head.
    pub dst_head: f64,
    /// Balanced binary loss of the speak head.
    pub speak_head: f64,
    /// Cross-entropy of the step in view, told by pointing at its id. Its parameters serve training
    /// only and are not part of the model.
    pub step_in_view: f64,
}

/// What a pass through the backbone gives.
pub struct HiddenStates {
    /// Hidden states `[T,D]` after the final norm: what heads and lm_head read.
    pub hidden: Tensor,
    /// Hidden states `[T,D]` behind the block at which the pointer reads.
    pub midway: Tensor,
}

/// Tells from a frame's state which step it shows; used in training only. It reads the states
/// behind an inner block and compares them with the ids' rows of the token table: a frame has to
/// have fetched the id of what it shows from the prompt there, so that the blocks behind can use
/// it, and the update text can write it.
pub struct StepPointer {
    norm: RmsNorm,
    query: Linear,
    key: Linear,
    idle: Linear,
    width: usize,
}

/// Names of the pointer's tensors begin with this; they are left out of the exported model.
pub const TRAINING_ONLY: &str = "train.";

/// Added to the mean square in the pointer's norm.
const NORM_EPS: f64 = 1e-5;

impl StepPointer {
    /// Takes its tensors from trainable weights.
    ///
    /// # Errors
    /// A tensor has another shape.
    pub fn new(width: usize, weights: &Weights) -> Result<Self> {
        Ok(Self {
            norm: weights.rms_norm(&format!("{TRAINING_ONLY}view_norm"), width, NORM_EPS)?,
            query: weights.linear(&format!("{TRAINING_ONLY}view_query"), (width, width), 1.0)?,
            key: weights.linear(&format!("{TRAINING_ONLY}view_key"), (width, width), 1.0)?,
            idle: weights.linear_bias(&format!("{TRAINING_ONLY}view_idle"), (1, width), 1.0)?,
            width,
        })
    }

    /// Loss on states `[T,D]` behind a block, with the rows `[S,D]` of the steps' ids, and how many
    /// frames point right.
    fn loss(
        &self,
        midway: &Tensor,
        ids: &Tensor,
        in_view: &[(u32, u32)],
    ) -> Result<(Tensor, usize)> {
        let keys = self.key.forward(ids)?; // [S,D]
        let (places, steps): (Vec<u32>, Vec<u32>) = in_view.iter().copied().unzip();
        let frames = self.norm.forward(&rows(midway, &places)?)?; // [F,D]
        let scores =
            (self.query.forward(&frames)?.matmul(&keys.t()?)? / (self.width as f64).sqrt())?;
        let scores = Tensor::cat(&[self.idle.forward(&frames)?, scores], 1)?; // [F,1+S]
        let best = scores.detach().argmax(1)?.to_vec1::<u32>()?;
        let right = best.iter().zip(&steps).filter(|(a, b)| a == b).count();
        Ok((loss::cross_entropy(&scores, &steps)?, right))
    }
}

/// Counts of a head's answers at probability 0.5.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    hits: usize,
    false_alarms: usize,
    misses: usize,
}

impl Counts {
    fn add(&mut self, logits: &[f32], positive: &[bool]) {
        for (logit, positive) in logits.iter().zip(positive) {
            match (*logit > 0.0, *positive) {
                (true, true) => self.hits += 1,
                (true, false) => self.false_alarms += 1,
                (false, true) => self.misses += 1,
                (false, false) => {}
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.hits += other.hits;
        self.false_alarms += other.false_alarms;
        self.misses += other.misses;
    }

    fn write(self, head: &str, into: &mut Map<String, Value>) {
        let share = |n: usize, of: usize| if of == 0 { 0.0 } else { n as f64 / of as f64 };
        let precision = share(self.hits, self.hits + self.false_alarms);
        let recall = share(self.hits, self.hits + self.misses);
        let f1 = share(
            2 * self.hits,
            2 * self.hits + self.false_alarms + self.misses,
        );
        for (name, value) in [("precision", precision), ("recall", recall), ("f1", f1)] {
            into.insert(format!("{head}_{name}"), number(value));
        }
    }
}

/// What an example tells of itself.
#[derive(Clone, Debug, Default)]
struct Stats {
    /// Sum and number of examples for each loss, in the order of [`LOSSES`].
    losses: [(f64, usize); LOSSES.len()],
    dst: Counts,
    speak: Counts,
    view_right: usize,
    view_all: usize,
}

/// Names of the losses in the records.
const LOSSES: [&str; 5] = [
    "loss_dst_text",
    "loss_speech_text",
    "loss_dst_head",
    "loss_speak_head",
    "loss_step_in_view",
];

impl Stats {
    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.losses.iter_mut().zip(&other.losses) {
            mine.0 += theirs.0;
            mine.1 += theirs.1;
        }
        self.dst.merge(other.dst);
        self.speak.merge(other.speak);
        self.view_right += other.view_right;
        self.view_all += other.view_all;
    }

    fn write(&self, prefix: &str, into: &mut Map<String, Value>) {
        for (name, (sum, count)) in LOSSES.iter().zip(self.losses) {
            into.insert(format!("{prefix}{name}"), number(sum / count.max(1) as f64));
        }
        self.dst.write(&format!("{prefix}dst_head"), into);
        self.speak.write(&format!("{prefix}speak_head"), into);
        into.insert(
            format!("{prefix}step_in_view_accuracy"),
            number(self.view_right as f64 / self.view_all.max(1) as f64),
        );
    }
}

/// Everything a step needs.
pub struct AssistantTrainer<'a> {
    /// The model, trainable.
    pub assistant: &'a Assistant,
    /// The pointer, trainable.
    pub pointer: &'a StepPointer,
    /// Settings.
    pub settings: &'a AssistantTraining,
    /// Seed of the draws.
    pub seed: u64,
    /// Threads; results do not depend on it.
    pub threads: usize,
    /// Where to compute.
    pub device: &'a Device,
}

/// The chosen rows of `x [T,D]`.
fn rows(x: &Tensor, places: &[u32]) -> Result<Tensor> {
    Ok(x.index_select(&Tensor::from_slice(places, places.len(), x.device())?, 0)?)
}

impl AssistantTrainer<'_> {
    /// Gradients over the examples of one step.
    ///
    /// # Errors
    /// The examples do not fit the model.
    pub fn step(&self, at: usize, examples: &[&Example], vars: &[Var]) -> Result<StepResult> {
        let numbered: Vec<(usize, &Example)> = examples.iter().copied().enumerate().collect();
        let (gradients, stats) = gradients(&numbered, vars, self.threads, |(i, example)| {
            let mut draw = Rng::of(&[self.seed, 3, at as u64, *i as u64]);
            let (loss, stats) = self.score(example, Some(&mut draw))?;
            Ok(loss
                .map(|loss| (loss / examples.len() as f64).map(|loss| Scored { loss, stats }))
                .transpose()?)
        })?;
        let mut total = Stats::default();
        stats.iter().for_each(|s| total.merge(s));
        let mut numbers = Map::new();
        total.write("", &mut numbers);
        Ok(StepResult { gradients, numbers })
    }

    /// Losses and answers on validation examples, every negative counted.
    ///
    /// # Errors
    /// The examples do not fit the model.
    pub fn evaluate(&self, examples: &[Example]) -> Result<Map<String, Value>> {
        let mut total = Stats::default();
        let (_, stats) = gradients(examples, &[], self.threads, |example| {
            let (_, stats) = self.score(example, None)?;
            Ok(Some(Scored {
                loss: Tensor::zeros((), candle_core::DType::F32, self.device)?,
                stats,
            }))
        })?;
        stats.iter().for_each(|s| total.merge(s));
        let mut numbers = Map::new();
        total.write("validation_", &mut numbers);
        Ok(numbers)
    }

    /// States of an example.
    ///
    /// # Errors
    /// The example does not fit the model.
    pub fn states(&self, example: &Example) -> Result<HiddenStates> {
        let embeds = self.assistant.embeds(&example.sequence)?;
        let mut midway = None;
        let hidden = self
            .assistant
            .backbone()
            .forward_watched(&embeds, &mut |block, states| {
                if block + 1 == self.settings.step_in_view_block {
                    midway = Some(states.clone());
                }
            })?;
        Ok(HiddenStates {
            midway: midway.unwrap_or_else(|| hidden.clone()).squeeze(0)?,
            hidden: hidden.squeeze(0)?,
        })
    }

    /// The weighted loss; negatives are sub-sampled by `draw`, or all counted without one.
    fn score(
        &self,
        example: &Example,
        mut draw: Option<&mut Rng>,
    ) -> Result<(Option<Tensor>, Stats)> {
        let HiddenStates { hidden, midway } = self.states(example)?;
        let mut stats = Stats::default();
        let w = &self.settings.weights;
        let mut parts: [Option<Tensor>; LOSSES.len()] = Default::default();
        let outputs = [Assistant::update_logits_tensor, Assistant::lm_logits_tensor];
        for ((part, (places, tokens)), output) in parts
            .iter_mut()
            .zip([&example.dst_text, &example.speech_text])
            .zip(outputs)
        {
            if !places.is_empty() {
                let logits = output(self.assistant, &rows(&hidden, places)?)?;
                *part = Some(loss::cross_entropy(&logits, tokens)?);
            }
        }
        let none = BTreeSet::new();
        for (n, reads) in [&example.dst_reads, &example.speak_reads]
            .into_iter()
            .enumerate()
        {
            let kept = match draw.as_deref_mut() {
                Some(draw) => self.subsample(
                    reads,
                    if n == 0 { &example.temptations } else { &none },
                    draw,
                ),
                None => reads.clone(),
            };
            let counts = if n == 0 {
                &mut stats.dst
            } else {
                &mut stats.speak
            };
            // Reads at frames and reads at the end of an update are balanced by themselves: the
            // first are seldom positive, the second about half of the time, and one weight for both
            // would have a model that is in two minds whether another update follows say yes.
            let (at_frames, at_ends): (Vec<_>, Vec<_>) = kept
                .into_iter()
                .partition(|(place, _)| example.sequence.is_frame(*place as usize));
            let mut groups = Vec::new();
            for group in [at_frames, at_ends]
                .into_iter()
                .filter(|group| !group.is_empty())
            {
                let (places, positive): (Vec<u32>, Vec<bool>) = group.into_iter().unzip();
                let (speak, dst) = self
                    .assistant
                    .head_logits_tensor(&rows(&hidden, &places)?)?;
                let logits = if n == 0 { dst } else { speak };
                counts.add(&logits.detach().to_vec1::<f32>()?, &positive);
                groups.extend(loss::balanced_binary(&logits, &positive)?);
            }
            if !groups.is_empty() {
                parts[2 + n] = Some(Tensor::stack(&groups, 0)?.mean_all()?);
            }
        }
        if !example.steps.ids.is_empty() && !example.in_view.is_empty() {
            let (loss, right) = self.pointer.loss(
                &midway,
                &self.assistant.embed_ids(&example.steps.ids)?,
                &example.in_view,
            )?;
            stats.view_right = right;
            stats.view_all = example.in_view.len();
            parts[4] = Some(loss);
        }
        let weights = [
            w.dst_text,
            w.speech_text,
            w.dst_head,
            w.speak_head,
            w.step_in_view,
        ];
        let mut total: Option<Tensor> = None;
        for ((part, weight), stat) in parts.iter().zip(weights).zip(&mut stats.losses) {
            let Some(part) = part else { continue };
            *stat = (loss::number(part)?, 1);
            let weighted = (part * weight)?;
            total = Some(match total {
                Some(total) => (total + weighted)?,
                None => weighted,
            });
        }
        Ok((total, stats))
    }

    fn subsample(
        &self,
        reads: &[(u32, bool)],
        always: &BTreeSet<u32>,
        draw: &mut Rng,
    ) -> Vec<(u32, bool)> {
        let share = self.settings.negative_share;
        let sure =
            |(place, positive): &(u32, bool)| *positive || share < 1.0 && always.contains(place);
        let (sure, others): (Vec<_>, Vec<_>) = reads.iter().copied().partition(sure);
        let count = (others.len() as f32 * share).ceil() as usize;
        sure.into_iter()
            .chain(draw.choose(&others, count))
            .collect()
    }
}
