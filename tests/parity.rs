//! Every stage against PyTorch and transformers on tiny random networks:
//! `tests/data/make_parity.py` wrote the files.
//!
//! Three figures each: the largest error, the ratio of lengths (sees a scale), the cosine (sees a
//! direction).

mod common;

use std::collections::HashMap;
use std::path::Path;

use candle_core::backprop::GradStore;
use candle_core::{D, DType, Device, Tensor};
use common::{assistant_config, figures};
use proact::error::{Error, Result};
use proact::model::assistant::Assistant;
use proact::model::backbone::Llama;
use proact::model::config::{AssistantConfig, BackboneConfig, HeadKind, TextConfig, VisionConfig};
use proact::model::encoder::Vision;
use proact::model::nn::Llama3Scaling;
use proact::model::preprocess::{self, Preprocess};
use proact::model::text::TextTower;
use proact::model::weights::{Weights, hf_permute};
use proact::units::TokenId;

/// Largest error in f32, of values of the size of one.
const MAX_ABS: f32 = 1e-4;
/// Shorter than this a vector is rounding, and has no direction: the gradient of a key's bias is
/// zero.
const NORM_MIN: f32 = 1e-5;

struct Reference(HashMap<String, Tensor>);

impl Reference {
    fn open(name: &str) -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data")
            .join(name);
        candle_core::safetensors::load(&path, &Device::Cpu)
            .map(Self)
            .map_err(|e| Error::format(&path, e.to_string()))
    }

    fn get(&self, name: &str) -> Result<&Tensor> {
        self.0
            .get(name)
            .ok_or_else(|| Error::Model(format!("reference {name}: missing")))
    }

    /// Tensors whose name the function maps to a weight's name.
    fn weights(&self, name: impl Fn(&str) -> Option<String>) -> HashMap<String, Tensor> {
        self.0
            .iter()
            .filter_map(|(k, v)| name(k).map(|name| (name, v.clone())))
            .collect()
    }

    fn ids(&self, name: &str) -> Result<Vec<u32>> {
        Ok(self
            .get(name)?
            .flatten_all()?
            .to_dtype(DType::U32)?
            .to_vec1()?)
    }

    /// The tensor equals the reference in all three figures.
    fn same(&self, name: &str, found: &Tensor) -> Result<()> {
        let expected = self.get(name)?;
        assert_eq!(found.dims(), expected.dims(), "{name}: shape");
        let list = |t: &Tensor| -> Result<Vec<f32>> { Ok(t.flatten_all()?.to_vec1()?) };
        let (found, expected) = (list(found)?, list(expected)?);
        let f = figures(&found, &expected);
        println!(
            "{name:32} max {:.1e}  norm {:.6}  cosine {:.7}",
            f.max_abs, f.norm_ratio, f.cosine
        );
        assert!(f.max_abs <= MAX_ABS, "{name}: largest error {}", f.max_abs);
        if expected.iter().map(|v| v * v).sum::<f32>().sqrt() > NORM_MIN {
            assert!(
                (f.norm_ratio - 1.0).abs() < 1e-4,
                "{name}: norm ratio {}",
                f.norm_ratio
            );
            assert!(f.cosine > 1.0 - 1e-6, "{name}: cosine {}", f.cosine);
        }
        Ok(())
    }

    /// Every variable's gradient equals the reference, and none of the reference's is left out.
    fn same_gradients(&self, weights: &Weights, gradients: &GradStore) -> Result<()> {
        let vars = weights.vars();
        for (name, var) in &vars {
            let found = gradients
                .get(var)
                .ok_or_else(|| Error::Model(format!("{name}: no gradient")))?;
            self.same(&format!("grad.{name}"), found)?;
        }
        let expected = self.0.keys().filter(|k| k.starts_with("grad.")).count();
        assert_eq!(vars.len(), expected, "variables");
        Ok(())
    }
}

/// The same tensors, once without gradients and once with.
fn both_ways(tensors: &HashMap<String, Tensor>) -> [Weights; 2] {
    let cpu = Device::Cpu;
    [
        Weights::new(tensors.clone(), &cpu),
        Weights::trainable_from(tensors.clone(), &cpu),
    ]
}

fn vision_config() -> VisionConfig {
    VisionConfig {
        image_size: 32,
        patch_size: 6,
        embedding_length: 24,
        feed_forward_length: 48,
        block_count: 2,
        head_count: 4,
        layer_norm_eps: 1e-6,
        mean: [0.5; 3],
        std: [0.5; 3],
        pool_head: true,
        patch_grids: vec![2, 3, 5],
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
        projection_length: 24,
        mean_pool: false,
        pad_token: TokenId(0),
    }
}

fn siglip_name(name: &str) -> Option<String> {
    ["v.", "t.", "logit_"]
        .iter()
        .any(|p| name.starts_with(p))
        .then(|| name.to_owned())
}

#[test]
fn pictures_are_resized_as_by_pil() -> Result<()> {
    let reference = Reference::open("parity_siglip.safetensors")?;
    for n in 0..2 {
        let rgb = reference.get(&format!("rgb.{n}"))?;
        let (height, width, _) = rgb.dims3()?;
        let rgb: Vec<u8> = rgb.flatten_all()?.to_vec1()?;
        let expected: Vec<u8> = reference
            .get(&format!("resized.{n}"))?
            .flatten_all()?
            .to_vec1()?;
        let found = preprocess::resize(&rgb, width as u32, height as u32, 32)?;
        assert_eq!(found.len(), expected.len());
        let worst = found
            .iter()
            .zip(&expected)
            .map(|(a, b)| a.abs_diff(*b))
            .max();
        println!("picture {n}: {width}x{height}, largest difference {worst:?} of 255");
        assert!(worst <= Some(1), "one level of rounding at most");
        let found = preprocess::pixels(
            &rgb,
            width as u32,
            height as u32,
            &vision_config(),
            Preprocess::Siglip,
        )?;
        let expected: Vec<f32> = reference.get("pixels")?.get(n)?.flatten_all()?.to_vec1()?;
        let f = figures(&found, &expected);
        // One level of 255, after division by 0.5.
        assert!(f.max_abs <= 2.01 / 255.0 && f.cosine > 0.99999, "{f:?}");
    }
    Ok(())
}

#[test]
fn siglip_sees_what_transformers_sees() -> Result<()> {
    let reference = Reference::open("parity_siglip.safetensors")?;
    let pixels = reference.get("pixels")?;
    for weights in both_ways(&reference.weights(siglip_name)) {
        let vision = Vision::new(&vision_config(), &weights)?;
        let mut blocks = Vec::new();
        let patches = vision.patches_watched(pixels, &mut |_, x| blocks.push(x.clone()))?;
        for (n, block) in blocks.iter().enumerate() {
            reference.same(&format!("block.{n}"), block)?;
        }
        assert_eq!(blocks.len(), 2);
        reference.same("patches", &patches)?;
        let tokens = vision.tokens(&patches)?;
        reference.same("pooled", &tokens.narrow(1, 0, 1)?)?;
        reference.same("tokens", &tokens)?;
        let text = TextTower::new(&text_config(), &weights)?;
        weights.finish()?;
        let words = text.forward(&reference.ids("ids")?, 8)?;
        reference.same("text", &words)?;
        reference.same(
            "pair_logits",
            &text.pair_logits(&tokens.narrow(1, 0, 1)?.squeeze(1)?, &words)?,
        )?;
    }
    Ok(())
}

#[test]
fn siglip_learns_what_transformers_learns() -> Result<()> {
    let reference = Reference::open("parity_siglip.safetensors")?;
    let weights = Weights::trainable_from(reference.weights(siglip_name), &Device::Cpu);
    let vision = Vision::new(
        &VisionConfig {
            patch_grids: Vec::new(),
            ..vision_config()
        },
        &weights,
    )?;
    let text = TextTower::new(&text_config(), &weights)?;
    let images = vision
        .forward_tensor(reference.get("pixels")?)?
        .squeeze(1)?;
    let words = text.forward(&reference.ids("ids")?, 8)?;
    let logits = text.pair_logits(&images, &words)?;
    // Sigmoid loss (Zhai et al., 2023, algorithm 1): -log sigmoid(z * logit), z = 1 on the
    // diagonal, -1 elsewhere.
    let signs = ((Tensor::eye(2, DType::F32, &Device::Cpu)? * 2.0)? - 1.0)?;
    let loss = (softplus(&(logits * signs)?.neg()?)?.sum_all()? / 2.0)?;
    reference.same("loss", &loss.reshape(1)?)?;
    reference.same_gradients(&weights, &loss.backward()?)
}

fn llama_config(tied: bool) -> BackboneConfig {
    let (heads, heads_kv, width) = if tied { (4, 2, 8) } else { (4, 1, 16) };
    BackboneConfig {
        block_count: 2,
        embedding_length: 32,
        feed_forward_length: 48,
        head_count: heads,
        head_count_kv: heads_kv,
        key_length: width,
        context_length: 128,
        rope_freq_base: 10_000.0,
        rope_factors: !tied,
        rms_eps: 1e-5,
        vocab_size: 48,
        tied_output: tied,
    }
}

#[test]
fn llama_reads_what_transformers_reads() -> Result<()> {
    let reference = Reference::open("parity_llama.safetensors")?;
    for (name, tied) in [("tied", true), ("untied", false)] {
        let prefix = format!("{name}.w.");
        for weights in both_ways(&reference.weights(|k| k.strip_prefix(&prefix).map(str::to_owned)))
        {
            let llama = Llama::new(&llama_config(tied), &weights)?;
            weights.finish()?;
            let embeds = llama
                .embed_tokens(&reference.ids(&format!("{name}.ids"))?)?
                .reshape((2, 20, 32))?;
            let mut blocks = Vec::new();
            let hidden = llama.forward_watched(&embeds, &mut |_, x| blocks.push(x.clone()))?;
            assert_eq!(blocks.len(), 2);
            for (n, block) in blocks.iter().enumerate() {
                reference.same(&format!("{name}.block.{n}"), block)?;
            }
            reference.same(&format!("{name}.hidden"), &hidden)?;
            reference.same(&format!("{name}.logits"), &llama.lm_head(&hidden)?)?;
        }
    }
    Ok(())
}

#[test]
fn rows_and_frequencies_are_converted_as_by_llama_cpp() -> Result<()> {
    let reference = Reference::open("parity_llama.safetensors")?;
    reference.same(
        "untied.w.blk.0.attn_q.weight",
        &hf_permute(reference.get("hf.attn_q")?, 4)?,
    )?;
    reference.same(
        "untied.w.blk.0.attn_k.weight",
        &hf_permute(reference.get("hf.attn_k")?, 1)?,
    )?;
    assert!(hf_permute(reference.get("hf.attn_q")?, 3).is_err());
    let scaling = Llama3Scaling {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_context: 64,
    };
    let factors = scaling.factors(16, 10_000.0);
    reference.same(
        "untied.w.rope_freqs.weight",
        &Tensor::new(factors, &Device::Cpu)?,
    )
}

fn dstproact_config(heads: HeadKind) -> AssistantConfig {
    let backbone = BackboneConfig {
        rope_factors: true,
        ..llama_config(true)
    };
    AssistantConfig {
        backbone,
        vision_length: 12,
        tokens_per_frame: 1,
        projector_length: 20,
        heads,
        ..assistant_config()
    }
}

/// Weights of the tiny DSTProAct; its two-layer heads stand beside the linear ones.
fn dstproact_name(name: &str, heads: HeadKind) -> Option<String> {
    let is_head = name.contains("_head.");
    let own = ["token_embd.", "blk.", "output_norm.", "rope_freqs.", "mm."]
        .iter()
        .any(|p| name.starts_with(p));
    match heads {
        HeadKind::Mlp if is_head => name
            .strip_prefix("mlp.")
            .filter(|n| !n.starts_with("grad"))
            .map(str::to_owned),
        HeadKind::Linear if is_head => {
            (name.starts_with("speak") || name.starts_with("dst_update")).then(|| name.to_owned())
        }
        _ => own.then(|| name.to_owned()),
    }
}

/// Embeds `[2,20,D]`: token rows, with features where the image token stands.
fn dstproact_embeds(model: &Assistant, reference: &Reference) -> Result<(Tensor, Tensor)> {
    let ids = reference.ids("ids")?;
    let image = model.config().tokens.image.0;
    let projected = model.project(reference.get("features")?)?;
    let all = Tensor::cat(&[&model.embed(&ids)?, &projected], 0)?;
    let mut frame = 0;
    let order: Vec<u32> = ids
        .iter()
        .enumerate()
        .map(|(n, &id)| {
            let row = if id == image { ids.len() + frame } else { n };
            frame += usize::from(id == image);
            row as u32
        })
        .collect();
    Ok((
        all.index_select(&Tensor::new(order, &Device::Cpu)?, 0)?
            .reshape((2, 20, 32))?,
        projected,
    ))
}

#[test]
fn dstproact_decides_what_torch_decides() -> Result<()> {
    let reference = Reference::open("parity_dstproact.safetensors")?;
    for (heads, prefix) in [(HeadKind::Linear, "out."), (HeadKind::Mlp, "out.mlp.")] {
        for weights in both_ways(&reference.weights(|k| dstproact_name(k, heads))) {
            let model = Assistant::new(&dstproact_config(heads), &weights)?;
            let (embeds, projected) = dstproact_embeds(&model, &reference)?;
            reference.same("out.projected", &projected)?;
            let mut blocks = Vec::new();
            let hidden = model
                .backbone()
                .forward_watched(&embeds, &mut |_, x| blocks.push(x.clone()))?;
            for (n, block) in blocks.iter().enumerate() {
                reference.same(&format!("out.block.{n}"), block)?;
            }
            reference.same("out.hidden", &hidden)?;
            let rows = hidden.reshape((40, 32))?;
            reference.same(
                "out.logits",
                &model.lm_logits_tensor(&rows)?.reshape((2, 20, 48))?,
            )?;
            let (speak, dst_update) = model.head_logits_tensor(&rows)?;
            reference.same(
                &format!("{prefix}speaking_decision_head"),
                &speak.reshape((2, 20))?,
            )?;
            reference.same(
                &format!("{prefix}dst_update_head"),
                &dst_update.reshape((2, 20))?,
            )?;
        }
    }
    Ok(())
}

/// `log(1 + exp(x))`.
fn softplus(x: &Tensor) -> Result<Tensor> {
    Ok((x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?)?)
}

/// Rows (of the flattened sequence) with a label, and the labels.
fn labelled(reference: &Reference, name: &str) -> Result<Vec<(usize, i64)>> {
    let labels: Vec<i64> = reference.get(name)?.flatten_all()?.to_vec1()?;
    Ok(labels
        .into_iter()
        .enumerate()
        .filter(|(_, label)| *label >= 0)
        .collect())
}

fn rows_of(x: &Tensor, rows: impl Iterator<Item = usize>) -> Result<Tensor> {
    let rows: Vec<u32> = rows.map(|r| r as u32).collect();
    Ok(x.index_select(&Tensor::new(rows, x.device())?, 0)?)
}

/// Mean cross-entropy; a label is predicted one position earlier.
fn cross_entropy(reference: &Reference, name: &str, logits: &Tensor) -> Result<Tensor> {
    let labels = labelled(reference, name)?;
    let logits = rows_of(logits, labels.iter().map(|(row, _)| row - 1))?;
    let targets: Vec<u32> = labels.iter().map(|&(_, label)| label as u32).collect();
    let targets = Tensor::new(targets, &Device::Cpu)?.unsqueeze(1)?;
    let total = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let right = total.gather(&targets, 1)?.squeeze(1)?;
    Ok((total.exp()?.sum(D::Minus1)?.log()? - right)?.mean_all()?)
}

/// Mean over positives plus mean over negatives, halved: both are there.
fn balanced_bce(reference: &Reference, name: &str, logits: &Tensor) -> Result<Tensor> {
    let labels = labelled(reference, name)?;
    let mean = |wanted: i64, sign: f64| -> Result<Tensor> {
        let rows = rows_of(
            logits,
            labels
                .iter()
                .filter(|(_, l)| *l == wanted)
                .map(|(row, _)| *row),
        )?;
        Ok(softplus(&(rows * sign)?)?.mean_all()?)
    };
    Ok(((mean(1, -1.0)? + mean(0, 1.0)?)? / 2.0)?)
}

#[test]
fn dstproact_learns_what_torch_learns() -> Result<()> {
    let reference = Reference::open("parity_dstproact.safetensors")?;
    let tensors = reference.weights(|k| dstproact_name(k, HeadKind::Linear));
    let weights = Weights::trainable_from(tensors, &Device::Cpu);
    let model = Assistant::new(&dstproact_config(HeadKind::Linear), &weights)?;
    let (embeds, _) = dstproact_embeds(&model, &reference)?;
    let rows = model.forward(&embeds)?.reshape((40, 32))?;
    let logits = model.lm_logits_tensor(&rows)?;
    let (speak, dst_update) = model.head_logits_tensor(&rows)?;
    let losses = [
        ("dst", cross_entropy(&reference, "label.dst", &logits)?),
        ("asst", cross_entropy(&reference, "label.asst", &logits)?),
        ("speak", balanced_bce(&reference, "label.speak", &speak)?),
        (
            "dst_update",
            balanced_bce(&reference, "label.dst_update", &dst_update)?,
        ),
    ];
    let mut total = Tensor::new(0f32, &Device::Cpu)?;
    for (name, loss) in &losses {
        reference.same(&format!("loss.{name}"), &loss.reshape(1)?)?;
        total = (total + loss)?;
    }
    reference.same_gradients(&weights, &total.backward()?)
}
