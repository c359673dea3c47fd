//! Shows the model nothing: for measuring what it knows without looking.

use std::sync::Arc;

use crate::error::Result;
use crate::stream::{Content, Input, Poll, Source};

/// A source whose frames have features of zeros, whatever they show.
pub struct Blind {
    source: Box<dyn Source>,
    zeros: Arc<[f32]>,
}

impl Blind {
    /// Plays `source`; each frame has `values` zeros as its features.
    pub fn new(source: Box<dyn Source>, values: usize) -> Self {
        Self {
            source,
            zeros: vec![0.0; values].into(),
        }
    }
}

impl Source for Blind {
    fn next(&mut self) -> Result<Poll> {
        let mut poll = self.source.next()?;
        if let Poll::Ready(Input::Frame(frame)) = &mut poll {
            frame.content = Content::Features(Arc::clone(&self.zeros));
        }
        Ok(poll)
    }

    fn inner(&mut self) -> Option<&mut dyn Source> {
        Some(&mut *self.source)
    }
}
