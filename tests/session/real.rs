//! The session over the real backbone, tiny and with random weights: what the fakes promise holds
//! for it too.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::Device;
use proact::dialogue::layout::{Bytes, TextCodec};
use proact::dialogue::policy::{GateConfig, GateKind, Gates};
use proact::model::assistant::Assistant;
use proact::model::config::{AssistantConfig, BackboneConfig};
use proact::model::weights::{Stored, Weights};
use proact::session::{Flow, NoPerceiver, Session, SessionConfig};
use proact::stream::{Content, ContextPolicyName, Event, Frame, Input};
use proact::units::{FrameIdx, MediaTime, Prob, Threshold};

use super::{tea, user};

const FRAMES: u64 = 60;
const DV: usize = 16;
const SEED: u64 = 7;

fn assistant(context_length: usize) -> Assistant {
    let backbone = BackboneConfig {
        block_count: 2,
        embedding_length: 32,
        feed_forward_length: 48,
        head_count: 4,
        head_count_kv: 2,
        key_length: 8,
        context_length,
        rope_freq_base: 10_000.0,
        rope_factors: false,
        rms_eps: 1e-5,
        vocab_size: Bytes::VOCAB,
        tied_output: false,
    };
    let config = AssistantConfig::plain(backbone, DV, Gates::default(), Bytes.special());
    let fresh = Weights::trainable(SEED, &Device::Cpu);
    Assistant::new(&config, &fresh).unwrap();
    let tensors: HashMap<String, Stored> = fresh.taken().into_iter().collect();
    Assistant::new(&config, &Weights::new(tensors, &Device::Cpu)).unwrap()
}

/// Features of a picture that changes slowly, so that the gates change their mind now and then.
fn features(i: u64) -> Arc<[f32]> {
    (0..DV)
        .map(|d| 3.0 * ((i * (d as u64 + 1)) as f32 / 9.0).sin())
        .collect()
}

fn run(model: &Arc<Assistant>, context: ContextPolicyName, threshold: f32) -> Vec<Event> {
    let gate = GateConfig {
        kind: GateKind::Head,
        threshold: Threshold(threshold),
        ..GateConfig::default()
    };
    let config = SessionConfig {
        gates: Gates {
            speak: gate,
            dst_update: gate,
        },
        context,
        utterance_tokens_max: 12,
        user_tokens_max: 20,
        updates_per_frame_max: 2,
        ..SessionConfig::default()
    };
    let mut session: Session<NoPerceiver, Assistant> =
        Session::new(None, model.clone(), Arc::new(Bytes), Some(tea()), config).unwrap();
    let mut events = Vec::new();
    for i in 0..FRAMES {
        if i % 20 == 0 {
            session.feed(user(i as f64, "Next?")).unwrap();
        }
        let content = Content::Features(features(i));
        session
            .feed(Input::Frame(Frame {
                idx: FrameIdx(i),
                at: MediaTime(i as f64),
                content,
            }))
            .unwrap();
        while session.advance(&mut events).unwrap() != Flow::Idle {}
    }
    session.finish(&mut events).unwrap();
    events
}

/// A threshold that about half of the frames reach, so that both gates fire sometimes.
fn median_speak(model: &Arc<Assistant>) -> f32 {
    let silent = run(model, ContextPolicyName::None, 1.0);
    let mut probs: Vec<f32> = silent
        .iter()
        .filter_map(|e| match e {
            Event::Frame { speak, .. } => Some(speak.0),
            _ => None,
        })
        .collect();
    assert_eq!(probs.len(), FRAMES as usize);
    probs.sort_by(f32::total_cmp);
    probs[probs.len() / 2]
}

#[test]
fn every_policy_runs_and_any_number_of_threads_writes_the_same_log() {
    let threshold = median_speak(&Arc::new(assistant(1024)));
    // Prompt of about 250 positions, a worst frame of 60: full every few frames.
    let model = Arc::new(assistant(400));
    for context in [
        ContextPolicyName::Refresh,
        ContextPolicyName::DropAll,
        ContextPolicyName::DropMiddle,
    ] {
        let logs: Vec<String> = [1, 3]
            .into_iter()
            .map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                let events = pool.install(|| run(&model, context, threshold));
                assert!(
                    events.iter().any(|e| matches!(e, Event::Context { .. })),
                    "{context:?}: memory was never full"
                );
                assert!(
                    events.iter().any(|e| matches!(e, Event::Transition { .. })),
                    "{context:?}: no update"
                );
                let spoke =
                    |e: &Event| matches!(e, Event::Utterance { .. } | Event::Rejected { .. });
                assert!(
                    events.iter().any(spoke),
                    "{context:?}: it never tried to speak"
                );
                assert_eq!(
                    events
                        .iter()
                        .filter(|e| matches!(e, Event::Frame { .. }))
                        .count(),
                    FRAMES as usize
                );
                serde_json::to_string(&events).unwrap()
            })
            .collect();
        assert_eq!(logs[0], logs[1], "{context:?}");
    }
}

#[test]
fn what_was_refused_changes_nothing_that_follows() {
    // The same frames; one model tries to speak at each and is refused, the other is never asked.
    let model = Arc::new(assistant(1024));
    let probs = |threshold| -> Vec<(Prob, Prob)> {
        let gate = |threshold| GateConfig {
            threshold: Threshold(threshold),
            ..GateConfig::default()
        };
        let config = SessionConfig {
            gates: Gates {
                speak: gate(threshold),
                dst_update: gate(1.0),
            },
            utterance_tokens_max: 1,
            ..SessionConfig::default()
        };
        let mut session: Session<NoPerceiver, Assistant> =
            Session::new(None, model.clone(), Arc::new(Bytes), Some(tea()), config).unwrap();
        let mut events = Vec::new();
        for i in 0..20 {
            let content = Content::Features(features(i));
            session
                .feed(Input::Frame(Frame {
                    idx: FrameIdx(i),
                    at: MediaTime(i as f64),
                    content,
                }))
                .unwrap();
            while session.advance(&mut events).unwrap() != Flow::Idle {}
        }
        let refused = events
            .iter()
            .filter(|e| matches!(e, Event::Rejected { .. }))
            .count();
        assert_eq!(
            refused,
            if threshold == 0.0 { 20 } else { 0 },
            "random weights do not end a sentence after one token"
        );
        let of = |e: &Event| match e {
            Event::Frame {
                speak, dst_update, ..
            } => Some((*speak, *dst_update)),
            _ => None,
        };
        events.iter().filter_map(of).collect()
    };
    assert_eq!(probs(0.0), probs(1.0));
}
