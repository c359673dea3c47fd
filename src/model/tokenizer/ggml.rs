//! A `tokenizer.json` from the `tokenizer.ggml.*` keys of a GGUF file that has nothing else:
//! gpt2-style byte-level BPE as Llama-3, SmolLM and GPT-2 cut their text, and the
//! SentencePiece-style BPE of Llama-2.
//!
//! Sources: `llama-vocab.cpp` of llama.cpp for the keys and the names of the cuts; the
//! `tokenizer.json` of each family for what they mean; `SentencePieceExtractor` of transformers for
//! the merges that scores stand for.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::super::metadata::MetaValue;
use crate::error::{Error, Result};

/// Looks a key of the metadata up.
pub type LookUp<'a> = dyn Fn(&str) -> Option<&'a MetaValue> + 'a;

/// llama.cpp's kinds of tokens (`llama_token_type`).
pub mod kind {
    /// Part of words.
    pub const NORMAL: i64 = 1;
    /// Stands for what no other token can.
    pub const UNKNOWN: i64 = 2;
    /// Special: begins and ends things.
    pub const CONTROL: i64 = 3;
    /// Kept whole in any text.
    pub const USER_DEFINED: i64 = 4;
    /// A row without a text.
    pub const UNUSED: i64 = 5;
}

/// How Llama-3 cuts text before merging.
const LLAMA3_CUT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// What SentencePiece writes for a space.
const SPACE_MARK: &str = "\u{2581}";
/// Characters of a token at most of which a merge is looked for; longer ones are runs of one
/// character.
const MERGED_CHARS_MAX: usize = 256;

/// The `tokenizer.json` that the keys describe.
///
/// # Errors
/// A key is missing or of another type; the kind of tokenizer, or the way it cuts text, is none of
/// those above.
pub fn tokenizer_json(look_up: &LookUp<'_>) -> Result<String> {
    let parts = Parts::read(look_up)?;
    let json = match text(look_up, "model")? {
        "gpt2" => parts.byte_level(text(look_up, "pre").unwrap_or("default"), look_up)?,
        "llama" => parts.sentence_piece(look_up)?,
        other => {
            return Err(wrong(
                "model",
                &format!("found {other:?}, expected gpt2 or llama"),
            ));
        }
    };
    Ok(json.to_string())
}

fn wrong(name: &str, why: &str) -> Error {
    Error::Model(format!("metadata key tokenizer.ggml.{name}: {why}"))
}

fn text<'a>(look_up: &LookUp<'a>, name: &str) -> Result<&'a str> {
    match look_up(&format!("tokenizer.ggml.{name}")) {
        Some(MetaValue::String(text)) => Ok(text),
        other => Err(wrong(
            name,
            &format!(
                "found {}, expected a string",
                other.map_or("nothing", MetaValue::kind)
            ),
        )),
    }
}

fn flag(look_up: &LookUp<'_>, name: &str, default: bool) -> Result<bool> {
    match look_up(&format!("tokenizer.ggml.{name}")) {
        Some(MetaValue::Bool(flag)) => Ok(*flag),
        None => Ok(default),
        Some(other) => Err(wrong(
            name,
            &format!("found {}, expected a bool", other.kind()),
        )),
    }
}

/// An array whose items are all of one kind; `None` when the key is absent.
fn array<'a, T>(
    look_up: &LookUp<'a>,
    name: &str,
    item: impl Fn(&'a MetaValue) -> Option<T>,
) -> Result<Option<Vec<T>>> {
    match look_up(&format!("tokenizer.ggml.{name}")) {
        None => Ok(None),
        Some(MetaValue::Array(items)) => match items.iter().map(item).collect() {
            Some(items) => Ok(Some(items)),
            None => Err(wrong(name, "an item is of another type than expected")),
        },
        Some(other) => Err(wrong(
            name,
            &format!("found {}, expected an array", other.kind()),
        )),
    }
}

fn string(value: &MetaValue) -> Option<&str> {
    match value {
        MetaValue::String(text) => Some(text),
        _ => None,
    }
}

/// The tokens and their kinds.
struct Parts<'a> {
    tokens: Vec<&'a str>,
    kinds: Vec<i64>,
    ids: HashMap<&'a str, usize>,
}

impl<'a> Parts<'a> {
    fn read(look_up: &LookUp<'a>) -> Result<Self> {
        let tokens = array(look_up, "tokens", string)?
            .ok_or_else(|| wrong("tokens", "found nothing, expected an array"))?;
        let integer = |value: &MetaValue| match *value {
            MetaValue::I32(kind) => Some(i64::from(kind)),
            _ => value.as_u64().and_then(|kind| kind.try_into().ok()),
        };
        let kinds = array(look_up, "token_type", integer)?
            .unwrap_or_else(|| vec![kind::NORMAL; tokens.len()]);
        if kinds.len() != tokens.len() {
            return Err(wrong(
                "token_type",
                &format!(
                    "{} items, expected {}, one a token",
                    kinds.len(),
                    tokens.len()
                ),
            ));
        }
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, token) in tokens.iter().enumerate() {
            if let Some(first) = ids.insert(*token, id) {
                return Err(wrong(
                    "tokens",
                    &format!("tokens {first} and {id} are both {token:?}"),
                ));
            }
        }
        Ok(Self { tokens, kinds, ids })
    }

    fn vocabulary(&self) -> Value {
        self.tokens
            .iter()
            .enumerate()
            .map(|(id, token)| ((*token).to_owned(), json!(id)))
            .collect()
    }

    /// Tokens that are found in a text before it is cut. They are in the vocabulary as well, which
    /// fixes their ids.
    fn added(&self) -> Vec<Value> {
        let special = |kind: i64| match kind {
            kind::CONTROL | kind::UNKNOWN => Some(true),
            kind::USER_DEFINED => Some(false),
            _ => None,
        };
        let added = self.tokens.iter().zip(&self.kinds).enumerate();
        added
            .filter_map(|(id, (token, kind))| Some(added_token(id, token, special(*kind)?)))
            .collect()
    }

    fn byte_level(&self, pre: &str, look_up: &LookUp<'a>) -> Result<Value> {
        let level = |cuts: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": cuts});
        let (cut, ignore_merges) = match pre {
            "llama-bpe" | "llama3" | "llama-v3" => {
                let split = json!({"type": "Split", "pattern": {"Regex": LLAMA3_CUT}, "behavior": "Isolated", "invert": false});
                (
                    json!({"type": "Sequence", "pretokenizers": [split, level(false)]}),
                    true,
                )
            }
            "smollm" => {
                let digits = json!({"type": "Digits", "individual_digits": true});
                (
                    json!({"type": "Sequence", "pretokenizers": [digits, level(true)]}),
                    false,
                )
            }
            "gpt-2" => (level(true), false),
            other => {
                return Err(wrong(
                    "pre",
                    &format!("found {other:?}, expected llama-bpe, smollm or gpt-2"),
                ));
            }
        };
        let merges = array(look_up, "merges", |value| string(value)?.split_once(' '))?;
        let merges = merges.ok_or_else(|| wrong("merges", "found nothing, expected an array"))?;
        for (left, right) in &merges {
            if ![*left, *right, &format!("{left}{right}")]
                .iter()
                .all(|part| self.ids.contains_key(part))
            {
                return Err(wrong(
                    "merges",
                    &format!("`{left} {right}`: both and their sum must be tokens"),
                ));
            }
        }
        Ok(json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": self.added(), "normalizer": null,
            "pre_tokenizer": cut, "post_processor": null,
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                      "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                      "ignore_merges": ignore_merges, "vocab": self.vocabulary(), "merges": merges},
        }))
    }

    fn sentence_piece(&self, look_up: &LookUp<'a>) -> Result<Value> {
        let float = |value: &MetaValue| match *value {
            MetaValue::F32(score) if score.is_finite() => Some(score),
            _ => None,
        };
        let scores = array(look_up, "scores", float)?
            .ok_or_else(|| wrong("scores", "found nothing, expected an array"))?;
        if scores.len() != self.tokens.len() {
            return Err(wrong(
                "scores",
                &format!(
                    "{} items, expected {}, one a token",
                    scores.len(),
                    self.tokens.len()
                ),
            ));
        }
        let unknown = self
            .kinds
            .iter()
            .position(|&kind| kind == kind::UNKNOWN)
            .map(|id| self.tokens[id]);
        let prefix = flag(look_up, "add_space_prefix", true)?;
        let mut normalizers =
            vec![json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK})];
        let mut decoders = vec![
            json!({"type": "Replace", "pattern": {"String": SPACE_MARK}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if prefix {
            normalizers.insert(0, json!({"type": "Prepend", "prepend": SPACE_MARK}));
            decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        Ok(json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": self.added(),
            "normalizer": {"type": "Sequence", "normalizers": normalizers},
            "pre_tokenizer": null, "post_processor": null,
            "decoder": {"type": "Sequence", "decoders": decoders},
            "model": {"type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
                      "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                      "vocab": self.vocabulary(), "merges": self.merges(&scores)},
        }))
    }

    /// Every way to make a token of two others, the best token first.
    fn merges(&self, scores: &[f32]) -> Vec<(&'a str, &'a str)> {
        let mut merges = Vec::new();
        for (id, token) in self.tokens.iter().enumerate() {
            if self.kinds[id] != kind::NORMAL {
                continue;
            }
            let mut splits: Vec<(usize, usize, usize)> = token
                .char_indices()
                .skip(1)
                .take(MERGED_CHARS_MAX)
                .filter_map(|(at, _)| {
                    Some((
                        *self.ids.get(&token[..at])?,
                        *self.ids.get(&token[at..])?,
                        at,
                    ))
                })
                .collect();
            splits.sort_unstable();
            merges.extend(
                splits
                    .into_iter()
                    .map(|(_, _, at)| (id, token.split_at(at))),
            );
        }
        // Equals keep their order, as in the files that Hugging Face's converter has written.
        merges.sort_by(|(a, _), (b, _)| scores[*b].total_cmp(&scores[*a]));
        merges.into_iter().map(|(_, halves)| halves).collect()
    }
}

/// An entry of `added_tokens`.
pub fn added_token(id: usize, text: &str, special: bool) -> Value {
    json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
           "special": special})
}
