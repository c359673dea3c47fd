//! What the person does to the session itself: an answer, thresholds, another place, another task.

use proact::dialogue::task::{StepState, Task};
use proact::stream::{Event, GateName, Hand};
use proact::units::{MediaTime, StepId, Threshold};

use super::fake::Scene;
use super::{Bench, frame, hand, user};

fn silent() -> Scene {
    Scene::default()
}

/// The gate says no, the model would have something to say.
fn shy(text: &str) -> Scene {
    Scene {
        speak: Some(0.1),
        ..Scene::new(&[], text)
    }
}

#[test]
fn the_persons_words_are_answered_once_whatever_the_gate_says() {
    let mut bench = Bench::scripted(vec![shy("No."), shy("Soon."), shy("No.")]);
    bench.frames(0..1);
    bench.feed([user(0.0, "When?")]);
    bench.session.answer_next();
    bench.frames(1..3);
    let told = bench.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("When?") && told[1].contains("Soon.") && told[1].contains("\"prob\":0.1"),
        "{told:?}"
    );
}

#[test]
fn a_threshold_acts_at_the_next_frame_and_is_told() {
    let mut bench = Bench::scripted(vec![shy("No."), shy("Yes.")]);
    bench.frames(0..1);
    bench
        .session
        .set_threshold(GateName::Speak, Threshold(0.05), &mut bench.events)
        .unwrap();
    assert!(
        bench
            .session
            .set_threshold(GateName::Speak, Threshold(7.0), &mut bench.events)
            .is_err()
    );
    bench.frames(1..2);
    let told = bench.told();
    assert_eq!(
        told[0],
        r#"{"type":"threshold","at":0.0,"gate":"speak","threshold":0.05}"#
    );
    assert!(told[1].contains("Yes.") && told.len() == 2, "{told:?}");
}

#[test]
fn going_back_takes_the_state_back_and_begins_memory_anew_with_it() {
    let done = Scene::new(&["S1->complete"], "");
    let mut bench = Bench::scripted(vec![
        Scene::new(&["S1->start"], ""),
        silent(),
        done,
        silent(),
        silent(),
    ]);
    bench.frames(0..3);
    bench.told();
    bench
        .session
        .seek(MediaTime(0.5), &mut bench.events)
        .unwrap();
    bench.work().unwrap();
    let told = bench.told();
    assert!(
        told[0].starts_with(
            r#"{"type":"seek","at":1.0,"to":0.5,"steps":[{"id":"S1","state":"in_progress"}"#
        ),
        "{told:?}"
    );
    assert_eq!(bench.stream(), "", "nothing but the prompt");
    assert!(bench.tape().contains("S1 [in_progress]"));
    // The same frames once more: numbers and times go on from there.
    bench.feed([frame(1), frame(2)]);
    bench.finish();
    assert_eq!(bench.session.status().at, MediaTime(1.0));
}

#[test]
fn the_end_is_no_end_for_one_who_goes_back_and_ahead_the_state_stays() {
    let mut bench = Bench::scripted(vec![Scene::new(&["S1->start"], ""), silent(), silent()]);
    bench.frames(0..1);
    bench.finish();
    assert!(bench.session.feed(frame(1)).is_err());
    bench
        .session
        .seek(MediaTime(9.0), &mut bench.events)
        .unwrap();
    assert!(bench.session.feed(frame(3)).is_err(), "before the place");
    bench.feed([frame(18)]);
    bench.finish();
    let kinds: Vec<String> = bench
        .told()
        .iter()
        .map(|line| line.split('"').nth(3).unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["transition", "end", "seek", "end"]);
    assert_eq!(bench.session.status().steps[0].1, StepState::InProgress);
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(
            bench
                .session
                .seek(MediaTime(bad), &mut bench.events)
                .is_err(),
            "{bad}"
        );
    }
}

#[test]
fn nobody_moves_while_inputs_wait() {
    let mut bench = Bench::scripted(vec![silent(); 2]);
    bench.work().unwrap();
    bench.session.feed(frame(0)).unwrap();
    assert!(
        bench
            .session
            .seek(MediaTime(0.0), &mut bench.events)
            .is_err()
    );
    let task = Task::parse("goal = \"x\"").unwrap();
    assert!(bench.session.change_task(task, &mut bench.events).is_err());
    bench.work().unwrap();
}

#[test]
fn another_task_is_followed_from_here_on() {
    let mut bench = Bench::scripted(vec![silent(), Scene::new(&["S1->start"], "")]);
    bench.frames(0..1);
    let task = Task::parse("goal = \"Coffee\"\n[[step]]\nname = \"Grind\"\n").unwrap();
    bench.session.change_task(task, &mut bench.events).unwrap();
    bench.frames(1..2);
    assert!(bench.tape().contains("Goal: Coffee"));
    let told = bench.told();
    assert!(
        told[0].contains(
            r#""type":"task","at":0.0,"goal":"Coffee","steps":[{"id":"S1","name":"Grind""#
        ),
        "{told:?}"
    );
    assert!(told[1].contains(r#""type":"transition""#), "{told:?}");
    // The old task's steps are gone.
    assert!(
        bench
            .session
            .feed(hand(0.5, Hand::Jump(StepId(2))))
            .is_err()
    );
    let vast: String = (0..99)
        .map(|i| format!("[[step]]\nname = \"{}{i}\"\n", "long ".repeat(40)))
        .collect();
    let vast = Task::parse(&format!("goal = \"vast\"\n{vast}")).unwrap();
    assert!(
        bench.session.change_task(vast, &mut bench.events).is_err(),
        "does not fit the memory"
    );
    assert_eq!(bench.session.status().steps.len(), 1, "and changed nothing");
    assert!(
        bench
            .events
            .iter()
            .all(|e| !matches!(e, Event::Task { .. }))
    );
}
