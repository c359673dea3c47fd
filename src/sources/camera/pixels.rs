//! The layouts of pixels that cameras send. Each buffer is checked against its layout before it is
//! decoded.

use std::fmt;

use super::super::picture::{ColourMatrix, Planes, Turn, to_rgb, turned};
use super::jpeg;
use crate::stream::Picture;

/// Most bytes that a driver may put behind a frame: buffers are whole pages, and some drivers align
/// the rows of planes.
const SLACK_BYTES: usize = 64 << 10;
/// Longest side of a picture that is decoded, in pixels.
const SIDE_MAX: u32 = 8192;

/// How the pixels of a frame lie in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PixelLayout {
    /// Each frame is a JPEG picture.
    Mjpeg,
    /// Y U Y V: two pixels in four bytes.
    Yuyv,
    /// A plane of Y, then one of U and V in turn, at half the width and height.
    Nv12,
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Brightness alone.
    Gray,
}

impl PixelLayout {
    /// All layouts.
    pub const ALL: [Self; 6] = [
        Self::Mjpeg,
        Self::Yuyv,
        Self::Nv12,
        Self::Rgb,
        Self::Bgr,
        Self::Gray,
    ];

    /// The name that people know.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mjpeg => "MJPEG",
            Self::Yuyv => "YUYV",
            Self::Nv12 => "NV12",
            Self::Rgb => "RGB",
            Self::Bgr => "BGR",
            Self::Gray => "GRAY",
        }
    }

    /// The bytes of a row (in the first plane, where there are several); `None` where there are no
    /// rows.
    pub fn row_bytes(self, width: u32) -> Option<usize> {
        let w = width as usize;
        Some(match self {
            Self::Mjpeg => return None,
            Self::Yuyv => w * 2,
            Self::Nv12 | Self::Gray => w,
            Self::Rgb | Self::Bgr => w * 3,
        })
    }

    /// The bytes of a frame of this size; `None` where frames differ in length.
    pub fn frame_bytes(self, width: u32, height: u32) -> Option<usize> {
        let (w, h) = (width as usize, height as usize);
        let colour = if self == Self::Nv12 {
            w.div_ceil(2) * 2 * h.div_ceil(2)
        } else {
            0
        };
        self.row_bytes(width).map(|row| row * h + colour)
    }
}

/// A format that a camera offers or is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Format {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// The layout of the pixels.
    pub pixels: PixelLayout,
    /// Frames a second.
    pub fps: u32,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}x{} {} at {}/s",
            self.width,
            self.height,
            self.pixels.word(),
            self.fps
        )
    }
}

/// How a camera is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mounting {
    /// Left and right are swapped.
    pub mirror: bool,
    /// By how many quarters the picture is turned to the right, 0 to 3.
    pub quarters: u8,
}

impl Mounting {
    /// Sets a picture upright: mirrors it first, then turns it.
    pub fn upright(self, mut picture: Picture) -> Picture {
        if self.mirror {
            for row in picture.rgb.chunks_exact_mut(picture.width as usize * 3) {
                let (mut left, mut right) = (0, row.len() / 3);
                while left + 1 < right {
                    right -= 1;
                    (0..3).for_each(|c| row.swap(left * 3 + c, right * 3 + c));
                    left += 1;
                }
            }
        }
        let turn = match self.quarters % 4 {
            0 => Turn::None,
            1 => Turn::Right,
            2 => Turn::Half,
            _ => Turn::Left,
        };
        turned(picture, turn)
    }
}

/// Cuts a driver's buffer to the frame in it.
///
/// # Errors
/// The buffer is too short or far too long, or its JPEG picture does not end; in words.
pub fn frame_of<'a>(format: &Format, buffer: &'a [u8]) -> Result<&'a [u8], String> {
    let Format {
        width,
        height,
        pixels,
        ..
    } = *format;
    if width == 0 || height == 0 || width > SIDE_MAX || height > SIDE_MAX {
        return Err(format!("a picture cannot have the size {width}x{height}"));
    }
    let Some(wanted) = pixels.frame_bytes(width, height) else {
        let length = jpeg::length(buffer)
            .ok_or_else(|| format!("the {} bytes are no whole JPEG picture", buffer.len()))?;
        return Ok(&buffer[..length]);
    };
    if buffer.len() < wanted || buffer.len() > wanted + SLACK_BYTES {
        return Err(format!(
            "{} bytes, expected {wanted} for {}",
            buffer.len(),
            format
        ));
    }
    Ok(&buffer[..wanted])
}

/// Decodes the frame in a buffer, which may have something else behind it.
///
/// # Errors
/// The length does not fit the format, or the JPEG picture is broken; in words.
pub fn decode(format: &Format, frame: &[u8]) -> Result<Picture, String> {
    let frame = frame_of(format, frame)?;
    let Format {
        width,
        height,
        pixels,
        ..
    } = *format;
    let rgb = match pixels {
        PixelLayout::Mjpeg => return jpeg::decode(format, frame),
        PixelLayout::Rgb => frame.to_vec(),
        PixelLayout::Bgr => frame
            .chunks_exact(3)
            .flat_map(|p| [p[2], p[1], p[0]])
            .collect(),
        PixelLayout::Gray => frame.iter().flat_map(|y| [*y; 3]).collect(),
        PixelLayout::Yuyv | PixelLayout::Nv12 => {
            let planes = if pixels == PixelLayout::Yuyv {
                of_yuyv(frame, width, height)
            } else {
                of_nv12(frame, width, height)
            };
            let (y, u, v) = &planes;
            let chroma_stride = (width as usize).div_ceil(2);
            let planes = Planes {
                width: width as usize,
                height: height as usize,
                y,
                u,
                v,
                luma_stride: width as usize,
                chroma_stride,
            };
            // Webcams send BT.601 in limited range, whatever the size.
            return to_rgb(&planes, ColourMatrix::Bt601, false)
                .ok_or_else(|| "the planes are too small".to_owned());
        }
    };
    Ok(Picture { width, height, rgb })
}

/// Makes planes with half the rows and columns of colour; two rows are averaged to one.
fn of_yuyv(frame: &[u8], width: u32, height: u32) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let (w, h) = (width as usize, height as usize);
    let half = w.div_ceil(2);
    let y = frame.iter().step_by(2).copied().collect();
    let chroma = |offset: usize| {
        let mut plane = Vec::with_capacity(half * h.div_ceil(2));
        for row in (0..h).step_by(2) {
            let below = (row + 1).min(h - 1);
            for pair in 0..half {
                let sample = |r: usize| {
                    u16::from(
                        frame
                            .get(r * w * 2 + pair * 4 + offset)
                            .copied()
                            .unwrap_or(128),
                    )
                };
                plane.push((sample(row) + sample(below)).div_ceil(2) as u8);
            }
        }
        plane
    };
    (y, chroma(1), chroma(3))
}

fn of_nv12(frame: &[u8], width: u32, height: u32) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let (y, uv) = frame.split_at(width as usize * height as usize);
    (
        y.to_vec(),
        uv.iter().step_by(2).copied().collect(),
        uv.iter().skip(1).step_by(2).copied().collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::jpeg::tests::picture;
    use super::*;

    fn format(pixels: PixelLayout) -> Format {
        Format {
            width: 4,
            height: 2,
            pixels,
            fps: 30,
        }
    }

    #[test]
    fn pure_red_is_red_in_every_layout() {
        // BT.601, limited range: Y 81, U 90, V 240.
        let cases = [
            (PixelLayout::Yuyv, [81, 90, 81, 240].repeat(4)),
            (
                PixelLayout::Nv12,
                [[81; 8].as_slice(), &[90, 240, 90, 240]].concat(),
            ),
            (PixelLayout::Rgb, [255, 0, 0].repeat(8)),
            (PixelLayout::Bgr, [0, 0, 255].repeat(8)),
        ];
        for (pixels, bytes) in cases {
            let picture = decode(&format(pixels), &bytes).unwrap();
            assert_eq!(
                (picture.width, picture.height, picture.rgb.len()),
                (4, 2, 24)
            );
            assert!(
                picture
                    .rgb
                    .chunks(3)
                    .all(|p| p[0] >= 253 && p[1] <= 2 && p[2] <= 2),
                "{pixels:?}: {:?}",
                picture.rgb
            );
        }
        let gray = decode(&format(PixelLayout::Gray), &[7; 8]).unwrap();
        assert_eq!(gray.rgb, [7; 24]);
        let picture = decode(
            &Format {
                width: 32,
                height: 16,
                ..format(PixelLayout::Mjpeg)
            },
            &picture(32, 16),
        )
        .unwrap();
        assert!(
            picture.rgb.chunks(3).all(|p| p[0] > 150 && p[2] < 90),
            "{:?}",
            &picture.rgb[..12]
        );
    }

    #[test]
    fn every_layout_is_checked_against_its_buffer() {
        for pixels in [
            PixelLayout::Yuyv,
            PixelLayout::Nv12,
            PixelLayout::Rgb,
            PixelLayout::Bgr,
            PixelLayout::Gray,
        ] {
            let wanted = pixels.frame_bytes(4, 2).unwrap();
            assert!(
                decode(&format(pixels), &vec![0; wanted - 1]).is_err(),
                "{pixels:?}"
            );
            // A buffer of whole pages is fine, one of another size is not.
            assert!(
                decode(&format(pixels), &vec![0; wanted + 4096]).is_ok(),
                "{pixels:?}"
            );
            assert!(
                decode(&format(pixels), &vec![0; wanted + SLACK_BYTES + 1]).is_err(),
                "{pixels:?}"
            );
        }
        assert!(
            decode(
                &Format {
                    width: 0,
                    ..format(PixelLayout::Gray)
                },
                &[]
            )
            .is_err()
        );
        assert!(
            decode(
                &Format {
                    width: u32::MAX,
                    height: u32::MAX,
                    ..format(PixelLayout::Rgb)
                },
                &[]
            )
            .is_err()
        );
        assert!(
            decode(
                &Format {
                    width: 16,
                    height: 16,
                    ..format(PixelLayout::Mjpeg)
                },
                &picture(32, 16)
            )
            .is_err()
        );
    }

    #[test]
    fn odd_sizes_are_decoded_whole() {
        for pixels in [PixelLayout::Nv12, PixelLayout::Rgb, PixelLayout::Gray] {
            let odd = Format {
                width: 5,
                height: 3,
                ..format(pixels)
            };
            let bytes = vec![128; pixels.frame_bytes(5, 3).unwrap()];
            assert_eq!(decode(&odd, &bytes).unwrap().rgb.len(), 45, "{pixels:?}");
        }
    }

    #[test]
    fn a_mirror_swaps_left_and_right_before_the_turn() {
        let picture = || Picture {
            width: 3,
            height: 2,
            rgb: b"abcdef".iter().flat_map(|p| [*p, 0, 0]).collect(),
        };
        let read = |p: Picture| String::from_utf8(p.rgb.chunks(3).map(|c| c[0]).collect()).unwrap();
        assert_eq!(
            read(
                Mounting {
                    mirror: true,
                    quarters: 0
                }
                .upright(picture())
            ),
            "cbafed"
        );
        assert_eq!(
            read(
                Mounting {
                    mirror: true,
                    quarters: 2
                }
                .upright(picture())
            ),
            "defabc"
        );
        assert_eq!(
            read(
                Mounting {
                    mirror: false,
                    quarters: 1
                }
                .upright(picture())
            ),
            "daebfc"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_picture_or_an_error(
            mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400),
            whole in proptest::bool::ANY,
        ) {
            if whole {
                // Damage inside a sound picture goes deeper than noise does.
                let mut sound = picture(16, 16);
                for (i, byte) in bytes.iter().enumerate().take(8) {
                    let at = (usize::from(*byte) * 37 + i * 101) % sound.len();
                    sound[at] ^= byte | 1;
                }
                bytes = sound;
            }
            for pixels in PixelLayout::ALL {
                let format = Format { width: 16, height: 16, pixels, fps: 30 };
                if let Ok(picture) = decode(&format, &bytes) {
                    proptest::prop_assert_eq!(picture.rgb.len(), 768);
                }
            }
        }
    }
}
