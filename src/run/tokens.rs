//! `--tokens FILE`: what the backbone was fed, one JSON object a line.
//!
//! ```text
//! {"read":[1,5012,371]}    these were read behind what memory held
//! {"read":["image"]}       a vision token of a frame
//! {"rewind":512}           everything from this position on was forgotten
//! {"evict":[40,120]}       these positions were forgotten, what stood behind them moved forward
//! ```

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::json_lines::JsonLines;
use crate::dialogue::layout::Slot;
use crate::error::Result;
use crate::session::{Fed, Tap};

/// The file, and the first failure to write it: a tap has no way to tell.
pub struct TokenFile(Arc<Mutex<(JsonLines, Result<()>)>>);

impl TokenFile {
    /// Creates the file.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self(Arc::new(Mutex::new((
            JsonLines::create(path)?,
            Ok(()),
        )))))
    }

    /// The function that the session calls.
    pub fn tap(&self) -> Tap {
        let shared = self.0.clone();
        Box::new(move |fed| {
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let (lines, told) = &mut *shared;
            if told.is_ok() {
                *told = lines.write(&line(&fed));
            }
        })
    }

    /// Ends the file.
    ///
    /// # Errors
    /// It could not be written, now or earlier.
    pub fn close(&self) -> Result<()> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut shared.1, Ok(()))
    }
}

fn line(fed: &Fed<'_>) -> Value {
    match fed {
        Fed::Read(slots) => {
            let slot = |slot: &Slot| match slot {
                Slot::Token(token) | Slot::Marker(token) => json!(token),
                Slot::Image { .. } => json!("image"),
            };
            json!({"read": slots.iter().map(slot).collect::<Vec<_>>()})
        }
        Fed::Rewind(position) => json!({"rewind": position}),
        Fed::Evict(range) => json!({"evict": [range.start, range.end]}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::TokenId;

    #[test]
    fn one_line_for_each_thing_done_to_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.jsonl");
        let file = TokenFile::create(&path).unwrap();
        let mut tap = file.tap();
        tap(Fed::Read(&[
            Slot::Token(TokenId(7)),
            Slot::Token(TokenId(8)),
        ]));
        tap(Fed::Rewind(1));
        tap(Fed::Evict(2..5));
        file.close().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "{\"read\":[7,8]}\n{\"rewind\":1}\n{\"evict\":[2,5]}\n"
        );
    }
}
