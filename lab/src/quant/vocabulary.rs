//! A folder's tokenizer as GGUF metadata: the `tokenizer.ggml.*` keys that llama.cpp's tools read,
//! and the whole `tokenizer.json`, which is what this project reads.

use std::path::Path;

use serde_json::Value;

use proact::error::{Error, Result};
use proact::model::gguf::MetaValue;
use proact::model::tokenizer::ggml::{added_token, kind};

/// Tokens that models pad with, when the tokenizer's own `padding` does not say.
const PADDING_TOKENS: &[&str] = &["<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>"];

/// A tokenizer and what belongs to it.
#[derive(Clone, Debug)]
pub(super) struct Vocabulary {
    json: String,
    parsed: Value,
    template: Option<String>,
    /// Text of the end-of-text token in `tokenizer_config.json`.
    eos_text: Option<String>,
}

impl Vocabulary {
    /// Reads `tokenizer.json` and, where they are, `chat_template.jinja` and
    /// `tokenizer_config.json`.
    ///
    /// # Errors
    /// There is no `tokenizer.json`, or one of the files is not what its name says.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let json = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        let parsed =
            serde_json::from_str(&json).map_err(|e| Error::format(&path, e.to_string()))?;
        let config = read_json(&folder.join("tokenizer_config.json"))?;
        let jinja = folder.join("chat_template.jinja");
        let template = match jinja.exists() {
            true => Some(std::fs::read_to_string(&jinja).map_err(Error::io(&jinja))?),
            false => config
                .get("chat_template")
                .and_then(Value::as_str)
                .map(str::to_owned),
        };
        // A token is a text, or an object with its `content`.
        let eos = config
            .get("eos_token")
            .and_then(|v| v.as_str().or_else(|| v.get("content")?.as_str()));
        Ok(Self {
            json,
            parsed,
            template,
            eos_text: eos.map(str::to_owned),
        })
    }

    /// Id of a token by its exact text.
    pub fn id(&self, text: &str) -> Option<u32> {
        self.tokens()
            .find(|(token, ..)| *token == text)
            .map(|(_, id, _)| id)
    }

    /// Id of a token by its exact text; a new special token when there is none.
    pub fn id_or_new(&mut self, text: &str) -> u32 {
        if let Some(id) = self.id(text) {
            return id;
        }
        let id = self.tokens().map(|(_, id, _)| id + 1).max().unwrap_or(0);
        let added = added_token(id as usize, text, true);
        match self.parsed["added_tokens"].as_array_mut() {
            Some(tokens) => tokens.push(added),
            None => self.parsed["added_tokens"] = Value::Array(vec![added]),
        }
        self.json = self.parsed.to_string();
        id
    }

    /// The tokenizer puts this token before a text by itself: the model knows it as a beginning.
    pub fn begins_with(&self, id: u32) -> bool {
        self.tokens()
            .filter(|(_, own, _)| *own == id)
            .any(|(text, ..)| names_special(&self.parsed["post_processor"], text))
    }

    /// Id of the end-of-text token that `tokenizer_config.json` names.
    pub fn eos(&self) -> Option<u32> {
        self.id(self.eos_text.as_deref()?)
    }

    /// Text, id and kind of every token.
    fn tokens(&self) -> impl Iterator<Item = (&str, u32, i64)> {
        let id = |v: &Value| v.as_u64().and_then(|id| u32::try_from(id).ok());
        let vocabulary = self.parsed["model"]["vocab"]
            .as_object()
            .into_iter()
            .flatten();
        let plain =
            vocabulary.filter_map(move |(text, v)| Some((text.as_str(), id(v)?, kind::NORMAL)));
        let added = self.parsed["added_tokens"].as_array().into_iter().flatten();
        let added = added.filter_map(move |token| {
            let kind = match token["special"].as_bool() {
                Some(true) => kind::CONTROL,
                _ => kind::USER_DEFINED,
            };
            Some((token["content"].as_str()?, id(&token["id"])?, kind))
        });
        plain.chain(added)
    }

    /// The metadata of a model with `rows` embedding rows.
    ///
    /// # Errors
    /// A token has no row; a merge is malformed.
    pub fn metadata(&self, rows: usize) -> Result<Vec<(String, MetaValue)>> {
        let mut texts: Vec<String> = (0..rows).map(|id| format!("[PAD{id}]")).collect();
        let mut kinds = vec![kind::UNUSED; rows];
        for (text, id, kind) in self.tokens() {
            let Some(place) = texts.get_mut(id as usize) else {
                let why = format!(
                    "tokenizer.json: token {id} {text:?}, but the embedding has {rows} rows"
                );
                return Err(Error::Model(why));
            };
            text.clone_into(place);
            kinds[id as usize] = kind;
        }
        let merges = self.merges()?;
        let strings = |texts: Vec<String>| {
            MetaValue::Array(texts.into_iter().map(MetaValue::String).collect())
        };
        let model = if merges.is_empty() { "none" } else { "gpt2" };
        let mut pairs = vec![
            ("model", MetaValue::String(model.into())),
            ("pre", MetaValue::String(self.pre_tokenizer().into())),
            ("tokens", strings(texts)),
            (
                "token_type",
                MetaValue::Array(
                    kinds
                        .into_iter()
                        .map(|kind| MetaValue::I32(kind as i32))
                        .collect(),
                ),
            ),
        ];
        if !merges.is_empty() {
            pairs.push(("merges", strings(merges)));
        }
        if let Some(id) = self.padding() {
            pairs.push(("padding_token_id", MetaValue::U32(id)));
        }
        let mut pairs: Vec<_> = pairs
            .into_iter()
            .map(|(k, v)| (format!("tokenizer.ggml.{k}"), v))
            .collect();
        pairs.push(self.whole());
        if let Some(template) = &self.template {
            pairs.push((
                "tokenizer.chat_template".into(),
                MetaValue::String(template.clone()),
            ));
        }
        Ok(pairs)
    }

    /// The whole `tokenizer.json`.
    pub fn whole(&self) -> (String, MetaValue) {
        (
            "tokenizer.huggingface.json".into(),
            MetaValue::String(self.json.clone()),
        )
    }

    /// `left right`, however the file writes a merge.
    fn merges(&self) -> Result<Vec<String>> {
        let merges = self.parsed["model"]["merges"]
            .as_array()
            .into_iter()
            .flatten();
        let one = |merge: &Value| match (merge.as_str(), merge.as_array().map(Vec::as_slice)) {
            (Some(text), _) => Some(text.to_owned()),
            (_, Some([left, right])) => Some(format!("{} {}", left.as_str()?, right.as_str()?)),
            _ => None,
        };
        merges
            .map(|merge| {
                one(merge).ok_or_else(|| {
                    Error::Model(format!("tokenizer.json: merge {merge}: expected a pair"))
                })
            })
            .collect()
    }

    /// llama.cpp's name for the way text is cut before merging; `default` where it has none for
    /// this one.
    fn pre_tokenizer(&self) -> &'static str {
        // Parts of the tokenizer's JSON that only that family has.
        let cut = self.parsed["pre_tokenizer"].to_string();
        match () {
            () if cut.contains(r"\\p{N}{1,3}") => "llama-bpe",
            () if cut.contains("\"individual_digits\":true") => "smollm",
            () if cut.contains("\"ByteLevel\"") => "gpt-2",
            () => "default",
        }
    }

    fn padding(&self) -> Option<u32> {
        let own = self.parsed["padding"]["pad_id"]
            .as_u64()
            .and_then(|id| u32::try_from(id).ok());
        own.or_else(|| PADDING_TOKENS.iter().find_map(|text| self.id(text)))
    }
}

/// A `TemplateProcessing` somewhere in a post-processor has this special token.
fn names_special(processor: &Value, text: &str) -> bool {
    let nested = processor["processors"].as_array().into_iter().flatten();
    processor["special_tokens"].get(text).is_some()
        || nested.into_iter().any(|inner| names_special(inner, text))
}

/// A JSON file; an empty object when there is none.
pub(super) fn read_json(path: &Path) -> Result<Value> {
    if !path.exists() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    serde_json::from_str(&text).map_err(|e| Error::format(path, e.to_string()))
}
