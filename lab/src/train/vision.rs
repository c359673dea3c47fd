//! Trains the small SigLIP: pictures of the recordings against the words of the step in view, by
//! its sigmoid loss.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::train::loss;
use crate::train::optimizer::OptimizerConfig;
use crate::train::origins::Origins;
use crate::train::parallel::{Scored, gradients};
use crate::train::pixels::{Jitter, Pixels, to_tensor};
use crate::train::run::{StepResult, number};
use crate::train::tokenizer::SPECIALS;
use proact::error::{Error, Result};
use proact::model::config::TextConfig;
use proact::model::encoder::Vision;
use proact::model::evidence::IDLE_WORDS;
use proact::model::text::TextTower;
use proact::rng::Rng;

/// Settings of the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionTraining {
    /// Optimizer steps.
    pub steps: usize,
    /// Pictures a step.
    pub batch: usize,
    /// Captions a step, the batch's own included; the others are negatives for every picture, two
    /// in three of them, if there are so many, captions of the same recordings.
    pub captions: usize,
    /// Share of the batch that comes from invented recordings.
    pub invented_share: f32,
    /// Share of the batch in which no step is in view.
    pub idle_share: f32,
    /// Share of a step's tokens that are left out, exchanged, or followed by others: a word that
    /// the text tower has never seen must not change what the rest of the sentence says.
    pub misread_share: f32,
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
    /// (recording, frame), in order.
    pub pictures: Vec<(u32, u32)>,
}

impl Caption {
    /// Its pictures in a recording.
    fn within(&self, recording: u32) -> &[(u32, u32)] {
        let from = self.pictures.partition_point(|p| p.0 < recording);
        let to = self.pictures.partition_point(|p| p.0 <= recording);
        &self.pictures[from..to]
    }
}

/// Number of the caption [`IDLE_WORDS`].
pub const IDLE: usize = 0;
/// Number of the caption of pictures in which a mistake shows.
pub const MISTAKE: usize = 1;
/// Number of the caption of pictures in which more than one step is going on.
pub const BESIDE: usize = 2;
/// Number of the caption of pictures in which a step is just over: the hands have left what they
/// worked at.
pub const OVER: usize = 3;
/// Captions that are no step's.
pub const STEPS_FROM: usize = 4;
/// What they say, in the order of their numbers. A picture has those behind the first besides its
/// step's, so that features tell what no step's words do: whether all is well with the step,
/// whether it is the only one, and whether it goes on.
pub const SAID: [&str; STEPS_FROM] = [
    IDLE_WORDS,
    "Something has gone wrong",
    "Something else goes on beside it",
    "It is over",
];

/// Tokens of a word that is not known, at most.
const STRANGE_MAX: usize = 3;

/// Pictures and captions to train on: those that [`SAID`] has, then the steps'.
pub struct Album {
    /// One a recording.
    pub pixels: Vec<Pixels>,
    /// All captions.
    pub captions: Vec<Caption>,
    /// Where the recordings come from.
    pub origins: Origins,
    /// For each recording the captions of its task's steps.
    pub tasks: Vec<Vec<usize>>,
    /// Captions that a picture has besides the one that it is drawn by: those that [`SAID`] has,
    /// and the other steps that are going on.
    pub also: HashMap<(u32, u32), Vec<usize>>,
    /// For a recording and a caption of its task, other captions that say the same there.
    pub paraphrases: HashMap<(u32, usize), Vec<usize>>,
    /// Tokens of a caption.
    pub length: usize,
}

/// A picture of a batch.
struct Drawn {
    /// The caption that it is there for.
    caption: usize,
    picture: (u32, u32),
    /// All captions that fit it.
    fit: Vec<usize>,
}

/// A part of a batch: pictures with their captions' places among the step's captions.
struct SubBatch {
    pictures: Vec<(u32, u32)>,
    draws: Vec<[f32; 4]>,
    captions: Vec<Vec<usize>>,
    ids: Vec<u32>,
    share: f64,
}

impl Album {
    /// A picture of a recording, of each of its steps as likely as of another, with its caption;
    /// none where no step shows.
    fn draw(&self, recording: u32, idle_share: f32, rng: &mut Rng) -> Option<(usize, (u32, u32))> {
        let shows = |c: &usize| !self.captions[*c].within(recording).is_empty();
        let idle = rng.unit() < idle_share && shows(&IDLE);
        let mut shown: Vec<usize> = self.tasks[recording as usize]
            .iter()
            .copied()
            .filter(shows)
            .collect();
        shown.dedup();
        let caption = if idle {
            IDLE
        } else {
            *shown.get(rng.below(shown.len()))?
        };
        let pictures = self.captions[caption].within(recording);
        Some((caption, pictures[rng.below(pictures.len())]))
    }

    /// The batch of a step, cut into parts for the threads.
    fn batch(
        &self,
        settings: &VisionTraining,
        config: &TextConfig,
        parts: usize,
        rng: &mut Rng,
    ) -> Result<Vec<SubBatch>> {
        if self
            .captions
            .iter()
            .skip(STEPS_FROM)
            .all(|c| c.pictures.is_empty())
        {
            return Err(Error::Invalid(
                "training data: no step of any recording is in view in any picture".into(),
            ));
        }
        let mut chosen: Vec<Drawn> = Vec::with_capacity(settings.batch);
        while chosen.len() < settings.batch {
            let drawn = self.draw(
                self.origins.draw(settings.invented_share, rng) as u32,
                settings.idle_share,
                rng,
            );
            chosen.extend(drawn.map(|(caption, picture)| {
                let wordings: Vec<usize> = self.wordings(caption, picture.0).collect();
                Drawn {
                    caption: wordings[rng.below(wordings.len())],
                    picture,
                    fit: self.fit(caption, picture),
                }
            }));
        }
        let own = self.batch_captions(&chosen, settings.captions, rng);
        let read = |c: &usize, rng: &mut Rng| match &self.captions[*c].tokens {
            said if *c < STEPS_FROM => said.clone(),
            words => misread(words, settings.misread_share, config, rng),
        };
        let ids: Vec<u32> = own.iter().flat_map(|c| read(c, rng)).collect();
        let size = settings.batch.div_ceil(parts.max(1));
        let places = |fit: &[usize]| {
            (0..own.len())
                .filter(|place| fit.contains(&own[*place]))
                .collect()
        };
        let part = |chosen: &[Drawn], rng: &mut Rng| SubBatch {
            pictures: chosen.iter().map(|drawn| drawn.picture).collect(),
            draws: chosen
                .iter()
                .map(|_| std::array::from_fn(|_| 2.0 * rng.unit() - 1.0))
                .collect(),
            captions: chosen.iter().map(|drawn| places(&drawn.fit)).collect(),
            ids: ids.clone(),
            share: chosen.len() as f64 / settings.batch as f64,
        };
        Ok(chosen.chunks(size).map(|c| part(c, rng)).collect())
    }

    /// A caption, and all that say the same in this recording.
    fn wordings(&self, caption: usize, recording: u32) -> impl Iterator<Item = usize> {
        [caption].into_iter().chain(
            self.paraphrases
                .get(&(recording, caption))
                .into_iter()
                .flatten()
                .copied(),
        )
    }

    /// Every caption that fits a picture: the given one and what else goes on, in all wordings.
    fn fit(&self, caption: usize, picture: (u32, u32)) -> Vec<usize> {
        let also = self.also.get(&picture).into_iter().flatten().copied();
        [caption]
            .into_iter()
            .chain(also)
            .flat_map(|c| self.wordings(c, picture.0))
            .collect()
    }

    /// The captions of a step: those of its pictures, those that [`SAID`] has, and negatives.
    fn batch_captions(&self, chosen: &[Drawn], most: usize, rng: &mut Rng) -> Vec<usize> {
        let mut own: Vec<usize> = chosen
            .iter()
            .map(|drawn| drawn.caption)
            .chain(0..STEPS_FROM)
            .collect();
        let tidy = |captions: &mut Vec<usize>| {
            captions.sort_unstable();
            captions.dedup();
        };
        tidy(&mut own);
        let recordings = chosen.iter().map(|drawn| drawn.picture.0);
        let of_task = |r: u32| {
            self.tasks[r as usize]
                .iter()
                .flat_map(move |c| self.wordings(*c, r))
        };
        let mut near: Vec<usize> = recordings.flat_map(of_task).collect();
        tidy(&mut near);
        near.retain(|c| own.binary_search(c).is_err());
        let free = most.saturating_sub(own.len());
        own.extend(rng.choose(&near, free * 2 / 3));
        tidy(&mut own);
        let far: Vec<usize> = (STEPS_FROM..self.captions.len())
            .filter(|c| own.binary_search(c).is_err())
            .collect();
        own.extend(rng.choose(&far, most.saturating_sub(own.len())));
        own
    }

    fn pictures<'a>(&'a self, places: &[(u32, u32)]) -> Result<Vec<&'a [u8]>> {
        let one = |(r, f): &(u32, u32)| {
            self.pixels
                .get(*r as usize)
                .and_then(|p| p.picture(*f as usize))
        };
        places
            .iter()
            .map(one)
            .collect::<Option<_>>()
            .ok_or_else(|| Error::Invalid("training data: a picture is missing".into()))
    }

    fn size(&self) -> usize {
        self.pixels.first().map_or(0, Pixels::size)
    }
}

/// A caption's tokens `[L]` as a reader sees them that does not know every word. Each token is
/// changed with a chance of `share`: it is left out, or a piece of one to [`STRANGE_MAX`] tokens,
/// drawn from all but the special ones, stands behind it or in its place.
fn misread(tokens: &[u32], share: f32, config: &TextConfig, rng: &mut Rng) -> Vec<u32> {
    if share <= 0.0 {
        return tokens.to_vec();
    }
    let pad = config.pad_token.0;
    let known = SPECIALS.len();
    let mut read = Vec::with_capacity(tokens.len());
    for token in tokens.iter().copied().take_while(|token| *token != pad) {
        let how = if rng.unit() < share { rng.below(3) } else { 3 };
        if how > 1 {
            read.push(token);
        }
        if how == 1 || how == 2 {
            read.extend(
                (0..=rng.below(STRANGE_MAX))
                    .map(|_| (known + rng.below(config.vocab_size.saturating_sub(known))) as u32),
            );
        }
    }
    if read.is_empty() {
        return tokens.to_vec();
    }
    read.resize(tokens.len(), pad);
    read
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
        let parts = self
            .album
            .batch(self.settings, &self.text.config, PARTS, &mut rng)?;
        let (gradients, losses) = gradients(&parts, vars, self.threads, |part| {
            let loss = (self.loss(part)? * part.share)?;
            Ok(Some(Scored {
                stats: loss::number(&loss)?,
                loss,
            }))
        })?;
        let mut numbers = Map::new();
        numbers.insert("loss_image_text".into(), number(losses.iter().sum()));
        Ok(StepResult { gradients, numbers })
    }

    fn loss(&self, part: &SubBatch) -> Result<Tensor> {
        let jitter = Jitter {
            shift_px: self.settings.shift_px,
            light: self.settings.light,
        };
        let pictures = self.album.pictures(&part.pictures)?;
        let pixels = to_tensor(
            &pictures,
            self.album.size(),
            jitter,
            Some(&part.draws),
            self.device,
        )?;
        let images = self.pooled(&pixels)?;
        let texts = self.text.forward(&part.ids, self.album.length)?;
        let logits = self.text.pair_logits(&images, &texts)?;
        loss::sigmoid_pairs(&logits, &part.captions)
    }

    /// The attention-pooled token: `[B,3,S,S] -> [B,Dv]`.
    fn pooled(&self, pixels: &Tensor) -> Result<Tensor> {
        Ok(self
            .vision
            .forward_tensor(pixels)?
            .narrow(1, 0, 1)?
            .squeeze(1)?)
    }

    /// Share of validation pictures whose own caption scores highest: among all captions, and among
    /// those of its recording's task (what the assistant has to tell apart), for pictures in which
    /// a step is in view.
    ///
    /// # Errors
    /// The data do not fit the model.
    pub fn evaluate(&self) -> Result<Map<String, serde_json::Value>> {
        const PICTURES_MAX: usize = 600;
        const BATCH: usize = 100;
        let album = self.validation;
        let ids: Vec<u32> = album
            .captions
            .iter()
            .flat_map(|c| c.tokens.iter().copied())
            .collect();
        let texts = loss::unit_rows(&self.text.forward(&ids, album.length)?.detach())?;
        let mut all: Vec<(usize, (u32, u32))> = Vec::new();
        for (c, caption) in album.captions.iter().enumerate() {
            all.extend(caption.pictures.iter().map(|p| (c, *p)));
        }
        let chosen = Rng::of(&[self.seed, 2]).choose(&all, PICTURES_MAX);
        let (mut right, mut right_in_task, mut steps) = (0usize, 0usize, 0usize);
        for batch in chosen.chunks(BATCH) {
            let places: Vec<(u32, u32)> = batch.iter().map(|(_, p)| *p).collect();
            let still = Jitter {
                shift_px: 0,
                light: 0.0,
            };
            let pixels = to_tensor(
                &album.pictures(&places)?,
                album.size(),
                still,
                None,
                self.device,
            )?;
            let images = loss::unit_rows(&self.pooled(&pixels)?.detach())?;
            let scores = images.matmul(&texts.t()?)?.to_vec2::<f32>()?;
            for ((caption, picture), scores) in batch.iter().zip(&scores) {
                if *caption == IDLE {
                    continue;
                }
                let fit = album.fit(*caption, *picture);
                let better =
                    |other: usize| scores[other] > scores[*caption] && !fit.contains(&other);
                steps += 1;
                right += usize::from(!better(IDLE) && !(STEPS_FROM..scores.len()).any(better));
                let task = &album.tasks[picture.0 as usize];
                right_in_task +=
                    usize::from(!better(IDLE) && !task.iter().any(|other| better(*other)));
            }
        }
        let mut numbers = Map::new();
        numbers.insert(
            "caption_accuracy".into(),
            number(right as f64 / steps.max(1) as f64),
        );
        numbers.insert(
            "task_caption_accuracy".into(),
            number(right_in_task as f64 / steps.max(1) as f64),
        );
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proact::units::TokenId;

    /// A recording of two steps, captions 4 and 5, of which 6 and 7 paraphrase the first; captions
    /// 8 and on are others'. The first step is in view in pictures 0 and 1, in the second of which
    /// the second step goes on, and a mistake shows.
    fn album() -> Album {
        let caption = |pictures: &[(u32, u32)]| Caption {
            tokens: vec![7],
            pictures: pictures.to_vec(),
        };
        let mut captions: Vec<Caption> = (0..STEPS_FROM).map(|_| caption(&[])).collect();
        captions.push(caption(&[(0, 0), (0, 1)]));
        captions.extend((0..20).map(|_| caption(&[])));
        Album {
            pixels: Vec::new(),
            captions,
            origins: Origins::of(["cooking"].into_iter()),
            tasks: vec![vec![4, 5]],
            also: HashMap::from([((0, 1), vec![5, MISTAKE])]),
            paraphrases: HashMap::from([((0, 4), vec![6, 7])]),
            length: 1,
        }
    }

    #[test]
    fn all_that_goes_on_in_a_picture_fits_it_in_all_words() {
        let album = album();
        assert_eq!(album.fit(4, (0, 0)), [4, 6, 7]);
        assert_eq!(album.fit(4, (0, 1)), [4, 6, 7, 5, MISTAKE]);
        assert_eq!(album.fit(5, (0, 0)), [5]);
    }

    fn config() -> TextConfig {
        TextConfig {
            vocab_size: 100,
            context_length: 12,
            embedding_length: 4,
            feed_forward_length: 4,
            block_count: 1,
            head_count: 1,
            layer_norm_eps: 1e-6,
            projection_length: 4,
            mean_pool: true,
            pad_token: TokenId(0),
        }
    }

    #[test]
    fn a_misread_caption_is_short_of_tokens_or_has_others_and_stays_as_long() {
        let caption: Vec<u32> = (50..60).chain([0, 0]).collect();
        let mut draw = Rng::of(&[1]);
        assert_eq!(misread(&caption, 0.0, &config(), &mut draw), caption);
        assert_eq!(
            draw.next_u64(),
            Rng::of(&[1]).next_u64(),
            "nothing is drawn for nothing"
        );
        let (mut kept, mut others, n) = (0, 0, 2000);
        for _ in 0..n {
            let read = misread(&caption[..11], 0.1, &config(), &mut draw);
            assert_eq!(read.len(), 11);
            let words: Vec<u32> = read.iter().copied().take_while(|t| *t != 0).collect();
            assert!(
                words
                    .iter()
                    .all(|t| (SPECIALS.len() as u32..100).contains(t))
                    && read[words.len()..].iter().all(|t| *t == 0),
                "{read:?}"
            );
            kept += words.iter().filter(|t| (50..60).contains(*t)).count();
            others += words.iter().filter(|t| !(50..60).contains(*t)).count();
        }
        // Of ten tokens two thirds of a tenth go, and two thirds of a tenth bring two on average, a
        // tenth of which are as these.
        let share = |count: usize| count as f32 / (10 * n) as f32;
        assert!(
            (0.90..0.96).contains(&share(kept)) && (0.09..0.14).contains(&share(others)),
            "{} {}",
            share(kept),
            share(others)
        );
        assert_eq!(
            misread(&[50, 0, 0], 1.0, &config(), &mut Rng::of(&[4])).len(),
            3
        );
        for seed in 0..20 {
            assert!(
                misread(&[50, 0, 0], 1.0, &config(), &mut Rng::of(&[seed]))
                    .iter()
                    .any(|t| *t != 0),
                "never nothing"
            );
        }
    }

    #[test]
    fn a_batch_draws_all_wordings_and_takes_none_that_fits_for_a_negative() {
        let album = album();
        let settings = VisionTraining {
            steps: 1,
            batch: 40,
            captions: 12,
            invented_share: 0.0,
            idle_share: 0.0,
            misread_share: 0.0,
            shift_px: 0,
            light: 0.0,
            optimizer: OptimizerConfig::default(),
        };
        let parts = album
            .batch(&settings, &config(), 2, &mut Rng::of(&[1]))
            .unwrap();
        let mut sizes = Vec::new();
        for part in &parts {
            assert_eq!(part.ids.len(), settings.captions);
            for (picture, captions) in part.pictures.iter().zip(&part.captions) {
                assert!(captions.iter().all(|place| *place < settings.captions));
                sizes.push((picture.1, captions.len()));
            }
        }
        // Forty pictures want all three wordings; the other step, and so all captions that fit, are
        // near negatives.
        assert_eq!(sizes.len(), 40);
        assert!(
            sizes
                .iter()
                .all(|(picture, fit)| *fit == if *picture == 0 { 3 } else { 5 }),
            "{sizes:?}"
        );
    }
}
