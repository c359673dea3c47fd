//! What the session tells the backbone of the steps beside each frame, where the model wants it.

use std::sync::Arc;

use proact::dialogue::layout::{Bytes, TextCodec};
use proact::dialogue::task::{StepState, Task};
use proact::session::{NoPerceiver, Session, SessionConfig};
use proact::stream::Hand;
use proact::units::StepId;

use super::fake::{Fake, Scene};
use super::{Bench, ROOMY, config, hand, tea};

fn wanted() -> SessionConfig {
    SessionConfig { step_evidence: true, ..config() }
}

fn script() -> Vec<Scene> {
    vec![Scene::new(&["S1->start"], ""), Scene::new(&["S1->complete", "S2->start"], ""), Scene::default()]
}

#[test]
fn each_frame_comes_with_the_states_before_its_own_updates() {
    let mut bench = Bench::new(Fake::new(ROOMY, script()), Some(tea()), wanted());
    bench.frames(0..2);
    bench.feed([hand(1.0, Hand::Mark(StepId(2), StepState::Completed))]);
    bench.frames(2..3);
    let told = bench.model.evidence.lock().unwrap().clone();
    assert_eq!(told, [(0, 4, vec![0, 0, 0]), (1, 4, vec![1, 0, 0]), (2, 4, vec![2, 1, 2])]);
}

#[test]
fn markers_come_with_the_states_reached_by_then() {
    let script = vec![Scene::new(&["S1->start"], ""), Scene::new(&["S1->complete", "S2->start"], "Pour.")];
    let mut bench = Bench::new(Fake::new(ROOMY, script), Some(tea()), wanted());
    bench.frames(0..2);
    let special = Bytes.special();
    let [dst, eot, asst] = [special.dst.0, special.eot.0, special.asst.0];
    let expected = [
        (dst, 4, vec![0, 0, 0]),
        (eot, 4, vec![1, 0, 0]),
        (dst, 4, vec![1, 0, 0]),
        (eot, 4, vec![2, 0, 0]),
        (dst, 4, vec![2, 0, 0]),
        (eot, 4, vec![2, 1, 0]),
        (asst, 4, vec![2, 1, 0]),
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
    assert_eq!(told, [(0, 2, vec![0]), (1, 2, vec![0]), (2, 2, vec![0])]);
}

#[test]
fn without_a_task_or_a_model_that_wants_it_there_is_none() {
    for (task, config) in [(None, wanted()), (Some(tea()), config())] {
        let mut bench = Bench::new(Fake::new(ROOMY, vec![Scene::default()]), task, config);
        bench.frames(0..1);
        assert_eq!(*bench.model.evidence.lock().unwrap(), [(0, 0, Vec::new())]);
        assert!(bench.model.told.lock().unwrap().iter().all(|(_, cosines, states)| *cosines == 0 && states.is_empty()));
    }
}

#[test]
fn a_session_that_cannot_read_words_is_refused() {
    let model = Arc::new(Fake::new(ROOMY, Vec::new()));
    let session: Result<Session<NoPerceiver, Fake>, _> = Session::new(None, model, Arc::new(Bytes), Some(tea()), wanted());
    assert!(session.err().unwrap().to_string().contains("no vision model"));
}
