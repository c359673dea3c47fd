//! Recipes that nobody has written: steps of given recipes with other things in them, and steps
//! made of words alone.
//!
//! A model that has seen twenty recipes learns the recipes; one that has seen hundreds has to read
//! the task file. Only for training: how long steps take and how they follow each other is drawn
//! from the given recordings, what goes wrong from the shares below.

use std::ops::RangeInclusive;

use super::conditions::Condition;
use super::lexicon;
use super::names::capital;
use super::sentence::{Kind, in_other_words, kind, sentence, tail, thing, with_tail};
use super::timeline::{Doing, STEP_MIN_S, Span, Timeline};
use super::words::{Look, look};
use proact::dialogue::annotation::INVENTED_DATASET;
use proact::dialogue::task::{Step, Task};
use proact::rng::Rng;
use proact::units::StepId;

/// Fewest and most steps of an invented recipe.
const STEPS: (usize, usize) = (6, 15);
/// Share of steps whose sentence is made of words alone; the others are given ones.
const WRITTEN_SHARE: f32 = 0.6;
/// Share of the given steps whose thing is exchanged.
const EXCHANGED_SHARE: f32 = 0.7;
/// Share of those that get a thing which has no look of its own in the lexicon.
const STRANGE_SHARE: f32 = 0.15;
/// Share of steps whose sentence ends as a given one does, " until mushrooms start to soften".
const ENDED_SHARE: f32 = 0.25;
/// Share of steps that need the step before them; of the others half need an earlier one.
const CHAINED_SHARE: f32 = 0.55;
/// Share of steps that are done before the one that stands before them in the list.
const EARLY_SHARE: f32 = 0.15;
/// Share of steps that are left out, and of those done that visibly go wrong.
const OMITTED_SHARE: f32 = 0.06;
const MISTAKE_SHARE: f32 = 0.2;
/// Share of recordings with each of the conditions.
const CONDITION_SHARE: f32 = 0.15;
/// People and kitchens of invented recordings have numbers from here on.
const STRANGERS_FROM: u64 = 500_000;
/// A step is at most this long, in seconds of the recording, and begins at most this long after the
/// one before it ends.
const STEP_MAX_S: f64 = 120.0;
const GAP_MAX_S: f64 = 60.0;
/// Times between steps are shortened by such a factor: what is to be learnt is what the words look
/// like.
const SHORTER: (f32, f32) = (0.2, 0.9);
/// Steps are so many times as long as a recorded one: all orders of length are as likely, so that
/// how long a step has been going on says nothing about when it ends.
const LENGTHS: (f64, f64) = (0.2, 3.0);
/// Share of steps that do again, in other words, what an earlier one does. They are done in the
/// order of the list, which is all that tells them apart.
const AGAIN_SHARE: f32 = 0.2;
/// Share of steps that begin while the one before is still going on, when such a part of it is
/// done. The given recordings have too few of them to learn from.
const OVERLAP_SHARE: f32 = 0.08;
const OVERLAP_FROM: (f32, f32) = (0.2, 0.9);
/// Other sentences of a step, at most.
const PARAPHRASES: usize = 3;
/// The first step begins at this time, in seconds.
const FIRST_AT_S: f64 = 5.0;

/// What a dish is called behind its main thing.
const DISHES: [&str; 12] = [
    "Salad",
    "Soup",
    "Bowl",
    "Stew",
    "Wrap",
    "Bake",
    "Curry",
    "Toast",
    "Plate",
    "Pie",
    "Skillet",
    "Breakfast",
];
/// What recordings are made of.
#[derive(Default)]
struct Pool {
    /// Names with how long they took, in seconds.
    steps: Vec<(String, f64)>,
    /// Times between the end of a step and the start of the next, in seconds; negative where steps
    /// overlap.
    gaps_s: Vec<f64>,
    /// Ends of names that say how, how long or what for.
    tails: Vec<String>,
}

impl Pool {
    fn of(given: &[Timeline]) -> Self {
        let mut pool = Self::default();
        for timeline in given {
            let done = timeline
                .task
                .steps
                .iter()
                .zip(&timeline.doings)
                .filter_map(|(step, doing)| Some((step, doing.span?)));
            let mut done: Vec<(&Step, Span)> = done.collect();
            done.sort_by(|a, b| a.1.start_s.total_cmp(&b.1.start_s));
            pool.gaps_s.extend(
                done.windows(2)
                    .map(|w| (w[1].1.start_s - w[0].1.end_s).min(GAP_MAX_S)),
            );
            pool.tails.extend(
                done.iter()
                    .filter_map(|(step, _)| Some(tail(&step.name)?.to_owned())),
            );
            pool.steps.extend(done.iter().map(|(step, span)| {
                (
                    step.name.clone(),
                    (span.end_s - span.start_s).min(STEP_MAX_S),
                )
            }));
        }
        pool.tails.sort_unstable();
        pool.tails.dedup();
        pool
    }
}

/// Timelines `invented_N` with these numbers, made of the given ones; none if those have no step
/// that was done.
pub fn invent(given: &[Timeline], numbers: RangeInclusive<usize>, seed: u64) -> Vec<Timeline> {
    let pool = Pool::of(given);
    if pool.steps.is_empty() {
        return Vec::new();
    }
    let made = |number| {
        let mut timeline = recipe(
            &pool,
            number,
            &mut Rng::new(seed, &format!("invented {number}")),
        );
        paraphrase(
            &mut timeline.task.steps,
            &pool.tails,
            &mut Rng::new(seed, &format!("paraphrases of {number}")),
        );
        timeline
    };
    numbers.map(made).collect()
}

/// Gives each step other sentences that look the same, none of which stands for another step of the
/// list.
fn paraphrase(steps: &mut [Step], tails: &[String], rng: &mut Rng) {
    let mut taken: Vec<String> = steps.iter().map(|step| step.name.clone()).collect();
    for step in steps {
        for _ in 0..PARAPHRASES {
            if let Some(other) =
                in_other_words(&step.name, tails, rng).filter(|other| !taken.contains(other))
            {
                taken.push(other.clone());
                step.paraphrases.push(other);
            }
        }
    }
}

/// Sentence, length in seconds and look of each step of a recipe.
fn listed(pool: &Pool, rng: &mut Rng) -> (Vec<String>, Vec<f64>, Vec<Look>) {
    let wanted = STEPS.0 + rng.remainder(STEPS.1 - STEPS.0 + 1);
    let (mut names, mut lengths_s, mut looks) =
        (Vec::<String>::new(), Vec::new(), Vec::<Look>::new());
    // A small pool may not have so many different steps.
    for _ in 0..wanted * 4 {
        let (name, length_s) = &pool.steps[rng.remainder(pool.steps.len())];
        let again = if rng.unit() < AGAIN_SHARE && !names.is_empty() {
            in_other_words(&names[rng.remainder(names.len())], &pool.tails, rng)
        } else {
            None
        };
        let is_again = again.is_some();
        let name = again.unwrap_or_else(|| {
            let name = match rng.unit() {
                written if written < WRITTEN_SHARE => sentence(rng),
                _ if rng.unit() < EXCHANGED_SHARE => exchange(name, rng),
                _ => name.clone(),
            };
            if rng.unit() < ENDED_SHARE {
                with_tail(&name, &pool.tails, rng)
            } else {
                name
            }
        });
        let shown = look(&name);
        let fits = if is_again {
            !names.contains(&name)
        } else {
            !looks.contains(&shown)
        };
        if names.len() < wanted && fits {
            looks.push(shown);
            names.push(name);
            lengths_s
                .push(length_s * LENGTHS.0 * (LENGTHS.1 / LENGTHS.0).powf(f64::from(rng.unit())));
        }
    }
    (names, lengths_s, looks)
}

fn recipe(pool: &Pool, number: usize, rng: &mut Rng) -> Timeline {
    let (names, lengths_s, looks) = listed(pool, rng);
    let id_of = |place: usize| StepId(place as u16);
    let mut steps: Vec<Step> = Vec::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        let chained = rng.unit() < CHAINED_SHARE;
        let other = rng.remainder(2) == 0;
        let after = match place {
            0 => Vec::new(),
            _ if chained => vec![id_of(place - 1)],
            _ if other => vec![id_of(rng.remainder(place))],
            _ => Vec::new(),
        };
        steps.push(Step::new(name.clone(), after));
    }
    let doings = doings(pool, &lengths_s, &looks, rng);
    let person = STRANGERS_FROM + number as u64;
    let conditions = Condition::ALL
        .into_iter()
        .filter(|_| rng.unit() < CONDITION_SHARE)
        .collect();
    Timeline {
        id: format!("invented_{number}"),
        dataset: INVENTED_DATASET.into(),
        task: Task {
            goal: goal(&names, rng),
            knowledge: None,
            steps,
        },
        doings,
        person,
        environment: person,
        // Other distractions than those of recordings that are tested on.
        rendering: 1,
        conditions,
    }
}

/// When each step is done: mostly in the order of the list.
fn doings(pool: &Pool, lengths_s: &[f64], looks: &[Look], rng: &mut Rng) -> Vec<Doing> {
    let mut order: Vec<usize> = (0..lengths_s.len()).collect();
    for place in 1..order.len() {
        if rng.unit() < EARLY_SHARE && looks[order[place - 1]] != looks[order[place]] {
            order.swap(place - 1, place);
        }
    }
    let comes_again = |step: usize| looks.iter().filter(|look| **look == looks[step]).count() > 1;
    let mut doings = vec![Doing::default(); lengths_s.len()];
    let (mut start_s, mut last_s) = (FIRST_AT_S, 0.0f64);
    for (nth, step) in order.into_iter().enumerate() {
        // The first is done in any case: there must be something to see.
        if nth > 0 && rng.unit() < OMITTED_SHARE && !comes_again(step) {
            continue;
        }
        let end_s = start_s + lengths_s[step].max(STEP_MIN_S);
        let mistake = (rng.unit() < MISTAKE_SHARE).then(|| "goes wrong".to_owned());
        doings[step] = Doing {
            span: Some(Span { start_s, end_s }),
            mistake,
        };
        last_s = last_s.max(end_s);
        let gap_s = if pool.gaps_s.is_empty() {
            0.0
        } else {
            pool.gaps_s[rng.remainder(pool.gaps_s.len())]
        };
        let gap_s = gap_s * f64::from(rng.range(SHORTER.0, SHORTER.1));
        let overlaps = rng.unit() < OVERLAP_SHARE;
        let part = f64::from(rng.range(OVERLAP_FROM.0, OVERLAP_FROM.1));
        let next_s = if overlaps {
            start_s + part * (end_s - start_s)
        } else {
            last_s + gap_s
        };
        start_s = next_s.max(start_s + STEP_MIN_S);
    }
    doings
}

/// The name with its first thing that has others of its kind exchanged for one of those.
fn exchange(name: &str, rng: &mut Rng) -> String {
    let lower = name.to_lowercase();
    let stands = |noun: &str| {
        let at = lower.find(noun)?;
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        let whole =
            edge(lower[..at].chars().next_back()) && edge(lower[at + noun.len()..].chars().next());
        // What stands first is the verb, and lower case may have moved the places of letters that
        // are not ASCII.
        (whole && at > 0 && name.is_ascii()).then_some(at)
    };
    let found = lexicon::things()
        .filter_map(|(noun, shape)| Some((stands(noun)?, noun, kind(noun, shape))));
    let longest = found
        .filter(|f| f.2 != Kind::Own)
        .min_by_key(|(at, noun, _)| (*at, std::cmp::Reverse(noun.len())));
    let Some((at, noun, kind_of)) = longest else {
        return name.to_owned();
    };
    let other = thing(kind_of, STRANGE_SHARE, rng);
    format!("{}{other}{}", &name[..at], &name[at + noun.len()..])
}

/// "Mushroom Stew", from what is handled.
fn goal(names: &[String], rng: &mut Rng) -> String {
    let words: Vec<String> = names.iter().map(|n| n.to_lowercase()).collect();
    let named: Vec<&str> = lexicon::things()
        .map(|t| t.0)
        .filter(|noun| words.iter().any(|w| w.contains(noun)))
        .collect();
    let main = if named.is_empty() {
        "Mystery"
    } else {
        rng.pick(&named)
    };
    let main: Vec<String> = main.split(' ').map(capital).collect();
    format!("{} {}", main.join(" "), rng.pick(&DISHES))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::episode::Episode;
    use super::super::episode::tests::TEA;
    use super::super::script::script;
    use super::*;

    fn given() -> Vec<Timeline> {
        let salad = TEA
            .replace("Mint Tea", "Salad")
            .replace("Boil the water", "Slice one tomato")
            .replace("Add sugar", "Add salt to the bowl");
        vec![
            Timeline::parse("tea", TEA).unwrap(),
            Timeline::parse("salad", &salad).unwrap(),
        ]
    }

    #[test]
    fn invented_timelines_are_sound_the_same_each_time_and_unlike_each_other() {
        let made = invent(&given(), 1..=30, 7);
        assert_eq!(made, invent(&given(), 1..=30, 7));
        assert_ne!(made, invent(&given(), 1..=30, 8));
        let ids: HashSet<&str> = made.iter().map(|t| t.id.as_str()).collect();
        assert_eq!(ids.len(), 30);
        let lists: HashSet<Vec<&str>> = made
            .iter()
            .map(|t| t.task.steps.iter().map(|s| s.name.as_str()).collect())
            .collect();
        assert!(lists.len() > 25, "{}", lists.len());
        for timeline in &made {
            timeline.check().unwrap();
            script(&Episode::new(timeline, 1, 4.0).unwrap()).unwrap();
        }
        assert_eq!(invent(&[], 1..=3, 7), []);
    }

    #[test]
    fn steps_that_look_the_same_are_done_in_the_order_of_the_list() {
        let mut pairs = 0;
        for timeline in invent(&given(), 1..=200, 7) {
            let looks: Vec<Look> = timeline.task.steps.iter().map(|s| look(&s.name)).collect();
            for (later, shown) in looks.iter().enumerate() {
                let Some(earlier) = looks[..later].iter().position(|other| other == shown) else {
                    continue;
                };
                let start_s = |step: usize| timeline.doings[step].span.unwrap().start_s;
                assert!(start_s(earlier) < start_s(later), "{}", timeline.id);
                assert_ne!(
                    timeline.task.steps[earlier].name,
                    timeline.task.steps[later].name
                );
                pairs += 1;
            }
        }
        assert!(pairs > 100, "{pairs}");
    }

    #[test]
    fn paraphrases_look_like_their_step_and_are_no_other_steps() {
        let mut all = 0;
        for timeline in invent(&given(), 1..=50, 7) {
            let mut seen: HashSet<&str> = timeline
                .task
                .steps
                .iter()
                .map(|s| s.name.as_str())
                .collect();
            for step in &timeline.task.steps {
                for other in &step.paraphrases {
                    assert_eq!(look(other), look(&step.name), "{} / {other}", step.name);
                    assert!(seen.insert(other), "{other}");
                    all += 1;
                }
            }
        }
        assert!(all > 500, "{all}");
    }

    #[test]
    fn some_steps_begin_while_another_goes_on() {
        // Recordings with no overlap of their own.
        let pool = Pool {
            gaps_s: vec![2.0],
            ..Pool::default()
        };
        let looks: Vec<Look> = [
            "Stir the soup",
            "Peel a potato",
            "Slice the ham",
            "Wash the mug",
        ]
        .map(look)
        .to_vec();
        let (mut within, mut steps) = (0, 0);
        for number in 0..500 {
            let doings = doings(&pool, &[20.0; 4], &looks, &mut Rng::new(number, "overlaps"));
            let spans: Vec<Span> = doings.iter().filter_map(|d| d.span).collect();
            steps += spans.len();
            within += spans
                .iter()
                .filter(|a| {
                    spans
                        .iter()
                        .any(|b| b.start_s < a.start_s && a.start_s < b.end_s)
                })
                .count();
        }
        let share = within as f32 / steps as f32;
        assert!((share - OVERLAP_SHARE).abs() < 0.03, "{share}");
    }

    #[test]
    fn things_are_exchanged_for_things_of_their_kind_and_verbs_are_left() {
        let mut rng = Rng::new(1, "x");
        let mut seen = HashSet::new();
        for _ in 0..200 {
            let name = exchange("Slice one tomato into slices", &mut rng);
            assert!(
                name.starts_with("Slice one ") && name.ends_with(" into slices"),
                "{name}"
            );
            seen.insert(name);
        }
        assert!(
            seen.len() > 20 && !seen.iter().any(|n| n.contains("salt")),
            "{seen:?}"
        );
        for kept in [
            "Boil the water",
            "Butter the pan",
            "Toast it",
            "Öl the pan with salt",
        ] {
            assert_eq!(exchange(kept, &mut rng), kept);
        }
    }
}
