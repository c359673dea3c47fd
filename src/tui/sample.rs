//! A made-up session for the tests of the screen: every kind of event once.

use std::sync::Arc;

use super::app::App;
use super::vitals::{SourceKind, StageTime, Vitals};
use crate::dialogue::policy::{GateConfig, GateKind, Gates};
use crate::dialogue::task::{StepState, Transition};
use crate::stream::{ContextPolicyName, Event, Picture, StepInfo, WarningKind};
use crate::units::{FrameIdx, MediaTime, Prob, StepId, Threshold};

/// Names of its steps.
pub const STEPS: [&str; 12] = [
    "Place the tortilla on the cutting board",
    "Spread nut butter over the tortilla, leaving a margin at the edges",
    "Spread jelly over the nut butter",
    "Roll the tortilla from one end to the other",
    "Secure the roll with five toothpicks",
    "Trim the ends of the roll",
    "Slide floss under the roll",
    "Cross the two ends of the floss",
    "Slice into one inch pinwheels",
    "Put the pinwheels on a plate",
    "Clean the knife with a paper towel",
    "Throw the toothpicks away",
];

/// Its first event.
pub fn session() -> Event {
    let gate = |threshold| GateConfig {
        kind: GateKind::Head,
        threshold: Threshold(threshold),
        hysteresis: 0.1,
        refractory_s: 1.0,
    };
    let steps = STEPS.iter().enumerate().map(|(i, name)| StepInfo {
        id: StepId(i as u16),
        name: Some((*name).to_owned()),
        state: StepState::NotStarted,
    });
    Event::Session {
        schema: 1,
        model: "a".repeat(64),
        vision: "b".repeat(64),
        goal: "Make a pinwheel sandwich".into(),
        steps: steps.collect(),
        fps: 2.0,
        gates: Gates {
            speak: gate(0.5),
            dst_update: gate(0.6),
        },
        context: ContextPolicyName::Refresh,
    }
}

/// All of its events but the last.
pub fn events() -> Vec<Event> {
    let transition = |t: f64, step, transition| Event::Transition {
        frame: FrameIdx((t * 2.0) as u64),
        at: MediaTime(t),
        step: StepId(step),
        transition,
        prob: Prob(0.9),
    };
    let utterance = |t: f64, text: &str| Event::Utterance {
        frame: FrameIdx((t * 2.0) as u64),
        at: MediaTime(t),
        text: text.into(),
        prob: Prob(0.8),
    };
    let mut events = vec![session()];
    for i in 0..150u64 {
        let t = i as f64 / 2.0;
        // Two bumps and a slow wave: something a chart can show.
        let bump = |centre: f64| (-(t - centre).powi(2) / 4.0).exp() as f32;
        let speak = 0.05 + 0.85 * (bump(15.0) + bump(40.0) + bump(52.0)).min(1.0);
        let dst_update = 0.1 + 0.8 * (bump(2.0) + bump(14.5) + bump(50.0)).min(1.0);
        events.push(Event::Frame {
            frame: FrameIdx(i),
            at: MediaTime(t),
            speak: Prob(speak),
            dst_update: Prob(dst_update),
        });
        match i {
            4 => events.push(transition(t, 0, Transition::Start)),
            29 => events.push(transition(t, 0, Transition::Complete)),
            30 => events.push(utterance(
                t,
                "Great, the tortilla is in place. Now spread nut butter over it, but leave half an \
                 inch free at the edges.",
            )),
            60 => events.push(Event::User {
                at: MediaTime(t),
                text: "How thick should the butter be?".into(),
            }),
            80 => events.push(Event::Rejected {
                frame: FrameIdx(i),
                at: MediaTime(t),
                text: "Now now now".into(),
                why: "it repeats itself".into(),
            }),
            100 => {
                events.push(transition(t, 2, Transition::Start));
                events.push(Event::Warning {
                    frame: FrameIdx(i),
                    at: MediaTime(t),
                    kind: WarningKind::OutOfOrder,
                    step: StepId(2),
                    missing: vec![StepId(1)],
                });
            }
            104 => events.push(utterance(t, "Wait: the nut butter comes before the jelly.")),
            120 => events.push(Event::Dropped {
                at: MediaTime(t),
                count: 3,
            }),
            130 => events.push(Event::Context {
                at: MediaTime(t),
                policy: ContextPolicyName::Refresh,
                tokens_before: 3584,
                tokens_after: 212,
                summary: None,
            }),
            _ => {}
        }
    }
    events
}

/// Vitals as a run would publish them.
pub fn vitals() -> Vitals {
    let stage = |name, mean_ms| StageTime { name, mean_ms };
    Vitals {
        source_kind: SourceKind::Demo,
        source: "clip.mp4".into(),
        duration: Some(MediaTime(211.0)),
        frames_per_s: 8.0,
        realtime_factor: 4.02,
        lag_s: 0.0,
        memory_tokens: 301,
        memory_capacity: 2048,
        memory_reset: 1900,
        device: "CPU, 2 threads".into(),
        quantization: "Q4_0".into(),
        process_bytes: Some(142 << 20),
        stages: vec![
            stage("decode", 4.1),
            stage("encode", 21.0),
            stage("extend", 6.2),
            stage("generate", 0.4),
        ],
        partial: None,
        speed: Some(4.0),
        paused: false,
        muted: false,
    }
}

/// The screen's state after all of it.
pub fn app() -> App {
    let mut app = App::default();
    for event in events() {
        app.update(&event);
    }
    app.vitals = vitals();
    app
}

/// A picture of four quarters.
pub fn picture() -> Arc<Picture> {
    let (width, height) = (64u32, 48u32);
    let mut rgb = Vec::new();
    for y in 0..height {
        for x in 0..width {
            rgb.extend(match (x < width / 2, y < height / 2) {
                (true, true) => [250, 250, 250],
                (false, true) => [10, 10, 10],
                (true, false) => [120, 120, 120],
                (false, false) => [200, 60, 60],
            });
        }
    }
    Arc::new(Picture { width, height, rgb })
}
