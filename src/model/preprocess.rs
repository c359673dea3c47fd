//! A picture to the numbers that SigLIP looks at: bicubic to S x S, to [0, 1], normalised.
//!
//! [`Preprocess::Siglip`] does not keep the aspect ratio, as Hugging Face's `SiglipImageProcessor`;
//! [`Preprocess::Proassist`] covers the square and cuts its middle out, as ProAssist's frame
//! extractor. Both resize as PIL: cubic with a = -0.5, widened when shrinking.

use fast_image_resize as fir;
use fir::images::{Image, ImageRef};

use super::config::VisionConfig;
use crate::error::{Error, Result};

/// How a picture becomes a square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preprocess {
    /// Stretched to the square.
    #[default]
    Siglip,
    /// Resized until it covers the square, both sides cut to whole pixels, then the middle.
    Proassist,
}

impl Preprocess {
    /// Names the recipe in feature files: features of another recipe do not fit.
    pub fn name(self) -> &'static str {
        match self {
            Self::Siglip => "siglip-bicubic-stretch",
            Self::Proassist => "proassist-cover-crop",
        }
    }

    /// RGB8 `[height, width, 3]` to `[side, side, 3]`.
    ///
    /// # Errors
    /// The buffer is no such picture.
    pub fn square(self, rgb: &[u8], width: u32, height: u32, side: u32) -> Result<Vec<u8>> {
        match self {
            Self::Siglip => resize(rgb, width, height, side),
            Self::Proassist => cover(rgb, width, height, side),
        }
    }
}

/// Colour channels.
const CHANNELS: usize = 3;
/// The largest value of a channel.
const WHITE: f32 = 255.0;
/// Longest side of a picture, in pixels.
const SIDE_MAX: u32 = 1 << 15;

/// Checks that a buffer is a picture `[height, width, 3]`.
fn check(rgb: &[u8], width: u32, height: u32) -> Result<()> {
    if width == 0 || height == 0 || width > SIDE_MAX || height > SIDE_MAX {
        return Err(Error::Invalid(format!(
            "picture of {width}x{height}: expected sides of 1 to {SIDE_MAX} pixels"
        )));
    }
    let expected = width as usize * height as usize * CHANNELS;
    if rgb.len() != expected {
        return Err(Error::Invalid(format!(
            "picture of {width}x{height}: found {} bytes, expected {expected}",
            rgb.len()
        )));
    }
    Ok(())
}

/// Resizes RGB8 `[height, width, 3]` to `[side, side, 3]`: rows first, then columns, each rounded
/// to 8 bits. PIL works in this order; fast_image_resize would choose the other one, which differs
/// where the cubic overshoots and is cut off.
///
/// # Errors
/// The buffer is no such picture.
pub fn resize(rgb: &[u8], width: u32, height: u32, side: u32) -> Result<Vec<u8>> {
    check(rgb, width, height)?;
    resize_to(rgb, (width, height), (side, side))
}

fn resize_to(rgb: &[u8], from: (u32, u32), to: (u32, u32)) -> Result<Vec<u8>> {
    let rows = pass(rgb, from, (to.0, from.1))?;
    pass(&rows, (to.0, from.1), to)
}

/// ProAssist's `resize_and_crop`. Its sizes are cut to whole pixels, so a side can come out one
/// short of the square: then there is a black line at its beginning, as PIL's crop has it.
fn cover(rgb: &[u8], width: u32, height: u32, side: u32) -> Result<Vec<u8>> {
    check(rgb, width, height)?;
    let ratio = (f64::from(side) / f64::from(width)).max(f64::from(side) / f64::from(height));
    let scaled = |length: u32| ((f64::from(length) * ratio) as u32).max(1);
    let (w, h) = (scaled(width), scaled(height));
    if w > SIDE_MAX || h > SIDE_MAX {
        return Err(Error::Invalid(format!(
            "picture of {width}x{height}: too long a side to cover {side}x{side} pixels"
        )));
    }
    let resized = resize_to(rgb, (width, height), (w, h))?;
    // Floor, as Python divides.
    let first = |length: u32| (i64::from(length) - i64::from(side)).div_euclid(2);
    let (left, top) = (first(w), first(h));
    let mut square = vec![0; side as usize * side as usize * CHANNELS];
    for y in 0..i64::from(side) {
        for x in 0..i64::from(side) {
            let (from_x, from_y) = (left + x, top + y);
            if (0..i64::from(w)).contains(&from_x) && (0..i64::from(h)).contains(&from_y) {
                let to = (y as usize * side as usize + x as usize) * CHANNELS;
                let from = (from_y as usize * w as usize + from_x as usize) * CHANNELS;
                square[to..to + CHANNELS].copy_from_slice(&resized[from..from + CHANNELS]);
            }
        }
    }
    Ok(square)
}

/// One pass of [`resize`], along one side.
fn pass(rgb: &[u8], from: (u32, u32), to: (u32, u32)) -> Result<Vec<u8>> {
    if from == to {
        return Ok(rgb.to_vec());
    }
    let failed = |e: &dyn std::fmt::Display| {
        Error::Invalid(format!("picture of {from:?} to {to:?} pixels: {e}"))
    };
    let source =
        ImageRef::new(from.0, from.1, rgb, fir::PixelType::U8x3).map_err(|e| failed(&e))?;
    let mut target = Image::new(to.0, to.1, fir::PixelType::U8x3);
    let options = fir::ResizeOptions::new()
        .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom));
    fir::Resizer::new()
        .resize(&source, &mut target, &options)
        .map_err(|e| failed(&e))?;
    Ok(target.into_vec())
}

/// Pixels `[3,S,S]` of an upright RGB8 picture `[height, width, 3]`.
///
/// # Errors
/// The buffer is no such picture.
pub fn pixels(
    rgb: &[u8],
    width: u32,
    height: u32,
    config: &VisionConfig,
    preprocess: Preprocess,
) -> Result<Vec<f32>> {
    let side = u32::try_from(config.image_size)
        .map_err(|_| Error::Invalid("clip.vision.image_size: too large".into()))?;
    let resized = preprocess.square(rgb, width, height, side)?;
    let mut planes = Vec::with_capacity(resized.len());
    for channel in 0..CHANNELS {
        let (mean, std) = (config.mean[channel], config.std[channel]);
        planes.extend(
            resized
                .iter()
                .skip(channel)
                .step_by(CHANNELS)
                .map(|&v| (f32::from(v) / WHITE - mean) / std),
        );
    }
    Ok(planes)
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    /// What the pictures' references were rounded to, of 255.
    const LEVEL: f32 = 1.0;

    #[test]
    fn both_ways_make_the_square_that_their_references_make() {
        let bytes = include_bytes!("../../tests/data/proassist/preprocess.safetensors");
        let file = SafeTensors::deserialize(bytes).unwrap();
        let side = file.tensor("0.proassist").unwrap().shape()[0];
        let mut pictures = 0;
        for n in 0.. {
            let Ok(picture) = file.tensor(&format!("{n}.picture")) else {
                break;
            };
            let (height, width) = (picture.shape()[0] as u32, picture.shape()[1] as u32);
            let square = |way: Preprocess| {
                way.square(picture.data(), width, height, side as u32)
                    .unwrap()
            };
            let far = |found: &[u8], expected: &[f32]| {
                assert_eq!(found.len(), expected.len());
                found
                    .iter()
                    .zip(expected)
                    .map(|(a, b)| (f32::from(*a) - b).abs())
                    .fold(0.0, f32::max)
            };
            let cut = file.tensor(&format!("{n}.proassist")).unwrap();
            let expected: Vec<f32> = cut.data().iter().map(|v| f32::from(*v)).collect();
            let apart = far(&square(Preprocess::Proassist), &expected);
            assert!(
                apart <= LEVEL,
                "{n}: {width}x{height} covered and cut: {apart} of 255"
            );
            // The processor's planes [3,S,S] of (v / 255 - 0.5) / 0.5.
            let planes = file.tensor(&format!("{n}.siglip")).unwrap();
            let planes: Vec<f32> = planes
                .data()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b))
                .collect();
            let at = |i: usize| planes[(i % CHANNELS) * side * side + i / CHANNELS];
            let expected: Vec<f32> = (0..planes.len())
                .map(|i| (at(i) * 0.5 + 0.5) * WHITE)
                .collect();
            let apart = far(&square(Preprocess::Siglip), &expected);
            assert!(
                apart <= LEVEL + 1e-3,
                "{n}: {width}x{height} stretched: {apart} of 255"
            );
            pictures += 1;
        }
        assert!(pictures >= 6, "{pictures} pictures");
        assert!(Preprocess::Proassist.square(&[0; 3], 2, 2, 4).is_err());
        assert!(
            Preprocess::Proassist
                .square(&vec![0; 30_000 * 3], 30_000, 1, 64)
                .is_err(),
            "a side of millions"
        );
    }
}
