//! SmolLM2 against transformers and llama.cpp, SigLIPs of real shapes against transformers; only
//! where PROACT_REAL_WEIGHTS names a folder with smollm2/ from tests/data/make_real_weights.py,
//! siglip/ from tests/data/make_real_siglip.py.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use proact::model::assistant::Assistant;
use proact::model::open;
use serde_json::Value;

/// Two logits nearer than this may change places.
const NEAR: f32 = 0.02;
/// Tokens that upstream's vocabulary has; behind them are the layout's.
const TOKENS: usize = 49152;

fn folder(name: &str) -> Option<PathBuf> {
    let folder =
        std::env::var_os("PROACT_REAL_WEIGHTS").map(|folder| PathBuf::from(folder).join(name));
    let folder = folder.filter(|folder| folder.is_dir());
    if folder.is_none() {
        eprintln!(
            "NOT RUN: PROACT_REAL_WEIGHTS names no folder with {name}/ in it (tests/data/make_real_*.py)"
        );
    }
    folder
}

fn load(path: &Path) -> Assistant {
    open::open(path, None).unwrap().assistant
}

fn cases(folder: &Path) -> Vec<Value> {
    serde_json::from_str(&std::fs::read_to_string(folder.join("cases.json")).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_u64().unwrap() as u32)
        .collect()
}

/// Logits behind each place of a sequence that is read in one go, then token by token.
fn logits(model: &Assistant, prompt: &[u32], then: &[u32]) -> Vec<Vec<f32>> {
    let llama = model.backbone();
    let mut memory = llama.memory(prompt.len() + then.len()).unwrap();
    let mut feed = |ids: &[u32]| -> Vec<f32> {
        let embeds = model.embed(ids).unwrap().unsqueeze(0).unwrap();
        let hidden = llama.extend_embeds(&embeds, &mut memory).unwrap();
        let mut scores: Vec<f32> = llama
            .lm_head(&hidden)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        scores.truncate(TOKENS);
        scores
    };
    let mut all = vec![feed(prompt)];
    all.extend(then.iter().map(|&id| feed(&[id])));
    all
}

/// The best and how far the second best lies behind it.
fn best(scores: &[f32]) -> (u32, f32) {
    let first = (0..scores.len())
        .max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
        .unwrap();
    let second = (0..scores.len())
        .filter(|&i| i != first)
        .map(|i| scores[i])
        .fold(f32::NEG_INFINITY, f32::max);
    (first as u32, scores[first] - second)
}

#[test]
fn greedy_continuations_equal_those_of_transformers_and_llama_cpp() {
    let Some(folder) = folder("smollm2") else {
        return;
    };
    let model = load(&folder.join("f16.gguf"));
    for other in ["transformers", "llama_cpp"] {
        let (mut whole, mut equal) = (0, 0);
        for case in cases(&folder) {
            let expected = ids(&case[other]);
            // Along the other's tokens: the first that differs must be a near miss.
            let scores = logits(&model, &ids(&case["ids"]), &expected[..expected.len() - 1]);
            let differs = scores
                .iter()
                .zip(&expected)
                .position(|(scores, &id)| best(scores).0 != id);
            equal += differs.unwrap_or(expected.len());
            whole += usize::from(differs.is_none());
            if let Some(at) = differs {
                let margin = best(&scores[at]).1;
                eprintln!(
                    "{other}: {}: token {at} differs, the two best are {margin} apart",
                    case["prompt"]
                );
                assert!(
                    margin <= NEAR,
                    "{other}: {}: token {at}, {margin} apart",
                    case["prompt"]
                );
            }
        }
        eprintln!(
            "{other}: {whole} of 10 continuations of 64 tokens equal, {equal} tokens in all before a difference"
        );
    }
}

/// A list of lists of numbers.
fn lists(value: &Value) -> Vec<Vec<f64>> {
    let list = |v: &Value| {
        v.as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_f64().unwrap())
            .collect()
    };
    value.as_array().unwrap().iter().map(list).collect()
}

#[test]
fn the_quantized_files_logits_are_as_near_to_the_exact_ones_as_llama_cpps() {
    let Some(folder) = folder("smollm2") else {
        return;
    };
    let model = load(&folder.join("q4_1.gguf"));
    // Errors of the 20 best logits behind every prompt and every token after it: of all of them,
    // and the worst of each place.
    let (mut ours, mut theirs) = (Errors::default(), Errors::default());
    for case in cases(&folder) {
        let (then, exact) = (ids(&case["transformers"]), lists(&case["exact"]));
        let got = logits(&model, &ids(&case["ids"]), &then[..then.len() - 1]);
        let picked = lists(&case["top"])
            .into_iter()
            .zip(got)
            .map(|(top, got)| top.iter().map(|&i| f64::from(got[i as usize])).collect());
        ours.add(picked, &exact);
        theirs.add(lists(&case["llama_cpp_q4_1"]).into_iter(), &exact);
    }
    eprintln!(
        "Q4_1, {} places: proact {}, llama.cpp {}",
        ours.worst.len(),
        ours.say(),
        theirs.say()
    );
    assert!(
        ours.rms() <= theirs.rms(),
        "proact {}, llama.cpp {}",
        ours.say(),
        theirs.say()
    );
}

/// Differences from the exact logits.
#[derive(Default)]
struct Errors {
    all: Vec<f64>,
    worst: Vec<f64>,
}

impl Errors {
    fn add(&mut self, rows: impl Iterator<Item = Vec<f64>>, exact: &[Vec<f64>]) {
        for (row, exact) in rows.zip(exact) {
            let errors: Vec<f64> = row.iter().zip(exact).map(|(a, b)| (a - b).abs()).collect();
            self.worst.push(errors.iter().copied().fold(0.0, f64::max));
            self.all.extend(errors);
        }
    }

    fn rms(&self) -> f64 {
        (self.all.iter().map(|e| e * e).sum::<f64>() / self.all.len() as f64).sqrt()
    }

    fn say(&self) -> String {
        let mean = self.worst.iter().sum::<f64>() / self.worst.len() as f64;
        let most = self.worst.iter().copied().fold(0.0, f64::max);
        format!(
            "rms {:.4}, worst of 20 {mean:.3} in the mean and {most:.3} at most",
            self.rms()
        )
    }
}

/// Smallest cosine to transformers' `pooler_output` that each type of weights may have.
const COSINES: [(&str, f64); 3] = [("f32", 0.99999), ("f16", 0.9995), ("q8_0", 0.9995)];

fn features_equal_those_of_transformers(name: &str) {
    let Some(folder) = folder("siglip")
        .map(|folder| folder.join(name))
        .filter(|folder| folder.is_dir())
    else {
        return;
    };
    let case =
        candle_core::safetensors::load(folder.join("case.safetensors"), &Device::Cpu).unwrap();
    let (pixels, pooled) = (&case["pixels"], &case["pooler_output"]);
    for (kind, cosine_min) in COSINES {
        let vision = open::open_vision(&folder.join(format!("{kind}.gguf")))
            .unwrap()
            .towers
            .vision;
        for n in 0..pixels.dim(0).unwrap() {
            let row = |t: &Tensor| -> Vec<f32> { t.flatten_all().unwrap().to_vec1().unwrap() };
            let got = row(&vision
                .forward_tensor(&pixels.narrow(0, n, 1).unwrap())
                .unwrap());
            let wanted = row(&pooled.narrow(0, n, 1).unwrap());
            let dot = |a: &[f32], b: &[f32]| {
                a.iter()
                    .zip(b)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum::<f64>()
            };
            let (lengths, product) = ((dot(&got, &got), dot(&wanted, &wanted)), dot(&got, &wanted));
            let (cosine, norm) = (
                product / (lengths.0 * lengths.1).sqrt(),
                (lengths.0 / lengths.1).sqrt(),
            );
            eprintln!("{name} {kind} picture {n}: cosine {cosine:.7}, norm {norm:.6}");
            assert!(
                cosine >= cosine_min && (norm - 1.0).abs() < 0.01,
                "{name} {kind} picture {n}: cosine {cosine}, norm {norm}"
            );
        }
    }
}

#[test]
fn features_of_siglip_base_patch16_224_equal_those_of_transformers() {
    features_equal_those_of_transformers("base");
}

#[test]
fn features_of_siglip_so400m_patch14_384_equal_those_of_transformers() {
    features_equal_those_of_transformers("so400m");
}
