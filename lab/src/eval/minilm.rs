//! Sentences compared by a sentence model (feature `minilm`): all-MiniLM-L6-v2, or another BERT
//! that pools by the mean. ProAssist compares them by all-mpnet-base-v2, which is larger and no
//! BERT: near its numbers, not equal to them.
//!
//! A sentence's embedding is the mean of BERT's last hidden states over its tokens, brought to
//! length 1 (sentence-transformers' `Pooling` and `Normalize`); the similarity of two is their
//! cosine.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, anyhow, ensure};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use sha2::{Digest, Sha256};
use tokenizers::{Tokenizer, TruncationParams};

use crate::eval::speech::Similarity;
use proact::files;

/// Tokens of a sentence at most (`sentence_bert_config.json` of the model).
const TOKENS_MAX: usize = 256;

/// A sentence model; remembers each sentence's embedding.
pub struct SentenceModel {
    name: String,
    fingerprint: String,
    model: BertModel,
    tokenizer: Tokenizer,
    known: Mutex<HashMap<String, Arc<[f32]>>>,
}

impl SentenceModel {
    /// Opens a folder with `config.json`, `tokenizer.json` and `model.safetensors`.
    ///
    /// # Errors
    /// A file is missing or malformed, or is of another kind of model.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).with_context(|| format!("--sentence-model: {}", path.display()))
        };
        let bad = |name: &str| format!("--sentence-model: {}", folder.join(name).display());
        let config: Config =
            serde_json::from_slice(&read("config.json")?).with_context(|| bad("config.json"))?;
        let mut tokenizer = Tokenizer::from_bytes(read("tokenizer.json")?)
            .map_err(|e| anyhow!("{}: {e}", bad("tokenizer.json")))?;
        tokenizer.with_padding(None);
        let truncation = TruncationParams {
            max_length: TOKENS_MAX.min(config.max_position_embeddings),
            ..TruncationParams::default()
        };
        tokenizer
            .with_truncation(Some(truncation))
            .map_err(|e| anyhow!("{}: {e}", bad("tokenizer.json")))?;
        let words = tokenizer.get_vocab_size(true);
        ensure!(
            words <= config.vocab_size,
            "{}: {words} tokens, the model has {}",
            bad("tokenizer.json"),
            config.vocab_size
        );
        let bytes = read("model.safetensors")?;
        let mut hash = Sha256::new();
        [&bytes, &read("tokenizer.json")?, &read("config.json")?]
            .into_iter()
            .for_each(|part| hash.update(part));
        let fingerprint = files::hex(hash);
        let weights = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu)
            .with_context(|| bad("model.safetensors"))?;
        let model = BertModel::load(weights, &config).with_context(|| bad("model.safetensors"))?;
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let name = format!(
            "bert-cosine:{}",
            folder.file_name().unwrap_or_default().to_string_lossy()
        );
        Ok(Self {
            name,
            fingerprint,
            model,
            tokenizer,
            known: Mutex::default(),
        })
    }

    /// Hash of the model's files.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The embedding of a sentence, `[D]`, of length 1.
    fn embed(&self, text: &str) -> anyhow::Result<Arc<[f32]>> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known().get(text) {
            return Ok(found.clone());
        }
        let encoding = self
            .tokenizer
            .encode(text, true)
            .map_err(|e| anyhow!("{e}"))?;
        let ids = Tensor::new(encoding.get_ids(), &Device::Cpu)?.unsqueeze(0)?;
        let hidden = self.model.forward(&ids, &ids.zeros_like()?, None)?; // [1,T,D]
        let pooled = hidden.mean(1)?.squeeze(0)?;
        let values: Vec<f32> = pooled.to_vec1()?;
        let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
        let unit: Arc<[f32]> = values
            .iter()
            .map(|v| v / length.max(f32::MIN_POSITIVE))
            .collect();
        known().insert(text.to_owned(), unit.clone());
        Ok(unit)
    }
}

impl Similarity for SentenceModel {
    fn name(&self) -> &str {
        &self.name
    }

    /// The cosine; NaN, which counts as 0, where the model cannot read a sentence.
    fn score(&self, a: &str, b: &str) -> f32 {
        match (self.embed(a), self.embed(b)) {
            (Ok(a), Ok(b)) => a.iter().zip(&*b).map(|(x, y)| x * y).sum(),
            (Err(why), _) | (_, Err(why)) => {
                tracing::warn!("a sentence counts as unlike any other: {why}");
                f32::NAN
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> std::path::PathBuf {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("tests/data/minilm")
    }

    #[test]
    fn cosines_are_those_of_transformers() {
        let model = SentenceModel::open(&folder()).unwrap();
        assert_eq!(model.name(), "bert-cosine:minilm");
        let pairs: Vec<(String, String, f32)> =
            serde_json::from_slice(&std::fs::read(folder().join("cosines.json")).unwrap()).unwrap();
        assert!(pairs.len() > 5);
        for (a, b, expected) in pairs {
            let found = model.score(&a, &b);
            assert!(
                (found - expected).abs() < 1e-5,
                "{a:?}, {b:?}: {found}, expected {expected}"
            );
            assert_eq!(found, model.score(&a, &b), "remembered");
        }
        assert!((model.score("now", "now") - 1.0).abs() < 1e-6);
        // Far more words than the model reads.
        assert!(model.score(&"milk ".repeat(1000), "milk").is_finite());
    }

    #[test]
    fn what_is_no_sentence_model_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let refused = || {
            SentenceModel::open(dir.path())
                .err()
                .map(|e| format!("{e:#}"))
                .unwrap_or_default()
        };
        assert!(refused().contains("config.json"));
        for name in ["config.json", "tokenizer.json"] {
            std::fs::copy(folder().join(name), dir.path().join(name)).unwrap();
        }
        assert!(refused().contains("model.safetensors"));
        std::fs::write(dir.path().join("model.safetensors"), [0xff; 64]).unwrap();
        assert!(refused().contains("model.safetensors"));
        std::fs::write(dir.path().join("tokenizer.json"), "{").unwrap();
        assert!(refused().contains("tokenizer.json"));
    }
}
