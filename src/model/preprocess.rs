//! A picture to the numbers that SigLIP looks at: bicubic to S x S without keeping the aspect ratio, to [0, 1], normalised.
//!
//! As Hugging Face's `SiglipImageProcessor`, which resizes with PIL: cubic with a = -0.5, widened when shrinking.

use fast_image_resize as fir;
use fir::images::{Image, ImageRef};

use super::config::VisionConfig;
use crate::error::{Error, Result};

/// Names this recipe in feature files: features of another recipe do not fit.
pub const PREPROCESS_NAME: &str = "siglip-bicubic-stretch";

/// Colour channels.
const CHANNELS: usize = 3;
/// The largest value of a channel.
const WHITE: f32 = 255.0;
/// Longest side of a picture, in pixels.
const SIDE_MAX: u32 = 1 << 15;

/// Checks that a buffer is a picture `[height, width, 3]`.
fn check(rgb: &[u8], width: u32, height: u32) -> Result<()> {
    if width == 0 || height == 0 || width > SIDE_MAX || height > SIDE_MAX {
        return Err(Error::Invalid(format!("picture of {width}x{height}: expected sides of 1 to {SIDE_MAX} pixels")));
    }
    let expected = width as usize * height as usize * CHANNELS;
    if rgb.len() != expected {
        return Err(Error::Invalid(format!("picture of {width}x{height}: found {} bytes, expected {expected}", rgb.len())));
    }
    Ok(())
}

/// Resizes RGB8 `[height, width, 3]` to `[side, side, 3]`: rows first, then columns, each rounded to 8 bits. PIL works in
/// this order; fast_image_resize would choose the other one, which differs where the cubic overshoots and is cut off.
///
/// # Errors
/// The buffer is no such picture.
pub fn resize(rgb: &[u8], width: u32, height: u32, side: u32) -> Result<Vec<u8>> {
    check(rgb, width, height)?;
    let rows = pass(rgb, (width, height), (side, height))?;
    pass(&rows, (side, height), (side, side))
}

/// One pass of [`resize`], along one side.
fn pass(rgb: &[u8], from: (u32, u32), to: (u32, u32)) -> Result<Vec<u8>> {
    if from == to {
        return Ok(rgb.to_vec());
    }
    let failed = |e: &dyn std::fmt::Display| Error::Invalid(format!("picture of {from:?} to {to:?} pixels: {e}"));
    let source = ImageRef::new(from.0, from.1, rgb, fir::PixelType::U8x3).map_err(|e| failed(&e))?;
    let mut target = Image::new(to.0, to.1, fir::PixelType::U8x3);
    let options = fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom));
    fir::Resizer::new().resize(&source, &mut target, &options).map_err(|e| failed(&e))?;
    Ok(target.into_vec())
}

/// Pixels `[3,S,S]` of an upright RGB8 picture `[height, width, 3]`.
///
/// # Errors
/// The buffer is no such picture.
pub fn pixels(rgb: &[u8], width: u32, height: u32, config: &VisionConfig) -> Result<Vec<f32>> {
    let side = u32::try_from(config.image_size).map_err(|_| Error::Invalid("clip.vision.image_size: too large".into()))?;
    let resized = resize(rgb, width, height, side)?;
    let mut planes = Vec::with_capacity(resized.len());
    for channel in 0..CHANNELS {
        let (mean, std) = (config.mean[channel], config.std[channel]);
        planes.extend(resized.iter().skip(channel).step_by(CHANNELS).map(|&v| (f32::from(v) / WHITE - mean) / std));
    }
    Ok(planes)
}
