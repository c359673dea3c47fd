//! Makes the small backbone's tokenizer: byte-level BPE over the words of the training episodes.

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    TokenizerImpl,
};

use proact::dialogue::task::STEPS_MAX;
use proact::error::{Error, Result};

/// Texts of the special tokens of the backbones that this project trains, in the order of their
/// ids.
pub const SPECIALS: [&str; 7] = [
    "<pad>", "<bos>", "<turn>", "<eot>", "<image>", "[DST]", "[ASST]",
];

/// Chat format of those backbones (Jinja): `<turn>role\ncontent<eot>`.
pub const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ '<turn>' + message.role + '\\n' + message.content + '<eot>' }}{% endfor %}";

/// Most step ids that are one token each.
const STEP_TOKENS: usize = 40;

type Bpe = TokenizerImpl<
    BPE,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// Trains a tokenizer of about `vocab` tokens on the texts and gives its `tokenizer.json`.
///
/// Step ids (`S1`…), states (`[in_progress]`…) and transitions (`->start`…) are single tokens, so
/// that a small backbone reads and writes an update in two.
///
/// # Errors
/// The trainer refused the texts.
pub fn train(texts: &[String], vocab: usize) -> Result<String> {
    let bad = |e: tokenizers::Error| Error::Invalid(format!("tokenizer: {e}"));
    let mut tokenizer: Bpe = TokenizerImpl::new(BPE::default());
    tokenizer
        .with_pre_tokenizer(Some(PreTokenizerWrapper::ByteLevel(ByteLevel::new(
            false, true, true,
        ))))
        .with_decoder(Some(DecoderWrapper::ByteLevel(ByteLevel::default())));
    let specials: Vec<AddedToken> = SPECIALS
        .iter()
        .map(|s| AddedToken::from(*s, true))
        .collect();
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocab.saturating_sub(whole_words().len()))
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(specials.clone())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    tokenizer.train(&mut trainer, texts.iter()).map_err(bad)?;
    tokenizer.add_special_tokens(specials).map_err(bad)?;
    tokenizer.add_tokens(whole_words()).map_err(bad)?;
    tokenizer.to_string(false).map_err(bad)
}

/// Words that are one token each, with a space before them swallowed.
fn whole_words() -> Vec<AddedToken> {
    let steps = (1..=STEP_TOKENS.min(STEPS_MAX))
        .map(|i| AddedToken::from(format!("S{i}"), false).single_word(true));
    let states = ["[not_started]", "[in_progress]", "[completed]"]
        .map(|s| AddedToken::from(s, false).lstrip(true));
    let moves = ["->start", "->complete"].map(|s| AddedToken::from(s, false));
    steps.chain(states).chain(moves).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_two_tokens_and_text_comes_back() {
        let texts: Vec<String> = (0..50)
            .map(|i| format!("S{i} [not_started] Pour {i} eggs into the bowl"))
            .collect();
        let json = train(&texts, 400).unwrap();
        let tokenizer: tokenizers::Tokenizer = json.parse().unwrap();
        assert_eq!(
            json,
            train(&texts, 400).unwrap(),
            "training is deterministic"
        );
        let encode = |t: &str| tokenizer.encode_fast(t, false).unwrap().get_ids().to_vec();
        assert_eq!(encode("S3->complete").len(), 2);
        assert_eq!(encode("S12->start").len(), 2);
        assert_eq!(encode("S3 [in_progress]").len(), 2);
        for (i, special) in SPECIALS.iter().enumerate() {
            assert_eq!(tokenizer.token_to_id(special), Some(i as u32));
        }
        let text = "Pour 2 eggs into the bowl, über-careful!";
        assert_eq!(tokenizer.decode(&encode(text), true).unwrap(), text);
    }
}
