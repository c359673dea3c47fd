//! How close are correct sentences to the reference's words? BLEU and METEOR over matched pairs, as
//! ProAssist computes them.
//!
//! BLEU-1 to 4 is upstream's own formula (clipped n-grams pooled over all pairs, brevity penalty,
//! its two small constants). METEOR is that of METEOR 1.5 for English (Denkowski and Lavie 2014)
//! with the modules `exact` and `stem`: upstream's runs with WordNet's synonyms and a table of
//! paraphrases besides, so its numbers are somewhat higher. Words are the Penn Treebank's, in lower
//! case, without punctuation.

use rust_stemmers::{Algorithm, Stemmer};
use serde::Serialize;

use super::speech::FUNCTION_WORDS;

/// Longest n-gram.
const ORDER: usize = 4;
/// Upstream's constants: a share of nothing is 0, and a division by nothing does not happen.
const SMALL: f64 = 1e-9;
const TINY: f64 = 1e-15;
/// METEOR 1.5's parameters for English: weight of recall, exponent and weight of fragmentation,
/// weight of content words.
const ALPHA: f64 = 0.85;
const BETA: f64 = 0.2;
const GAMMA: f64 = 0.6;
const DELTA: f64 = 0.75;
/// Weights of exact and stem matches.
const MODULES: [f64; 2] = [1.0, 0.6];
/// Alignments that are followed side by side (METEOR's default).
const BEAM: usize = 40;
/// Words of a sentence that are looked at: the log is untrusted.
const WORDS_MAX: usize = 256;

/// What is pooled over pairs of sentences.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WordingTally {
    pairs: usize,
    /// n-grams of the predictions, and those of them that the reference has.
    guessed: [usize; ORDER],
    correct: [usize; ORDER],
    generated: Side,
    reference: Side,
    chunks: usize,
}

/// One side's words: all, function words, and matched ones by module (content, function).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Side {
    words: usize,
    function: usize,
    matched: [[usize; 2]; 2],
}

/// Scores of the wording; `None` without a correct pair.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WordingScores {
    /// BLEU-1 to BLEU-4.
    pub bleu: Option<[f64; ORDER]>,
    /// METEOR 1.5 with exact and stem matches, without synonyms and paraphrases.
    pub meteor_exact_stem: Option<f64>,
    /// Pairs that both are of: the correct ones.
    pub pairs: usize,
}

impl WordingTally {
    /// Takes in a pair. A reference without any word is left out, as upstream does.
    pub fn take(&mut self, generated: &str, reference: &str) {
        let (generated, reference) = (tokens(generated), tokens(reference));
        if reference.is_empty() {
            return;
        }
        self.pairs += 1;
        for n in 1..=ORDER {
            self.guessed[n - 1] += (generated.len() + 1).saturating_sub(n);
            self.correct[n - 1] += common(&generated, &reference, n);
        }
        self.align(&generated, &reference);
    }

    /// Pools others.
    pub fn add(&mut self, other: &Self) {
        self.pairs += other.pairs;
        for n in 0..ORDER {
            self.guessed[n] += other.guessed[n];
            self.correct[n] += other.correct[n];
        }
        self.generated.add(&other.generated);
        self.reference.add(&other.reference);
        self.chunks += other.chunks;
    }

    /// The scores of what was pooled.
    pub fn scores(&self) -> WordingScores {
        let any = self.pairs > 0;
        WordingScores {
            bleu: any.then(|| self.bleu()),
            meteor_exact_stem: any.then(|| self.meteor()),
            pairs: self.pairs,
        }
    }

    fn bleu(&self) -> [f64; ORDER] {
        let ratio = (self.generated.words as f64 + TINY) / (self.reference.words as f64 + SMALL);
        let brevity = if ratio < 1.0 {
            (1.0 - 1.0 / ratio).exp()
        } else {
            1.0
        };
        let mut product = 1.0;
        std::array::from_fn(|n| {
            product *= (self.correct[n] as f64 + TINY) / (self.guessed[n] as f64 + SMALL);
            f64::powf(product, 1.0 / (n + 1) as f64) * brevity
        })
    }

    fn meteor(&self) -> f64 {
        let (precision, recall) = (
            self.generated.weighted_share(),
            self.reference.weighted_share(),
        );
        if precision <= 0.0 || recall <= 0.0 {
            return 0.0;
        }
        let mean = 1.0 / ((1.0 - ALPHA) / precision + ALPHA / recall);
        let (a, b) = (self.generated.all_matched(), self.reference.all_matched());
        let fragments = self.chunks as f64 / ((a + b) as f64 / 2.0);
        mean * (1.0 - GAMMA * fragments.powf(BETA))
    }

    fn align(&mut self, generated: &[String], reference: &[String]) {
        let (generated, reference) = (
            &generated[..generated.len().min(WORDS_MAX)],
            &reference[..reference.len().min(WORDS_MAX)],
        );
        let best = alignment(generated, reference);
        // METEOR counts no chunk where both are the same from end to end.
        let same = best.chunks == 1
            && best.pairs.len() == generated.len()
            && best.pairs.len() == reference.len();
        self.chunks += if same { 0 } else { best.chunks };
        for (side, words) in [
            (&mut self.generated, generated),
            (&mut self.reference, reference),
        ] {
            side.words += words.len();
            side.function += words.iter().filter(|w| is_function(w)).count();
        }
        for (i, j, module) in best.pairs {
            self.generated.matched[module][usize::from(is_function(&generated[i]))] += 1;
            self.reference.matched[module][usize::from(is_function(&reference[j]))] += 1;
        }
    }
}

impl Side {
    fn add(&mut self, other: &Self) {
        self.words += other.words;
        self.function += other.function;
        for (mine, theirs) in self
            .matched
            .iter_mut()
            .flatten()
            .zip(other.matched.iter().flatten())
        {
            *mine += theirs;
        }
    }

    fn all_matched(&self) -> usize {
        self.matched.iter().flatten().sum()
    }

    /// Matched words over all, content words weighing more.
    fn weighted_share(&self) -> f64 {
        let weigh = |content: usize, function: usize| {
            DELTA * content as f64 + (1.0 - DELTA) * function as f64
        };
        let matched: f64 = self
            .matched
            .iter()
            .zip(MODULES)
            .map(|(m, weight)| weight * weigh(m[0], m[1]))
            .sum();
        let all = weigh(self.words - self.function, self.function);
        if all > 0.0 { matched / all } else { 0.0 }
    }
}

fn is_function(word: &str) -> bool {
    FUNCTION_WORDS.binary_search(&word).is_ok()
}

/// n-grams that both have, each at most as often as the reference has it.
fn common(generated: &[String], reference: &[String], n: usize) -> usize {
    let mut left: std::collections::HashMap<&[String], usize> = std::collections::HashMap::new();
    for gram in reference.windows(n) {
        *left.entry(gram).or_default() += 1;
    }
    let mut hits = 0;
    for gram in generated.windows(n) {
        if let Some(count) = left.get_mut(gram).filter(|count| **count > 0) {
            *count -= 1;
            hits += 1;
        }
    }
    hits
}

/// A way to pair words one to one: most pairs, then fewest chunks (runs that stand alike in both),
/// then the least distance.
#[derive(Clone, Debug, Default)]
struct Alignment {
    /// Places in both sentences, and the module: 0 exact, 1 stem.
    pairs: Vec<(usize, usize, usize)>,
    chunks: usize,
    distance: usize,
    taken: Vec<bool>,
}

impl Alignment {
    fn with(&self, i: usize, j: usize, module: usize) -> Self {
        let mut next = self.clone();
        let goes_on = self
            .pairs
            .last()
            .is_some_and(|(a, b, _)| a + 1 == i && b + 1 == j);
        next.chunks += usize::from(!goes_on);
        next.distance += i.abs_diff(j);
        next.taken[j] = true;
        next.pairs.push((i, j, module));
        next
    }

    fn rank(&self) -> (std::cmp::Reverse<usize>, usize, usize) {
        (
            std::cmp::Reverse(self.pairs.len()),
            self.chunks,
            self.distance,
        )
    }
}

fn alignment(generated: &[String], reference: &[String]) -> Alignment {
    let stemmer = Stemmer::create(Algorithm::English);
    let stems: Vec<_> = reference.iter().map(|w| stemmer.stem(w)).collect();
    let mut paths = vec![Alignment {
        taken: vec![false; reference.len()],
        ..Alignment::default()
    }];
    for (i, word) in generated.iter().enumerate() {
        let stem = stemmer.stem(word);
        let fits: Vec<(usize, usize)> = (0..reference.len())
            .filter(|&j| stems[j] == stem || reference[j] == *word)
            .map(|j| (j, usize::from(reference[j] != *word)))
            .collect();
        let mut next = paths.clone();
        for path in &paths {
            next.extend(
                fits.iter()
                    .filter(|(j, _)| !path.taken[*j])
                    .map(|&(j, module)| path.with(i, j, module)),
            );
        }
        next.sort_by_key(Alignment::rank);
        next.truncate(BEAM);
        paths = next;
    }
    paths.swap_remove(0)
}

/// Words as the Penn Treebank splits them, for plain sentences: in lower case, clitics apart (`do
/// n't`, `it 's`), and without the punctuation that upstream leaves out. Abbreviations keep no full
/// stop.
fn tokens(text: &str) -> Vec<String> {
    let text: Vec<char> = text
        .replace(['\u{2019}', '\u{2018}'], "'")
        .to_lowercase()
        .chars()
        .collect();
    let is_word = |i: usize| text.get(i).is_some_and(|c: &char| c.is_alphanumeric());
    let is_digit = |i: usize| text.get(i).is_some_and(char::is_ascii_digit);
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let from = at;
        while is_word(at)
            || (at > from
                && holds_together(
                    text.get(at),
                    is_word(at + 1),
                    is_digit(at - 1) && is_digit(at + 1),
                ))
        {
            at += 1;
        }
        if at > from {
            let word: String = text[from..at].iter().collect();
            split_clitics(&word, &mut out);
            continue;
        }
        match text[at] {
            '(' => out.push("-lrb-".to_owned()),
            ')' => out.push("-rrb-".to_owned()),
            // Upstream's list, and quotes.
            '\'' | '`' | '"' | '.' | '?' | '!' | ',' | ':' | '-' | ';' | '\u{201c}'
            | '\u{201d}' | '\u{2026}' | '\u{2013}' | '\u{2014}' => {}
            c if c.is_whitespace() => {}
            c => out.push(c.to_string()),
        }
        at += 1;
    }
    out
}

/// A sign within a word or number.
fn holds_together(sign: Option<&char>, before_word: bool, between_digits: bool) -> bool {
    match sign {
        Some('-' | '\'') => before_word,
        Some('.' | ',' | ':' | '/') => between_digits,
        _ => false,
    }
}

fn split_clitics(word: &str, out: &mut Vec<String>) {
    const CLITICS: [&str; 7] = ["n't", "'s", "'re", "'ve", "'ll", "'d", "'m"];
    if word == "cannot" {
        out.extend(["can".to_owned(), "not".to_owned()]);
        return;
    }
    match CLITICS
        .iter()
        .find(|clitic| word.len() > clitic.len() && word.ends_with(*clitic))
    {
        Some(clitic) => out.extend([
            word[..word.len() - clitic.len()].to_owned(),
            (*clitic).to_owned(),
        ]),
        None => out.push(word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> WordingScores {
        let mut tally = WordingTally::default();
        pairs
            .iter()
            .for_each(|(generated, reference)| tally.take(generated, reference));
        tally.scores()
    }

    #[test]
    fn upstreams_own_programs_find_the_same() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/data/wording.json")).unwrap();
        let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
        let close = |got: WordingScores, expected: &serde_json::Value, what: &str| {
            for (n, got) in got.bleu.unwrap().into_iter().enumerate() {
                assert!(
                    (got - expected["bleu"][n].as_f64().unwrap()).abs() < 1e-9,
                    "{what}: BLEU-{}: {got}, {expected}",
                    n + 1
                );
            }
            let (got, expected) = (
                got.meteor_exact_stem.unwrap(),
                expected["meteor"].as_f64().unwrap(),
            );
            assert!(
                (got - expected).abs() < 1e-9,
                "{what}: METEOR {got}, expected {expected}"
            );
        };
        let mut whole = WordingTally::default();
        let cases = file["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 60);
        for case in cases {
            let (generated, reference) = (text(&case["generated"]), text(&case["reference"]));
            let split = |of: &serde_json::Value| {
                of.as_array().unwrap().iter().map(text).collect::<Vec<_>>()
            };
            assert_eq!(
                (tokens(&generated), tokens(&reference)),
                (split(&case["tokens"][0]), split(&case["tokens"][1]))
            );
            close(
                of(&[(&generated, &reference)]),
                case,
                &format!("{generated:?} for {reference:?}"),
            );
            let mut one = WordingTally::default();
            one.take(&generated, &reference);
            whole.add(&one);
        }
        close(whole.scores(), &file["whole"], "all");
    }

    #[test]
    fn nothing_has_no_score_and_nothing_alike_has_none_to_speak_of() {
        assert_eq!(
            of(&[]),
            WordingScores {
                bleu: None,
                meteor_exact_stem: None,
                pairs: 0
            }
        );
        assert_eq!(of(&[("pour", " ... ")]).pairs, 0);
        let silent = of(&[("", "pour milk")]);
        assert_eq!(
            (silent.bleu.unwrap()[0], silent.meteor_exact_stem),
            (0.0, Some(0.0))
        );
        assert!(of(&[("boil", "pour milk")]).bleu.unwrap()[0] < 1e-9);
    }

    #[test]
    fn long_sentences_of_one_word_end() {
        let long = "pour ".repeat(3000);
        assert!(of(&[(&long, &long)]).meteor_exact_stem.unwrap() > 0.0);
    }
}
