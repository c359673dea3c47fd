//! The model's own consistency: reading in chunks, rewinding, evicting, gradients, quantized weights, bad input.

mod common;

use std::collections::HashMap;

use candle_core::Device;
use common::{assistant_config, figures};
use proact::error::{Error, Result};
use proact::model::assistant::Assistant;

use proact::model::weights::{Stored, Weights};
use proact::model::{Backbone, Memory, Piece};
use proact::units::TokenId;

/// A random assistant's tensors.
fn tensors(config: &proact::model::config::AssistantConfig) -> Result<HashMap<String, Stored>> {
    let weights = Weights::trainable(7, &Device::Cpu);
    Assistant::new(config, &weights)?;
    Ok(weights.taken().into_iter().collect())
}

fn fused(config: &proact::model::config::AssistantConfig) -> Result<Assistant> {
    Assistant::new(config, &Weights::new(tensors(config)?, &Device::Cpu))
}

/// Features of some frames, different in every number.
fn features(frames: usize, length: usize) -> Vec<Vec<f32>> {
    let value = |i: usize| ((i as f32) * 0.7317).sin();
    (0..frames).map(|f| (0..length).map(|i| value(f * length + i)).collect()).collect()
}

/// Tokens and frames in turn.
fn pieces(frames: &[Vec<f32>]) -> Vec<Piece<'_>> {
    let mut all = vec![Piece::Token(TokenId(1)), Piece::Token(TokenId(9))];
    for (n, frame) in frames.iter().enumerate() {
        all.push(Piece::Features(frame));
        all.extend((0..n % 3).map(|k| Piece::Token(TokenId(10 + (n + k) as u32))));
    }
    all
}

#[test]
fn chunks_equal_the_whole() -> Result<()> {
    let config = assistant_config();
    let model = fused(&config)?;
    // More positions than attention looks at in one go.
    let frames = features(70, config.tokens_per_frame * config.vision_length);
    let pieces = pieces(&frames);
    let mut at_once = model.new_memory()?;
    let whole = model.extend(&pieces, &mut at_once)?;
    assert!(at_once.len() > 130, "{} positions", at_once.len());
    for size in [1, 3, 50] {
        let mut memory = model.new_memory()?;
        let mut last = None;
        for chunk in pieces.chunks(size) {
            last = Some(model.extend(chunk, &mut memory)?);
        }
        let last = last.ok_or_else(|| Error::Invalid("no chunk".into()))?;
        assert_eq!(memory.len(), at_once.len());
        let worst = figures(&last.0, &whole.0).max_abs;
        assert!(worst < 2e-5, "chunks of {size}: {worst}");
    }
    Ok(())
}
