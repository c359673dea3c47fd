//! Bad input is refused at the door; a bad model ends the session with an error, never with a wrong
//! answer.

use std::sync::Arc;

use proact::dialogue::task::StepState;
use proact::error::{Error, Result};
use proact::session::{NoPerceiver, Session, SessionConfig, Work};
use proact::stream::{Content, Event, Frame, Hand, Input, Picture, Sink};
use proact::units::{FrameIdx, MediaTime, StepId};

use super::fake::{Fake, FakeEyes, NAN_TOKEN, Scene};
use super::{Bench, ROOMY, config, frame, frame_at, hand, tea, user};
use proact::dialogue::layout::Bytes;

fn features(i: u64, values: Vec<f32>) -> Input {
    let content = Content::Features(values.into());
    Input::Frame(Frame {
        idx: FrameIdx(i),
        at: MediaTime(9.0),
        content,
    })
}

fn picture(i: u64, width: u32, height: u32, rgb: Vec<u8>) -> Input {
    let content = Content::Picture(Arc::new(Picture { width, height, rgb }));
    Input::Frame(Frame {
        idx: FrameIdx(i),
        at: MediaTime(9.0),
        content,
    })
}

#[test]
fn what_is_refused_at_the_door_leaves_the_session_as_it_was() {
    let mut bench = Bench::scripted(vec![]);
    bench.feed([frame_at(3, 2.0)]);
    let long = "w".repeat(300);
    let bad = [
        (frame_at(4, 1.5), "must not decrease"),
        (frame_at(4, f64::NAN), "finite"),
        (frame_at(4, f64::INFINITY), "finite"),
        (frame_at(3, 2.5), "numbers must increase"),
        (user(1.0, "hi"), "must not decrease"),
        (user(2.0, " \n"), "empty"),
        (user(2.0, &long), "user_tokens_max"),
        (hand(2.0, Hand::Jump(StepId(3))), "S4"),
        (
            hand(2.0, Hand::Mark(StepId(9), StepState::Completed)),
            "S10",
        ),
        (features(4, vec![0.0; 5]), "expected 6"),
        (features(4, vec![]), "expected 6"),
        (
            features(4, vec![0.0, 0.0, f32::NAN, 0.0, 0.0, 0.0]),
            "value 2",
        ),
        (picture(4, 2, 2, vec![0; 11]), "expected width x height x 3"),
        (picture(4, 0, 2, vec![]), "expected width x height x 3"),
        (
            picture(4, u32::MAX, u32::MAX, vec![0; 12]),
            "expected width x height x 3",
        ),
    ];
    for (input, word) in bad {
        let shown = format!("{input:?}");
        let why = bench.session.feed(input).unwrap_err().to_string();
        assert!(why.contains(word), "{shown}: {why}");
    }
    bench.feed([user(2.0, "still here"), frame_at(4, 2.0)]);
    assert_eq!(
        bench.stream(),
        "<3.0><3.1>{user}still here<eot><4.0><4.1>"
            .replace("<3.", "<0.")
            .replace("<4.", "<1.")
    );
}

#[test]
fn the_queue_has_a_bound_and_says_so() {
    let mut bench = Bench::new(
        Fake::new(ROOMY, vec![]),
        Some(tea()),
        SessionConfig {
            queue_inputs_max: 3,
            ..config()
        },
    );
    for i in 0..3 {
        bench.session.feed(frame(i)).unwrap();
    }
    assert_eq!(bench.session.room(), 0);
    assert!(
        bench
            .session
            .feed(frame(3))
            .unwrap_err()
            .to_string()
            .contains("3 inputs wait")
    );
    bench.work().unwrap();
    assert_eq!(bench.session.room(), 3);
    bench.session.feed(frame(3)).unwrap();
}

#[test]
fn words_of_the_person_are_bounded_per_frame_not_per_session() {
    let mut bench = Bench::scripted(vec![]);
    let long = "w".repeat(200);
    bench.feed([user(0.0, &long)]);
    assert!(bench.session.feed(user(0.0, &long)).is_err());
    bench.feed([frame(0), user(0.0, &long), frame(1), user(1.0, &long)]);
}

#[test]
fn pictures_go_through_the_encoder() {
    let mut bench = Bench::scripted(vec![Scene::default(), Scene::new(&[], "Hi.")]);
    bench.session.feed(picture(1, 1, 1, vec![1, 0, 0])).unwrap();
    let mut kinds = Vec::new();
    while let proact::session::Flow::Working(work) =
        bench.session.advance(&mut bench.events).unwrap()
    {
        kinds.push(work);
    }
    kinds.retain(|k| *k != Work::Prefill && *k != Work::Speech);
    assert_eq!(kinds, [Work::Encode, Work::Frame]);
    assert_eq!(bench.told().len(), 1, "the model saw frame 1 and speaks");
    bench
        .session
        .feed(picture(2, 1, 1, vec![u8::MAX, 0, 0]))
        .unwrap();
    assert!(
        bench.work().unwrap_err().to_string().contains("finite"),
        "the encoder gave NaN"
    );
}

#[test]
fn a_session_of_features_needs_no_eyes_and_takes_no_picture() {
    let model = Arc::new(Fake::new(ROOMY, vec![]));
    let mut session: Session<NoPerceiver, Fake> =
        Session::new(None, model, Arc::new(Bytes), None, config()).unwrap();
    let mut events: Vec<Event> = Vec::new();
    assert!(
        session
            .feed(picture(0, 1, 1, vec![0; 3]))
            .unwrap_err()
            .to_string()
            .contains("no vision model")
    );
    assert!(
        session
            .feed(features(0, vec![0.0; 7]))
            .unwrap_err()
            .to_string()
            .contains("multiple of 2")
    );
    session.feed(features(0, vec![0.0; 6])).unwrap();
    assert!(
        session.feed(features(1, vec![0.0; 8])).is_err(),
        "the first frame sets the width"
    );
    assert!(
        session.feed(hand(9.0, Hand::Undo)).is_err(),
        "there is no task"
    );
    session.finish(&mut events).unwrap();
    assert_eq!(events.len(), 3);
}

#[test]
fn a_perceiver_of_another_shape_is_refused() {
    let model = Arc::new(Fake::new(ROOMY, vec![]));
    let other = SessionConfig {
        tokens_per_frame: 1,
        ..config()
    };
    let session = Session::new(
        Some(Arc::new(FakeEyes)),
        model,
        Arc::new(Bytes),
        None,
        other,
    );
    assert!(
        session
            .err()
            .unwrap()
            .to_string()
            .contains("2 tokens a frame")
    );
}

#[test]
fn a_model_that_gives_no_numbers_ends_the_session() {
    let nan_gate = Scene {
        speak: Some(f32::NAN),
        ..Scene::default()
    };
    let nan_update = Scene {
        dst: vec![0.9, f32::NAN],
        ..Scene::new(&["S1->start"], "")
    };
    let nan_text = Scene {
        sentence: vec![NAN_TOKEN],
        ..Scene::default()
    };
    for scene in [nan_gate, nan_update, nan_text] {
        let mut bench = Bench::scripted(vec![scene.clone()]);
        bench.session.feed(frame(0)).unwrap();
        let error = bench.work().unwrap_err();
        assert!(matches!(error, Error::Model(_)), "{scene:?}: {error}");
        assert!(bench.work().is_err());
        bench.finish();
        assert!(matches!(
            bench.events.last(),
            Some(Event::End { frames: 0, .. })
        ));
    }
}

/// Takes a number of events, then is full.
struct Full(usize);

impl Sink for Full {
    fn emit(&mut self, _: &Event) -> Result<()> {
        self.0 = self
            .0
            .checked_sub(1)
            .ok_or_else(|| Error::Sink("disk full".into()))?;
        Ok(())
    }
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_sink_is_an_error_wherever_it_strikes() {
    for room in 0..4 {
        let mut bench = Bench::scripted(vec![Scene::new(&["S1->start"], "Go.")]);
        bench.session.feed(frame(0)).unwrap();
        let error = bench.session.finish(&mut Full(room)).unwrap_err();
        assert!(matches!(error, Error::Sink(_)), "{room}: {error}");
    }
}
