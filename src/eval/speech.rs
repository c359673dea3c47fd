//! Did it say the right thing at the right time? ProAssist's matching of spoken sentences (arXiv 2506.05904).
//!
//! The recording is a grid of frames; a frame is silent or holds a sentence. Each predicted sentence at frame `i` gets
//! a frame `j` of the reference of its own, `j - i` within the window `[l, r]`, so that the sum of costs is least:
//!
//! ```text
//! cost(i, j) = sem(i, j) + FACTOR (|i - j| / max(|l|, r))^POWER      +inf outside the window
//! sem(i, j)  = 1 - |similarity|    where the reference speaks at j;  1 where it is silent
//! ```
//!
//! A sentence on a silent frame is redundant, a reference sentence that nobody got is missed, and a match is
//! correct above [`CORRECT_ABOVE`]. Upstream's own implementation loses a pair of cost exactly 0 (the same words at the
//! same frame) and fails without any prediction; here both are counted as the definition says.

use std::collections::BTreeMap;

use serde::Serialize;

use super::assignment::{Row, assign};
use super::log::Log;
use super::reference::Reference;
use super::{mean, share};
use crate::error::{Error, Result};
use crate::units::MediaTime;

/// Weight of the distance in time (upstream's `match_dist_func_factor`).
pub const FACTOR: f64 = 0.3;
/// Exponent of the distance in time (upstream's `match_dist_func_power`).
pub const POWER: f64 = 1.5;
/// A match counts as correct above this similarity (upstream's `match_semantic_score_threshold`).
pub const CORRECT_ABOVE: f64 = 0.5;
/// Frames at most in one recording: beyond this the annotation is not one (11 days at 20 frames a second).
pub const FRAMES_MAX: f64 = 2e7;
/// Longest window on either side, in seconds.
pub const WINDOW_MAX_S: f64 = 3600.0;

/// Window of a data set: seconds of the reference before and after a prediction (upstream's `eval_utils.py`).
pub fn window_of(dataset: &str) -> (f64, f64) {
    match dataset {
        "ego4d" => (-4.0, 8.5),
        "epickitchens" => (-1.5, 3.0),
        "holoassist" => (-1.5, 2.5),
        "egoexolearn" => (-2.0, 3.5),
        "assembly101" => (-2.0, 4.0),
        "wtag" => (-3.0, 6.0),
        _ => (-2.5, 2.5),
    }
}

/// How alike two sentences are.
pub trait Similarity {
    /// Named beside every score that it makes.
    fn name(&self) -> &str;
    /// From 0 (nothing in common) to 1 (the same); the sign is ignored.
    fn score(&self, a: &str, b: &str) -> f32;
}

/// Cosine of word counts, function words weighing [`Lexical::FUNCTION_WORD_WEIGHT`] of a content word.
/// Needs no model; not comparable with numbers from sentence embeddings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lexical;

impl Lexical {
    /// Weight of words such as "the" and "now" beside that of content words, 1.
    pub const FUNCTION_WORD_WEIGHT: f64 = 0.2;

    /// Weight of a word (lower case).
    pub fn weight(word: &str) -> f64 {
        if FUNCTION_WORDS.contains(&word) { Self::FUNCTION_WORD_WEIGHT } else { 1.0 }
    }

    fn counts(text: &str) -> BTreeMap<String, f64> {
        let mut counts = BTreeMap::new();
        for word in words(text) {
            let weight = Self::weight(&word);
            *counts.entry(word).or_insert(0.0) += weight;
        }
        counts
    }
}

impl Similarity for Lexical {
    fn name(&self) -> &str {
        "lexical-cosine"
    }

    fn score(&self, a: &str, b: &str) -> f32 {
        let (a, b) = (Self::counts(a), Self::counts(b));
        let dot: f64 = a.iter().filter_map(|(word, n)| b.get(word).map(|m| n * m)).sum();
        let squares = |c: &BTreeMap<String, f64>| c.values().map(|n| n * n).sum::<f64>();
        let norms = (squares(&a) * squares(&b)).sqrt();
        if norms > 0.0 { (dot / norms).min(1.0) as f32 } else { 0.0 }
    }
}

/// Words of a text: runs of letters and digits (apostrophes within are dropped), in lower case.
pub fn words(text: &str) -> Vec<String> {
    let plain: String = text.chars().filter(|c| *c != '\'' && *c != '\u{2019}').collect();
    plain.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

/// Words that say little about which step is meant, without apostrophes.
pub const FUNCTION_WORDS: [&str; 68] = [
    "a", "all", "an", "and", "are", "as", "at", "be", "by", "can", "do", "done", "first", "for", "from", "go", "good",
    "great", "have", "i", "if", "in", "into", "is", "it", "its", "job", "just", "lets", "ll", "move", "need", "nice",
    "next", "now", "of", "off", "ok", "okay", "on", "onto", "or", "out", "over", "please", "right", "should", "so",
    "start", "step", "that", "the", "then", "there", "this", "to", "up", "want", "we", "well", "what", "will", "with",
    "work", "yes", "you", "your", "youre",
];

/// A matched pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Frame of the prediction.
    pub generated: usize,
    /// Frame of the reference.
    pub reference: usize,
    /// Similarity, 0 to 1.
    pub score: f64,
    /// Cost of the pair in the assignment.
    pub cost: f64,
}

/// Who matched whom in one recording. Frames count from the start of the clip.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpeechMatch {
    /// Predictions on a frame where the reference speaks.
    pub matched: Vec<Pair>,
    /// Reference frames that nobody got.
    pub missed: Vec<usize>,
    /// Predictions on a silent frame.
    pub redundant: Vec<usize>,
}

/// Matches sentences by frame; `frames` is the length of the grid, and the window `[l, r]` is in frames.
/// Predictions beyond the grid are redundant.
///
/// # Errors
/// A window that does not hold 0.
pub fn match_frames(
    generated: &BTreeMap<usize, String>,
    reference: &BTreeMap<usize, String>,
    frames: usize,
    window: (i64, i64),
    similarity: &dyn Similarity,
) -> Result<SpeechMatch> {
    let (l, r) = window;
    if l > 0 || r < 0 {
        return Err(Error::Invalid(format!("speech window {l} to {r} frames: expected one that holds 0")));
    }
    let mut out = SpeechMatch::default();
    let reach = l.unsigned_abs().max(r.unsigned_abs()) as f64;
    let inside: Vec<(usize, &str)> = generated.iter().filter(|(i, _)| **i < frames).map(|(i, t)| (*i, t.as_str())).collect();
    out.redundant.extend(generated.keys().filter(|i| **i >= frames));
    let mut scores = BTreeMap::new();
    let mut rows = Vec::with_capacity(inside.len());
    for &(i, text) in &inside {
        let first = i.saturating_sub(l.unsigned_abs() as usize);
        let end = i.saturating_add(r.unsigned_abs() as usize + 1).min(frames);
        let distance = |j: usize| {
            if i == j { 0.0 } else { FACTOR * (i.abs_diff(j) as f64 / reach).powf(POWER) }
        };
        let mut costs: Vec<f64> = (first..end).map(|j| 1.0 + distance(j)).collect();
        for (&j, expected) in reference.range(first..end) {
            let score = f64::from(similarity.score(text, expected)).abs();
            let score = if score.is_finite() { score.min(1.0) } else { 0.0 };
            costs[j - first] = 1.0 - score + distance(j);
            scores.insert((i, j), score);
        }
        rows.push(Row { first, costs });
    }
    let columns = assign(&rows, frames)
        .ok_or_else(|| Error::Invalid("speech: two predictions at one frame".into()))?;
    for ((&(i, _), &j), row) in inside.iter().zip(&columns).zip(&rows) {
        match scores.get(&(i, j)) {
            Some(&score) => {
                out.matched.push(Pair { generated: i, reference: j, score, cost: row.costs[j - row.first] });
            }
            None => out.redundant.push(i),
        }
    }
    out.redundant.sort_unstable();
    let taken: std::collections::BTreeSet<usize> = out.matched.iter().map(|p| p.reference).collect();
    out.missed = reference.keys().copied().filter(|j| !taken.contains(j)).collect();
    Ok(out)
}

/// What is pooled over recordings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpeechTally {
    scores: Vec<f64>,
    correct_apart_s: Vec<f64>,
    missed: usize,
    redundant: usize,
}

impl SpeechTally {
    /// Pools another recording.
    pub fn add(&mut self, other: &Self) {
        self.scores.extend(&other.scores);
        self.correct_apart_s.extend(&other.correct_apart_s);
        self.missed += other.missed;
        self.redundant += other.redundant;
    }

    /// The rates of what was pooled.
    pub fn scores(&self) -> SpeechScores {
        let before_filter = self.scores.len();
        let correct = self.scores.iter().filter(|s| **s > CORRECT_ABOVE).count();
        // Upstream's mean takes in a score of exactly the bound, its count does not.
        let alike: Vec<f64> = self.scores.iter().copied().filter(|s| *s >= CORRECT_ABOVE).collect();
        let (predicted, expected) = (before_filter + self.redundant, before_filter + self.missed);
        SpeechScores {
            precision: share(correct, predicted),
            recall: share(correct, expected),
            f1: share(2 * correct, predicted + expected),
            jaccard: share(correct, before_filter + self.missed + self.redundant),
            missing_rate: share(self.missed, expected),
            redundant_rate: share(self.redundant, predicted),
            semantic_score: mean(&alike),
            time_diff_s: mean(&self.correct_apart_s),
            correct,
            mismatched: before_filter - correct,
            missed: self.missed,
            redundant: self.redundant,
        }
    }
}

/// ProAssist's rates. A share of nothing is `None` (`null`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SpeechScores {
    /// correct / predictions.
    pub precision: Option<f64>,
    /// correct / references.
    pub recall: Option<f64>,
    /// Harmonic mean of both.
    pub f1: Option<f64>,
    /// correct / (matched + missed + redundant).
    pub jaccard: Option<f64>,
    /// missed / references.
    pub missing_rate: Option<f64>,
    /// redundant / predictions.
    pub redundant_rate: Option<f64>,
    /// Mean similarity of correct matches.
    pub semantic_score: Option<f64>,
    /// Mean distance in time of correct matches.
    pub time_diff_s: Option<f64>,
    /// Matches above [`CORRECT_ABOVE`].
    pub correct: usize,
    /// Matches not above it.
    pub mismatched: usize,
    /// References that nobody got.
    pub missed: usize,
    /// Predictions that got a silent frame.
    pub redundant: usize,
}

/// Matches a log's utterances with a recording's. Time becomes a frame by `floor(time * fps)`, several sentences at
/// one frame become one, and blank ones are silence.
///
/// # Errors
/// A window out of range, or a recording of too many frames.
pub fn tally(log: &Log, reference: &Reference, window_s: (f64, f64), similarity: &dyn Similarity) -> Result<SpeechTally> {
    let fps = reference.fps;
    if !((-WINDOW_MAX_S..=0.0).contains(&window_s.0) && (0.0..=WINDOW_MAX_S).contains(&window_s.1)) {
        let (l, r) = window_s;
        return Err(Error::Invalid(format!("speech window {l},{r}: expected -{WINDOW_MAX_S} to 0 and 0 to {WINDOW_MAX_S} s")));
    }
    if !(fps > 0.0) || reference.end.seconds() * fps > FRAMES_MAX {
        return Err(Error::Invalid(format!("recording `{}`: more than {FRAMES_MAX} frames", reference.id)));
    }
    let start = frame_at(reference.start.seconds(), fps);
    let expected = by_frame(&reference.utterances, fps, start);
    let last = frame_at(reference.end.seconds(), fps) - start;
    let frames = expected.keys().next_back().map_or(last, |j| last.max(*j)) + 1;
    let early = log.utterances.iter().filter(|(at, text)| *at < reference.start && !text.trim().is_empty()).count();
    let spoken: Vec<_> = log.utterances.iter().filter(|(at, _)| *at >= reference.start).cloned().collect();
    // Truncated towards zero, as upstream's int().
    let window = ((window_s.0 * fps) as i64, (window_s.1 * fps) as i64);
    let matched = match_frames(&by_frame(&spoken, fps, start), &expected, frames, window, similarity)?;
    let correct = matched.matched.iter().filter(|p| p.score > CORRECT_ABOVE);
    Ok(SpeechTally {
        correct_apart_s: correct.map(|p| p.generated.abs_diff(p.reference) as f64 / fps).collect(),
        scores: matched.matched.iter().map(|p| p.score).collect(),
        missed: matched.missed.len(),
        redundant: matched.redundant.len() + early,
    })
}

/// Rounding that a time on a frame's boundary may carry, in frames.
const FRAME_SLACK: f64 = 1e-6;

fn frame_at(at_s: f64, fps: f64) -> usize {
    (at_s * fps + FRAME_SLACK).floor().max(0.0) as usize
}

fn by_frame(said: &[(MediaTime, String)], fps: f64, start: usize) -> BTreeMap<usize, String> {
    let mut out: BTreeMap<usize, String> = BTreeMap::new();
    for (at, text) in said.iter().filter(|(_, text)| !text.trim().is_empty()) {
        let frame = frame_at(at.seconds(), fps).saturating_sub(start);
        let all = out.entry(frame).or_default();
        if !all.is_empty() {
            all.push(' ');
        }
        all.push_str(text.trim());
    }
    out
}
