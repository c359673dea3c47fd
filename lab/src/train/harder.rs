//! Recordings made harder to follow: words that fit their pictures less, steps in another order.

use std::sync::Arc;

use crate::train::examples::Source;
use proact::dialogue::annotation::TurnKind;
use proact::dialogue::task::TaskState;
use proact::rng::Rng;
use proact::units::StepId;

/// Steps whose words have this cosine or more with each other look about the same.
const ALIKE: f32 = 0.75;
/// Least and most share of their cosines that faint words keep. With less a step would look like
/// what a person does besides the task: that fits no words either, and the model is to pass it
/// over.
const FAINT: (f32, f32) = (0.35, 0.85);

/// The recording with the cosines of some steps' words made smaller, each step's by one factor
/// within [`FAINT`]; none where nothing is to be done.
pub fn faint(source: &Source, share: f32, draw: &mut Rng) -> Option<Source> {
    if share <= 0.0 || source.cosines.is_empty() {
        return None;
    }
    let factor = |draw: &mut Rng| {
        if draw.unit() < share {
            FAINT.0 + (FAINT.1 - FAINT.0) * draw.unit()
        } else {
            1.0
        }
    };
    let factors: Vec<f32> = source
        .task
        .steps
        .iter()
        .map(|_| factor(draw))
        .chain([1.0])
        .collect();
    let cosines = source.cosines.chunks_exact(factors.len()).flat_map(|row| {
        row.iter()
            .zip(&factors)
            .map(|(cosine, factor)| cosine * factor)
    });
    Some(Source {
        cosines: cosines.collect(),
        ..source.clone()
    })
}

/// Puts steps whose words are alike back into the order that they had among themselves: nothing
/// else tells them apart. `likeness` is `[S*S]` or empty.
fn keep_alike_in_order(order: &mut [usize], likeness: &[f32]) {
    let steps = order.len();
    let alike = |a: usize, b: usize| {
        likeness
            .get(a * steps + b)
            .is_some_and(|cosine| *cosine >= ALIKE)
    };
    for place in 1..steps {
        // Alike need not be transitive: of those behind, the first in the list comes first.
        for before in 0..place {
            if order[before] > order[place] && alike(order[before], order[place]) {
                order.swap(before, place);
            }
        }
    }
}

/// The recording with its steps in a random order, and nothing said by the assistant.
pub fn shuffled(source: &Source, draw: &mut Rng) -> Source {
    let mut order: Vec<usize> = (0..source.task.steps.len()).collect();
    draw.shuffle(&mut order);
    keep_alike_in_order(&mut order, &source.likeness);
    let mut place = vec![StepId(0); order.len()];
    for (new, old) in order.iter().enumerate() {
        place[*old] = StepId(new as u16);
    }
    let moved = |step: StepId| place.get(usize::from(step.0)).copied().unwrap_or(step);
    let mut task = source.task.clone();
    task.steps = order
        .iter()
        .map(|old| source.task.steps[*old].clone())
        .collect();
    for step in &mut task.steps {
        step.after
            .iter_mut()
            .for_each(|before| *before = moved(*before));
    }
    let mut recording = source.recording.clone();
    recording
        .turns
        .retain(|turn| !matches!(turn.kind, TurnKind::Assistant { .. }));
    for turn in &mut recording.turns {
        if let TurnKind::Dst(updates) = &mut turn.kind {
            updates
                .iter_mut()
                .for_each(|update| update.step = moved(update.step));
        }
    }
    // None for a model that does without.
    let pairs = order.iter().flat_map(|a| order.iter().map(|b| (*a, *b)));
    let likeness = pairs
        .filter_map(|(a, b)| source.likeness.get(a * order.len() + b).copied())
        .collect();
    let columns: Vec<usize> = order.iter().copied().chain([order.len()]).collect();
    let rows = source.cosines.chunks_exact(columns.len());
    let mut start = TaskState::new(&task);
    for (step, state) in source.start.iter() {
        start.set(moved(step), state);
    }
    Source {
        recording,
        task,
        start,
        frames: source.frames.clone(),
        features: Arc::clone(&source.features),
        frame_width: source.frame_width,
        cosines: rows
            .flat_map(|row| columns.iter().map(|old| row[*old]))
            .collect(),
        likeness,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proact::dialogue::annotation::Recording;
    use proact::dialogue::task::Task;
    use proact::units::MediaTime;

    /// A recording of a task of which nothing is known.
    fn bare(task: &str) -> Source {
        let task = Task::parse(task).unwrap();
        Source {
            recording: Recording::default(),
            start: TaskState::new(&task),
            task,
            frames: Vec::new(),
            features: Arc::default(),
            frame_width: 0,
            cosines: Arc::default(),
            likeness: Arc::default(),
        }
    }

    #[test]
    fn what_is_known_of_steps_goes_with_them_when_they_are_shuffled() {
        // Step k's column of the only frame holds k, the pair (a, b) holds (10 a + b) / 100: none
        // are alike.
        let source = Source {
            frames: vec![MediaTime(0.0)],
            cosines: [0.0, 1.0, 2.0, 9.0].into(),
            likeness: [0.0, 1.0, 2.0, 10.0, 11.0, 12.0, 20.0, 21.0, 22.0]
                .map(|pair: f32| pair / 100.0)
                .into(),
            ..bare(
                "goal = \"t\"\n[[step]]\nname = \"0\"\n[[step]]\nname = \"1\"\n[[step]]\nname = \"2\"\n",
            )
        };
        let mut moved = 0;
        for seed in 0..20 {
            let made = shuffled(&source, &mut Rng::of(&[seed]));
            let names: Vec<f32> = made
                .task
                .steps
                .iter()
                .map(|s| s.name.parse().unwrap())
                .collect();
            assert_eq!(made.cosines[..], [names.as_slice(), &[9.0]].concat());
            let pairs: Vec<f32> = names
                .iter()
                .flat_map(|a| names.iter().map(move |b| (10.0 * a + b) / 100.0))
                .collect();
            assert_eq!(made.likeness[..], pairs);
            moved += usize::from(names != [0.0, 1.0, 2.0]);
        }
        assert!(moved > 10, "{moved}");
        let without = Source {
            cosines: Arc::default(),
            likeness: Arc::default(),
            ..source
        };
        assert!(shuffled(&without, &mut Rng::of(&[1])).likeness.is_empty());
    }

    #[test]
    fn faint_words_fit_all_pictures_less_and_the_rest_as_before() {
        let source = Source {
            frames: vec![MediaTime(0.0), MediaTime(0.5)],
            cosines: [0.5, -0.2, 0.1, 0.25, -0.4, 0.3].into(),
            likeness: [1.0; 4].into(),
            ..bare("goal = \"t\"\n[[step]]\nname = \"0\"\n[[step]]\nname = \"1\"\n")
        };
        let mut draw = Rng::of(&[1]);
        assert!(faint(&source, 0.0, &mut draw).is_none());
        let (mut faints, n) = (0, 400);
        for _ in 0..n {
            let made = faint(&source, 0.25, &mut draw).unwrap().cosines;
            assert_eq!(
                [made[2], made[5]],
                [0.1, 0.3],
                "the words for no step are known"
            );
            for step in [0, 1] {
                let (first, second) = (
                    made[step] / source.cosines[step],
                    made[3 + step] / source.cosines[3 + step],
                );
                assert!((first - second).abs() < 1e-6, "one factor a step");
                assert!(
                    (FAINT.0..FAINT.1).contains(&first) || first == 1.0,
                    "{first}"
                );
                faints += usize::from(first < 1.0);
            }
        }
        assert!(
            (2 * n / 5..2 * n * 3 / 10).contains(&faints),
            "{faints} of {}",
            2 * n
        );
        let without = Source {
            cosines: Arc::default(),
            ..source
        };
        assert!(faint(&without, 1.0, &mut draw).is_none());
    }

    #[test]
    fn steps_that_look_the_same_keep_their_order_when_others_are_shuffled() {
        // 0, 2 and 4 are alike, 1 and 3 too.
        let likeness: Vec<f32> = (0..25)
            .map(|at| {
                if (at / 5 + at % 5) % 2 == 0 {
                    ALIKE
                } else {
                    ALIKE - 0.01
                }
            })
            .collect();
        let mut mixed = 0;
        for seed in 0..20 {
            let mut order = [0, 1, 2, 3, 4];
            Rng::of(&[seed]).shuffle(&mut order);
            keep_alike_in_order(&mut order, &likeness);
            let of = |rest: usize| {
                order
                    .iter()
                    .filter(|step| *step % 2 == rest)
                    .copied()
                    .collect::<Vec<_>>()
            };
            assert_eq!((of(0), of(1)), (vec![0, 2, 4], vec![1, 3]), "{order:?}");
            mixed += usize::from(order != [0, 1, 2, 3, 4]);
        }
        assert!(mixed > 10, "{mixed}");
        let mut order = [2, 0, 1];
        keep_alike_in_order(&mut order, &[]);
        assert_eq!(
            order,
            [2, 0, 1],
            "a model without evidence knows of no words that are alike"
        );
    }
}
