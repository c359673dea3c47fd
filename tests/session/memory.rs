//! A memory that fills up, under each policy; and one that is too small from the start.

use proptest::prelude::*;

use proact::dialogue::layout::{Bytes, Layout};
use proact::dialogue::task::TaskState;
use proact::error::Error;
use proact::session::SessionConfig;
use proact::stream::{ContextPolicyName, Event, Hand};
use proact::units::StepId;

use super::fake::{Fake, NO, Scene};
use super::{Bench, config, frame, hand, tea, user};

/// Room behind the prompt, in positions: the worst frame takes 52 (see `small`).
const ROOM: usize = 160;
/// Frames of a whole run.
const FRAMES: u64 = 150;

fn small(context: ContextPolicyName) -> SessionConfig {
    SessionConfig {
        context,
        frames_kept: 2,
        // 2 x 14 for `[DST]S1->complete<eot>`, and 22 for the sentence with its ends.
        updates_per_frame_max: 2,
        utterance_tokens_max: 20,
        user_tokens_max: 40,
        ..config()
    }
}

fn prompt_tokens() -> usize {
    let task = tea();
    Layout::new(&Bytes, 2)
        .prompt(Some(&task), &TaskState::new(&task))
        .unwrap()
        .len()
}

fn script() -> Vec<Scene> {
    let mut script = vec![Scene::default(); FRAMES as usize];
    script[1] = Scene::new(&["S1->start"], "Boil water.");
    script[20] = Scene::new(&["S1->complete", "S2->start"], "Now pour.");
    script
}

fn bench(context: ContextPolicyName) -> Bench {
    Bench::new(
        Fake::new(prompt_tokens() + ROOM, script()),
        Some(tea()),
        small(context),
    )
}

fn contexts(bench: &Bench) -> Vec<(usize, usize)> {
    let of = |e: &Event| match e {
        Event::Context {
            tokens_before,
            tokens_after,
            ..
        } => Some((*tokens_before, *tokens_after)),
        _ => None,
    };
    bench.events.iter().filter_map(of).collect()
}

#[test]
fn refresh_tells_goal_and_progress_anew_and_keeps_the_last_frames() {
    let mut bench = bench(ContextPolicyName::Refresh);
    bench.frames(0..FRAMES);
    let acts = contexts(&bench);
    assert!(acts.len() >= 2, "{acts:?}");
    for (before, after) in acts {
        assert!(
            before + 52 > prompt_tokens() + ROOM - 1,
            "acted too early, at {before}"
        );
        assert!(after < before);
    }
    let tape = bench.tape();
    let last = tape.rsplit("\n<rewind to 0>").next().unwrap();
    assert!(
        last.contains("Goal: Make tea")
            && last.contains("S1 [completed] Boil water\nS2 [in_progress] Pour it"),
        "{last}"
    );
    let (_, stream) = last.split_once("<eot>").unwrap();
    let kept: usize = stream[1..].split_once('.').unwrap().0.parse().unwrap();
    let expected: String = (kept..FRAMES as usize)
        .map(|i| format!("<{i}.0><{i}.1>"))
        .collect();
    assert_eq!(stream, expected);
    let cut = bench.events.windows(2).rev().find_map(|pair| match pair {
        [Event::Context { .. }, Event::Frame { frame, .. }] => Some(frame.0 as usize),
        _ => None,
    });
    assert_eq!(cut, Some(kept + 2), "two frames are seen again");
    assert_eq!(
        bench
            .events
            .iter()
            .filter(|e| matches!(e, Event::Frame { .. }))
            .count(),
        FRAMES as usize,
        "no frame is lost"
    );
}

#[test]
fn drop_all_keeps_goal_and_progress_and_no_frame() {
    let mut bench = bench(ContextPolicyName::DropAll);
    bench.frames(0..FRAMES);
    let tape = bench.tape();
    let last = tape.rsplit("\n<rewind to 0>").next().unwrap();
    assert!(
        last.contains("Goal: Make tea") && last.contains("S1 [completed] Boil water"),
        "{last}"
    );
    for (_, after) in contexts(&bench) {
        assert!(
            after.abs_diff(prompt_tokens()) < 8,
            "only the prompt is left: {after}"
        );
    }
}

#[test]
fn what_the_model_says_of_its_memory_stands_in_the_new_prompt() {
    let guide = "Completed: Boil water. In progress: Pour it. Next: Drink. ";
    for (context, guide) in [
        (ContextPolicyName::SummarizeAndDrop, ""),
        (ContextPolicyName::SummarizeWithDst, guide),
    ] {
        let mut script = script();
        script[30..].fill(Scene {
            speak: Some(NO),
            ..Scene::new(&[], "It boils.")
        });
        let config = SessionConfig {
            summary_tokens_max: 24,
            ..small(context)
        };
        let mut bench = Bench::new(
            Fake::new(prompt_tokens() + 400, script),
            Some(tea()),
            config,
        );
        bench.frames(0..FRAMES);
        let summaries: Vec<&str> = bench
            .events
            .iter()
            .filter_map(|e| match e {
                Event::Context { summary, .. } => summary.as_deref(),
                _ => None,
            })
            .collect();
        assert!(
            !summaries.is_empty() && summaries.iter().all(|text| *text == "It boils."),
            "{summaries:?}"
        );
        let tape = bench.tape();
        // Asked at the last frame once more, answered, forgotten; the answer stands behind goal and
        // states.
        let (before, last) = tape.rsplit_once("\n<rewind to 0>").unwrap();
        let asked = format!("{{system}}{guide}Please summarize the progress.<eot>");
        let (_, answer) = before
            .rsplit_once(&asked)
            .unwrap_or_else(|| panic!("{before}"));
        assert!(
            answer.ends_with("[ASST]It boils.<eot>") && answer.starts_with('<'),
            "{answer}"
        );
        assert!(
            last.contains("S1 [completed] Boil water\nS2 [in_progress] Pour it"),
            "{last}"
        );
        assert!(
            last.contains("<eot>{system}Progress: It boils.<eot><"),
            "{last}"
        );
        assert_eq!(
            bench
                .events
                .iter()
                .filter(|e| matches!(e, Event::Frame { .. }))
                .count(),
            FRAMES as usize,
            "no frame is lost"
        );
    }
    let without = Bench::open(
        Fake::new(4096, vec![]),
        None,
        small(ContextPolicyName::SummarizeWithDst),
    );
    assert!(
        without
            .err()
            .unwrap()
            .to_string()
            .contains("no task with steps")
    );
}

#[test]
fn drop_middle_keeps_the_prompt_and_cuts_where_a_frame_begins() {
    let mut bench = bench(ContextPolicyName::DropMiddle);
    bench.frames(0..FRAMES);
    assert!(contexts(&bench).len() >= 2);
    assert!(!bench.tape().contains("<rewind"));
    let text = Bytes.render(&bench.stream.lock().unwrap());
    assert!(
        text.contains("S1 [not_started] Boil water"),
        "the first prompt stands: {text}"
    );
    let stream = bench.stream();
    let note = "{user}S1 is completed. S2 is in_progress.<eot>";
    assert!(
        stream.contains(note),
        "what the dropped updates said is told again: {stream}"
    );
    let first: usize = stream[stream.find('<').unwrap() + 1..]
        .split('.')
        .next()
        .unwrap()
        .parse()
        .unwrap_or(usize::MAX);
    assert!(
        stream.starts_with("{user}") || stream.starts_with(&format!("<{first}.0><{first}.1>")),
        "{stream}"
    );
    for (before, after) in contexts(&bench) {
        assert!(after <= prompt_tokens() + ROOM / 2 && before > after);
    }
}

#[test]
fn none_stops_with_an_error_that_says_what_is_needed_and_the_log_still_ends() {
    let mut bench = bench(ContextPolicyName::None);
    let mut why = None;
    for i in 0..FRAMES {
        bench.session.feed(frame(i)).unwrap();
        if let Err(error) = bench.work() {
            why = Some(error);
            break;
        }
    }
    let Some(Error::MemoryFull {
        tokens,
        needed,
        capacity,
    }) = why
    else {
        panic!("{why:?}")
    };
    assert_eq!((needed, capacity), (52, prompt_tokens() + ROOM));
    assert_eq!(
        tokens + needed,
        capacity + 2,
        "the first frame too many, of 2 positions"
    );
    assert!(bench.session.advance(&mut bench.events).is_err());
    assert!(bench.session.feed(frame(FRAMES)).is_err());
    bench.finish();
    assert!(matches!(bench.events.last(), Some(Event::End { .. })));
}

#[test]
fn a_hand_on_the_state_is_told_by_the_new_prompt_instead_of_a_note() {
    let mut bench = bench(ContextPolicyName::Refresh);
    let mut i = 0;
    // Up to the frame before the policy acts.
    while bench.session.status().memory_tokens + 52 <= bench.session.status().memory_capacity
        || i == 0
    {
        bench.frames(i..i + 1);
        i += 1;
    }
    assert!(contexts(&bench).is_empty());
    bench.feed([
        user(i as f64, "Done!"),
        hand(i as f64, Hand::Jump(StepId(2))),
    ]);
    bench.feed([super::frame_at(i, i as f64)]);
    let text = Bytes.render(&bench.stream.lock().unwrap());
    assert!(
        text.contains("S2 [completed] Pour it\nS3 [in_progress] Drink"),
        "{text}"
    );
    assert!(!text.contains("S2 is"), "no note is needed: {text}");
    assert!(
        text.ends_with(&format!("{{user}}Done!<eot><{i}.0><{i}.1>")),
        "{text}"
    );
}

#[test]
fn the_room_in_front_of_the_worst_frame_is_exactly_enough() {
    // Every frame does all it can: two updates and the longest sentence.
    let longest = "abcdefghijklmnopqrst";
    let mut script = vec![Scene::new(&[], longest); 40];
    script[3] = Scene::new(&["S1->start", "S1->complete"], longest);
    script[4] = Scene::new(&["S2->start", "S2->complete"], longest);
    let words = "w".repeat(40 - "{user}<eot>".len() + 4);
    for context in [
        ContextPolicyName::Refresh,
        ContextPolicyName::DropAll,
        ContextPolicyName::DropMiddle,
    ] {
        let mut bench = Bench::new(
            Fake::new(prompt_tokens() + ROOM, script.clone()),
            Some(tea()),
            small(context),
        );
        for i in 0..40 {
            bench.feed([user(i as f64, &words), super::frame_at(i, i as f64)]);
        }
        assert!(contexts(&bench).len() > 2);
    }
}

#[test]
fn a_memory_too_small_for_one_frame_is_refused_with_the_sum() {
    let needed = prompt_tokens() + 4 + 40 + 52;
    let open = |capacity| {
        Bench::open(
            Fake::new(capacity, vec![]),
            Some(tea()),
            small(ContextPolicyName::Refresh),
        )
        .map(|_| ())
    };
    // States' words differ in length; the longest prompt counts.
    open(needed + 8).unwrap();
    let why = open(needed - 1).unwrap_err().to_string();
    assert!(
        why.contains("frames_kept") && why.contains("prompt"),
        "{why}"
    );
}

fn any_scene() -> impl Strategy<Value = Scene> {
    let gates = (
        proptest::collection::vec(0.0f32..1.0, 0..4),
        proptest::option::of(0.0f32..1.0),
    );
    let updates = proptest::collection::vec(0usize..6, 0..3);
    (gates, updates, "[a-c ]{0,25}").prop_map(|((dst, speak), updates, sentence)| {
        let names = [
            "S1->start",
            "S1->complete",
            "S2->start",
            "S2->complete",
            "S3->start",
            "S3->complete",
        ];
        let updates: Vec<&str> = updates.into_iter().map(|i| names[i]).collect();
        Scene {
            dst,
            speak,
            ..Scene::new(&updates, &sentence)
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever the model does and however small its memory: no frame is lost, no update is applied
    /// that the state did not allow, and memory is never overrun.
    #[test]
    fn any_model_in_any_memory_comes_to_the_end(
        script in proptest::collection::vec(any_scene(), 1..40),
        policy in proptest::sample::select(vec![
            ContextPolicyName::Refresh, ContextPolicyName::DropAll, ContextPolicyName::DropMiddle,
        ]),
        extra in 0usize..120,
        talk in proptest::collection::vec(proptest::bool::ANY, 40),
    ) {
        let frames = script.len() as u64;
        let config = small(policy);
        let model = |capacity| Fake::new(capacity, script.clone());
        let least = (0..).map(|n| prompt_tokens() + n).find(|c| Bench::open(model(*c), Some(tea()), config.clone()).is_ok());
        let capacity = least.unwrap() + extra;
        let mut bench = Bench::new(model(capacity), Some(tea()), config);
        for i in 0..frames {
            if talk[i as usize] {
                bench.feed([user(i as f64, "What is next, please?"), hand(i as f64, Hand::Undo)]);
            }
            bench.feed([super::frame_at(i, i as f64)]);
            prop_assert!(bench.session.status().memory_tokens <= capacity);
        }
        bench.finish();
        prop_assert_eq!(bench.events.iter().filter(|e| matches!(e, Event::Frame { .. })).count() as u64, frames);
        let mut state = TaskState::new(&tea());
        for event in &bench.events {
            match event {
                Event::Transition { step, transition, .. } => {
                    let update = proact::dialogue::task::Update { step: *step, transition: *transition };
                    prop_assert!(state.apply(update).is_ok());
                }
                Event::Mark { step, state: to, .. } => {
                    state.set(*step, *to);
                }
                _ => {}
            }
        }
        prop_assert_eq!(state.iter().collect::<Vec<_>>(), bench.session.status().steps);
        prop_assert_eq!(bench.session.status().memory_tokens, bench.stream.lock().unwrap().len());
    }
}
