//! The smallest codec: every byte is a token. For tests and toy models; sequences can be read as
//! text.

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

const NAMES: [(TokenId, &str); 7] = [
    (BOS, "<bos>"),
    (EOT, "<eot>"),
    (IMAGE, "<image>"),
    (DST, "[DST]"),
    (ASST, "[ASST]"),
    (OPEN, "{"),
    (CLOSE, "}"),
];

/// Bytes are tokens 0 to 255, special tokens follow; a turn is `{role}content<eot>`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bytes;

impl Bytes {
    /// Tokens it knows.
    pub const VOCAB: usize = 263;

    /// Slots as text: special tokens by their names, a frame's slots as `<frame.part>`.
    pub fn render(&self, slots: &[Slot]) -> String {
        let mut bytes = Vec::new();
        for slot in slots {
            match slot {
                Slot::Image { frame, part } => {
                    bytes.extend(format!("<{frame}.{part}>").into_bytes())
                }
                Slot::Token(id) | Slot::Marker(id) => {
                    match NAMES.iter().find(|(special, _)| special == id) {
                        Some((_, name)) => bytes.extend(name.bytes()),
                        None => bytes.push(u8::try_from(id.0).unwrap_or(b'?')),
                    }
                }
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl TextCodec for Bytes {
    fn special(&self) -> SpecialTokens {
        SpecialTokens {
            bos: Some(BOS),
            eot: EOT,
            image: IMAGE,
            dst: DST,
            asst: ASST,
        }
    }

    fn encode(&self, text: &str, allow_special: bool) -> Result<Vec<TokenId>> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(char) = rest.chars().next() {
            let named = NAMES
                .iter()
                .filter(|_| allow_special)
                .find(|(_, name)| rest.starts_with(name));
            let (token, used) = match named {
                Some((id, name)) => (vec![*id], name.len()),
                None => (
                    rest.bytes()
                        .take(char.len_utf8())
                        .map(|b| TokenId(u32::from(b)))
                        .collect(),
                    char.len_utf8(),
                ),
            };
            tokens.extend(token);
            rest = &rest[used..];
        }
        Ok(tokens)
    }

    fn decode(&self, tokens: &[TokenId]) -> Result<String> {
        if let Some(bad) = tokens.iter().find(|t| t.0 as usize >= Self::VOCAB) {
            return Err(Error::Invalid(format!(
                "token {}: the codec has {}",
                bad.0,
                Self::VOCAB
            )));
        }
        let bytes: Vec<u8> = tokens
            .iter()
            .filter_map(|t| u8::try_from(t.0).ok())
            .collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_special_names_are_parsed_on_demand_only() {
        let text = "Tee für [DST]zwei<eot>";
        let plain = Bytes.encode(text, false).unwrap();
        assert_eq!(plain.len(), text.len());
        assert_eq!(Bytes.decode(&plain).unwrap(), text);
        let special = Bytes.encode(text, true).unwrap();
        assert!(special.contains(&DST) && special.contains(&EOT));
        assert_eq!(Bytes.decode(&special).unwrap(), "Tee für zwei");
        assert!(Bytes.decode(&[TokenId(263)]).is_err());
    }
}
