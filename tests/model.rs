//! The model's own consistency: reading in chunks, rewinding, evicting, gradients, quantized
//! weights, bad input.

mod common;

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use common::{assistant_config, figures};
use proact::dialogue::policy::GateKind;
use proact::error::{Error, Result};
use proact::model::assistant::Assistant;
use proact::model::config::{AssistantConfig, HeadKind, TextConfig, VisionConfig};
use proact::model::encoder::Vision;
use proact::model::memory::KvMemory;
use proact::model::nn::Embedding;
use proact::model::text::TextTower;
use proact::model::weights::{Stored, Weights};
use proact::model::{Backbone, Evidence, Hidden, Mark, Memory, Piece};
use proact::units::TokenId;

const CPU: Device = Device::Cpu;

/// A random assistant's tensors.
fn tensors(config: &AssistantConfig) -> Result<HashMap<String, Stored>> {
    let weights = Weights::trainable(7, &CPU);
    Assistant::new(config, &weights)?;
    Ok(weights.taken().into_iter().collect())
}

fn assistant(config: &AssistantConfig) -> Result<Assistant> {
    Assistant::new(config, &Weights::new(tensors(config)?, &CPU))
}

/// Features of some frames, different in every number.
fn features(frames: usize, length: usize) -> Vec<Vec<f32>> {
    let value = |i: usize| ((i as f32) * 0.7317).sin();
    (0..frames)
        .map(|f| (0..length).map(|i| value(f * length + i)).collect())
        .collect()
}

fn token(id: u32) -> Piece {
    Piece::Token(TokenId(id))
}

fn seen(features: &[f32]) -> Piece {
    Piece::Frame {
        number: 0,
        features: features.into(),
        evidence: Evidence::default(),
    }
}

/// Tokens and frames in turn.
fn pieces(frames: &[Vec<f32>]) -> Vec<Piece> {
    let mut all = vec![token(1), token(9)];
    for (n, frame) in frames.iter().enumerate() {
        all.push(seen(frame));
        if n % 4 == 1 {
            all.push(Piece::Marker(
                TokenId(20 + n as u32 % 60),
                Evidence::default(),
            ));
        }
        all.extend((0..n % 3).map(|k| token(10 + (n + k) as u32 % 80)));
    }
    all
}

/// Reads the pieces in chunks and gives the last hidden state.
fn read(
    model: &Assistant,
    pieces: &[Piece],
    chunk: usize,
    memory: &mut KvMemory,
) -> Result<Hidden> {
    let mut last = None;
    for part in pieces.chunks(chunk) {
        last = Some(model.extend(part, memory)?);
    }
    Ok(last.expect("some pieces"))
}

/// The error says every one of these words.
fn refused<T>(result: Result<T>, words: &[&str]) {
    let Err(error) = result else {
        panic!("accepted, expected a refusal that says {words:?}")
    };
    let text = error.to_string();
    assert!(
        words.iter().all(|word| text.contains(word)),
        "{text:?} does not say {words:?}"
    );
}

fn list(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

#[test]
fn chunks_equal_the_whole() -> Result<()> {
    for (tokens_per_frame, tied) in [(1, true), (3, false)] {
        let mut config = AssistantConfig {
            tokens_per_frame,
            ..assistant_config()
        };
        config.backbone.tied_output = tied;
        let model = assistant(&config)?;
        let frames = features(70, tokens_per_frame * config.vision_length);
        let pieces = pieces(&frames);
        let mut at_once = model.new_memory()?;
        let whole = read(&model, &pieces, pieces.len(), &mut at_once)?;
        // More than the 128 query rows that attention looks at in one go.
        assert!(at_once.len() > 130, "{} positions", at_once.len());
        for chunk in [1, 3, 50] {
            let mut memory = model.new_memory()?;
            let last = read(&model, &pieces, chunk, &mut memory)?;
            assert_eq!(memory.len(), at_once.len());
            let worst = figures(&last.to_vec()?, &whole.to_vec()?).max_abs;
            assert!(worst < 2e-5, "chunks of {chunk}: {worst}");
        }
    }
    Ok(())
}

#[test]
fn extending_equals_the_training_forward() -> Result<()> {
    let config = assistant_config();
    let trained = Assistant::new(&config, &Weights::trainable_from(tensors(&config)?, &CPU))?;
    let model = assistant(&config)?;
    let frames = features(30, config.vision_length);
    let mut memory = model.new_memory()?;
    let last = read(&model, &pieces(&frames), 7, &mut memory)?;
    // The same sequence as training builds it: rows put together, one pass.
    let rows = pieces(&frames)
        .iter()
        .map(|piece| match piece {
            Piece::Token(id) | Piece::Marker(id, _) => trained.embed(&[id.0]),
            Piece::Frame { features, .. } => trained.project(&Tensor::from_slice(
                features,
                (1, config.vision_length),
                &CPU,
            )?),
        })
        .collect::<Result<Vec<_>>>()?;
    let hidden = trained
        .forward(&Tensor::cat(&rows, 0)?.unsqueeze(0)?)?
        .squeeze(0)?;
    assert_eq!(hidden.dim(0)?, memory.len());
    let expected = hidden.narrow(0, memory.len() - 1, 1)?;
    let f = figures(&last.to_vec()?, &list(&expected)?);
    assert!(f.max_abs < 2e-5, "{f:?}");
    let (speak, dst_update) = trained.head_logits_tensor(&expected)?;
    let heads = model.heads(&last)?;
    assert!(
        (heads.speak.0 - list(&speak)?[0]).abs() < 1e-5
            && (heads.dst_update.0 - list(&dst_update)?[0]).abs() < 1e-5
    );
    let f = figures(
        &model.lm_logits(&last)?,
        &list(&trained.lm_logits_tensor(&expected)?)?,
    );
    assert!(f.max_abs < 2e-5, "{f:?}");
    Ok(())
}

#[test]
fn what_was_rewound_has_never_been_read() -> Result<()> {
    let model = assistant(&assistant_config())?;
    let frames = features(12, model.config().vision_length);
    let (start, end) = (pieces(&frames[..8]), pieces(&frames[8..]));
    let mut plain = model.new_memory()?;
    read(&model, &start, 5, &mut plain)?;
    let expected = read(&model, &end, 5, &mut plain)?;
    let mut memory = model.new_memory()?;
    read(&model, &start, 5, &mut memory)?;
    let mark = memory.mark();
    read(
        &model,
        &(20..60).map(token).collect::<Vec<_>>(),
        4,
        &mut memory,
    )?;
    memory.rewind(mark)?;
    assert_eq!(memory.mark(), mark);
    let again = read(&model, &end, 5, &mut memory)?;
    assert_eq!(again.to_vec()?, expected.to_vec()?, "to the bit");
    refused(memory.rewind(Mark(memory.len() + 1)), &["mark"]);
    Ok(())
}

#[test]
fn evicting_equals_never_having_read_in_a_model_of_one_block() -> Result<()> {
    let mut config = assistant_config();
    // Keys and values of the first block follow from the embeddings alone, so here eviction must be
    // exact.
    config.backbone.block_count = 1;
    let model = assistant(&config)?;
    let ids: Vec<Piece> = (10..70).map(token).collect();
    for range in [0..5, 20..33, 50..60, 0..60, 7..7] {
        let kept = [&ids[..range.start], &ids[range.end..]].concat();
        let mut memory = model.new_memory()?;
        read(&model, &ids, 60, &mut memory)?;
        memory.evict(range.clone())?;
        assert_eq!(memory.len(), kept.len());
        let mut fresh = model.new_memory()?;
        if !kept.is_empty() {
            read(&model, &kept, 60, &mut fresh)?;
            let ((keys, values), (keys_fresh, values_fresh)) = (memory.block(0)?, fresh.block(0)?);
            for (name, a, b) in [("keys", keys, keys_fresh), ("values", values, values_fresh)] {
                let worst = figures(&list(&a)?, &list(&b)?).max_abs;
                assert!(worst < 1e-5, "{name} after {range:?}: {worst}");
            }
        }
        let after = figures(
            &model.extend(&[token(77)], &mut memory)?.to_vec()?,
            &model.extend(&[token(77)], &mut fresh)?.to_vec()?,
        );
        assert!(
            after.max_abs < 1e-5,
            "reading on after {range:?}: {after:?}"
        );
        refused(memory.evict(0..memory.len() + 1), &["range"]);
    }
    Ok(())
}

#[test]
fn evicting_moves_the_first_blocks_keys_to_their_new_places() -> Result<()> {
    let model = assistant(&assistant_config())?;
    let ids: Vec<Piece> = (10..60).map(token).collect();
    let mut memory = model.new_memory()?;
    read(&model, &ids, 50, &mut memory)?;
    // Twice, as a long session does.
    memory.evict(5..15)?;
    memory.evict(20..25)?;
    let kept = [&ids[..5], &ids[15..30], &ids[35..]].concat();
    let mut fresh = model.new_memory()?;
    read(&model, &kept, 50, &mut fresh)?;
    let worst = figures(&list(&memory.block(0)?.0)?, &list(&fresh.block(0)?.0)?).max_abs;
    assert!(worst < 1e-5, "{worst}");
    Ok(())
}

#[test]
fn a_full_memory_is_told_and_left_alone() -> Result<()> {
    let model = assistant(&assistant_config())?.with_memory_tokens(10)?;
    let mut memory = model.new_memory()?;
    assert_eq!((memory.capacity(), memory.is_empty()), (10, true));
    read(
        &model,
        &(10..18).map(token).collect::<Vec<_>>(),
        8,
        &mut memory,
    )?;
    let full = model.extend(&[token(20), token(21), token(22)], &mut memory);
    assert!(
        matches!(
            full,
            Err(Error::MemoryFull {
                tokens: 8,
                needed: 3,
                capacity: 10
            })
        ),
        "{full:?}"
    );
    let mut plain = model.new_memory()?;
    read(
        &model,
        &(10..18).map(token).collect::<Vec<_>>(),
        8,
        &mut plain,
    )?;
    let next = [token(30), token(31)];
    assert_eq!(
        model.extend(&next, &mut memory)?.to_vec()?,
        model.extend(&next, &mut plain)?.to_vec()?
    );
    assert_eq!(memory.len(), 10);
    refused(
        assistant(&assistant_config())?.with_memory_tokens(513),
        &["513", "512"],
    );
    refused(
        assistant(&assistant_config())?.with_memory_tokens(0),
        &["0", "512"],
    );
    Ok(())
}

fn vision_config() -> VisionConfig {
    VisionConfig {
        image_size: 32,
        patch_size: 8,
        embedding_length: 32,
        feed_forward_length: 64,
        block_count: 2,
        head_count: 4,
        layer_norm_eps: 1e-6,
        mean: [0.5; 3],
        std: [0.5; 3],
        pool_head: true,
        patch_grids: vec![2],
    }
}

fn text_config() -> TextConfig {
    TextConfig {
        vocab_size: 40,
        context_length: 8,
        embedding_length: 16,
        feed_forward_length: 32,
        block_count: 2,
        head_count: 2,
        layer_norm_eps: 1e-6,
        projection_length: 32,
        mean_pool: false,
        pad_token: TokenId(0),
    }
}

fn vision_tensors() -> Result<HashMap<String, Stored>> {
    let weights = Weights::trainable(3, &CPU);
    Vision::new(&vision_config(), &weights)?;
    Ok(weights.taken().into_iter().collect())
}

/// A picture with something in it.
fn picture(width: u32, height: u32, shift: u32) -> Vec<u8> {
    (0..width * height * 3)
        .map(|i| ((i * 37 + shift * 11) % 251) as u8)
        .collect()
}

#[test]
fn a_picture_is_seen_alike_alone_and_in_a_batch() -> Result<()> {
    let vision = Vision::new(&vision_config(), &Weights::new(vision_tensors()?, &CPU))?;
    assert_eq!(
        (
            vision.config().tokens_per_frame(),
            vision.config().embedding_length
        ),
        (5, 32)
    );
    let pictures = [picture(40, 30, 0), picture(40, 30, 9)];
    let pixels = pictures
        .iter()
        .map(|p| vision.pixels(p, 40, 30))
        .collect::<Result<Vec<_>>>()?;
    let batch = vision.forward_tensor(&Tensor::cat(&pixels, 0)?)?;
    for (n, picture) in pictures.iter().enumerate() {
        let alone = vision.encode(picture, 40, 30)?;
        assert_eq!(alone.len(), 5 * 32);
        assert!(figures(&alone, &list(&batch.get(n)?)?).max_abs < 1e-5);
    }
    assert!(
        figures(&list(&batch.get(0)?)?, &list(&batch.get(1)?)?).max_abs > 1e-3,
        "pictures differ"
    );
    Ok(())
}

#[test]
fn bad_pictures_are_refused() -> Result<()> {
    let vision = Vision::new(&vision_config(), &Weights::new(vision_tensors()?, &CPU))?;
    refused(vision.encode(&[0; 11], 2, 2), &["2x2", "11", "12"]);
    refused(vision.encode(&[], 0, 7), &["0x7"]);
    refused(
        vision.encode(&[0; 3], u32::MAX, u32::MAX),
        &["expected sides"],
    );
    refused(
        vision.forward_tensor(&Tensor::zeros((1, 3, 32, 31), DType::F32, &CPU)?),
        &["3x32x31"],
    );
    // Extremes that must pass: one pixel, and a very flat picture.
    assert_eq!(vision.encode(&[200; 3], 1, 1)?.len(), 160);
    assert_eq!(vision.encode(&picture(3000, 1, 0), 3000, 1)?.len(), 160);
    Ok(())
}

#[test]
fn early_vision_files_with_swapped_names_are_read_alike() -> Result<()> {
    let tensors = vision_tensors()?;
    let swap = |name: &str| {
        if name.contains("ffn_up") {
            name.replace("ffn_up", "ffn_down")
        } else {
            name.replace("ffn_down", "ffn_up")
        }
    };
    let swapped: HashMap<String, Stored> =
        tensors.iter().map(|(k, v)| (swap(k), v.clone())).collect();
    let see = |tensors| -> Result<Vec<f32>> {
        let weights = Weights::new(tensors, &CPU);
        let seen = Vision::new(&vision_config(), &weights)?.encode(&picture(32, 32, 1), 32, 32);
        weights.finish()?;
        seen
    };
    assert_eq!(see(swapped)?, see(tensors)?);
    Ok(())
}

/// A loss that reaches every part of the assistant.
fn whole_loss(model: &Assistant, dv: usize) -> Result<Tensor> {
    let frames = features(4, dv).concat();
    let rows = Tensor::cat(
        &[
            model.embed(&[1, 9, 20, 21])?,
            model.project(&Tensor::from_vec(frames, (4, dv), &CPU)?)?,
        ],
        0,
    )?;
    let hidden = model.forward(&rows.unsqueeze(0)?)?.squeeze(0)?;
    let (speak, dst_update) = model.head_logits_tensor(&hidden)?;
    let logits = model.lm_logits_tensor(&hidden)?;
    Ok(
        ((logits.sqr()?.mean_all()? + speak.sqr()?.mean_all()?)?
            + dst_update.sqr()?.mean_all()?)?,
    )
}

#[test]
fn each_trainable_tensor_gets_a_gradient() -> Result<()> {
    for heads in [HeadKind::Linear, HeadKind::Mlp] {
        let mut config = AssistantConfig {
            heads,
            ..assistant_config()
        };
        config.backbone.tied_output = heads == HeadKind::Linear;
        let weights = Weights::trainable(7, &CPU);
        let model = Assistant::new(&config, &weights)?;
        let gradients = whole_loss(&model, config.vision_length)?.backward()?;
        for (name, var) in weights.vars() {
            let gradient = gradients
                .get(&var)
                .ok_or_else(|| Error::Model(format!("{name}: no gradient")))?;
            let size = gradient.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(size > 0.0 && size.is_finite(), "{name}: {size}");
        }
    }
    Ok(())
}

#[test]
fn each_tensor_of_both_towers_gets_a_gradient() -> Result<()> {
    let weights = Weights::trainable(5, &CPU);
    let vision = Vision::new(&vision_config(), &weights)?;
    let text = TextTower::new(&text_config(), &weights)?;
    let pixels = Tensor::cat(
        &[
            vision.pixels(&picture(32, 32, 0), 32, 32)?,
            vision.pixels(&picture(32, 32, 5), 32, 32)?,
        ],
        0,
    )?;
    let images = vision.forward_tensor(&pixels)?.mean(1)?;
    let words = text.forward(&[1, 2, 3, 4, 5, 6], 3)?;
    let gradients = text
        .pair_logits(&images, &words)?
        .sqr()?
        .mean_all()?
        .backward()?;
    for (name, var) in weights.vars() {
        let gradient = gradients
            .get(&var)
            .ok_or_else(|| Error::Model(format!("{name}: no gradient")))?;
        // A key's bias shifts all scores of a query alike, so its gradient is zero but for
        // rounding.
        let least = if name.ends_with("attn_k.bias") {
            0.0
        } else {
            f32::MIN_POSITIVE
        };
        assert!(
            gradient.abs()?.max_all()?.to_scalar::<f32>()? >= least,
            "{name}"
        );
    }
    refused(text.forward(&[1, 2, 3], 2), &["3", "2"]);
    refused(text.forward(&[1; 9], 9), &["9", "8"]);
    refused(text.forward(&[40], 1), &["40"]);
    Ok(())
}

#[test]
fn models_follow_their_variables() -> Result<()> {
    let weights = Weights::trainable(5, &CPU);
    let vision = Vision::new(&vision_config(), &weights)?;
    let pixels = vision.pixels(&picture(32, 32, 0), 32, 32)?;
    let loss = || -> Result<Tensor> { Ok(vision.forward_tensor(&pixels)?.sqr()?.mean_all()?) };
    let before = loss()?;
    let gradients = before.backward()?;
    for (name, var) in weights.vars() {
        let gradient = gradients
            .get(&var)
            .ok_or_else(|| Error::Model(format!("{name}: no gradient")))?;
        let old = loss()?.to_scalar::<f32>()?;
        let step = 1e-2 / (gradient.sqr()?.sum_all()?.to_scalar::<f32>()? + 1e-6).sqrt();
        var.set(&(var.as_tensor() - (gradient * f64::from(step))?)?)?;
        let new = loss()?.to_scalar::<f32>()?;
        assert!(
            new != old || name.ends_with("attn_k.bias"),
            "{name}: nothing changed"
        );
    }
    assert!(loss()?.to_scalar::<f32>()? < before.to_scalar::<f32>()?);
    Ok(())
}

#[test]
fn with_and_without_gradients_a_model_computes_the_same() -> Result<()> {
    for heads in [HeadKind::Linear, HeadKind::Mlp] {
        let mut config = AssistantConfig {
            heads,
            ..assistant_config()
        };
        let factors: Vec<f32> = (0..8).map(|i| 1.0 + i as f32).collect();
        let factors = Stored::Dense(Tensor::new(factors, &CPU)?);
        let mut all = tensors(&config)?;
        all.insert("rope_freqs.weight".to_owned(), factors);
        config.backbone.rope_factors = true;
        let trained = Assistant::new(&config, &Weights::trainable_from(all.clone(), &CPU))?;
        let fused = Assistant::new(&config, &Weights::new(all, &CPU))?;
        let embeds = Tensor::randn(0f32, 1.0, (2, 150, 64), &CPU)?;
        let (a, b) = (trained.forward(&embeds)?, fused.forward(&embeds)?);
        assert!(figures(&list(&a)?, &list(&b)?).max_abs < 2e-5);
        let (a, b) = (
            trained.head_logits_tensor(&a.get(0)?)?,
            fused.head_logits_tensor(&b.get(0)?)?,
        );
        assert!(figures(&list(&a.0)?, &list(&b.0)?).max_abs < 2e-5);
        assert!(figures(&list(&a.1)?, &list(&b.1)?).max_abs < 2e-5);
    }
    let tensors = vision_tensors()?;
    let see =
        |weights| Vision::new(&vision_config(), &weights)?.encode(&picture(50, 40, 3), 50, 40);
    let a = see(Weights::new(tensors.clone(), &CPU))?;
    let b = see(Weights::trainable_from(tensors, &CPU))?;
    assert!(figures(&a, &b).max_abs < 2e-5);
    Ok(())
}

/// Matrices in blocks, everything else as it was.
fn in_blocks(
    tensors: &HashMap<String, Stored>,
    dtype: GgmlDType,
) -> Result<HashMap<String, Stored>> {
    let convert = |(name, stored): (&String, &Stored)| -> Result<(String, Stored)> {
        Ok((
            name.clone(),
            match stored {
                Stored::Dense(t)
                    if t.rank() == 2 && !name.contains("position") && !name.contains("_head.") =>
                {
                    Stored::Quantized(Arc::new(QTensor::quantize(t, dtype)?))
                }
                other => other.clone(),
            },
        ))
    };
    tensors.iter().map(convert).collect()
}

#[test]
fn quantized_weights_come_close() -> Result<()> {
    let config = assistant_config();
    let tensors = tensors(&config)?;
    let frames = features(10, config.vision_length);
    let pieces = pieces(&frames);
    let run = |weights: Weights, chunk| -> Result<Vec<f32>> {
        let model = Assistant::new(&config, &weights)?;
        read(&model, &pieces, chunk, &mut model.new_memory()?)?.to_vec()
    };
    let exact = run(Weights::new(tensors.clone(), &CPU), 100)?;
    let q8 = run(
        Weights::new(in_blocks(&tensors, GgmlDType::Q8_0)?, &CPU),
        100,
    )?;
    let chunked = run(Weights::new(in_blocks(&tensors, GgmlDType::Q8_0)?, &CPU), 4)?;
    let q4 = run(
        Weights::new(in_blocks(&tensors, GgmlDType::Q4_0)?, &CPU),
        100,
    )?;
    let f16_blocks = run(
        Weights::new(in_blocks(&tensors, GgmlDType::F16)?, &CPU),
        100,
    )?;
    for (name, found, cosine) in [
        ("q8_0", &q8, 0.999),
        ("q4_0", &q4, 0.97),
        ("f16 blocks", &f16_blocks, 0.99999),
    ] {
        let f = figures(found, &exact);
        println!("{name}: {f:?}");
        assert!(
            f.cosine > cosine && (f.norm_ratio - 1.0).abs() < 0.05,
            "{name}: {f:?}"
        );
    }
    assert!(figures(&q8, &exact).max_abs > 0.0, "blocks were used");
    assert!(
        figures(&chunked, &q8).max_abs < 1e-4,
        "chunks of quantized weights"
    );
    Ok(())
}

#[test]
fn a_quantized_tower_sees_nearly_the_same() -> Result<()> {
    let tensors = vision_tensors()?;
    let see = |tensors| {
        Vision::new(&vision_config(), &Weights::new(tensors, &CPU))?.encode(
            &picture(50, 40, 3),
            50,
            40,
        )
    };
    let f = figures(&see(in_blocks(&tensors, GgmlDType::Q8_0)?)?, &see(tensors)?);
    assert!(f.cosine > 0.9995 && f.max_abs > 0.0, "{f:?}");
    Ok(())
}

#[test]
fn rows_of_a_quantized_table_are_its_expanded_rows() -> Result<()> {
    let table = Tensor::randn(0f32, 1.0, (50, 64), &CPU)?;
    for dtype in [
        GgmlDType::Q8_0,
        GgmlDType::Q4_0,
        GgmlDType::Q5_0,
        GgmlDType::F16,
    ] {
        let blocks = Arc::new(QTensor::quantize(&table, dtype)?);
        let rows = Embedding::new(Stored::Quantized(Arc::clone(&blocks)))?.lookup(&[49, 0, 7])?;
        let expanded = blocks
            .dequantize(&CPU)?
            .index_select(&Tensor::new(&[49u32, 0, 7], &CPU)?, 0)?;
        assert_eq!(list(&rows)?, list(&expanded)?, "{dtype:?}");
    }
    let small = Embedding::new(Stored::Dense(table))?;
    refused(small.lookup(&[3, 50]), &["50"]);
    Ok(())
}

#[test]
fn missing_misshapen_and_foreign_tensors_are_named() -> Result<()> {
    let config = assistant_config();
    let whole = tensors(&config)?;
    let load =
        |tensors: HashMap<String, Stored>| Assistant::new(&config, &Weights::new(tensors, &CPU));
    for name in whole.keys() {
        let mut short = whole.clone();
        short.remove(name);
        refused(load(short.clone()), &[name, "missing"]);
        refused(
            Assistant::new(&config, &Weights::trainable_from(short, &CPU)),
            &[name, "missing"],
        );
        let mut wrong = whole.clone();
        wrong.insert(
            name.clone(),
            Stored::Dense(Tensor::zeros((2, 3, 5), DType::F32, &CPU)?),
        );
        refused(load(wrong), &[name, "[2, 3, 5]", "expected"]);
    }
    let mut extra = whole.clone();
    extra.insert(
        "blk.3.attn_q.weight".into(),
        Stored::Dense(Tensor::zeros(1, DType::F32, &CPU)?),
    );
    refused(load(extra.clone()), &["blk.3.attn_q.weight", "not part"]);
    refused(
        Assistant::new(&config, &Weights::trainable_from(extra, &CPU)),
        &["blk.3.attn_q.weight"],
    );
    let weights = Weights::new(vision_tensors()?, &CPU);
    refused(weights.finish(), &["v."]);
    Ok(())
}

#[test]
fn bad_pieces_are_refused() -> Result<()> {
    let config = assistant_config();
    let model = assistant(&config)?;
    let mut memory = model.new_memory()?;
    refused(model.extend(&[], &mut memory), &["no pieces"]);
    refused(model.extend(&[token(96)], &mut memory), &["96"]);
    refused(
        model.extend(&[token(1), token(u32::MAX)], &mut memory),
        &["4294967295"],
    );
    refused(
        model.extend(&[token(config.tokens.image.0)], &mut memory),
        &["image token"],
    );
    for length in [0, 1, 31, 33, 64] {
        refused(
            model.extend(&[seen(&vec![0.0; length])], &mut memory),
            &["features", "32"],
        );
    }
    assert!(memory.is_empty());
    let mut small = config.clone();
    small.backbone.block_count = 2;
    refused(
        model.extend(&[token(1)], &mut assistant(&small)?.new_memory()?),
        &["memory"],
    );
    let hidden = |width| Ok::<_, Error>(Hidden(Tensor::zeros((1, width), DType::F32, &CPU)?));
    refused(model.heads(&hidden(63)?), &["63", "64"]);
    refused(model.lm_logits(&hidden(0)?), &["0", "64"]);
    let mut headless = AssistantConfig {
        heads: HeadKind::None,
        ..config
    };
    refused(headless.validate(), &["gate.speak.kind"]);
    headless.gates.speak.kind = GateKind::Token;
    headless.gates.dst_update.kind = GateKind::Token;
    let model = assistant(&headless)?;
    let hidden = model.extend(&[token(1)], &mut model.new_memory()?)?;
    refused(model.heads(&hidden), &["no decision heads"]);
    Ok(())
}

/// Numbers that the next test compares between processes, as bits.
#[test]
fn fingerprint() -> Result<()> {
    let mut config = assistant_config();
    config.backbone.embedding_length = 192;
    config.backbone.feed_forward_length = 512;
    let tensors = tensors(&config)?;
    let frames = features(90, config.vision_length);
    let pieces = pieces(&frames);
    let mut bits = Vec::new();
    let blocks = in_blocks(&tensors, GgmlDType::Q8_0)?;
    // Few products of quantized weights: their pool of threads spins, which takes seconds on a busy
    // machine.
    for (tensors, chunks, count) in [(tensors, [200, 3], pieces.len()), (blocks, [20, 5], 20)] {
        let model = Assistant::new(&config, &Weights::new(tensors, &CPU))?;
        for chunk in chunks {
            let hidden = read(&model, &pieces[..count], chunk, &mut model.new_memory()?)?;
            bits.extend(
                hidden
                    .to_vec()?
                    .iter()
                    .chain(&model.lm_logits(&hidden)?)
                    .map(|v| v.to_bits()),
            );
        }
    }
    let big = VisionConfig {
        embedding_length: 160,
        feed_forward_length: 640,
        head_count: 5,
        image_size: 96,
        ..vision_config()
    };
    let weights = Weights::trainable(3, &CPU);
    Vision::new(&big, &weights)?;
    let vision = Vision::new(
        &big,
        &Weights::new(weights.taken().into_iter().collect::<HashMap<_, _>>(), &CPU),
    )?;
    bits.extend(
        vision
            .encode(&picture(120, 90, 3), 120, 90)?
            .iter()
            .map(|v| v.to_bits()),
    );
    // FNV-1a over the bits.
    let hash = bits.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, &b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    println!("fingerprint={hash:016x}");
    Ok(())
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() -> Result<()> {
    let run = |threads: &str| -> Result<String> {
        // The pools are made once a process, so each count gets its own.
        let program = std::env::current_exe().map_err(Error::io("test program"))?;
        let output = std::process::Command::new(&program)
            .args([
                "--exact",
                "fingerprint",
                "--nocapture",
                "--test-threads",
                "1",
            ])
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .map_err(Error::io(&program))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let found = text
            .split("fingerprint=")
            .nth(1)
            .and_then(|t| t.get(..16))
            .map(str::to_owned);
        found.ok_or_else(|| Error::Invalid(format!("no fingerprint in {text}")))
    };
    let one = run("1")?;
    assert_eq!(run("2")?, one, "two threads");
    Ok(())
}
