//! A codec of bytes for tests: every byte is a token, and sequences can be read as text.

use super::{Slot, SpecialTokens, TextCodec};
use crate::error::{Error, Result};
use crate::units::TokenId;

const BOS: TokenId = TokenId(256);
const EOT: TokenId = TokenId(257);
const IMAGE: TokenId = TokenId(258);
const DST: TokenId = TokenId(259);
const ASST: TokenId = TokenId(260);
const OPEN: TokenId = TokenId(261);
const CLOSE: TokenId = TokenId(262);

/// Tokens of [`Bytes`].
pub(crate) const VOCAB: usize = 263;

const NAMES: [(TokenId, &str); 7] = [
    (BOS, "<bos>"),
    (EOT, "<eot>"),
    (IMAGE, "<image>"),
    (DST, "[DST]"),
    (ASST, "[ASST]"),
    (OPEN, "{"),
    (CLOSE, "}"),
];

/// The codec.
pub(crate) struct Bytes;

impl TextCodec for Bytes {
    fn special(&self) -> SpecialTokens {
        SpecialTokens { bos: Some(BOS), eot: EOT, image: IMAGE, dst: DST, asst: ASST }
    }

    fn encode(&self, text: &str, allow_special: bool) -> Result<Vec<TokenId>> {
        let mut tokens = Vec::new();
        let mut rest = text;
        'next: while let Some(byte) = rest.bytes().next() {
            if allow_special {
                for (id, name) in NAMES {
                    if let Some(behind) = rest.strip_prefix(name) {
                        tokens.push(id);
                        rest = behind;
                        continue 'next;
                    }
                }
            }
            let char = rest.chars().next().map_or(1, char::len_utf8);
            if char == 1 {
                tokens.push(TokenId(u32::from(byte)));
            } else {
                tokens.extend(rest.bytes().take(char).map(|b| TokenId(u32::from(b))));
            }
            rest = &rest[char..];
        }
        Ok(tokens)
    }

    fn decode(&self, tokens: &[TokenId]) -> Result<String> {
        if let Some(bad) = tokens.iter().find(|t| t.0 as usize >= VOCAB) {
            return Err(Error::Invalid(format!("token {}: the codec has {VOCAB}", bad.0)));
        }
        let bytes: Vec<u8> = tokens.iter().filter_map(|t| u8::try_from(t.0).ok()).collect();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn turn(&self, role: &str, content: &str) -> Result<Vec<TokenId>> {
        let mut tokens = vec![OPEN];
        tokens.extend(self.encode(role, false)?);
        tokens.push(CLOSE);
        tokens.extend(self.encode(content, false)?);
        tokens.push(EOT);
        Ok(tokens)
    }
}

/// Slots as text: special tokens by name, a frame's slots as `<frame.part>`.
pub(crate) fn render(slots: &[Slot]) -> String {
    let mut bytes = Vec::new();
    for slot in slots {
        match slot {
            Slot::Image { frame, part } => bytes.extend(format!("<{frame}.{part}>").into_bytes()),
            Slot::Token(id) => match NAMES.iter().find(|(special, _)| special == id) {
                Some((_, name)) => bytes.extend(name.bytes()),
                None => bytes.push(u8::try_from(id.0).unwrap_or(b'?')),
            },
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
