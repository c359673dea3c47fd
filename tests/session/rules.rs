//! What a session does with one thing after another: readable event lists.

use proact::dialogue::policy::{GateConfig, GateKind, Gates};
use proact::dialogue::task::{StepState, Task};
use proact::session::{Flow, SessionConfig, Work};
use proact::stream::{Event, Hand, Input, SourceState};
use proact::units::{MediaTime, StepId, TokenId};

use super::fake::{Fake, Scene};
use super::{Bench, ROOMY, config, frame, frame_at, hand, tea, user};

fn silent() -> Scene {
    Scene::default()
}

#[test]
fn a_silent_frame_costs_one_extend_one_look_at_the_heads_and_no_lm_head() {
    let mut bench = Bench::scripted(vec![silent(); 5]);
    bench.work().unwrap();
    let prefill = bench.model.extend_calls();
    bench.frames(0..5);
    assert_eq!(bench.model.lm_calls(), 0);
    assert_eq!(bench.model.extend_calls() - prefill, 5);
    assert_eq!(bench.model.heads_read.lock().unwrap().len(), 5);
    assert_eq!(bench.told(), [""; 0]);
}

#[test]
fn each_piece_of_work_extends_memory_at_most_once() {
    let mut bench = Bench::scripted(vec![
        Scene::new(&["S1->start", "S1->complete"], "Good."),
        silent(),
    ]);
    for input in [user(0.0, "hi"), frame(0), frame(1)] {
        bench.session.feed(input).unwrap();
    }
    let mut kinds = Vec::new();
    loop {
        let before = bench.model.extend_calls();
        let Flow::Working(work) = bench.session.advance(&mut bench.events).unwrap() else {
            break;
        };
        // The end of a decision opens the turn that follows: [DST] or [ASST] with the piece that
        // decided.
        assert!(bench.model.extend_calls() - before <= 2, "{work:?}");
        kinds.push(work);
    }
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            Work::Prefill,
            Work::Note,
            Work::Frame,
            Work::Update,
            Work::Speech,
            Work::Frame
        ]
    );
}

#[test]
fn forced_tokens_of_an_update_need_no_lm_head() {
    let mut bench = Bench::scripted(vec![Scene::new(&["S2->start"], "")]);
    bench.frames(0..1);
    // "S" is forced, "2" is chosen among 1, 2 and 3, "->start<eot>" is forced.
    assert_eq!(bench.model.lm_calls(), 1);
}

#[test]
fn words_come_one_by_one_and_the_status_shows_them() {
    let mut bench = Bench::scripted(vec![Scene::new(&[], "Hi you")]);
    bench.session.feed(frame(0)).unwrap();
    let mut seen = Vec::new();
    while bench.session.advance(&mut bench.events).unwrap() != Flow::Idle {
        seen.extend(bench.session.status().writing.map(|w| w.text));
    }
    assert_eq!(seen, ["", "H", "Hi", "Hi ", "Hi y", "Hi yo", "Hi you"]);
    let status = bench.session.status();
    assert_eq!(
        (status.frames_done, status.queued, status.writing),
        (1, 0, None)
    );
    assert_eq!(status.memory_tokens, bench.stream.lock().unwrap().len());
    assert_eq!(status.memory_capacity, ROOMY);
}

#[test]
fn a_refused_sentence_leaves_no_trace_in_memory() {
    let unreadable = Scene {
        sentence: vec![TokenId(0xFF), TokenId(0x41)],
        ..Scene::default()
    };
    let empty = Scene {
        speak: Some(0.8),
        ..Scene::default()
    };
    let script = vec![
        Scene::new(&[], "ho ho ho ho "),
        unreadable,
        empty,
        Scene::new(&[], &"A long story. ".repeat(20)[..97]),
    ];
    let frames = script.len();
    let mut bench = Bench::scripted(script);
    bench.frames(0..frames as u64);
    assert_eq!(
        bench.told(),
        [
            r#"{"type":"rejected","frame":0,"at":0.0,"text":"ho ho ho ho","why":"the same 3 tokens 4 times in a row"}"#,
            r#"{"type":"rejected","frame":1,"at":0.5,"text":"�A","why":"not valid UTF-8"}"#,
            r#"{"type":"rejected","frame":2,"at":1.0,"text":"","why":"no words"}"#,
            r#"{"type":"rejected","frame":3,"at":1.5,"text":"A long story. A long story. A long story. A long story.","why":"the same 14 tokens 4 times in a row"}"#,
        ]
    );
    assert_eq!(bench.stream(), "<0.0><0.1><1.0><1.1><2.0><2.1><3.0><3.1>");
}

#[test]
fn updates_in_a_frame_end_at_the_limit_and_when_all_is_done() {
    let always = Scene {
        dst: vec![0.9; 20],
        ..Scene::default()
    };
    let few = SessionConfig {
        updates_per_frame_max: 2,
        ..config()
    };
    let mut bench = Bench::new(Fake::new(ROOMY, vec![always.clone(); 3]), Some(tea()), few);
    bench.frames(0..1);
    assert_eq!(bench.told().len(), 2);
    let mut bench = Bench::scripted(vec![always; 2]);
    bench.frames(0..2);
    bench.finish();
    let steps = bench.session.status().steps;
    assert!(
        steps.iter().all(|(_, s)| *s == StepState::Completed),
        "each update once: {steps:?}"
    );
    assert_eq!(
        bench
            .events
            .iter()
            .filter(|e| matches!(e, Event::Transition { .. }))
            .count(),
        6
    );
}

#[test]
fn the_order_of_steps_is_watched() {
    let script = vec![
        Scene::new(&["S3->start"], ""),
        Scene::new(&["S3->complete"], "Wait!"),
        Scene::new(&["S2->start"], ""),
    ];
    let mut bench = Bench::scripted(script);
    bench.frames(0..3);
    bench.finish();
    assert_eq!(
        bench.told(),
        [
            r#"{"type":"transition","frame":0,"at":0.0,"step":"S3","transition":"start","prob":0.9}"#,
            r#"{"type":"warning","frame":0,"at":0.0,"kind":"out_of_order","step":"S3","missing":["S2"]}"#,
            r#"{"type":"transition","frame":1,"at":0.5,"step":"S3","transition":"complete","prob":0.9}"#,
            r#"{"type":"utterance","frame":1,"at":0.5,"text":"Wait!","prob":0.9}"#,
            r#"{"type":"transition","frame":2,"at":1.0,"step":"S2","transition":"start","prob":0.9}"#,
            r#"{"type":"warning","frame":2,"at":1.0,"kind":"out_of_order","step":"S2","missing":["S1"]}"#,
            r#"{"type":"warning","frame":2,"at":1.0,"kind":"missed","step":"S1","missing":["S1"]}"#,
            r#"{"type":"end","frames":3,"steps":[{"id":"S1","state":"not_started"},{"id":"S2","state":"in_progress"},{"id":"S3","state":"completed"}]}"#,
        ]
    );
}

#[test]
fn what_is_said_while_the_assistant_speaks_enters_before_the_next_frame() {
    let mut bench = Bench::scripted(vec![Scene::new(&[], "Boil water."), silent()]);
    bench.session.feed(frame(0)).unwrap();
    while bench
        .session
        .status()
        .writing
        .is_none_or(|w| w.text != "Boil")
    {
        bench.session.advance(&mut bench.events).unwrap();
    }
    bench.feed([user(0.2, "  Why? ")]);
    assert_eq!(
        bench.told(),
        [
            r#"{"type":"utterance","frame":0,"at":0.0,"text":"Boil water.","prob":0.9}"#,
            r#"{"type":"user","at":0.2,"text":"Why?"}"#
        ]
    );
    bench.feed([frame(1)]);
    assert_eq!(
        bench.stream(),
        "<0.0><0.1>[ASST]Boil water.<eot>{user}Why?<eot><1.0><1.1>"
    );
}

#[test]
fn inputs_of_the_same_time_are_taken_in_their_order() {
    let mut bench = Bench::scripted(vec![]);
    bench.feed([
        user(0.0, "a"),
        frame_at(0, 0.0),
        user(0.0, "b"),
        hand(0.0, Hand::Jump(StepId(1))),
        user(0.0, "c"),
        frame_at(1, 0.0),
    ]);
    assert_eq!(
        bench.stream(),
        "{user}a<eot><0.0><0.1>{user}b<eot>{user}c<eot>{user}S1 is completed. S2 is in_progress.<eot><1.0><1.1>"
    );
}

#[test]
fn hands_on_the_state_are_told_and_the_model_learns_them() {
    let mut bench = Bench::scripted(vec![Scene::new(&["S1->start"], "")]);
    bench.feed([
        frame(0),
        hand(0.6, Hand::Jump(StepId(2))),
        hand(0.7, Hand::Mark(StepId(2), StepState::Completed)),
    ]);
    bench.feed([hand(0.8, Hand::Undo), frame(2)]);
    assert_eq!(
        bench.told(),
        [
            r#"{"type":"transition","frame":0,"at":0.0,"step":"S1","transition":"start","prob":0.9}"#,
            r#"{"type":"mark","at":0.6,"step":"S1","state":"completed"}"#,
            r#"{"type":"mark","at":0.6,"step":"S2","state":"completed"}"#,
            r#"{"type":"mark","at":0.6,"step":"S3","state":"in_progress"}"#,
            r#"{"type":"mark","at":0.7,"step":"S3","state":"completed"}"#,
            r#"{"type":"mark","at":0.8,"step":"S3","state":"in_progress"}"#,
        ]
    );
    let note = "{user}S1 is completed. S2 is completed. S3 is in_progress.<eot>";
    assert_eq!(
        bench.stream(),
        format!("<0.0><0.1>[DST]S1->start<eot>{note}<1.0><1.1>")
    );
    bench.feed([
        hand(1.1, Hand::Undo),
        hand(1.2, Hand::Undo),
        hand(1.3, Hand::Undo),
        frame(3),
    ]);
    let told = bench.told();
    assert_eq!(
        told.last().unwrap(),
        r#"{"type":"rejected","frame":2,"at":1.3,"text":"undo","why":"there is nothing to take back"}"#
    );
    let note = "{user}S1 is not_started. S2 is not_started. S3 is not_started.<eot>";
    assert!(
        bench.stream().ends_with(&format!("{note}<2.0><2.1>")),
        "{}",
        bench.stream()
    );
}

#[test]
fn without_a_task_or_steps_the_assistant_only_speaks() {
    for task in [None, Some(Task::parse("goal = \"Relax\"").unwrap())] {
        let eager = Scene {
            dst: vec![0.99],
            ..Scene::new(&[], "Hi.")
        };
        let mut bench = Bench::new(Fake::new(ROOMY, vec![eager]), task, config());
        bench.frames(0..1);
        let Event::Session { gates, .. } = &bench.events[0] else {
            panic!("{:?}", bench.events[0])
        };
        assert_eq!(gates.dst_update.kind, GateKind::Off);
        assert_eq!(
            serde_json::to_string(&bench.events[1]).unwrap(),
            r#"{"type":"frame","frame":0,"at":0.0,"speak":0.9,"dst_update":0.0}"#
        );
        assert_eq!(bench.stream(), "<0.0><0.1>[ASST]Hi.<eot>");
    }
}

#[test]
fn token_gates_read_the_probability_of_the_opening_tokens() {
    let token = GateConfig {
        kind: GateKind::Token,
        ..GateConfig::default()
    };
    let gates = Gates {
        speak: token,
        dst_update: token,
    };
    let script = vec![
        Scene {
            speak: Some(0.2),
            dst: vec![0.7, 0.1],
            ..Scene::new(&["S1->start"], "")
        },
        Scene {
            speak: Some(0.6),
            dst: vec![0.3],
            ..Scene::new(&[], "Good.")
        },
    ];
    let mut bench = Bench::new(
        Fake::new(ROOMY, script),
        Some(tea()),
        SessionConfig { gates, ..config() },
    );
    bench.frames(0..2);
    assert!(
        bench.model.heads_read.lock().unwrap().is_empty(),
        "no head is needed"
    );
    assert_eq!(
        bench.told(),
        [
            r#"{"type":"transition","frame":0,"at":0.0,"step":"S1","transition":"start","prob":0.7}"#,
            r#"{"type":"utterance","frame":1,"at":0.5,"text":"Good.","prob":0.6}"#,
        ]
    );
}

#[test]
fn gates_rest_but_both_halves_of_a_step_change_pass() {
    let rest = GateConfig {
        refractory_s: 1.0,
        hysteresis: 0.3,
        ..GateConfig::default()
    };
    let gates = Gates {
        speak: rest,
        dst_update: rest,
    };
    let script = vec![
        Scene::new(&["S1->start"], "One."),
        silent(),
        Scene::new(&["S1->complete", "S2->start"], "Two."),
        Scene::new(&["S2->complete"], "Three."),
    ];
    let mut bench = Bench::new(
        Fake::new(ROOMY, script),
        Some(tea()),
        SessionConfig { gates, ..config() },
    );
    bench.frames(0..4);
    assert_eq!(
        bench.stream(),
        "<0.0><0.1>[DST]S1->start<eot>[ASST]One.<eot><1.0><1.1><2.0><2.1>[DST]S1->complete<eot>[DST]S2->start<eot>\
         [ASST]Two.<eot><3.0><3.1>"
    );
}

#[test]
fn losses_are_told_and_the_end_comes_once() {
    let mut bench = Bench::scripted(vec![]);
    bench.feed([
        Input::Dropped {
            at: MediaTime(0.0),
            count: 3,
        },
        Input::Source {
            at: MediaTime(0.5),
            state: SourceState::Lost,
        },
        Input::Source {
            at: MediaTime(0.9),
            state: SourceState::Restored,
        },
    ]);
    bench.session.feed(frame(2)).unwrap();
    bench.finish();
    bench.finish();
    assert_eq!(
        bench.session.advance(&mut bench.events).unwrap(),
        Flow::Idle
    );
    assert!(bench.session.feed(frame(3)).is_err());
    assert_eq!(
        bench.told(),
        [
            r#"{"type":"dropped","at":0.0,"count":3}"#,
            r#"{"type":"source","at":0.5,"state":"lost"}"#,
            r#"{"type":"source","at":0.9,"state":"restored"}"#,
            r#"{"type":"end","frames":1,"steps":[{"id":"S1","state":"not_started"},{"id":"S2","state":"not_started"},{"id":"S3","state":"not_started"}]}"#,
        ]
    );
}

#[test]
fn a_session_that_saw_nothing_still_has_a_beginning_and_an_end() {
    let mut bench = Bench::scripted(vec![]);
    bench.finish();
    assert!(matches!(
        bench.events[..],
        [Event::Session { .. }, Event::End { frames: 0, .. }]
    ));
}

#[test]
fn feeding_all_at_once_gives_the_same_log() {
    let script = || {
        vec![
            Scene::new(&["S1->start"], "One."),
            silent(),
            Scene::new(&["S1->complete"], "Two."),
        ]
    };
    let inputs = || {
        vec![
            frame(0),
            user(0.2, "ok"),
            frame(1),
            hand(0.9, Hand::Jump(StepId(2))),
            frame(2),
        ]
    };
    let mut slow = Bench::scripted(script());
    slow.feed(inputs());
    slow.finish();
    let mut fast = Bench::scripted(script());
    for input in inputs() {
        fast.session.feed(input).unwrap();
    }
    fast.finish();
    assert_eq!(slow.tape(), fast.tape());
    assert_eq!(slow.events, fast.events);
}

#[test]
fn a_session_can_move_to_another_thread() {
    fn moves<T: Send>(_: &T) {}
    moves(&Bench::scripted(vec![]).session);
}
