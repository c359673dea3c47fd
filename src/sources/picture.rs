//! From decoded planes to an upright RGB picture.

use crate::stream::Picture;

/// How red, green and blue follow from luma and chroma (ITU-T H.273, `MatrixCoefficients`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ColourMatrix {
    /// For standard definition, and where a video does not say.
    #[default]
    Bt601,
    /// For high definition.
    Bt709,
    /// For ultra-high definition.
    Bt2020,
}

impl ColourMatrix {
    /// The matrix with this code; `None` for the code of "unspecified" and for unknown ones.
    pub fn from_code(code: u32) -> Option<Self> {
        match code {
            1 => Some(Self::Bt709),
            4..=6 => Some(Self::Bt601),
            9 | 10 => Some(Self::Bt2020),
            _ => None,
        }
    }

    /// The weights of red and blue in luma, `Kr` and `Kb`.
    pub fn weights(self) -> (f64, f64) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
            Self::Bt2020 => (0.2627, 0.0593),
        }
    }
}

/// How a picture has to be turned to stand upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It stands upright already.
    #[default]
    None,
    /// By a quarter to the right (clockwise).
    Right,
    /// By a half.
    Half,
    /// By a quarter to the left.
    Left,
}

/// A decoded 4:2:0 picture of 8-bit samples, borrowed from the decoder.
pub(crate) struct Planes<'a> {
    /// Columns of luma.
    pub width: usize,
    /// Rows of luma.
    pub height: usize,
    /// Luma, `luma_stride` bytes a row.
    pub y: &'a [u8],
    /// Blue difference, `chroma_stride` bytes a row, half as many rows and columns (rounded up).
    pub u: &'a [u8],
    /// Red difference.
    pub v: &'a [u8],
    /// Bytes a row of `y`.
    pub luma_stride: usize,
    /// Bytes a row of `u` and `v`.
    pub chroma_stride: usize,
}

/// Fixed-point coefficients: `r = (y + rv v) / 2^BITS`, and so on.
struct Coefficients {
    y: i32,
    y_zero: i32,
    rv: i32,
    gu: i32,
    gv: i32,
    bu: i32,
}

const BITS: i32 = 16;

impl Coefficients {
    /// By ITU-T H.273, 8.3, everything follows from the weights `Kr` and `Kb`.
    fn new(matrix: ColourMatrix, full_range: bool) -> Self {
        let (kr, kb) = matrix.weights();
        let kg = 1.0 - kr - kb;
        let (luma, chroma, zero) = if full_range {
            (1.0, 1.0, 0)
        } else {
            (255.0 / 219.0, 255.0 / 224.0, 16)
        };
        let fixed = |x: f64| (x * f64::from(1 << BITS)).round() as i32;
        Self {
            y: fixed(luma),
            y_zero: zero,
            rv: fixed(2.0 * (1.0 - kr) * chroma),
            gu: fixed(-2.0 * (1.0 - kb) * kb / kg * chroma),
            gv: fixed(-2.0 * (1.0 - kr) * kr / kg * chroma),
            bu: fixed(2.0 * (1.0 - kb) * chroma),
        }
    }
}

/// Converts to RGB; each chroma sample stands for a block of 2x2 pixels. Returns `None` when the
/// planes are too small for the size that they claim.
pub(crate) fn to_rgb(
    planes: &Planes<'_>,
    matrix: ColourMatrix,
    full_range: bool,
) -> Option<Picture> {
    let Planes {
        width,
        height,
        luma_stride,
        chroma_stride,
        ..
    } = *planes;
    let chroma_width = width.div_ceil(2);
    if width == 0 || height == 0 || luma_stride < width || chroma_stride < chroma_width {
        return None;
    }
    let k = Coefficients::new(matrix, full_range);
    let half = 1 << (BITS - 1);
    let mut rgb = vec![0u8; width.checked_mul(height)?.checked_mul(3)?];
    for (row, out) in rgb.chunks_exact_mut(width * 3).enumerate() {
        let y = planes.y.get(row * luma_stride..)?.get(..width)?;
        let u = planes
            .u
            .get(row / 2 * chroma_stride..)?
            .get(..chroma_width)?;
        let v = planes
            .v
            .get(row / 2 * chroma_stride..)?
            .get(..chroma_width)?;
        for (((pair, y), u), v) in out.chunks_mut(6).zip(y.chunks(2)).zip(u).zip(v) {
            let (u, v) = (i32::from(*u) - 128, i32::from(*v) - 128);
            let (r, g, b) = (k.rv * v + half, k.gu * u + k.gv * v + half, k.bu * u + half);
            for (pixel, y) in pair.chunks_exact_mut(3).zip(y) {
                let y = (i32::from(*y) - k.y_zero) * k.y;
                pixel[0] = ((y + r) >> BITS).clamp(0, 255) as u8;
                pixel[1] = ((y + g) >> BITS).clamp(0, 255) as u8;
                pixel[2] = ((y + b) >> BITS).clamp(0, 255) as u8;
            }
        }
    }
    Some(Picture {
        width: u32::try_from(width).ok()?,
        height: u32::try_from(height).ok()?,
        rgb,
    })
}

/// Turns a picture upright.
pub(crate) fn turned(picture: Picture, turn: Turn) -> Picture {
    let (w, h) = (picture.width as usize, picture.height as usize);
    // Source pixel of the target's pixel (x, y).
    let from = |x: usize, y: usize| match turn {
        Turn::None => (x, y),
        Turn::Right => (y, h - 1 - x),
        Turn::Half => (w - 1 - x, h - 1 - y),
        Turn::Left => (w - 1 - y, x),
    };
    let (width, height) = match turn {
        Turn::None => return picture,
        Turn::Half => (w, h),
        Turn::Right | Turn::Left => (h, w),
    };
    let mut rgb = vec![0u8; picture.rgb.len()];
    for (i, pixel) in rgb.chunks_exact_mut(3).enumerate() {
        let (x, y) = from(i % width, i / width);
        let at = (y * w + x) * 3;
        pixel.copy_from_slice(&picture.rgb[at..at + 3]);
    }
    Picture {
        width: width as u32,
        height: height as u32,
        rgb,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(y: u8, u: u8, v: u8, matrix: ColourMatrix, full: bool) -> [u8; 3] {
        let planes = Planes {
            width: 1,
            height: 1,
            y: &[y],
            u: &[u],
            v: &[v],
            luma_stride: 1,
            chroma_stride: 1,
        };
        to_rgb(&planes, matrix, full)
            .unwrap()
            .rgb
            .try_into()
            .unwrap()
    }

    #[test]
    fn black_white_and_primaries_come_out_right() {
        for matrix in [
            ColourMatrix::Bt601,
            ColourMatrix::Bt709,
            ColourMatrix::Bt2020,
        ] {
            assert_eq!(one(16, 128, 128, matrix, false), [0; 3]);
            assert_eq!(one(235, 128, 128, matrix, false), [255; 3]);
            assert_eq!(one(0, 128, 128, matrix, true), [0; 3]);
            assert_eq!(one(255, 128, 128, matrix, true), [255; 3]);
            assert_eq!(one(1, 128, 128, matrix, false), [0; 3]);
        }
        // Pure red, from the forward equations of BT.601 and BT.709, limited range.
        for (matrix, [y, u, v]) in [
            (ColourMatrix::Bt601, [81, 90, 240]),
            (ColourMatrix::Bt709, [63, 102, 240]),
        ] {
            let [r, g, b] = one(y, u, v, matrix, false);
            assert!(r >= 253 && g <= 2 && b <= 2, "{matrix:?}: {r} {g} {b}");
        }
    }

    #[test]
    fn odd_sizes_have_their_last_row_and_column() {
        let planes = Planes {
            width: 3,
            height: 3,
            y: &[235; 9],
            u: &[128; 4],
            v: &[128; 4],
            luma_stride: 3,
            chroma_stride: 2,
        };
        let picture = to_rgb(&planes, ColourMatrix::Bt601, false).unwrap();
        assert_eq!(picture.rgb, [255; 27]);
    }

    #[test]
    fn planes_too_small_are_refused() {
        let planes = Planes {
            width: 4,
            height: 4,
            y: &[0; 15],
            u: &[0; 4],
            v: &[0; 4],
            luma_stride: 4,
            chroma_stride: 2,
        };
        assert!(to_rgb(&planes, ColourMatrix::Bt601, false).is_none());
        let planes = Planes {
            width: 4,
            height: 4,
            y: &[0; 16],
            u: &[0; 4],
            v: &[0; 3],
            luma_stride: 4,
            chroma_stride: 2,
        };
        assert!(to_rgb(&planes, ColourMatrix::Bt601, false).is_none());
    }

    #[test]
    fn turns_put_the_first_pixel_into_the_right_corner() {
        // 3x2: a b c / d e f, told apart by their red.
        let picture = || Picture {
            width: 3,
            height: 2,
            rgb: b"abcdef".iter().flat_map(|p| [*p, 0, 0]).collect(),
        };
        let read = |p: Picture| {
            (
                p.width,
                p.height,
                String::from_utf8(p.rgb.chunks(3).map(|c| c[0]).collect()).unwrap(),
            )
        };
        assert_eq!(read(turned(picture(), Turn::None)), (3, 2, "abcdef".into()));
        assert_eq!(
            read(turned(picture(), Turn::Right)),
            (2, 3, "daebfc".into())
        );
        assert_eq!(read(turned(picture(), Turn::Half)), (3, 2, "fedcba".into()));
        assert_eq!(read(turned(picture(), Turn::Left)), (2, 3, "cfbead".into()));
    }
}
