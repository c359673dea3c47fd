//! The evidence of steps in a frame's token: against a naive loop, with gradients, and what is
//! refused.

mod common;

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use common::{assistant_config, figures};
use proact::dialogue::task::StepState;
use proact::error::{Error, Result};
use proact::model::assistant::Assistant;
use proact::model::config::AssistantConfig;
use proact::model::evidence::{EvidenceBatch, IDLE_WORDS, StepWords, Steps};
use proact::model::weights::Weights;
use proact::model::{Backbone, Evidence, Perceiver, Piece};
use proact::units::{StepId, TokenId};

const CPU: Device = Device::Cpu;
const STEPS: usize = 3;
const STATES: [StepState; 3] = [
    StepState::NotStarted,
    StepState::InProgress,
    StepState::Completed,
];

fn config() -> AssistantConfig {
    AssistantConfig {
        step_evidence: true,
        ..assistant_config()
    }
}

/// What each step needs.
const AFTER: [&[u16]; STEPS] = [&[], &[0], &[0, 1]];

/// The second step's id has two tokens; the first and the third step are nearly the same.
fn steps() -> Steps {
    Steps {
        ids: vec![
            vec![TokenId(10)],
            vec![TokenId(11), TokenId(12)],
            vec![TokenId(13)],
        ],
        likeness: vec![1.0, 0.1, 0.8, 0.1, 1.0, -0.2, 0.8, -0.2, 1.0],
        after: AFTER
            .iter()
            .map(|after| after.iter().copied().map(StepId).collect())
            .collect(),
    }
}

/// Steps with other ids.
fn named(ids: [Vec<TokenId>; STEPS]) -> Steps {
    Steps {
        ids: ids.to_vec(),
        ..steps()
    }
}

/// Cosines and states of three frames. The second comes when all is over; in the third the second
/// step is ready and the last one is not.
fn frames() -> (Vec<f32>, Vec<StepState>) {
    (
        vec![
            0.31, 0.12, -0.05, 0.2, -0.4, 0.0, 0.38, 0.35, 0.1, 0.2, 0.3, -0.1,
        ],
        [0, 1, 0, 2, 2, 2, 2, 0, 0]
            .map(|code: usize| STATES[code])
            .to_vec(),
    )
}

/// What comes with one of the three frames.
fn told(frame: usize) -> Evidence {
    let (cosines, states) = frames();
    Evidence {
        steps: Arc::new(steps()),
        cosines: cosines[4 * frame..][..4].into(),
        states: states[3 * frame..][..3].into(),
    }
}

/// A row for each of these frames.
fn batch(frames: impl IntoIterator<Item = usize>) -> EvidenceBatch {
    let mut batch = EvidenceBatch::default();
    frames
        .into_iter()
        .for_each(|frame| batch.push(&told(frame)).unwrap());
    batch
}

fn seen(features: &[f32], evidence: Evidence) -> Piece {
    Piece::Frame {
        number: 0,
        features: features.into(),
        evidence,
    }
}

fn refused<T>(result: Result<T>, words: &[&str]) {
    let text = result
        .err()
        .map(|e| e.to_string())
        .unwrap_or_else(|| panic!("not refused"));
    for word in words {
        assert!(text.contains(word), "{text:?} lacks {word:?}");
    }
}

/// What the layer adds, by the formula at the head of `model/evidence.rs`, in loops over f64.
fn naive(
    tensors: &HashMap<String, Vec<f32>>,
    cosines: &[f32],
    states: &[StepState],
    width: usize,
) -> Vec<f32> {
    let table = &tensors["token_embd.weight"];
    let row = |id: TokenId| {
        table[id.0 as usize * width..][..width]
            .iter()
            .map(|v| f64::from(*v))
            .collect::<Vec<_>>()
    };
    let rows: Vec<Vec<f64>> = steps()
        .ids
        .iter()
        .map(|tokens| {
            let all: Vec<Vec<f64>> = tokens.iter().map(|t| row(*t)).collect();
            let mean: Vec<f64> = (0..width)
                .map(|d| all.iter().map(|r| r[d]).sum::<f64>() / all.len() as f64)
                .collect();
            let rms = (mean.iter().map(|v| v * v).sum::<f64>() / width as f64
                + config().backbone.rms_eps)
                .sqrt();
            let weight = &tensors["mm.step.norm.weight"];
            mean.iter()
                .zip(weight)
                .map(|(v, w)| v / rms * f64::from(*w))
                .collect()
        })
        .collect();
    let scale = f64::from(tensors["mm.step.scale"][0]).exp();
    let strict = f64::from(tensors["mm.step.strict"][0]).exp();
    let likeness = steps().likeness;
    let mut out = Vec::new();
    for (cosines, states) in cosines.chunks(STEPS + 1).zip(states.chunks(STEPS)) {
        let powers: Vec<f64> = cosines
            .iter()
            .map(|c| (f64::from(*c) * scale).exp())
            .collect();
        let p: Vec<f64> = powers
            .iter()
            .map(|v| v / powers.iter().sum::<f64>())
            .collect();
        let first = states.iter().position(|s| *s == StepState::NotStarted);
        let sum = |weight: &dyn Fn(usize) -> f64| {
            (0..width)
                .map(|d| (0..STEPS).map(|k| weight(k) * rows[k][d]).sum())
                .collect::<Vec<f64>>()
        };
        let q: Vec<f64> = (0..STEPS)
            .map(|k| {
                (0..STEPS)
                    .map(|j| p[j] * (strict * (f64::from(likeness[j * STEPS + k]) - 1.0)).exp())
                    .sum()
            })
            .collect();
        let mut f = [0.0; STEPS];
        let mut none = 1.0;
        for k in (0..STEPS).filter(|k| states[*k] != StepState::Completed) {
            f[k] = q[k] * none;
            none *= 1.0 - 0.999 * q[k];
        }
        let done = |k: &u16| states[usize::from(*k)] == StepState::Completed;
        let ready = |k: usize| {
            states[k] == StepState::InProgress
                || states[k] == StepState::NotStarted && AFTER[k].iter().all(done)
        };
        let may_be = p[STEPS] + (0..STEPS).filter(|k| ready(*k)).map(|k| q[k]).sum::<f64>();
        let shares = |p: &[f64]| -> Vec<f64> {
            let by_state = STATES
                .iter()
                .map(|s| (0..STEPS).filter(|k| states[*k] == *s).map(|k| p[k]).sum());
            by_state
                .chain([
                    first.map_or(0.0, |k| p[k]),
                    (0..STEPS).filter(|k| ready(*k)).map(|k| p[k]).sum(),
                ])
                .collect()
        };
        let shares = [shares(&p), shares(&q), vec![p[STEPS]]].concat();
        let parts = [
            ("mm.step.seen.weight", sum(&|k| p[k])),
            (
                "mm.step.open.weight",
                sum(&|k| f64::from(u8::from(states[k] == StepState::InProgress))),
            ),
            (
                "mm.step.next.weight",
                sum(&|k| f64::from(u8::from(first == Some(k)))),
            ),
            ("mm.step.first.weight", sum(&|k| f[k])),
            (
                "mm.step.ready.weight",
                sum(&|k| if ready(k) { q[k] / may_be } else { 0.0 }),
            ),
            ("mm.step.states.weight", shares),
        ];
        for d in 0..width {
            let product = |(name, x): &(&str, Vec<f64>)| -> f64 {
                tensors[*name][d * x.len()..][..x.len()]
                    .iter()
                    .zip(x)
                    .map(|(w, x)| f64::from(*w) * x)
                    .sum()
            };
            out.push(parts.iter().map(product).sum::<f64>() as f32);
        }
    }
    out
}

#[test]
fn the_layer_is_its_formula_and_each_of_its_tensors_gets_a_gradient() -> Result<()> {
    let config = config();
    let weights = Weights::trainable(3, &CPU);
    let model = Assistant::new(&config, &weights)?;
    let features = Tensor::randn(0f32, 1.0, (3, config.vision_length), &CPU)?;
    let (cosines, states) = frames();
    let (evidence, none) = (batch(0..3), EvidenceBatch::default());
    let with = model.frame_embeds(&features, &evidence)?;
    let added: Vec<f32> = (&with - model.frame_embeds(&features, &none)?)?
        .flatten_all()?
        .to_vec1()?;
    let mut tensors = HashMap::new();
    for (name, var) in weights.vars() {
        tensors.insert(name, var.as_tensor().flatten_all()?.to_vec1()?);
    }
    let expected = naive(
        &tensors,
        &cosines,
        &states,
        config.backbone.embedding_length,
    );
    let found = figures(&added, &expected);
    assert!(
        found.max_abs < 1e-4 && (found.norm_ratio - 1.0).abs() < 1e-4 && found.cosine > 0.99999,
        "{found:?}"
    );

    // A marker takes the same, on its token.
    let told = model.marker_embeds(&[40, 41, 42], &evidence)?;
    let told: Vec<f32> = (told - model.marker_embeds(&[40, 41, 42], &none)?)?
        .flatten_all()?
        .to_vec1()?;
    assert!(figures(&told, &expected).max_abs < 1e-4);

    let fused = Assistant::new(
        &config,
        &Weights::new(weights.taken().into_iter().collect::<HashMap<_, _>>(), &CPU),
    )?;
    let fused = fused.frame_embeds(&features, &evidence)?;
    let difference: f32 = (fused - &with)?.abs()?.max_all()?.to_scalar()?;
    assert!(difference < 2e-5, "{difference}");

    let gradients = with.sqr()?.mean_all()?.backward()?;
    for (name, var) in weights
        .vars()
        .into_iter()
        .filter(|(name, _)| name.starts_with("mm.step."))
    {
        let gradient = gradients
            .get(&var)
            .ok_or_else(|| Error::Model(format!("{name}: no gradient")))?;
        assert!(
            gradient.abs()?.max_all()?.to_scalar::<f32>()? > 0.0,
            "{name}"
        );
    }
    Ok(())
}

#[test]
fn pieces_with_evidence_read_in_chunks_equal_the_whole_and_the_training_forward() -> Result<()> {
    let config = config();
    let weights = Weights::trainable(3, &CPU);
    let model = Assistant::new(&config, &weights)?;
    let features: Vec<Vec<f32>> = (0..2)
        .map(|f| {
            (0..config.vision_length)
                .map(|i| (f * 7 + i) as f32 * 0.1 - 0.5)
                .collect()
        })
        .collect();
    let pieces = [
        Piece::Token(TokenId(5)),
        seen(&features[0], told(0)),
        Piece::Marker(TokenId(40), told(0)),
        Piece::Token(TokenId(6)),
        Piece::Marker(TokenId(41), told(1)),
        seen(&features[1], told(1)),
        Piece::Marker(TokenId(42), told(1)),
    ];
    let whole = model.extend(&pieces, &mut model.new_memory()?)?;
    for size in [1, 2, 3] {
        let mut memory = model.new_memory()?;
        let mut last = None;
        for chunk in pieces.chunks(size) {
            last = Some(model.extend(chunk, &mut memory)?);
        }
        assert!(
            figures(&last.unwrap().to_vec()?, &whole.to_vec()?).max_abs < 2e-5,
            "chunks of {size}"
        );
    }
    // As training puts it together: kind by kind, then in order.
    let tokens = model.embed(&[5, 6])?;
    let markers = model.marker_embeds(&[40, 41, 42], &batch([0, 1, 1]))?;
    let flat = Tensor::from_vec(features.concat(), (2, config.vision_length), &CPU)?;
    let images = model.frame_embeds(&flat, &batch(0..2))?;
    let all = Tensor::cat(&[tokens, markers, images], 0)?
        .index_select(&Tensor::new(&[0u32, 5, 2, 1, 3, 6, 4], &CPU)?, 0)?;
    let hidden = model.forward(&all.unsqueeze(0)?)?.squeeze(0)?;
    let expected: Vec<f32> = hidden.get(pieces.len() - 1)?.to_vec1()?;
    assert!(figures(&whole.to_vec()?, &expected).max_abs < 2e-5);
    Ok(())
}

#[test]
fn evidence_that_is_not_whole_is_refused_and_memory_stays_as_it_was() -> Result<()> {
    let model = Assistant::new(&config(), &Weights::trainable(3, &CPU))?;
    let frame = vec![0.5f32; config().vision_length];
    let (steps, good) = (steps(), told(0));
    let nan = [0.1, f32::NAN, 0.0, 0.0];
    let wordless = named([vec![], vec![TokenId(1)], vec![TokenId(2)]]);
    let unknown = named([vec![TokenId(96)], vec![TokenId(1)], vec![TokenId(2)]]);
    let needy = Steps {
        after: vec![vec![], vec![StepId(3)], vec![]],
        ..steps.clone()
    };
    let free = Steps {
        after: vec![vec![]; 2],
        ..steps.clone()
    };
    let unlike = Steps {
        likeness: vec![1.0; 4],
        ..steps.clone()
    };
    let none = Steps::default();
    let mut memory = model.new_memory()?;
    let mut read = |evidence| model.extend(&[seen(&frame, evidence)], &mut memory);
    read(good.clone())?;
    refused(
        read(Evidence {
            cosines: good.cosines[..3].into(),
            ..good.clone()
        }),
        &["3 cosines", "3 steps", "4"],
    );
    refused(
        read(Evidence {
            cosines: nan.into(),
            ..good.clone()
        }),
        &["finite"],
    );
    refused(
        read(Evidence {
            steps: Arc::new(none),
            ..good.clone()
        }),
        &["0 steps"],
    );
    refused(
        read(Evidence {
            states: good.states[..2].into(),
            ..good.clone()
        }),
        &["states"],
    );
    refused(
        read(Evidence {
            steps: Arc::new(wordless),
            ..good.clone()
        }),
        &["without tokens"],
    );
    refused(
        read(Evidence {
            steps: Arc::new(unknown),
            ..good.clone()
        }),
        &["96"],
    );
    refused(
        read(Evidence {
            steps: Arc::new(unlike),
            ..good.clone()
        }),
        &["3 steps", "4 cosines"],
    );
    refused(
        read(Evidence {
            steps: Arc::new(needy),
            ..good.clone()
        }),
        &["3 steps", "need", "StepId(3)"],
    );
    refused(
        read(Evidence {
            steps: Arc::new(free),
            ..good.clone()
        }),
        &["a list for each"],
    );
    read(Evidence::default())?;
    let other = named([vec![TokenId(20)], vec![TokenId(21)], vec![TokenId(22)]]);
    let two = [
        seen(&frame, good.clone()),
        seen(
            &frame,
            Evidence {
                steps: Arc::new(other.clone()),
                ..good.clone()
            },
        ),
    ];
    refused(model.extend(&two, &mut memory), &["other steps"]);
    let two = [
        Piece::Marker(TokenId(40), good.clone()),
        Piece::Marker(
            TokenId(40),
            Evidence {
                steps: Arc::new(other.clone()),
                ..good.clone()
            },
        ),
    ];
    refused(model.extend(&two, &mut memory), &["other steps"]);
    refused(
        model.extend(
            &[Piece::Marker(
                TokenId(40),
                Evidence {
                    states: good.states[..2].into(),
                    ..good.clone()
                },
            )],
            &mut memory,
        ),
        &["states"],
    );
    assert_eq!(proact::model::Memory::len(&memory), 2);

    let without = Assistant::new(&assistant_config(), &Weights::trainable(3, &CPU))?;
    refused(
        without.extend(&[seen(&frame, good.clone())], &mut without.new_memory()?),
        &["step_evidence"],
    );
    Ok(())
}

/// Reads the number of letters before the first space and behind it.
struct Letters;

impl Perceiver for Letters {
    fn tokens_per_frame(&self) -> usize {
        2
    }
    fn width(&self) -> usize {
        2
    }
    fn encode(&self, _: &[u8], _: u32, _: u32) -> Result<Vec<f32>> {
        Ok(vec![1.0; 4])
    }
    fn read(&self, text: &str) -> Result<Vec<f32>> {
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        Ok(match text {
            "short" => vec![1.0],
            "endless" => vec![f32::INFINITY, 1.0],
            _ => vec![first.len() as f32, rest.len() as f32],
        })
    }
}

#[test]
fn frames_are_compared_with_each_steps_words_and_with_those_for_none() -> Result<()> {
    let words = StepWords::read(
        &Letters,
        vec![
            ("abc defg", vec![TokenId(1)], &[]),
            ("abcd", vec![TokenId(2)], &[StepId(0)]),
        ],
    )?;
    assert_eq!(words.steps().ids, [[TokenId(1)], [TokenId(2)]]);
    assert_eq!(words.steps().after, [vec![], vec![StepId(0)]]);
    assert!(
        figures(&words.steps().likeness, &[1.0, 0.6, 0.6, 1.0]).max_abs < 1e-6,
        "(3,4)/5 and (1,0)"
    );
    // (3,4)/5 and (1,0) against (0,2): only the first V*Dv row counts. The idle words are `Nothing`
    // and 13 more letters.
    let idle = 13.0 / (7.0f32 * 7.0 + 13.0 * 13.0).sqrt();
    assert_eq!(IDLE_WORDS, "Nothing is being done");
    let found = words.cosines(&[0.0, 2.0, 9.0, 9.0])?;
    assert!(
        figures(&found, &[0.8, 0.0, idle]).max_abs < 1e-6,
        "{found:?}"
    );
    assert_eq!(
        words.cosines(&[0.0; 4])?,
        [0.0; 3],
        "a dark feature is like nothing"
    );
    refused(words.cosines(&[1.0]), &["1 numbers", "2"]);
    for bad in ["short", "endless", ""] {
        refused(
            StepWords::read(&Letters, vec![(bad, Vec::new(), &[])]),
            &[bad, "expected 2"],
        );
    }
    Ok(())
}
