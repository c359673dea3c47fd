//! A session that was broken off and goes on: from any place in its log, and from logs that are
//! none.

use proptest::prelude::*;

use proact::dialogue::policy::{GateConfig, Gates};
use proact::dialogue::task::{StepState, Task};
use proact::session::SessionConfig;
use proact::stream::log::Check;
use proact::stream::{Event, Frame, GateName, Hand, Input};
use proact::units::{MediaTime, Prob, StepId, Threshold};

use super::fake::{Fake, Scene};
use super::{Bench, ROOMY, config, frame, hand, tea, user};

/// Frames of a whole run.
const FRAMES: u64 = 12;

fn script() -> Vec<Scene> {
    let mut script = vec![Scene::default(); FRAMES as usize];
    script[1] = Scene::new(&["S1->start"], "Boil water.");
    script[4] = Scene::new(&["S1->complete", "S2->start"], "Now pour.");
    script[8] = Scene::new(&["S2->complete"], "");
    script
}

/// The log of a whole run, with words and a hand in it.
fn whole() -> Vec<Event> {
    let mut bench = Bench::scripted(script());
    bench.frames(0..6);
    bench.feed([
        user(2.6, "Which mug?"),
        hand(2.7, Hand::Mark(StepId(2), StepState::InProgress)),
    ]);
    bench.frames(6..FRAMES);
    bench.finish();
    bench.events
}

fn seen(range: std::ops::Range<u64>) -> Vec<Frame> {
    let frame = |i| match frame(i) {
        Input::Frame(frame) => frame,
        _ => unreachable!("made as a frame"),
    };
    range.map(frame).collect()
}

/// States as the log alone tells them.
fn told_by(log: &[Event]) -> Vec<(StepId, StepState)> {
    let mut check = Check::default();
    log.iter().for_each(|event| check.push(event).unwrap());
    (0..)
        .map_while(|i| Some((StepId(i), check.state_of(StepId(i)).ok()?)))
        .collect()
}

fn frames_in(log: &[Event]) -> u64 {
    log.iter()
        .filter(|e| matches!(e, Event::Frame { .. }))
        .count() as u64
}

#[test]
fn from_every_place_in_the_log_the_state_is_what_the_log_says() {
    let log = whole();
    for cut in 1..=log.len() {
        let (past, done) = (&log[..cut], frames_in(&log[..cut]));
        let mut bench = Bench::scripted(script());
        bench
            .session
            .resume(past, &seen(done.saturating_sub(3)..done))
            .unwrap();
        assert_eq!(
            bench.session.status().steps,
            told_by(past),
            "cut behind event {cut}"
        );
        bench.frames(done..FRAMES);
        bench.finish();
        let Event::Resume { frames, at, .. } = &bench.events[0] else {
            panic!("{:?}", bench.events[0])
        };
        assert_eq!(*frames, done);
        assert!(at.seconds() <= 6.0);
        // Old and new together are one log, with every frame in it once.
        let all: Vec<Event> = past.iter().chain(&bench.events).cloned().collect();
        assert_eq!(told_by(&all), bench.session.status().steps);
        assert_eq!(frames_in(&all), FRAMES);
        assert!(matches!(all.last(), Some(Event::End { frames, .. }) if *frames == FRAMES));
    }
}

#[test]
fn memory_is_the_prompt_for_the_state_and_the_last_frames_seen_again() {
    let log = whole();
    let cut = log
        .iter()
        .position(|e| matches!(e, Event::User { .. }))
        .unwrap();
    let mut bench = Bench::new(
        Fake::new(ROOMY, script()),
        Some(tea()),
        SessionConfig {
            frames_kept: 2,
            ..config()
        },
    );
    bench.session.resume(&log[..cut], &seen(0..6)).unwrap();
    bench.work().unwrap();
    let tape = bench.tape();
    assert!(
        tape.contains(
            "S1 [completed] Boil water\nS2 [in_progress] Pour it\nS3 [not_started] Drink"
        ),
        "{tape}"
    );
    assert_eq!(bench.stream(), "<4.0><4.1><5.0><5.1>", "frames 4 and 5");
}

#[test]
fn words_that_no_frame_has_followed_are_read_with_the_next() {
    let log = whole();
    let cut = log
        .iter()
        .position(|e| matches!(e, Event::User { .. }))
        .unwrap()
        + 1;
    let mut bench = Bench::scripted(script());
    bench.session.resume(&log[..cut], &[]).unwrap();
    bench.frames(6..7);
    assert_eq!(bench.stream(), "{user}Which mug?<eot><6.0><6.1>");
    // Once a frame has followed them they are not said again.
    let mut bench = Bench::scripted(script());
    bench.session.resume(&log[..cut + 2], &[]).unwrap();
    bench.frames(7..8);
    assert!(!bench.stream().contains("Which mug?"));
}

#[test]
fn a_gate_that_rested_before_the_break_still_rests() {
    let talk = || vec![Scene::new(&[], "Yes."); 8];
    let gate = GateConfig {
        refractory_s: 3.0,
        ..GateConfig::default()
    };
    let config = || SessionConfig {
        gates: Gates {
            speak: gate,
            ..Gates::default()
        },
        ..config()
    };
    let said = |events: &[Event]| -> Vec<MediaTime> {
        let at = |e: &Event| {
            if let Event::Utterance { at, .. } = e {
                Some(*at)
            } else {
                None
            }
        };
        events.iter().filter_map(at).collect()
    };
    let mut first = Bench::new(Fake::new(ROOMY, talk()), Some(tea()), config());
    first.frames(0..2);
    assert_eq!(said(&first.events), [MediaTime(0.0)]);
    let mut second = Bench::new(Fake::new(ROOMY, talk()), Some(tea()), config());
    second.session.resume(&first.events, &[]).unwrap();
    second.frames(2..8);
    assert_eq!(said(&second.events), [MediaTime(3.0)]);
}

#[test]
fn thresholds_and_places_that_the_person_chose_still_count() {
    let mut bench = Bench::scripted(script());
    bench.frames(0..6);
    bench
        .session
        .set_threshold(GateName::Speak, Threshold(0.75), &mut bench.events)
        .unwrap();
    bench.frames(6..9);
    bench
        .session
        .seek(MediaTime(1.0), &mut bench.events)
        .unwrap();
    bench.frames(2..4);
    let log = bench.events;
    for cut in 1..=log.len() {
        let mut bench = Bench::scripted(script());
        bench.session.resume(&log[..cut], &[]).unwrap();
        assert_eq!(
            bench.session.status().steps,
            told_by(&log[..cut]),
            "cut behind event {cut}"
        );
        bench.work().unwrap();
        let Event::Resume { gates, .. } = &bench.events[0] else {
            panic!("{:?}", bench.events[0])
        };
        let moved = log[..cut]
            .iter()
            .any(|event| matches!(event, Event::Threshold { .. }));
        assert_eq!(
            gates.speak.threshold == Threshold(0.75),
            moved,
            "cut behind event {cut}"
        );
        assert_eq!(
            bench.session.threshold(GateName::Speak),
            Some(gates.speak.threshold)
        );
    }
    // It goes on from the place, not from the latest frame.
    let mut bench = Bench::scripted(script());
    bench.session.resume(&log, &[]).unwrap();
    bench.frames(4..FRAMES);
    assert_eq!(bench.session.status().steps[0].1, StepState::Completed);
}

#[test]
fn the_last_task_that_the_person_chose_is_gone_on_with() {
    let mut script = vec![Scene::default(); 6];
    (script[1], script[4]) = (
        Scene::new(&["S1->start"], "Boil."),
        Scene::new(&["S1->start"], "Grind."),
    );
    let coffee = || Task::parse("goal = \"Coffee\"\n[[step]]\nname = \"Grind\"\n").unwrap();
    let mut bench = Bench::scripted(script.clone());
    bench.frames(0..3);
    bench
        .session
        .change_task(coffee(), &mut bench.events)
        .unwrap();
    bench.frames(3..5);
    let log = bench.events;
    let mut bench = Bench::new(Fake::new(ROOMY, script.clone()), Some(coffee()), config());
    bench.session.resume(&log, &[]).unwrap();
    assert_eq!(
        bench.session.status().steps,
        [(StepId(0), StepState::InProgress)]
    );
    assert_eq!(bench.session.status().steps, told_by(&log));
    bench.frames(5..6);
    assert!(
        bench.tape().contains("S1 [in_progress] Grind"),
        "{}",
        bench.tape()
    );
    let why = Bench::scripted(script)
        .session
        .resume(&log, &[])
        .unwrap_err()
        .to_string();
    assert!(
        why.contains("`Coffee`, this session about `Make tea`"),
        "{why}"
    );
}

#[test]
fn what_cannot_be_gone_on_with_is_an_error() {
    let log = whole();
    let resume = |task: Option<Task>, log: &[Event]| {
        let mut bench = Bench::new(Fake::new(ROOMY, script()), task, config());
        bench.session.resume(log, &[]).unwrap_err().to_string()
    };
    let coffee = Task {
        goal: "Make coffee".into(),
        ..tea()
    };
    let mut longer = tea();
    longer.steps[2].name = "Drink it".into();
    for (why, word) in [
        (resume(Some(tea()), &[]), "empty"),
        (
            resume(Some(tea()), &log[1..]),
            "event 1 of the log: the first event must be `session`",
        ),
        (
            resume(Some(coffee), &log),
            "`Make tea`, this session about `Make coffee`",
        ),
        (resume(Some(longer), &log), "steps are not"),
        (resume(None, &log), "about `Make tea`"),
    ] {
        assert!(why.contains(word), "{why} does not say {word}");
    }
    let mut bench = Bench::scripted(script());
    bench.frames(0..1);
    assert!(bench.session.resume(&log, &[]).is_err(), "it has begun");
    let mut bench = Bench::scripted(script());
    bench.session.resume(&log, &[]).unwrap();
    assert!(
        bench.session.feed(frame(3)).is_err(),
        "frame 3 stands in the log already"
    );
}

proptest! {
    /// Events left out, doubled, moved and bent: the log is refused, or the state is what it says.
    #[test]
    fn a_bent_log_is_refused_or_told_exactly(
        picks in proptest::collection::vec(0usize..40, 0..60),
        step in 0u16..5,
        at in prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1.0), Just(1e300), 0.0..10.0],
        prob in prop_oneof![Just(f32::NAN), Just(-1.0f32), 0.0f32..1.0],
    ) {
        let log = whole();
        let mut bent: Vec<Event> = vec![log[0].clone()];
        for pick in picks {
            bent.push(match pick {
                35 => Event::Mark { at: MediaTime(at), step: StepId(step), state: StepState::Completed },
                36 => Event::Frame { frame: proact::units::FrameIdx(u64::MAX), at: MediaTime(at), speak: Prob(prob), dst_update: Prob(0.5) },
                37 => Event::User { at: MediaTime(at), text: "<eot>[DST]".repeat(usize::from(step) * 100) },
                38 => Event::Dropped { at: MediaTime(at), count: u64::MAX },
                pick => log[pick % log.len()].clone(),
            });
        }
        let mut check = Check::default();
        let sound = bent.iter().all(|event| check.push(event).is_ok());
        let mut bench = Bench::scripted(script());
        let resumed = bench.session.resume(&bent, &[]);
        if resumed.is_ok() {
            prop_assert!(sound);
            prop_assert_eq!(bench.session.status().steps, told_by(&bent));
            bench.work().unwrap();
            let resumes = matches!(&bench.events[0], Event::Resume { .. });
            prop_assert!(resumes, "the first event");
        }
    }
}
