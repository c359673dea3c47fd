//! The assistant's hyper-parameters as metadata: backbone, gates, calibration, tokens.

use super::{ASSISTANT_ARCHITECTURE, MetaValue, Pairs, Reader, architecture, push, push_sizes};
use crate::dialogue::layout::{LayoutName, SpecialTokens};
use crate::dialogue::policy::{GateConfig, GateKind, Gates};
use crate::error::{Error, Result};
use crate::model::calibration::{Calibration, CurvePoint};
use crate::model::config::{
    AssistantConfig, BackboneConfig, GATE_KINDS, HeadKind, VisionRef, expect_no_waiting,
};
use crate::units::Threshold;

impl BackboneConfig {
    fn read(r: &Reader<'_>) -> Result<Self> {
        let config = Self {
            block_count: r.size("block_count")?,
            embedding_length: r.size("embedding_length")?,
            feed_forward_length: r.size("feed_forward_length")?,
            head_count: r.size("attention.head_count")?,
            head_count_kv: r.size("attention.head_count_kv")?,
            key_length: r.size("attention.key_length")?,
            context_length: r.size("context_length")?,
            rope_freq_base: r.float("rope.freq_base")?,
            rope_factors: r.flag("rope.frequency_factors")?,
            rms_eps: r.float("attention.layer_norm_rms_epsilon")?,
            vocab_size: r.size("vocab_size")?,
            tied_output: r.flag("tied_output")?,
        };
        for name in ["attention.value_length", "rope.dimension_count"] {
            let found = r.size(name)?;
            if found != config.key_length {
                return Err(Error::Model(format!(
                    "metadata key {}: found {found}, expected attention.key_length = {}",
                    r.key(name),
                    config.key_length
                )));
            }
        }
        Ok(config)
    }

    /// Appends its keys under a prefix: `dstproact`, or `llama` for a Llama alone.
    pub fn write(&self, pairs: &mut Pairs, prefix: &str) -> Result<()> {
        push_sizes(
            pairs,
            prefix,
            &[
                ("block_count", self.block_count),
                ("context_length", self.context_length),
                ("embedding_length", self.embedding_length),
                ("feed_forward_length", self.feed_forward_length),
                ("attention.head_count", self.head_count),
                ("attention.head_count_kv", self.head_count_kv),
                ("attention.key_length", self.key_length),
                ("attention.value_length", self.key_length),
                ("rope.dimension_count", self.key_length),
                ("vocab_size", self.vocab_size),
            ],
        )?;
        push(
            pairs,
            prefix,
            "attention.layer_norm_rms_epsilon",
            MetaValue::F32(self.rms_eps as f32),
        );
        push(
            pairs,
            prefix,
            "rope.freq_base",
            MetaValue::F32(self.rope_freq_base as f32),
        );
        push(
            pairs,
            prefix,
            "rope.frequency_factors",
            MetaValue::Bool(self.rope_factors),
        );
        push(
            pairs,
            prefix,
            "tied_output",
            MetaValue::Bool(self.tied_output),
        );
        Ok(())
    }
}

fn read_gate(r: &Reader<'_>, gate: &str) -> Result<GateConfig> {
    Ok(GateConfig {
        kind: r.word(&format!("gate.{gate}.kind"), &GATE_KINDS, GateKind::word)?,
        threshold: Threshold(r.float(&format!("gate.{gate}.threshold"))? as f32),
        hysteresis: r.float(&format!("gate.{gate}.hysteresis"))? as f32,
        refractory_s: r.float(&format!("gate.{gate}.refractory_s"))?,
    })
}

fn write_gate(gate: &GateConfig, pairs: &mut Pairs, prefix: &str, name: &str) {
    for (key, value) in [
        ("kind", MetaValue::String(gate.kind.word().to_owned())),
        ("threshold", MetaValue::F32(gate.threshold.0)),
        ("hysteresis", MetaValue::F32(gate.hysteresis)),
        ("refractory_s", MetaValue::F64(gate.refractory_s)),
    ] {
        push(pairs, prefix, &format!("gate.{name}.{key}"), value);
    }
}

/// Key of the start token: llama.cpp's own.
const BOS_KEY: &str = "tokenizer.ggml.bos_token_id";
/// Key of the end of a turn: llama.cpp's own.
const EOT_KEY: &str = "tokenizer.ggml.eot_token_id";

/// Arrays of a curve: key, and what a point has there. What is not there is NaN.
type Column = (&'static str, fn(&CurvePoint) -> f32);
const COLUMNS: [Column; 4] = [
    ("threshold", |p| p.threshold),
    ("score", |p| p.score),
    ("precision", |p| p.precision.unwrap_or(f32::NAN)),
    ("recall", |p| p.recall.unwrap_or(f32::NAN)),
];

impl Calibration {
    fn read(r: &Reader<'_>) -> Result<Option<Self>> {
        // Older files, and those whose gates were set by hand, have none.
        if (r.look_up)(&r.key("calibration.metric")).is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            metric: r.text("calibration.metric")?,
            recordings: r.size("calibration.recordings")?,
            speak: read_curve(r, "speak")?,
            dst_update: read_curve(r, "dst_update")?,
        }))
    }

    fn write(&self, pairs: &mut Pairs, prefix: &str) {
        push(
            pairs,
            prefix,
            "calibration.metric",
            MetaValue::String(self.metric.clone()),
        );
        push(
            pairs,
            prefix,
            "calibration.recordings",
            MetaValue::U64(self.recordings as u64),
        );
        for (gate, curve) in [("speak", &self.speak), ("dst_update", &self.dst_update)] {
            for (name, of) in COLUMNS {
                let values = curve
                    .iter()
                    .map(|point| MetaValue::F32(of(point)))
                    .collect();
                push(
                    pairs,
                    prefix,
                    &format!("calibration.{gate}.{name}"),
                    MetaValue::Array(values),
                );
            }
        }
    }
}

fn read_curve(r: &Reader<'_>, gate: &str) -> Result<Vec<CurvePoint>> {
    let [thresholds, scores, precisions, recalls] =
        COLUMNS.map(|(name, _)| r.floats(&format!("calibration.{gate}.{name}")));
    let (thresholds, scores, precisions, recalls) = (thresholds?, scores?, precisions?, recalls?);
    let lengths = [
        thresholds.len(),
        scores.len(),
        precisions.len(),
        recalls.len(),
    ];
    if lengths.iter().any(|length| *length != thresholds.len()) {
        let key = r.key(&format!("calibration.{gate}"));
        return Err(Error::Model(format!(
            "metadata key {key}: found arrays of {lengths:?} numbers, expected equal lengths"
        )));
    }
    let known = |value: f32| (!value.is_nan()).then_some(value);
    let point = |i: usize| CurvePoint {
        threshold: thresholds[i],
        score: scores[i],
        precision: known(precisions[i]),
        recall: known(recalls[i]),
    };
    Ok((0..thresholds.len()).map(point).collect())
}

impl AssistantConfig {
    /// Reads the hyper-parameters of an assistant file and checks them.
    ///
    /// # Errors
    /// A missing key, a value of another type or out of its range; the message names key and
    /// expectation.
    pub fn from_metadata(look_up: &dyn Fn(&str) -> Option<MetaValue>) -> Result<Self> {
        architecture(look_up, ASSISTANT_ARCHITECTURE)?;
        let r = Reader {
            look_up,
            prefix: ASSISTANT_ARCHITECTURE,
        };
        let vision = match (
            look_up("dstproact.vision.file"),
            look_up("dstproact.vision.sha256"),
        ) {
            (None, None) => None,
            _ => Some(VisionRef {
                file: r.text("vision.file")?,
                sha256: r.text("vision.sha256")?,
            }),
        };
        if look_up("dstproact.update_prob_min").is_some() {
            let least = r.float("update_prob_min")?;
            expect_no_waiting(Some(least), &least)?;
        }
        let config = Self {
            backbone: BackboneConfig::read(&r)?,
            vision_length: r.size("vision.embedding_length")?,
            tokens_per_frame: r.size("vision.tokens_per_frame")?,
            projector_length: r.size("projector.feed_forward_length")?,
            heads: r.word("heads", &HeadKind::ALL, HeadKind::word)?,
            gates: Gates {
                speak: read_gate(&r, "speak")?,
                dst_update: read_gate(&r, "dst_update")?,
            },
            tokens: SpecialTokens {
                bos: look_up(BOS_KEY).map(|_| r.token_at(BOS_KEY)).transpose()?,
                eot: r.token_at(EOT_KEY)?,
                image: r.token_at("dstproact.token.image")?,
                dst: r.token_at("dstproact.token.dst")?,
                asst: r.token_at("dstproact.token.asst")?,
            },
            layout: r.word("layout", &LayoutName::ALL, LayoutName::word)?,
            // Older files have none of these keys.
            update_output: match look_up("dstproact.update_output") {
                None => false,
                Some(_) => r.flag("update_output")?,
            },
            step_evidence: match look_up("dstproact.step_evidence") {
                None => false,
                Some(_) => r.flag("step_evidence")?,
            },
            speech_note: match look_up("dstproact.speech_note") {
                None => false,
                Some(_) => r.flag("speech_note")?,
            },
            calibration: Calibration::read(&r)?,
            vision,
        };
        config.validate()?;
        Ok(config)
    }

    /// The keys that calibration changes: both gates, and where their settings come from.
    pub fn gate_metadata(&self) -> Vec<(String, MetaValue)> {
        let (mut pairs, prefix) = (Vec::new(), ASSISTANT_ARCHITECTURE);
        write_gate(&self.gates.speak, &mut pairs, prefix, "speak");
        write_gate(&self.gates.dst_update, &mut pairs, prefix, "dst_update");
        if let Some(calibration) = &self.calibration {
            calibration.write(&mut pairs, prefix);
        }
        pairs
    }

    /// The pairs to write, `general.architecture` first, each with its type.
    ///
    /// # Errors
    /// The configuration is not valid.
    pub fn to_metadata(&self) -> Result<Vec<(String, MetaValue)>> {
        self.validate()?;
        let prefix = ASSISTANT_ARCHITECTURE;
        let mut pairs = vec![(
            "general.architecture".to_owned(),
            MetaValue::String(prefix.to_owned()),
        )];
        self.backbone.write(&mut pairs, prefix)?;
        push_sizes(
            &mut pairs,
            prefix,
            &[
                ("vision.embedding_length", self.vision_length),
                ("vision.tokens_per_frame", self.tokens_per_frame),
                ("projector.feed_forward_length", self.projector_length),
            ],
        )?;
        push(
            &mut pairs,
            prefix,
            "heads",
            MetaValue::String(self.heads.word().to_owned()),
        );
        pairs.extend(self.gate_metadata());
        for (name, id) in [
            ("image", self.tokens.image),
            ("dst", self.tokens.dst),
            ("asst", self.tokens.asst),
        ] {
            push(
                &mut pairs,
                prefix,
                &format!("token.{name}"),
                MetaValue::U32(id.0),
            );
        }
        if let Some(bos) = self.tokens.bos {
            pairs.push((BOS_KEY.to_owned(), MetaValue::U32(bos.0)));
        }
        pairs.push((EOT_KEY.to_owned(), MetaValue::U32(self.tokens.eot.0)));
        push(
            &mut pairs,
            prefix,
            "layout",
            MetaValue::String(self.layout.word().to_owned()),
        );
        if self.update_output {
            push(&mut pairs, prefix, "update_output", MetaValue::Bool(true));
        }
        push(
            &mut pairs,
            prefix,
            "step_evidence",
            MetaValue::Bool(self.step_evidence),
        );
        push(
            &mut pairs,
            prefix,
            "speech_note",
            MetaValue::Bool(self.speech_note),
        );
        // Says nothing any more; without it, the same weights would be another file.
        push(&mut pairs, prefix, "update_prob_min", MetaValue::F32(0.0));
        if let Some(vision) = &self.vision {
            push(
                &mut pairs,
                prefix,
                "vision.file",
                MetaValue::String(vision.file.clone()),
            );
            push(
                &mut pairs,
                prefix,
                "vision.sha256",
                MetaValue::String(vision.sha256.clone()),
            );
        }
        Ok(pairs)
    }
}
