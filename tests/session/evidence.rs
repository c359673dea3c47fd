//! What the session tells the backbone of the steps beside each frame, where the model wants it.

use std::sync::Arc;

use proact::dialogue::layout::{Bytes, TextCodec};
use proact::dialogue::task::{StepState, Task, Transition};
use proact::session::{NoPerceiver, Session, SessionConfig};
use proact::stream::{Content, Event, Frame, Hand, Input};
use proact::units::{FrameIdx, MediaTime, StepId, Threshold};

use super::fake::{Fake, Scene, WIDTH};
use super::{Bench, FRAME_S, ROOMY, config, hand, tea};

fn wanted() -> SessionConfig {
    SessionConfig {
        step_evidence: true,
        ..config()
    }
}

fn script() -> Vec<Scene> {
    vec![
        Scene::new(&["S1->start"], ""),
        Scene::new(&["S1->complete", "S2->start"], ""),
        Scene::default(),
    ]
}

const OPEN: StepState = StepState::NotStarted;
const BEGUN: StepState = StepState::InProgress;
const DONE: StepState = StepState::Completed;

#[test]
fn each_frame_comes_with_the_states_before_its_own_updates() {
    let mut bench = Bench::new(Fake::new(ROOMY, script()), Some(tea()), wanted());
    bench.frames(0..2);
    bench.feed([hand(1.0, Hand::Mark(StepId(2), StepState::Completed))]);
    bench.frames(2..3);
    let told = bench.model.evidence.lock().unwrap().clone();
    assert_eq!(
        told,
        [
            (0, 4, vec![OPEN, OPEN, OPEN]),
            (1, 4, vec![BEGUN, OPEN, OPEN]),
            (2, 4, vec![DONE, BEGUN, DONE])
        ]
    );
}

#[test]
fn markers_come_with_the_states_reached_by_then() {
    let script = vec![
        Scene::new(&["S1->start"], ""),
        Scene::new(&["S1->complete", "S2->start"], "Pour."),
    ];
    let mut bench = Bench::new(Fake::new(ROOMY, script), Some(tea()), wanted());
    bench.frames(0..2);
    let special = Bytes.special();
    let [dst, eot, asst] = [special.dst.0, special.eot.0, special.asst.0];
    let expected = [
        (dst, 4, vec![OPEN, OPEN, OPEN]),
        (eot, 4, vec![BEGUN, OPEN, OPEN]),
        (dst, 4, vec![BEGUN, OPEN, OPEN]),
        (eot, 4, vec![DONE, OPEN, OPEN]),
        (dst, 4, vec![DONE, OPEN, OPEN]),
        (eot, 4, vec![DONE, BEGUN, OPEN]),
        (asst, 4, vec![DONE, BEGUN, OPEN]),
    ];
    assert_eq!(*bench.model.told.lock().unwrap(), expected);
}

#[test]
fn frames_seen_again_come_with_the_states_of_the_new_prompt_and_the_words_of_the_new_task() {
    let mut bench = Bench::new(Fake::new(ROOMY, script()), Some(tea()), wanted());
    bench.frames(0..3);
    bench.model.evidence.lock().unwrap().clear();
    let task = Task::parse("goal = \"Coffee\"\n[[step]]\nname = \"Grind\"\n").unwrap();
    bench.session.change_task(task, &mut bench.events).unwrap();
    bench.work().unwrap();
    let told = bench.model.evidence.lock().unwrap().clone();
    assert_eq!(
        told,
        [(0, 2, vec![OPEN]), (1, 2, vec![OPEN]), (2, 2, vec![OPEN])]
    );
}

#[test]
fn without_a_task_or_a_model_that_wants_it_there_is_none() {
    for (task, config) in [(None, wanted()), (Some(tea()), config())] {
        let mut bench = Bench::new(Fake::new(ROOMY, vec![Scene::default()]), task, config);
        bench.frames(0..1);
        assert_eq!(*bench.model.evidence.lock().unwrap(), [(0, 0, Vec::new())]);
        assert!(
            bench
                .model
                .told
                .lock()
                .unwrap()
                .iter()
                .all(|(_, cosines, states)| *cosines == 0 && states.is_empty())
        );
    }
}

/// Warnings of a session that begins the second step at the last of so many frames, all of which
/// look like the first.
fn warned_after(frames: u16, missing_seen_s_max: f64) -> usize {
    let task = Task::parse(
        "goal = \"Tea\"\n[[step]]\nname = \"Boil\"\n[[step]]\nname = \"Drink\"\nafter = [\"S1\"]\n",
    )
    .unwrap();
    let mut script = vec![Scene::default(); usize::from(frames)];
    script[usize::from(frames) - 1] = Scene::new(&["S2->start"], "");
    let mut bench = Bench::new(
        Fake::new(ROOMY, script),
        Some(task),
        SessionConfig {
            missing_seen_s_max,
            start_cosine_gap_max: f32::INFINITY,
            ..wanted()
        },
    );
    bench.feed((0..frames).map(|i| {
        let mut features = vec![f32::from(i); 2 * WIDTH];
        features["Boil".len() % WIDTH] = 1e3;
        let content = Content::Features(features.into());
        Input::Frame(Frame {
            idx: FrameIdx(u64::from(i)),
            at: MediaTime(f64::from(i) * FRAME_S),
            content,
        })
    }));
    bench
        .events
        .iter()
        .filter(|event| matches!(event, Event::Warning { .. }))
        .count()
}

#[test]
fn a_step_that_was_in_view_is_not_missing() {
    // The first frame has no length.
    assert_eq!(warned_after(4, 1.5), 1);
    assert_eq!(warned_after(5, 1.5), 0);
    assert_eq!(warned_after(5, f64::INFINITY), 1);
}

/// Steps that begin where the model wants one in the first frame and another, before its turn, in a
/// second of that cosine with it.
fn begun(cosine: f32, same_picture_cosine_min: f32) -> Vec<StepId> {
    let task = Task::parse(
        "goal = \"Tea\"\n[[step]]\nname = \"Boil\"\n[[step]]\nname = \"Drink\"\nafter = [\"S1\"]\n",
    )
    .unwrap();
    let script = vec![
        Scene::new(&["S1->start"], ""),
        Scene::new(&["S2->start"], ""),
    ];
    let config = SessionConfig {
        same_picture_cosine_min,
        ..config()
    };
    let mut bench = Bench::new(Fake::new(ROOMY, script), Some(task), config);
    bench.feed([1.0, cosine].into_iter().enumerate().map(|(i, cosine)| {
        // The first number is the frame's, for the script.
        let mut features = vec![0.0; 2 * WIDTH];
        features[0] = i as f32;
        (features[1], features[2]) = (1e6 * cosine, 1e6 * (1.0 - cosine * cosine).sqrt());
        let content = Content::Features(features.into());
        Input::Frame(Frame {
            idx: FrameIdx(i as u64),
            at: MediaTime(i as f64 * FRAME_S),
            content,
        })
    }));
    let refused = bench
        .events
        .iter()
        .filter(
            |event| matches!(event, Event::Rejected { why, .. } if why.contains("before its turn")),
        )
        .count();
    let starts: Vec<StepId> = bench
        .events
        .iter()
        .filter_map(|event| {
            if let Event::Transition { step, .. } = event {
                Some(*step)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(starts.len() + refused, 2);
    starts
}

#[test]
fn a_picture_that_began_a_step_begins_no_other_before_its_turn() {
    assert_eq!(begun(0.95, 0.9), [StepId(0)]);
    assert_eq!(begun(0.85, 0.9), [StepId(0), StepId(1)]);
    assert_eq!(begun(0.95, f32::INFINITY), [StepId(0), StepId(1)]);
}

/// Frames at which the second step begins, and at which that is refused: the model wants it in the
/// first and means it, with that probability of the gate, in those that follow; all look like the
/// first step, but the last like the second.
fn drunk(meant: &[f32], start_cosine_gap_max: f32) -> (Vec<u64>, usize) {
    let task =
        Task::parse("goal = \"Tea\"\n[[step]]\nname = \"Boil\"\n[[step]]\nname = \"Drink\"\n")
            .unwrap();
    let scene = |prob: f32| Scene {
        dst: vec![prob],
        ..Scene::new(&["S2->start"], "")
    };
    let script: Vec<Scene> = [0.9].iter().chain(meant).map(|prob| scene(*prob)).collect();
    let mut config = SessionConfig {
        start_cosine_gap_max,
        ..wanted()
    };
    config.gates.dst_update.threshold = Threshold(0.8);
    let mut bench = Bench::new(Fake::new(ROOMY, script), Some(task), config);
    bench.feed((0..=meant.len()).map(|i| {
        let mut features = vec![i as f32; 2 * WIDTH];
        let looks = if i > 0 && i == meant.len() {
            "Drink"
        } else {
            "Boil"
        };
        features[looks.len() % WIDTH] = 1e3;
        let content = Content::Features(features.into());
        Input::Frame(Frame {
            idx: FrameIdx(i as u64),
            at: MediaTime(i as f64 * FRAME_S),
            content,
        })
    }));
    let refused = bench
        .events
        .iter()
        .filter(
            |event| matches!(event, Event::Rejected { why, .. } if why.contains("looked like S2")),
        )
        .count();
    let begun = bench.events.iter().filter_map(|event| match event {
        Event::Transition {
            frame,
            step: StepId(1),
            transition: Transition::Start,
            ..
        } => Some(frame.0),
        _ => None,
    });
    (begun.collect(), refused)
}

#[test]
fn a_refused_update_leaves_no_trace_and_the_speak_gate_is_still_asked() {
    let task =
        Task::parse("goal = \"Tea\"\n[[step]]\nname = \"Boil\"\n[[step]]\nname = \"Drink\"\n")
            .unwrap();
    let scene = Scene {
        dst: vec![0.9],
        speak: Some(0.7),
        ..Scene::new(&["S2->start"], "Hm.")
    };
    let config = SessionConfig {
        start_cosine_gap_max: 0.2,
        ..wanted()
    };
    let mut bench = Bench::new(Fake::new(ROOMY, vec![scene]), Some(task), config);
    let mut features = vec![0.0; 2 * WIDTH];
    features["Boil".len() % WIDTH] = 1e3;
    bench.feed([Input::Frame(Frame {
        idx: FrameIdx(0),
        at: MediaTime(0.0),
        content: Content::Features(features.into()),
    })]);
    let told = bench.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains(r#""type":"rejected""#), "{told:?}");
    assert!(told[1].contains(r#""type":"utterance""#), "{told:?}");
    assert_eq!(bench.stream(), "<0.0><0.1>[ASST]Hm.<eot>");
}

#[test]
fn a_step_that_nothing_looks_like_begins_only_if_the_model_insists() {
    assert_eq!(drunk(&[], 0.2), (vec![], 1));
    assert_eq!(drunk(&[0.1; 9], f32::INFINITY), (vec![0], 0));
    assert_eq!(
        drunk(&[0.9, 0.9, 0.9], 0.2),
        (vec![3], 3),
        "the last looks like it"
    );
    // Unsure as it is, it means it for more than three seconds.
    assert_eq!(drunk(&[0.6; 9], 0.2), (vec![7], 1));
    assert_eq!(drunk(&[0.9; 9], 0.2), (vec![7], 7));
    assert_eq!(
        drunk(&[0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.1, 0.1, 0.1], 0.2),
        (vec![], 1)
    );
}

#[test]
fn a_session_that_cannot_read_words_is_refused() {
    let model = Arc::new(Fake::new(ROOMY, Vec::new()));
    let session: Result<Session<NoPerceiver, Fake>, _> =
        Session::new(None, model, Arc::new(Bytes), Some(tea()), wanted());
    assert!(
        session
            .err()
            .unwrap()
            .to_string()
            .contains("no vision model")
    );
}
