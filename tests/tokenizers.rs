//! Tokenizers rebuilt from `tokenizer.ggml.*` against the real ones, token for token: cut down in
//! the repository (tests/data/make_tokenizers.py), whole where PROACT_REAL_WEIGHTS names a folder
//! with the files that the script writes.

use std::collections::HashMap;
use std::path::PathBuf;

use proact::model::gguf::MetaValue;
use proact::model::tokenizer::{Tokenizer, ggml};
use proact::units::TokenId;
use serde_json::Value;

const NAMES: [&str; 3] = ["llama-bpe", "smollm", "llama-spm"];

type Keys = HashMap<String, MetaValue>;

fn fixture() -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/tokenizers.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn strings(value: &Value) -> MetaValue {
    MetaValue::Array(
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|v| MetaValue::String(v.as_str().unwrap().into()))
            .collect(),
    )
}

/// The keys as a GGUF file has them.
fn keys(family: &Value) -> Keys {
    let mut keys = Keys::new();
    for (name, value) in family.as_object().unwrap() {
        let value = match name.as_str() {
            "model" | "pre" => MetaValue::String(value.as_str().unwrap().into()),
            "tokens" | "merges" => strings(value),
            "token_type" => MetaValue::Array(
                value
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|v| MetaValue::I32(v.as_i64().unwrap() as i32))
                    .collect(),
            ),
            "scores" => MetaValue::Array(
                value
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|v| MetaValue::F32(v.as_f64().unwrap() as f32))
                    .collect(),
            ),
            _ => continue,
        };
        keys.insert(format!("tokenizer.ggml.{name}"), value);
    }
    keys
}

fn rebuild(keys: &Keys) -> proact::error::Result<Tokenizer> {
    Tokenizer::new(ggml::tokenizer_json(&|key| keys.get(key))?.as_bytes(), None)
}

fn pieces(tokenizer: &Tokenizer, ids: &[TokenId]) -> Vec<String> {
    ids.iter().map(|&id| tokenizer.text(id).unwrap()).collect()
}

#[test]
fn rebuilt_tokenizers_cut_like_the_real_ones() {
    let fixture = fixture();
    for name in NAMES {
        let tokenizer = rebuild(&keys(&fixture[name])).unwrap();
        let cases = fixture[name]["cases"].as_array().unwrap();
        assert!(cases.len() > 50, "{name}");
        for case in cases {
            let text = case["text"].as_str().unwrap();
            let ids = tokenizer
                .encode(text, case["special"].as_bool().unwrap())
                .unwrap();
            let expected: Vec<&str> = case["pieces"]
                .as_array()
                .unwrap()
                .iter()
                .map(|p| p.as_str().unwrap())
                .collect();
            assert_eq!(pieces(&tokenizer, &ids), expected, "{name}: {text:?}");
            assert_eq!(
                tokenizer.decode(&ids).unwrap(),
                case["back"].as_str().unwrap(),
                "{name}: {text:?}, back"
            );
        }
    }
}

#[test]
fn ids_are_places_in_the_list_of_tokens() {
    let fixture = fixture();
    for name in NAMES {
        let tokenizer = rebuild(&keys(&fixture[name])).unwrap();
        let tokens = fixture[name]["tokens"].as_array().unwrap();
        assert_eq!(tokenizer.vocab_size().unwrap(), tokens.len(), "{name}");
        for (id, token) in tokens.iter().enumerate() {
            assert_eq!(
                tokenizer.text(TokenId(id as u32)).as_deref(),
                token.as_str(),
                "{name}: token {id}"
            );
        }
    }
}

#[test]
fn unsound_keys_are_refused_by_name() {
    let fixture = fixture();
    let refused = |name: &str, key: &str, value: Option<MetaValue>, words: &[&str]| {
        let mut keys = keys(&fixture[name]);
        let key = format!("tokenizer.ggml.{key}");
        match value {
            Some(value) => keys.insert(key, value),
            None => keys.remove(&key),
        };
        let why = rebuild(&keys).err().expect("accepted").to_string();
        assert!(
            words.iter().all(|word| why.contains(word)),
            "{why:?} does not say {words:?}"
        );
    };
    let text = |text: &str| Some(MetaValue::String(text.into()));
    let list = |items: &[&str]| {
        Some(MetaValue::Array(
            items.iter().map(|&t| MetaValue::String(t.into())).collect(),
        ))
    };
    refused(
        "smollm",
        "model",
        text("bert"),
        &["tokenizer.ggml.model", "bert", "gpt2 or llama"],
    );
    refused(
        "smollm",
        "model",
        None,
        &["tokenizer.ggml.model", "nothing"],
    );
    refused(
        "smollm",
        "pre",
        text("qwen2"),
        &["tokenizer.ggml.pre", "qwen2", "llama-bpe, smollm or gpt-2"],
    );
    refused(
        "smollm",
        "tokens",
        None,
        &["tokenizer.ggml.tokens", "nothing"],
    );
    refused(
        "smollm",
        "tokens",
        list(&["a", "a"]),
        &["tokenizer.ggml.token_type"],
    );
    refused("smollm", "merges", None, &["tokenizer.ggml.merges"]);
    refused(
        "smollm",
        "merges",
        list(&["nospace"]),
        &["tokenizer.ggml.merges"],
    );
    refused(
        "smollm",
        "merges",
        list(&["qq zz"]),
        &["tokenizer.ggml.merges", "qq zz"],
    );
    refused(
        "smollm",
        "token_type",
        Some(MetaValue::Bool(true)),
        &["tokenizer.ggml.token_type", "a bool"],
    );
    refused("llama-spm", "scores", None, &["tokenizer.ggml.scores"]);
    refused(
        "llama-spm",
        "scores",
        Some(MetaValue::Array(vec![MetaValue::F32(0.0)])),
        &["tokenizer.ggml.scores", "1 items"],
    );
    refused(
        "llama-spm",
        "add_space_prefix",
        text("yes"),
        &["tokenizer.ggml.add_space_prefix"],
    );
    let mut double = keys(&fixture["smollm"]);
    if let Some(MetaValue::Array(tokens)) = double.get_mut("tokenizer.ggml.tokens") {
        tokens[5] = tokens[4].clone();
    }
    assert!(
        rebuild(&double)
            .err()
            .unwrap()
            .to_string()
            .contains("tokens 4 and 5")
    );
}

/// The whole vocabularies and some thousand texts; only where the files are.
#[test]
fn whole_vocabularies_cut_like_the_real_ones() {
    let Some(folder) = std::env::var_os("PROACT_REAL_WEIGHTS")
        .map(|folder| PathBuf::from(folder).join("tokenizers"))
    else {
        eprintln!(
            "NOT RUN: PROACT_REAL_WEIGHTS names no folder with tokenizers/ from tests/data/make_tokenizers.py --large"
        );
        return;
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let family: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let tokenizer = rebuild(&keys(&family)).unwrap();
        let cases = family["cases"].as_array().unwrap();
        let mut tokens = 0;
        for case in cases {
            let ids = tokenizer
                .encode(case["text"].as_str().unwrap(), false)
                .unwrap();
            let ids: Vec<u64> = ids.iter().map(|id| id.0.into()).collect();
            let expected: Vec<u64> = case["ids"]
                .as_array()
                .unwrap()
                .iter()
                .map(|id| id.as_u64().unwrap())
                .collect();
            assert_eq!(ids, expected, "{name}: {:?}", case["text"]);
            tokens += ids.len();
        }
        eprintln!("{name}: {} texts, {tokens} tokens, all equal", cases.len());
    }
}
