//! Both towers of a vision file: pictures to features and, where it has a text tower, words to
//! features beside them.

use super::Perceiver;
use super::encoder::Vision;
use super::text::TextReader;
use crate::error::{Error, Result};

/// A picture tower, and a text tower where there is one.
pub struct Siglip {
    /// Reads pictures.
    pub vision: Vision,
    /// Reads words.
    pub text: Option<TextReader>,
}

impl Perceiver for Siglip {
    fn tokens_per_frame(&self) -> usize {
        self.vision.config().tokens_per_frame()
    }

    fn width(&self) -> usize {
        self.vision.config().embedding_length
    }

    fn encode(&self, rgb: &[u8], width: u32, height: u32) -> Result<Vec<f32>> {
        self.vision.encode(rgb, width, height)
    }

    fn read(&self, text: &str) -> Result<Vec<f32>> {
        let reader = self.text.as_ref();
        reader
            .ok_or_else(|| {
                Error::Model("the vision file has no text tower, which this assistant needs".into())
            })?
            .read(text)
    }
}
