//! The token layout `proassist`: the chat that the released ProAssist models were trained on (Llama
//! 3's format).
//!
//! ```text
//! <bos>{system: persona}<image>xV … {user: "I want to …"}{system: "Task knowledge: …"}<image>xV{assistant: …}<image>xV …
//! ```
//!
//! There is no state to update, and no token that opens a sentence: at the last image token the
//! model either predicts `<eot>` (silence, which is not written down) or the header of its own
//! turn, and goes on to the turn's `<eot>`. The person's first turn is the goal; what is known of
//! the task stands in a system turn behind it. (Upstream: `tokenization_proact.py`,
//! `prepare_utils.py`, `stream_inference.py`.)

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{Layout, TextCodec};
use crate::dialogue::task::Task;
use crate::error::{Error, Result};
use crate::units::TokenId;

/// First of the six system prompts that the models were trained with.
pub const PERSONA: &str = "You are a proactive assistant. Pay close attention to the user's actions and provide \
relevant information proactively.";
/// Asks for a summary of what memory is about to forget.
pub const SUMMARY_REQUEST: &str = "Please summarize the progress.";
/// Opens the turn with what is known of the task.
const KNOWLEDGE: &str = "Task knowledge:";
/// Closes the role in a turn's header.
const HEADER_END: &str = "<|end_header_id|>";
/// Between a turn's header and its words.
const HEADER_GAP: &str = "\n\n";
/// Words of a model that says nothing.
const NO_WORDS: &str = ".";

/// Which token sequence a model reads and writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayoutName {
    /// System turn with goal and steps, then frames, `[DST]` updates and `[ASST]` sentences.
    #[default]
    Dstproact,
    /// ProAssist's chat.
    Proassist,
}

impl LayoutName {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Dstproact, Self::Proassist];

    /// The word in model files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dstproact => "dstproact",
            Self::Proassist => "proassist",
        }
    }
}

/// Builds the chat's parts over a codec.
#[derive(Clone, Copy)]
pub struct Chat<'a> {
    layout: Layout<'a>,
    header_end: TokenId,
}

impl<'a> Chat<'a> {
    /// A chat over a layout's codec.
    ///
    /// # Errors
    /// The codec does not know Llama 3's headers.
    pub fn new(layout: Layout<'a>) -> Result<Self> {
        match layout.codec().encode(HEADER_END, true)?.as_slice() {
            [header_end] => Ok(Self {
                layout,
                header_end: *header_end,
            }),
            _ => Err(Error::Model(format!(
                "layout proassist: the tokenizer has no token {HEADER_END}, so it is not Llama 3's"
            ))),
        }
    }

    fn codec(&self) -> &'a dyn TextCodec {
        self.layout.codec()
    }

    /// `<bos>` and the system turn; with a task that has a goal also the person's first turn and
    /// what is known.
    ///
    /// # Errors
    /// The codec refused the text, or it contains a special token.
    pub fn opening(&self, task: Option<&Task>) -> Result<Vec<TokenId>> {
        let mut tokens = self.begin(PERSONA)?;
        if let Some(task) = task.filter(|task| !task.goal.trim().is_empty()) {
            tokens.extend(
                self.layout
                    .user_turn(&format!("I want to do this task: {}", task.goal.trim()))?,
            );
            tokens.extend(self.knowledge(Some(task))?);
        }
        Ok(tokens)
    }

    /// The system turn that follows the person's first turn: what is known of the task; empty when
    /// nothing is.
    ///
    /// # Errors
    /// As [`Chat::opening`].
    pub fn knowledge(&self, task: Option<&Task>) -> Result<Vec<TokenId>> {
        task.and_then(knowledge)
            .map_or(Ok(Vec::new()), |text| self.layout.turn("system", &text))
    }

    /// What memory begins with after a summary: one system turn of persona, summary and knowledge.
    ///
    /// # Errors
    /// As [`Chat::opening`].
    pub fn reopening(&self, summary: &str, task: Option<&Task>) -> Result<Vec<TokenId>> {
        let known = task.and_then(knowledge).unwrap_or_default();
        let parts: Vec<&str> = [PERSONA, summary.trim(), known.as_str()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        self.begin(&parts.join(" "))
    }

    fn begin(&self, system: &str) -> Result<Vec<TokenId>> {
        let mut tokens: Vec<TokenId> = self.layout.special().bos.into_iter().collect();
        tokens.extend(self.layout.turn("system", system)?);
        Ok(tokens)
    }

    /// The words of a turn that the model wrote: without its header and special tokens; empty when
    /// it says nothing.
    ///
    /// # Errors
    /// The codec refused the tokens.
    pub fn words(&self, tokens: &[TokenId]) -> Result<String> {
        for (i, _) in tokens
            .iter()
            .enumerate()
            .filter(|(_, token)| **token == self.header_end)
        {
            let behind = self.codec().decode(&tokens[i + 1..])?;
            if let Some(words) = behind.strip_prefix(HEADER_GAP) {
                return Ok(strip(words).to_owned());
            }
        }
        let words = strip(&self.codec().decode(tokens)?).to_owned();
        Ok(if words == NO_WORDS {
            String::new()
        } else {
            words
        })
    }
}

/// Without space at its ends, as Python has it: the separators U+001C to U+001F are space there and
/// not here.
fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}

/// "Task knowledge: " and the task's own text, or else its steps, one numbered line each, below the
/// goal.
fn knowledge(task: &Task) -> Option<String> {
    if let Some(text) = task
        .knowledge
        .as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        return Some(format!("{KNOWLEDGE} {text}"));
    }
    if task.steps.is_empty() {
        return None;
    }
    let mut text = format!("{KNOWLEDGE} {}", task.goal.trim());
    for (i, step) in task.steps.iter().enumerate() {
        let _ = write!(text, "\n{}. {}", i + 1, step.name);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::super::{Bytes, Slot, SpecialTokens};
    use super::*;

    /// Bytes with Llama 3's headers: `}` is its end of a header, and `\n\n` follows.
    struct Llama3;

    impl TextCodec for Llama3 {
        fn special(&self) -> SpecialTokens {
            Bytes.special()
        }
        fn encode(&self, text: &str, allow_special: bool) -> Result<Vec<TokenId>> {
            Bytes.encode(&text.replace(HEADER_END, "}"), allow_special)
        }
        fn decode(&self, tokens: &[TokenId]) -> Result<String> {
            Bytes.decode(tokens)
        }
        fn turn(&self, role: &str, content: &str) -> Result<Vec<TokenId>> {
            Bytes.turn(role, &format!("\n\n{content}"))
        }
    }

    fn text(tokens: &[TokenId]) -> String {
        Bytes.render(&tokens.iter().map(|t| Slot::Token(*t)).collect::<Vec<_>>())
    }

    fn chat() -> Chat<'static> {
        Chat::new(Layout::new(&Llama3, 1)).unwrap()
    }

    #[test]
    fn the_chat_opens_with_goal_and_knowledge() {
        let mut task = Task::parse(
            "goal = \"Make tea\"\n[[step]]\nname = \"Boil\"\n[[step]]\nname = \"Pour\"\n",
        )
        .unwrap();
        let system = format!("<bos>{{system}}\n\n{PERSONA}");
        let steps = "Task knowledge: Make tea\n1. Boil\n2. Pour<eot>";
        assert_eq!(
            text(&chat().opening(None).unwrap()),
            format!("{system}<eot>")
        );
        let opening = format!(
            "{system}<eot>{{user}}\n\nI want to do this task: Make tea<eot>{{system}}\n\n{steps}"
        );
        assert_eq!(text(&chat().opening(Some(&task)).unwrap()), opening);
        assert_eq!(
            text(&chat().reopening(" Boiled. ", Some(&task)).unwrap()),
            format!("{system} Boiled. {steps}")
        );
        // The person says the goal: knowledge waits for that.
        task.goal.clear();
        task.knowledge = Some(" Use a mug.\n".into());
        assert_eq!(
            text(&chat().opening(Some(&task)).unwrap()),
            format!("{system}<eot>")
        );
        assert_eq!(
            text(&chat().knowledge(Some(&task)).unwrap()),
            "{system}\n\nTask knowledge: Use a mug.<eot>"
        );
        assert_eq!(
            text(&chat().reopening("", None).unwrap()),
            format!("{system}<eot>")
        );
    }

    #[test]
    fn words_are_told_without_their_header() {
        let words = |text: &str| chat().words(&Bytes.encode(text, true).unwrap()).unwrap();
        assert_eq!(words("{assistant}\n\nPour it. "), "Pour it.");
        assert_eq!(words("{assistant}\n\na}\n\nb"), "a}\n\nb".replace('}', ""));
        assert_eq!(words("{assistant} and on"), "assistant and on");
        assert_eq!(words("."), "");
        assert_eq!(words("\u{1e} a\u{1f}\n"), "a");
        assert_eq!(words("{assistant}\n\n"), "");
    }

    #[test]
    fn another_chat_format_and_another_name_are_refused() {
        assert!(
            Chat::new(Layout::new(&Bytes, 1))
                .err()
                .unwrap()
                .to_string()
                .contains("Llama 3")
        );
    }
}
