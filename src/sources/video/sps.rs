//! The sequence parameter set of H.264: the size and colour of the pictures, and which kinds of
//! video are refused.

use super::demux::Unplayable;
use crate::sources::picture::ColourMatrix;

/// Largest picture in macroblocks of 16x16: level 5.2, 4096x2304.
const MACROBLOCKS_MAX: u32 = 36_864;

/// The part of a sequence parameter set that decides whether and how the picture is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sps {
    /// Columns after cropping.
    pub width: u32,
    /// Rows after cropping.
    pub height: u32,
    /// The colour matrix, where the set names one.
    pub matrix: Option<ColourMatrix>,
    /// Whether samples use 0..=255 instead of 16..=235, where the set says.
    pub full_range: Option<bool>,
}

impl Sps {
    /// Reads and checks a sequence parameter set (H.264, 7.3.2.1.1) that begins with its unit
    /// header.
    pub fn parse(nal: &[u8]) -> Result<Self, Unplayable> {
        let mut bits = Bits::new(nal);
        Self::read(&mut bits)
            .ok_or_else(|| Unplayable::Broken("the sequence parameter set ends too early".into()))?
    }

    fn read(bits: &mut Bits) -> Option<Result<Self, Unplayable>> {
        let refuse = |what: &str| Some(Err(Unplayable::Unsupported(what.into())));
        bits.u(8)?;
        let profile = bits.u(8)?;
        bits.u(16)?;
        bits.ue()?;
        if matches!(
            profile,
            100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
        ) {
            match bits.ue()? {
                1 => {}
                0 => return refuse("H.264 without colour (4:0:0)"),
                _ => return refuse("H.264 with 4:2:2 or 4:4:4 colour"),
            }
            if (bits.ue()?, bits.ue()?) != (0, 0) {
                return refuse("H.264 with more than 8 bits a sample");
            }
            if bits.u(1)? != 0 {
                return refuse("lossless H.264");
            }
            if bits.u(1)? != 0 {
                skip_scaling_lists(bits)?;
            }
        } else if !matches!(profile, 66 | 77 | 88) {
            return refuse("an unknown H.264 profile");
        }
        bits.ue()?;
        match bits.ue()? {
            0 => drop(bits.ue()?),
            1 => {
                bits.u(1)?;
                bits.ue()?;
                bits.ue()?;
                for _ in 0..bits.ue().filter(|n| *n < 256)? {
                    bits.ue()?;
                }
            }
            2 => {}
            _ => return None,
        }
        bits.ue()?;
        bits.u(1)?;
        let (columns, rows) = (bits.ue()?.checked_add(1)?, bits.ue()?.checked_add(1)?);
        if bits.u(1)? == 0 {
            return refuse("interlaced H.264");
        }
        if columns
            .checked_mul(rows)
            .is_none_or(|n| n > MACROBLOCKS_MAX)
        {
            return refuse("a picture of more than 4096x2304 (level 5.2)");
        }
        bits.u(1)?;
        let (mut width, mut height) = (columns * 16, rows * 16);
        if bits.u(1)? != 0 {
            // In units of two samples for 4:2:0 and progressive pictures.
            let [left, right, top, bottom] = [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?];
            let cut = |size: u32, a: u32, b: u32| {
                size.checked_sub(a.checked_add(b)?.checked_mul(2)?)
                    .filter(|n| *n > 0)
            };
            match (cut(width, left, right), cut(height, top, bottom)) {
                (Some(w), Some(h)) => (width, height) = (w, h),
                _ => {
                    return Some(Err(Unplayable::Broken(
                        "the picture is cropped away".into(),
                    )));
                }
            }
        }
        let mut sps = Self {
            width,
            height,
            matrix: None,
            full_range: None,
        };
        if bits.u(1)? != 0 {
            // A description of the video that ends early says nothing; the decoder does not need
            // it.
            let _ = sps.read_colour(bits);
        }
        Some(Ok(sps))
    }

    /// Reads what the video usability information (annex E) says about colour.
    fn read_colour(&mut self, bits: &mut Bits) -> Option<()> {
        const EXTENDED_ASPECT: u32 = 255;
        if bits.u(1)? != 0 && bits.u(8)? == EXTENDED_ASPECT {
            bits.u(32)?;
        }
        if bits.u(1)? != 0 {
            bits.u(1)?;
        }
        if bits.u(1)? != 0 {
            bits.u(3)?;
            self.full_range = Some(bits.u(1)? != 0);
            if bits.u(1)? != 0 {
                bits.u(16)?;
                self.matrix = ColourMatrix::from_code(bits.u(8)?);
            }
        }
        Some(())
    }
}

/// Passes over the scaling lists (7.3.2.1.1.1) of 4:2:0 video.
fn skip_scaling_lists(bits: &mut Bits) -> Option<()> {
    for list in 0..8 {
        if bits.u(1)? == 0 {
            continue;
        }
        let (mut last, mut next) = (8i64, 8i64);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + i64::from(bits.se()?) + 256) % 256;
            }
            if next != 0 {
                last = next;
            }
        }
    }
    Some(())
}

/// Reads bits and Exp-Golomb codes (9.1) from a unit, without its emulation prevention bytes.
struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    /// No parameter set is longer than this.
    const BYTES_MAX: usize = 4096;

    fn new(nal: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(nal.len().min(Self::BYTES_MAX));
        for b in nal.iter().take(Self::BYTES_MAX) {
            if !(*b == 3 && bytes.ends_with(&[0, 0])) {
                bytes.push(*b);
            }
        }
        Self { bytes, at: 0 }
    }

    fn u(&mut self, n: u32) -> Option<u32> {
        let mut value = 0u32;
        for _ in 0..n {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.u(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.u(zeros)?;
        Some((1u32 << zeros) - 1 + rest)
    }

    fn se(&mut self) -> Option<i32> {
        let code = i64::from(self.ue()?);
        i32::try_from(if code % 2 == 1 {
            code / 2 + 1
        } else {
            -(code / 2)
        })
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes bits as an encoder would.
    #[derive(Default)]
    struct Writer(Vec<bool>);

    impl Writer {
        fn u(mut self, n: u32, value: u32) -> Self {
            self.0.extend((0..n).rev().map(|i| value >> i & 1 == 1));
            self
        }

        fn ue(self, value: u32) -> Self {
            let length = 32 - (value + 1).leading_zeros();
            self.u(length - 1, 0).u(length, value + 1)
        }

        fn bytes(self) -> Vec<u8> {
            let mut bits = self.0;
            bits.push(true);
            bits.resize(bits.len().div_ceil(8) * 8, false);
            bits.chunks(8)
                .map(|c| c.iter().fold(0, |n, b| n << 1 | u8::from(*b)))
                .collect()
        }
    }

    /// A High profile set for 1920x1080 with chroma, depth, interlacing and colour as given.
    fn high(chroma: u32, depth: u32, frames_only: u32, matrix: u32) -> Vec<u8> {
        let w = Writer::default()
            .u(8, 0x67)
            .u(8, 100)
            .u(16, 40)
            .ue(0)
            .ue(chroma)
            .ue(depth)
            .ue(depth)
            .u(1, 0)
            .u(1, 0);
        let w = w
            .ue(0)
            .ue(0)
            .ue(2)
            .ue(4)
            .u(1, 0)
            .ue(119)
            .ue(67)
            .u(1, frames_only);
        let w = if frames_only == 0 { w.u(1, 0) } else { w };
        let w = w.u(1, 1).u(1, 1).ue(0).ue(0).ue(0).ue(4);
        w.u(1, 1)
            .u(1, 0)
            .u(1, 0)
            .u(1, 1)
            .u(3, 5)
            .u(1, 0)
            .u(1, 1)
            .u(16, 0x0101)
            .u(8, matrix)
            .bytes()
    }

    #[test]
    fn size_and_colour_are_read() {
        let sps = Sps::parse(&high(1, 0, 1, 1)).unwrap();
        assert_eq!(
            sps,
            Sps {
                width: 1920,
                height: 1080,
                matrix: Some(ColourMatrix::Bt709),
                full_range: Some(false)
            }
        );
        assert_eq!(Sps::parse(&high(1, 0, 1, 2)).unwrap().matrix, None);
    }

    #[test]
    fn what_the_decoder_cannot_do_is_refused_by_name() {
        for (nal, word) in [
            (high(1, 2, 1, 1), "8 bits"),
            (high(2, 0, 1, 1), "4:2:2"),
            (high(0, 0, 1, 1), "4:0:0"),
            (high(1, 0, 0, 1), "interlaced"),
            (vec![0x67, 99, 0, 40, 0x80], "profile"),
        ] {
            match Sps::parse(&nal) {
                Err(Unplayable::Unsupported(why)) => assert!(why.contains(word), "{why}"),
                other => panic!("{word}: {other:?}"),
            }
        }
    }

    #[test]
    fn every_truncation_of_a_parameter_set_is_an_error_or_sound() {
        let nal = high(1, 0, 1, 1);
        for n in 0..nal.len() {
            if let Ok(sps) = Sps::parse(&nal[..n]) {
                assert_eq!((sps.width, sps.height), (1920, 1080));
            }
        }
        assert!(Sps::parse(&[0x67; 3]).is_err());
        assert!(Sps::parse(&[0; 5000]).is_err());
    }
}
