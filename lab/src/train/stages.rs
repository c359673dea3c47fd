//! The stages that learn: tokenizer, towers, assistant.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use candle_core::{Device, Tensor};

use super::data::{Episode, Episodes, Part};
use super::free_run::{Histories, sources};
use super::progress::Progress;
use crate::train::assistant::{AssistantTrainer, StepPointer, TRAINING_ONLY};
use crate::train::checkpoint::write_tensors;
use crate::train::config::TrainConfig;
use crate::train::examples::{
    Example, ExampleOptions, Source, examples, own_examples, step_in_view, steps_open,
};
use crate::train::optimizer::Optimizer;
use crate::train::origins::Origins;
use crate::train::pixels::Pixels;
use crate::train::run::{Outcome, Run};
use crate::train::tokenizer::{self, CHAT_TEMPLATE, SPECIALS};
use crate::train::vision::{
    Album, BESIDE, Caption, IDLE, MISTAKE, OVER, SAID, STEPS_FROM, VisionTrainer,
};
use proact::dialogue::annotation::{Issue, IssueKind, Turn, TurnKind};
use proact::dialogue::layout::{ClipOptions, Layout, PERSONA, SpecialTokens, TextCodec};
use proact::dialogue::task::Step;
use proact::files;
use proact::model::assistant::Assistant;
use proact::model::config::{AssistantConfig, TextConfig};
use proact::model::encoder::Vision;
use proact::model::open::open_vision;
use proact::model::siglip::Siglip;
use proact::model::text::{TextTower, caption_ids};
use proact::model::tokenizer::{Tokenizer, TokenizerCodec};
use proact::model::weights::Weights;
use proact::rng::Rng;
use proact::session::SharedCodec;
use proact::units::{MediaTime, StepId, TokenId};

/// Steps between two checkpoints.
const SAVE_EVERY_STEPS: usize = 50;
/// Steps between two looks at the validation split.
const EVAL_EVERY_STEPS: usize = 200;
/// What is noted at a time is to be seen a little before: the note stands where a session at two
/// frames a second has its next frame.
const SEEN_BEFORE_S: f64 = 0.4;
/// What a step has left behind lies in view for this long after its end, and is called neither the
/// step nor idle.
const LINGERS_S: f64 = 1.0;

/// The words of a checkpoint.
const TOKENIZER_FILE: &str = "tokenizer.json";

/// What every stage needs to know.
pub struct Job<'a> {
    /// The training file.
    pub config: &'a TrainConfig,
    /// Examples side by side.
    pub threads: usize,
    /// Where to compute.
    pub device: &'a Device,
}

impl Job<'_> {
    /// Folder of a part's finished checkpoint.
    pub fn folder(&self, part: &str) -> PathBuf {
        self.config.work.join(part)
    }

    /// The finished vision file.
    pub fn vision_gguf(&self) -> PathBuf {
        self.config.output.join("vision.gguf")
    }

    /// What the frames were encoded with; none for dialogues, whose features are there.
    ///
    /// # Errors
    /// The finished vision file cannot be read.
    pub fn eyes(&self) -> anyhow::Result<Option<Siglip>> {
        if self.config.dialogues.is_some() {
            return Ok(None);
        }
        Ok(Some(open_vision(&self.vision_gguf())?.towers))
    }

    /// The finished assistant file.
    pub fn assistant_gguf(&self) -> PathBuf {
        self.config.output.join("assistant.gguf")
    }

    fn checkpoint(&self, stage: &str) -> PathBuf {
        self.config
            .work
            .join(format!("{stage}.checkpoint.safetensors"))
    }

    /// Whether a part's checkpoint is there.
    pub fn finished(&self, part: &str) -> bool {
        self.folder(part).join("model.safetensors").exists()
    }

    /// Writes a part's weights with its configuration, as `proact quantize` reads them.
    fn finish(
        &self,
        part: &str,
        config_json: &str,
        weights: &[(String, Tensor)],
    ) -> anyhow::Result<()> {
        let folder = self.folder(part);
        let config = folder.join("config.json");
        files::create_parent(&config)?;
        files::write_atomic(&config, config_json.as_bytes())?;
        write_tensors(&folder.join("model.safetensors"), weights, HashMap::new())?;
        Ok(())
    }
}

/// The tokenizer as the layout needs it: trained on the training episodes' words, or taken from an
/// earlier run.
///
/// # Errors
/// It cannot be trained or written.
pub fn tokenizer(job: &Job<'_>, episodes: &Episodes) -> anyhow::Result<TokenizerCodec> {
    let folder = job.folder("assistant");
    let file = folder.join(TOKENIZER_FILE);
    if !file.exists() {
        let mut texts: Vec<String> = [PERSONA]
            .into_iter()
            .chain(SAID)
            .map(str::to_owned)
            .collect();
        for episode in episodes.of(Part::Train) {
            texts.push(format!("Goal: {}\nSteps:", episode.task.goal));
            texts.extend(
                episode
                    .task
                    .steps
                    .iter()
                    .flat_map(Step::wordings)
                    .map(|words| format!(" {words}\n")),
            );
            texts.extend(episode.task.knowledge.clone());
            texts.extend(
                episode
                    .recording
                    .turns
                    .iter()
                    .filter_map(|t| match &t.kind {
                        TurnKind::User(text) | TurnKind::Assistant { text, .. } => {
                            Some(text.clone())
                        }
                        _ => None,
                    }),
            );
        }
        files::create_parent(&file)?;
        files::write_atomic(
            &file,
            tokenizer::train(&texts, job.config.vocab)?.as_bytes(),
        )?;
        files::write_atomic(
            &folder.join("chat_template.jinja"),
            CHAT_TEMPLATE.as_bytes(),
        )?;
    }
    let json = std::fs::read(&file).with_context(|| file.display().to_string())?;
    let inner = Tokenizer::new(&json, Some(CHAT_TEMPLATE))?;
    let id = |text: &str| {
        inner
            .id(text)
            .with_context(|| format!("{}: no token {text}", file.display()))
    };
    let [_, bos, _, eot, image, dst, asst] = SPECIALS;
    let tokens = SpecialTokens {
        bos: Some(id(bos)?),
        eot: id(eot)?,
        image: id(image)?,
        dst: id(dst)?,
        asst: id(asst)?,
    };
    let vocab = inner.vocab_size()?;
    Ok(TokenizerCodec::new(inner, tokens, vocab)?)
}

/// Trains both towers and keeps them.
///
/// # Errors
/// The pictures cannot be read, or the training failed.
pub fn vision(
    job: &Job<'_>,
    episodes: &Episodes,
    codec: &TokenizerCodec,
    progress: &mut Progress,
) -> anyhow::Result<Outcome> {
    if job.finished("vision") {
        return Ok(Outcome::Finished);
    }
    let album = |part| {
        album(
            job,
            episodes.of(part),
            &caption_names(episodes.of(part)),
            codec,
        )
    };
    let (train, validation) = (album(Part::Train)?, album(Part::Validation)?);
    let weights = Weights::trainable(job.config.seed, job.device);
    let config = job.config.vision()?;
    let picture_tower = Vision::new(&config, &weights)?;
    let text_config = text_config(job, codec)?;
    let text_tower = TextTower::new(&text_config, &weights)?;
    let settings = job.config.towers()?.vision_training;
    let mut optimizer = Optimizer::new(settings.optimizer.clone(), &weights.vars(), job.threads)?;
    let vars = optimizer.vars();
    let trainer = VisionTrainer {
        vision: &picture_tower,
        text: &text_tower,
        album: &train,
        validation: &validation,
        settings,
        seed: job.config.seed,
        threads: job.threads,
        device: job.device,
    };
    let checkpoint = job.checkpoint("towers");
    let run = run("towers", &checkpoint, settings.steps);
    let outcome = run.go(
        &mut optimizer,
        job.device,
        progress,
        &|at| trainer.step(at, &vars),
        &|| trainer.evaluate(),
    )?;
    if outcome == Outcome::Finished {
        let tensors: Vec<(String, Tensor)> = weights
            .vars()
            .into_iter()
            .map(|(n, v)| (n, v.as_tensor().clone()))
            .collect();
        let words = std::fs::read(job.folder("assistant").join(TOKENIZER_FILE))?;
        let copy = job.folder("vision").join(TOKENIZER_FILE);
        files::create_parent(&copy)?;
        files::write_atomic(&copy, &words)?;
        let both = serde_json::json!({"vision": config, "text": text_config});
        job.finish("vision", &serde_json::to_string_pretty(&both)?, &tensors)?;
    }
    Ok(outcome)
}

fn text_config(job: &Job<'_>, codec: &TokenizerCodec) -> anyhow::Result<TextConfig> {
    let pad = codec.tokenizer().id(SPECIALS[0]).unwrap_or(TokenId(0));
    Ok(job.config.text(codec.tokenizer().vocab_size()?, pad)?)
}

fn run<'a>(stage: &'a str, checkpoint: &'a Path, steps: usize) -> Run<'a> {
    Run {
        stage,
        checkpoint,
        steps,
        save_every_steps: SAVE_EVERY_STEPS,
        eval_every_steps: EVAL_EVERY_STEPS,
    }
}

/// Every step's name and paraphrases, with their captions' numbers.
fn caption_names<'a>(episodes: impl Iterator<Item = &'a Episode>) -> BTreeMap<String, usize> {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for episode in episodes {
        names.extend(
            episode
                .task
                .steps
                .iter()
                .flat_map(Step::wordings)
                .map(|words| (words.clone(), 0)),
        );
    }
    for (i, number) in names.values_mut().enumerate() {
        *number = i + STEPS_FROM;
    }
    names
}

fn album<'a>(
    job: &Job<'_>,
    episodes: impl Iterator<Item = &'a Episode>,
    names: &BTreeMap<String, usize>,
    codec: &TokenizerCodec,
) -> anyhow::Result<Album> {
    let config = text_config(job, codec)?;
    let tokens = |text: &str| caption_ids(&config, codec.tokenizer(), text);
    let mut captions = Vec::with_capacity(STEPS_FROM + names.len());
    for name in SAID.into_iter().chain(names.keys().map(String::as_str)) {
        captions.push(Caption {
            tokens: tokens(name)?,
            pictures: Vec::new(),
        });
    }
    let size = job.config.towers()?.vision_model.image_size;
    let (mut pixels, mut tasks, mut datasets) = (Vec::new(), Vec::new(), Vec::new());
    let (mut also, mut paraphrases) = (HashMap::<_, Vec<usize>>::new(), HashMap::new());
    for episode in episodes {
        let file = Pixels::open(&episode.pixel_file(job.config), size)?;
        let events: Vec<f64> = episode
            .recording
            .transitions()
            .iter()
            .map(|(at, _)| at.0)
            .collect();
        let recording = pixels.len() as u32;
        for (frame, at) in file.at().iter().enumerate() {
            let noted = MediaTime(at.0 + SEEN_BEFORE_S);
            let mut open = steps_open(&episode.recording, &episode.start, noted);
            let (beside, last) = (open.len() > 1, open.pop());
            let step = last.or_else(|| step_in_view(&episode.recording, &episode.start, *at));
            let words = |step: StepId| {
                episode
                    .task
                    .steps
                    .get(usize::from(step.0))
                    .and_then(|s| names.get(&s.name))
                    .copied()
            };
            let caption = match step {
                Some(step) => words(step),
                None => is_idle(&events, noted.0).then_some(IDLE),
            };
            let picture = (recording, frame as u32);
            // The eye goes from one to the other, and all have left their things in view.
            let mut others: Vec<usize> = open
                .into_iter()
                .filter_map(words)
                .filter(|other| Some(*other) != caption)
                .collect();
            if let Some(caption) = caption.and_then(|c| captions.get_mut(c)) {
                caption.pictures.push(picture);
            }
            let shows = |issue: &Issue| {
                issue.kind == IssueKind::Mistake && Some(issue.step) == step && issue.at <= noted
            };
            let mistake = episode.recording.issues.iter().any(shows);
            let over = step.is_some() && last.is_none();
            others.extend(
                [(mistake, MISTAKE), (beside, BESIDE), (over, OVER)]
                    .into_iter()
                    .filter(|(shows, _)| *shows)
                    .map(|(_, which)| which),
            );
            if !others.is_empty() {
                also.insert(picture, others);
            }
        }
        for step in &episode.task.steps {
            let others: Vec<usize> = step
                .paraphrases
                .iter()
                .filter_map(|words| names.get(words).copied())
                .collect();
            if let Some(name) = names.get(&step.name).filter(|_| !others.is_empty()) {
                paraphrases.insert((recording, *name), others);
            }
        }
        datasets.push(episode.recording.dataset.as_str());
        pixels.push(file);
        tasks.push(
            episode
                .task
                .steps
                .iter()
                .filter_map(|s| names.get(&s.name).copied())
                .collect(),
        );
    }
    let origins = Origins::of(datasets.into_iter());
    Ok(Album {
        pixels,
        captions,
        origins,
        tasks,
        also,
        paraphrases,
        length: config.context_length,
    })
}

/// Whether no event is so near that things of a step can lie about. A short break shows the things
/// of the step before and of the next one; it, too, is idle: a model that takes things half in view
/// for a step begins the wrong one.
fn is_idle(events: &[f64], at_s: f64) -> bool {
    let before_s = events
        .iter()
        .filter(|e| **e <= at_s)
        .fold(f64::INFINITY, |least, e| least.min(at_s - e));
    let after_s = events
        .iter()
        .filter(|e| **e > at_s)
        .fold(f64::INFINITY, |least, e| least.min(e - at_s));
    before_s > LINGERS_S || before_s > after_s
}

/// Trains projector, backbone and heads, and keeps them.
///
/// # Errors
/// The features cannot be read, or the training failed.
pub fn assistant(
    job: &Job<'_>,
    episodes: &Episodes,
    codec: &Arc<TokenizerCodec>,
    progress: &mut Progress,
) -> anyhow::Result<Outcome> {
    if job.finished("assistant") {
        return Ok(Outcome::Finished);
    }
    let settings = &job.config.assistant_training;
    let config = assistant_config(job, episodes, codec)?;
    let weights = Weights::trainable(job.config.seed, job.device);
    let model = Assistant::new(&config, &weights)?;
    let pointer = StepPointer::new(config.backbone.embedding_length, &weights)?;
    let mut optimizer = Optimizer::new(settings.optimizer.clone(), &weights.vars(), job.threads)?;
    let vars = optimizer.vars();
    let trainer = AssistantTrainer {
        assistant: &model,
        pointer: &pointer,
        settings,
        seed: job.config.seed,
        threads: job.threads,
        device: job.device,
    };
    let eyes = job.eyes()?.map(Arc::new);
    let of = |part| sources(job, episodes, part, eyes.as_deref());
    let (train, validation) = (of(Part::Train)?, of(Part::Validation)?);
    let origins = Origins::of(train.iter().map(|source| source.recording.dataset.as_str()));
    let layout = Layout::new(&**codec, config.tokens_per_frame).with_notes(config.speech_note);
    let shared: SharedCodec = Arc::clone(codec) as SharedCodec;
    let named = weights.vars();
    let histories = Histories {
        job,
        config: &config,
        codec: &shared,
        eyes: eyes.as_ref(),
        sources: &train,
        vars: &named,
    };
    let own: RefCell<(usize, Vec<Vec<Turn>>)> = RefCell::default();
    let held_out = validation_examples(job, &validation, &layout)?;
    let checkpoint = job.checkpoint("assistant");
    let run = run("assistant", &checkpoint, settings.steps);
    let step = |at: usize| {
        // Runs of the model as it was at the last of these steps.
        if let Some(made_at) = settings
            .own_history_steps
            .iter()
            .copied()
            .filter(|s| *s <= at)
            .max()
            && own.borrow().0 != made_at
        {
            own.replace((made_at, histories.at(made_at, at)?));
        }
        let batch = draw_batch(job, (&train, &origins), &own.borrow().1, &layout, at)?;
        trainer.step(at, &batch.iter().collect::<Vec<_>>(), &vars)
    };
    let outcome = run.go(&mut optimizer, job.device, progress, &step, &|| {
        trainer.evaluate(&held_out)
    })?;
    if outcome == Outcome::Finished {
        let tensors: Vec<(String, Tensor)> = weights
            .vars()
            .into_iter()
            .filter(|(name, _)| !name.starts_with(TRAINING_ONLY))
            .map(|(name, var)| (name, var.as_tensor().clone()))
            .collect();
        job.finish("assistant", &config.to_json()?, &tensors)?;
    }
    Ok(outcome)
}

fn assistant_config(
    job: &Job<'_>,
    episodes: &Episodes,
    codec: &TokenizerCodec,
) -> anyhow::Result<AssistantConfig> {
    let config = job.config.assistant(
        codec.tokenizer().vocab_size()?,
        codec.special(),
        episodes.vision_length(job.config)?,
    );
    config.validate()?;
    Ok(config)
}

/// How examples are made: as the training file says, or, for validation, as the recordings are,
/// without a word of the person. The options repeat keys of the training file on purpose: they are
/// what validation sets otherwise.
fn options(job: &Job<'_>, part: Part) -> ExampleOptions {
    let s = &job.config.assistant_training;
    let share = |of: f32, otherwise: f32| if part == Part::Train { of } else { otherwise };
    ExampleOptions {
        clip: ClipOptions {
            tokens_max: s.tokens_max,
            frames_kept: s.frames_kept,
        },
        late_share: share(s.late_share, 0.0),
        early_share: share(s.early_share, 0.0),
        shuffled_share: share(s.shuffled_share, 0.0),
        faint_share: share(s.faint_share, 0.0),
        early_frames_max: s.early_frames_max,
        silent_user_share: share(s.silent_user_share, 1.0),
        late_frames_max: s.late_frames_max,
        ambiguous_before_s: s.ambiguous_before_s,
        patience_s_max: s.own_history_patience_s_max,
    }
}

fn validation_examples(
    job: &Job<'_>,
    sources: &[Source],
    layout: &Layout<'_>,
) -> anyhow::Result<Vec<Example>> {
    let mut all = Vec::new();
    for (i, source) in sources.iter().enumerate() {
        all.extend(examples(
            source,
            layout,
            &options(job, Part::Validation),
            &mut Rng::of(&[job.config.seed, 6, i as u64]),
        )?);
    }
    Ok(all)
}

/// The clips of a step, each of a recording drawn anew.
fn draw_batch(
    job: &Job<'_>,
    (train, origins): (&[Source], &Origins),
    own: &[Vec<Turn>],
    layout: &Layout<'_>,
    at: usize,
) -> proact::error::Result<Vec<Example>> {
    let settings = &job.config.assistant_training;
    let mut batch = Vec::with_capacity(settings.batch);
    for place in at * settings.batch..(at + 1) * settings.batch {
        let mut draw = Rng::of(&[job.config.seed, 5, place as u64]);
        let chosen = origins.draw(settings.invented_share, &mut draw);
        let (source, options) = (&train[chosen], options(job, Part::Train));
        let mut clips = match own.get(chosen) {
            Some(wrote) if !wrote.is_empty() && draw.unit() < settings.own_history_share => {
                own_examples(source, wrote, layout, &options, &mut draw)?
            }
            _ => examples(source, layout, &options, &mut draw)?,
        };
        if !clips.is_empty() {
            batch.push(clips.swap_remove(draw.below(clips.len())));
        }
    }
    Ok(batch)
}
