//! What several tests share: a tiny configuration and the three figures of a comparison.

use proact::dialogue::layout::SpecialTokens;
use proact::dialogue::policy::{GateConfig, GateKind, Gates};
use proact::model::config::{AssistantConfig, BackboneConfig};
use proact::units::{Threshold, TokenId};

/// How far two lists of numbers are from each other.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Largest absolute difference.
    pub max_abs: f32,
    /// Length of the first over length of the second.
    pub norm_ratio: f64,
    /// Cosine of the angle between them.
    pub cosine: f64,
}

/// Compares two lists of equal length.
pub fn figures(found: &[f32], expected: &[f32]) -> Figures {
    assert_eq!(found.len(), expected.len(), "lengths");
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum::<f64>()
    };
    let (ff, ee, fe) = (
        dot(found, found),
        dot(expected, expected),
        dot(found, expected),
    );
    let max_abs = found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(
            0.0,
            |m: f32, d| if d.is_nan() { f32::NAN } else { m.max(d) },
        );
    let both_zero = ff == 0.0 && ee == 0.0;
    Figures {
        max_abs,
        norm_ratio: if both_zero { 1.0 } else { (ff / ee).sqrt() },
        cosine: if both_zero {
            1.0
        } else {
            fe / (ff * ee).sqrt()
        },
    }
}

/// A tiny assistant: grouped heads, tied output.
pub fn assistant_config() -> AssistantConfig {
    let gate = GateConfig {
        kind: GateKind::Head,
        threshold: Threshold(0.5),
        hysteresis: 0.1,
        refractory_s: 1.0,
    };
    let backbone = BackboneConfig {
        block_count: 3,
        embedding_length: 64,
        feed_forward_length: 96,
        head_count: 4,
        head_count_kv: 2,
        key_length: 16,
        context_length: 512,
        rope_freq_base: 10_000.0,
        rope_factors: false,
        rms_eps: 1e-5,
        vocab_size: 96,
        tied_output: true,
    };
    let gates = Gates {
        speak: gate,
        dst_update: gate,
    };
    let tokens = SpecialTokens {
        bos: Some(TokenId(1)),
        eot: TokenId(2),
        image: TokenId(3),
        dst: TokenId(4),
        asst: TokenId(5),
    };
    AssistantConfig::plain(backbone, 32, gates, tokens)
}
