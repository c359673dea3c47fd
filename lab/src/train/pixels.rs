//! A recording's sampled pictures at the encoder's size, kept between runs so that a video is
//! decoded once.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use proact::error::{Error, Result};
use proact::files;
use proact::units::MediaTime;

/// Pictures `[T, S, S, 3]` of 8 bits with their times; the file is mapped, not loaded.
pub struct Pixels {
    map: Mmap,
    offset: usize,
    size: usize,
    at: Vec<MediaTime>,
}

/// Colour channels of a picture.
const CHANNELS: usize = 3;

impl Pixels {
    /// Writes pictures; `pixels` is `[T, size, size, 3]`.
    ///
    /// # Errors
    /// The length does not fit, or the disk refused it.
    pub fn write(path: &Path, size: usize, at: &[MediaTime], pixels: &[u8]) -> Result<()> {
        let bad = |e: safetensors::SafeTensorError| Error::format(path, e.to_string());
        let times: Vec<u8> = at.iter().flat_map(|t| t.0.to_le_bytes()).collect();
        let views = HashMap::from([
            (
                "pixels",
                TensorView::new(Dtype::U8, vec![at.len(), size, size, CHANNELS], pixels)
                    .map_err(bad)?,
            ),
            (
                "at",
                TensorView::new(Dtype::F64, vec![at.len()], &times).map_err(bad)?,
            ),
        ]);
        files::create_parent(path)?;
        files::write_atomic(path, &safetensors::serialize(&views, None).map_err(bad)?)
    }

    /// Opens what [`Pixels::write`] wrote; `size` is the side that the caller expects.
    ///
    /// # Errors
    /// The file cannot be read, is of another kind or of another size.
    pub fn open(path: &Path, size: usize) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(Error::io(path))?;
        // SAFETY: the file belongs to this training run, which replaces it by renaming and never
        // truncates it.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path))?;
        let bad = |e: safetensors::SafeTensorError| Error::format(path, e.to_string());
        let tensors = SafeTensors::deserialize(&map).map_err(bad)?;
        let (pixels, times) = (
            tensors.tensor("pixels").map_err(bad)?,
            tensors.tensor("at").map_err(bad)?,
        );
        let frames = times.shape().first().copied().unwrap_or(0);
        if pixels.dtype() != Dtype::U8
            || times.dtype() != Dtype::F64
            || pixels.shape() != [frames, size, size, CHANNELS]
        {
            return Err(Error::format(
                path,
                format!(
                    "pixels {:?}, expected [{frames}, {size}, {size}, {CHANNELS}]",
                    pixels.shape()
                ),
            ));
        }
        let at = times
            .data()
            .chunks_exact(8)
            .map(|b| MediaTime(f64::from_le_bytes(b.try_into().unwrap_or_default())))
            .collect();
        let offset = pixels.data().as_ptr() as usize - map.as_ptr() as usize;
        Ok(Self {
            map,
            offset,
            size,
            at,
        })
    }

    /// Times of the pictures.
    pub fn at(&self) -> &[MediaTime] {
        &self.at
    }

    /// One picture `[S, S, 3]`.
    pub fn picture(&self, frame: usize) -> Option<&[u8]> {
        let length = self.size * self.size * CHANNELS;
        let start = self.offset + frame.checked_mul(length)?;
        (frame < self.at.len())
            .then(|| self.map.get(start..start + length))
            .flatten()
    }

    /// Side of a picture: S.
    pub fn size(&self) -> usize {
        self.size
    }
}

/// How pictures are varied in training.
#[derive(Clone, Copy, Debug)]
pub struct Jitter {
    /// Shift in pixels, at most, each way; the edge is repeated.
    pub shift_px: usize,
    /// Change of brightness and contrast, at most, as a share.
    pub light: f32,
}

/// Pictures as the encoder reads them: `[B, 3, S, S]`, `(x/255 - 0.5) / 0.5`. `draws` gives, for
/// each picture, shift and light in [-1, 1]; `None` leaves it as it is.
///
/// # Errors
/// A picture has another size.
pub fn to_tensor(
    pictures: &[&[u8]],
    size: usize,
    jitter: Jitter,
    draws: Option<&[[f32; 4]]>,
    device: &Device,
) -> Result<Tensor> {
    let plane = size * size;
    let mut values = vec![0f32; pictures.len() * CHANNELS * plane];
    for (i, (picture, out)) in pictures
        .iter()
        .zip(values.chunks_exact_mut(CHANNELS * plane))
        .enumerate()
    {
        if picture.len() != plane * CHANNELS {
            return Err(Error::Invalid(format!(
                "a picture of {} bytes, expected {}",
                picture.len(),
                plane * CHANNELS
            )));
        }
        let [dx, dy, brightness, contrast] =
            draws.and_then(|d| d.get(i)).copied().unwrap_or_default();
        let shift = |d: f32| (d * jitter.shift_px as f32).round() as i64;
        let (dx, dy) = (shift(dx), shift(dy));
        let (offset, gain) = (brightness * jitter.light, 1.0 + contrast * jitter.light);
        let clamp = |v: i64| v.clamp(0, size as i64 - 1) as usize;
        for y in 0..size {
            let row = clamp(y as i64 + dy) * size;
            for x in 0..size {
                let from = (row + clamp(x as i64 + dx)) * CHANNELS;
                for c in 0..CHANNELS {
                    let v = f32::from(picture[from + c]) / 127.5 - 1.0; // HWC => CHW
                    out[c * plane + y * size + x] = v * gain + offset;
                }
            }
        }
    }
    Ok(Tensor::from_vec(
        values,
        (pictures.len(), CHANNELS, size, size),
        device,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_back_and_other_sizes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.safetensors");
        let bytes: Vec<u8> = (0..2 * 4 * 4 * 3).map(|i| i as u8).collect();
        let at = [MediaTime(0.0), MediaTime(0.5)];
        Pixels::write(&path, 4, &at, &bytes).unwrap();
        let pixels = Pixels::open(&path, 4).unwrap();
        assert_eq!(pixels.at(), at);
        assert_eq!(pixels.picture(1), Some(&bytes[48..]));
        assert_eq!(pixels.picture(2), None);
        assert!(Pixels::open(&path, 8).is_err());
        let still = Jitter {
            shift_px: 2,
            light: 0.1,
        };
        let t = to_tensor(&[&bytes[..48]], 4, still, None, &Device::Cpu).unwrap();
        let v = t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!((v[0] + 1.0).abs() < 1e-6 && (v[16] - (1.0 / 127.5 - 1.0)).abs() < 1e-6);
        let moved = to_tensor(
            &[&bytes[..48]],
            4,
            still,
            Some(&[[1.0, 0.0, 0.0, 0.0]]),
            &Device::Cpu,
        )
        .unwrap();
        assert!((moved.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0] - v[2]).abs() < 1e-6);
    }
}
