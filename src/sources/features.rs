//! A feature file as a source. Its frames need no encoder.

use std::path::Path;
use std::sync::Arc;

use super::sampler::Sampler;
use crate::error::Result;
use crate::features::{FeatureFile, TokenLayout};
use crate::stream::{Content, Frame, Input, Poll, Source};
use crate::units::{FrameIdx, MediaTime};

/// The frames of a feature file.
#[derive(Debug)]
pub struct FeatureSource {
    file: FeatureFile,
    layout: TokenLayout,
    sampler: Sampler,
    next: usize,
    frames: u64,
}

impl FeatureSource {
    /// Opens a feature file and samples it at `fps`.
    ///
    /// # Errors
    /// [`FeatureFile::read`] refuses the file, the file does not hold this layout, or the rate is
    /// out of range.
    pub fn open(path: &Path, fps: f64, layout: TokenLayout) -> Result<Self> {
        Self::new(FeatureFile::read(path)?, fps, layout)
    }

    /// Plays features that are in memory.
    ///
    /// # Errors
    /// The features do not hold this layout, or the rate is out of range.
    pub fn new(file: FeatureFile, fps: f64, layout: TokenLayout) -> Result<Self> {
        let sampler = Sampler::new(fps)?;
        if file.frames() > 0 {
            file.tokens(0, layout)?;
        }
        Ok(Self {
            file,
            layout,
            sampler,
            next: 0,
            frames: 0,
        })
    }
}

impl Source for FeatureSource {
    fn next(&mut self) -> Result<Poll> {
        while self.next < self.file.frames() {
            let (row, at_s) = (self.next, self.file.at_s(self.next));
            self.next += 1;
            if !self.sampler.take(at_s) {
                continue;
            }
            let content = Content::Features(Arc::from(self.file.tokens(row, self.layout)?));
            let frame = Frame {
                idx: FrameIdx(self.frames),
                at: MediaTime(at_s),
                content,
            };
            self.frames += 1;
            return Ok(Poll::Ready(Input::Frame(frame)));
        }
        Ok(Poll::End)
    }

    fn duration(&mut self) -> Option<MediaTime> {
        let last = self.file.frames().checked_sub(1)?;
        Some(MediaTime(self.file.at_s(last) + 1.0 / self.file.fps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_frames_at_their_own_times() {
        let file = FeatureFile {
            fps: 4.0,
            dim: 2,
            cls: (0..12).map(|i| i as f32).collect(),
            ..FeatureFile::default()
        };
        let mut source = FeatureSource::new(file.clone(), 2.0, TokenLayout::default()).unwrap();
        assert_eq!(source.duration(), Some(MediaTime(1.5)));
        let mut seen = Vec::new();
        while let Poll::Ready(Input::Frame(f)) = source.next().unwrap() {
            let Content::Features(values) = f.content else {
                panic!()
            };
            seen.push((f.idx.0, f.at.0, values.to_vec()));
        }
        assert_eq!(
            seen,
            [
                (0, 0.0, vec![0.0, 1.0]),
                (1, 0.5, vec![4.0, 5.0]),
                (2, 1.0, vec![8.0, 9.0])
            ]
        );
        assert!(FeatureSource::new(file, 2.0, TokenLayout::from_tokens(5).unwrap()).is_err());
    }
}
