//! Trains the small SigLIP: pictures of the recordings against the words of the step in view, by its sigmoid loss.

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::error::{Error, Result};
use crate::model::encoder::Vision;
use crate::model::text::TextTower;
use crate::train::loss;
use crate::train::optimizer::OptimizerConfig;
use crate::train::parallel::{Scored, gradients};
use crate::train::pixels::{Jitter, Pixels, to_tensor};
use crate::train::rng::Rng;
use crate::train::run::{StepResult, number};

/// Settings of the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionTraining {
    /// Optimizer steps.
    pub steps: usize,
    /// Pictures a step.
    pub batch: usize,
    /// Captions a step, the batch's own included; the others are negatives for every picture.
    pub captions: usize,
    /// Share of the batch in which no step is in view.
    pub idle_share: f32,
    /// Random shift of a picture, in pixels.
    pub shift_px: usize,
    /// Random change of brightness and contrast, as a share.
    pub light: f32,
    /// Optimizer.
    pub optimizer: OptimizerConfig,
}

/// One caption with the pictures that it fits.
pub struct Caption {
    /// Its tokens, padded to one length.
    pub tokens: Vec<u32>,
    /// (recording, frame).
    pub pictures: Vec<(u32, u32)>,
}

/// Pictures and captions to train on. Caption 0 is [`IDLE_WORDS`](crate::model::evidence::IDLE_WORDS).
pub struct Album {
    /// One a recording.
    pub pixels: Vec<Pixels>,
    /// All captions.
    pub captions: Vec<Caption>,
    /// For each recording the captions of its task's steps.
    pub tasks: Vec<Vec<usize>>,
    /// Tokens of a caption.
    pub length: usize,
}

/// A part of a batch: pictures with their captions' places among the step's captions.
struct Part {
    pictures: Vec<(u32, u32)>,
    draws: Vec<[f32; 4]>,
    caption: Vec<usize>,
    ids: Vec<u32>,
    share: f64,
}

impl Album {
    /// Captions that have pictures, without the idle one.
    fn with_pictures(&self) -> Vec<usize> {
        (1..self.captions.len()).filter(|c| !self.captions[*c].pictures.is_empty()).collect()
    }

    /// The batch of a step, cut into parts for the threads.
    fn batch(&self, settings: &VisionTraining, parts: usize, rng: &mut Rng) -> Result<Vec<Part>> {
        let usable = self.with_pictures();
        if usable.is_empty() || self.captions.is_empty() {
            return Err(Error::Invalid("training data: no step of any recording is in view in any picture".into()));
        }
        let mut chosen: Vec<(usize, (u32, u32))> = Vec::with_capacity(settings.batch);
        for _ in 0..settings.batch {
            let idle = rng.unit() < settings.idle_share && !self.captions[0].pictures.is_empty();
            let caption = if idle { 0 } else { usable[rng.below(usable.len())] };
            let pictures = &self.captions[caption].pictures;
            chosen.push((caption, pictures[rng.below(pictures.len())]));
        }
        let mut own: Vec<usize> = chosen.iter().map(|(c, _)| *c).collect();
        own.sort_unstable();
        own.dedup();
        let others: Vec<usize> = usable.iter().copied().filter(|c| own.binary_search(c).is_err()).collect();
        own.extend(rng.choose(&others, settings.captions.saturating_sub(own.len())));
        let ids: Vec<u32> = own.iter().flat_map(|c| self.captions[*c].tokens.iter().copied()).collect();
        let size = settings.batch.div_ceil(parts.max(1));
        let part = |chosen: &[(usize, (u32, u32))], rng: &mut Rng| Part {
            pictures: chosen.iter().map(|(_, p)| *p).collect(),
            draws: chosen.iter().map(|_| std::array::from_fn(|_| 2.0 * rng.unit() - 1.0)).collect(),
            caption: chosen.iter().map(|(c, _)| own.iter().position(|o| o == c).unwrap_or(0)).collect(),
            ids: ids.clone(),
            share: chosen.len() as f64 / settings.batch as f64,
        };
        Ok(chosen.chunks(size).map(|c| part(c, rng)).collect())
    }

    fn pictures<'a>(&'a self, places: &[(u32, u32)]) -> Result<Vec<&'a [u8]>> {
        let one = |(r, f): &(u32, u32)| self.pixels.get(*r as usize).and_then(|p| p.picture(*f as usize));
        places.iter().map(one).collect::<Option<_>>().ok_or_else(|| Error::Invalid("training data: a picture is missing".into()))
    }

    fn size(&self) -> usize {
        self.pixels.first().map_or(0, Pixels::size)
    }
}

/// Everything a step needs.
pub struct VisionTrainer<'a> {
    /// The picture tower, trainable.
    pub vision: &'a Vision,
    /// The text tower, trainable.
    pub text: &'a TextTower,
    /// Training data.
    pub album: &'a Album,
    /// Validation data, with the same captions.
    pub validation: &'a Album,
    /// Settings.
    pub settings: &'a VisionTraining,
    /// Seed of the draws.
    pub seed: u64,
    /// Threads; results do not depend on it (the batch is always cut into two parts).
    pub threads: usize,
    /// Where to compute.
    pub device: &'a Device,
}

/// Parts of a batch; fixed, so that sums are the same for any number of threads.
const PARTS: usize = 2;

impl VisionTrainer<'_> {
    /// Gradients of one step.
    ///
    /// # Errors
    /// The data do not fit the model.
    pub fn step(&self, at: usize, vars: &[candle_core::Var]) -> Result<StepResult> {
        let mut rng = Rng::of(&[self.seed, 1, at as u64]);
        let parts = self.album.batch(self.settings, PARTS, &mut rng)?;
        let (gradients, losses) = gradients(&parts, vars, self.threads, |part| {
            let loss = (self.loss(part)? * part.share)?;
            Ok(Some(Scored { stats: loss::number(&loss)?, loss }))
        })?;
        let mut numbers = Map::new();
        numbers.insert("loss_image_text".into(), number(losses.iter().sum()));
        Ok(StepResult { gradients, numbers })
    }

    fn loss(&self, part: &Part) -> Result<Tensor> {
        let jitter = Jitter { shift_px: self.settings.shift_px, light: self.settings.light };
        let pictures = self.album.pictures(&part.pictures)?;
        let pixels = to_tensor(&pictures, self.album.size(), jitter, Some(&part.draws), self.device)?;
        let images = self.pooled(&pixels)?;
        let texts = self.text.forward(&part.ids, self.album.length)?;
        let logits = self.text.pair_logits(&images, &texts)?;
        loss::sigmoid_pairs(&logits, &part.caption)
    }

    /// The attention-pooled token: `[B,3,S,S] -> [B,Dv]`.
    fn pooled(&self, pixels: &Tensor) -> Result<Tensor> {
        Ok(self.vision.forward_tensor(pixels)?.narrow(1, 0, 1)?.squeeze(1)?)
    }

    /// Share of validation pictures whose own caption scores highest: among all captions, and among those of its
    /// recording's task (what the assistant has to tell apart), for pictures in which a step is in view.
    ///
    /// # Errors
    /// The data do not fit the model.
    pub fn evaluate(&self) -> Result<Map<String, serde_json::Value>> {
        const PICTURES_MAX: usize = 600;
        const BATCH: usize = 100;
        let album = self.validation;
        let ids: Vec<u32> = album.captions.iter().flat_map(|c| c.tokens.iter().copied()).collect();
        let texts = loss::unit_rows(&self.text.forward(&ids, album.length)?.detach())?;
        let mut all: Vec<(usize, (u32, u32))> = Vec::new();
        for (c, caption) in album.captions.iter().enumerate() {
            all.extend(caption.pictures.iter().map(|p| (c, *p)));
        }
        let chosen = Rng::of(&[self.seed, 2]).choose(&all, PICTURES_MAX);
        let (mut right, mut right_in_task, mut steps) = (0usize, 0usize, 0usize);
        for batch in chosen.chunks(BATCH) {
            let places: Vec<(u32, u32)> = batch.iter().map(|(_, p)| *p).collect();
            let still = Jitter { shift_px: 0, light: 0.0 };
            let pixels = to_tensor(&album.pictures(&places)?, album.size(), still, None, self.device)?;
            let images = loss::unit_rows(&self.pooled(&pixels)?.detach())?;
            let scores = images.matmul(&texts.t()?)?.to_vec2::<f32>()?;
            for ((caption, (recording, _)), scores) in batch.iter().zip(&scores) {
                if *caption == 0 {
                    continue;
                }
                let better = |other: usize| scores[other] > scores[*caption];
                steps += 1;
                right += usize::from(!(0..scores.len()).any(better));
                let task = &album.tasks[*recording as usize];
                right_in_task += usize::from(!better(0) && !task.iter().any(|other| better(*other)));
            }
        }
        let mut numbers = Map::new();
        numbers.insert("caption_accuracy".into(), number(right as f64 / steps.max(1) as f64));
        numbers.insert("task_caption_accuracy".into(), number(right_in_task as f64 / steps.max(1) as f64));
        Ok(numbers)
    }
}
