//! The benchmark: which recordings are learnt from, which find thresholds, and the parts that a
//! model is tested on.
//!
//! No test person or test recipe appears in a training part: the part `person` has a new person and
//! known recipes, the part `recipe` has new recipes and known people.

use super::conditions::Condition;
use super::invent::invent;
use super::timeline::Timeline;
use proact::error::{Error, Result};
use proact::rng::Rng;

/// Raised whenever the same recordings make another suite.
pub const SUITE_VERSION: u32 = 4;
/// The person (of CaptainCook4D) of the test recordings.
const TEST_PERSON: u64 = 8;
/// The person of the validation recordings, which thresholds are found on.
const VALIDATION_PERSON: u64 = 2;
/// Recipes that only test recordings have.
const TEST_RECIPES: [&str; 3] = ["Caprese Bruschetta", "Scrambled Eggs", "Pan Fried Tofu"];
/// Invented recordings to learn from, and further ones to find thresholds.
const INVENTED: usize = 1200;
const INVENTED_VALIDATION: usize = 16;
/// Share of further renderings with each of the conditions.
const CONDITION_SHARE: f32 = 0.2;
/// Kitchens of the part `environment` have numbers from here on.
const KITCHENS_FROM: u64 = 700_000;
/// All parts are played so many times faster than recorded, but for two.
const SPEED: f64 = 4.0;
/// Recordings of the part that is played as recorded.
const LONG: usize = 4;

/// A folder of the suite.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its folder below the suite's.
    pub folder: String,
    /// What it is for, in a few words.
    pub about: &'static str,
    /// Its recordings.
    pub timelines: Vec<Timeline>,
    /// Times of the recordings are divided by this.
    pub speed: f64,
    /// Seed of all chance.
    pub seed: u64,
}

/// The parts of the suite, made of CaptainCook4D's recordings.
///
/// # Errors
/// A part would be empty: these are not CaptainCook4D's recordings, or not all.
pub fn parts(recordings: &[Timeline]) -> Result<Vec<Part>> {
    let unseen = |t: &Timeline| TEST_RECIPES.contains(&t.task.goal.as_str());
    let of = |person: u64| {
        recordings
            .iter()
            .filter(move |t| t.person == person && !unseen(t))
            .cloned()
            .collect::<Vec<_>>()
    };
    let others =
        |t: &&Timeline| t.person != TEST_PERSON && t.person != VALIDATION_PERSON && !unseen(t);
    let learnt: Vec<Timeline> = recordings.iter().filter(others).cloned().collect();
    let tested = of(TEST_PERSON);
    let mut validation = of(VALIDATION_PERSON);
    if !validation.is_empty() {
        validation.extend(invent(
            &learnt,
            INVENTED + 1..=INVENTED + INVENTED_VALIDATION,
            0,
        ));
    }
    let test = |name: &str, about, timelines| Part {
        folder: format!("test/{name}"),
        about,
        timelines,
        speed: SPEED,
        seed: 0,
    };
    let hard = |condition: Condition, about| {
        let with = |t: &Timeline| Timeline {
            conditions: vec![condition],
            ..t.clone()
        };
        test(condition.name(), about, tested.iter().map(with).collect())
    };
    let wrong = |t: &Timeline| {
        t.doings
            .iter()
            .any(|d| d.mistake.is_some() || d.span.is_none())
            || out_of_order(t)
    };
    let elsewhere = |t: &Timeline| Timeline {
        environment: KITCHENS_FROM + t.environment,
        ..t.clone()
    };
    let parts = vec![
        Part {
            folder: "train".into(),
            about: "to learn from",
            timelines: with_further(&learnt),
            speed: SPEED,
            seed: 0,
        },
        Part {
            folder: "validation".into(),
            about: "to find thresholds",
            timelines: validation,
            speed: SPEED,
            seed: 0,
        },
        test("person", "an unseen person", tested.clone()),
        test(
            "environment",
            "in unseen kitchens",
            tested.iter().map(elsewhere).collect(),
        ),
        test(
            "recipe",
            "unseen recipes",
            recordings.iter().filter(|t| unseen(t)).cloned().collect(),
        ),
        // Drawn anew: these are not the videos of `person` again.
        Part {
            seed: 1,
            ..test(
                "errors",
                "with mistakes, steps left out or out of order",
                tested.iter().filter(|t| wrong(t)).cloned().collect(),
            )
        },
        Part {
            speed: 2.0 * SPEED,
            ..test("fast", "twice as fast", tested.clone())
        },
        hard(Condition::LowLight, "in low light"),
        hard(Condition::Dropouts, "the camera hangs"),
        hard(Condition::LongIdle, "long breaks"),
        hard(Condition::Distractors, "other things are done"),
        Part {
            speed: 1.0,
            ..test(
                "long",
                "as slow as recorded",
                tested.iter().take(LONG).cloned().collect(),
            )
        },
    ];
    match parts.iter().find(|part| part.timelines.is_empty()) {
        None => Ok(parts),
        Some(part) => Err(Error::Invalid(format!(
            "suite: no recording for `{}`; expected all of CaptainCook4D's recordings",
            part.folder
        ))),
    }
}

/// Each recording, then each again with other people, kitchens and conditions, then invented ones.
fn with_further(learnt: &[Timeline]) -> Vec<Timeline> {
    let mut all = learnt.to_vec();
    for timeline in learnt {
        let mut further = timeline.again(1);
        let mut rng = Rng::new(0, &further.id);
        further.conditions = Condition::ALL
            .into_iter()
            .filter(|_| rng.unit() < CONDITION_SHARE)
            .collect();
        all.push(further);
    }
    all.extend(invent(learnt, 1..=INVENTED, 0));
    all
}

/// Whether a step begins before one that it needs has ended.
fn out_of_order(timeline: &Timeline) -> bool {
    let span = |place: usize| timeline.doings.get(place).and_then(|d| d.span);
    timeline.task.iter().any(|(id, step)| {
        let Some(start_s) = span(usize::from(id.0)).map(|s| s.start_s) else {
            return false;
        };
        step.after
            .iter()
            .filter_map(|b| span(usize::from(b.0)))
            .any(|before| before.end_s > start_s)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::episode::tests::TEA;
    use super::*;

    fn recordings() -> Vec<Timeline> {
        let mut all = Vec::new();
        for person in [1, 2, 3, 8] {
            for recipe in ["Mint Tea", "Salad", TEST_RECIPES[0]] {
                let text = TEA
                    .replace("Mint Tea", recipe)
                    .replace("person = 3", &format!("person = {person}"));
                all.push(Timeline::parse(&format!("{person}_{}", all.len()), &text).unwrap());
            }
        }
        all
    }

    #[test]
    fn who_and_what_is_tested_on_is_never_learnt_from() {
        let parts = parts(&recordings()).unwrap();
        let of = |folder: &str| &parts.iter().find(|p| p.folder == folder).unwrap().timelines;
        for learnt in of("train").iter().chain(of("validation")) {
            assert!(
                learnt.person != TEST_PERSON && !TEST_RECIPES.contains(&learnt.task.goal.as_str()),
                "{}",
                learnt.id
            );
        }
        assert!(of("train").iter().all(|t| t.person != VALIDATION_PERSON));
        assert_eq!(of("train").len(), 2 * 4 + INVENTED);
        assert!(
            of("test/recipe")
                .iter()
                .all(|t| TEST_RECIPES.contains(&t.task.goal.as_str()))
        );
        assert!(of("test/person").iter().all(|t| t.person == TEST_PERSON));
        let kitchens = |folder: &str| {
            of(folder)
                .iter()
                .map(|t| t.environment)
                .collect::<BTreeSet<u64>>()
        };
        assert!(kitchens("test/environment").is_disjoint(&kitchens("train")));
        for part in &parts {
            let ids: BTreeSet<&str> = part.timelines.iter().map(|t| t.id.as_str()).collect();
            assert_eq!(
                ids.len(),
                part.timelines.len(),
                "{}: ids are folders",
                part.folder
            );
        }
    }

    #[test]
    fn recordings_that_are_not_all_are_refused() {
        let some: Vec<Timeline> = recordings()
            .into_iter()
            .filter(|t| t.person != VALIDATION_PERSON)
            .collect();
        assert!(parts(&some).unwrap_err().to_string().contains("validation"));
    }
}
