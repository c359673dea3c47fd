//! What the model may write: updates under a grammar of the task's state, sentences under rules.
//!
//! Both take the likeliest, of updates by score and weight; of equals the lower token id, so that
//! the same scores give the same text.

use crate::dialogue::layout::Layout;
use crate::dialogue::task::{Task, TaskState, Transition, Update};
use crate::error::{Error, Result};
use crate::units::{Prob, TokenId};

/// A sentence is refused when one run of tokens stands this many times in a row at its end.
pub const REPEATS_MAX: usize = 4;
/// Longest run that is looked for, in tokens: a short sentence that is said again and again.
pub const REPEAT_TOKENS_MAX: usize = 16;

/// The updates that may be written now, as a trie over their tokens.
///
/// The trie is a sorted list: continuations of a prefix stand together. Each sequence ends with the
/// one `eot` in it, so none is the beginning of another and decoding ends after the longest at the
/// latest.
#[derive(Clone, Debug)]
pub struct Grammar {
    /// Sorted by tokens.
    candidates: Vec<Candidate>,
}

/// An update that may be written.
#[derive(Clone, Debug)]
struct Candidate {
    update: Update,
    /// `text<eot>`, without the opening `[DST]`.
    tokens: Vec<TokenId>,
    /// What it counts beside the others, 1 unless something is known about it.
    weight: f32,
}

impl Candidate {
    /// Its first tokens, `count` at most.
    fn head(&self, count: usize) -> &[TokenId] {
        &self.tokens[..count.min(self.tokens.len())]
    }
}

impl Grammar {
    /// A grammar of updates with their tokens, each `text<eot>`.
    ///
    /// # Errors
    /// No candidates; tokens that do not end with the only `eot` in them; two updates with the same
    /// tokens.
    pub fn new(
        candidates: impl IntoIterator<Item = (Update, Vec<TokenId>)>,
        eot: TokenId,
    ) -> Result<Self> {
        let mut list: Vec<Candidate> = candidates
            .into_iter()
            .map(|(update, tokens)| Candidate {
                update,
                tokens,
                weight: 1.0,
            })
            .collect();
        if list.is_empty() {
            return Err(Error::Invalid(
                "grammar: the task's state allows no update".into(),
            ));
        }
        let closed = |tokens: &[TokenId]| {
            tokens
                .split_last()
                .is_some_and(|(end, text)| *end == eot && !text.contains(&eot))
        };
        if let Some(open) = list.iter().find(|c| !closed(&c.tokens)) {
            return Err(Error::Invalid(format!(
                "grammar: tokens of {} must end with the only <eot> in them",
                open.update
            )));
        }
        list.sort_by(|a, b| a.tokens.cmp(&b.tokens));
        if let Some([a, b]) = list
            .windows(2)
            .find(|pair| pair[0].tokens == pair[1].tokens)
        {
            return Err(Error::Invalid(format!(
                "grammar: {} and {} have the same tokens",
                a.update, b.update
            )));
        }
        Ok(Self { candidates: list })
    }

    /// The grammar of what a task's state allows now.
    ///
    /// # Errors
    /// As [`Grammar::new`]; the codec refused a text.
    pub fn of_state(layout: &Layout<'_>, state: &TaskState) -> Result<Self> {
        Self::of_updates(layout, state.allowed())
    }

    /// The grammar of these updates.
    ///
    /// # Errors
    /// As [`Grammar::of_state`].
    pub fn of_updates(
        layout: &Layout<'_>,
        updates: impl IntoIterator<Item = Update>,
    ) -> Result<Self> {
        let eot = layout.special().eot;
        let mut candidates = Vec::new();
        for update in updates {
            let mut tokens = layout.update_text(update)?;
            tokens.push(eot);
            candidates.push((update, tokens));
        }
        Self::new(candidates, eot)
    }

    /// The same, in which a start that the task's order does not allow yet counts `weight` (above
    /// 0) times as much as another update: candidates are ranked by how likely the model finds them
    /// and how likely they are, whatever is in view.
    pub fn in_order(mut self, task: &Task, state: &TaskState, weight: f32) -> Self {
        for Candidate {
            update,
            weight: counts,
            ..
        } in &mut self.candidates
        {
            if update.transition == Transition::Start
                && !state.missing_before(task, update.step).is_empty()
            {
                *counts = weight;
            }
        }
        self
    }

    /// Tokens that may follow a prefix, ascending; empty behind a whole update or a prefix of none.
    pub fn allowed_next(&self, prefix: &[TokenId]) -> Vec<TokenId> {
        let mut next: Vec<TokenId> = self
            .behind(prefix)
            .iter()
            .filter_map(|c| c.tokens.get(prefix.len()).copied())
            .collect();
        next.dedup();
        next
    }

    /// The update that the tokens are, `eot` included.
    pub fn finished(&self, tokens: &[TokenId]) -> Option<Update> {
        self.behind(tokens)
            .first()
            .filter(|c| c.tokens.len() == tokens.len())
            .map(|c| c.update)
    }

    /// The likeliest token behind a prefix: of those allowed the one with the highest score and
    /// weight. Before the last choice a token has the largest weight of the updates that it leads
    /// to. `logits` is `[vocab]`.
    ///
    /// # Errors
    /// Nothing may follow the prefix; scores that are NaN or +infinite, or too few of them.
    pub fn pick(&self, prefix: &[TokenId], logits: &[f32]) -> Result<TokenId> {
        check_logits(logits)?;
        let mut best: Option<(TokenId, f32)> = None;
        for token in self.allowed_next(prefix) {
            // In logarithms, so that the least likely are still told apart.
            let counts = score(logits, token)? + self.weight(prefix, token).ln();
            if best.is_none_or(|(_, most)| counts > most) {
                best = Some((token, counts));
            }
        }
        best.map(|(token, _)| token)
            .ok_or_else(|| Error::Invalid("grammar: nothing may follow".into()))
    }

    /// Candidates that begin with a prefix.
    fn behind(&self, prefix: &[TokenId]) -> &[Candidate] {
        let first = self
            .candidates
            .partition_point(|c| c.head(prefix.len()) < prefix);
        let last = self
            .candidates
            .partition_point(|c| c.head(prefix.len()) <= prefix);
        &self.candidates[first..last]
    }

    /// The largest weight of the updates that a token leads to.
    fn weight(&self, prefix: &[TokenId], token: TokenId) -> f32 {
        self.behind(&[prefix, &[token]].concat())
            .iter()
            .map(|c| c.weight)
            .fold(0.0, f32::max)
    }
}

/// Probability of one token as the next. `logits` is `[vocab]`.
///
/// # Errors
/// Scores that are NaN or +infinite, or too few of them.
pub fn token_prob(logits: &[f32], token: TokenId) -> Result<Prob> {
    let top = check_logits(logits)?;
    let all: f32 = logits.iter().map(|l| (l - top).exp()).sum();
    Ok(Prob((score(logits, token)? - top).exp() / all))
}

/// The token with the highest score that is not banned; `None` when all are. `logits` is `[vocab]`.
///
/// # Errors
/// Scores that are NaN or +infinite.
pub fn greedy(logits: &[f32], banned: &[TokenId]) -> Result<Option<TokenId>> {
    check_logits(logits)?;
    let mut best: Option<(TokenId, f32)> = None;
    for (token, score) in (0u32..).map(TokenId).zip(logits) {
        if best.is_none_or(|(_, high)| *score > high) && !banned.contains(&token) {
            best = Some((token, *score));
        }
    }
    Ok(best.map(|(token, _)| token))
}

/// The highest score; refuses what cannot be compared or normalized.
fn check_logits(logits: &[f32]) -> Result<f32> {
    let mut top = f32::NEG_INFINITY;
    for (i, logit) in logits.iter().enumerate() {
        if logit.is_nan() || *logit == f32::INFINITY {
            return Err(Error::Model(format!("score of token {i} is {logit}")));
        }
        top = top.max(*logit);
    }
    if top == f32::NEG_INFINITY {
        return Err(Error::Model("no token has a score above -infinity".into()));
    }
    Ok(top)
}

fn score(logits: &[f32], token: TokenId) -> Result<f32> {
    logits.get(token.0 as usize).copied().ok_or_else(|| {
        Error::Model(format!(
            "{} scores, none for token {}",
            logits.len(),
            token.0
        ))
    })
}

/// What may stand in a sentence of the assistant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRules {
    /// Ends the sentence.
    pub eot: TokenId,
    /// Never picked.
    pub banned: Vec<TokenId>,
    /// Tokens at most, `eot` not counted.
    pub tokens_max: usize,
}

/// A sentence being written.
#[derive(Clone, Debug)]
pub struct Sentence {
    rules: TextRules,
    tokens: Vec<TokenId>,
}

/// What comes next in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This token.
    Token(TokenId),
    /// `eot`: the sentence is whole.
    End,
    /// The sentence is refused; why, in words.
    Refused(String),
}

impl Sentence {
    /// A sentence without words yet.
    pub fn new(rules: TextRules) -> Self {
        Self {
            rules,
            tokens: Vec::new(),
        }
    }

    /// Tokens so far, without `eot`.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// Picks the next token. A sentence is refused when it ends before it began, when it does not
    /// end within `tokens_max`, or when its last tokens are one run of at most
    /// [`REPEAT_TOKENS_MAX`] tokens, [`REPEATS_MAX`] times in a row. `logits` is `[vocab]`.
    ///
    /// # Errors
    /// Scores that are NaN or +infinite, or too few of them to hold `eot`.
    pub fn next(&mut self, logits: &[f32]) -> Result<Next> {
        score(logits, self.rules.eot)?;
        let Some(token) = greedy(logits, &self.rules.banned)? else {
            return Ok(Next::Refused("every token is banned".into()));
        };
        if token == self.rules.eot {
            return Ok(if self.tokens.is_empty() {
                Next::Refused("no words".into())
            } else {
                Next::End
            });
        }
        if self.tokens.len() >= self.rules.tokens_max {
            return Ok(Next::Refused(format!(
                "no end within {} tokens",
                self.rules.tokens_max
            )));
        }
        self.tokens.push(token);
        Ok(match repeated_run(&self.tokens) {
            Some(run) => Next::Refused(format!(
                "the same {run} tokens {REPEATS_MAX} times in a row"
            )),
            None => Next::Token(token),
        })
    }
}

/// Length of the shortest run that stands [`REPEATS_MAX`] times at the end.
fn repeated_run(tokens: &[TokenId]) -> Option<usize> {
    (1..=REPEAT_TOKENS_MAX).find(|run| {
        let Some(start) = tokens.len().checked_sub(run * REPEATS_MAX) else {
            return false;
        };
        let tail = &tokens[start..];
        tail.iter().zip(&tail[*run..]).all(|(a, b)| a == b)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dialogue::layout::{Bytes, TextCodec};
    use crate::dialogue::task::StepState;
    use crate::units::StepId;

    const EOT: TokenId = TokenId(257);
    const VOCAB: usize = Bytes::VOCAB;

    fn steps(n: usize) -> TaskState {
        let step = "[[step]]\nname = \"x\"\n".repeat(n);
        TaskState::new(&Task::parse(&format!("goal = \"g\"\n{step}")).unwrap())
    }

    fn of(text: &str) -> (Update, Vec<TokenId>) {
        let mut tokens = Bytes.encode(text, false).unwrap();
        tokens.push(EOT);
        (Update::parse(text).unwrap(), tokens)
    }

    fn grammar(texts: &[&str]) -> Grammar {
        Grammar::new(texts.iter().map(|t| of(t)), EOT).unwrap()
    }

    fn liking(text: &[TokenId]) -> Vec<f32> {
        let mut logits = vec![0.0; VOCAB];
        for (i, token) in text.iter().enumerate() {
            logits[token.0 as usize] = 10.0 - i as f32;
        }
        logits
    }

    #[test]
    fn a_prefix_allows_exactly_what_some_update_continues_with() {
        let g = grammar(&["S1->complete", "S12->start", "S2->start"]);
        let bytes = |t: &str| Bytes.encode(t, false).unwrap();
        assert_eq!(g.allowed_next(&[]), bytes("S"));
        assert_eq!(g.allowed_next(&bytes("S")), bytes("12"));
        assert_eq!(g.allowed_next(&bytes("S1")), bytes("-2"));
        assert_eq!(g.allowed_next(&bytes("S1->")), bytes("c"));
        assert_eq!(g.allowed_next(&bytes("S2->start")), [EOT]);
        assert_eq!(g.allowed_next(&bytes("S3")), []);
        assert_eq!(g.allowed_next(&of("S2->start").1), []);
        assert_eq!(g.finished(&of("S2->start").1), Some(of("S2->start").0));
        assert_eq!(g.finished(&bytes("S2->start")), None);
    }

    #[test]
    fn the_best_allowed_token_is_picked_and_ties_go_to_the_lower_id() {
        let g = grammar(&["S1->start", "S2->start"]);
        let prefix = Bytes.encode("S", false).unwrap();
        let two = u32::from(b'2');
        let pick = g
            .pick(&prefix, &liking(&[TokenId(7), TokenId(two)]))
            .unwrap();
        assert_eq!(pick, TokenId(two));
        let tie = g.pick(&prefix, &vec![1.0; VOCAB]).unwrap();
        assert_eq!(tie, TokenId(u32::from(b'1')));
    }

    #[test]
    fn a_start_out_of_order_needs_a_surer_model() {
        let task = Task::parse(
            "goal = \"g\"\n[[step]]\nname = \"a\"\n[[step]]\nname = \"b\"\nafter = [\"S1\"]\n",
        )
        .unwrap();
        let state = TaskState::new(&task);
        let layout = Layout::new(&Bytes, 1);
        let prefix = Bytes.encode("S", false).unwrap();
        let pick = |weight: f32, elsewhere: f32| {
            let mut logits = vec![elsewhere; VOCAB];
            (logits[usize::from(b'1')], logits[usize::from(b'2')]) = (0.0, 3.0f32.ln());
            Grammar::of_state(&layout, &state)
                .unwrap()
                .in_order(&task, &state, weight)
                .pick(&prefix, &logits)
                .unwrap()
        };
        let (one, two) = (TokenId(u32::from(b'1')), TokenId(u32::from(b'2')));
        // S2 needs S1 and is three times as likely: it is picked unless it counts less than a
        // third.
        for (weight, token) in [(1.0, two), (0.5, two), (0.25, one)] {
            assert_eq!(pick(weight, f32::NEG_INFINITY), token, "{weight}");
        }
        assert_eq!(
            pick(0.5, 300.0),
            two,
            "however unlikely they are, they are told apart"
        );
        assert_eq!(pick(0.25, 300.0), one);
        let mut begun = state.clone();
        begun.set(StepId(0), StepState::Completed);
        let ready = Grammar::of_state(&layout, &begun)
            .unwrap()
            .in_order(&task, &begun, 0.25);
        assert!(
            ready.candidates.iter().all(|c| c.weight == 1.0),
            "S1 is done"
        );
        let other =
            Grammar::of_state(&layout, &state)
                .unwrap()
                .in_order(&Task::default(), &state, 0.25);
        assert!(
            other.candidates.iter().all(|c| c.weight == 1.0),
            "a task that says nothing of the order"
        );
    }

    #[test]
    fn what_is_ambiguous_or_endless_is_refused() {
        let (update, tokens) = of("S1->start");
        let other = of("S2->start").0;
        assert!(Grammar::new([], EOT).is_err());
        assert!(Grammar::new([(update, tokens.clone()), (other, tokens.clone())], EOT).is_err());
        assert!(Grammar::new([(update, tokens[..3].to_vec())], EOT).is_err());
        assert!(Grammar::new([(update, vec![])], EOT).is_err());
        assert!(Grammar::new([(update, vec![EOT, EOT])], EOT).is_err());
        let g = grammar(&["S1->start"]);
        assert!(g.pick(&[EOT], &vec![0.0; VOCAB]).is_err());
        assert!(g.pick(&[], &[0.0; 3]).is_err(), "too few scores");
        let mut bad = vec![0.0; VOCAB];
        bad[200] = f32::NAN;
        assert!(g.pick(&[], &bad).is_err());
        assert!(g.pick(&[], &vec![f32::NEG_INFINITY; VOCAB]).is_err());
    }

    proptest! {
        /// Whatever the scores: decoding ends, and with an update that the state allows.
        #[test]
        fn random_scores_always_write_an_allowed_update(
            n in 1usize..=99,
            states in proptest::collection::vec(0u8..3, 99),
            seed in proptest::collection::vec(-5.0f32..5.0, VOCAB),
        ) {
            let mut state = steps(n);
            for (i, s) in states.iter().take(n).enumerate() {
                let word = [StepState::NotStarted, StepState::InProgress, StepState::Completed][usize::from(*s)];
                state.set(StepId(i as u16), word);
            }
            let layout = Layout::new(&Bytes, 1);
            let Ok(g) = Grammar::of_state(&layout, &state) else {
                prop_assert!(state.allowed().is_empty());
                return Ok(());
            };
            let mut tokens = Vec::new();
            while g.finished(&tokens).is_none() {
                prop_assert!(tokens.len() < "S99->complete".len() + 1);
                let turn = tokens.len() % VOCAB;
                let logits = [&seed[turn..], &seed[..turn]].concat();
                tokens.push(g.pick(&tokens, &logits).unwrap());
            }
            prop_assert!(state.apply(g.finished(&tokens).unwrap()).is_ok());
        }
    }

    fn write(tokens_max: usize, script: &[u32]) -> Next {
        let rules = TextRules {
            eot: EOT,
            banned: Bytes.banned_in_text(),
            tokens_max,
        };
        let mut sentence = Sentence::new(rules);
        for token in script {
            match sentence.next(&liking(&[TokenId(*token)])).unwrap() {
                Next::Token(_) => {}
                end => return end,
            }
        }
        panic!("the script ran out");
    }

    #[test]
    fn a_sentence_ends_or_is_refused() {
        assert_eq!(write(9, &[1, 2, 257]), Next::End);
        assert_eq!(write(2, &[1, 2, 257]), Next::End);
        let refused = |next: Next| matches!(next, Next::Refused(_));
        assert!(refused(write(9, &[257])), "empty");
        assert!(refused(write(2, &[1, 2, 3])), "too long");
        assert!(
            refused(write(99, &[5, 5, 5, 5])),
            "one token again and again"
        );
        assert!(
            refused(write(99, &[9, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3])),
            "three tokens again and again"
        );
        assert_eq!(write(99, &[5, 5, 5, 6, 5, 5, 5, 257]), Next::End);
    }

    #[test]
    fn special_tokens_are_never_picked() {
        let rules = TextRules {
            eot: EOT,
            banned: Bytes.banned_in_text(),
            tokens_max: 9,
        };
        let logits = liking(&[
            TokenId(259),
            TokenId(260),
            TokenId(258),
            TokenId(256),
            TokenId(65),
        ]);
        assert_eq!(
            Sentence::new(rules.clone()).next(&logits).unwrap(),
            Next::Token(TokenId(65))
        );
        assert!(
            Sentence::new(rules.clone())
                .next(&[f32::NAN; VOCAB])
                .is_err()
        );
        assert!(Sentence::new(rules).next(&[0.0; 4]).is_err());
    }

    #[test]
    fn token_probabilities_are_a_softmax() {
        let prob = token_prob(&[0.0, 3.0f32.ln(), f32::NEG_INFINITY], TokenId(1)).unwrap();
        assert!((prob.0 - 0.75).abs() < 1e-6);
        assert!(token_prob(&[0.0], TokenId(1)).is_err());
    }
}
