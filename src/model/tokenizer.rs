//! Words to tokens and back, and one turn of the backbone's own chat format. Both come from the model file and
//! are not trusted: a bad one is an error, and a template runs on a bounded amount of fuel.

mod template;

use std::sync::Mutex;

use tokenizers::Tokenizer as Inner;

use self::template::ChatTemplate;
use super::config::TokenIds;
use crate::error::{Error, Result};
use crate::units::TokenId;

/// Bytes of a tokenizer's JSON at most; Llama-3's has 9 MiB.
const JSON_BYTES_MAX: usize = 64 << 20;
/// Bytes of a text to encode at most.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// Stands for the content where a turn is encoded in parts.
const CONTENT_MARK: &str = "\u{F8FF}content\u{F8FF}";

/// A Hugging Face tokenizer with its chat template.
pub struct Tokenizer {
    /// Locked for the switch between trusted and untrusted text; encoding takes microseconds.
    inner: Mutex<Inner>,
    /// Texts of all special tokens.
    special_texts: Vec<String>,
    template: Option<ChatTemplate>,
    bos_text: Option<String>,
}

fn failed(what: &str, why: &dyn std::fmt::Display) -> Error {
    Error::Model(format!("tokenizer: {what}: {why}"))
}

impl Tokenizer {
    /// From the bytes of a `tokenizer.json` and, where there is one, the text of a Jinja chat template.
    ///
    /// # Errors
    /// The JSON is no tokenizer, the template does not parse.
    pub fn new(json: &[u8], template: Option<&str>) -> Result<Self> {
        if json.len() > JSON_BYTES_MAX {
            return Err(failed("tokenizer.json", &format!("{} bytes, expected at most {JSON_BYTES_MAX}", json.len())));
        }
        let mut inner = Inner::from_bytes(json).map_err(|e| failed("tokenizer.json", &e))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| failed("tokenizer.json", &e))?;
        let mut special_texts: Vec<String> =
            inner.get_added_tokens_decoder().into_values().filter(|t| t.special).map(|t| t.content).collect();
        special_texts.sort();
        Ok(Self {
            inner: Mutex::new(inner),
            special_texts,
            template: template.map(ChatTemplate::new).transpose()?,
            bos_text: None,
        })
    }

    /// Checks the layout's tokens: each exists and is special, so that no text can forge it; all ids fit the
    /// backbone's table.
    ///
    /// # Errors
    /// Names the token and what is wrong with it.
    pub fn with_tokens(mut self, tokens: &TokenIds, vocab_size: usize) -> Result<Self> {
        let named = [("image", Some(tokens.image)), ("dst", Some(tokens.dst)), ("asst", Some(tokens.asst)), ("eot", Some(tokens.eot)), ("bos", tokens.bos)];
        for (name, id) in named {
            let Some(id) = id else { continue };
            let text = self.text(id).ok_or_else(|| failed(name, &format!("token {} is not in tokenizer.json", id.0)))?;
            if !self.special_texts.contains(&text) {
                return Err(failed(name, &format!("token {} ({text:?}) is not special, so plain text could forge it", id.0)));
            }
        }
        let most = self.locked(|t| t.get_vocab(true).into_values().max())?;
        if let Some(most) = most.filter(|&id| id as usize >= vocab_size) {
            return Err(failed("tokenizer.json", &format!("token {most}, expected ids below the backbone's {vocab_size}")));
        }
        self.bos_text = tokens.bos.and_then(|id| self.text(id));
        Ok(self)
    }

    /// Runs on the inner tokenizer.
    fn locked<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> Result<T> {
        let mut inner = self.inner.lock().map_err(|_| failed("lock", &"an earlier call panicked"))?;
        Ok(f(&mut inner))
    }

    /// Id of a token by its exact text, special or not.
    pub fn id(&self, text: &str) -> Option<TokenId> {
        self.locked(|t| t.token_to_id(text)).ok().flatten().map(TokenId)
    }

    /// Text of a token as the vocabulary has it.
    pub fn text(&self, id: TokenId) -> Option<String> {
        self.locked(|t| t.id_to_token(id.0)).ok().flatten()
    }

    /// Ids of all special tokens, ascending.
    pub fn special_ids(&self) -> Vec<TokenId> {
        let mut ids: Vec<TokenId> = self.special_texts.iter().filter_map(|text| self.id(text)).collect();
        ids.sort();
        ids
    }

    /// Tokens with an id, special ones included.
    ///
    /// # Errors
    /// An earlier call panicked.
    pub fn vocab_size(&self) -> Result<usize> {
        self.locked(|t| t.get_vocab_size(true))
    }

    /// Tokens of a text, none added at its ends. Texts of special tokens are plain text unless `allow_special`.
    ///
    /// # Errors
    /// The tokenizer refused the text.
    pub fn encode(&self, text: &str, allow_special: bool) -> Result<Vec<TokenId>> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Error::Invalid(format!("text of {} bytes: expected at most {TEXT_BYTES_MAX}", text.len())));
        }
        let encoding = self.locked(|t| {
            t.set_encode_special_tokens(!allow_special);
            t.encode_fast(text, false)
        })?;
        Ok(encoding.map_err(|e| failed("encode", &e))?.get_ids().iter().map(|&id| TokenId(id)).collect())
    }

    /// Text of tokens, without special tokens.
    ///
    /// # Errors
    /// An id is not in the vocabulary.
    pub fn decode(&self, tokens: &[TokenId]) -> Result<String> {
        let ids: Vec<u32> = tokens.iter().map(|id| id.0).collect();
        self.locked(|t| {
            if let Some(id) = ids.iter().find(|&&id| t.id_to_token(id).is_none()) {
                return Err(failed("decode", &format!("token {id} is not in the vocabulary")));
            }
            t.decode(&ids, true).map_err(|e| failed("decode", &e))
        })?
    }

    /// One turn in the backbone's own chat format, closed, without the start token and without the opening of an answer.
    ///
    /// # Errors
    /// There is no template, or it failed on this turn.
    pub fn turn(&self, role: &str, content: &str) -> Result<Vec<TokenId>> {
        let template = self.template.as_ref().ok_or_else(|| failed("chat template", &"the model file has none"))?;
        let forged = self.special_texts.iter().any(|text| !text.is_empty() && content.contains(text.as_str()));
        if !forged {
            return self.encode(&template.turn(role, content, self.bos_text.as_deref())?, true);
        }
        // A content that spells special tokens is encoded by itself, as plain text.
        let frame = template.turn(role, CONTENT_MARK, self.bos_text.as_deref())?;
        let (head, tail) = frame
            .split_once(CONTENT_MARK)
            .filter(|(_, tail)| !tail.contains(CONTENT_MARK))
            .ok_or_else(|| failed("chat template", &"it does not write the content exactly once"))?;
        Ok([self.encode(head, true)?, self.encode(content.trim(), false)?, self.encode(tail, true)?].concat())
    }
}
