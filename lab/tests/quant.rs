//! Quantization end to end: folders written here in Hugging Face's and this project's formats,
//! through recipes, into GGUF files that the model loads.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use proact::dialogue::policy::GateKind;
use proact::model::assistant::Assistant;
use proact::model::config::{AssistantConfig, HeadKind, VisionConfig};
use proact::model::encoder::Vision;
use proact::model::gguf::{GgmlType, GgufFile, MetaValue};
use proact::model::nn::Llama3Scaling;
use proact::model::tokenizer::Tokenizer;
use proact::model::weights::{Stored, Weights, hf_permute};
use proact::model::{Backbone, Hidden};
use proact_lab::quant::{Inputs, Options, Recipe, Report, Source, VisionTokens, quantize};
use serde_json::{Value, json};

#[path = "../../tests/common/unchanged.rs"]
mod unchanged;

const DEVICE: Device = Device::Cpu;

// ---------------------------------------------------------------------------------------------------------------------
// Folders to read from.

/// Sizes of the Llama under test: rows of D fit super-blocks of 256, rows of FF only blocks of 32.
const D: usize = 256;
const FF: usize = 288;
const VOCAB: usize = 24;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD: usize = D / HEADS;
/// Rows that fit no block.
const DV: usize = 40;

type Tensors = BTreeMap<String, Tensor>;

/// Normally distributed, from a seed of the name: no test depends on another's draw.
fn normal(name: &str, shape: &[usize]) -> Tensor {
    let mut state = name.bytes().fold(0x9e37_79b9_7f4a_7c15u64, |s, b| {
        (s ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
    });
    let mut uniform = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 + 1.0) / (1u64 << 53) as f64
    };
    let mut value = || {
        (0.05 * (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()) as f32
    };
    let count = shape.iter().product::<usize>();
    Tensor::from_vec((0..count).map(|_| value()).collect(), shape, &DEVICE).unwrap()
}

fn add(tensors: &mut Tensors, name: impl Into<String>, shape: &[usize]) {
    let name = name.into();
    let tensor = normal(&name, shape);
    tensors.insert(name, tensor);
}

fn save(folder: &Path, file: &str, tensors: &Tensors) {
    let tensors: HashMap<String, Tensor> = tensors.clone().into_iter().collect();
    candle_core::safetensors::save(&tensors, folder.join(file)).unwrap();
}

fn write(folder: &Path, file: &str, value: &Value) {
    std::fs::write(
        folder.join(file),
        serde_json::to_string_pretty(value).unwrap(),
    )
    .unwrap();
}

fn hf_llama_tensors() -> Tensors {
    let mut t = Tensors::new();
    add(&mut t, "model.embed_tokens.weight", &[VOCAB, D]);
    for n in 0..2 {
        let mut one = |name: &str, shape: &[usize]| {
            add(&mut t, format!("model.layers.{n}.{name}.weight"), shape)
        };
        one("input_layernorm", &[D]);
        one("self_attn.q_proj", &[HEADS * HEAD, D]);
        one("self_attn.k_proj", &[KV_HEADS * HEAD, D]);
        one("self_attn.v_proj", &[KV_HEADS * HEAD, D]);
        one("self_attn.o_proj", &[D, HEADS * HEAD]);
        one("post_attention_layernorm", &[D]);
        one("mlp.gate_proj", &[FF, D]);
        one("mlp.up_proj", &[FF, D]);
        one("mlp.down_proj", &[D, FF]);
    }
    add(&mut t, "model.norm.weight", &[D]);
    add(&mut t, "lm_head.weight", &[VOCAB, D]);
    t
}

fn hf_dstproact_tensors() -> Tensors {
    let mut t = hf_llama_tensors();
    add(&mut t, "mm_projector.0.weight", &[D, DV]);
    add(&mut t, "mm_projector.0.bias", &[D]);
    add(&mut t, "mm_projector.2.weight", &[D, D]);
    add(&mut t, "mm_projector.2.bias", &[D]);
    for head in ["speaking_decision_head", "dst_update_head"] {
        add(&mut t, format!("{head}.weight"), &[1, D]);
        add(&mut t, format!("{head}.bias"), &[1]);
    }
    t
}

fn llama_config() -> Value {
    json!({
        "model_type": "llama", "hidden_size": D, "intermediate_size": FF, "num_hidden_layers": 2,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5, "vocab_size": VOCAB, "tie_word_embeddings": false, "hidden_act": "silu",
        "rope_theta": 10000.0, "bos_token_id": 3, "eos_token_id": [4, 9], "binary_threshold": 0.4,
        "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 64},
    })
}

/// A byte-level BPE of three plain tokens, with the special ones of the layout behind it.
fn write_tokenizer(folder: &Path) {
    let special = ["<bos>", "<eot>", "<image>", "[DST]", "[ASST]", "<pad>"];
    let added: Vec<Value> = special
        .iter()
        .enumerate()
        .map(|(i, text)| {
            json!({"id": 3 + i, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
        })
        .collect();
    write(
        folder,
        "tokenizer.json",
        &json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "post_processor": null, "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                      "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                      "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]},
        }),
    );
    write(
        folder,
        "tokenizer_config.json",
        &json!({"eos_token": "<eot>", "chat_template": "{{ messages }}"}),
    );
}

fn hf_folder(tensors: &Tensors) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), "model.safetensors", tensors);
    write(folder.path(), "config.json", &llama_config());
    write_tokenizer(folder.path());
    folder
}

/// Every tensor in F32, even those that recipes never touch: what conversion alone does.
fn exact(folder: &Path) -> Recipe {
    let path = folder.join("exact.toml");
    std::fs::write(
        &path,
        "description = 'exact'\n[[tensor]]\nmatch = '*'\ntype = 'F32'\n",
    )
    .unwrap();
    Recipe::open(path.to_str().unwrap()).unwrap()
}

fn convert(source: &Path, recipe: &Recipe) -> (tempfile::TempDir, PathBuf, Report) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.gguf");
    let report = quantize(
        &Source::open(source, &Inputs::default()).unwrap(),
        recipe,
        &out,
        &Options::default(),
    )
    .unwrap();
    (folder, out, report)
}

fn load(path: &Path) -> (AssistantConfig, Assistant) {
    let file = GgufFile::open(path).unwrap();
    let config = AssistantConfig::from_metadata(&|key| file.metadata(key).cloned()).unwrap();
    let assistant = Assistant::new(&config, &Weights::new(file, &DEVICE)).unwrap();
    (config, assistant)
}

fn values(file: &GgufFile, name: &str) -> Vec<f32> {
    let tensor = match file.load(name).unwrap() {
        Stored::Dense(tensor) => tensor,
        Stored::Quantized(blocks) => blocks.dequantize(&DEVICE).unwrap(),
    };
    flat(&tensor)
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor
        .to_dtype(candle_core::DType::F32)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

// ---------------------------------------------------------------------------------------------------------------------
// What comes out.

#[test]
fn a_dstproact_folder_becomes_a_file_that_the_model_loads() {
    let tensors = hf_dstproact_tensors();
    let hf = hf_folder(&tensors);
    let (_keep, out, report) = convert(hf.path(), &exact(hf.path()));
    assert!(
        report
            .tensors
            .iter()
            .all(|t| t.max_abs == 0.0 && t.ty == GgmlType::F32)
    );
    let file = GgufFile::open(&out).unwrap();
    assert_eq!(
        values(&file, "blk.1.ffn_down.weight"),
        flat(&tensors["model.layers.1.mlp.down_proj.weight"])
    );
    let q = &tensors["model.layers.0.self_attn.q_proj.weight"];
    assert_eq!(
        values(&file, "blk.0.attn_q.weight"),
        flat(&hf_permute(q, HEADS).unwrap()),
        "llama.cpp's row order"
    );
    let k = &tensors["model.layers.0.self_attn.k_proj.weight"];
    assert_eq!(
        values(&file, "blk.0.attn_k.weight"),
        flat(&hf_permute(k, KV_HEADS).unwrap())
    );
    let scaling = Llama3Scaling {
        factor: 32.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_context: 64,
    };
    assert_eq!(
        values(&file, "rope_freqs.weight"),
        scaling.factors(HEAD, 1e4)
    );

    let (config, assistant) = load(&out);
    assert_eq!(config.heads, HeadKind::Linear);
    assert_eq!(
        (config.gates.speak.kind, config.gates.speak.threshold.0),
        (GateKind::Head, 0.4)
    );
    assert_eq!(
        config.tokens.eot.0, 4,
        "the text in tokenizer_config.json decides, not the list"
    );
    assert_eq!(
        (
            config.tokens.image.0,
            config.tokens.dst.0,
            config.tokens.asst.0
        ),
        (5, 6, 7)
    );
    let hidden = assistant
        .forward(&assistant.embed(&[3, 0, 2]).unwrap().unsqueeze(0).unwrap())
        .unwrap();
    assert!(flat(&hidden).iter().all(|v| v.is_finite()));

    let text = |key: &str| match file.metadata(key) {
        Some(MetaValue::String(text)) => text.clone(),
        other => panic!("{key}: {other:?}"),
    };
    assert_eq!(text("tokenizer.chat_template"), "{{ messages }}");
    assert_eq!(
        (text("tokenizer.ggml.model"), text("tokenizer.ggml.pre")),
        ("gpt2".into(), "gpt-2".into())
    );
    let tokenizer = Tokenizer::new(text("tokenizer.huggingface.json").as_bytes(), None).unwrap();
    tokenizer.with_tokens(&config.tokens, VOCAB).unwrap();
    let strings = |key: &str| match file.metadata(key) {
        Some(MetaValue::Array(items)) => items.clone(),
        other => panic!("{key}: {other:?}"),
    };
    let tokens = strings("tokenizer.ggml.tokens");
    assert_eq!(tokens.len(), VOCAB);
    let expected = ["ab", "[DST]", "[PAD9]"].map(|text| MetaValue::String(text.into()));
    assert_eq!([&tokens[2], &tokens[6], &tokens[9]], expected.each_ref());
    assert_eq!(
        strings("tokenizer.ggml.merges"),
        [MetaValue::String("a b".into())]
    );
    let kinds = strings("tokenizer.ggml.token_type");
    assert_eq!(
        [&kinds[2], &kinds[6], &kinds[9]],
        [1, 3, 5].map(MetaValue::I32).each_ref()
    );
    assert_eq!(
        file.metadata("tokenizer.ggml.padding_token_id"),
        Some(&MetaValue::U32(8))
    );
    assert_eq!(
        file.metadata("general.quantization_version"),
        None,
        "nothing is quantized"
    );
}

/// Relative RMS error on normal weights: type, at least, at most. Both ends, so that a type that is
/// not what its name says is noticed as well.
const ERROR_BOUNDS: &[(&str, f64, f64)] = &[
    ("F16", 1e-5, 4e-4),
    ("Q8_0", 3e-3, 8e-3),
    ("Q6_K", 1e-2, 2.5e-2),
    ("Q5_K", 2.5e-2, 4.5e-2),
    ("Q4_K", 5e-2, 9e-2),
    ("Q4_0", 7e-2, 1.2e-1),
];

#[test]
fn every_recipe_loads_and_loses_no_more_than_its_types_may() {
    let hf = hf_folder(&hf_dstproact_tensors());
    let (_keep, exact_out, _) = convert(hf.path(), &exact(hf.path()));
    let (_, truth) = load(&exact_out);
    let run = |assistant: &Assistant| {
        let hidden = assistant
            .forward(
                &assistant
                    .embed(&[3, 0, 2, 1])
                    .unwrap()
                    .unsqueeze(0)
                    .unwrap(),
            )
            .unwrap();
        flat(&hidden)
    };
    let truth = run(&truth);
    let mut sizes = Vec::new();
    for name in Recipe::built_in().filter(|name| *name != "same") {
        let (_keep, out, report) = convert(hf.path(), &Recipe::open(name).unwrap());
        for t in &report.tensors {
            if t.ty == GgmlType::F32 {
                assert_eq!(
                    (t.rms_relative, t.max_abs),
                    (0.0, 0.0),
                    "{name}: {}",
                    t.name
                );
                continue;
            }
            let &(_, low, high) = ERROR_BOUNDS
                .iter()
                .find(|(ty, ..)| *ty == t.ty.name())
                .unwrap();
            assert!(
                (low..high).contains(&t.rms_relative),
                "{name}: {} as {}: {}",
                t.name,
                t.ty,
                t.rms_relative
            );
            assert!(
                t.max_abs > 0.0 && t.max_abs < 0.05,
                "{name}: {}: {}",
                t.name,
                t.max_abs
            );
        }
        let (_, assistant) = load(&out);
        let got = run(&assistant);
        let (dot, a, b) = truth
            .iter()
            .zip(&got)
            .fold((0.0, 0.0, 0.0), |(dot, a, b), (&x, &y)| {
                (dot + x * y, a + x * x, b + y * y)
            });
        let (cosine, ratio) = (dot / (a * b).sqrt(), (b / a).sqrt());
        assert!(
            cosine > 0.98 && (ratio - 1.0).abs() < 0.05,
            "{name}: cosine {cosine}, norm ratio {ratio}"
        );
        let file = GgufFile::open(&out).unwrap();
        let version = (name != "f16").then_some(&MetaValue::U32(2));
        assert_eq!(file.metadata("general.quantization_version"), version);
        assert_eq!(
            report.bytes(),
            file.tensors().iter().map(|t| t.len as u64).sum::<u64>()
        );
        sizes.push((report.bytes(), name));
    }
    assert!(
        sizes.iter().is_sorted_by(|a, b| a.0 > b.0 || b.1 == "q4_0"),
        "{sizes:?}"
    );
}

#[test]
fn quantized_files_are_what_they_were_byte_for_byte() {
    let keep = tempfile::tempdir().unwrap();
    // The folder's name is in the file.
    let hf = keep.path().join("tiny");
    std::fs::create_dir(&hf).unwrap();
    save(&hf, "model.safetensors", &hf_dstproact_tensors());
    write(&hf, "config.json", &llama_config());
    write_tokenizer(&hf);
    for name in Recipe::built_in() {
        let (_keep, out, _) = convert(&hf, &Recipe::open(name).unwrap());
        unchanged::assert_unchanged(
            &format!("quantized_{name}"),
            false,
            &std::fs::read(&out).unwrap(),
        );
    }
}

#[test]
fn fallbacks_are_reported_by_tensor() {
    let hf = hf_folder(&hf_dstproact_tensors());
    let (_keep, _, report) = convert(hf.path(), &Recipe::open("q4_k").unwrap());
    let of = |name: &str| report.tensors.iter().find(|t| t.name == name).unwrap();
    let down = of("blk.0.ffn_down.weight");
    assert_eq!(
        (down.wanted, down.ty),
        (GgmlType::Q6_K, GgmlType::Q8_0),
        "rows of 288"
    );
    assert_eq!(of("mm.0.weight").ty, GgmlType::F16, "rows of 40");
    assert_eq!(report.fallbacks().count(), 3);
    let table = report.to_string();
    assert!(
        table.contains("F32 -> F16        20480") && table.contains("rows of 40 do not fit Q6_K"),
        "{table}"
    );
    assert!(table.contains("3 fell back"), "{table}");
}

#[test]
fn a_llama_alone_becomes_a_llama_file() {
    let hf = hf_folder(&hf_llama_tensors());
    let (_keep, out, _) = convert(hf.path(), &Recipe::open("q8_0").unwrap());
    let file = GgufFile::open(&out).unwrap();
    assert_eq!(
        file.metadata("general.architecture"),
        Some(&MetaValue::String("llama".into()))
    );
    assert_eq!(
        file.metadata("llama.attention.head_count_kv"),
        Some(&MetaValue::U32(2))
    );
    assert_eq!(
        file.metadata("tokenizer.ggml.eos_token_id"),
        Some(&MetaValue::U32(4))
    );
    assert_eq!(
        file.metadata("general.file_type"),
        Some(&MetaValue::U32(7)),
        "mostly Q8_0"
    );
}

#[test]
fn a_file_quantized_anew_copies_what_fits_and_keeps_its_metadata() {
    let hf = hf_folder(&hf_dstproact_tensors());
    let (_keep, first, _) = convert(hf.path(), &Recipe::open("q8_0").unwrap());
    let (_keep2, second, report) = convert(&first, &Recipe::open("q8_0").unwrap());
    assert!(report.tensors.iter().all(|t| t.max_abs == 0.0));
    assert_eq!(
        std::fs::read(&first).unwrap(),
        std::fs::read(&second).unwrap()
    );
    let (_keep3, third, report) = convert(&first, &Recipe::open("q4_k").unwrap());
    let q = report
        .tensors
        .iter()
        .find(|t| t.name == "blk.0.attn_q.weight")
        .unwrap();
    assert_eq!((q.from.as_str(), q.ty), ("Q8_0", GgmlType::Q4_K));
    load(&third);
}

#[test]
fn this_projects_checkpoints_go_through_unchanged() {
    let hf = hf_folder(&hf_dstproact_tensors());
    let (_keep, out, _) = convert(hf.path(), &exact(hf.path()));
    let file = GgufFile::open(&out).unwrap();
    let (config, _) = load(&out);
    let checkpoint = tempfile::tempdir().unwrap();
    let tensors: Tensors = file
        .tensors()
        .iter()
        .map(|t| match file.load(&t.name).unwrap() {
            Stored::Dense(tensor) => (t.name.clone(), tensor),
            Stored::Quantized(_) => panic!("{} is not dense", t.name),
        })
        .collect();
    save(checkpoint.path(), "model.safetensors", &tensors);
    std::fs::write(
        checkpoint.path().join("config.json"),
        config.to_json().unwrap(),
    )
    .unwrap();
    write_tokenizer(checkpoint.path());
    std::fs::write(checkpoint.path().join("chat_template.jinja"), "{{ own }}").unwrap();
    let (_keep2, again, _) = convert(checkpoint.path(), &exact(hf.path()));
    let again = GgufFile::open(&again).unwrap();
    for t in file.tensors() {
        assert_eq!(
            values(&file, &t.name),
            values(&again, &t.name),
            "{}",
            t.name
        );
    }
    assert_eq!(
        again.metadata("tokenizer.chat_template"),
        Some(&MetaValue::String("{{ own }}".into()))
    );
    assert_eq!(load(again.path()).0, config);
}

fn siglip_folder() -> (tempfile::TempDir, Tensors) {
    let (d, ff, p, patches) = (64, 96, 4, 16);
    let mut t = Tensors::new();
    let v = "vision_model";
    let both = |t: &mut Tensors, name: String, out: usize, inputs: Option<usize>| {
        add(
            t,
            format!("{name}.weight"),
            &std::iter::once(out).chain(inputs).collect::<Vec<_>>(),
        );
        add(t, format!("{name}.bias"), &[out]);
    };
    add(
        &mut t,
        format!("{v}.embeddings.patch_embedding.weight"),
        &[d, 3, p, p],
    );
    add(&mut t, format!("{v}.embeddings.patch_embedding.bias"), &[d]);
    add(
        &mut t,
        format!("{v}.embeddings.position_embedding.weight"),
        &[patches, d],
    );
    let layer = format!("{v}.encoder.layers.0");
    for (name, out, inputs) in [
        ("layer_norm1", d, None),
        ("self_attn.q_proj", d, Some(d)),
        ("self_attn.k_proj", d, Some(d)),
        ("self_attn.v_proj", d, Some(d)),
        ("self_attn.out_proj", d, Some(d)),
        ("layer_norm2", d, None),
        ("mlp.fc1", ff, Some(d)),
        ("mlp.fc2", d, Some(ff)),
    ] {
        both(&mut t, format!("{layer}.{name}"), out, inputs);
    }
    both(&mut t, format!("{v}.post_layernorm"), d, None);
    add(&mut t, format!("{v}.head.probe"), &[1, 1, d]);
    add(
        &mut t,
        format!("{v}.head.attention.in_proj_weight"),
        &[3 * d, d],
    );
    add(&mut t, format!("{v}.head.attention.in_proj_bias"), &[3 * d]);
    both(&mut t, format!("{v}.head.attention.out_proj"), d, Some(d));
    both(&mut t, format!("{v}.head.layernorm"), d, None);
    both(&mut t, format!("{v}.head.mlp.fc1"), ff, Some(d));
    both(&mut t, format!("{v}.head.mlp.fc2"), d, Some(ff));
    add(
        &mut t,
        "text_model.embeddings.token_embedding.weight",
        &[8, d],
    );
    add(&mut t, "logit_scale", &[1]);
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), "model.safetensors", &t);
    write(
        folder.path(),
        "config.json",
        &json!({"model_type": "siglip", "vision_config": {
        "hidden_size": d, "intermediate_size": ff, "num_hidden_layers": 1, "num_attention_heads": 4,
        "image_size": 16, "patch_size": p}}),
    );
    (folder, t)
}

#[test]
fn a_siglip_folder_becomes_a_vision_file_that_the_model_loads() {
    let (hf, tensors) = siglip_folder();
    let (_keep, out, _) = convert(hf.path(), &exact(hf.path()));
    let file = GgufFile::open(&out).unwrap();
    let fused = flat(&tensors["vision_model.head.attention.in_proj_weight"]);
    let third = fused.len() / 3;
    for (i, name) in [
        "v.head.attn_q.weight",
        "v.head.attn_k.weight",
        "v.head.attn_v.weight",
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(values(&file, name), fused[i * third..][..third], "{name}");
    }
    assert!(
        file.tensors().iter().all(|t| t.name.starts_with("v.")),
        "the text tower stays behind"
    );
    // transformers 5 saves the vision model alone under names without the part.
    let bare = |(name, tensor): (&String, &Tensor)| {
        Some((
            name.strip_prefix("vision_model.")?.to_owned(),
            tensor.clone(),
        ))
    };
    save(
        hf.path(),
        "model.safetensors",
        &tensors.iter().filter_map(bare).collect(),
    );
    let (_keep2, alone, _) = convert(hf.path(), &exact(hf.path()));
    assert_eq!(std::fs::read(&alone).unwrap(), std::fs::read(&out).unwrap());
    let config = VisionConfig::from_metadata(&|key| file.metadata(key).cloned()).unwrap();
    assert_eq!(
        (config.patches(), config.mean, config.layer_norm_eps),
        (16, [0.5; 3], 1e-6)
    );
    let weights = Weights::new(file, &DEVICE);
    Vision::new(&config, &weights).unwrap();
    weights.finish().unwrap();
}

#[test]
fn the_vision_file_is_named_with_its_hash() {
    let (siglip, _) = siglip_folder();
    let (_keep, eye, _) = convert(siglip.path(), &Recipe::open("q8_0").unwrap());
    let hf = hf_folder(&hf_dstproact_tensors());
    let out = hf.path().join("assistant.gguf");
    let general = vec![(
        "general.license".to_owned(),
        MetaValue::String("MIT".into()),
    )];
    let options = Options {
        metadata: general,
        vision: Some(&eye),
        progress: None,
    };
    quantize(
        &Source::open(hf.path(), &Inputs::default()).unwrap(),
        &Recipe::open("q8_0").unwrap(),
        &out,
        &options,
    )
    .unwrap();
    let (config, _) = load(&out);
    let vision = config.vision.unwrap();
    assert_eq!(
        (vision.file.as_str(), vision.sha256),
        ("out.gguf", GgufFile::open(&eye).unwrap().sha256())
    );
    let file = GgufFile::open(&out).unwrap();
    assert_eq!(
        file.metadata("general.license"),
        Some(&MetaValue::String("MIT".into()))
    );
}

#[test]
fn an_adapter_is_merged_into_its_base() {
    let base_tensors = hf_llama_tensors();
    let base = hf_folder(&base_tensors);
    let trained = hf_dstproact_tensors();
    let mut t = Tensors::new();
    let layer = "base_model.model.model.layers.1.self_attn.q_proj";
    add(&mut t, format!("{layer}.lora_A.weight"), &[4, D]);
    add(&mut t, format!("{layer}.lora_B.weight"), &[D, 4]);
    for (name, tensor) in &trained {
        let own = ["mm_projector", "speaking_decision_head", "dst_update_head"];
        if let Some((module, rest)) = own.iter().find_map(|m| Some((m, name.strip_prefix(m)?))) {
            t.insert(
                format!("base_model.model.{module}.modules_to_save{rest}"),
                tensor.clone(),
            );
        }
    }
    let adapter = tempfile::tempdir().unwrap();
    let write_adapter = |t: &Tensors, config: Value| {
        save(adapter.path(), "adapter_model.safetensors", t);
        write(adapter.path(), "adapter_config.json", &config);
    };
    write_adapter(
        &t,
        json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "rank_pattern": {}}),
    );
    let message = Source::open(adapter.path(), &Inputs::default())
        .unwrap_err()
        .to_string();
    assert!(message.contains("--base"), "{message}");
    let out = adapter.path().join("out.gguf");
    let source = Source::open(
        adapter.path(),
        &Inputs {
            base: Some(base.path()),
            vision_tokens: None,
        },
    )
    .unwrap();
    quantize(&source, &exact(base.path()), &out, &Options::default()).unwrap();
    let file = GgufFile::open(&out).unwrap();
    let product = t[&format!("{layer}.lora_B.weight")]
        .matmul(&t[&format!("{layer}.lora_A.weight")])
        .unwrap();
    let merged = (&base_tensors["model.layers.1.self_attn.q_proj.weight"]
        + (product * 2.0).unwrap())
    .unwrap();
    let expected = flat(&hf_permute(&merged, HEADS).unwrap());
    let got = values(&file, "blk.1.attn_q.weight");
    assert!(expected.iter().zip(&got).all(|(a, b)| (a - b).abs() < 1e-6));
    assert_eq!(
        values(&file, "mm.2.weight"),
        flat(&trained["mm_projector.2.weight"])
    );
    assert_eq!(
        values(&file, "blk.0.attn_v.weight"),
        flat(&base_tensors["model.layers.0.self_attn.v_proj.weight"])
    );
    load(&out);

    write_adapter(
        &t,
        json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "use_dora": true}),
    );
    assert!(
        Source::open(
            adapter.path(),
            &Inputs {
                base: Some(base.path()),
                vision_tokens: None
            }
        )
        .unwrap_err()
        .to_string()
        .contains("use_dora")
    );
    add(
        &mut t,
        "base_model.model.model.layers.7.mlp.up_proj.lora_A.weight",
        &[4, D],
    );
    write_adapter(&t, json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8}));
    let message = Source::open(
        adapter.path(),
        &Inputs {
            base: Some(base.path()),
            vision_tokens: None,
        },
    )
    .unwrap_err()
    .to_string();
    assert!(
        message.contains("layers.7.mlp.up_proj.lora_A.weight`: not part of the base model"),
        "{message}"
    );
}

#[test]
fn what_is_wrong_with_a_folder_is_named() {
    type Spoil = fn(&Path, &mut Tensors);
    let cases: &[(&str, Spoil)] = &[
        (
            "tensor `model.layers.1.mlp.up_proj.weight`: found none",
            |_, t| {
                t.remove("model.layers.1.mlp.up_proj.weight");
            },
        ),
        (
            "tensor `dst_generation_head.weight`: found shape [24, 255], expected [24, 256]",
            |_, t| {
                add(t, "dst_generation_head.weight", &[VOCAB, D - 1]);
            },
        ),
        ("tensor `dst_generation_head.bias`: not part", |_, t| {
            add(t, "dst_generation_head.bias", &[VOCAB])
        }),
        (
            "tensor `model.norm.weight`: found shape [255], expected [256]",
            |_, t| add(t, "model.norm.weight", &[D - 1]),
        ),
        ("tensor `lm_head.weight`: found shape", |_, t| {
            add(t, "lm_head.weight", &[D, VOCAB])
        }),
        ("rope_type: found \"yarn\", expected llama3", |f, _| {
            let mut config = llama_config();
            config["rope_scaling"] = json!({"rope_type": "yarn", "factor": 2.0});
            write(f, "config.json", &config);
        }),
        ("attention_bias", |f, _| {
            let mut config = llama_config();
            config["attention_bias"] = json!(true);
            write(f, "config.json", &config);
        }),
        ("missing field `hidden_size`", |f, _| {
            write(f, "config.json", &json!({"model_type": "llama"}))
        }),
        ("model_type: found \"bert\"", |f, _| {
            write(f, "config.json", &json!({"model_type": "bert"}))
        }),
        ("attention.head_count", |f, _| {
            let mut config = llama_config();
            config["num_attention_heads"] = json!(0);
            write(f, "config.json", &config);
        }),
        ("token `[DST]`: found none", |f, _| {
            let text = std::fs::read_to_string(f.join("tokenizer.json"))
                .unwrap()
                .replace("[DST]", "[dst]");
            std::fs::write(f.join("tokenizer.json"), text).unwrap();
        }),
        (
            "token 99 \"<pad>\", but the embedding has 24 rows",
            |f, _| {
                let text = std::fs::read_to_string(f.join("tokenizer.json"))
                    .unwrap()
                    .replace("\"id\": 8", "\"id\": 99");
                std::fs::write(f.join("tokenizer.json"), text).unwrap();
            },
        ),
        ("tokenizer.json", |f, _| {
            std::fs::remove_file(f.join("tokenizer.json")).unwrap()
        }),
        ("config.json", |f, _| {
            std::fs::remove_file(f.join("config.json")).unwrap()
        }),
    ];
    for (part, spoil) in cases {
        let mut tensors = hf_dstproact_tensors();
        let hf = hf_folder(&tensors);
        spoil(hf.path(), &mut tensors);
        save(hf.path(), "model.safetensors", &tensors);
        let message = Source::open(hf.path(), &Inputs::default())
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(message.contains(part), "expected {part:?} in {message}");
    }
    let hf = hf_folder(&hf_dstproact_tensors());
    std::fs::write(hf.path().join("pytorch_model.bin"), b"PK").unwrap();
    std::fs::write(
        hf.path().join("model.safetensors"),
        b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
    )
    .unwrap();
    assert!(
        Source::open(hf.path(), &Inputs::default())
            .unwrap_err()
            .to_string()
            .contains("safetensors:")
    );
    std::fs::remove_file(hf.path().join("model.safetensors")).unwrap();
    let why = Source::open(hf.path(), &Inputs::default())
        .unwrap_err()
        .to_string();
    assert!(
        why.contains("pytorch_model.bin") && why.contains("zip"),
        "{why}"
    );
}

#[test]
fn weights_that_no_type_can_hold_stop_the_writing() {
    let mut tensors = hf_dstproact_tensors();
    let hf = hf_folder(&tensors);
    let out = hf.path().join("out.gguf");
    std::fs::write(&out, b"before").unwrap();
    let mut spoil = |value: f32, recipe: &str| {
        let spoiled = Tensor::full(value, (FF, D), &DEVICE).unwrap();
        tensors.insert("model.layers.0.mlp.up_proj.weight".into(), spoiled);
        save(hf.path(), "model.safetensors", &tensors);
        let source = Source::open(hf.path(), &Inputs::default()).unwrap();
        let result = quantize(
            &source,
            &Recipe::open(recipe).unwrap(),
            &out,
            &Options::default(),
        );
        let message = result.unwrap_err().to_string();
        assert!(
            message.contains("tensor `blk.0.ffn_up.weight`"),
            "{message}"
        );
        message
    };
    assert!(spoil(f32::NAN, "q8_0").contains("expected a finite number"));
    assert!(spoil(f32::INFINITY, "f16").contains("expected a finite number"));
    assert!(spoil(1e5, "f16").contains("too large for F16"));
    assert!(spoil(1e9, "q8_0").contains("too large for Q8_0"));
    assert_eq!(std::fs::read(&out).unwrap(), b"before");
}

#[test]
fn shards_are_found_by_their_index() {
    let tensors = hf_dstproact_tensors();
    let hf = hf_folder(&tensors);
    let (_keep, whole, _) = convert(hf.path(), &Recipe::open("q8_0").unwrap());
    std::fs::remove_file(hf.path().join("model.safetensors")).unwrap();
    let mut map = serde_json::Map::new();
    let mut shards = [Tensors::new(), Tensors::new()];
    for (i, (name, tensor)) in tensors.into_iter().enumerate() {
        map.insert(name.clone(), json!(format!("model-{}.safetensors", i % 2)));
        shards[i % 2].insert(name, tensor);
    }
    for (i, shard) in shards.iter().enumerate() {
        save(hf.path(), &format!("model-{i}.safetensors"), shard);
    }
    write(
        hf.path(),
        "model.safetensors.index.json",
        &json!({"weight_map": map}),
    );
    let (_keep2, sharded, _) = convert(hf.path(), &Recipe::open("q8_0").unwrap());
    assert_eq!(
        std::fs::read(whole).unwrap(),
        std::fs::read(sharded).unwrap()
    );
    write(
        hf.path(),
        "model.safetensors.index.json",
        &json!({"weight_map": {"a": "../elsewhere.safetensors"}}),
    );
    assert!(
        Source::open(hf.path(), &Inputs::default())
            .unwrap_err()
            .to_string()
            .contains("expected a bare file name")
    );
}

#[test]
fn a_llama_becomes_a_backbone_and_comes_out_again() {
    let inputs = Inputs {
        base: None,
        vision_tokens: Some(VisionTokens {
            width: DV,
            tokens_per_frame: 2,
        }),
    };
    let tensors = hf_llama_tensors();
    let hf = hf_folder(&tensors);
    // Without the layout's tokens: they are added behind the others.
    let text = std::fs::read_to_string(hf.path().join("tokenizer.json")).unwrap();
    let mut tokenizer: Value = serde_json::from_str(&text).unwrap();
    tokenizer["added_tokens"]
        .as_array_mut()
        .unwrap()
        .retain(|t| t["id"].as_u64().unwrap() < 5);
    let words = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    (5..VOCAB).for_each(|id| drop(words.insert(format!("w{id}"), json!(id))));
    write(hf.path(), "tokenizer.json", &tokenizer);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let assistant = path("assistant.gguf");
    let same = Recipe::open("same").unwrap();
    let q8 = Recipe::open("q8_0").unwrap();
    quantize(
        &Source::open(hf.path(), &inputs).unwrap(),
        &q8,
        &assistant,
        &Options::default(),
    )
    .unwrap();
    let (config, model) = load(&assistant);
    assert_eq!(
        (
            config.backbone.vocab_size,
            config.vision_length,
            config.tokens_per_frame
        ),
        (VOCAB + 3, DV, 2)
    );
    assert_eq!(
        [
            config.tokens.image.0,
            config.tokens.dst.0,
            config.tokens.asst.0
        ],
        [24, 25, 26]
    );
    let hidden = model
        .forward(&model.embed(&[3, 0, 24, 26]).unwrap().unsqueeze(0).unwrap())
        .unwrap();
    assert!(flat(&hidden).iter().all(|v| v.is_finite()));

    // Out again: a plain Llama, its tensors bit for bit; in again: the same backbone, and the
    // tokens are there already.
    let plain = path("plain.gguf");
    let source = proact_lab::quant::backbone_alone(GgufFile::open(&assistant).unwrap()).unwrap();
    quantize(&source, &same, &plain, &Options::default()).unwrap();
    let again = path("again.gguf");
    quantize(
        &Source::open(&plain, &inputs).unwrap(),
        &same,
        &again,
        &Options::default(),
    )
    .unwrap();
    assert_eq!(load(&again).0, config);
    let files = [&assistant, &plain, &again].map(|p| GgufFile::open(p).unwrap());
    for t in files[1].tensors() {
        let bytes = files.each_ref().map(|file| file.bytes(&t.name).unwrap().1);
        assert!(bytes[0] == bytes[1] && bytes[1] == bytes[2], "{}", t.name);
    }
    assert_eq!(
        files[1].metadata("general.architecture"),
        Some(&MetaValue::String("llama".into()))
    );
    assert!(
        files[1]
            .header()
            .metadata
            .iter()
            .all(|(key, _)| !key.starts_with("dstproact."))
    );
    assert!(
        files[1].tensor("mm.0.weight").is_none() && files[1].tensor("rope_freqs.weight").is_some()
    );

    // A vocabulary without the tokens in a file: rows are added to quantized tables, those that
    // were there stay.
    let bare = path("bare.gguf");
    quantize(
        &Source::open(hf.path(), &Inputs::default()).unwrap(),
        &q8,
        &bare,
        &Options::default(),
    )
    .unwrap();
    let grown = path("grown.gguf");
    quantize(
        &Source::open(&bare, &inputs).unwrap(),
        &same,
        &grown,
        &Options::default(),
    )
    .unwrap();
    assert_eq!(load(&grown).0, config);
    let (bare, grown) = (
        GgufFile::open(&bare).unwrap(),
        GgufFile::open(&grown).unwrap(),
    );
    for name in ["token_embd.weight", "output.weight"] {
        let (before, after) = (bare.bytes(name).unwrap().1, grown.bytes(name).unwrap().1);
        assert_eq!(&after[..before.len()], before, "{name}");
        let all = values(&grown, name);
        let mean =
            |column: usize| (0..VOCAB).map(|row| all[row * D + column]).sum::<f32>() / VOCAB as f32;
        assert!(
            (0..D).all(|column| (all[VOCAB * D + column] - mean(column)).abs() < 2e-3),
            "{name}: new rows are the mean"
        );
    }
}

#[test]
fn a_plan_says_what_would_be_written() {
    let hf = hf_folder(&hf_dstproact_tensors());
    let source = Source::open(hf.path(), &Inputs::default()).unwrap();
    let planned = proact_lab::quant::plan(&source, &Recipe::open("q4_k").unwrap()).unwrap();
    let (_keep, out, report) = convert(hf.path(), &Recipe::open("q4_k").unwrap());
    assert_eq!(planned.bytes(), report.bytes());
    assert!(
        planned
            .tensors
            .iter()
            .zip(&report.tensors)
            .all(|(a, b)| (&a.name, a.ty, a.bytes) == (&b.name, b.ty, b.bytes))
    );
    assert_eq!(report.sha256, GgufFile::open(&out).unwrap().sha256());
}

/// `pytorch_model.bin` as `torch.save` lays it out: a pickle of calls, and one stored entry a
/// tensor.
fn save_pickled(folder: &Path, tensors: &Tensors) {
    use std::io::Write;
    let text = |t: &str| [b"X", &(t.len() as u32).to_le_bytes()[..], t.as_bytes()].concat();
    let integer = |n: usize| [b"J", &(n as i32).to_le_bytes()[..]].concat();
    let tuple = |sizes: &[usize]| {
        [
            b"(".to_vec(),
            sizes.iter().flat_map(|&n| integer(n)).collect(),
            b"t".to_vec(),
        ]
        .concat()
    };
    let mut program = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    let mut zip =
        zip::ZipWriter::new(std::fs::File::create(folder.join("pytorch_model.bin")).unwrap());
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (key, (name, tensor)) in tensors.iter().enumerate() {
        let shape = tensor.dims();
        let strides: Vec<usize> = (0..shape.len())
            .map(|i| shape[i + 1..].iter().product())
            .collect();
        program.extend(text(name));
        program.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        program.extend(
            [
                text("storage"),
                b"ctorch\nFloatStorage\n".to_vec(),
                text(&key.to_string()),
                text("cpu"),
            ]
            .concat(),
        );
        program.extend(
            [
                integer(tensor.elem_count()),
                b"tQ".to_vec(),
                integer(0),
                tuple(shape),
                tuple(&strides),
            ]
            .concat(),
        );
        program.extend(b"\x89ccollections\nOrderedDict\n)RtR");
        zip.start_file(format!("archive/data/{key}"), stored)
            .unwrap();
        zip.write_all(
            &flat(tensor)
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect::<Vec<u8>>(),
        )
        .unwrap();
    }
    program.extend(b"u}");
    program.extend(text("_metadata"));
    program.extend(b"ccollections\nOrderedDict\n)Rsb.");
    zip.start_file("archive/data.pkl", stored).unwrap();
    zip.write_all(&program).unwrap();
    zip.finish().unwrap();
}

#[test]
fn a_pickled_checkpoint_gives_the_same_file() {
    let tensors = hf_dstproact_tensors();
    let hf = hf_folder(&tensors);
    let (_keep, safe, _) = convert(hf.path(), &Recipe::open("q8_0").unwrap());
    std::fs::remove_file(hf.path().join("model.safetensors")).unwrap();
    save_pickled(hf.path(), &tensors);
    let (_keep2, pickled, _) = convert(hf.path(), &Recipe::open("q8_0").unwrap());
    assert_eq!(
        std::fs::read(safe).unwrap(),
        std::fs::read(pickled).unwrap()
    );
    let mut more = tensors.clone();
    add(&mut more, "stray.bias", &[2]);
    add(&mut more, "stray.weight", &[2]);
    save_pickled(hf.path(), &more);
    let why = Source::open(hf.path(), &Inputs::default())
        .unwrap_err()
        .to_string();
    assert!(
        why.contains("tensors `stray.bias`, `stray.weight`: not part"),
        "{why}"
    );
}

#[test]
fn an_output_for_updates_of_its_own_writes_them_and_a_copy_of_the_other_is_left_out() {
    const NAME: &str = "dst_generation_head.weight";
    let mut tensors = hf_dstproact_tensors();
    tensors.insert(NAME.into(), tensors["lm_head.weight"].clone());
    let hf = hf_folder(&tensors);
    let (_keep, out, _) = convert(hf.path(), &exact(hf.path()));
    let (config, model) = load(&out);
    assert!(!config.update_output && GgufFile::open(&out).unwrap().tensor(NAME).is_none());
    let hidden = Hidden(normal("hidden", &[1, D]));
    assert_eq!(
        model.update_logits(&hidden).unwrap(),
        model.lm_logits(&hidden).unwrap()
    );

    add(&mut tensors, NAME, &[VOCAB, D]);
    let hf = hf_folder(&tensors);
    let (_keep, out, _) = convert(hf.path(), &exact(hf.path()));
    let (config, model) = load(&out);
    assert!(config.update_output);
    assert_eq!(
        values(&GgufFile::open(&out).unwrap(), NAME),
        flat(&tensors[NAME])
    );
    let row = hidden.0.t().unwrap();
    for (name, logits) in [
        (NAME, model.update_logits(&hidden)),
        ("lm_head.weight", model.lm_logits(&hidden)),
    ] {
        let expected = flat(&tensors[name].matmul(&row).unwrap());
        assert!(
            logits
                .unwrap()
                .iter()
                .zip(&expected)
                .all(|(a, b)| (a - b).abs() < 1e-4),
            "{name}"
        );
    }
}

#[test]
fn lora_on_a_tied_output_unties_it() {
    let mut tensors = hf_dstproact_tensors();
    tensors.remove("lm_head.weight");
    let base = hf_folder(&tensors);
    let mut config: Value =
        serde_json::from_str(&std::fs::read_to_string(base.path().join("config.json")).unwrap())
            .unwrap();
    config["tie_word_embeddings"] = json!(true);
    write(base.path(), "config.json", &config);
    let mut t = Tensors::new();
    add(&mut t, "base_model.model.lm_head.lora_A.weight", &[4, D]);
    add(
        &mut t,
        "base_model.model.lm_head.lora_B.weight",
        &[VOCAB, 4],
    );
    let adapter = tempfile::tempdir().unwrap();
    save(adapter.path(), "adapter_model.safetensors", &t);
    write(
        adapter.path(),
        "adapter_config.json",
        &json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8}),
    );
    let out = adapter.path().join("out.gguf");
    let source = Source::open(
        adapter.path(),
        &Inputs {
            base: Some(base.path()),
            vision_tokens: None,
        },
    )
    .unwrap();
    quantize(&source, &exact(base.path()), &out, &Options::default()).unwrap();
    assert!(!load(&out).0.backbone.tied_output);
    let (file, table) = (
        GgufFile::open(&out).unwrap(),
        &tensors["model.embed_tokens.weight"],
    );
    let product = t["base_model.model.lm_head.lora_B.weight"]
        .matmul(&t["base_model.model.lm_head.lora_A.weight"])
        .unwrap();
    let expected = flat(&(table + (product * 2.0).unwrap()).unwrap());
    assert!(
        values(&file, "output.weight")
            .iter()
            .zip(&expected)
            .all(|(a, b)| (a - b).abs() < 1e-6)
    );
    assert_eq!(
        values(&file, "token_embd.weight"),
        flat(table),
        "the table itself stays as it was"
    );

    // An output that was saved whole takes the place of the tied one.
    let whole = normal("whole", &[VOCAB, D]);
    save(
        adapter.path(),
        "adapter_model.safetensors",
        &Tensors::from([("base_model.model.lm_head.weight".into(), whole.clone())]),
    );
    let source = Source::open(
        adapter.path(),
        &Inputs {
            base: Some(base.path()),
            vision_tokens: None,
        },
    )
    .unwrap();
    quantize(&source, &exact(base.path()), &out, &Options::default()).unwrap();
    assert_eq!(
        values(&GgufFile::open(&out).unwrap(), "output.weight"),
        flat(&whole)
    );
    assert!(!load(&out).0.backbone.tied_output);
}

#[test]
fn a_proassist_adapter_keeps_its_vocabulary_and_gets_its_layout() {
    let base_tensors = hf_llama_tensors();
    let base = hf_folder(&base_tensors);
    let text = std::fs::read_to_string(base.path().join("tokenizer.json")).unwrap();
    let renamed = ["<image>", "[DST]", "[ASST]"]
        .iter()
        .enumerate()
        .fold(text, |text, (n, token)| {
            text.replace(token, &format!("<|reserved_special_token_{n}|>"))
        });
    std::fs::write(base.path().join("tokenizer.json"), renamed).unwrap();
    let mut t = Tensors::new();
    for (layer, outputs) in [("model.layers.0.mlp.down_proj", D), ("lm_head", VOCAB)] {
        let inputs = if layer == "lm_head" { D } else { FF };
        add(
            &mut t,
            format!("base_model.model.{layer}.lora_A.weight"),
            &[128, inputs],
        );
        add(
            &mut t,
            format!("base_model.model.{layer}.lora_B.weight"),
            &[outputs, 128],
        );
    }
    for (name, tensor) in hf_dstproact_tensors()
        .iter()
        .filter(|(name, _)| name.starts_with("mm_projector"))
    {
        t.insert(format!("base_model.model.{name}"), tensor.clone());
    }
    // Upstream's ProAssist knows no such key; the base is the DST extension's otherwise.
    let config = std::fs::read_to_string(base.path().join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config
        .as_object_mut()
        .unwrap()
        .remove("binary_threshold")
        .unwrap();
    write(base.path(), "config.json", &config);
    let adapter = tempfile::tempdir().unwrap();
    save(adapter.path(), "adapter_model.safetensors", &t);
    write(
        adapter.path(),
        "adapter_config.json",
        &json!({"peft_type": "LORA", "r": 128, "lora_alpha": 256}),
    );
    write(
        adapter.path(),
        "config.json",
        &json!({"use_img_cls_token": true, "img_patch_token_size": 3}),
    );
    let out = adapter.path().join("out.gguf");
    let source = Source::open(
        adapter.path(),
        &Inputs {
            base: Some(base.path()),
            vision_tokens: None,
        },
    )
    .unwrap();
    quantize(&source, &exact(base.path()), &out, &Options::default()).unwrap();
    let (config, _) = load(&out);
    assert_eq!(
        (
            config.layout.word(),
            config.tokens_per_frame,
            config.backbone.vocab_size
        ),
        ("proassist", 10, VOCAB)
    );
    assert_eq!(
        (
            config.heads,
            config.gates.speak.kind,
            config.gates.speak.threshold.0
        ),
        (HeadKind::None, GateKind::Token, 0.7)
    );
    let product = t["base_model.model.lm_head.lora_B.weight"]
        .matmul(&t["base_model.model.lm_head.lora_A.weight"])
        .unwrap();
    let product = (product * 2.0).unwrap();
    let same = |beneath: &Tensor| {
        let merged = flat(&(beneath + &product).unwrap());
        let got = values(&GgufFile::open(&out).unwrap(), "output.weight");
        merged.iter().zip(&got).all(|(a, b)| (a - b).abs() < 1e-5)
    };
    assert!(same(&base_tensors["lm_head.weight"]));
    // PEFT saves the weight beneath where the output is adapted, and then that one counts.
    let beneath = normal("beneath", &[VOCAB, D]);
    t.insert(
        "base_model.model.lm_head.base_layer.weight".into(),
        beneath.clone(),
    );
    save(adapter.path(), "adapter_model.safetensors", &t);
    let source = Source::open(
        adapter.path(),
        &Inputs {
            base: Some(base.path()),
            vision_tokens: None,
        },
    )
    .unwrap();
    quantize(&source, &exact(base.path()), &out, &Options::default()).unwrap();
    assert!(same(&beneath) && !same(&base_tensors["lm_head.weight"]));
}

/// A whole file with `header` for its JSON and this many bytes behind it.
fn safetensors_with(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn weights_that_are_cut_or_lie_are_errors_that_name_the_file() {
    let hf = hf_folder(&hf_dstproact_tensors());
    let path = hf.path().join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        let why = match Source::open(hf.path(), &Inputs::default()) {
            Err(why) => why.to_string(),
            Ok(_) => panic!("{what}: taken"),
        };
        assert!(why.contains("model.safetensors"), "{what}: {why}");
    };
    for length in (0..200)
        .chain((200..whole.len()).step_by(9973))
        .chain([whole.len() - 1])
    {
        refused(&whole[..length], &format!("cut to {length} bytes"));
    }
    for (what, length) in [
        ("a header of 2^64 - 1 bytes", u64::MAX),
        ("a header longer than the file", whole.len() as u64),
    ] {
        refused(&[&length.to_le_bytes(), &whole[8..]].concat(), what);
    }
    let name = "model.norm.weight";
    for (what, header, data) in [
        (
            "an offset behind the end",
            format!(r#"{{"{name}":{{"dtype":"F32","shape":[256],"data_offsets":[0,1024]}}}}"#),
            1023,
        ),
        (
            "a range that is no range",
            format!(r#"{{"{name}":{{"dtype":"F32","shape":[256],"data_offsets":[1024,0]}}}}"#),
            1024,
        ),
        (
            "a shape of other bytes",
            format!(r#"{{"{name}":{{"dtype":"F32","shape":[255],"data_offsets":[0,1024]}}}}"#),
            1024,
        ),
        (
            "sizes that overflow",
            format!(
                r#"{{"{name}":{{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}}}"#
            ),
            0,
        ),
        (
            "a hole",
            format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}}}"#),
            8,
        ),
        (
            "an unknown type",
            format!(r#"{{"{name}":{{"dtype":"F7","shape":[1],"data_offsets":[0,4]}}}}"#),
            4,
        ),
        ("no JSON", "x".repeat(64), 0),
    ] {
        refused(&safetensors_with(&header, data), what);
    }
    // Numbers where weights should be are read as far as their types go, and named there.
    let mut tensors = hf_dstproact_tensors();
    tensors.insert(
        name.into(),
        Tensor::ones(D, candle_core::DType::I64, &DEVICE).unwrap(),
    );
    save(hf.path(), "model.safetensors", &tensors);
    let source = Source::open(hf.path(), &Inputs::default()).unwrap();
    let out = hf.path().join("out.gguf");
    let why = quantize(&source, &exact(hf.path()), &out, &Options::default())
        .unwrap_err()
        .to_string();
    assert!(
        why.contains(name) && why.contains("I64") && !out.exists(),
        "{why}"
    );
}

#[test]
fn a_pickled_checkpoint_that_is_cut_is_an_error_that_names_the_file() {
    let tensors = hf_dstproact_tensors();
    let hf = hf_folder(&tensors);
    std::fs::remove_file(hf.path().join("model.safetensors")).unwrap();
    save_pickled(hf.path(), &tensors);
    let path = hf.path().join("pytorch_model.bin");
    let whole = std::fs::read(&path).unwrap();
    for length in (0..200)
        .chain((200..whole.len()).step_by(9973))
        .chain([whole.len() - 1])
    {
        std::fs::write(&path, &whole[..length]).unwrap();
        let why = match Source::open(hf.path(), &Inputs::default()) {
            Err(why) => why.to_string(),
            Ok(_) => panic!("cut to {length} bytes: taken"),
        };
        assert!(
            why.contains("pytorch_model.bin"),
            "cut to {length} bytes: {why}"
        );
    }
}

#[test]
fn a_file_that_shrinks_after_it_was_looked_at_is_an_error_and_leaves_nothing() {
    let hf = hf_folder(&hf_dstproact_tensors());
    let source = Source::open(hf.path(), &Inputs::default()).unwrap();
    let path = hf.path().join("model.safetensors");
    let whole = std::fs::metadata(&path).unwrap().len();
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(whole / 2)
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.gguf");
    let why = quantize(&source, &exact(hf.path()), &out, &Options::default())
        .unwrap_err()
        .to_string();
    assert!(why.contains("model.safetensors"), "{why}");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing half written stays"
    );
}

#[test]
fn the_end_of_a_turn_is_llama_3s_where_the_vocabulary_has_it() {
    let hf = hf_folder(&hf_llama_tensors());
    let eot = |hf: &Path| {
        let vision_tokens = Some(VisionTokens {
            width: DV,
            tokens_per_frame: 1,
        });
        let out = hf.join("out.gguf");
        let source = Source::open(
            hf,
            &Inputs {
                base: None,
                vision_tokens,
            },
        )
        .unwrap();
        quantize(
            &source,
            &Recipe::open("q8_0").unwrap(),
            &out,
            &Options::default(),
        )
        .unwrap();
        load(&out).0.tokens.eot.0
    };
    assert_eq!(eot(hf.path()), 4, "what ends a text");
    let text = std::fs::read_to_string(hf.path().join("tokenizer.json"))
        .unwrap()
        .replace("<pad>", "<|eot_id|>");
    std::fs::write(hf.path().join("tokenizer.json"), text).unwrap();
    assert_eq!(eot(hf.path()), 8);
}
