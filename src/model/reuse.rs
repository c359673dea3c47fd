//! Static scenes: a frame that looks like the last encoded one takes over its features.
//!
//! The measure: both pictures are reduced to the mean colour of 16 x 12 blocks; their distance is
//! the largest difference of any block in red, green or blue, from 0 to 255. A mean over a block's
//! pixels hides the noise of a sensor, the maximum over blocks shows a hand that moves in one of
//! them. The comparison is with the last frame that was encoded, not the last one seen, so a slow
//! change adds up until it counts.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::Perceiver;
use crate::error::{Error, Result};

/// Blocks of a row.
const COLUMNS: usize = 16;
/// Rows of blocks.
const ROWS: usize = 12;

/// When features are taken over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reuse {
    /// Up to this distance two pictures are the same, 0 to 255.
    pub change_max: f32,
    /// Features are taken over for so long at most, in seconds; 0 is never.
    pub age_max_s: f64,
}

impl Default for Reuse {
    fn default() -> Self {
        Self {
            change_max: 2.0,
            age_max_s: 2.0,
        }
    }
}

impl Reuse {
    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the key, its value and what is expected.
    pub fn check(&self) -> Result<()> {
        if !(0.0..=255.0).contains(&self.change_max) {
            return Err(Error::Invalid(format!(
                "reuse: change_max = {}, expected 0 to 255",
                self.change_max
            )));
        }
        if !(self.age_max_s.is_finite() && self.age_max_s >= 0.0) {
            return Err(Error::Invalid(format!(
                "reuse: age_max_s = {}, expected 0 or more",
                self.age_max_s
            )));
        }
        Ok(())
    }
}

/// Mean colour by block, `[ROWS, COLUMNS, 3]`.
type Thumbnail = [f32; ROWS * COLUMNS * 3];

struct Encoded {
    size: (u32, u32),
    thumbnail: Box<Thumbnail>,
    features: Vec<f32>,
    /// Frames that have taken the features over.
    taken: u64,
}

/// An encoder that is spared pictures that look like the last one it saw.
pub struct Reusing<P> {
    inner: Arc<P>,
    change_max: f32,
    frames_max: u64,
    last: Mutex<Option<Encoded>>,
}

impl<P: Perceiver> Reusing<P> {
    /// Puts the rule in front of `inner`, for frames that come at `fps` a second.
    pub fn new(inner: Arc<P>, reuse: Reuse, fps: f64) -> Self {
        // Frames stand for time: the model's rooms know no clock, and the same frames give the same
        // features.
        let frames_max = (reuse.age_max_s * fps).floor() as u64;
        Self {
            inner,
            change_max: reuse.change_max,
            frames_max,
            last: Mutex::new(None),
        }
    }
}

impl<P: Perceiver> Perceiver for Reusing<P> {
    fn tokens_per_frame(&self) -> usize {
        self.inner.tokens_per_frame()
    }

    fn width(&self) -> usize {
        self.inner.width()
    }

    fn encode(&self, rgb: &[u8], width: u32, height: u32) -> Result<Vec<f32>> {
        if self.frames_max == 0 {
            return self.inner.encode(rgb, width, height);
        }
        let thumbnail = thumbnail(rgb, width as usize, height as usize);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(last), Some(thumbnail)) = (last.as_mut(), &thumbnail) {
            let same = last.size == (width, height)
                && distance(&last.thumbnail, thumbnail) <= self.change_max;
            if same && last.taken < self.frames_max {
                last.taken += 1;
                return Ok(last.features.clone());
            }
        }
        let features = self.inner.encode(rgb, width, height)?;
        *last = thumbnail.map(|thumbnail| Encoded {
            size: (width, height),
            thumbnail,
            features: features.clone(),
            taken: 0,
        });
        Ok(features)
    }

    fn read(&self, text: &str) -> Result<Vec<f32>> {
        self.inner.read(text)
    }
}

/// `None` for pictures that are smaller than the blocks, or whose bytes do not fit their size.
fn thumbnail(rgb: &[u8], width: usize, height: usize) -> Option<Box<Thumbnail>> {
    if width < COLUMNS || height < ROWS || rgb.len() != width.checked_mul(height)?.checked_mul(3)? {
        return None;
    }
    let mut means = Box::new([0f32; ROWS * COLUMNS * 3]);
    for (block_row, row_means) in means.chunks_exact_mut(COLUMNS * 3).enumerate() {
        let rows = block_row * height / ROWS..(block_row + 1) * height / ROWS;
        let mut sums = [[0u32; 3]; COLUMNS];
        for row in rows.clone() {
            let line = &rgb[row * width * 3..(row + 1) * width * 3];
            for (column, sum) in sums.iter_mut().enumerate() {
                let pixels =
                    &line[column * width / COLUMNS * 3..(column + 1) * width / COLUMNS * 3];
                for pixel in pixels.chunks_exact(3) {
                    (0..3).for_each(|c| sum[c] += u32::from(pixel[c]));
                }
            }
        }
        for (column, (sum, mean)) in sums.iter().zip(row_means.chunks_exact_mut(3)).enumerate() {
            let columns = (column + 1) * width / COLUMNS - column * width / COLUMNS;
            let pixels = (rows.len() * columns) as f32;
            (0..3).for_each(|c| mean[c] = sum[c] as f32 / pixels);
        }
    }
    Some(means)
}

fn distance(a: &Thumbnail, b: &Thumbnail) -> f32 {
    a.iter()
        .zip(b)
        .fold(0.0, |largest, (a, b)| largest.max((a - b).abs()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts its calls; a picture's feature is the number of the call.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Perceiver for Counting {
        fn tokens_per_frame(&self) -> usize {
            1
        }
        fn width(&self) -> usize {
            1
        }
        fn encode(&self, _: &[u8], _: u32, _: u32) -> Result<Vec<f32>> {
            Ok(vec![self.0.fetch_add(1, Ordering::Relaxed) as f32])
        }
        fn read(&self, _: &str) -> Result<Vec<f32>> {
            Ok(vec![0.0])
        }
    }

    fn reusing(change_max: f32, age_max_s: f64) -> Reusing<Counting> {
        Reusing::new(
            Arc::default(),
            Reuse {
                change_max,
                age_max_s,
            },
            2.0,
        )
    }

    fn seen(reusing: &Reusing<Counting>, pictures: &[Vec<u8>]) -> Vec<f32> {
        pictures
            .iter()
            .map(|rgb| reusing.encode(rgb, 64, 48).unwrap()[0])
            .collect()
    }

    fn gray(y: u8) -> Vec<u8> {
        vec![y; 64 * 48 * 3]
    }

    #[test]
    fn a_still_picture_is_encoded_once_in_a_while() {
        let still = vec![gray(7); 12];
        assert_eq!(
            seen(&reusing(2.0, 2.0), &still),
            [0., 0., 0., 0., 0., 1., 1., 1., 1., 1., 2., 2.]
        );
        assert_eq!(seen(&reusing(2.0, 0.0), &still[..3]), [0., 1., 2.]);
    }

    #[test]
    fn noise_is_no_change_but_a_small_thing_that_moves_is() {
        // Noise of ±6 in each pixel, without a pattern.
        let noisy = |seed: u32| -> Vec<u8> {
            let mut state = seed;
            gray(100)
                .iter()
                .map(|y| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    y - 6 + (state >> 24) as u8 % 13
                })
                .collect()
        };
        let mut pictures: Vec<Vec<u8>> = (1..5).map(noisy).collect();
        // A block has 16 pixels here; those of a camera have a hundred times as many, and a
        // hundredth of the noise's variance.
        assert_eq!(seen(&reusing(8.0, 60.0), &pictures), [0.; 4]);
        // Eight pixels square: one part in 48 of the picture.
        for row in 20..28 {
            pictures[3][(row * 64 + 30) * 3..(row * 64 + 38) * 3].fill(160);
        }
        assert_eq!(seen(&reusing(8.0, 60.0), &pictures), [0., 0., 0., 1.]);
    }

    #[test]
    fn a_slow_change_adds_up() {
        let fading: Vec<Vec<u8>> = (100..108).map(gray).collect();
        assert_eq!(
            seen(&reusing(2.0, 60.0), &fading),
            [0., 0., 0., 1., 1., 1., 2., 2.]
        );
    }

    #[test]
    fn another_size_is_another_picture_and_tiny_ones_are_always_encoded() {
        let reusing = reusing(255.0, 60.0);
        assert_eq!(reusing.encode(&gray(1), 64, 48).unwrap(), [0.0]);
        assert_eq!(reusing.encode(&gray(1), 48, 64).unwrap(), [1.0]);
        assert_eq!(reusing.encode(&[0; 12], 2, 2).unwrap(), [2.0]);
        assert_eq!(reusing.encode(&[0; 12], 2, 2).unwrap(), [3.0]);
    }
}
