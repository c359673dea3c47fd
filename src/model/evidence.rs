//! What is known of the steps when a frame comes, put into the frame's token: how like each step's
//! words it looks to the vision file's two towers, without any training, and how far each step is.
//! The backbone then need not learn anew what encoder and session know.
//!
//! ```text
//! p_k = softmax(exp(scale) * cos(frame, words of the steps; words for no step))
//!       zero-shot, as CLIP and SigLIP do
//! q_k = sum_j p_j exp(exp(strict) * (cos(words of j, words of k) - 1))
//!       p, when words are read loosely
//! f_k = q_k prod_(i < k) (1 - q_i), over the steps not completed
//!       the first of those it may be
//! r_k = q_k / (sum_(j ready) q_j + p_none), over the steps that are ready
//!       which step it is if the task's order holds
//! e_k = norm(row of step k's id in the token table)
//! token(frame) = projector(frame)
//!              + W sum_k p_k e_k + U sum_(k in progress) e_k + N e_(first k not started)
//!              + F sum_k f_k e_k + R sum_k r_k e_k
//!              + V [p of steps not started, in progress, completed, first not started, ready;
//!                   q of the same; p of no step]
//! ```
//!
//! A recipe often does one thing twice, "Cook 5 to 6 minutes until the tofu is browned" and "Cook
//! until tofu turns brown". The pictures are the same, so p says whichever words fit a little
//! better, and only the order tells them apart: that is what q, f and r are for. A step is *ready*
//! when it is in progress, or not started while all that it needs is completed.
//!
//! A frame's updates make its own states old. So the markers behind it, `[DST]`, `[ASST]` and an
//! update's `<eot>`, where the heads are read again and a sentence begins, get the same sum with
//! the states reached by then, on their own row.

use std::sync::Arc;

use candle_core::Tensor;

use super::config::AssistantConfig;
use super::nn::{Linear, RmsNorm, ops};
use super::weights::{Init, Weights};
use super::{Evidence, Perceiver};
use crate::dialogue::task::StepState;
use crate::error::{Error, Result};
use crate::units::{StepId, TokenId};

/// What is said of a picture in which no step is being done: the last of the words that a frame is
/// compared with. The towers that this project trains learn it as a caption.
pub const IDLE_WORDS: &str = "Nothing is being done";

/// First scale 15, stored as its logarithm: half of the temperature that SigLIP ends its training
/// with, since single frames are surer of themselves than they should be. It is learnt.
const SCALE_INIT: f64 = 2.7;
/// First strictness, as its logarithm: words with a cosine of 0.7 are then taken for each other
/// with 0.3.
const STRICT_INIT: f64 = 1.386;
/// Makes the evidence about as long as a projected frame in the beginning.
const GAIN: f64 = 3.0;

/// The steps of a task, as evidence knows them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps {
    /// Tokens of each step's id.
    pub ids: Vec<Vec<TokenId>>,
    /// Cosines `[S*S]` of the steps' words with each other, row-major.
    pub likeness: Vec<f32>,
    /// For each step those that must be completed before it.
    pub after: Vec<Vec<StepId>>,
}

/// The words that frames are compared with: each step's, then those for no step.
#[derive(Clone, Debug, Default)]
pub struct StepWords {
    steps: Arc<Steps>,
    /// A unit vector `[Dv]` for each step, and one for no step.
    features: Vec<Vec<f32>>,
}

impl StepWords {
    /// Has the steps' words read; `steps` gives each step's name with the tokens of its id and the
    /// steps that it needs.
    ///
    /// # Errors
    /// The perceiver cannot read words, or gave what is no feature.
    pub fn read<P: Perceiver>(
        perceiver: &P,
        steps: Vec<(&str, Vec<TokenId>, &[StepId])>,
    ) -> Result<Self> {
        let after = steps.iter().map(|(.., after)| after.to_vec()).collect();
        let (names, ids): (Vec<&str>, Vec<Vec<TokenId>>) =
            steps.into_iter().map(|(name, ids, _)| (name, ids)).unzip();
        let read = |words: &str| -> Result<Vec<f32>> {
            let feature = perceiver.read(words)?;
            let length = feature.iter().map(|v| v * v).sum::<f32>().sqrt();
            if feature.len() != perceiver.width() || !length.is_normal() {
                let why = format!(
                    "`{words}`: the vision model gave {} values, expected {} finite ones, not all 0",
                    feature.len(),
                    perceiver.width()
                );
                return Err(Error::Model(why));
            }
            Ok(feature.iter().map(|v| v / length).collect())
        };
        let features: Vec<Vec<f32>> = names
            .into_iter()
            .chain([IDLE_WORDS])
            .map(read)
            .collect::<Result<_>>()?;
        let words = &features[..ids.len()];
        let likeness = words
            .iter()
            .flat_map(|a| words.iter().map(|b| dot(a, b)))
            .collect();
        Ok(Self {
            steps: Arc::new(Steps {
                ids,
                likeness,
                after,
            }),
            features,
        })
    }

    /// The steps.
    pub fn steps(&self) -> &Arc<Steps> {
        &self.steps
    }

    /// Cosines `[S+1]` of a frame's features `[V, Dv]` (the first row counts) with the words.
    ///
    /// # Errors
    /// Fewer features than the words have.
    pub fn cosines(&self, features: &[f32]) -> Result<Vec<f32>> {
        let width = self.features.first().map_or(0, Vec::len);
        let row = features.get(..width).ok_or_else(|| {
            Error::Invalid(format!(
                "a frame of {} numbers: expected at least {width}",
                features.len()
            ))
        })?;
        let length = row
            .iter()
            .map(|v| v * v)
            .sum::<f32>()
            .sqrt()
            .max(f32::MIN_POSITIVE);
        Ok(self
            .features
            .iter()
            .map(|words| dot(words, row) / length)
            .collect())
    }
}

/// The sum of the products of two vectors `[N]`.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The states of a step, in the order in which the layer's weights know them.
const STATES: [StepState; 3] = StepState::ALL;

/// Evidence of N frames or markers, of one task; of no steps where the model reads none.
#[derive(Clone, Debug, Default)]
pub struct EvidenceBatch {
    steps: Arc<Steps>,
    /// `[N, S+1]`, row-major.
    cosines: Vec<f32>,
    /// `[N, S]`, row-major.
    states: Vec<StepState>,
    rows: usize,
}

impl EvidenceBatch {
    /// Appends a row; that it is whole was checked.
    ///
    /// # Errors
    /// It is of other steps than the rows before it.
    pub fn push(&mut self, evidence: &Evidence) -> Result<()> {
        let same = Arc::ptr_eq(&evidence.steps, &self.steps) || evidence.steps == self.steps;
        if self.rows > 0 && !same {
            return Err(Error::Invalid(
                "frames with evidence of other steps cannot be read at once".into(),
            ));
        }
        self.steps = Arc::clone(&evidence.steps);
        self.rows += 1;
        self.cosines.extend_from_slice(&evidence.cosines);
        self.states.extend_from_slice(&evidence.states);
        Ok(())
    }

    /// `true` when no row says anything.
    pub fn is_none(&self) -> bool {
        self.cosines.is_empty()
    }

    /// The steps.
    pub fn steps(&self) -> &Steps {
        &self.steps
    }

    /// Cosines `[N, S+1]`, as [`Evidence::cosines`] has them.
    pub fn cosines(&self) -> &[f32] {
        &self.cosines
    }

    /// States `[N, S]`, as [`Evidence::states`] has them.
    pub fn states(&self) -> &[StepState] {
        &self.states
    }
}

/// What is said of p and q besides the steps' ids: both by state, of the first step not started and
/// of those ready, and p of no step.
const SHARES: usize = 2 * (STATES.len() + 2) + 1;
/// Keeps shares of what is impossible finite.
const POSSIBLE: f64 = 1e-9;
/// Keeps the logarithm of what is certain finite.
const CERTAIN: f64 = 0.999;

/// The layer that puts the evidence into the frames' tokens.
#[derive(Clone, Debug)]
pub(super) struct EvidenceLayer {
    scale: Tensor,
    strict: Tensor,
    norm: RmsNorm,
    seen: Linear,
    open: Linear,
    next: Linear,
    first: Linear,
    ready: Linear,
    states: Linear,
}

impl EvidenceLayer {
    /// Takes its tensors (`mm.step.…`) from `weights`.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn new(config: &AssistantConfig, weights: &Weights) -> Result<Self> {
        let width = config.backbone.embedding_length;
        Ok(Self {
            scale: weights.tensor("mm.step.scale", &[1], Init::Constant(SCALE_INIT))?,
            strict: weights.tensor("mm.step.strict", &[1], Init::Constant(STRICT_INIT))?,
            norm: weights.rms_norm("mm.step.norm", width, config.backbone.rms_eps)?,
            seen: weights.linear("mm.step.seen", (width, width), GAIN)?,
            open: weights.linear("mm.step.open", (width, width), GAIN)?,
            next: weights.linear("mm.step.next", (width, width), GAIN)?,
            first: weights.linear("mm.step.first", (width, width), GAIN)?,
            ready: weights.linear("mm.step.ready", (width, width), GAIN)?,
            states: weights.linear("mm.step.states", (width, SHARES), GAIN)?,
        })
    }

    /// Evidence of F frames or markers and the steps' ids' rows of the token table `[S,D]` -> what
    /// is added to the tokens of each, `[F,D]`.
    ///
    /// # Errors
    /// The shapes do not fit.
    pub fn forward(&self, batch: &EvidenceBatch, ids: &Tensor) -> Result<Tensor> {
        let EvidenceBatch {
            states,
            steps: known,
            rows: frames,
            ..
        } = batch;
        let (steps, frames, device) = (ids.dim(0)?, *frames, ids.device());
        let cosines = Tensor::from_slice(&batch.cosines, (frames, steps + 1), device)?;
        let probs = ops::softmax(&cosines.broadcast_mul(&self.scale.exp()?)?)?;
        let p = probs.narrow(1, 0, steps)?.contiguous()?;
        let apart = (Tensor::from_slice(&known.likeness, (steps, steps), device)? - 1.0)?;
        let q = p.matmul(&apart.broadcast_mul(&self.strict.exp()?)?.exp()?)?;
        let mask = |chosen: Vec<bool>| {
            let mask: Vec<f32> = chosen.into_iter().map(|b| f32::from(u8::from(b))).collect();
            Tensor::from_vec(mask, (frames, steps), device)
        };
        let having = |state: StepState| mask(states.iter().map(|s| *s == state).collect());
        let by_state = STATES
            .map(having)
            .into_iter()
            .collect::<candle_core::Result<Vec<Tensor>>>()?;
        let next = mask(
            states
                .chunks_exact(steps)
                .flat_map(first_not_started)
                .collect(),
        )?;
        let ready = mask(
            states
                .chunks_exact(steps)
                .flat_map(|states| ready(states, &known.after))
                .collect(),
        )?;
        let mut shares = Vec::with_capacity(SHARES);
        for probs in [&p, &q] {
            for mask in by_state.iter().chain([&next, &ready]) {
                shares.push((probs * mask)?.sum_keepdim(1)?);
            }
        }
        let none = probs.narrow(1, steps, 1)?.contiguous()?;
        shares.push(none.clone());
        let ids = self.norm.forward(ids)?;
        let seen = self.seen.forward(&p.matmul(&ids)?)?;
        let [not_started, in_progress, _] = &by_state[..] else {
            unreachable!("a mask for each state")
        };
        let begun = self.open.forward(&in_progress.matmul(&ids)?)?;
        let next = self.next.forward(&next.matmul(&ids)?)?;
        let open = (not_started + in_progress)?;
        let q_ready = (&q * ready)?;
        let may_be = ((q_ready.sum_keepdim(1)? + none)? + POSSIBLE)?;
        let ready = self
            .ready
            .forward(&q_ready.broadcast_div(&may_be)?.matmul(&ids)?)?;
        let first = self
            .first
            .forward(&may_be_first(&(q * open)?)?.matmul(&ids)?)?;
        Ok((((((seen + begun)? + next)? + first)? + ready)?
            + self.states.forward(&Tensor::cat(&shares, 1)?)?)?)
    }
}

/// `f_k = q_k prod_(i < k) (1 - q_i)`: `[F,S] -> [F,S]`.
fn may_be_first(q: &Tensor) -> Result<Tensor> {
    let steps = q.dim(1)?;
    let before: Vec<f32> = (0..steps * steps)
        .map(|at| f32::from(u8::from(at / steps < at % steps)))
        .collect();
    let before = Tensor::from_vec(before, (steps, steps), q.device())?;
    let not = (1.0 - (q * CERTAIN)?)?.log()?.matmul(&before)?.exp()?;
    Ok((q * not)?)
}

/// `true` at the first step that is not started.
fn first_not_started(states: &[StepState]) -> impl Iterator<Item = bool> {
    let first = states.iter().position(|s| *s == StepState::NotStarted);
    (0..states.len()).map(move |k| Some(k) == first)
}

/// `true` at the steps that are in progress, or not started while all that they need is completed.
fn ready(states: &[StepState], after: &[Vec<StepId>]) -> impl Iterator<Item = bool> {
    let completed = |step: &StepId| states.get(usize::from(step.0)) == Some(&StepState::Completed);
    states
        .iter()
        .zip(after)
        .map(move |(state, after)| match *state {
            StepState::NotStarted => after.iter().all(completed),
            state => state == StepState::InProgress,
        })
}

impl Evidence {
    /// `true` when it says nothing.
    pub fn is_none(&self) -> bool {
        self.cosines.is_empty()
    }

    /// Refuses evidence that is not whole.
    ///
    /// # Errors
    /// Another number of cosines than steps and one more, or one that is not finite; another number
    /// of states.
    pub(super) fn check(&self) -> Result<()> {
        let (found, steps) = (self.cosines.len(), self.steps.ids.len());
        let whole = if steps == 0 {
            found == 0
        } else {
            found == steps + 1
        };
        if !whole || self.cosines.iter().any(|c| !c.is_finite()) {
            return Err(Error::Invalid(format!(
                "evidence of {found} cosines for {steps} steps: expected {} finite ones",
                steps + 1
            )));
        }
        if self.steps.likeness.len() != steps * steps {
            return Err(Error::Invalid(format!(
                "evidence of {steps} steps with {} cosines of their words",
                self.steps.likeness.len()
            )));
        }
        let needed = &self.steps.after;
        if needed.len() != steps
            || needed
                .iter()
                .flatten()
                .any(|step| usize::from(step.0) >= steps)
        {
            return Err(Error::Invalid(format!(
                "evidence of {steps} steps that need {needed:?}: expected such steps, a list for each"
            )));
        }
        if self.states.len() != steps {
            return Err(Error::Invalid(format!(
                "evidence with states {:?} for {steps} steps: expected one each",
                self.states
            )));
        }
        Ok(())
    }
}
