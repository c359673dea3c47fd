//! SmolLM2 against transformers and llama.cpp; only where PROACT_REAL_WEIGHTS names a folder with smollm2/ from
//! tests/data/make_real_weights.py.

use std::path::{Path, PathBuf};

use candle_core::Device;
use proact::model::assistant::Assistant;
use proact::model::config::AssistantConfig;
use proact::model::gguf::GgufFile;
use proact::model::weights::Weights;
use serde_json::Value;

/// Two logits nearer than this may change places.
const NEAR: f32 = 0.02;
/// Tokens that upstream's vocabulary has; behind them are the layout's.
const TOKENS: usize = 49152;

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("PROACT_REAL_WEIGHTS").map(|folder| PathBuf::from(folder).join("smollm2"));
    if folder.is_none() {
        eprintln!("NOT RUN: PROACT_REAL_WEIGHTS names no folder with smollm2/ from tests/data/make_real_weights.py");
    }
    folder
}

fn load(path: &Path) -> Assistant {
    let file = GgufFile::open(path).unwrap();
    let config = AssistantConfig::from_metadata(&|key| file.metadata(key).cloned()).unwrap();
    Assistant::new(&config, &Weights::new(file, &Device::Cpu)).unwrap()
}

fn cases(folder: &Path) -> Vec<Value> {
    serde_json::from_str(&std::fs::read_to_string(folder.join("cases.json")).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect()
}

/// Logits behind each place of a sequence that is read in one go, then token by token.
fn logits(model: &Assistant, prompt: &[u32], then: &[u32]) -> Vec<Vec<f32>> {
    let llama = model.backbone();
    let mut memory = llama.memory(prompt.len() + then.len()).unwrap();
    let mut feed = |ids: &[u32]| -> Vec<f32> {
        let embeds = model.embed(ids).unwrap().unsqueeze(0).unwrap();
        let hidden = llama.extend_embeds(&embeds, &mut memory).unwrap();
        let mut scores: Vec<f32> = llama.lm_head(&hidden).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        scores.truncate(TOKENS);
        scores
    };
    let mut all = vec![feed(prompt)];
    all.extend(then.iter().map(|&id| feed(&[id])));
    all
}

/// The best and how far the second best lies behind it.
fn best(scores: &[f32]) -> (u32, f32) {
    let first = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
    let second = (0..scores.len()).filter(|&i| i != first).map(|i| scores[i]).fold(f32::NEG_INFINITY, f32::max);
    (first as u32, scores[first] - second)
}

#[test]
fn greedy_continuations_equal_those_of_transformers_and_llama_cpp() {
    let Some(folder) = folder() else { return };
    let model = load(&folder.join("f16.gguf"));
    for other in ["transformers", "llama_cpp"] {
        let (mut whole, mut equal) = (0, 0);
        for case in cases(&folder) {
            let expected = ids(&case[other]);
            // Along the other's tokens: the first that differs must be a near miss.
            let scores = logits(&model, &ids(&case["ids"]), &expected[..expected.len() - 1]);
            let differs = scores.iter().zip(&expected).position(|(scores, &id)| best(scores).0 != id);
            equal += differs.unwrap_or(expected.len());
            whole += usize::from(differs.is_none());
            if let Some(at) = differs {
                let margin = best(&scores[at]).1;
                eprintln!("{other}: {}: token {at} differs, the two best are {margin} apart", case["prompt"]);
                assert!(margin <= NEAR, "{other}: {}: token {at}, {margin} apart", case["prompt"]);
            }
        }
        eprintln!("{other}: {whole} of 10 continuations of 64 tokens equal, {equal} tokens in all before a difference");
    }
}

#[test]
fn the_quantized_files_logits_are_as_near_to_the_exact_ones_as_llama_cpps() {
    let Some(folder) = folder() else { return };
    let model = load(&folder.join("q4_1.gguf"));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for case in cases(&folder) {
        let exact: Vec<f32> = case["exact_last"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
        let got = &logits(&model, &ids(&case["ids"]), &[])[0];
        let mut top: Vec<usize> = (0..exact.len()).collect();
        top.sort_by(|&a, &b| exact[b].total_cmp(&exact[a]));
        ours.push(top[..20].iter().map(|&i| (exact[i] - got[i]).abs()).fold(0.0, f32::max));
        theirs.push(case["llama_cpp_error"].as_f64().unwrap() as f32);
    }
    let mean = |errors: &[f32]| errors.iter().sum::<f32>() / errors.len() as f32;
    eprintln!("worst of the 20 best logits, by prompt: proact {ours:?}, llama.cpp {theirs:?}");
    eprintln!("mean: proact {}, llama.cpp {}", mean(&ours), mean(&theirs));
    assert!(mean(&ours) <= mean(&theirs), "proact {ours:?}, llama.cpp {theirs:?}");
}
