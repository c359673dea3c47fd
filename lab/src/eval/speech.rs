//! Did it say the right thing at the right time? ProAssist's matching of spoken sentences (arXiv
//! 2506.05904).
//!
//! The recording is a grid of frames; a frame is silent or holds a sentence. Each predicted
//! sentence at frame `i` gets a frame `j` of the reference of its own, `j - i` within the window
//! `[l, r]`, so that the sum of costs is least:
//!
//! ```text
//! cost(i, j) = sem(i, j) + FACTOR (|i - j| / max(|l|, r))^POWER      +inf outside the window
//! sem(i, j)  = 1 - |similarity|    where the reference speaks at j;  1 where it is silent
//! ```
//!
//! A sentence on a silent frame is redundant, a reference sentence that nobody got is missed, and a
//! match is correct above [`CORRECT_ABOVE`]. Upstream's own implementation loses a pair of cost
//! exactly 0 (the same words at the same frame); here it is counted as the definition says.

use std::collections::BTreeMap;

use serde::Serialize;

use super::assignment::{Row, assign};
use super::log::Log;
use super::reference::Reference;
use super::{mean, share};
use proact::error::{Error, Result};
use proact::units::MediaTime;

/// Weight of the distance in time (upstream's `match_dist_func_factor`).
pub const FACTOR: f64 = 0.3;
/// Exponent of the distance in time (upstream's `match_dist_func_power`).
pub const POWER: f64 = 1.5;
/// A match counts as correct above this similarity (upstream's `match_semantic_score_threshold`).
pub const CORRECT_ABOVE: f64 = 0.5;
/// Frames at most in one recording (11 days at 2 frames a second): the annotation is untrusted.
pub const FRAMES_MAX: f64 = 2e6;
/// Longest window on either side, in seconds.
pub const WINDOW_MAX_S: f64 = 3600.0;

/// Window of a data set, told by its name: seconds of the reference before and after a prediction
/// (upstream's `eval_utils.py`).
pub fn window_of(dataset: &str) -> (f64, f64) {
    let windows = [
        ("narration", (-2.5, 2.5)),
        ("ego4d", (-4.0, 8.5)),
        ("epickitchens", (-1.5, 3.0)),
        ("holoassist", (-1.5, 2.5)),
        ("egoexolearn", (-2.0, 3.5)),
        ("assembly101", (-2.0, 4.0)),
        ("wtag", (-3.0, 6.0)),
    ];
    windows
        .iter()
        .find(|(name, _)| dataset.contains(name))
        .map_or((-2.5, 2.5), |(_, window)| *window)
}

/// How alike two sentences are.
pub trait Similarity: Send + Sync {
    /// Named beside every score that it makes.
    fn name(&self) -> &str;
    /// From 0 (nothing in common) to 1 (the same); the sign is ignored.
    fn score(&self, a: &str, b: &str) -> f32;
}

/// Cosine of word counts, function words weighing [`Lexical::FUNCTION_WORD_WEIGHT`] of a content
/// word. Needs no model; not comparable with numbers from sentence embeddings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lexical;

impl Lexical {
    /// Weight of words such as "the" and "now" beside that of content words, 1.
    pub const FUNCTION_WORD_WEIGHT: f64 = 0.2;

    /// Weight of a word (lower case).
    pub fn weight(word: &str) -> f64 {
        if FUNCTION_WORDS.contains(&word) {
            Self::FUNCTION_WORD_WEIGHT
        } else {
            1.0
        }
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
        let dot: f64 = a
            .iter()
            .filter_map(|(word, n)| b.get(word).map(|m| n * m))
            .sum();
        let squares = |c: &BTreeMap<String, f64>| c.values().map(|n| n * n).sum::<f64>();
        let norms = (squares(&a) * squares(&b)).sqrt();
        if norms > 0.0 {
            (dot / norms).min(1.0) as f32
        } else {
            0.0
        }
    }
}

/// Words of a text: runs of letters and digits (apostrophes within are dropped), in lower case.
pub fn words(text: &str) -> Vec<String> {
    let plain: String = text
        .chars()
        .filter(|c| *c != '\'' && *c != '\u{2019}')
        .collect();
    plain
        .to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Words that say little about which step is meant, without apostrophes.
const FUNCTION_WORDS: [&str; 68] = [
    "a", "all", "an", "and", "are", "as", "at", "be", "by", "can", "do", "done", "first", "for",
    "from", "go", "good", "great", "have", "i", "if", "in", "into", "is", "it", "its", "job",
    "just", "lets", "ll", "move", "need", "next", "nice", "now", "of", "off", "ok", "okay", "on",
    "onto", "or", "out", "over", "please", "right", "should", "so", "start", "step", "that", "the",
    "then", "there", "this", "to", "up", "want", "we", "well", "what", "will", "with", "work",
    "yes", "you", "your", "youre",
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

/// Which sentences matched in one recording. Frames count from the start of the clip.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpeechMatch {
    /// Predictions on a frame where the reference speaks.
    pub matched: Vec<Pair>,
    /// Reference frames that nobody got.
    pub missed: Vec<usize>,
    /// Predictions on a silent frame.
    pub redundant: Vec<usize>,
}

/// Matches sentences by frame; `frames` is the length of the grid, and the window `[l, r]` is in
/// frames. Predictions beyond the grid are redundant.
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
        return Err(Error::Invalid(format!(
            "speech window {l} to {r} frames: expected one that holds 0"
        )));
    }
    let mut out = SpeechMatch::default();
    let reach = l.unsigned_abs().max(r.unsigned_abs()) as f64;
    let inside: Vec<(usize, &str)> = generated
        .iter()
        .filter(|(i, _)| **i < frames)
        .map(|(i, t)| (*i, t.as_str()))
        .collect();
    out.redundant
        .extend(generated.keys().filter(|i| **i >= frames));
    let mut scores = BTreeMap::new();
    let mut rows = Vec::with_capacity(inside.len());
    for &(i, text) in &inside {
        let first = i.saturating_sub(l.unsigned_abs() as usize);
        let end = i.saturating_add(r.unsigned_abs() as usize + 1).min(frames);
        let distance = |j: usize| {
            if i == j {
                0.0
            } else {
                FACTOR * (i.abs_diff(j) as f64 / reach).powf(POWER)
            }
        };
        let mut costs: Vec<f64> = (first..end).map(|j| 1.0 + distance(j)).collect();
        for (&j, expected) in reference.range(first..end) {
            let score = f64::from(similarity.score(text, expected)).abs();
            let score = if score.is_finite() {
                score.min(1.0)
            } else {
                0.0
            };
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
                out.matched.push(Pair {
                    generated: i,
                    reference: j,
                    score,
                    cost: row.costs[j - row.first],
                });
            }
            None => out.redundant.push(i),
        }
    }
    out.redundant.sort_unstable();
    let taken: std::collections::BTreeSet<usize> =
        out.matched.iter().map(|p| p.reference).collect();
    out.missed = reference
        .keys()
        .copied()
        .filter(|j| !taken.contains(j))
        .collect();
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
        let alike: Vec<f64> = self
            .scores
            .iter()
            .copied()
            .filter(|s| *s >= CORRECT_ABOVE)
            .collect();
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

/// Counts what [`match_log`] gives.
///
/// # Errors
/// As there.
pub fn tally(
    log: &Log,
    reference: &Reference,
    window_s: (f64, f64),
    similarity: &dyn Similarity,
) -> Result<SpeechTally> {
    let grid = Grid::of(log, reference, window_s)?;
    let matched = grid.matched(similarity)?;
    let early = log
        .utterances
        .iter()
        .filter(|(at, text)| *at < reference.start && !text.trim().is_empty())
        .count();
    let correct = || matched.matched.iter().filter(|p| p.score > CORRECT_ABOVE);
    Ok(SpeechTally {
        correct_apart_s: correct()
            .map(|p| p.generated.abs_diff(p.reference) as f64 / reference.fps)
            .collect(),
        scores: matched.matched.iter().map(|p| p.score).collect(),
        missed: matched.missed.len(),
        redundant: matched.redundant.len() + early,
    })
}

/// Matches a log's utterances from the clip's start on with a recording's. Time becomes a frame by
/// `floor(time * fps)` ([`frame_of`]), several sentences at one frame become one, and blank ones
/// are silence.
///
/// # Errors
/// A window out of range, or a recording of too many frames.
pub fn match_log(
    log: &Log,
    reference: &Reference,
    window_s: (f64, f64),
    similarity: &dyn Similarity,
) -> Result<SpeechMatch> {
    Grid::of(log, reference, window_s)?.matched(similarity)
}

/// Sentences by frame.
struct Grid {
    generated: BTreeMap<usize, String>,
    expected: BTreeMap<usize, String>,
    frames: usize,
    window: (i64, i64),
}

impl Grid {
    fn of(log: &Log, reference: &Reference, window_s: (f64, f64)) -> Result<Self> {
        let fps = reference.fps;
        if !((-WINDOW_MAX_S..=0.0).contains(&window_s.0)
            && (0.0..=WINDOW_MAX_S).contains(&window_s.1))
        {
            let (l, r) = window_s;
            return Err(Error::Invalid(format!(
                "speech window {l},{r}: expected -{WINDOW_MAX_S} to 0 and 0 to {WINDOW_MAX_S} s"
            )));
        }
        let frames = reference.end.seconds() * fps;
        if !(fps > 0.0 && (0.0..=FRAMES_MAX).contains(&frames)) {
            return Err(Error::Invalid(format!(
                "recording `{}`: {frames} frames, expected at most {FRAMES_MAX}",
                reference.id
            )));
        }
        let start = frame_at(reference.start.seconds(), fps);
        let expected = by_frame(reference.utterances.iter(), fps, start);
        let last = frame_at(reference.end.seconds(), fps) - start;
        let frames = expected.keys().next_back().map_or(last, |j| last.max(*j)) + 1;
        let spoken = log
            .utterances
            .iter()
            .filter(|(at, _)| *at >= reference.start);
        // Truncated towards zero, as upstream's int().
        let window = ((window_s.0 * fps) as i64, (window_s.1 * fps) as i64);
        Ok(Self {
            generated: by_frame(spoken, fps, start),
            expected,
            frames,
            window,
        })
    }

    fn matched(&self, similarity: &dyn Similarity) -> Result<SpeechMatch> {
        match_frames(
            &self.generated,
            &self.expected,
            self.frames,
            self.window,
            similarity,
        )
    }
}

/// Frame of the clip that a moment falls on.
pub fn frame_of(reference: &Reference, at: MediaTime) -> usize {
    frame_at(at.seconds(), reference.fps)
        .saturating_sub(frame_at(reference.start.seconds(), reference.fps))
}

/// Rounding that a time on a frame's boundary may carry, in frames.
const FRAME_SLACK: f64 = 1e-6;

fn frame_at(at_s: f64, fps: f64) -> usize {
    (at_s * fps + FRAME_SLACK).floor().max(0.0) as usize
}

/// Sentences on the frames of a recording's clip.
pub(crate) fn by_frame_of<'a>(
    reference: &Reference,
    said: impl Iterator<Item = &'a (MediaTime, String)>,
) -> BTreeMap<usize, String> {
    by_frame(
        said,
        reference.fps,
        frame_at(reference.start.seconds(), reference.fps),
    )
}

fn by_frame<'a>(
    said: impl Iterator<Item = &'a (MediaTime, String)>,
    fps: f64,
    start: usize,
) -> BTreeMap<usize, String> {
    let mut out: BTreeMap<usize, String> = BTreeMap::new();
    for (at, text) in said.filter(|(_, text)| !text.trim().is_empty()) {
        let frame = frame_at(at.seconds(), fps).saturating_sub(start);
        let all = out.entry(frame).or_default();
        if !all.is_empty() {
            all.push(' ');
        }
        all.push_str(text.trim());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::log::tests_log as log;
    use super::super::reference::sample;
    use super::*;

    /// 1 for equal texts, the number after a `~` for one that ends so, 0 else.
    struct Told;

    impl Similarity for Told {
        fn name(&self) -> &str {
            "told"
        }

        fn score(&self, a: &str, b: &str) -> f32 {
            let told = a.split_once('~').filter(|(stem, _)| b.starts_with(stem));
            told.map_or(f32::from(u8::from(a == b)), |(_, score)| {
                score.parse().unwrap()
            })
        }
    }

    fn grid(list: &[(usize, &str)]) -> BTreeMap<usize, String> {
        list.iter().map(|(i, t)| (*i, (*t).to_owned())).collect()
    }

    fn of(generated: &[(usize, &str)], reference: &[(usize, &str)]) -> SpeechMatch {
        match_frames(&grid(generated), &grid(reference), 20, (-5, 5), &Told).unwrap()
    }

    #[test]
    fn a_hand_worked_dialogue() {
        let got = of(
            &[(2, "a~0.9"), (9, "b~0.25"), (15, "d~0.75")],
            &[(3, "a"), (9, "b"), (12, "c")],
        );
        // Frame 2 to 3: 1 - 0.9 + 0.3 (1/5)^1.5 = 0.12683, cheaper than a silent frame, 1. Frame 9
        // to 9: 0.75. Frame 15 to 12 would cost 1 + 0.3 (3/5)^1.5 = 1.139; silent frame 15 costs 1:
        // redundant.
        assert_eq!(got.matched.len(), 2);
        assert_eq!((got.matched[0].generated, got.matched[0].reference), (2, 3));
        assert!((got.matched[0].cost - (0.1 + 0.3 * 0.2f64.powf(1.5))).abs() < 1e-6);
        assert_eq!((got.missed, got.redundant), (vec![12], vec![15]));
        // M0 = 2 of which 1 is above 0.5, Mi = 1, R = 1: P 1/3, R 1/3, J 1/4, missing 1/3,
        // redundant 1/3; apart 1 frame.
        let tally = tally(
            &log(0, &[], &[(1.0, "a~0.9"), (4.5, "b~0.25"), (7.5, "d~0.75")]),
            &sample(&[], 10.0, &[], &[(1.5, "a"), (4.5, "b"), (6.0, "c")]),
            (-2.5, 2.5),
            &Told,
        );
        let got = tally.unwrap().scores();
        let third = Some(1.0 / 3.0);
        assert_eq!(
            (got.precision, got.recall, got.f1, got.jaccard),
            (third, third, third, Some(0.25))
        );
        assert_eq!(
            (got.missing_rate, got.redundant_rate, got.time_diff_s),
            (third, third, Some(0.5))
        );
        assert!((got.semantic_score.unwrap() - 0.9).abs() < 1e-6);
        assert_eq!(
            (got.correct, got.mismatched, got.missed, got.redundant),
            (1, 1, 1, 1)
        );
    }

    #[test]
    fn one_reference_is_not_matched_twice() {
        // Both say it; the exact time wins, and the other finds a silent frame.
        let got = of(&[(9, "a~0.9"), (10, "a")], &[(10, "a")]);
        assert_eq!((got.matched[0].generated, got.redundant), (10, vec![9]));
        // The words of another frame: the window ends at 5 frames.
        assert!(of(&[(4, "a")], &[(10, "a")]).matched.is_empty());
        assert_eq!(of(&[(5, "a")], &[(10, "a")]).matched.len(), 1);
    }

    #[test]
    fn corner_cases_follow_the_definition() {
        // The same words at the same frame cost 0 and are the best match.
        let same = of(&[(3, "a")], &[(3, "a")]);
        assert_eq!((same.matched[0].cost, same.matched[0].score), (0.0, 1.0));
        assert_eq!(
            of(&[], &[(3, "a")]),
            SpeechMatch {
                missed: vec![3],
                ..SpeechMatch::default()
            }
        );
        assert_eq!(
            of(&[(3, "a")], &[]),
            SpeechMatch {
                redundant: vec![3],
                ..SpeechMatch::default()
            }
        );
        assert_eq!(of(&[(3, "a"), (99, "b")], &[]).redundant, [3, 99]);
        // A window of one frame.
        let one = match_frames(
            &grid(&[(3, "a"), (4, "b")]),
            &grid(&[(3, "a"), (5, "b")]),
            9,
            (0, 0),
            &Told,
        )
        .unwrap();
        assert_eq!((one.matched.len(), one.redundant), (1, vec![4]));
        assert!(match_frames(&grid(&[]), &grid(&[]), 9, (1, 2), &Told).is_err());
        // Both silent: no share has a meaning. Only the prediction silent: recall 0.
        assert_eq!(SpeechTally::default().scores().f1, None);
        let reference = sample(&[], 10.0, &[], &[(1.5, "a"), (1.6, "a"), (99.0, "late")]);
        let silent = tally(&log(0, &[], &[(1.0, "  ")]), &reference, (-2.5, 2.5), &Told)
            .unwrap()
            .scores();
        assert_eq!(
            (silent.precision, silent.recall, silent.missed),
            (None, Some(0.0), 2)
        );
        // A frame that says a twice in the reference is one sentence, "a a".
        let twice = tally(
            &log(0, &[], &[(1.5, "a a")]),
            &reference,
            (-2.5, 2.5),
            &Told,
        )
        .unwrap()
        .scores();
        assert_eq!(twice.correct, 1);
    }

    #[test]
    fn upstreams_own_program_finds_the_same() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/data/speech_match.json")).unwrap();
        let cases = file["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 30);
        let mut pooled = SpeechTally::default();
        for (n, case) in cases.iter().enumerate() {
            let texts = |key: &str| -> BTreeMap<usize, String> {
                let one = |v: &serde_json::Value| {
                    (
                        v[0].as_u64().unwrap() as usize,
                        v[1].as_str().unwrap().to_owned(),
                    )
                };
                case[key].as_array().unwrap().iter().map(one).collect()
            };
            let places = |v: &serde_json::Value| -> Vec<usize> {
                v.as_array()
                    .unwrap()
                    .iter()
                    .map(|i| i.as_u64().unwrap() as usize)
                    .collect()
            };
            let numbers = |key: &str| -> Vec<f64> {
                case[key]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|i| i.as_f64().unwrap())
                    .collect()
            };
            let window = (
                case["window"][0].as_i64().unwrap(),
                case["window"][1].as_i64().unwrap(),
            );
            let frames = case["frames"].as_u64().unwrap() as usize;
            let got = match_frames(
                &texts("generated"),
                &texts("reference"),
                frames,
                window,
                &Lexical,
            )
            .unwrap();
            let pairs: Vec<Vec<usize>> = got
                .matched
                .iter()
                .map(|p| vec![p.generated, p.reference])
                .collect();
            let expected: Vec<Vec<usize>> = case["matched"]
                .as_array()
                .unwrap()
                .iter()
                .map(places)
                .collect();
            assert_eq!(pairs, expected, "case {n}");
            assert_eq!(
                (&got.missed, &got.redundant),
                (&places(&case["missed"]), &places(&case["redundant"])),
                "case {n}"
            );
            for ((pair, score), cost) in got
                .matched
                .iter()
                .zip(numbers("scores"))
                .zip(numbers("costs"))
            {
                assert!(
                    (pair.score - score).abs() < 2e-6 && (pair.cost - cost).abs() < 2e-6,
                    "case {n}: {pair:?}"
                );
            }
            let correct = got.matched.iter().filter(|p| p.score > CORRECT_ABOVE);
            pooled.add(&SpeechTally {
                correct_apart_s: correct
                    .map(|p| p.generated.abs_diff(p.reference) as f64 / 2.0)
                    .collect(),
                scores: got.matched.iter().map(|p| p.score).collect(),
                missed: got.missed.len(),
                redundant: got.redundant.len(),
            });
        }
        let ours = serde_json::to_value(pooled.scores()).unwrap();
        for (theirs, name) in [
            ("jaccard_index", "jaccard"),
            ("missing_rate", "missing_rate"),
            ("redundant_rate", "redundant_rate"),
            ("semantic_score", "semantic_score"),
            ("time_diff", "time_diff_s"),
            ("precision", "precision"),
            ("recall", "recall"),
            ("F1", "f1"),
            ("num_matched", "correct"),
            ("num_mismatched", "mismatched"),
            ("num_missed", "missed"),
            ("num_redundant", "redundant"),
        ] {
            let (theirs, ours) = (
                file["whole"][theirs].as_f64().unwrap(),
                ours[name].as_f64().unwrap(),
            );
            assert!(
                (theirs - ours).abs() < 2e-6,
                "{name}: {ours}, upstream has {theirs}"
            );
        }
    }

    #[test]
    fn likeness_is_a_cosine_of_words() {
        // "pour the milk" (1, .2, 1) and "pour milk" (1, 0, 1): 2 / sqrt(2.04 * 2).
        let close = f64::from(Lexical.score("Pour the milk!", "pour milk"));
        assert!((close - 2.0 / (2.04f64 * 2.0).sqrt()).abs() < 1e-6);
        assert_eq!(Lexical.score("Pour milk", "pour MILK."), 1.0);
        assert_eq!(Lexical.score("Pour milk", "boil water"), 0.0);
        assert_eq!(Lexical.score("", "boil water"), 0.0);
        // Praise alone makes no match: .2 each against content words.
        assert!(
            Lexical.score(
                "Well done. Next: pour milk.",
                "Well done. Next: boil water."
            ) < 0.2
        );
        let mut sorted = FUNCTION_WORDS.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted, FUNCTION_WORDS);
        assert_eq!(
            words("Let's go: 6-oz. ramekin"),
            ["lets", "go", "6", "oz", "ramekin"]
        );
    }
}
