//! What is written is read back; what is missing, of another type or out of range is named.

use std::collections::HashMap;

use super::MetaValue;
use crate::dialogue::layout::{LayoutName, SpecialTokens};
use crate::dialogue::policy::{GateConfig, GateKind, Gates};
use crate::error::Result;
use crate::model::calibration::{Calibration, CurvePoint};
use crate::model::config::{
    AssistantConfig, BackboneConfig, HeadKind, TextConfig, VisionConfig, VisionRef,
};
use crate::units::{Threshold, TokenId};

fn gate(threshold: f32) -> GateConfig {
    GateConfig {
        kind: GateKind::Head,
        threshold: Threshold(threshold),
        hysteresis: 0.05,
        refractory_s: 1.5,
    }
}

fn point(threshold: f32, precision: Option<f32>) -> CurvePoint {
    CurvePoint {
        threshold,
        score: 0.75,
        precision,
        recall: Some(0.125),
    }
}

fn assistant() -> AssistantConfig {
    AssistantConfig {
        backbone: BackboneConfig {
            block_count: 6,
            embedding_length: 192,
            feed_forward_length: 512,
            head_count: 6,
            head_count_kv: 2,
            key_length: 32,
            context_length: 4096,
            rope_freq_base: 500_000.0,
            rope_factors: true,
            rms_eps: 1e-5,
            vocab_size: 2048,
            tied_output: false,
        },
        vision_length: 160,
        tokens_per_frame: 5,
        projector_length: 256,
        heads: HeadKind::Mlp,
        gates: Gates {
            speak: gate(0.37),
            dst_update: GateConfig {
                kind: GateKind::Token,
                ..gate(0.6)
            },
        },
        tokens: SpecialTokens {
            bos: Some(TokenId(0)),
            eot: TokenId(1),
            image: TokenId(2),
            dst: TokenId(3),
            asst: TokenId(4),
        },
        layout: LayoutName::Dstproact,
        update_output: true,
        step_evidence: true,
        speech_note: true,
        calibration: Some(Calibration {
            metric: "mean".into(),
            recordings: 24,
            speak: vec![point(0.3, Some(0.5)), point(0.9, None)],
            dst_update: vec![point(0.5, Some(0.25))],
        }),
        vision: Some(VisionRef {
            file: "vision.gguf".into(),
            sha256: "0f".repeat(32),
        }),
    }
}

fn vision() -> VisionConfig {
    VisionConfig {
        image_size: 96,
        patch_size: 12,
        embedding_length: 160,
        feed_forward_length: 640,
        block_count: 5,
        head_count: 5,
        layer_norm_eps: 1e-6,
        mean: [0.5; 3],
        std: [0.5; 3],
        pool_head: true,
        patch_grids: vec![2],
    }
}

fn said<T>(result: Result<T>) -> String {
    result
        .err()
        .map_or_else(|| "accepted".into(), |e| e.to_string())
}

type Map = HashMap<String, MetaValue>;

fn read_assistant(map: &Map) -> Result<AssistantConfig> {
    AssistantConfig::from_metadata(&|key| map.get(key).cloned())
}

fn text() -> TextConfig {
    TextConfig {
        vocab_size: 2048,
        context_length: 24,
        embedding_length: 96,
        feed_forward_length: 384,
        block_count: 1,
        head_count: 4,
        layer_norm_eps: 1e-6,
        projection_length: 160,
        mean_pool: true,
        pad_token: TokenId(7),
    }
}

fn read_text(map: &Map) -> Result<Option<TextConfig>> {
    TextConfig::from_metadata(&|key| map.get(key).cloned())
}

fn read_vision(map: &Map) -> Result<VisionConfig> {
    VisionConfig::from_metadata(&|key| map.get(key).cloned())
}

#[test]
fn json_and_metadata_give_back_what_was_written() -> Result<()> {
    let mut bare = assistant();
    bare.vision = None;
    bare.calibration = None;
    bare.tokens.bos = None;
    for config in [assistant(), bare] {
        assert_eq!(AssistantConfig::from_json(&config.to_json()?)?, config);
        assert_eq!(
            read_assistant(&config.to_metadata()?.into_iter().collect())?,
            config
        );
    }
    for grids in [vec![], vec![2, 3, 5]] {
        let config = VisionConfig {
            patch_grids: grids,
            ..vision()
        };
        assert_eq!(
            read_vision(&config.to_metadata()?.into_iter().collect())?,
            config
        );
    }
    assert_eq!(
        VisionConfig {
            patch_grids: vec![2, 3, 5],
            ..vision()
        }
        .tokens_per_frame(),
        39
    );
    assert_eq!(
        read_text(&text().to_metadata()?.into_iter().collect())?,
        Some(text())
    );
    assert_eq!(
        read_text(&vision().to_metadata()?.into_iter().collect())?,
        None,
        "a file without a text tower"
    );
    Ok(())
}

#[test]
fn each_key_is_needed_and_has_a_type() -> Result<()> {
    // Absent, these mean "no start token", "no vision file yet" (both keys), "no grids", "no text
    // tower", "one output for all", "no evidence of steps" and "not calibrated".
    let optional = [
        "tokenizer.ggml.bos_token_id",
        "clip.vision.patch_grids",
        "clip.has_text_encoder",
        "dstproact.update_output",
        "dstproact.step_evidence",
        "dstproact.speech_note",
        "dstproact.update_prob_min",
        "dstproact.calibration.metric",
    ];
    let check = |pairs: Vec<(String, MetaValue)>, read: &dyn Fn(&Map) -> Option<String>| {
        let whole: Map = pairs.into_iter().collect();
        assert_eq!(read(&whole), None);
        for key in whole.keys() {
            let mut map = whole.clone();
            map.remove(key);
            if !optional.contains(&key.as_str()) {
                let text = read(&map).unwrap_or_default();
                assert!(text.contains(key.as_str()), "without {key}: {text:?}");
            }
            map.insert(key.clone(), MetaValue::Array(vec![MetaValue::Bool(true)]));
            let text = read(&map).unwrap_or_default();
            assert!(
                text.contains(key.as_str()) && text.contains("expected"),
                "{key} of another type: {text:?}"
            );
        }
    };
    check(assistant().to_metadata()?, &|map| {
        read_assistant(map).err().map(|e| e.to_string())
    });
    check(vision().to_metadata()?, &|map| {
        read_vision(map).err().map(|e| e.to_string())
    });
    check(text().to_metadata()?, &|map| {
        read_text(map).err().map(|e| e.to_string())
    });
    Ok(())
}

#[test]
fn values_out_of_range_are_named() {
    type Change = fn(&mut AssistantConfig);
    let cases: [(&str, Change); 28] = [
        ("head_count_kv", |c| c.backbone.head_count_kv = 4),
        ("head_count_kv", |c| c.backbone.head_count_kv = 0),
        ("head_count_kv", |c| c.backbone.head_count_kv = 12),
        ("head_count", |c| c.backbone.head_count = 0),
        ("key_length", |c| c.backbone.key_length = 33),
        ("key_length", |c| c.backbone.key_length = 0),
        ("key_length", |c| c.backbone.key_length = usize::MAX - 1),
        ("block_count", |c| c.backbone.block_count = 1 << 40),
        ("embedding_length", |c| c.backbone.embedding_length = 0),
        ("feed_forward_length", |c| {
            c.backbone.feed_forward_length = usize::MAX
        }),
        ("context_length", |c| c.backbone.context_length = 0),
        ("vocab_size", |c| c.backbone.vocab_size = usize::MAX),
        ("rms_epsilon", |c| c.backbone.rms_eps = f64::NAN),
        ("rope.freq_base", |c| c.backbone.rope_freq_base = 0.0),
        ("rope.freq_base", |c| {
            c.backbone.rope_freq_base = f64::INFINITY
        }),
        ("tokens_per_frame", |c| c.tokens_per_frame = 0),
        ("gate.speak.threshold", |c| {
            c.gates.speak.threshold = Threshold(1.5)
        }),
        ("gate.dst_update.threshold", |c| {
            c.gates.dst_update.threshold = Threshold(f32::NAN)
        }),
        ("gate.speak.refractory_s", |c| {
            c.gates.speak.refractory_s = -1.0
        }),
        ("token.image", |c| c.tokens.image = TokenId(2048)),
        ("different ids", |c| c.tokens.image = c.tokens.dst),
        ("gate.speak.kind", |c| c.gates.speak.kind = GateKind::Off),
        ("calibration.speak", |c| {
            c.calibration.as_mut().unwrap().speak.reverse()
        }),
        ("calibration.speak", |c| {
            c.calibration.as_mut().unwrap().speak.clear()
        }),
        ("calibration.dst_update", |c| {
            c.calibration.as_mut().unwrap().dst_update[0].score = f32::NAN
        }),
        ("calibration.dst_update", |c| {
            c.calibration.as_mut().unwrap().dst_update[0].recall = Some(2.0)
        }),
        ("vision.file", |c| {
            c.vision = Some(VisionRef {
                file: "../vision.gguf".into(),
                sha256: "0f".repeat(32),
            })
        }),
        ("vision.sha256", |c| {
            c.vision = Some(VisionRef {
                file: "v.gguf".into(),
                sha256: "0F".repeat(32),
            })
        }),
    ];
    for (key, change) in cases {
        let mut config = assistant();
        change(&mut config);
        let text = said(config.validate());
        assert!(
            text.contains(key) && text.contains("expected"),
            "{key}: {text:?}"
        );
        assert!(
            config.to_metadata().is_err() && config.to_json().is_err(),
            "{key}: written"
        );
    }
    type See = fn(&mut VisionConfig);
    let cases: [(&str, See); 9] = [
        ("patch_size", |c| c.patch_size = 97),
        ("patch_size", |c| c.patch_size = 0),
        ("head_count", |c| c.head_count = 7),
        ("image_size", |c| c.image_size = 1 << 30),
        ("image_std", |c| c.std[1] = 0.0),
        ("image_mean", |c| c.mean[2] = f32::NAN),
        ("patch_grids", |c| c.patch_grids = vec![9]),
        ("patch_grids", |c| c.patch_grids = vec![0]),
        ("tokens per frame", |c| {
            (c.pool_head, c.patch_grids) = (false, vec![])
        }),
    ];
    for (key, change) in cases {
        let mut config = vision();
        change(&mut config);
        let text = said(config.validate());
        assert!(
            text.contains(key) && text.contains("expected"),
            "{key}: {text:?}"
        );
    }
}

#[test]
fn unknown_json_keys_are_refused() -> Result<()> {
    let text = assistant()
        .to_json()?
        .replacen("\"layout\"", "\"speed\": 3, \"layout\"", 1);
    assert!(said(AssistantConfig::from_json(&text)).contains("speed"));
    Ok(())
}

#[test]
fn a_model_that_asks_for_a_rule_that_is_gone_is_refused_by_its_key() -> Result<()> {
    let json = |keys: &str| {
        let text = assistant().to_json().unwrap();
        let text = text.replacen("\"layout\"", &format!("{keys}, \"layout\""), 1);
        AssistantConfig::from_json(&text)
    };
    let off = json("\"update_prob_min\": 0.0, \"update_patience_s\": 2.0")?;
    assert_eq!(off, assistant());
    assert!(said(json("\"update_prob_min\": 0.5")).contains("update_prob_min"));
    assert!(said(json("\"update_prob_min\": \"x\"")).contains("update_prob_min"));

    let mut map: Map = assistant().to_metadata()?.into_iter().collect();
    map.insert("dstproact.update_prob_min".into(), MetaValue::F32(0.5));
    let said = said(read_assistant(&map));
    assert!(
        said.contains("update_prob_min") && said.contains("0.5"),
        "{said}"
    );
    Ok(())
}
