//! Does a spoken sentence fit the step at hand? Which steps it names, and which the reference has
//! at hand then.

use serde::Serialize;

use super::log::Log;
use super::reference::{Reference, reached};
use super::speech::{CORRECT_ABOVE, Lexical, Similarity, words};
use proact::dialogue::annotation::IssueKind;
use proact::dialogue::task::{StepState, Task, Transition};
use proact::units::StepId;

/// How far from the sentence the reference may have the step at hand, in seconds.
pub const FIT_WINDOW_S: f64 = 5.0;
/// A sentence names a step without its very words when it holds at least this share of their
/// weight.
pub const NAMED_ABOVE: f64 = 0.6;
/// Words of a sentence that are looked at: the log is untrusted.
const WORDS_MAX: usize = 1000;

/// What is pooled over recordings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct FitTally {
    /// Sentences that fit.
    pub fitting: usize,
    /// Sentences that name a step.
    pub naming: usize,
    /// Sentences spoken.
    pub spoken: usize,
}

impl FitTally {
    /// Pools another recording.
    pub fn add(&mut self, other: &Self) {
        self.fitting += other.fitting;
        self.naming += other.naming;
        self.spoken += other.spoken;
    }

    /// Share of spoken sentences that fit.
    pub fn share(&self) -> Option<f64> {
        super::share(self.fitting, self.spoken)
    }
}

/// Counts the log's sentences that fit. `None` for a task without steps, where nothing can be told.
pub fn tally(log: &Log, reference: &Reference, similarity: &dyn Similarity) -> Option<FitTally> {
    if reference.task.steps.is_empty() {
        return None;
    }
    let names = Names::new(&reference.task);
    let mut out = FitTally::default();
    for (at, text) in log
        .utterances
        .iter()
        .filter(|(_, text)| !text.trim().is_empty())
    {
        let named = names.in_words(text);
        let fits = if named.is_empty() {
            fits_without_name(reference, &names, at.seconds(), text, similarity)
        } else {
            let at_hand = at_hand(reference, at.seconds());
            named
                .iter()
                .all(|same| same.iter().any(|step| at_hand.contains(step)))
        };
        out.spoken += 1;
        out.naming += usize::from(!named.is_empty());
        out.fitting += usize::from(fits);
    }
    Some(out)
}

/// The words that steps and goal of a task go by.
#[derive(Clone, Debug, Default)]
pub struct Names {
    steps: Vec<Vec<String>>,
    goal: Vec<String>,
}

impl Names {
    /// The words of a task.
    pub fn new(task: &Task) -> Self {
        Self {
            steps: task.steps.iter().map(|s| words(&s.name)).collect(),
            goal: words(&task.goal),
        }
    }

    /// The steps that a sentence names; each entry holds the steps of one name.
    ///
    /// A step is named by its very words in a row (case and punctuation aside); a name within a
    /// longer named one does not count. Without any such, the step is named whose words' weight is
    /// held best, from [`NAMED_ABOVE`] on; the goal's very words do not count there ("Enjoy your
    /// pan fried tofu!" is not "Flip tofu on the pan").
    pub fn in_words(&self, text: &str) -> Vec<Vec<StepId>> {
        let mut text = words(text);
        text.truncate(WORDS_MAX);
        let mut spans: Vec<(usize, usize, StepId)> = Vec::new();
        for (i, name) in self.steps.iter().enumerate() {
            spans.extend(places(&text, name).map(|at| (at, at + name.len(), StepId(i as u16))));
        }
        let within = |a: &(usize, usize, StepId), b: &(usize, usize, StepId)| {
            b.0 <= a.0 && a.1 <= b.1 && b.1 - b.0 > a.1 - a.0
        };
        let longest: Vec<_> = spans
            .iter()
            .filter(|a| !spans.iter().any(|b| within(a, b)))
            .collect();
        let mut out: Vec<Vec<StepId>> = Vec::new();
        for &&(from, to, _) in &longest {
            let same: Vec<StepId> = longest
                .iter()
                .filter(|s| s.0 == from && s.1 == to)
                .map(|s| s.2)
                .collect();
            if !out.contains(&same) {
                out.push(same);
            }
        }
        if out.is_empty() {
            self.by_weight(&text).into_iter().collect()
        } else {
            out
        }
    }

    fn by_weight(&self, text: &[String]) -> Option<Vec<StepId>> {
        let goal: Vec<usize> = places(text, &self.goal).collect();
        let of_goal = |i: usize| {
            goal.iter()
                .any(|at| (*at..at + self.goal.len()).contains(&i))
        };
        let text: Vec<&String> = text
            .iter()
            .enumerate()
            .filter(|(i, _)| !of_goal(*i))
            .map(|(_, word)| word)
            .collect();
        let held = |name: &Vec<String>| {
            let all = weight(name.iter());
            if all > 0.0 {
                weight(name.iter().filter(|w| text.contains(w))) / all
            } else {
                0.0
            }
        };
        let held: Vec<f64> = self.steps.iter().map(held).collect();
        let best = held.iter().copied().fold(0.0, f64::max);
        let same = held
            .iter()
            .enumerate()
            .filter(|(_, h)| **h == best)
            .map(|(i, _)| StepId(i as u16))
            .collect();
        (best >= NAMED_ABOVE).then_some(same)
    }
}

/// Where `wanted` stands in `text`, word for word; nowhere if it is empty.
fn places<'a>(text: &'a [String], wanted: &'a [String]) -> impl Iterator<Item = usize> + 'a {
    let windows = text.windows(wanted.len().max(1)).enumerate();
    windows.filter(move |(_, w)| *w == wanted).map(|(at, _)| at)
}

fn weight<'a>(words: impl Iterator<Item = &'a String>) -> f64 {
    words.map(|w| Lexical::weight(w)).sum()
}

/// The steps that the reference has at hand at some moment within [`FIT_WINDOW_S`] of `at_s`: in
/// progress; just completed (the last one to be); next (the first of the list not started, and the
/// one that the reference really starts next); an unfinished prerequisite of one in progress; one
/// labelled as missed or mistaken then.
pub fn at_hand(reference: &Reference, at_s: f64) -> Vec<StepId> {
    let (from_s, to_s) = (at_s - FIT_WINDOW_S, at_s + FIT_WINDOW_S);
    let mut state = reference.state_at(from_s);
    let seen = reference
        .transitions
        .iter()
        .take_while(|(t, _)| t.seconds() <= from_s)
        .count();
    let complete = |u: &proact::dialogue::task::Update| u.transition == Transition::Complete;
    let mut last_completed = reference.transitions[..seen]
        .iter()
        .rev()
        .find(|(_, u)| complete(u))
        .map(|(_, u)| u.step);
    let mut out = Vec::new();
    moment(reference, &state, seen, last_completed, &mut out);
    for (i, (at, update)) in reference.transitions.iter().enumerate().skip(seen) {
        if at.seconds() > to_s {
            break;
        }
        state[usize::from(update.step.0)] = reached(*update);
        if complete(update) {
            last_completed = Some(update.step);
        }
        moment(reference, &state, i + 1, last_completed, &mut out);
    }
    let labelled = reference.issues.iter().filter(|i| {
        matches!(i.kind, IssueKind::Missed | IssueKind::Mistake)
            && (from_s..=to_s).contains(&i.at.seconds())
    });
    out.extend(labelled.map(|i| i.step));
    out.sort_unstable();
    out.dedup();
    out
}

fn moment(
    reference: &Reference,
    state: &[StepState],
    seen: usize,
    completed: Option<StepId>,
    out: &mut Vec<StepId>,
) {
    let ids = || {
        state
            .iter()
            .enumerate()
            .map(|(i, s)| (StepId(i as u16), *s))
    };
    for (step, _) in ids().filter(|(_, s)| *s == StepState::InProgress) {
        out.push(step);
        let before = reference
            .task
            .steps
            .get(usize::from(step.0))
            .map_or(&[][..], |s| &s.after);
        let unfinished = |b: &&StepId| state.get(usize::from(b.0)) != Some(&StepState::Completed);
        out.extend(before.iter().filter(unfinished));
    }
    out.extend(completed);
    out.extend(
        ids()
            .find(|(_, s)| *s == StepState::NotStarted)
            .map(|(step, _)| step),
    );
    let starts = reference.transitions[seen..]
        .iter()
        .find(|(_, u)| u.transition == Transition::Start);
    out.extend(starts.map(|(_, u)| u.step));
}

/// A sentence that names no step fits where the reference, within [`FIT_WINDOW_S`], says something
/// like it (similarity above [`CORRECT_ABOVE`]) or something that names no step either.
fn fits_without_name(
    reference: &Reference,
    names: &Names,
    at_s: f64,
    text: &str,
    similarity: &dyn Similarity,
) -> bool {
    let near = reference
        .utterances
        .iter()
        .filter(|(t, _)| (t.seconds() - at_s).abs() <= FIT_WINDOW_S);
    near.into_iter().any(|(_, said)| {
        f64::from(similarity.score(text, said)).abs() > CORRECT_ABOVE
            || names.in_words(said).is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::super::log::tests_log as log;
    use super::super::reference::sample;
    use super::*;

    #[test]
    fn a_sentence_names_steps_by_their_words() {
        let steps = [
            "Boil water",
            "Boil water in the pan",
            "Pour the milk",
            "Boil water",
        ]
        .map(words)
        .to_vec();
        let names = Names {
            steps,
            goal: words("Milk the pour"),
        };
        let of = |text| names.in_words(text);
        // The longest name at a place counts, not those within it.
        assert_eq!(of("Next: boil water in the pan."), [vec![StepId(1)]]);
        // Two names, and one name that two steps have.
        assert_eq!(
            of("First boil water, then POUR the milk!"),
            [vec![StepId(0), StepId(3)], vec![StepId(2)]]
        );
        // Not the very words: "pour" and "milk" of "pour the milk" weigh 2.0 of 2.2.
        assert_eq!(of("Now pour some milk"), [vec![StepId(2)]]);
        // "milk" alone is 1.0 of 2.2, below the bound.
        assert!(of("Milk?").is_empty() && of("Well done.").is_empty());
        // The goal's own words, odd as they are here, name no step.
        assert!(of("Enjoy your milk the pour!").is_empty());
        assert!(Names::default().in_words("Anything").is_empty());
    }

    #[test]
    fn the_step_at_hand_is_current_next_or_just_completed() {
        let reference = sample(
            &["a", "b", "c", "d"],
            100.0,
            &[
                (10.0, "S1->start"),
                (20.0, "S1->complete"),
                (30.0, "S3->start"),
                (60.0, "S3->complete"),
            ],
            &[],
        );
        let at = |t| {
            at_hand(&reference, t)
                .iter()
                .map(|s| s.0 + 1)
                .collect::<Vec<_>>()
        };
        assert_eq!(at(2.0), [1]); // Before: S1 is next.
        assert_eq!(at(5.0), [1, 2, 3]); // S1 starts within 5 s, then S2 is next in the list, S3 in fact.
        assert_eq!(at(45.0), [1, 2, 3]); // S1 just completed, S2 not started, S3 in progress.
        assert_eq!(at(70.0), [2, 3]); // S3 just completed; S2 next. S4 is not at hand.
    }

    #[test]
    fn fit_counts_sentences() {
        let reference = sample(
            &["boil water", "pour milk", "stir it well", "serve tea"],
            100.0,
            &[
                (10.0, "S1->start"),
                (20.0, "S1->complete"),
                (22.0, "S2->start"),
                (60.0, "S2->complete"),
            ],
            &[(20.0, "Well done. Next: pour milk."), (60.0, "Splendid!")],
        );
        let log = log(
            4,
            &[],
            &[
                (21.0, "Well done. Next: pour milk."),  // S2 next: fits
                (21.0, "Next: serve tea."),             // S4 is not at hand
                (40.0, "Now pour milk and serve tea."), // S2 fits, S4 does not: no
                (58.0, "Splendid!"), // names none; the reference says as much: fits
                (80.0, "Splendid!"), // names none, and the reference is silent: no
                (90.0, " "),         // nothing said
            ],
        );
        let got = tally(&log, &reference, &Lexical).unwrap();
        assert_eq!(
            got,
            FitTally {
                fitting: 2,
                naming: 3,
                spoken: 5
            }
        );
        assert_eq!(got.share(), Some(0.4));
        assert_eq!(tally(&log, &sample(&[], 9.0, &[], &[]), &Lexical), None);
    }
}
