//! A whole model small enough to be made on the spot: random weights, real files, real code paths.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use image::{Rgb, RgbImage};
use proact::dialogue::layout::SpecialTokens;
use proact::dialogue::policy::{GateConfig, GateKind, Gates};
use proact::model::assistant::Assistant;
use proact::model::config::{AssistantConfig, BackboneConfig, TextConfig, VisionConfig, VisionRef};
use proact::model::encoder::Vision;
use proact::model::gguf::{GgmlType, GgufFile};
use proact::model::metadata::MetaValue;
use proact::model::text::TextTower;
use proact::model::tokenizer::Tokenizer;
use proact::model::weights::{Stored, Weights};
use proact::units::Threshold;
use proact_lab::quant::write::{Planned, Writer};
use proact_lab::train::tokenizer;

/// Side of the pictures.
const SIDE: u32 = 32;

/// What a run needs, in a folder of its own.
pub struct Tiny {
    pub folder: tempfile::TempDir,
    pub model: PathBuf,
    pub vision: PathBuf,
    pub task: PathBuf,
    pub frames: PathBuf,
}

/// Writes model, task and as many pictures as asked for.
pub fn make(pictures: u32) -> Tiny {
    let folder = tempfile::tempdir().unwrap();
    let (model, vision) = (
        folder.path().join("assistant.gguf"),
        folder.path().join("vision.gguf"),
    );
    write_vision(&vision);
    write_assistant(&model, &vision);
    let task = folder.path().join("task.toml");
    std::fs::write(&task, "goal = \"Make tea\"\n[[step]]\nname = \"Boil water\"\n[[step]]\nname = \"Pour\"\nafter = [\"S1\"]\n").unwrap();
    let frames = folder.path().join("frames");
    std::fs::create_dir(&frames).unwrap();
    for i in 0..pictures {
        let picture = RgbImage::from_fn(SIDE, SIDE, |x, y| {
            Rgb([(x * 8) as u8, (y * 8) as u8, (i * 5) as u8])
        });
        picture.save(frames.join(format!("{i}.png"))).unwrap();
    }
    Tiny {
        folder,
        model,
        vision,
        task,
        frames,
    }
}

fn write_vision(path: &Path) {
    let config = VisionConfig {
        image_size: SIDE as usize,
        patch_size: 8,
        embedding_length: 32,
        feed_forward_length: 64,
        block_count: 1,
        head_count: 2,
        layer_norm_eps: 1e-6,
        mean: [0.5; 3],
        std: [0.5; 3],
        pool_head: true,
        patch_grids: vec![],
    };
    let json = words();
    let tokenizer = Tokenizer::new(json.as_bytes(), None).unwrap();
    let text = TextConfig {
        vocab_size: tokenizer.vocab_size().unwrap(),
        context_length: 8,
        embedding_length: 16,
        feed_forward_length: 32,
        block_count: 1,
        head_count: 2,
        layer_norm_eps: 1e-6,
        projection_length: 32,
        mean_pool: true,
        pad_token: tokenizer.id("<pad>").unwrap(),
    };
    let weights = Weights::trainable(1, &Device::Cpu);
    Vision::new(&config, &weights).unwrap();
    TextTower::new(&text, &weights).unwrap();
    let mut metadata = config.to_metadata().unwrap();
    metadata.extend(text.to_metadata().unwrap());
    metadata.push(("tokenizer.huggingface.json".into(), MetaValue::String(json)));
    write(path, metadata, &weights);
}

/// The tokenizer of both files.
fn words() -> String {
    let texts = vec!["Goal Steps not_started Boil water Pour the tea into a cup".to_owned()];
    tokenizer::train(&texts, 512).unwrap()
}

fn write_assistant(path: &Path, vision: &Path) {
    let json = words();
    let words = Tokenizer::new(json.as_bytes(), Some(tokenizer::CHAT_TEMPLATE)).unwrap();
    let id = |text: &str| words.id(text).unwrap();
    // Thresholds at which random heads do fire, now and then.
    let gate = GateConfig {
        kind: GateKind::Head,
        threshold: Threshold(0.3),
        hysteresis: 0.0,
        refractory_s: 3.0,
    };
    let backbone = BackboneConfig {
        block_count: 1,
        embedding_length: 32,
        feed_forward_length: 48,
        head_count: 2,
        head_count_kv: 1,
        key_length: 16,
        context_length: 1024,
        rope_freq_base: 10_000.0,
        rope_factors: false,
        rms_eps: 1e-5,
        vocab_size: words.vocab_size().unwrap(),
        tied_output: true,
    };
    let gates = Gates {
        speak: gate,
        dst_update: gate,
    };
    let tokens = SpecialTokens {
        bos: Some(id("<bos>")),
        eot: id("<eot>"),
        image: id("<image>"),
        dst: id("[DST]"),
        asst: id("[ASST]"),
    };
    let config = AssistantConfig {
        step_evidence: true,
        vision: Some(VisionRef {
            file: "vision.gguf".into(),
            sha256: GgufFile::open(vision).unwrap().sha256(),
        }),
        ..AssistantConfig::plain(backbone, 32, gates, tokens)
    };
    let weights = Weights::trainable(2, &Device::Cpu);
    Assistant::new(&config, &weights).unwrap();
    let mut metadata = config.to_metadata().unwrap();
    metadata.push(("tokenizer.huggingface.json".into(), MetaValue::String(json)));
    metadata.push((
        "tokenizer.chat_template".into(),
        MetaValue::String(tokenizer::CHAT_TEMPLATE.into()),
    ));
    write(path, metadata, &weights);
}

/// Every tensor of `weights` in F32.
fn write(path: &Path, metadata: Vec<(String, MetaValue)>, weights: &Weights) {
    let tensors: Vec<(String, Tensor)> = weights
        .taken()
        .into_iter()
        .map(|(name, stored)| match stored {
            Stored::Dense(tensor) => (name, tensor.to_dtype(DType::F32).unwrap()),
            Stored::Quantized(_) => unreachable!("made as floats"),
        })
        .collect();
    let plan = |(name, tensor): &(String, Tensor)| Planned {
        name: name.clone(),
        shape: tensor.dims().to_vec(),
        ty: GgmlType::F32,
    };
    let mut writer = Writer::create(path, &metadata, tensors.iter().map(plan).collect()).unwrap();
    for (name, tensor) in &tensors {
        let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        writer.tensor(name, &bytes).unwrap();
    }
    writer.finish().unwrap();
}
